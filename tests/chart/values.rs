//! Which values the chart takes.

use serde_json::{Value, json};

use super::{everything, render};
use crate::support::repository;

#[test]
fn good_values_are_taken() {
    for values in [
        json!({}),
        everything(),
        json!({"image": {"digest": ""}}),
        json!({"keyManagers": {"resident": null}}),
        json!({"keyManagers": {"a.b-c": {"resident": {"signingAlgorithm": "RS256"}}}}),
        json!({"replicas": 1}),
        json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
        json!({"deletionDeadline": "1h30m"}),
        json!({"networkPolicy": {"metrics": []}}),
        json!({"global": {"of": "another chart"}}),
    ] {
        if let Err(error) = render(&values) {
            panic!("{values} is refused: {error}");
        }
    }
}

#[test]
fn bad_values_are_refused_with_their_place() {
    for (values, place) in [
        (json!({"replica": 3}), "replica"),
        (json!({"replicas": 0}), "/replicas"),
        (json!({"replicas": "2"}), "/replicas"),
        (json!({"image": {"repository": ""}}), "/image/repository"),
        (json!({"image": {"digest": "sha256:abc"}}), "/image/digest"),
        (json!({"image": {"tag": "a b"}}), "/image/tag"),
        (json!({"image": {"pullPolicy": "Sometimes"}}), "/image/pullPolicy"),
        (json!({"image": {"name": "appkeys"}}), "name"),
        (json!({"imagePullSecrets": [{"name": "a"}]}), "/imagePullSecrets/0"),
        (json!({"keyManagers": [{"name": "a"}]}), "/keyManagers"),
        (json!({"keyManagers": {"A": {"resident": {}}}}), "propertyName 'A'"),
        (json!({"keyManagers": {"a": {}}}), "/keyManagers/a"),
        (json!({"keyManagers": {"a": "resident"}}), "/keyManagers/a"),
        (json!({"residentUrl": "http://tokens.example.com"}), "/residentUrl"),
        (json!({"residentUrl": "https://tokens.example.com?a"}), "/residentUrl"),
        (json!({"deletionDeadline": "an hour"}), "/deletionDeadline"),
        (json!({"deletionDeadline": 3600}), "/deletionDeadline"),
        (json!({"namespaceRequestsPerSecond": 0}), "/namespaceRequestsPerSecond"),
        (json!({"leaseSeconds": 1}), "/leaseSeconds"),
        (json!({"log": {"level": "info"}}), "level"),
        (json!({"log": {"format": "xml"}}), "/log/format"),
        (json!({"env": [{"value": "a"}]}), "/env/0"),
        (
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {}}}]}),
            "/env/0/valueFrom",
        ),
        (json!({"crds": {"enabled": true}}), "enabled"),
        (json!({"rbac": {"create": "yes"}}), "/rbac/create"),
        (
            json!({"resources": {"limits": {"memory": "a lot"}}}),
            "/resources/limits/memory",
        ),
        (json!({"resources": {"memory": "1Gi"}}), "memory"),
        (json!({"podLabels": {"a": "not a label"}}), "/podLabels/a"),
        (
            json!({"podLabels": {"app.kubernetes.io/name": "other"}}),
            "app.kubernetes.io/name",
        ),
        (json!({"podAnnotations": {"a": 1}}), "/podAnnotations/a"),
        (json!({"tolerations": [{"effect": "Never"}]}), "/tolerations/0/effect"),
        (json!({"affinity": {"spread": {}}}), "spread"),
        (
            json!({"topologySpread": {"whenUnsatisfiable": "Panic"}}),
            "/topologySpread/whenUnsatisfiable",
        ),
        (json!({"podDisruptionBudget": {"minAvailable": 1}}), "minAvailable"),
        (
            json!({"networkPolicy": {"clients": [{"namespace": "a"}]}}),
            "/networkPolicy/clients/0",
        ),
        (
            json!({"networkPolicy": {"egress": [{"cidr": "10.0.0.0/8"}]}}),
            "/networkPolicy/egress/0",
        ),
        (
            json!({"metrics": {"serviceMonitor": {"interval": "often"}}}),
            "/metrics/serviceMonitor/interval",
        ),
        (json!({"metrics": {"alerts": true}}), "alerts"),
    ] {
        let Err(error) = render(&values) else {
            panic!("{values} is taken");
        };
        assert!(error.contains("schema"), "{values}: {error}");
        assert!(error.contains(place), "{values} is refused without {place}: {error}");
    }
}

/// Where anything may be written is said by name: the rest is a list of what there is.
#[test]
fn an_unknown_value_is_refused_everywhere() {
    let text = std::fs::read_to_string(repository("charts/appkeys/values.schema.json")).unwrap();
    let mut open = vec![];
    look("", &serde_json::from_str(&text).unwrap(), &mut open);
    open.sort();
    assert_eq!(
        open,
        [
            "/affinity/nodeAffinity",
            "/affinity/podAffinity",
            "/affinity/podAntiAffinity",
            "/global",
            "/keyManagers/*",
        ]
    );
}

fn look(place: &str, schema: &Value, open: &mut Vec<String>) {
    let closed = schema["additionalProperties"] == false || schema["additionalProperties"].is_object();
    if schema["type"] == "object" && !closed {
        open.push(place.to_owned());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        look(&format!("{place}/{name}"), property, open);
    }
    for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
        look(&format!("${name}"), definition, open);
    }
    for below in ["items", "additionalProperties"] {
        if schema[below].is_object() {
            look(&format!("{place}/*"), &schema[below], open);
        }
    }
}
