//! A secret that is lost, cut off, rotated twice, or fought over.

use std::time::Duration;

use appkeys::key_manager::Overlap;
use jiff::SignedDuration;
use serde_json::{Value, json};
use testbed::memory_api::{Fault, Id};

use super::{
    super::{
        bench::{Bench, ready},
        profile::{PROFILES, Profile},
        record::Asked,
        runs::run,
        schedule::Mishap,
    },
    counts, outside, reason, rotated, uncut,
};

/// Whether a write gives a client a secret that is not published yet, or makes a client that has one.
fn gives_secret(profile: Profile) -> fn(&Asked) -> bool {
    match profile {
        Profile::Resident => |asked| asked.what.starts_with("Update secrets appkeys/appkeys-client-"),
        _ if uncut(profile) == "Overlap" => |asked| asked.what.starts_with("add secret"),
        _ => |asked| asked.what.starts_with("register"),
    }
}

#[test]
fn story_01_a_client_whose_secret_cannot_be_published_is_visibly_not_ready_and_heals() {
    let refusals = [403, 422, 500].map(Fault::Refuse);
    for (profile, refusal) in PROFILES
        .into_iter()
        .flat_map(|profile| refusals.map(|fault| (profile, fault)))
    {
        run(async {
            let mut bench = Bench::new(1, profile, profile);
            bench.record.rule(move |asked| {
                let publishes = asked.what == "Create secrets team/";
                publishes.then_some(Mishap::Lose(refusal))
            });
            bench.start();
            bench.put_key("k", &json!({}));
            bench.pass(Duration::from_mins(1)).await;
            let made = bench.clients();
            assert_eq!(made.len(), 1, "{profile:?}: the client was made");
            let ever_ready = bench.api.store().history("applicationkeys").any(|(_, key)| ready(key));
            assert!(!ever_ready, "{profile:?}: nothing was published");
            if refusal != Fault::Refuse(500) {
                let why = reason(&bench.key("k"), "Ready", "False");
                assert_eq!(why.as_deref(), Some("ApiServerError"), "{profile:?}: people see why");
            }
            bench.record.no_rule();
            // At most one pause between two tries.
            let healed = bench
                .until(Duration::from_mins(6), |bench| ready(&bench.key("k")))
                .await;
            assert!(healed, "{profile:?} {refusal:?}\n{}", bench.trace());
            assert_eq!((bench.clients(), bench.named_orphans()), (made, 0), "{profile:?}");
            assert!(bench.works(&bench.credential("k")), "{profile:?}");
            bench.is_sound();
        });
    }
}

#[test]
fn story_02_a_refusal_of_the_operators_own_credential_is_never_taken_for_a_client_that_is_gone() {
    for profile in outside() {
        run(async {
            let mut bench = Bench::with_key(profile, &json!({})).await;
            bench.pass(Duration::from_secs(5)).await;
            let (before, clients) = (bench.credential("k"), bench.clients());
            bench
                .record
                .rule(|asked| asked.call.then_some(Mishap::Lose(Fault::Refuse(401))));
            let asked = bench.record.len();
            // The client is to be told a new name.
            bench.api.edit(|store| {
                store.put(
                    &Id::ours("applications", "team", "shop"),
                    json!({"spec": {"displayName": "New"}}),
                );
            });
            bench.pass(Duration::from_secs(50)).await;
            let (_, _, calls) = counts(&bench.record.since(asked));
            assert_eq!(calls, 1, "{profile:?}: the one that was refused");
            assert!(
                reason(&bench.key("k"), "Ready", "True").is_some(),
                "{profile:?}: its secret works"
            );
            let why = reason(&bench.key("k"), "UpToDate", "False");
            assert_eq!(why.as_deref(), Some("CredentialsRejected"), "{profile:?}");
            bench.pass(Duration::from_hours(1)).await;
            let tried = bench.record.since(asked);
            assert!(counts(&tried).2 <= 10, "{profile:?}: {} calls", counts(&tried).2);
            assert!(
                tried.iter().all(|asked| !asked.what.starts_with("register")),
                "{profile:?}"
            );
            bench.record.no_rule();
            let healed = bench
                .until(Duration::from_mins(11), |bench| ready(&bench.key("k")))
                .await;
            assert!(healed, "{profile:?}\n{}", bench.trace());
            assert_eq!(bench.credential("k"), before, "{profile:?}");
            assert_eq!((bench.clients(), bench.named_orphans()), (clients, 0), "{profile:?}");
            bench.is_sound();
        });
    }
}

#[test]
fn story_02_a_registration_that_was_refused_leaves_nothing_to_look_for() {
    run(async {
        let mut bench = Bench::new(1, Profile::OidcOpen, Profile::OidcOpen);
        bench
            .record
            .rule(|asked| asked.call.then_some(Mishap::Lose(Fault::Refuse(401))));
        bench.start();
        bench.put_key("k", &json!({}));
        bench.pass(Duration::from_mins(20)).await;
        bench.record.no_rule();
        let healed = bench
            .until(Duration::from_mins(11), |bench| ready(&bench.key("k")))
            .await;
        assert!(healed, "{}", bench.trace());
        assert_eq!(
            (bench.clients().len(), bench.named_orphans()),
            (1, 0),
            "{}",
            bench.trace()
        );
    });
}

#[test]
fn story_03_the_old_secret_works_when_a_process_dies_between_new_secret_and_publication() {
    for profile in PROFILES {
        run(async {
            let mut bench = Bench::with_key(profile, &rotated(profile, "one")).await;
            bench.pass(Duration::from_secs(5)).await;
            bench.invariants.expect_overlap(SignedDuration::from_mins(10));
            let old = bench.credential("k");
            bench.record.once(gives_secret(profile), Mishap::DieAfter);
            let asked = bench.record.len();
            bench.put_key("k", &rotated(profile, "two"));
            bench
                .becomes("rotated", |bench| {
                    assert!(bench.works(&old), "{profile:?}\n{}", bench.trace());
                    ready(&bench.key("k")) && bench.credential("k") != old
                })
                .await;
            let processes = bench.record.since(asked).last().map(|asked| asked.process);
            assert_eq!(processes, Some(2), "{profile:?}: one died");
            let done = bench.now();
            let until = |bench: &Bench| {
                let over = bench.now() >= done + SignedDuration::from_mins(9);
                assert!(bench.works(&old) && bench.works(&bench.credential("k")), "{profile:?}");
                over
            };
            assert!(bench.until(Duration::from_mins(10), until).await);
            bench.pass(Duration::from_mins(5)).await;
            assert!(!bench.works(&old), "{profile:?}: the overlap is over");
            bench.is_sound();
        });
    }
}

/// Asks for a rotation: by a field of the spec, or by an annotation.
fn ask(bench: &Bench, profile: Profile, by_annotation: bool) {
    if by_annotation {
        let annotation = json!({"metadata": {"annotations": {"appkeys.dev/rotate": "now"}}});
        bench
            .api
            .edit(|store| store.put(&Id::ours("applicationkeys", "team", "k"), annotation));
    } else {
        bench.put_key("k", &rotated(profile, "two"));
    }
}

/// A rotation with a process that dies after a write; how many writes the process made that began it.
async fn rotation(profile: Profile, by_annotation: bool, dies_after: Option<usize>) -> usize {
    let mut bench = Bench::with_key(profile, &rotated(profile, "one")).await;
    bench.pass(Duration::from_secs(5)).await;
    bench.kill();
    bench.pass_alone(Duration::from_secs(20)).await;
    ask(&bench, profile, by_annotation);
    bench.start_with(dies_after.map(|n| (n, Mishap::DieAfter)), None);
    bench
        .becomes("rotated", |bench| {
            ready(&bench.key("k")) && bench.published("k").len() > 1
        })
        .await;
    let writes = bench.writes();
    bench.pass(Duration::from_mins(30)).await;
    assert_eq!(
        bench.published("k").len(),
        2,
        "{profile:?}, died after {dies_after:?}: rotated once\n{}",
        bench.trace()
    );
    assert!(bench.works(&bench.credential("k")), "{profile:?}");
    bench.is_sound();
    writes
}

#[test]
fn story_04_a_crash_after_a_rotation_does_not_rotate_twice() {
    for (profile, by_annotation) in PROFILES.into_iter().flat_map(|p| [(p, false), (p, true)]) {
        let writes = run(rotation(profile, by_annotation, None));
        for n in 0..writes {
            run(rotation(profile, by_annotation, Some(n)));
        }
    }
}

#[test]
fn story_05_pods_with_the_old_secret_work_through_the_overlap_of_a_rotation_by_age() {
    let overlap = SignedDuration::from_hours(1);
    for profile in PROFILES {
        run(async {
            let mut bench = Bench::new(1, profile, profile);
            bench.lease = super::LONG_LEASE;
            bench.start();
            let rotation = json!({"interval": "12h", "overlap": "1h", "strategy": super::uncut(profile)});
            bench.put_key("k", &json!({"rotation": rotation}));
            bench.becomes("ready", |bench| ready(&bench.key("k"))).await;
            bench.invariants.expect_overlap(overlap);
            // What Pods hold, and since when another secret is published.
            let mut held = vec![(bench.credential("k"), None)];
            for _ in 0..40 * 60 * 2 {
                bench.pass_alone(Duration::from_secs(30)).await;
                let now = bench.now();
                let published = bench.credential("k");
                if held.last().is_some_and(|(last, _)| *last != published) {
                    held.last_mut().unwrap().1 = Some(now);
                    held.push((published, None));
                }
                for (credential, replaced) in &held {
                    let age = replaced.map(|replaced| now.duration_since(replaced));
                    let slack = SignedDuration::from_mins(1);
                    if age.is_none_or(|age| age < overlap - slack) {
                        assert!(bench.works(credential), "{profile:?}: cut off {age:?} after a rotation");
                    } else if age.is_some_and(|age| age > overlap + slack) {
                        assert!(!bench.works(credential), "{profile:?}: works {age:?} after a rotation");
                    }
                }
            }
            assert_eq!(held.len(), 4, "{profile:?}: rotated three times in forty hours");
            bench.is_sound();
        });
    }
}

#[test]
fn story_05_nothing_rotates_where_it_would_cut_pods_off_and_nobody_chose_that() {
    for profile in outside().filter(|profile| uncut(*profile) != "Overlap") {
        run(async {
            let spec = json!({"rotation": {"interval": "1h"}});
            let mut bench = Bench::with_key(profile, &spec).await;
            let before = bench.credential("k");
            let asked = bench.record.len();
            bench.pass(Duration::from_hours(3)).await;
            let (writes, reads, calls) = counts(&bench.record.since(asked));
            // Where other clients there have two secrets, one call finds out that this one has not.
            let asks = usize::from(profile.facts().capabilities.overlap != Overlap::None);
            assert!(
                writes <= 1 + asks && reads <= 10 && calls == asks,
                "{profile:?}: {writes} writes, {reads} reads, {calls} calls"
            );
            assert_eq!(bench.credential("k"), before, "{profile:?}");
            let why = reason(&bench.key("k"), "RotationUnsupported", "True");
            assert_eq!(why.as_deref(), Some("NotAtThisKeyManager"), "{profile:?}");
        });
    }
}

fn shared() -> Value {
    json!({"secret": {"name": "shared"}})
}

/// The keys that are ready, and those that say that the Secret is taken.
fn parties(bench: &Bench) -> (Vec<&'static str>, Vec<&'static str>) {
    let keys = ["a", "b"];
    let good = keys.into_iter().filter(|name| ready(&bench.key(name))).collect();
    let taken = |name: &&str| reason(&bench.key(name), "Ready", "False").as_deref() == Some("SecretConflict");
    (good, keys.into_iter().filter(taken).collect())
}

#[test]
fn story_07_of_two_keys_that_name_one_secret_one_keeps_it_and_the_other_says_so_in_peace() {
    for profile in PROFILES {
        run(async {
            let mut bench = Bench::new(1, profile, profile);
            bench.put_key("a", &shared());
            bench.put_key("b", &shared());
            bench.start();
            bench
                .becomes("settled", |bench| {
                    let (good, taken) = parties(bench);
                    good.len() == 1 && taken.len() == 1
                })
                .await;
            bench.pass(Duration::from_secs(10)).await;
            let before = bench.credential("shared");
            let asked = bench.record.len();
            bench.pass(Duration::from_hours(1)).await;
            let (writes, reads, calls) = counts(&bench.record.since(asked));
            assert_eq!((writes, calls), (0, 0), "{profile:?}\n{}", bench.trace());
            assert!(reads <= 80, "{profile:?}: {reads} reads in an hour");
            assert_eq!(bench.credential("shared"), before, "{profile:?}");
            // The Secret is free when its key is gone.
            let (good, taken) = parties(&bench);
            bench.delete_key(good[0]);
            let healed = bench
                .until(Duration::from_mins(6), |bench| parties(bench).0 == taken)
                .await;
            assert!(healed, "{profile:?}\n{}", bench.trace());
            assert!(bench.works(&bench.credential("shared")), "{profile:?}");
            assert_eq!(bench.clients().len(), 1 + bench.named_orphans(), "{profile:?}");
            assert_eq!(bench.named_orphans(), 0, "{profile:?}");
            bench.is_sound();
        });
    }
}

#[test]
fn story_07_a_secret_that_is_not_ours_stays_as_it_is_and_a_key_that_names_it_heals_when_it_goes() {
    run(async {
        let mut bench = Bench::new(1, Profile::Resident, Profile::Resident);
        let theirs = Id::secret("team", "shared");
        bench.api.edit(|store| {
            store.put(
                &theirs,
                json!({"type": "Opaque", "data": {"client-secret": "dGhlaXJz"}}),
            );
        });
        let before = bench.get(&theirs);
        bench.start();
        bench.put_key("a", &shared());
        bench.becomes("refused", |bench| parties(bench).1 == ["a"]).await;
        bench.pass(Duration::from_hours(1)).await;
        assert_eq!(bench.get(&theirs), before);
        bench.api.edit(|store| store.delete(&theirs));
        let healed = bench
            .until(Duration::from_mins(6), |bench| parties(bench).0 == ["a"])
            .await;
        assert!(healed, "{}", bench.trace());
    });
}
