//! Clients that somebody changes or deletes at the key manager, where the operator is asked to look for that.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;
use testbed::memory_api::Id;

use super::{
    super::{
        bench::{Bench, ready},
        runs::run,
    },
    outside,
};

/// Longer than from one comparison to the next.
const LOOKED: Duration = Duration::from_mins(61);

fn drift(bench: &Bench, policy: &str) {
    let spec = json!({
        "default": true, "resident": {"accessTokenLifetime": "12h"}, "drift": {"interval": "1h", "policy": policy},
    });
    let manager = Id::ours("clusterkeymanagers", "", "first");
    bench.api.edit(|store| store.put(&manager, json!({"spec": spec})));
}

fn drifted(bench: &Bench) -> bool {
    bench.key("k")["status"]["conditions"].to_string().contains("Drifted")
}

#[test]
fn what_somebody_changed_or_deleted_is_put_right() {
    for profile in outside() {
        run(async {
            let mut bench = Bench::with_key(profile, &json!({})).await;
            drift(&bench, "Correct");
            bench.pass(Duration::from_mins(1)).await;
            let before = bench.credential("k");
            bench.servers.0["first"].meddle(&before.0, false);
            bench.pass(LOOKED).await;
            assert!(
                !bench.servers.0["first"].is_meddled_with(&before.0),
                "{profile:?}\n{}",
                bench.trace()
            );
            assert_eq!(bench.credential("k"), before, "nothing else is touched");
            bench.servers.0["first"].meddle(&before.0, true);
            bench.pass(LOOKED + Duration::from_mins(2)).await;
            let after = bench.credential("k");
            assert!(bench.works(&after), "{profile:?}\n{}", bench.trace());
            assert!(ready(&bench.key("k")) && !drifted(&bench));
        });
    }
}

#[test]
fn what_is_only_to_be_reported_is_said_and_left() {
    for profile in outside() {
        run(async {
            let mut bench = Bench::with_key(profile, &json!({})).await;
            drift(&bench, "Report");
            bench.pass(Duration::from_mins(1)).await;
            let client = bench.credential("k").0;
            bench.servers.0["first"].meddle(&client, false);
            bench.pass(LOOKED).await;
            let server = bench.servers.0["first"].clone();
            assert!(
                drifted(&bench) && server.is_meddled_with(&client),
                "{profile:?}\n{}",
                bench.trace()
            );
            assert!(ready(&bench.key("k")));
        });
    }
}

#[test]
fn a_restart_makes_no_comparison_due() {
    for profile in outside() {
        run(async {
            let mut bench = Bench::with_key(profile, &json!({})).await;
            drift(&bench, "Correct");
            bench.pass(LOOKED).await;
            let server = bench.servers.0["first"].clone();
            let made = server.comparisons.load(Ordering::SeqCst);
            assert_eq!(made, 1, "{profile:?}: once an hour");
            // Out of work over several intervals, and back.
            bench.kill();
            bench.pass_alone(Duration::from_hours(5)).await;
            let begin = bench.now();
            bench.start();
            bench.pass(Duration::from_mins(1)).await;
            let next = appkeys::plan::drift::next_time("team", "k", jiff::SignedDuration::from_hours(1), begin);
            let soon = next <= begin + jiff::SignedDuration::from_mins(1);
            let expected = made + usize::from(soon);
            assert_eq!(server.comparisons.load(Ordering::SeqCst), expected, "{profile:?}");
        });
    }
}
