//! Alerts and the dashboard ask for metrics that there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use appkeys::metrics::{KeyManagerNow, Metrics, Snapshot};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{object, render};

/// The metrics that the operator has, by the names to ask for them with: of a histogram, its buckets.
fn existing() -> BTreeSet<String> {
    // What was never counted has no line.
    let metrics = Metrics::default();
    metrics.api_request("get", "secrets");
    metrics.key_manager_call("main", "register", "Ok", Duration::ZERO);
    metrics.reconcile("ApplicationKey", "Done", Duration::ZERO);
    metrics.resident.request("Token", "Ok", Duration::ZERO);
    let now = KeyManagerNow {
        budget_left: Some(1),
        ..KeyManagerNow::default()
    };
    metrics.look_with(move || {
        Some(Snapshot {
            nearest_expiry: Some(SignedDuration::ZERO),
            keys: Some(BTreeMap::new()),
            key_managers: [("main".to_owned(), now)].into(),
            ..Snapshot::default()
        })
    });
    let text = metrics.text().unwrap();
    let types = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let samples = types.map(|(name, kind)| match kind {
        "counter" => format!("{name}_total"),
        "histogram" => format!("{name}_bucket"),
        _ => name.to_owned(),
    });
    samples.collect()
}

/// The metrics that an expression names.
fn named(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("appkeys_"));
    ours.map(str::to_owned).collect()
}

fn check(place: &str, expression: &str) {
    let (named, existing) = (named(expression), existing());
    assert!(!named.is_empty(), "{place} asks for nothing of ours: {expression}");
    let unknown: Vec<_> = named.difference(&existing).collect();
    assert!(
        unknown.is_empty(),
        "{place} asks for {unknown:?}; there are {existing:?}"
    );
}

#[test]
fn alerts_ask_for_metrics_that_there_are_and_say_what_to_do() {
    let objects = render(&json!({"metrics": {"prometheusRule": {"enabled": true}}})).unwrap();
    let rules = &object(&objects, "PrometheusRule", "appkeys")["spec"]["groups"][0]["rules"];
    let rules = rules.as_array().unwrap();
    assert_eq!(rules.len(), 9);
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        check(name, rule["expr"].as_str().unwrap());
        assert!(
            ["warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap()),
            "{name}"
        );
        for text in ["summary", "description"] {
            assert!(rule["annotations"][text].is_string(), "{name} has no {text}");
        }
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let objects = render(&json!({"metrics": {"dashboard": {"enabled": true}}})).unwrap();
    let text = &object(&objects, "ConfigMap", "appkeys-dashboard")["data"]["appkeys.json"];
    let dashboard: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut asked = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        let expression = panel["targets"][0]["expr"].as_str().unwrap();
        check(title, expression);
        asked.append(&mut named(expression));
    }
    assert_eq!(asked, existing(), "the dashboard shows every metric");
}
