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

/// When the next rotation is due: as the interval asks, and at the latest in time before the key manager ends the secret.
pub fn next_time(o: &Observed, now: Timestamp) -> Option<Timestamp> {
    let deadline = o.secret.ours().and_then(|published| deadline(&published.hints));
    [interval_time(o, now), deadline].into_iter().flatten().min()
}

/// When a secret that the key manager ends is replaced at the latest, whatever else is asked for: with a fifth of its life left.
pub fn deadline(hints: &Hints) -> Option<Timestamp> {
    let (issued, ends) = (hints.issued_at?, hints.secret_ends?);
    let life = ends.duration_since(issued).max(SignedDuration::ZERO);
    issued.checked_add(life / 5 * 4).ok().map(whole_second)
}

/// When the interval asks for the next rotation.
///
/// An interval that was set or shortened does not rotate a fleet at once: the first rotation is not before a share of the
/// interval from now. What status says already is put off by no edit of anything else.
fn interval_time(o: &Observed, now: Timestamp) -> Option<Timestamp> {
    let interval: SignedDuration = o.spec().rotation.as_ref()?.interval?.into();
    let issued_at = o.secret.ours()?.hints.issued_at?;
    let due = issued_at.checked_add(interval).ok()?;
    let status = o.key.status.as_ref();
    let said = status
        .and_then(|s| s.credential.as_ref())
        .and_then(|c| c.next_rotation_time.as_ref())
        .map(|t| t.0);
    let share = identity::share(&["rotation", o.namespace(), o.name()], interval);
    let spread = due.max(whole_second(now.checked_add(share).ok()?));
    match said {
        // It was rotated since, or the interval is longer now.
        Some(said) if said < due => Some(due),
        Some(said) => Some(said.min(spread)),
        None => Some(spread),
    }
}

/// The most that a time loses when it is rounded to whole seconds.
const ROUNDING: SignedDuration = SignedDuration::from_secs(1);

/// When an access token is renewed: `renewBefore` before its end, else at two thirds of its life less a share of a tenth of it.
/// In whole seconds, rounded down; a life under ten seconds has no second to give away.
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
            // A tenth, less the second that rounding may take.
            let spread = (life / 10 - ROUNDING).max(SignedDuration::ZERO);
            life * 2 / 3 - identity::share(&["token", namespace, name, &token.name], spread)
        },
        |before| life - before,
    );
    let at = issued.checked_add(after).unwrap_or(expires);
    let whole = Timestamp::from_second(at.as_second()).ok();
    whole.filter(|_| life >= ROUNDING * 10).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::conditions::Say,
        plan::hand::Hand,
        plan::observed::{Published, SecretView, State},
    };

    fn hours(hours: i64) -> Timestamp {
        Timestamp::from_second(hours * 3600).unwrap()
    }

    /// A key whose secret was published at hour zero, and whose status speaks of this rotation.
    fn observed(interval: &str, said: Option<Timestamp>) -> Observed {
        let key = json!({
            "apiVersion": "appkeys.dev/v1alpha1", "kind": "ApplicationKey",
            "metadata": {"namespace": "team", "name": "k", "generation": 2},
            "spec": {
                "applicationRef": {"name": "shop"}, "environment": "Production", "rotation": {"interval": interval},
            },
            "status": {
                // Some other edit was not seen yet.
                "observedGeneration": 1,
                "credential": {"version": 1, "phase": "Idle", "nextRotationTime": said},
            },
        });
        let published = Published {
            name: "k".to_owned(),
            uid: String::new(),
            resource_version: String::new(),
            type_: "Opaque".to_owned(),
            labels: std::collections::BTreeMap::new(),
            annotations: std::collections::BTreeMap::new(),
            entries: crate::plan::secret::Entries::default(),
            hints: Hints {
                issued_at: Some(hours(0)),
                ..Hints::default()
            },
            tampered: false,
            released_by: None,
        };
        Observed {
            cluster_id: "c".to_owned(),
            key: serde_json::from_value(key).unwrap(),
            application: None,
            first_in_environment: None,
            target: Err(Say::no("Ready", "None", "none")),
            secret: SecretView::Ours(Box::new(published)),
            former: None,
            tokens: SecretView::Absent,
            state: State::default(),
            hand: Hand::default(),
        }
    }

    /// The share of 24 hours that this key waits before its first rotation.
    fn share() -> SignedDuration {
        let share = identity::share(&["rotation", "team", "k"], SignedDuration::from_hours(24));
        // What is planned is in whole seconds.
        SignedDuration::from_secs(share.as_secs() + 1)
    }

    #[test]
    fn an_interval_rotates_when_it_is_over_and_a_fleet_never_at_once() {
        let (long_ago, now) = (hours(1000), hours(2000));
        // What status says, the time, and when the rotation is due.
        let cases = [
            ("just published", None, hours(0), hours(24)),
            ("as said", Some(hours(24)), hours(23), hours(24)),
            ("overdue, since nobody was there", Some(hours(24)), now, hours(24)),
            ("switched on for an old key", None, now, now + share()),
            (
                "and an edit later",
                Some(now + share()),
                now + share() / 2,
                now + share(),
            ),
            ("and its time has come", Some(long_ago), now, long_ago),
            ("shortened from 1000 days", Some(hours(24_000)), now, now + share()),
            (
                "shortened soon after publication",
                Some(hours(720)),
                hours(1),
                hours(24),
            ),
            (
                "shortened at the last moment",
                Some(hours(720)),
                hours(23),
                (hours(23) + share()).max(hours(24)),
            ),
            ("made longer", Some(hours(12)), hours(6), hours(24)),
        ];
        for (name, said, now, due) in cases {
            assert_eq!(next_time(&observed("24h", said), now), Some(due), "{name}");
        }
        assert!(
            share() > SignedDuration::from_hours(1),
            "the case of the last moment is one"
        );
    }

    #[test]
    fn a_token_is_renewed_before_its_end_whatever_is_asked_for() {
        let key = observed("24h", None).key;
        let seconds = SignedDuration::from_secs;
        for life in [1, 2, 10, 59, 60, 61, 300, 3600, 43_200, 86_400 * 30].map(seconds) {
            let end = hours(0) + life;
            for before in [10, 30, 60, 3600, 86_400, 86_400 * 365].map(seconds) {
                let token = AccessTokenSpec {
                    renew_before: Some(crate::api::Duration(before)),
                    ..AccessTokenSpec::default()
                };
                let at = renew_at(&key, &token, hours(0), end);
                assert!(hours(0) < at && at < end, "{life} {before}: {at}");
                assert!(before >= life || at == end - before, "{life} {before}: {at}");
            }
            let at = renew_at(&key, &AccessTokenSpec::default(), hours(0), end);
            let third = life / 3;
            assert!(at <= end - third && at >= end - third - life / 10, "{life}: {at}");
        }
    }
}
