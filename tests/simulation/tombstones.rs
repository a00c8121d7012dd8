//! A key goes although its key manager gives no answer, and what it leaves is cleaned up when there is one again.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::memory_api::{Fault, Id};

use super::{
    bench::{Bench, ready},
    profile::{PROFILES, Profile},
    runs::{run, side_by_side},
    schedule::Mishap,
};

const MISHAPS: [Mishap; 4] = [
    Mishap::DieBefore,
    Mishap::DieAfter,
    Mishap::Lose(Fault::LoseAnswer),
    Mishap::Lose(Fault::Late(Duration::from_millis(2500))),
];

/// Profiles whose server can be switched off.
fn servers() -> impl Iterator<Item = Profile> {
    PROFILES.into_iter().filter(|profile| *profile != Profile::Resident)
}

fn key() -> Id {
    Id::ours("applicationkeys", "team", "k")
}

fn plain() -> Value {
    json!({"accessTokens": [{"name": "t"}], "rotation": {"overlap": "1m"}})
}

fn is_gone(bench: &Bench) -> bool {
    bench.get(&key()).is_none()
}

fn tombstones(bench: &Bench) -> usize {
    let store = bench.api.store();
    let of_keys = |(_, secret): &(&Id, &Value)| secret["type"] == "appkeys.dev/key-state";
    store.all("secrets").filter(of_keys).count()
}

fn events(bench: &Bench, reason: &str) -> usize {
    let store = bench.api.store();
    store
        .all("events")
        .filter(|(_, event)| event["reason"] == reason)
        .count()
}

/// A ready key whose key manager is switched off, and which is deleted then.
async fn deleted_in_an_outage(profile: Profile, spec: &Value) -> Bench {
    let mut bench = Bench::new(1, profile, profile);
    bench.put_key("k", spec);
    bench.start();
    assert!(
        bench
            .until(Duration::from_mins(5), |bench| ready(&bench.key("k")))
            .await,
        "{profile:?}"
    );
    bench.servers.0["first"].set_down(true);
    bench.api.edit(|store| store.delete(&key()));
    bench
}

#[test]
fn a_deletion_waits_for_its_deadline_and_no_longer() {
    for profile in servers() {
        run(async {
            let mut bench = deleted_in_an_outage(profile, &plain()).await;
            assert!(
                !bench.until(Duration::from_mins(59), is_gone).await,
                "{profile:?}: before the deadline"
            );
            assert!(
                bench.until(Duration::from_mins(6), is_gone).await,
                "{profile:?}\n{}",
                bench.trace()
            );
            assert!(
                bench.get(&Id::secret("team", "k")).is_none(),
                "the Secret goes with the key"
            );
            assert_eq!((bench.clients().len(), tombstones(&bench)), (1, 1), "{profile:?}");
            assert!(events(&bench, "ClientLeft") > 0, "an event names what is left");
            bench.servers.0["first"].set_down(false);
            let clean = |bench: &Bench| bench.clients().is_empty() && tombstones(bench) == 0;
            assert!(
                bench.until(Duration::from_mins(6), clean).await,
                "{profile:?}\n{}",
                bench.trace()
            );
        });
    }
}

#[test]
fn without_an_operator_that_tried_three_deadlines_are_enough() {
    run(async {
        let mut bench = deleted_in_an_outage(Profile::TwoSecrets, &plain()).await;
        bench.kill();
        bench.pass_alone(Duration::from_hours(3)).await;
        assert!(bench.until(Duration::from_mins(1), is_gone).await, "{}", bench.trace());
        assert_eq!(tombstones(&bench), 1);
    });
}

#[test]
fn a_new_key_of_the_name_does_not_wait_and_gets_another_client() {
    for profile in servers() {
        run(async {
            let mut bench = deleted_in_an_outage(profile, &plain()).await;
            assert!(bench.until(Duration::from_mins(66), is_gone).await, "{profile:?}");
            let spec = json!({"keyManagerRef": {"name": "second"}, "accessTokens": [{"name": "t"}]});
            bench.put_key("k", &spec);
            let is_ready = |bench: &Bench| ready(&bench.key("k"));
            assert!(
                bench.until(Duration::from_mins(1), is_ready).await,
                "{profile:?}\n{}",
                bench.trace()
            );
            let pending = bench.key("k")["status"]["conditions"].to_string();
            assert!(pending.contains("CleanupPending"), "{pending}");
            bench.servers.0["first"].set_down(false);
            let clean = |bench: &Bench| {
                let conditions = bench.key("k")["status"]["conditions"].to_string();
                bench.clients().len() == 1 && ready(&bench.key("k")) && !conditions.contains("CleanupPending")
            };
            assert!(
                bench.until(Duration::from_mins(6), clean).await,
                "{profile:?}\n{}",
                bench.trace()
            );
            assert_eq!(bench.servers.0["second"].ids().len(), 1, "{profile:?}");
            assert!(bench.invariants.broken().is_empty(), "{:?}", bench.invariants.broken());
        });
    }
}

#[test]
fn a_chosen_client_id_is_free_only_when_the_old_client_is_gone() {
    run(async {
        let spec = json!({"clientId": "chosen"});
        let mut bench = Bench::new(1, Profile::TwoSecrets, Profile::TwoSecrets);
        bench.api.edit(|store| {
            let rule = json!([{"namespaceSelector": {}, "clientIdPrefix": "chosen"}]);
            for name in ["first", "second"] {
                let spec = json!({"default": name == "first", "resident": {}, "access": rule});
                store.put(&Id::ours("clusterkeymanagers", "", name), json!({"spec": spec}));
            }
        });
        bench.put_key("k", &spec);
        bench.start();
        let is_ready = |bench: &Bench| ready(&bench.key("k"));
        assert!(
            bench.until(Duration::from_mins(1), is_ready).await,
            "{:#}",
            bench.key("k")
        );
        bench.servers.0["first"].set_down(true);
        bench.api.edit(|store| store.delete(&key()));
        assert!(bench.until(Duration::from_mins(66), is_gone).await, "{}", bench.trace());
        bench.put_key("k", &spec);
        let waits = |bench: &Bench| {
            bench.key("k")["status"]["conditions"]
                .to_string()
                .contains("CleanupPending")
        };
        assert!(bench.until(Duration::from_mins(1), waits).await, "{:#}", bench.key("k"));
        assert!(!ready(&bench.key("k")));
        bench.servers.0["first"].set_down(false);
        assert!(bench.until(Duration::from_mins(6), is_ready).await, "{}", bench.trace());
        assert_eq!(bench.clients(), ["chosen"]);
    });
}

/// What is written when a key is given up, and when its client is cleaned up: one fault at each.
#[test]
fn any_single_fault_at_any_write_of_it_ends_well() {
    let play = |profile: Profile, mishap: Option<(usize, Mishap)>| {
        run(async {
            let mut bench = deleted_in_an_outage(profile, &plain()).await;
            bench.kill();
            bench.pass_alone(Duration::from_hours(3)).await;
            bench.start_with(mishap, None);
            let gone = bench.until(Duration::from_hours(4), is_gone).await;
            bench.servers.0["first"].set_down(false);
            let clean = |bench: &Bench| bench.clients().is_empty() && tombstones(bench) == 0;
            let good = bench.until(Duration::from_mins(12), clean).await;
            let writes = bench.writes();
            let failure = format!(
                "{profile:?} with {mishap:?}: gone {gone}, clean {good}\n{}",
                bench.trace()
            );
            if gone && good { Ok(writes) } else { Err(failure) }
        })
    };
    let mut runs = vec![];
    for profile in servers() {
        let writes = play(profile, None).unwrap();
        assert!(
            writes > 3,
            "{profile:?} writes a tombstone, and takes Secrets, finalizer, client and tombstone away"
        );
        runs.extend((0..writes).flat_map(|at| MISHAPS.map(|mishap| (profile, at, mishap))));
    }
    let failures = side_by_side(runs, |(profile, at, mishap)| play(profile, Some((at, mishap))).err());
    assert!(
        failures.is_empty(),
        "{} failed; the first: {}",
        failures.len(),
        failures[0]
    );
}

/// Promise: a namespace that goes takes the key manager's credential along, and the clients are deleted all the same.
#[test]
fn a_key_manager_that_goes_with_its_namespace_is_used_until_all_is_cleaned_up() {
    for profile in servers() {
        run(async {
            let mut bench = Bench::new(1, profile, profile);
            let manager = Id::ours("keymanagers", "team", "first");
            // The budget goes by the machine's clock, which stands still here.
            let limits = json!({"spec": {"limits": {"requestsPerSecond": 10000}}});
            bench.api.edit(|store| store.put(&manager, limits));
            let spec =
                json!({"keyManagerRef": {"kind": "KeyManager", "name": "first"}, "accessTokens": [{"name": "t"}]});
            bench.put_key("k", &spec);
            bench.start();
            let is_ready = |bench: &Bench| ready(&bench.key("k"));
            let made = bench.until(Duration::from_mins(5), is_ready).await;
            assert!(made, "{profile:?}\n{}", bench.trace());
            bench.servers.0["first"].set_down(true);
            bench.api.edit(|store| {
                store.delete(&key());
                store.delete(&manager);
            });
            let snapshots = |bench: &Bench| {
                let store = bench.api.store();
                let kept = |(_, secret): &(&Id, &Value)| secret["type"] == "appkeys.dev/key-manager-snapshot";
                store.all("secrets").filter(kept).count()
            };
            let both_gone = |bench: &Bench| is_gone(bench) && bench.get(&manager).is_none();
            assert!(
                bench.until(Duration::from_mins(70), both_gone).await,
                "{profile:?}\n{}",
                bench.trace()
            );
            assert_eq!((tombstones(&bench), snapshots(&bench)), (1, 1), "{profile:?}");
            // Another process knows nothing but what is kept.
            bench.kill();
            bench.start();
            bench.servers.0["first"].set_down(false);
            let clean = |bench: &Bench| bench.clients().is_empty() && tombstones(bench) == 0 && snapshots(bench) == 0;
            assert!(
                bench.until(Duration::from_mins(20), clean).await,
                "{profile:?}\n{}",
                bench.trace()
            );
        });
    }
}
