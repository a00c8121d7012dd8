//! Many keys: restarts, outages, refused credentials, and what one change costs.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use testbed::memory_api::{Fault, Id};
use tokio::time::sleep;

use super::{
    super::{
        bench::{Bench, ready},
        profile::{PROFILES, Profile},
        record::Asked,
        runs::run,
        schedule::Mishap,
    },
    SOON, counts, outside, rotated,
};

const FLEET: usize = 200;
/// The most calls with a refused credential in an hour: the first, and probes with pauses of one minute doubled to ten.
const REFUSED_AN_HOUR: usize = 10;
/// The most calls in an outage: those under way when it begins, and a probe each second or two.
const OUTAGE_CALLS: usize = 60;
/// The most probes that hang at the same time: one each two seconds, for half a minute.
const HANGING: usize = 16;
/// How soon all is well when a key manager is back.
const BACK: Duration = Duration::from_secs(3);

/// Servers with keys that have never been ready, since this happens to every call.
fn waiting(profile: Profile, fault: Fault) -> Bench {
    let mut bench = Bench::new(1, profile, profile);
    bench.api.inspect(|_| {});
    bench
        .record
        .rule(move |asked| asked.call.then_some(Mishap::Lose(fault)));
    bench.start();
    bench.put_fleet(FLEET, &json!({}));
    bench
}

#[test]
fn story_13_a_wrong_admin_credential_costs_few_calls_whatever_the_number_of_keys_and_heals_at_once() {
    for profile in outside() {
        run(async {
            let bench = waiting(profile, Fault::Refuse(401));
            sleep(Duration::from_hours(1)).await;
            let (_, _, calls) = counts(&bench.record.since(0));
            assert!((1..=REFUSED_AN_HOUR).contains(&calls), "{profile:?}: {calls} calls");
            let asked = bench.record.len();
            bench.record.no_rule();
            // The next probe finds that it is right again.
            let calls = |bench: &Bench| counts(&bench.record.since(asked)).2;
            for _ in 0..600 * 10 {
                if calls(&bench) > 0 {
                    break;
                }
                sleep(Duration::from_millis(100)).await;
            }
            bench.fleet_is_ready(FLEET, BACK).await;
            assert_eq!(
                (bench.clients().len(), bench.named_orphans()),
                (FLEET, 0),
                "{profile:?}"
            );
        });
    }
}

#[test]
fn story_13_a_key_manager_that_is_edited_is_tried_at_once() {
    run(async {
        let bench = waiting(Profile::TwoSecrets, Fault::Refuse(401));
        sleep(Duration::from_hours(1)).await;
        bench.record.no_rule();
        bench.api.edit(|store| {
            store.put(
                &Id::ours("clusterkeymanagers", "", "first"),
                json!({"spec": {"default": true, "resident": {"accessTokenLifetime": "11h"}}}),
            );
        });
        bench.fleet_is_ready(FLEET, BACK).await;
    });
}

fn spec(profile: Profile) -> Value {
    let rotation = json!({"interval": "720h", "strategy": super::uncut(profile)});
    json!({"accessTokens": [{"name": "t"}], "rotation": rotation})
}

/// What was asked, but for Leases.
fn but_leases(asked: Vec<Asked>) -> Vec<String> {
    let whats = asked.into_iter().map(|asked| asked.what);
    whats.filter(|what| !what.contains(" leases ")).collect()
}

#[test]
fn story_14_a_restart_or_a_change_of_leader_renews_and_rotates_nothing() {
    for profile in PROFILES {
        run(async {
            let mut bench = Bench::with_fleet(profile, FLEET, &spec(profile)).await;
            sleep(Duration::from_mins(1)).await;
            let asked = bench.record.len();
            bench.kill();
            sleep(Duration::from_secs(20)).await;
            bench.start();
            sleep(Duration::from_mins(2)).await;
            let restarted = bench.record.since(asked);
            assert_eq!(restarted.last().map(|asked| asked.process), Some(2));
            let (writes, _, calls) = counts(&restarted);
            assert_eq!((writes, calls), (0, 0), "{profile:?}: {restarted:?}");
            // Another one waits, and takes over.
            let old = bench.set_aside();
            bench.start();
            sleep(Duration::from_mins(1)).await;
            drop(old);
            sleep(Duration::from_mins(2)).await;
            let changed = bench.record.since(asked);
            assert_eq!(changed.last().map(|asked| asked.process), Some(3));
            let (writes, _, calls) = counts(&changed);
            assert_eq!((writes, calls), (0, 0), "{profile:?}");
        });
    }
}

#[test]
fn story_14_renewals_stay_spread_after_a_restart() {
    run(async {
        let profile = Profile::TwoSecrets;
        let mut bench = Bench::with_fleet(profile, FLEET, &spec(profile)).await;
        bench.kill();
        bench.lease = super::LONG_LEASE;
        sleep(Duration::from_hours(4)).await;
        let asked = bench.record.len();
        bench.start();
        let mut most = 0;
        let mut before = asked;
        for _ in 0..6 * 5 {
            sleep(Duration::from_mins(10)).await;
            most = most.max(counts(&bench.record.since(before)).2);
            before = bench.record.len();
        }
        assert_eq!(counts(&bench.record.since(asked)).2, FLEET, "each is renewed once");
        assert!(most <= FLEET / 4, "{most} of {FLEET} within ten minutes");
    });
}

/// What is asked after a change until all is quiet, sorted; names of what is asked for are cut off.
async fn cost(bench: &Bench, change: impl FnOnce(&Bench)) -> Vec<String> {
    let asked = bench.record.len();
    change(bench);
    sleep(Duration::from_mins(5)).await;
    let mut all: Vec<_> = but_leases(bench.record.since(asked))
        .into_iter()
        .map(|what| {
            what.rsplit_once([' ', '/'])
                .map_or(what.clone(), |(what, _)| what.to_owned())
        })
        .collect();
    all.sort();
    all
}

/// The costs of a new secret, of an entry that somebody changed, of a new key and of one that goes, among so many.
async fn costs(profile: Profile, keys: usize) -> Vec<Vec<String>> {
    let bench = Bench::with_fleet(profile, keys, &rotated(profile, "one")).await;
    sleep(Duration::from_mins(1)).await;
    let mut costs = vec![];
    let rotate = |bench: &Bench| bench.put_key("k-3", &rotated(profile, "two"));
    costs.push(cost(&bench, rotate).await);
    costs.push(cost(&bench, |bench| bench.tamper("k-4")).await);
    costs.push(cost(&bench, |bench| bench.put_key("new", &rotated(profile, "one"))).await);
    costs.push(cost(&bench, |bench| bench.delete_key("k-5")).await);
    assert!(costs.iter().all(|cost| !cost.is_empty()));
    assert_eq!(bench.ready_keys(), keys);
    costs
}

#[test]
fn story_30_what_a_change_costs_does_not_grow_with_the_number_of_keys() {
    for profile in [Profile::TwoSecrets, Profile::Resident] {
        let few = run(costs(profile, 10));
        let many = run(costs(profile, 1000));
        assert_eq!(few, many, "{profile:?}");
    }
}

/// What somebody does.
type Act = Box<dyn FnOnce(&Bench)>;

#[test]
fn story_31_what_the_operator_writes_gives_it_no_more_to_do() {
    for profile in PROFILES {
        run(async {
            let lasting = move |trigger: &str| {
                let mut spec = rotated(profile, trigger);
                spec["rotation"]["overlap"] = "24h".into();
                spec
            };
            let mut bench = Bench::with_key(profile, &lasting("one")).await;
            let application = |name: &str| {
                let spec = json!({"spec": {"displayName": name}});
                let id = Id::ours("applications", "team", "shop");
                move |bench: &Bench| bench.api.edit(|store| store.put(&id, spec))
            };
            let acts: [Act; 6] = [
                Box::new(|bench| bench.put_key("other", &json!({}))),
                Box::new(|bench| bench.put_key("other", &json!({"accessTokens": [{"name": "t"}]}))),
                Box::new(move |bench| bench.put_key("k", &lasting("two"))),
                Box::new(application("One")),
                Box::new(|bench| bench.api.drop_watches()),
                Box::new(|bench| bench.api.expire_watches()),
            ];
            for (n, act) in acts.into_iter().enumerate() {
                bench.pass(Duration::from_secs(10)).await;
                let asked = bench.record.len();
                act(&bench);
                bench.pass(Duration::from_secs(10)).await;
                let done = bench.record.len();
                let took = counts(&bench.record.since(asked));
                let most = if n >= 4 { (0, 10, 0) } else { (10, 16, 6) };
                assert!(
                    took.0 <= most.0 && took.1 <= most.1 && took.2 <= most.2,
                    "{profile:?}, act {n}: {:?}",
                    but_leases(bench.record.since(asked))
                );
                bench.pass(Duration::from_mins(5)).await;
                let more = but_leases(bench.record.since(done));
                assert!(more.is_empty(), "{profile:?}, act {n}: {more:?}");
            }
            // A new key: finalizer, Secret and status; a record or a note of the attempt where there is one.
            let asked = bench.record.len();
            bench.put_key("last", &json!({}));
            bench.becomes("ready", |bench| ready(&bench.key("last"))).await;
            bench.pass(Duration::from_secs(10)).await;
            let (writes, _, calls) = counts(&bench.record.since(asked));
            let most = match profile {
                Profile::Resident => (4, 0),
                _ if profile.given() => (5, 2),
                _ => (3, 2),
            };
            let all = but_leases(bench.record.since(asked));
            assert_eq!((writes, calls), most, "{profile:?}: {all:?}");
        });
    }
}

/// An outage, and what follows when it is over; so many keys may wait for a call that hangs.
async fn outage(profile: Profile, fault: Fault, time: Duration, hanging: usize) {
    let bench = waiting(profile, fault);
    sleep(time).await;
    let asked = bench.record.since(0);
    let calls = counts(&asked).2;
    assert!(
        (1..=OUTAGE_CALLS).contains(&calls),
        "{profile:?} {fault:?}: {calls} calls"
    );
    let (writes, reads, _) = counts(&asked);
    assert!(
        writes + reads < 12 * FLEET,
        "{profile:?} {fault:?}: {writes} writes, {reads} reads"
    );
    assert_eq!(bench.ready_keys(), 0);
    bench.record.no_rule();
    bench.fleet_is_ready(FLEET - hanging, BACK).await;
    bench.fleet_is_ready(FLEET, Duration::from_mins(1)).await;
    let named = bench.named_orphans();
    assert!(bench.clients().len() <= FLEET + named, "{profile:?} {fault:?}");
    // Where the key manager chooses, nobody can know what became of those calls.
    let most = if profile.given() { calls } else { 0 };
    assert!(named <= most, "{profile:?} {fault:?}: {named} are named");
}

#[test]
fn story_32_all_keys_are_ready_within_seconds_when_a_key_manager_is_back() {
    for profile in outside() {
        // What a call without an answer was for may still happen: that is waited for, by the keys of the last probes.
        let unsettled = profile.facts().settles as usize / 2 + 1;
        // A connection that breaks, and one in which nobody answers.
        run(outage(profile, Fault::LoseRequest, Duration::from_secs(30), unsettled));
        let hangs = Fault::Delay(Duration::from_hours(1));
        run(outage(profile, hangs, Duration::from_secs(45), HANGING + unsettled));
    }
}

#[test]
fn story_33_a_restart_asks_for_nothing_of_a_single_key() {
    for profile in PROFILES {
        let restart = async |keys: usize| {
            let mut bench = Bench::with_fleet(profile, keys, &spec(profile)).await;
            sleep(Duration::from_mins(1)).await;
            let asked = bench.record.len();
            bench.kill();
            sleep(Duration::from_secs(20)).await;
            let began = bench.now();
            bench.start();
            sleep(Duration::from_mins(2)).await;
            let all = bench.record.since(asked);
            let late = |asked: &Asked| asked.at > began + SignedDuration::from_secs(30);
            let late: Vec<_> = all.iter().filter(|asked| late(asked)).cloned().collect();
            assert!(but_leases(late).is_empty(), "{profile:?}: it is quiet soon");
            let mut all = but_leases(all);
            all.sort();
            all
        };
        let (few, many) = (run(restart(5)), run(restart(FLEET)));
        assert_eq!(few, many, "{profile:?}");
        let of_keys = |what: &&String| what.contains("applicationkeys team/") || what.contains("secrets team/");
        assert_eq!(few.iter().find(of_keys), None, "{profile:?}");
    }
}

#[test]
fn a_fleet_is_made_soon() {
    // What the stories of this file take for granted.
    run(async {
        let bench = Bench::with_fleet(Profile::TwoSecrets, FLEET, &json!({})).await;
        assert!(bench.fleet_is_ready(FLEET, SOON).await < Duration::from_secs(1));
    });
}
