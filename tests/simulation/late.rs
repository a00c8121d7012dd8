//! A publication that comes late while what follows is slow: two faults at once, which no single one shows. What was
//! discarded meanwhile must not be published any more.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use jiff::SignedDuration;
use serde_json::json;
use testbed::memory_api::{Fault, Id};

use super::{
    bench::{Bench, Mishap, ready, run},
    key_manager::{PROFILES, Profile},
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

async fn ready_key(profile: Profile) -> Bench {
    let mut bench = Bench::new(1, profile, profile);
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

#[test]
fn a_late_rotation_brings_back_no_secret_that_was_discarded() {
    let two = |profile: &Profile| !matches!(profile, Profile::OneSecret | Profile::GivenIdentity);
    for (profile, late) in PROFILES
        .into_iter()
        .filter(two)
        .flat_map(|p| delays().map(move |late| (p, late)))
    {
        run(async {
            let mut bench = ready_key(profile).await;
            bench.invariants.expect_overlap(SignedDuration::from_mins(10));
            slow_after_a_late_publication(&bench, late, "Update");
            bench.put_key("k", &json!({"rotation": {"overlap": "10m", "trigger": "two"}}));
            ends_well(&mut bench, &format!("{profile:?}, {late:?} late"), is_rotated).await;
        });
    }
}

#[test]
fn a_late_cut_or_replacement_brings_back_no_secret_that_was_discarded() {
    for (profile, late) in PROFILES.into_iter().flat_map(|p| delays().map(move |late| (p, late))) {
        for strategy in ["InPlace", "ReplaceClient"] {
            if profile == Profile::GivenIdentity && strategy == "InPlace" {
                continue;
            }
            run(async {
                let mut bench = ready_key(profile).await;
                slow_after_a_late_publication(&bench, late, "Update");
                let rotation = json!({"overlap": "10m", "trigger": "two", "strategy": strategy});
                bench.put_key("k", &json!({"rotation": rotation}));
                ends_well(
                    &mut bench,
                    &format!("{strategy} at {profile:?}, {late:?} late"),
                    is_rotated,
                )
                .await;
            });
        }
    }
}

#[test]
fn a_secret_that_is_made_anew_late_brings_back_none_that_was_discarded() {
    for (profile, late) in PROFILES.into_iter().flat_map(|p| delays().map(move |late| (p, late))) {
        run(async {
            let mut bench = ready_key(profile).await;
            slow_after_a_late_publication(&bench, late, "Create");
            bench.api.edit(|store| store.delete(&Id::secret("team", "k")));
            let there = |bench: &Bench| ready(&bench.key("k")) && bench.get(&Id::secret("team", "k")).is_some();
            bench.pass(Duration::from_secs(1)).await;
            ends_well(&mut bench, &format!("{profile:?}, {late:?} late"), there).await;
        });
    }
}
