//! What people and their tools see of a running operator: metrics, health, logs whose level they change.

use std::collections::BTreeSet;

use serde_json::json;

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
    cluster.ready("team", "good").await;
    let state = |state: &'static str| [("state", state)];
    cluster
        .until("each key to be counted once", async || {
            let scrape = cluster.scrape().await;
            let keys = |of| scrape.sum("appkeys_keys", &state(of));
            keys("Ready") == 1 && keys("NotReady") == 1 && keys("Suspended") == 1 && keys("New") == 0
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
    assert_eq!(line["done"], json!(true));
    let steps = line["steps"].as_str().unwrap();
    assert!(steps.contains("Register") && steps.contains("Publish"), "{steps}");
}
