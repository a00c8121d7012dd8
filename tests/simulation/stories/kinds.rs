//! Clients that hold private keys, and clients that hold nothing.

use std::time::Duration;

use appkeys::api::CredentialKind;
use jiff::SignedDuration;
use serde_json::json;

use super::super::{
    bench::{Bench, ready},
    profile::{Profile, with_kinds},
    runs::run,
};

/// The first profile of each behaviour towards private keys.
fn with_keys() -> impl Iterator<Item = Profile> {
    let of_keys = with_kinds().filter(|(_, kind)| *kind == CredentialKind::PrivateKey);
    of_keys.map(|(profile, _)| profile)
}

async fn with_key(profile: Profile, kind: CredentialKind) -> Bench {
    let mut bench = Bench::of_kind(1, profile, profile, kind);
    bench.start();
    bench.put_key("k", &json!({"accessTokens": [{"name": "t"}]}));
    bench.becomes("ready", |bench| ready(&bench.key("k"))).await;
    bench
}

#[test]
fn a_private_key_that_somebody_damaged_is_replaced_by_another() {
    for profile in with_keys() {
        run(async {
            let mut bench = with_key(profile, CredentialKind::PrivateKey).await;
            bench.pass(Duration::from_secs(5)).await;
            let before = bench.credential("k");
            bench.tamper("k");
            let healed = |bench: &Bench| ready(&bench.key("k")) && bench.credential("k").1.starts_with("-----BEGIN");
            bench.becomes("healed", healed).await;
            let after = bench.credential("k");
            assert!(
                after.1 != before.1 && bench.works(&after),
                "{profile:?}\n{}",
                bench.trace()
            );
            bench.is_sound();
        });
    }
}

#[test]
fn the_old_private_key_works_through_the_overlap_and_no_longer() {
    for profile in with_keys().filter(|profile| profile.facts().is_managed()) {
        run(async {
            let mut bench = with_key(profile, CredentialKind::PrivateKey).await;
            bench.pass(Duration::from_secs(5)).await;
            bench.invariants.expect_overlap(SignedDuration::from_mins(10));
            let before = bench.credential("k");
            let strategy = profile.uncut(CredentialKind::PrivateKey);
            let rotation = json!({"overlap": "10m", "trigger": "now", "strategy": strategy});
            bench.put_key("k", &json!({"rotation": rotation}));
            bench
                .becomes("rotated", |bench| {
                    ready(&bench.key("k")) && bench.credential("k") != before
                })
                .await;
            bench.pass(Duration::from_mins(9)).await;
            let after = bench.credential("k");
            assert!(bench.works(&before) && bench.works(&after), "{profile:?}");
            bench.pass(Duration::from_mins(2)).await;
            assert!(
                !bench.works(&before) && bench.works(&after),
                "{profile:?}\n{}",
                bench.trace()
            );
            assert_eq!(before.0 == after.0, strategy == "Overlap", "{profile:?}");
            bench.is_sound();
        });
    }
}

#[test]
fn a_public_client_has_no_secret_and_nothing_to_rotate() {
    for (profile, kind) in with_kinds().filter(|(_, kind)| *kind == CredentialKind::Nothing) {
        run(async {
            let mut bench = with_key(profile, kind).await;
            let before = (bench.credential("k"), bench.clients());
            let asked = bench.record.len();
            bench.put_key("k", &json!({"rotation": {"interval": "1h", "trigger": "now"}}));
            bench.pass(Duration::from_hours(3)).await;
            assert!((bench.credential("k"), bench.clients()) == before, "{profile:?}");
            assert_eq!(super::counts(&bench.record.since(asked)).2, 0, "{profile:?}");
            let entries = bench.entries("k");
            assert!(!entries.contains_key("client-secret") && !entries.contains_key("private-key.pem"));
            let why = super::reason(&bench.key("k"), "RotationUnsupported", "True");
            assert_eq!(why.as_deref(), Some("NotAtThisKeyManager"), "{profile:?}");
            assert!(
                ready(&bench.key("k")) && bench.works(&bench.credential("k")),
                "{profile:?}"
            );
        });
    }
}
