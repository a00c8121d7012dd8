//! When a key is due for a new secret, and when an access token for renewal.

use jiff::{SignedDuration, Timestamp};

use super::{
    hints::{Hints, ROTATE},
    identity,
    observed::Observed,
    secret::DEFAULT_OVERLAP,
    whole_second,
};
use crate::api::{AccessTokenSpec, ApplicationKey, ApplicationKeySpec, RotationStrategy};

/// How long an old secret goes on working.
pub fn overlap(spec: &ApplicationKeySpec) -> SignedDuration {
    spec.rotation
        .as_ref()
        .and_then(|rotation| rotation.overlap)
        .map_or(DEFAULT_OVERLAP, Into::into)
}

/// How the key is rotated.
pub fn strategy(spec: &ApplicationKeySpec) -> RotationStrategy {
    spec.rotation
        .as_ref()
        .and_then(|rotation| rotation.strategy)
        .unwrap_or_default()
}

/// The value of `rotation.trigger`; empty where there is none.
pub fn trigger(spec: &ApplicationKeySpec) -> &str {
    spec.rotation
        .as_ref()
        .and_then(|rotation| rotation.trigger.as_deref())
        .unwrap_or_default()
}

/// The value of the annotation that asks for a rotation; empty where there is none.
pub fn rotate_annotation(key: &ApplicationKey) -> &str {
    key.metadata
        .annotations
        .as_ref()
        .and_then(|a| a.get(ROTATE))
        .map_or("", String::as_str)
}

/// Whether a person asked for a rotation that was not handled yet.
pub fn asked_for(key: &ApplicationKey, hints: &Hints) -> bool {
    let new = |value: &str, handled: &str| !value.is_empty() && value != handled;
    new(trigger(&key.spec), &hints.handled_trigger) || new(rotate_annotation(key), &hints.handled_rotate)
}

/// When the interval asks for the next rotation.
///
/// An interval that was set or shortened on a key that is older than it does not rotate a fleet at once: the first
/// rotation is a share of the interval from now. What status says already stays.
pub fn next_time(o: &Observed, now: Timestamp) -> Option<Timestamp> {
    let interval: SignedDuration = o.spec().rotation.as_ref()?.interval?.into();
    let issued_at = o.secret.ours()?.hints.issued_at?;
    let due = issued_at.checked_add(interval).ok()?;
    let status = o.key.status.as_ref();
    let said = status
        .and_then(|s| s.credential.as_ref())
        .and_then(|c| c.next_rotation_time.as_ref())
        .map(|t| t.0);
    let unchanged = status.and_then(|s| s.observed_generation) == o.key.metadata.generation;
    match said {
        Some(said) if unchanged && said >= due => Some(said),
        Some(said) if said == due => Some(due),
        _ if due > now => Some(due),
        _ => now
            .checked_add(identity::share(&["rotation", o.namespace(), o.name()], interval))
            .ok()
            .map(whole_second),
    }
}

/// When an access token is renewed: `renewBefore` before its end, else at two thirds of its life less a share of a tenth of it.
pub fn renew_at(key: &ApplicationKey, token: &AccessTokenSpec, issued: Timestamp, expires: Timestamp) -> Timestamp {
    let life = expires.duration_since(issued);
    let before = token
        .renew_before
        .map(SignedDuration::from)
        .filter(|before| *before < life);
    let after = before.map_or_else(
        || {
            let name = key.metadata.name.as_deref().unwrap_or_default();
            let namespace = key.metadata.namespace.as_deref().unwrap_or_default();
            life * 2 / 3 - identity::share(&["token", namespace, name, &token.name], life / 10)
        },
        |before| life - before,
    );
    whole_second(issued.checked_add(after).unwrap_or(expires))
}
