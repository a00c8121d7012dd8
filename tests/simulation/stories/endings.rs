//! Keys that are renamed, pruned, restored, deleted, or half made.

use std::{collections::BTreeMap, time::Duration};

use appkeys::{api::CredentialKind, key_manager::resident::record::secret_name};
use data_encoding::BASE64;
use serde_json::{Value, json};
use testbed::memory_api::{Fault, Id};

use super::{
    super::{
        bench::{Bench, ready},
        profile::{PROFILES, Profile},
        runs::run,
        schedule::Mishap,
    },
    SOON, counts, rotated,
};

fn retained() -> Value {
    json!({"deletionPolicy": "Retain", "accessTokens": [{"name": "t"}]})
}

fn is_gone(bench: &Bench, key: &str) -> bool {
    bench.get(&Id::ours("applicationkeys", "team", key)).is_none()
}

#[test]
fn story_09_a_key_that_is_renamed_keeps_client_and_secret() {
    for profile in PROFILES {
        run(async {
            let mut bench = Bench::new(1, profile, profile);
            bench.lease = super::LONG_LEASE;
            bench.start();
            bench.put_key("k", &retained());
            bench.becomes("ready", |bench| ready(&bench.key("k"))).await;
            let (before, clients) = (bench.credential("k"), bench.clients());
            bench.delete_key("k");
            bench.becomes("gone", |bench| is_gone(bench, "k")).await;
            assert!(bench.works(&before), "{profile:?}: it is retained");
            bench.put_key(
                "renamed",
                &json!({"secret": {"name": "k"}, "accessTokens": [{"name": "t"}]}),
            );
            bench.becomes("ready", |bench| ready(&bench.key("renamed"))).await;
            bench.pass_alone(Duration::from_hours(30)).await;
            assert_eq!(bench.credential("k"), before, "{profile:?}\n{}", bench.trace());
            assert_eq!((bench.clients(), bench.named_orphans()), (clients, 0), "{profile:?}");
            assert!(ready(&bench.key("renamed")) && bench.works(&before), "{profile:?}");
            assert_eq!(
                bench.key("renamed")["status"]["credential"]["version"],
                1,
                "{profile:?}"
            );
            // It is the new key's from now on: rotated by it, and deleted with it.
            let rotation = json!({"overlap": "10m", "trigger": "now", "strategy": super::uncut(profile)});
            bench.put_key("renamed", &json!({"secret": {"name": "k"}, "rotation": rotation}));
            bench
                .becomes("rotated", |bench| {
                    ready(&bench.key("renamed")) && bench.credential("k") != before
                })
                .await;
            bench.pass(Duration::from_mins(15)).await;
            bench.delete_key("renamed");
            bench.becomes("gone", |bench| is_gone(bench, "renamed")).await;
            assert_eq!((bench.clients(), bench.named_orphans()), (vec![], 0), "{profile:?}");
            bench.is_sound();
        });
    }
}

#[test]
fn story_09_a_released_secret_stays_when_a_key_goes_that_only_named_it() {
    for profile in PROFILES {
        run(async {
            let mut bench = Bench::new(1, profile, profile);
            bench.start();
            for (key, spec) in [("k", retained()), ("other", json!({}))] {
                bench.put_key(key, &spec);
                bench.becomes("ready", |bench| ready(&bench.key(key))).await;
            }
            let before = bench.credential("k");
            bench.delete_key("k");
            bench.becomes("gone", |bench| is_gone(bench, "k")).await;
            // Suspended, so it takes nothing over.
            bench.put_key("other", &json!({"suspend": true, "secret": {"name": "k"}}));
            bench.pass(SOON).await;
            bench.delete_key("other");
            bench.becomes("gone", |bench| is_gone(bench, "other")).await;
            assert_eq!(bench.credential("k"), before, "{profile:?}\n{}", bench.trace());
            assert!(bench.works(&before), "{profile:?}\n{}", bench.trace());
        });
    }
}

#[test]
fn story_10_a_namespace_that_is_deleted_goes_although_its_secrets_go_first() {
    for (profile, pause) in PROFILES.into_iter().flat_map(|p| [(p, 0), (p, 2)]) {
        run(async {
            let mut bench = Bench::with_key(profile, &rotated(profile, "one")).await;
            bench.put_key("second", &json!({}));
            bench.becomes("ready", |bench| ready(&bench.key("second"))).await;
            // Nothing can be made in a namespace that ends.
            bench.record.rule(|asked| {
                let makes = !asked.call && asked.what.starts_with("Create ") && asked.what.ends_with(" team/");
                makes.then_some(Mishap::Lose(Fault::Refuse(403)))
            });
            let secrets: Vec<_> = {
                let store = bench.api.store();
                let all = store.all("secrets").map(|(id, _)| id.clone());
                all.filter(|id| id.namespace == "team").collect()
            };
            bench.api.edit(|store| secrets.iter().for_each(|id| store.delete(id)));
            bench.pass_alone(Duration::from_secs(pause)).await;
            bench.api.edit(|store| {
                for name in ["k", "second"] {
                    store.delete(&Id::ours("applicationkeys", "team", name));
                }
                store.delete(&Id::ours("applications", "team", "shop"));
            });
            let left = |bench: &Bench| {
                let store = bench.api.store();
                let kinds = ["secrets", "applicationkeys", "applications"];
                let all = kinds.into_iter().flat_map(|kind| store.all(kind));
                let team = all.filter(|(id, _)| id.namespace == "team");
                team.map(|(id, _)| id.name.clone()).collect::<Vec<_>>()
            };
            let ended = bench.until(SOON, |bench| left(bench).is_empty()).await;
            assert!(ended, "{profile:?}: {:?} are left\n{}", left(&bench), bench.trace());
            assert_eq!(
                (bench.clients(), bench.named_orphans()),
                (vec![], 0),
                "{profile:?}\n{}",
                bench.trace()
            );
        });
    }
}

#[test]
fn story_18_a_key_that_is_pruned_and_applied_again_has_the_same_client_and_secret() {
    for profile in PROFILES {
        run(async {
            let mut bench = Bench::with_key(profile, &retained()).await;
            let (before, clients) = (bench.credential("k"), bench.clients());
            for again in 0..2 {
                let uid = bench.key("k")["metadata"]["uid"].clone();
                bench.delete_key("k");
                bench.becomes("gone", |bench| is_gone(bench, "k")).await;
                bench.pass(Duration::from_mins(5)).await;
                bench.put_key("k", &retained());
                bench.becomes("ready", |bench| ready(&bench.key("k"))).await;
                bench.pass(Duration::from_mins(5)).await;
                assert_ne!(bench.key("k")["metadata"]["uid"], uid);
                assert_eq!(bench.credential("k"), before, "{profile:?}, time {again}");
                assert_eq!(
                    (bench.clients(), bench.named_orphans()),
                    (clients.clone(), 0),
                    "{profile:?}"
                );
                assert_eq!(bench.key("k")["status"]["credential"]["version"], 1, "{profile:?}");
                assert!(bench.works(&before), "{profile:?}");
            }
            bench.is_sound();
        });
    }
}

/// All objects but Leases and events, taken away whatever guards them, and put back as from a backup: with new uids and
/// without status.
fn restore(bench: &Bench, finalizers: bool) {
    bench.api.edit(|store| {
        let dump: BTreeMap<_, _> = store
            .dump()
            .into_iter()
            .filter(|(id, _)| id.plural == "secrets" || id.api_version.starts_with("appkeys.dev/"))
            .collect();
        for id in dump.keys() {
            store.put(id, json!({"metadata": {"finalizers": []}}));
            store.delete(id);
        }
        // Secrets come before what they belong to, which is the worse order.
        let (secrets, others): (Vec<_>, Vec<_>) = dump.into_iter().partition(|(id, _)| id.plural == "secrets");
        for (id, mut object) in secrets.into_iter().chain(others) {
            let meta = object["metadata"].as_object_mut().unwrap();
            for field in [
                "uid",
                "resourceVersion",
                "generation",
                "creationTimestamp",
                "managedFields",
            ] {
                meta.remove(field);
            }
            if !finalizers {
                meta.remove("finalizers");
            }
            store.put(&id, object);
        }
    });
}

#[test]
fn story_18_a_cluster_that_is_restored_from_a_backup_has_the_same_clients_and_secrets() {
    for (profile, finalizers) in PROFILES.into_iter().flat_map(|p| [(p, true), (p, false)]) {
        run(async {
            let mut bench = Bench::with_key(profile, &rotated(profile, "one")).await;
            bench.put_key("replaced", &rotated(profile, "one"));
            bench.becomes("ready", |bench| ready(&bench.key("replaced"))).await;
            let mut spec = rotated(profile, "two");
            spec["rotation"]["strategy"] = "ReplaceClient".into();
            bench.put_key("replaced", &spec);
            bench
                .becomes("replaced", |bench| {
                    ready(&bench.key("replaced")) && bench.published("replaced").len() == 2
                })
                .await;
            bench.pass(Duration::from_mins(20)).await;
            let state = |bench: &Bench| (bench.credential("k"), bench.credential("replaced"), bench.clients());
            let before = state(&bench);
            bench.kill();
            restore(&bench, finalizers);
            bench.pass_alone(Duration::from_secs(20)).await;
            bench.start();
            let all = |bench: &Bench| ready(&bench.key("k")) && ready(&bench.key("replaced"));
            bench.becomes("ready", all).await;
            bench.pass(Duration::from_hours(1)).await;
            assert!(all(&bench), "{profile:?}");
            assert_eq!(state(&bench), before, "{profile:?} {finalizers}\n{}", bench.trace());
            assert_eq!(bench.named_orphans(), 0, "{profile:?}");
            assert!(bench.works(&before.0) && bench.works(&before.1), "{profile:?}");
            // It is quiet as before.
            let asked = bench.record.len();
            bench.pass(Duration::from_mins(10)).await;
            assert_eq!(counts(&bench.record.since(asked)), (0, 0, 0), "{profile:?}");
            bench.is_sound();
        });
    }
}

#[test]
fn story_34_a_key_that_moves_to_another_key_manager_before_it_is_published_leaves_nothing_there() {
    run(async {
        let mut bench = Bench::new(1, Profile::OidcOpen, Profile::TwoSecrets);
        // Nothing comes of the first registration, nor of the publication after the second.
        bench.record.rule(|asked| {
            let stopped = asked.what == "register " || asked.what == "Create secrets team/";
            stopped.then_some(Mishap::Lose(Fault::Refuse(500)))
        });
        bench.put_key("k", &json!({}));
        bench.start();
        bench.pass(Duration::from_secs(20)).await;
        bench.put_key("k", &json!({"keyManagerRef": {"name": "second"}}));
        bench.becomes("made", |bench| bench.clients().len() == 1).await;
        bench.put_key("k", &json!({"keyManagerRef": {"name": "first"}}));
        bench.record.no_rule();
        bench.becomes("ready", |bench| ready(&bench.key("k"))).await;
        bench.pass(Duration::from_mins(1)).await;
        let first = bench.servers.0["first"].ids();
        assert_eq!(
            bench.servers.0["second"].ids(),
            Vec::<String>::new(),
            "{}",
            bench.trace()
        );
        assert_eq!(first.len(), 1, "{}", bench.trace());
    });
}

const FOREIGN: usize = 120;

/// Clients that are not of this cluster, at a key manager that is the resident one or another.
fn plant(bench: &Bench) {
    let ids = || (0..FOREIGN).map(|n| format!("foreign-{n:03}"));
    if let Some(server) = bench.servers.0.get("first") {
        return server.plant(CredentialKind::Secret, ids().map(|id| (id, "their-secret".to_owned())));
    }
    bench.api.edit(|store| {
        for id in ids() {
            let record = json!({
                "clientId": id, "keyManager": "first", "application": "theirs", "environment": "Production",
                "mark": {"clusterId": "elsewhere", "namespace": "team", "name": "k"},
                "authentication": "ClientSecretBasic", "secrets": [],
            });
            let labels = json!({
                "app.kubernetes.io/managed-by": "appkeys", "appkeys.dev/component": "resident-client",
                "appkeys.dev/key-manager": "first",
            });
            let secret = json!({
                "type": "appkeys.dev/resident-client", "metadata": {"labels": labels},
                "data": {"record": BASE64.encode(record.to_string().as_bytes())},
            });
            store.put(&Id::secret("appkeys", &secret_name("first", &id)), secret);
        }
    });
}

/// The clients that are not ours, with all that is known of them, and how many others there are.
fn foreign(bench: &Bench) -> (Vec<String>, usize) {
    let all = bench.clients();
    let ours = all.iter().filter(|id| !id.starts_with("foreign-")).count();
    let mut known = vec![];
    if let Some(server) = bench.servers.0.get("first") {
        known = server
            .known()
            .into_iter()
            .filter(|text| text.starts_with("foreign-"))
            .collect();
    }
    let store = bench.api.store();
    let records = store.all("secrets").filter(|(_, secret)| {
        let client = super::entry(secret, "record").unwrap_or_default();
        client.contains("foreign-")
    });
    known.extend(records.map(|(id, secret)| format!("{id:?} {secret}")));
    (known, ours)
}

/// A new key with a process that dies at one of its writes; how many it made.
async fn creation(profile: Profile, mishap: Option<(usize, Mishap)>) -> usize {
    let mut bench = Bench::new(1, profile, profile);
    bench.api.inspect(|_| {});
    plant(&bench);
    let (before, _) = foreign(&bench);
    assert_eq!(before.len(), FOREIGN);
    bench.put_key("k", &json!({"accessTokens": [{"name": "t"}]}));
    bench.start_with(mishap, None);
    let good = |bench: &Bench| ready(&bench.key("k"));
    while bench.is_running() && !good(&bench) {
        bench.pass_alone(Duration::from_millis(250)).await;
    }
    let writes = bench.writes();
    for _ in 0..600 {
        if good(&bench) {
            break;
        }
        if !bench.is_running() {
            bench.start();
        }
        bench.pass_alone(Duration::from_secs(1)).await;
    }
    assert!(good(&bench), "{profile:?} {mishap:?}: {:#}", bench.key("k"));
    bench.pass_alone(Duration::from_mins(1)).await;
    let (after, ours) = foreign(&bench);
    assert!(after == before, "{profile:?} {mishap:?}: foreign clients changed");
    let named = bench.named_orphans();
    assert!(
        ours >= 1 && ours <= 1 + named,
        "{profile:?} {mishap:?}: {ours} clients, {named} named"
    );
    assert!(
        named == 0 || profile.given(),
        "{profile:?}: all others can be found again"
    );
    assert!(bench.works(&bench.credential("k")), "{profile:?} {mishap:?}");
    bench.delete_key("k");
    let gone = bench.until(SOON, |bench| is_gone(bench, "k")).await;
    assert!(gone, "{profile:?} {mishap:?}");
    let (after, ours) = foreign(&bench);
    assert!(
        after == before && ours <= named,
        "{profile:?} {mishap:?}: {ours} clients after the deletion"
    );
    writes
}

#[test]
fn story_34_a_kill_during_creation_among_many_foreign_clients_leaves_no_orphan() {
    for profile in PROFILES {
        let writes = run(creation(profile, None));
        for n in 0..writes {
            for mishap in [Mishap::DieBefore, Mishap::DieAfter] {
                run(creation(profile, Some((n, mishap))));
            }
        }
    }
}
