//! Alerts and the dashboard ask for metrics that there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use appkeys::metrics::{KeyManagerNow, Metrics, NAMESPACED, Snapshot};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{object, render};

/// Labels that Prometheus adds.
const ADDED: [&str; 2] = ["namespace", "pod"];

/// The metrics that the operator has and their labels, by the names to ask for them with: of a histogram, its buckets.
fn existing() -> BTreeMap<String, BTreeSet<String>> {
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
            key_managers: [("main".to_owned(), now), (NAMESPACED.to_owned(), now)].into(),
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
    let labels = |name: &str| {
        let line = text.lines().find(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        let line = line.unwrap_or_else(|| panic!("{name} has no line in {text}"));
        line.split_once('{')
            .map_or_else(BTreeSet::new, |(_, rest)| matched(rest))
    };
    samples.map(|name| (name.clone(), labels(&name))).collect()
}

/// The labels up to the end of braces: those before `=`, `!=` and `=~`.
fn matched(text: &str) -> BTreeSet<String> {
    let text = text.split_once('}').map_or(text, |(inside, _)| inside);
    let names = text.split(',').filter_map(|pair| pair.split_once(['=', '!']));
    names.map(|(name, _)| name.trim().to_owned()).collect()
}

/// The metrics that an expression names, and the labels that it asks each for.
fn named(expression: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut named = BTreeMap::<String, BTreeSet<String>>::new();
    for (at, _) in expression.match_indices("appkeys_") {
        let rest = &expression[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
        let labels = rest.strip_prefix('{').map(matched).unwrap_or_default();
        named.entry(name.to_owned()).or_default().extend(labels);
    }
    named
}

/// The labels that an expression groups by, and that a text shows: `by (a, b)`, `{{a}}`, `{{ $labels.a }}`.
fn grouped(expression: &str, text: &str) -> BTreeSet<String> {
    let groups = expression
        .split("by (")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let shown = text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    let shown = shown.map(str::trim).filter_map(|shown| match shown.strip_prefix('$') {
        None => Some(shown),
        Some(variable) => variable.strip_prefix("labels."),
    });
    let all = groups.flat_map(|group| group.split(',')).chain(shown);
    all.map(|label| label.trim().to_owned()).collect()
}

fn check(place: &str, expression: &str, text: &str) {
    let (named, existing) = (named(expression), existing());
    assert!(!named.is_empty(), "{place} asks for nothing of ours: {expression}");
    let mut labels: BTreeSet<_> = ADDED.map(str::to_owned).into();
    for (name, asked) in &named {
        let there = existing.get(name);
        let there = there.unwrap_or_else(|| panic!("{place} asks for {name}; there are {existing:?}"));
        labels.extend(there.iter().cloned());
        let unknown: Vec<_> = asked.iter().filter(|label| !labels.contains(*label)).collect();
        assert!(
            unknown.is_empty(),
            "{place} asks {name} for {unknown:?}; it has {there:?}"
        );
    }
    let grouped = grouped(expression, text);
    let unknown: Vec<_> = grouped.difference(&labels).collect();
    assert!(
        unknown.is_empty(),
        "{place} groups or shows by {unknown:?}; there are {labels:?}"
    );
}

#[test]
fn what_an_expression_asks_for_is_found() {
    let expression = r#"sum by (kind, le) (rate(appkeys_a_bucket{pod=~"a",b!="c"}[5m])) / appkeys_c"#;
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let expected = [
        ("appkeys_a_bucket".to_owned(), set(&["b", "pod"])),
        ("appkeys_c".to_owned(), set(&[])),
    ];
    assert_eq!(named(expression), expected.into());
    let shown = grouped(expression, "{{state}} of {{ $labels.verb }}, {{ $value }}");
    assert_eq!(shown, set(&["kind", "le", "state", "verb"]));
}

#[test]
fn alerts_ask_for_metrics_that_there_are_and_say_what_to_do() {
    let objects = render(&json!({"metrics": {"prometheusRule": {"enabled": true}}})).unwrap();
    let rules = &object(&objects, "PrometheusRule", "appkeys")["spec"]["groups"][0]["rules"];
    let rules = rules.as_array().unwrap();
    assert_eq!(rules.len(), 10);
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        check(name, rule["expr"].as_str().unwrap(), &rule["annotations"].to_string());
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
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title} shows nothing");
        for target in targets {
            let expression = target["expr"].as_str().unwrap();
            check(title, expression, target["legendFormat"].as_str().unwrap());
            asked.extend(named(expression).into_keys());
        }
    }
    let existing: BTreeSet<_> = existing().into_keys().collect();
    assert_eq!(asked, existing, "the dashboard shows every metric");
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let query = variable["query"].as_str().unwrap();
        if query != "prometheus" {
            let label = query.trim_end_matches(')').rsplit(", ").next().unwrap();
            check("a variable", query, &format!("{{{{{label}}}}}"));
        }
    }
}
