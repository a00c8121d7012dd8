//! The one place that turns results into logs and events.

use std::time::Duration;

use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::Status,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

use super::{
    Context,
    execute::Failure,
    queue::{Item, Name},
    steps::{self, Steps},
};
use crate::{
    api::{
        ApplicationKey, ApplicationKeyStatus, FIELD_MANAGER, GROUP, KeyManagerKind, KeyManagerRef, VERSION,
        conditions::{self, Say},
    },
    plan::observed::Observed,
    spans,
};

/// A pass ended early. The object and the step's own words, never a value.
pub fn failed_pass(name: &Name, failure: &Failure) {
    let trace_id = spans::trace_id();
    tracing::warn!(key = %name, reason = failure.reason(), error = %failure, trace_id, "pass failed");
}

/// A pass that changed something, in one line: of which object, by which steps, how it ended and how long it took.
pub fn finished(item: &Item, steps: &Steps, outcome: &str, took: Duration) {
    if steps.changes {
        let (kind, name, seconds) = (item.kind(), item.name(), took.as_secs_f64());
        let (steps, trace_id) = (steps.names.join(" "), spans::trace_id());
        tracing::info!(kind, object = %name, outcome, steps, seconds, trace_id, "pass");
    }
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
        ) || matches!(condition.type_.as_str(), "RotationUnsupported" | "RegistrationDiffers");
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

/// Writes a condition onto a key that cannot be read as one.
///
/// # Errors
/// The API server's.
pub async fn invalid_key(ctx: &Context, name: &Name, say: Say) -> kube::Result<()> {
    let resource = ApiResource::erase::<ApplicationKey>(&());
    let api = Api::<DynamicObject>::namespaced_with(ctx.client.clone(), &name.namespace, &resource);
    let Some(object) = api.get_opt(&name.name).await? else {
        return Ok(());
    };
    let mut known: Vec<Condition> =
        serde_json::from_value(object.data["status"]["conditions"].clone()).unwrap_or_default();
    let before = known.clone();
    let generation = object.metadata.generation;
    conditions::set(&mut known, &["Ready"], &[say], generation, ctx.clock.now());
    if known == before {
        return Ok(());
    }
    let version = object.resource_version();
    let patch = serde_json::json!({"metadata": {"resourceVersion": version}, "status": {"conditions": known}});
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(patch);
    let write = api.patch_status(&name.name, &params, &patch);
    steps::change("WriteStatus", write).await.map(drop)
}

/// An announcement before a cut.
pub async fn publish(ctx: &Context, key: &ApplicationKey, say: &Say) {
    event(ctx, key, say.reason, "Announce", &say.message).await;
}

/// Somebody changed a client at its key manager.
pub async fn drifted(ctx: &Context, key: &ApplicationKey, drifted: &[String], corrects: bool) {
    let what = drifted.join("; ");
    let text = if corrects {
        format!("the client was changed at its key manager and is put right: {what}")
    } else {
        format!("the client was changed at its key manager: {what}")
    };
    event(ctx, key, "Drifted", "Compare", &text).await;
}

/// A client that may be left at a key manager and that nobody but a person can find or delete. `id` is the client's, or that
/// of the attempt to make it.
///
/// # Errors
/// The event could not be written: what is named nowhere must not be forgotten.
pub async fn orphan(ctx: &Context, o: &Observed, at: &KeyManagerRef, id: &str) -> kube::Result<()> {
    let name = Name::new(o.namespace(), o.name());
    let text =
        format!("{at} may have a client of key {name} that cannot be deleted from here: look for {id} and delete it");
    ctx.metrics.possible_orphans.inc();
    tracing::warn!(key = %name, key_manager = %at, id, "possible orphan");
    let about = if o.lives() {
        o.key.object_ref(&())
    } else {
        key_manager(ctx, at, &name.namespace)
    };
    // Each orphan has an event of its own, so a recorder that remembers none before it.
    let recorder = Recorder::new(ctx.client.clone(), reporter());
    let event = warning("PossibleOrphan", "Clean", &text);
    publish_or_on_operator(ctx, &recorder, &event, &about).await
}

/// A key goes although a client of it, or an attempt to make one, is left: cleaning up goes on without it.
pub async fn entombed(ctx: &Context, key: &Name, at: &KeyManagerRef, id: &str) {
    let text = format!("key {key} was deleted and {id} is still to be deleted here: this goes on until it is done");
    tracing::warn!(%key, key_manager = %at, id, "the key goes, its client is still to be deleted");
    let recorder = Recorder::new(ctx.client.clone(), reporter());
    let event = warning("ClientLeft", "Clean", &text);
    if let Err(error) = publish_or_on_operator(ctx, &recorder, &event, &key_manager(ctx, at, &key.namespace)).await {
        tracing::warn!(%key, error = %Failure::from(error), "event not written");
    }
}

/// A key manager goes whose credential is not known: what deleted keys leave there cannot be cleaned up from here.
pub async fn no_credentials(ctx: &Context, name: &Name) {
    let text =
        format!("KeyManager {name} goes and its credential is not known: clients that keys have left there stay");
    tracing::warn!(key_manager = %name, "no credential is kept of a key manager that goes");
    let reference = KeyManagerRef {
        kind: KeyManagerKind::KeyManager,
        name: name.name.clone(),
    };
    let event = warning("NoCredentials", "Clean", &text);
    // By the recorder that remembers: it is looked at again and again until it is gone.
    let about = key_manager(ctx, &reference, &name.namespace);
    if let Err(error) = publish_or_on_operator(ctx, &ctx.recorder, &event, &about).await {
        tracing::debug!(key_manager = %name, error = %Failure::from(error), "event not written");
    }
}

/// A key manager that is no object cannot be used.
pub async fn key_manager_not_ready(ctx: &Context, name: &Name, say: &Say) {
    tracing::warn!(key_manager = %name, reason = say.reason, message = say.message, "key manager is not ready");
    let text = format!("key manager {name}: {}", say.message);
    let recorder = Recorder::new(ctx.client.clone(), reporter());
    let event = warning(say.reason, "Open", &text);
    if let Err(error) = recorder.publish(&event, &operator(ctx)).await {
        tracing::warn!(key_manager = %name, error = %Failure::from(error), "event not written");
    }
}

/// Writes an event about `about`, or on the operator's Deployment where the namespace goes, which takes no new events.
async fn publish_or_on_operator(
    ctx: &Context,
    recorder: &Recorder,
    event: &Event,
    about: &ObjectReference,
) -> kube::Result<()> {
    match recorder.publish(event, about).await {
        Err(kube::Error::Api(status)) if namespace_goes(&status) => recorder.publish(event, &operator(ctx)).await,
        other => other,
    }
}

/// Whether a create was refused because its namespace is being deleted.
fn namespace_goes(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.is_forbidden() && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// The operator's own Deployment, for events.
fn operator(ctx: &Context) -> ObjectReference {
    ObjectReference {
        api_version: Some("apps/v1".to_owned()),
        kind: Some("Deployment".to_owned()),
        name: Some(ctx.settings.deployment.clone()),
        namespace: Some(ctx.settings.operator_namespace.clone()),
        ..ObjectReference::default()
    }
}

/// A key manager that a key of `namespace` names, for events; the operator's Deployment for one that is no object.
fn key_manager(ctx: &Context, reference: &KeyManagerRef, namespace: &str) -> ObjectReference {
    if reference.kind == KeyManagerKind::ClusterKeyManager && ctx.settings.scope.limited().is_some() {
        return operator(ctx);
    }
    ObjectReference {
        api_version: Some(format!("{GROUP}/{VERSION}")),
        kind: Some(reference.kind.to_string()),
        name: Some(reference.name.clone()),
        namespace: (reference.kind == KeyManagerKind::KeyManager).then(|| namespace.to_owned()),
        ..ObjectReference::default()
    }
}

/// Who writes events.
pub fn reporter() -> Reporter {
    Reporter {
        controller: "appkeys".to_owned(),
        instance: None,
    }
}

fn warning(reason: &str, action: &str, note: &str) -> Event {
    Event {
        type_: EventType::Warning,
        reason: reason.to_owned(),
        note: Some(note[..note.floor_char_boundary(1024)].to_owned()),
        action: action.to_owned(),
        secondary: None,
    }
}

async fn event(ctx: &Context, key: &ApplicationKey, reason: &str, action: &str, note: &str) {
    let event = warning(reason, action, note);
    if let Err(error) = ctx.recorder.publish(&event, &key.object_ref(&())).await {
        tracing::debug!(reason, error = %Failure::from(error), "event not written");
    }
}
