//! What metrics say of now: the keys, the queue and the ways to key managers, counted when somebody asks.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use jiff::{SignedDuration, Timestamp};

use super::Context;
use crate::{
    api::{ApplicationKey, conditions},
    metrics::{KeyManagerNow, KeyState, Snapshot},
};

/// What is counted of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyNow {
    /// How it is.
    pub state: KeyState,
    /// When the first access token in its Secret ends.
    pub expires_at: Option<Timestamp>,
    /// When its first access token is to be renewed.
    pub renew_at: Option<Timestamp>,
}

impl KeyNow {
    /// As its object says.
    pub fn of(key: &ApplicationKey) -> Self {
        let status = key.status.as_ref();
        let state = match status {
            _ if key.metadata.deletion_timestamp.is_some() => KeyState::Deleting,
            _ if key.spec.suspend => KeyState::Suspended,
            None => KeyState::New,
            Some(status) if conditions::is_true(&status.conditions, "Ready") => KeyState::Ready,
            Some(_) => KeyState::NotReady,
        };
        // Nobody waits for the tokens of a key for which nothing is done.
        let status = status.filter(|_| !matches!(state, KeyState::Deleting | KeyState::Suspended));
        let tokens = status.map_or(&[][..], |status| &status.access_tokens);
        Self {
            state,
            expires_at: tokens.iter().map(|token| token.expires_at.0).min(),
            renew_at: tokens.iter().map(|token| token.renew_at.0).min(),
        }
    }
}

/// Counts.
pub fn take(ctx: &Context) -> Snapshot {
    // Before the depth: what was asked for is in it.
    let synced = ctx.all_asked_for.load(Ordering::SeqCst);
    let now = ctx.clock.now();
    let world = ctx.world.lock();
    let mut keys = BTreeMap::<_, usize>::new();
    let (mut expires_at, mut renew_at) = (None::<Timestamp>, None::<Timestamp>);
    for key in world.summaries().map(|summary| summary.now) {
        *keys.entry(key.state).or_default() += 1;
        expires_at = expires_at.into_iter().chain(key.expires_at).min();
        renew_at = renew_at.into_iter().chain(key.renew_at).min();
    }
    let mut key_managers = BTreeMap::<String, KeyManagerNow>::new();
    for entry in world.key_managers.values() {
        let (label, one) = entry.gate.now();
        let all = key_managers.entry(label.to_owned()).or_default();
        all.circuits_open += one.circuits_open;
        all.waiting += one.waiting;
        // Of one that is gone nobody asks whether it can be used.
        all.not_ready += usize::from(entry.not_ready.is_some() && !entry.departed);
        all.budget_left = all.budget_left.into_iter().chain(one.budget_left).min();
    }
    Snapshot {
        synced,
        queue_depth: ctx.queue.depth(),
        queue_age: ctx.queue.age(),
        released_secrets: world.released_secrets(),
        keys: Some(keys),
        nearest_expiry: expires_at.map(|at| at.duration_since(now)),
        renewal_overdue: renew_at.map_or(SignedDuration::ZERO, |at| {
            now.duration_since(at).max(SignedDuration::ZERO)
        }),
        key_managers,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now_of(meta: &serde_json::Value, suspend: bool, status: &serde_json::Value) -> KeyNow {
        let mut object = json!({
            "apiVersion": "appkeys.dev/v1alpha1", "kind": "ApplicationKey", "metadata": {"name": "k", "namespace": "n"},
            "spec": {"applicationRef": {"name": "shop"}, "environment": "Production", "suspend": suspend}, "status": status,
        });
        object["metadata"]
            .as_object_mut()
            .unwrap()
            .extend(meta.as_object().unwrap().clone());
        KeyNow::of(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn a_key_is_counted_as_its_object_says() {
        let status = |ready: &str| {
            let token = |name: &str, minute: u32| {
                let at = |hour: u32| format!("2026-01-01T{hour:02}:{minute:02}:00Z");
                json!({"name": name, "expiresAt": at(2), "renewAt": at(1)})
            };
            json!({
                "conditions": [{
                    "type": "Ready", "status": ready, "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
                "accessTokens": [token("late", 30), token("soon", 10)],
            })
        };
        let at = |time: &str| Some(time.parse::<Timestamp>().unwrap());
        let ready = now_of(&json!({}), false, &status("True"));
        let expected = KeyNow {
            state: KeyState::Ready,
            expires_at: at("2026-01-01T02:10:00Z"),
            renew_at: at("2026-01-01T01:10:00Z"),
        };
        assert_eq!(ready, expected);
        assert_eq!(now_of(&json!({}), false, &status("False")).state, KeyState::NotReady);
        assert_eq!(now_of(&json!({}), false, &json!(null)).state, KeyState::New);
        let none = |state| KeyNow {
            state,
            ..KeyNow::default()
        };
        assert_eq!(now_of(&json!({}), true, &status("True")), none(KeyState::Suspended));
        let deleted = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        assert_eq!(now_of(&deleted, true, &status("True")), none(KeyState::Deleting));
    }
}
