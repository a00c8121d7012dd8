//! What people and their tools see of a running operator: metrics, health, logs whose level they change.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Cluster, key, repository, team};

#[tokio::test]
async fn metrics_tell_of_keys_calls_passes_and_the_resident_endpoint() {
    let cluster = Cluster::start().await;
    let spec = json!({"resident": {}, "default": true, "limits": {"requestsPerSecond": 1000}});
    let manager = json!({"apiVersion": "appkeys.dev/v1alpha1", "kind": "ClusterKeyManager", "metadata": {"name": "resident"}, "spec": spec});
    cluster.apply(&manager);
    team(&cluster, "team").await;
    cluster.apply(&key("team", "good", &json!({"accessTokens": [{"name": "t"}]})));
    cluster.apply(&key("team", "lost", &json!({"keyManagerRef": {"name": "nowhere"}})));
    cluster.apply(&key("team", "still", &json!({"suspend": true})));
    let nowhere =
        json!({"keycloak": {"url": "https://localhost:1", "realm": "r", "credentialsSecretRef": {"name": "none"}}});
    cluster.apply(&json!({
        "apiVersion": "appkeys.dev/v1alpha1", "kind": "KeyManager", "metadata": {"name": "n", "namespace": "team"}, "spec": nowhere,
    }));
    cluster.ready("team", "good").await;
    let state = |state: &'static str| [("state", state)];
    cluster
        .until("each key to be counted once", async || {
            let scrape = cluster.scrape().await;
            let keys = |of| scrape.sum("appkeys_keys", &state(of));
            let not_ready = scrape.sum("appkeys_key_managers_not_ready", &[("key_manager", "(namespaced)")]);
            keys("Ready") == 1 && keys("NotReady") == 1 && keys("Suspended") == 1 && keys("New") == 0 && not_ready == 1
        })
        .await;
    let scrape = cluster.scrape().await;
    let sum = |family: &str, labels: &[(&str, &str)]| scrape.sum(family, labels);
    let resident = ("key_manager", "resident");
    assert_eq!(
        sum(
            "appkeys_key_manager_calls_total",
            &[resident, ("verb", "register"), ("outcome", "Ok")]
        ),
        1
    );
    let calls = sum("appkeys_key_manager_calls_total", &[resident]);
    assert_eq!(sum("appkeys_key_manager_call_seconds_count", &[resident]), calls);
    assert!(
        sum(
            "appkeys_reconciles_total",
            &[("kind", "ApplicationKey"), ("outcome", "Done")]
        ) >= 3
    );
    assert_eq!(sum("appkeys_key_manager_circuits_open", &[resident]), 0);
    // The operator asks the resident key manager for tokens inside its process: nobody has come to the endpoint.
    let token = [("endpoint", "Token")];
    assert_eq!(sum("appkeys_resident_requests_total", &token), 0);
    let secret = cluster.secret("team", "good").await;
    assert_eq!(crate::support::token(&secret, &[]).await.0, 200);
    let mut wrong = secret.clone();
    wrong.insert("client-secret".to_owned(), "wrong".to_owned());
    assert_eq!(crate::support::token(&wrong, &[]).await.0, 401);
    let scrape = cluster.scrape().await;
    for outcome in ["Ok", "invalid_client"] {
        let labels = [("endpoint", "Token"), ("outcome", outcome)];
        assert_eq!(scrape.sum("appkeys_resident_requests_total", &labels), 1, "{outcome}");
    }
    let text = reqwest::get(format!("http://127.0.0.1:{}/metrics", cluster.ports().admin)).await;
    let text = text.unwrap().text().await.unwrap();
    let nearest = text
        .lines()
        .find_map(|line| line.strip_prefix("appkeys_nearest_expiry_seconds{} "));
    let nearest: f64 = nearest.unwrap().parse().unwrap();
    assert!(nearest > 0.0 && nearest <= 3600.0, "{nearest}");
    let told = std::fs::read_to_string(repository("docs/operations.md")).unwrap();
    assert_eq!(names(&text), names(&told), "what there is, and what the docs tell of");
}

#[tokio::test]
async fn each_pass_that_changed_something_is_one_line() {
    let cluster = Cluster::start_with(&["--log=info"]).await;
    cluster.quickstart();
    team(&cluster, "team").await;
    cluster.apply(&key("team", "good", &json!({"accessTokens": [{"name": "t"}]})));
    cluster.apply(&key("team", "lost", &json!({"keyManagerRef": {"name": "nowhere"}})));
    cluster.apply(&key("team", "short", &json!({})));
    for name in ["good", "short"] {
        cluster.ready("team", name).await;
    }
    cluster.kubectl(&["-n", "team", "delete", "akey", "short"]);
    let passes = || {
        let log = cluster.operator_output();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"] == "pass").collect::<Vec<_>>()
    };
    let taken = |kind: &str, step: &str| {
        let of_kind = passes().into_iter().filter(|line| line["kind"] == kind);
        let steps = of_kind.map(|line| {
            line["steps"]
                .as_str()
                .unwrap()
                .split(' ')
                .filter(|s| *s == step)
                .count()
        });
        u64::try_from(steps.sum::<usize>()).unwrap()
    };
    // Each write that the API server got is a step in one of the lines.
    let writes = [
        ("ApplicationKey", "WriteStatus", "update", "applicationkeys/status"),
        ("Application", "WriteStatus", "update", "applications/status"),
        ("Application", "AddFinalizer", "patch", "applications"),
        ("KeyManager", "WriteStatus", "update", "clusterkeymanagers/status"),
        ("KeyManager", "AddFinalizer", "patch", "clusterkeymanagers"),
    ];
    cluster
        .until("a step in a line for each write", async || {
            let scrape = cluster.scrape().await;
            writes.iter().all(|(kind, step, verb, resource)| {
                let sent = scrape.sum("appkeys_api_requests_total", &[("verb", verb), ("resource", resource)]);
                sent > 0 && taken(kind, step) == sent
            })
        })
        .await;
    for line in passes() {
        assert!(line["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{line}");
        assert!(
            ["Done", "Failed", "Waits"].contains(&line["outcome"].as_str().unwrap()),
            "{line}"
        );
        assert!(!line["object"].as_str().unwrap().is_empty(), "{line}");
    }
    // A change that nothing follows from makes none.
    let before = passes().len();
    for object in ["akey/good", "akapp/shop"] {
        cluster.kubectl(&["-n", "team", "annotate", object, "example.com/note=1"]);
    }
    cluster.kubectl(&["annotate", "ckm", "resident", "example.com/note=1"]);
    // Events of a kind come in their order: what came after these makes lines.
    let later = "later";
    cluster.apply(&json!({"apiVersion": "appkeys.dev/v1alpha1", "kind": "List", "items": [
        {
            "apiVersion": "appkeys.dev/v1alpha1", "kind": "Application",
            "metadata": {"name": later, "namespace": "team"}, "spec": {},
        },
        key("team", later, &json!({"applicationRef": {"name": later}})),
        {
            "apiVersion": "appkeys.dev/v1alpha1", "kind": "ClusterKeyManager",
            "metadata": {"name": later}, "spec": {"resident": {}},
        },
    ]}));
    let is_later = |line: &Value| line["object"].as_str().unwrap().ends_with(later);
    let kinds = || {
        passes()
            .iter()
            .filter(|line| is_later(line))
            .map(|line| line["kind"].to_string())
            .collect::<BTreeSet<_>>()
    };
    cluster
        .until("lines of what came later", async || kinds().len() == 3)
        .await;
    let mut of_these = passes();
    of_these.retain(|line| !is_later(line));
    assert_eq!(of_these.len(), before, "{:#?}", &of_these[before..]);
}

#[tokio::test]
async fn metrics_tell_which_key_managers_can_be_used() {
    let cluster = Cluster::start_with(&["--allow-local-key-managers"]).await;
    cluster.quickstart();
    team(&cluster, "team").await;
    let object = |kind: &str, meta: Value, spec: Value| json!({"apiVersion": "appkeys.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec});
    let spec = json!({"oidc": {"issuer": "https://localhost:1"}});
    cluster.apply(&object("ClusterKeyManager", json!({"name": "away"}), spec.clone()));
    for name in ["one", "two"] {
        let meta = json!({"name": name, "namespace": "team"});
        cluster.apply(&object("KeyManager", meta, spec.clone()));
    }
    let lines = async || {
        let url = format!("http://127.0.0.1:{}/metrics", cluster.ports().admin);
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        let lines = text.lines().filter(|line| line.contains("ready{"));
        lines.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let wanted = [
        "appkeys_key_manager_ready{key_manager=\"away\"} 0",
        "appkeys_key_manager_ready{key_manager=\"resident\"} 1",
        "appkeys_key_managers_not_ready{key_manager=\"(namespaced)\"} 2",
    ];
    let wanted: BTreeSet<_> = wanted.map(str::to_owned).into();
    let told = async || lines().await == wanted;
    cluster.until("each key manager to be told of", told).await;
    cluster.kubectl(&["delete", "ckm", "away"]);
    let gone = async || lines().await.iter().all(|line| !line.contains("away"));
    cluster.until("one that is gone to be gone", gone).await;
}

/// The names of metrics in a text; those of a histogram or a counter without what the format adds.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("appkeys_"));
    let plain = |name: &str| {
        let ends = ["_bucket", "_sum", "_count", "_total"];
        ends.into_iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name)
            .to_owned()
    };
    names.map(plain).collect()
}

#[tokio::test]
async fn health_and_the_level_of_logs_are_at_the_admin_address() {
    let cluster = Cluster::start_with(&["--log=warn"]).await;
    cluster.quickstart();
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", cluster.ports().admin);
    let get = async |path: &str| {
        let answer = reqwest::get(url(path)).await.ok()?;
        answer.text().await.ok()
    };
    cluster
        .until("the operator to lead", async || {
            get("/readyz").await.as_deref() == Some("leading\n")
        })
        .await;
    let standby = cluster.start_another().await;
    cluster
        .until("the other to stand by", async || {
            let url = format!("http://127.0.0.1:{}/readyz", standby.ports().admin);
            match reqwest::get(url).await {
                Ok(answer) => answer.text().await.is_ok_and(|text| text == "standby\n"),
                Err(_) => false,
            }
        })
        .await;

    team(&cluster, "team").await;
    cluster.apply(&key("team", "quiet", &json!({})));
    cluster.ready("team", "quiet").await;
    let put = async |filter: &'static str| {
        let answer = reqwest::Client::new()
            .put(url("/log"))
            .body(filter)
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(get("/log").await.as_deref(), Some("warn\n"));
    assert_eq!(put("appkeys=loud").await.0, 400);
    assert_eq!(put("appkeys=info").await, (200, "appkeys=info\n".to_owned()));
    cluster.apply(&key("team", "told", &json!({})));
    cluster.ready("team", "told").await;
    let log = cluster.operator_output();
    let passes: Vec<_> = log
        .lines()
        .filter(|line| line.contains("\"message\":\"pass\""))
        .collect();
    assert!(!passes.iter().any(|line| line.contains("team/quiet")), "{passes:?}");
    let told: Vec<_> = passes.into_iter().filter(|line| line.contains("team/told")).collect();
    assert_eq!(told.len(), 1, "one line for one pass that did something: {log}");
    let line: serde_json::Value = serde_json::from_str(told[0]).unwrap();
    assert_eq!(line["outcome"], json!("Done"));
    let steps = line["steps"].as_str().unwrap();
    assert!(steps.contains("Register") && steps.contains("Publish"), "{steps}");
}
