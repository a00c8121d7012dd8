//! The Helm chart: what it renders, which values it takes, what a real API server makes of it, and a life with it.
//!
//! Where Pods are needed, the test bed's nodes run the operator with the command line, the environment and the
//! ServiceAccount that the chart gives it.

mod installed; // a cluster in which the chart is installed

mod rendering;
mod values;
mod monitoring;
mod admission; // what the API server says to it, and to its Pods
mod teams;
mod life; // install, upgrade, rollback, uninstall, install again
mod load; // workloads that ask for tokens
mod renewals; // access tokens in Secrets
mod writers; // who wrote when
mod tenants; // one who is after the others
mod availability; // while Pods come and go
mod definitions;
mod permissions;
mod limited; // a few namespaces, and nothing of the cluster
mod docs;

use serde_json::Value;
use testbed::helm::Helm;

/// What the chart renders with these values.
fn render(values: &Value) -> Result<Vec<Value>, String> {
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), values.to_string()).unwrap();
    let helm = Helm::without_cluster().unwrap();
    let chart = ["template", "appkeys", "charts/appkeys", "--namespace", "appkeys"];
    let values = ["--kube-version", "1.36.0", "--values", file.path().to_str().unwrap()];
    let text = helm
        .run(&[&chart[..], &values].concat())
        .map_err(|error| format!("{error:#}"))?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    Ok(objects.into_iter().filter(|object| !object.is_null()).collect())
}

/// Whether it is there only while the chart is uninstalled.
fn is_hook(object: &Value) -> bool {
    object["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
}

/// The one object of a kind and name.
fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects
        .iter()
        .filter(|o| o["kind"] == kind && o["metadata"]["name"] == name);
    let found: Vec<_> = found.collect();
    assert_eq!(found.len(), 1, "{kind} {name} in {objects:#?}");
    found[0]
}

/// Values that turn on all that is off, and change what else can be changed.
fn everything() -> Value {
    serde_json::json!({
        "image": {"repository": "registry.example.com/appkeys", "digest": format!("sha256:{}", "0a".repeat(32)), "pullPolicy": "Always"},
        "imagePullSecrets": ["pull"],
        "keyManagers": {
            "resident": {"limits": {"maxInFlight": 8}},
            "keycloak": {
                "keycloak": {
                    "url": "https://keycloak.example.com", "realm": "example",
                    "credentialsSecretRef": {"name": "keycloak-operator"},
                },
                "access": [{"namespaceSelector": {}, "scopes": ["orders:read"]}],
            },
        },
        "replicas": 3,
        "clusterId": "the-old-cluster",
        "residentUrl": "https://tokens.example.com",
        "deletionDeadline": "30m",
        "namespaceRequestsPerSecond": 5,
        "leaseSeconds": 10,
        "log": {"filter": "appkeys=debug", "format": "text"},
        "tracing": {"endpoint": "http://collector.example.com:4318"},
        "env": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"}],
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": 2, "memory": "2Gi"}},
        "priorityClassName": "system-cluster-critical",
        "podLabels": {"team": "platform"},
        "podAnnotations": {"example.com/note": "a note"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "platform", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "preference": {"matchExpressions": [{"key": "platform", "operator": "Exists"}]}}
        ]}},
        "topologySpread": {"keys": ["topology.kubernetes.io/zone"], "whenUnsatisfiable": "DoNotSchedule"},
        "networkPolicy": {
            "clients": [{"namespaceSelector": {"matchLabels": {"tokens": "yes"}}}],
            "metrics": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
            "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 443, "protocol": "TCP"}]}],
        },
        "metrics": {
            "serviceMonitor": {"enabled": true, "interval": "15s", "labels": {"release": "prometheus"}},
            "prometheusRule": {"enabled": true, "labels": {"release": "prometheus"}},
            "dashboard": {"enabled": true},
        },
    })
}
