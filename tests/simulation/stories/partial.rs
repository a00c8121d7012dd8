//! What arrives late, what is not seen, and what must not be written.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::memory_api::Id;

use super::{
    super::{
        bench::{Bench, ready},
        invariants::records,
        profile::{PROFILES, Profile},
        runs::run,
    },
    counts, reason, rotated, uncut,
};

/// The objects whose spec people write, with it and its generation.
fn specs(bench: &Bench) -> Vec<(Id, Value, Value)> {
    let store = bench.api.store();
    let kinds = ["applicationkeys", "applications", "clusterkeymanagers"];
    let all = kinds.into_iter().flat_map(|kind| store.all(kind));
    all.map(|(id, object)| {
        (
            id.clone(),
            object["spec"].clone(),
            object["metadata"]["generation"].clone(),
        )
    })
    .collect()
}

/// What somebody does.
type Act<'a> = Box<dyn Fn(&Bench) + 'a>;

#[test]
fn story_17_a_spec_is_never_written() {
    for profile in PROFILES {
        run(async {
            let mut bench = Bench::new(1, profile, profile);
            let rotation = |more: Value| {
                let mut rotation = json!({"overlap": "2m", "strategy": uncut(profile)});
                rotation
                    .as_object_mut()
                    .unwrap()
                    .extend(more.as_object().unwrap().clone());
                rotation
            };
            let annotation = json!({"metadata": {"annotations": {"appkeys.dev/rotate": "now"}}});
            let acts: [Act<'_>; 9] = [
                Box::new(|bench| bench.put_key("k", &json!({}))),
                Box::new(|bench| bench.put_key("k", &json!({"accessTokens": [{"name": "t"}]}))),
                Box::new(|bench| bench.put_key("k", &json!({"rotation": rotation(json!({"trigger": "one"}))}))),
                Box::new(|bench| {
                    let id = Id::ours("applicationkeys", "team", "k");
                    bench.api.edit(|store| store.put(&id, annotation.clone()));
                }),
                Box::new(|bench| {
                    let rotation = rotation(json!({"trigger": "two", "strategy": "ReplaceClient"}));
                    bench.put_key("k", &json!({"rotation": rotation, "secret": {"name": "renamed"}}));
                }),
                Box::new(|bench| {
                    let rotation = rotation(json!({"interval": "1h"}));
                    bench.put_key("k", &json!({"rotation": rotation, "keyManagerRef": {"name": "second"}}));
                }),
                Box::new(|bench| bench.put_key("k", &json!({"suspend": true}))),
                Box::new(|bench| bench.put_key("k", &json!({"deletionPolicy": "Retain"}))),
                Box::new(|bench| bench.delete_key("k")),
            ];
            bench.lease = super::LONG_LEASE;
            bench.start();
            bench.pass(Duration::from_secs(10)).await;
            let count = acts.len();
            for (n, act) in acts.into_iter().enumerate() {
                act(&bench);
                let mut wanted = specs(&bench);
                bench.pass_alone(Duration::from_hours(3)).await;
                let deleted = n + 1 == count;
                wanted.retain(|(id, ..)| !deleted || id.plural != "applicationkeys");
                assert_eq!(specs(&bench), wanted, "{profile:?}, act {n}");
                let suspended = bench.key("k")["spec"]["suspend"] == true;
                assert!(
                    deleted || suspended || ready(&bench.key("k")),
                    "{profile:?}, act {n}: {:#}",
                    bench.key("k")
                );
            }
        });
    }
}

/// Nothing was made for a key.
fn is_untouched(bench: &Bench) -> bool {
    bench.clients().is_empty() && bench.entries("k").is_empty() && counts(&bench.record.since(0)).2 == 0
}

fn manager(name: &str) -> Id {
    Id::ours("clusterkeymanagers", "", name)
}

fn says(bench: &Bench, wanted: &str) -> bool {
    reason(&bench.key("k"), "Ready", "False").as_deref() == Some(wanted)
}

#[test]
fn story_19_an_application_that_comes_later_decides_where_its_keys_are_made() {
    for profile in PROFILES {
        run(async {
            let mut bench = Bench::new(1, profile, profile);
            let shop = Id::ours("applications", "team", "shop");
            bench.api.edit(|store| store.delete(&shop));
            bench.start();
            bench.put_key("k", &json!({}));
            bench
                .becomes("waiting", |bench| says(bench, "ApplicationNotFound"))
                .await;
            bench.pass(Duration::from_mins(30)).await;
            assert!(is_untouched(&bench), "{profile:?}\n{}", bench.trace());
            let spec = json!({"spec": {"keyManagerRef": {"name": "second"}}});
            bench.api.edit(|store| store.put(&shop, spec));
            bench.becomes("ready", |bench| ready(&bench.key("k"))).await;
            assert_eq!(bench.key("k")["status"]["keyManager"]["name"], "second", "{profile:?}");
            assert_eq!(bench.clients().len(), 1, "{profile:?}");
        });
    }
}

#[test]
fn story_19_a_key_waits_for_the_key_manager_that_it_names_and_takes_no_other() {
    for (profile, named) in PROFILES.into_iter().flat_map(|p| [(p, true), (p, false)]) {
        run(async {
            let mut bench = Bench::new(1, profile, profile);
            let first = bench.get(&manager("first")).unwrap()["spec"].clone();
            let default = json!({"spec": {"default": named, "resident": {}}});
            bench.api.edit(|store| {
                store.delete(&manager("first"));
                store.put(&manager("second"), default);
            });
            bench.start();
            let (spec, why) = if named {
                (json!({"keyManagerRef": {"name": "first"}}), "KeyManagerNotFound")
            } else {
                (json!({}), "NoKeyManager")
            };
            bench.put_key("k", &spec);
            bench.becomes("waiting", |bench| says(bench, why)).await;
            bench.pass(Duration::from_mins(30)).await;
            assert!(is_untouched(&bench), "{profile:?}\n{}", bench.trace());
            bench
                .api
                .edit(|store| store.put(&manager("first"), json!({"spec": first})));
            bench.becomes("ready", |bench| ready(&bench.key("k"))).await;
            assert_eq!(bench.key("k")["status"]["keyManager"]["name"], "first", "{profile:?}");
            assert_eq!(bench.clients().len(), 1, "{profile:?}");
        });
    }
}

/// Lets namespace `team` have scope `read` by its label.
fn rule_by_label(bench: &Bench) {
    let rule = json!({"namespaceSelector": {"matchLabels": {"team": "a"}}, "scopes": ["read"]});
    let spec = json!({"default": true, "access": [rule], "resident": {"accessTokenLifetime": "12h"}});
    bench
        .api
        .edit(|store| store.put(&manager("first"), json!({"spec": spec})));
}

fn label(bench: &Bench) {
    bench.api.edit(|store| {
        let meta = json!({"metadata": {"labels": {"team": "a"}}});
        store.put(&Id::of("v1", "namespaces", "", "team"), meta);
    });
}

#[test]
fn story_19_a_namespace_that_is_seen_after_its_keys_gets_what_it_is_granted() {
    for profile in PROFILES {
        run(async {
            let mut bench = Bench::new(1, profile, profile);
            rule_by_label(&bench);
            bench
                .api
                .edit(|store| store.delete(&Id::of("v1", "namespaces", "", "team")));
            bench.start();
            bench.put_key("k", &json!({"scopes": ["read"]}));
            bench.pass(Duration::from_mins(5)).await;
            assert!(is_untouched(&bench), "{profile:?}");
            label(&bench);
            bench.becomes("ready", |bench| ready(&bench.key("k"))).await;
        });
    }
}

/// Objects that are not seen: of this kind, in this namespace, all or every second one.
fn unseen(bench: &Bench, kind: &str, namespace: &str, all: bool) -> Vec<Id> {
    let store = bench.api.store();
    let ids = store.all(kind).map(|(id, _)| id.clone());
    let ids: Vec<_> = ids
        .filter(|id| kind != "secrets" || id.namespace == namespace)
        .collect();
    ids.into_iter()
        .enumerate()
        .filter(|(n, _)| all || n % 2 == 0)
        .map(|(_, id)| id)
        .collect()
}

const VIEWS: [(&str, &str); 6] = [
    ("secrets", "team"),
    ("secrets", "appkeys"),
    ("applicationkeys", ""),
    ("applications", ""),
    ("namespaces", ""),
    ("clusterkeymanagers", ""),
];

/// A view that lacks objects for a while, for a process that runs or one that starts with it.
async fn view(profile: Profile, (kind, namespace): (&str, &str), all: bool, restart: bool) {
    let keys = ["k", "l", "m"];
    let mut bench = Bench::new(1, profile, profile);
    rule_by_label(&bench);
    label(&bench);
    bench.start();
    let spec = |labels: Value| {
        let mut spec = rotated(profile, "one");
        spec["scopes"] = json!(["read"]);
        spec["secret"] = json!({"labels": labels});
        spec
    };
    for key in keys {
        bench.put_key(key, &spec(json!({})));
    }
    let all_ready = |bench: &Bench| keys.iter().all(|key| ready(&bench.key(key)));
    bench.becomes("ready", all_ready).await;
    bench.pass_alone(Duration::from_secs(10)).await;
    let state = |bench: &Bench| (keys.map(|key| bench.credential(key)), bench.clients());
    let (before, asked) = (state(&bench), bench.record.len());
    let hidden = unseen(&bench, kind, namespace, all);
    if hidden.is_empty() {
        // Most key managers need nothing to be kept beside what is published.
        return assert_eq!((kind, namespace), ("secrets", "appkeys"));
    }
    bench.api.edit(|store| store.hide(hidden));
    if restart {
        bench.kill();
        bench.pass_alone(Duration::from_secs(20)).await;
        bench.start();
    } else {
        bench.api.expire_watches();
    }
    bench.pass_alone(Duration::from_mins(2)).await;
    // Each key has something done for it while not all is seen.
    for key in keys {
        bench.put_key(key, &spec(json!({"edited": "yes"})));
    }
    bench.pass_alone(Duration::from_mins(5)).await;
    bench.api.edit(|store| store.hide([]));
    bench.api.expire_watches();
    let what = format!("{profile:?}: {kind} {namespace}, all {all}, restart {restart}");
    let healed = bench.until(Duration::from_mins(6), all_ready).await;
    assert!(healed, "{what}\n{}", bench.trace());
    bench.pass_alone(Duration::from_mins(2)).await;
    assert!(state(&bench) == before, "{what}\n{}", bench.trace());
    assert_eq!(bench.named_orphans(), 0, "{what}");
    let asked = bench.record.since(asked);
    let ends = |what: &str| what.starts_with("delete ") || what.starts_with("register ") || what.starts_with("Delete ");
    let ended: Vec<_> = asked
        .iter()
        .map(|asked| &*asked.what)
        .filter(|what| ends(what))
        .collect();
    assert!(ended.is_empty(), "{what}: {ended:?}");
    let frozen = records(&bench.api.store()).values().any(|record| record.frozen);
    let store = bench.api.store();
    let ever = store
        .history("secrets")
        .filter_map(|(_, secret)| super::entry(secret, "record"));
    assert!(
        !frozen && !ever.into_iter().any(|record| record.contains("\"frozen\":true")),
        "{what}: frozen"
    );
    drop(store);
    for key in keys {
        assert!(bench.works(&bench.credential(key)), "{what}");
        assert_eq!(bench.published(key).len(), 1, "{what}");
    }
    bench.is_sound();
}

#[test]
fn story_21_a_partial_view_deletes_nothing_and_registers_nothing() {
    for profile in PROFILES {
        for (seen, all, restart) in VIEWS.into_iter().flat_map(|seen| {
            [
                (seen, true, false),
                (seen, false, false),
                (seen, true, true),
                (seen, false, true),
            ]
        }) {
            run(view(profile, seen, all, restart));
        }
    }
}

#[test]
fn story_21_a_key_that_comes_back_while_its_secret_is_not_seen_takes_it_over_all_the_same() {
    for profile in PROFILES {
        run(async {
            let retained = json!({"deletionPolicy": "Retain"});
            let mut bench = Bench::with_key(profile, &retained).await;
            let state = |bench: &Bench| (bench.credential("k"), bench.clients(), bench.named_orphans());
            let before = state(&bench);
            bench.delete_key("k");
            let gone = |bench: &Bench| bench.key("k").is_null();
            bench.becomes("gone", gone).await;
            let secrets: Vec<_> = bench.api.store().all("secrets").map(|(id, _)| id.clone()).collect();
            bench.api.edit(|store| store.hide(secrets));
            bench.api.expire_watches();
            bench.pass(Duration::from_mins(1)).await;
            bench.put_key("k", &retained);
            bench.becomes("ready", |bench| ready(&bench.key("k"))).await;
            bench.pass(Duration::from_mins(5)).await;
            assert_eq!(state(&bench), before, "{profile:?}\n{}", bench.trace());
            assert!(bench.works(&before.0), "{profile:?}");
        });
    }
}
