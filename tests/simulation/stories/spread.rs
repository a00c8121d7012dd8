//! When the keys of a fleet are rotated and renewed, and by whom.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use testbed::memory_api::{Fault, Id};
use tokio::time::sleep;

use super::{
    super::{
        bench::{Bench, LEASE, ready},
        profile::{PROFILES, Profile},
        record::Asked,
        runs::run,
        schedule::Mishap,
    },
    LONG_LEASE, SOON, time, uncut,
};

/// How often keys of a fleet have been rotated.
fn rotations(bench: &Bench) -> i64 {
    let store = bench.api.store();
    let version = |key: &Value| key["status"]["credential"]["version"].as_i64().unwrap_or(1);
    store.all("applicationkeys").map(|(_, key)| version(key) - 1).sum()
}

#[test]
fn story_06_rotation_switched_on_for_an_old_fleet_is_spread_over_the_interval() {
    const FLEET: usize = 100;
    for profile in [Profile::Resident, Profile::OidcOpen] {
        run(async {
            let mut bench = Bench::new(1, profile, profile);
            bench.api.inspect(|_| {});
            bench.lease = LONG_LEASE;
            bench.put_fleet(FLEET, &json!({}));
            bench.start();
            bench.fleet_is_ready(FLEET, SOON).await;
            bench.kill();
            sleep(Duration::from_hours(100 * 24)).await;
            bench.start();
            let rotation = json!({"interval": "48h", "overlap": "1h", "strategy": uncut(profile)});
            bench.put_fleet(FLEET, &json!({"rotation": rotation}));
            let mut most = 0;
            for hour in 0..54 {
                let before = rotations(&bench);
                sleep(Duration::from_hours(1)).await;
                most = most.max(rotations(&bench) - before);
                if hour == 10 {
                    // An edit that has nothing to do with it puts nothing off.
                    bench.put_fleet(
                        FLEET,
                        &json!({"rotation": rotation, "secret": {"labels": {"edited": "yes"}}}),
                    );
                }
            }
            assert!(most <= 10, "{profile:?}: {most} of {FLEET} within an hour");
            assert!(
                rotations(&bench) >= 100,
                "{profile:?}: {} rotations although an interval is over",
                rotations(&bench)
            );
        });
    }
}

#[test]
fn story_15_an_old_leader_without_a_way_to_the_api_server_stops_before_its_lease_can_be_taken() {
    /// What a process that lost its way cannot do any more.
    type Lost = fn(&Asked) -> bool;
    let ways: [Lost; 2] = [|asked| asked.what.contains(" leases "), |asked| !asked.call];
    // How far the clock of the next leader is off, in minutes: only its own steady one counts.
    let clocks = [0, 10, -10];
    for ((profile, lost), off) in PROFILES
        .into_iter()
        .flat_map(|profile| ways.map(|lost| (profile, lost)))
        .flat_map(|way| clocks.map(|off| (way, off)))
    {
        run(async {
            let mut bench = Bench::with_key(profile, &json!({})).await;
            bench.pass(Duration::from_secs(4)).await;
            let cut = bench.now();
            bench.record.rule(move |asked| {
                let lost = asked.process == 1 && lost(asked);
                lost.then_some(Mishap::Lose(Fault::LoseRequest))
            });
            let old = bench.set_aside();
            bench.clock_is_off = SignedDuration::from_mins(off);
            bench.start();
            // There is always something to do, for whoever thinks that it leads.
            for n in 0..80 {
                bench.api.edit(|store| {
                    let spec = json!({"spec": {"displayName": format!("Shop {n}")}});
                    store.put(&Id::ours("applications", "team", "shop"), spec);
                });
                bench.pass_alone(Duration::from_millis(500)).await;
            }
            bench.becomes("ready", |bench| ready(&bench.key("k"))).await;
            drop(old);
            let asked = bench.record.since(0);
            let lease = |asked: &&Asked| asked.writes && asked.what.contains(" leases ");
            let renewed = asked.iter().filter(|asked| asked.process == 1 && asked.at <= cut);
            let renewed = renewed.filter(lease).map(|asked| asked.at).max().unwrap();
            let taken = asked.iter().filter(|asked| asked.process == 2).find(lease).unwrap().at;
            let changes = |process| {
                let all = asked.iter().filter(move |asked| asked.process == process);
                all.filter(|asked| asked.call && asked.writes || asked.is_write())
                    .map(|asked| asked.at)
            };
            let (last, first) = (changes(1).max().unwrap(), changes(2).min().unwrap());
            let margin = SignedDuration::from_secs(3);
            let ends = renewed + SignedDuration::try_from(LEASE).unwrap();
            let tried = asked.iter().filter(|asked| asked.process == 1 && asked.at > cut);
            assert!(tried.count() > 20, "{profile:?}: the old leader was busy");
            assert!(
                last <= ends - margin,
                "{profile:?}: it wrote at {last}, its lease ends at {ends}"
            );
            assert!(ends <= taken, "{profile:?}: taken at {taken} before its end at {ends}");
            assert!(last + margin <= first, "{profile:?}: {last} and {first} are too close");
            bench.is_sound();
        });
    }
}

#[test]
fn story_16_a_rotation_by_time_comes_although_nothing_else_happens_for_days() {
    let interval = SignedDuration::from_hours(72);
    for (profile, restart) in PROFILES.into_iter().flat_map(|p| [(p, false), (p, true)]) {
        run(async {
            let mut bench = Bench::new(1, profile, profile);
            bench.lease = LONG_LEASE;
            bench.start();
            let rotation = json!({"interval": "72h", "overlap": "1h", "strategy": uncut(profile)});
            bench.put_key("k", &json!({"rotation": rotation}));
            bench.becomes("ready", |bench| ready(&bench.key("k"))).await;
            for version in 1..3 {
                let credential = bench.key("k")["status"]["credential"].clone();
                assert_eq!(credential["version"], version, "{profile:?}");
                let issued = time(&credential["issuedAt"]).unwrap();
                let due = issued + interval;
                assert_eq!(time(&credential["nextRotationTime"]), Some(due), "{profile:?}");
                if restart {
                    bench.kill();
                    bench.pass_alone(Duration::from_hours(30)).await;
                    bench.start();
                }
                let left = due.duration_since(bench.now()) - SignedDuration::from_mins(1);
                bench.pass_alone(left.unsigned_abs()).await;
                assert_eq!(
                    bench.key("k")["status"]["credential"]["version"],
                    version,
                    "{profile:?}: not before"
                );
                bench.pass_alone(Duration::from_mins(2)).await;
            }
            bench.is_sound();
        });
    }
}

/// The end of the access token that a workload reads now.
fn token_end(bench: &Bench, name: &str) -> Option<jiff::Timestamp> {
    let entries = bench.entries("k-tokens");
    let end = entries.get(&format!("{name}.expires-at"))?.parse().ok()?;
    // A token of the resident key manager says itself when it ends.
    let token = entries.get(&format!("{name}.access-token"))?;
    let own = token.split('.').nth(1).and_then(|part| {
        let json = data_encoding::BASE64URL_NOPAD.decode(part.as_bytes()).ok()?;
        let claims: Value = serde_json::from_slice(&json).ok()?;
        jiff::Timestamp::from_second(claims["exp"].as_i64()?).ok()
    });
    Some(own.map_or(end, |own| own.min(end)))
}

#[test]
fn story_23_a_workload_finds_a_valid_token_at_every_minute_of_two_days() {
    for profile in PROFILES {
        let two_days = 2 * 24 * 60;
        let hours = if profile == Profile::Resident {
            two_days
        } else {
            12 * 60
        };
        for (life, minutes) in [(2, 60), (10, 3 * 60), (60, hours), (12 * 60, two_days)] {
            run(async {
                let mut bench = Bench::new(1, profile, profile);
                bench.lease = LONG_LEASE;
                bench.api.inspect(|_| {});
                let spec = json!({"default": true, "resident": {"accessTokenLifetime": format!("{life}m")}});
                bench
                    .api
                    .edit(|store| store.put(&Id::ours("clusterkeymanagers", "", "first"), json!({"spec": spec})));
                if let Some(server) = bench.servers.0.get("first") {
                    *server.life.lock().unwrap() = SignedDuration::from_mins(life);
                }
                let tokens = json!([
                    {"name": "plain"},
                    {"name": "early", "renewBefore": format!("{}m", life / 2)},
                    {"name": "late", "renewBefore": "65s"},
                    {"name": "absurd", "renewBefore": "1000h"},
                ]);
                bench.start();
                bench.put_key("k", &json!({"accessTokens": tokens}));
                bench.becomes("ready", |bench| ready(&bench.key("k"))).await;
                for minute in 0..minutes {
                    bench.pass_alone(Duration::from_mins(1)).await;
                    for name in ["plain", "early", "late", "absurd"] {
                        let end = token_end(&bench, name);
                        assert!(
                            end.is_some_and(|end| end > bench.now()),
                            "{profile:?}: token {name} of {life} minutes ended at {end:?}, minute {minute}"
                        );
                    }
                }
            });
        }
    }
}
