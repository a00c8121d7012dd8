//! A publication that comes late while what follows is slow: two faults at once, which no single one shows. What was
//! discarded meanwhile must not be published any more.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use appkeys::api::CredentialKind;
use jiff::SignedDuration;
use serde_json::json;
use testbed::memory_api::{Fault, Id};

use super::{
    bench::{Bench, ready},
    profile::{Profile, with_kinds},
    runs::run,
    schedule::Mishap,
};

/// The first write of the key's Secret comes so much later, and every use of a secret after that takes its time.
fn slow_after_a_late_publication(bench: &Bench, late: Duration, verb: &'static str) {
    let seen = AtomicBool::new(false);
    bench.record.rule(move |asked| {
        let publication = asked.what.starts_with(&format!("{verb} secrets team/"));
        if publication && !seen.swap(true, Ordering::SeqCst) {
            return Some(Mishap::Lose(Fault::Late(late)));
        }
        let slow = seen.load(Ordering::SeqCst) && asked.call && asked.what == "token";
        slow.then_some(Mishap::Lose(Fault::Delay(Duration::from_millis(2500))))
    });
}

fn delays() -> impl Iterator<Item = Duration> {
    (1..=10).map(|half| Duration::from_millis(half * 500))
}

async fn ready_key(profile: Profile, kind: CredentialKind) -> Bench {
    let mut bench = Bench::of_kind(1, profile, profile, kind);
    bench.put_key("k", &json!({"rotation": {"overlap": "10m", "trigger": "one"}}));
    bench.start();
    assert!(
        bench
            .until(Duration::from_mins(1), |bench| ready(&bench.key("k")))
            .await,
        "{profile:?}"
    );
    bench
}

/// It comes to be as `good` says, stays so, and nothing was broken on the way.
async fn ends_well(bench: &mut Bench, what: &str, good: impl Fn(&Bench) -> bool) {
    let healed = bench.until(Duration::from_mins(30), &good).await;
    bench.record.no_rule();
    bench.pass(Duration::from_mins(20)).await;
    let broken = bench.invariants.broken();
    let ended = healed && good(bench);
    assert!(ended && broken.is_empty(), "{what}: {broken:?}\n{}", bench.trace());
    let (clients, named) = (bench.clients(), bench.named_orphans());
    assert!(
        clients.len() <= 1 + named,
        "{what}: {clients:?}, {named} orphans are named"
    );
}

fn is_rotated(bench: &Bench) -> bool {
    ready(&bench.key("k")) && bench.key("k")["status"]["credential"]["version"].as_i64() >= Some(2)
}

/// All whose clients can get another credential, with each kind of that, and how late the publication is.
fn cases() -> impl Iterator<Item = (Profile, CredentialKind, Duration)> {
    let provable = with_kinds().filter(|(_, kind)| *kind != CredentialKind::Nothing);
    provable.flat_map(|(profile, kind)| delays().map(move |late| (profile, kind, late)))
}

#[test]
fn a_late_rotation_brings_back_no_secret_that_was_discarded() {
    for (profile, kind, late) in cases().filter(|(profile, kind, _)| profile.facts().overlaps(*kind)) {
        run(async {
            let mut bench = ready_key(profile, kind).await;
            bench.invariants.expect_overlap(SignedDuration::from_mins(10));
            slow_after_a_late_publication(&bench, late, "Update");
            bench.put_key("k", &json!({"rotation": {"overlap": "10m", "trigger": "two"}}));
            ends_well(&mut bench, &format!("{kind} at {profile:?}, {late:?} late"), is_rotated).await;
        });
    }
}

#[test]
fn a_late_cut_or_replacement_brings_back_no_secret_that_was_discarded() {
    for (profile, kind, late) in cases() {
        for strategy in ["InPlace", "ReplaceClient"] {
            let changes = profile.facts().capabilities.with(kind).secret_at_rotation.is_some();
            if !changes && strategy == "InPlace" {
                continue;
            }
            run(async {
                let mut bench = ready_key(profile, kind).await;
                slow_after_a_late_publication(&bench, late, "Update");
                let rotation = json!({"overlap": "10m", "trigger": "two", "strategy": strategy});
                bench.put_key("k", &json!({"rotation": rotation}));
                let what = format!("{strategy} of {kind} at {profile:?}, {late:?} late");
                ends_well(&mut bench, &what, is_rotated).await;
            });
        }
    }
}

#[test]
fn a_secret_that_is_made_anew_late_brings_back_none_that_was_discarded() {
    for (profile, kind, late) in cases() {
        run(async {
            let mut bench = ready_key(profile, kind).await;
            slow_after_a_late_publication(&bench, late, "Create");
            bench.api.edit(|store| store.delete(&Id::secret("team", "k")));
            let there = |bench: &Bench| ready(&bench.key("k")) && bench.get(&Id::secret("team", "k")).is_some();
            bench.pass(Duration::from_secs(1)).await;
            ends_well(&mut bench, &format!("{kind} at {profile:?}, {late:?} late"), there).await;
        });
    }
}
