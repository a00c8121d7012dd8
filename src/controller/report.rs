//! The one place that turns results into logs and events.

use kube::{
    Resource as _,
    runtime::events::{Event, EventType},
};

use super::{Context, execute::Failure, queue::Name};
use crate::{
    api::{ApplicationKey, ApplicationKeyStatus, conditions::Say},
    plan::observed::Observed,
};

/// A pass ended early. The object and the step's own words, never a value.
pub fn failed_pass(name: &Name, failure: &Failure) {
    tracing::warn!(key = %name, reason = failure.reason(), error = %failure, "pass failed");
}

/// What a pass changed: a line for each new version, an event for each new trouble; success makes no event.
pub async fn changed(
    ctx: &Context,
    o: &Observed,
    before: Option<&ApplicationKeyStatus>,
    after: &ApplicationKeyStatus,
    version: i64,
) {
    let name = Name::new(o.namespace(), o.name());
    if let Some(credential) = after
        .credential
        .as_ref()
        .filter(|credential| credential.version != version)
    {
        tracing::info!(key = %name, client_id = after.client_id, version = credential.version, "credential published");
    }
    for condition in &after.conditions {
        let trouble = matches!(
            (condition.type_.as_str(), condition.status.as_str()),
            ("Ready" | "UpToDate" | "TokensIssued", "False")
        ) || condition.type_ == "RotationUnsupported";
        let known = before.is_some_and(|status| {
            status.conditions.iter().any(|old| {
                old.type_ == condition.type_ && old.reason == condition.reason && old.status == condition.status
            })
        });
        if trouble && !known {
            tracing::warn!(key = %name, condition = condition.type_, reason = condition.reason, message = condition.message, "condition");
            event(ctx, &o.key, &condition.reason, "Reconcile", &condition.message).await;
        }
    }
}

/// An announcement before a cut.
pub async fn publish(ctx: &Context, key: &ApplicationKey, say: &Say) {
    event(ctx, key, say.reason, "Announce", &say.message).await;
}

/// A client that may have been made and cannot be looked for.
pub async fn orphan(ctx: &Context, key: &ApplicationKey, attempt: &str) {
    let text = format!(
        "attempt {attempt} to register a client had no answer: if the key manager has a client named after it, delete it"
    );
    event(ctx, key, "PossibleOrphan", "Register", &text).await;
}

async fn event(ctx: &Context, key: &ApplicationKey, reason: &str, action: &str, note: &str) {
    let event = Event {
        type_: EventType::Warning,
        reason: reason.to_owned(),
        note: Some(note[..note.floor_char_boundary(1024)].to_owned()),
        action: action.to_owned(),
        secondary: None,
    };
    if let Err(error) = ctx.recorder.publish(&event, &key.object_ref(&())).await {
        tracing::debug!(reason, error = %Failure::from(error), "event not written");
    }
}
