//! What nobody may read, and what is frozen into the CRDs.

use std::{
    collections::BTreeSet,
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use appkeys::telemetry::{LogFormat, subscriber};
use data_encoding::BASE64;
use serde_json::{Value, json};
use testbed::memory_api::Id;

use super::{
    super::{
        bench::{Bench, ready},
        profile::{PROFILES, Profile},
        runs::run,
    },
    rotated,
};

/// What a process logged.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Entries of Secrets that everybody may read.
fn is_public(entry: &str) -> bool {
    let public = [
        "client-id",
        "issuer-uri",
        "token-uri",
        "jwks-uri",
        "introspection-uri",
        "revocation-uri",
    ];
    public.contains(&entry) || ["ca.crt", "scopes"].contains(&entry) || entry.ends_with(".expires-at")
}

/// The texts in JSON under names that speak of secrets; a PEM line by line, as a log would have it.
fn secret_texts(value: &Value, found: &mut BTreeSet<String>) {
    let names = ["privateKey", "key", "caKey", "secret", "token"];
    match value {
        Value::Array(all) => all.iter().for_each(|value| secret_texts(value, found)),
        Value::Object(all) => {
            for (name, value) in all {
                match value.as_str() {
                    Some(text) if names.contains(&&**name) => {
                        let lines = text.lines().filter(|line| !line.starts_with("--"));
                        found.extend(lines.filter(|line| line.len() > 8).map(str::to_owned));
                    }
                    _ => secret_texts(value, found),
                }
            }
        }
        _ => {}
    }
}

/// Every secret value that was ever in a Secret or at a key manager.
fn secrets(bench: &Bench) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = bench.servers.0.values().flat_map(|server| server.issued()).collect();
    let store = bench.api.store();
    for (_, secret) in store.history("secrets") {
        for name in secret["data"].as_object().into_iter().flatten().map(|(name, _)| name) {
            let text = super::entry(secret, name).unwrap_or_default();
            match serde_json::from_str::<Value>(&text) {
                Ok(json) => secret_texts(&json, &mut found),
                Err(_) if is_public(name) => {}
                Err(_) => {
                    found.extend(text.rsplit_once('.').map(|(_, signature)| signature.to_owned()));
                    found.insert(text);
                }
            }
        }
    }
    found.retain(|value| value.len() > 6);
    found.remove("tampered");
    found
}

/// All that was ever said in objects that more people may read than Secrets.
fn said(bench: &Bench) -> String {
    let store = bench.api.store();
    let kinds = [
        "applicationkeys",
        "applications",
        "clusterkeymanagers",
        "events",
        "leases",
    ];
    let objects = kinds.into_iter().flat_map(|kind| store.history(kind));
    let metas = store
        .history("secrets")
        .map(|(_, secret)| secret["metadata"].to_string());
    objects.map(|(_, object)| object.to_string()).chain(metas).collect()
}

/// A life with errors: what is issued, rotated, tampered with, moved, refused and deleted.
async fn life(profile: Profile, seed: u64) -> (BTreeSet<String>, String) {
    let mut bench = Bench::new(seed, profile, profile);
    let keys = ["a", "b"];
    for key in keys {
        bench.put_key(key, &rotated(profile, "one"));
    }
    bench.start_with(None, Some((seed, 0.2)));
    let moved = |manager: &str, trigger: &str| {
        let mut spec = rotated(profile, trigger);
        spec["keyManagerRef"] = json!({"name": manager});
        spec["rotation"]["overlap"] = "1m".into();
        spec
    };
    let in_place = json!({"rotation": {"trigger": "three", "strategy": "InPlace"}});
    for (n, spec) in [
        moved("first", "two"),
        moved("second", "two"),
        in_place,
        moved("second", "four"),
        moved("first", "five"),
        moved("second", "six"),
    ]
    .iter()
    .enumerate()
    {
        // Whoever runs beside this one without a log may have switched lines off that are met for the first time.
        tracing::callsite::rebuild_interest_cache();
        let time = Duration::from_mins(3);
        bench.until_dead(time).await;
        if !bench.is_running() {
            bench.start_with(None, Some((seed * 10 + n as u64, 0.2)));
        }
        let id = Id::secret("team", keys[n % 2]);
        if bench.get(&id).is_some() && n != 1 {
            bench.tamper(keys[n % 2]);
        } else {
            bench.api.edit(|store| store.delete(&id));
        }
        bench.put_key(keys[n % 2], spec);
    }
    bench.until_dead(Duration::from_mins(5)).await;
    bench.kill();
    bench.start();
    let healed = bench
        .until(Duration::from_hours(1), |bench| {
            keys.iter().all(|key| ready(&bench.key(key)))
        })
        .await;
    assert!(healed, "{}", bench.trace());
    bench.delete_key("a");
    bench.pass(Duration::from_mins(10)).await;
    (secrets(&bench), said(&bench))
}

#[test]
fn story_11_no_secret_value_is_in_a_status_an_event_an_annotation_or_a_log_line() {
    for profile in PROFILES {
        for seed in [1, 2, 3] {
            says_no_secret(profile, seed);
        }
    }
}

/// Looks for everything that was issued in one life, in all that was said.
fn says_no_secret(profile: Profile, seed: u64) {
    let logged = Logged::default();
    let writer = logged.clone();
    let (subscriber, _) = subscriber("trace", LogFormat::Json, move || writer.clone(), None).unwrap();
    let (secrets, said) = tracing::subscriber::with_default(subscriber, || run(life(profile, seed)));
    let log = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
    assert!(secrets.len() > 8, "{profile:?}: {} secrets", secrets.len());
    assert!(
        log.contains("pass failed") && log.contains("\"step\""),
        "{profile:?}: logs at all levels"
    );
    assert!(said.contains("\"kind\":\"Event\""), "{profile:?}: events were written");
    for (place, text) in [("objects", &said), ("logs", &log)] {
        let shown = |value: &&String| text.contains(*value) || text.contains(&BASE64.encode(value.as_bytes()));
        let leaked: Vec<_> = secrets.iter().filter(shown).collect();
        assert!(leaked.is_empty(), "{profile:?}, seed {seed}: {place} show {leaked:?}");
    }
}

/// All schemas in a CRD, with their paths.
fn schemas<'a>(value: &'a Value, path: &str, found: &mut Vec<(String, &'a Value)>) {
    if value.get("type").is_some_and(Value::is_string) {
        found.push((path.to_owned(), value));
    }
    match value {
        Value::Object(all) => {
            for (name, value) in all {
                schemas(value, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(all) => all.iter().for_each(|value| schemas(value, path, found)),
        _ => {}
    }
}

#[test]
fn story_28_no_mistake_is_frozen_into_the_crds() {
    let mut plurals = BTreeSet::new();
    for crd in appkeys::api::all_crds() {
        let crd = serde_json::to_value(crd).unwrap();
        let names = &crd["spec"]["names"];
        let (kind, plural) = (names["kind"].as_str().unwrap(), names["plural"].as_str().unwrap());
        assert_eq!(
            plural,
            format!("{}s", kind.to_lowercase()),
            "the plural is that of the kind"
        );
        assert_eq!(names["singular"].as_str(), Some(&*kind.to_lowercase()));
        assert_eq!(
            crd["metadata"]["name"].as_str(),
            Some(&*format!("{plural}.appkeys.dev"))
        );
        plurals.insert(plural.to_owned());
        let scope = if kind == "ClusterKeyManager" {
            "Cluster"
        } else {
            "Namespaced"
        };
        assert_eq!(crd["spec"]["scope"], scope, "{kind}");
        for version in crd["spec"]["versions"].as_array().unwrap() {
            assert_eq!(
                version["subresources"]["status"],
                json!({}),
                "{kind} has a status of its own"
            );
            let schema = &version["schema"]["openAPIV3Schema"];
            let mut all = vec![];
            schemas(schema, kind, &mut all);
            assert!(all.len() > 10, "{kind}: schemas are found");
            for (path, schema) in &all {
                // Kubernetes knows int32 and int64; what is unsigned is refused or ignored by other tools.
                let format = schema["format"].as_str().unwrap_or("none");
                let known = ["none", "int32", "int64", "date-time", "uri", "duration"];
                assert!(known.contains(&format), "{path} has format {format}");
                if schema["type"] == "integer" {
                    assert!(
                        ["int32", "int64"].contains(&format),
                        "{path} is an integer of no known size"
                    );
                }
                assert_ne!(
                    schema["type"], "number",
                    "{path}: numbers with a point are not portable"
                );
            }
            let conditions = &schema["properties"]["status"]["properties"]["conditions"];
            assert_eq!(conditions["x-kubernetes-list-type"], "map", "{kind}");
            assert_eq!(conditions["x-kubernetes-list-map-keys"], json!(["type"]), "{kind}");
            let condition = &conditions["items"];
            let fields: BTreeSet<_> = condition["properties"]
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            let standard = [
                "lastTransitionTime",
                "message",
                "observedGeneration",
                "reason",
                "status",
                "type",
            ];
            assert_eq!(
                fields,
                standard.into(),
                "{kind}: the standard condition and nothing else"
            );
            let required = condition["required"].as_array().unwrap();
            let required: BTreeSet<_> = required.iter().filter_map(Value::as_str).collect();
            let standard = ["lastTransitionTime", "message", "reason", "status", "type"];
            assert_eq!(required, standard.into(), "{kind}");
        }
    }
    let wanted = ["applicationkeys", "applications", "clusterkeymanagers", "keymanagers"];
    assert_eq!(plurals, wanted.map(str::to_owned).into());
}
