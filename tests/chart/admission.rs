//! What a real API server says to what the chart renders, and to its Pods where Pod Security is `restricted`.

use serde_json::{Value, json};
use testbed::prometheus_operator;

use super::{everything, object, render};
use crate::support::Cluster;

#[tokio::test]
async fn the_api_server_takes_all_that_is_rendered() {
    let cluster = Cluster::shared().await;
    for file in prometheus_operator::definitions(&["servicemonitors", "prometheusrules"]).unwrap() {
        cluster.kubectl(&["apply", "--server-side", "-f", file.to_str().unwrap()]);
    }
    let monitoring = [
        "crd/servicemonitors.monitoring.coreos.com",
        "crd/prometheusrules.monitoring.coreos.com",
    ];
    let established = ["wait", "--for=condition=Established", "--timeout=60s"];
    cluster.kubectl(&[&established[..], &monitoring].concat());
    for values in [json!({}), everything()] {
        let objects = render(&values).unwrap();
        let said = dry_run(
            &cluster,
            "apply",
            &json!({"apiVersion": "v1", "kind": "List", "items": objects}),
            "appkeys",
        );
        assert_eq!(said.unwrap().lines().count(), objects.len());
    }
}

/// What a request would do, the strictest reading of fields included.
fn dry_run(cluster: &Cluster, verb: &str, object: &Value, namespace: &str) -> Result<String, String> {
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), object.to_string()).unwrap();
    let command = [
        verb,
        "--dry-run=server",
        "--validate=strict",
        "--warnings-as-errors",
        "-n",
        namespace,
        "-f",
    ];
    let command = [&command[..], &[file.path().to_str().unwrap()]].concat();
    cluster.plane.kubectl(&command).map_err(|error| format!("{error:#}"))
}

#[tokio::test]
async fn its_pods_may_run_where_pod_security_is_restricted() {
    let cluster = Cluster::shared().await;
    cluster.namespace("restricted").await;
    let label = "pod-security.kubernetes.io/enforce=restricted";
    cluster.kubectl(&["label", "namespace", "restricted", label]);
    let objects = render(&everything()).unwrap();
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
    for (kind, name) in [("Job", "appkeys-release"), ("Deployment", "appkeys")] {
        pod["spec"] = object(&objects, kind, name)["spec"]["template"]["spec"].clone();
        dry_run(&cluster, "create", &pod, "restricted").unwrap();
    }
    // The namespace does refuse what is not.
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    let refused = dry_run(&cluster, "create", &pod, "restricted").unwrap_err();
    assert!(refused.contains("violates PodSecurity \"restricted"), "{refused}");
}

#[tokio::test]
async fn a_key_manager_with_a_mistake_is_refused_by_the_api_server() {
    let cluster = Cluster::shared().await;
    for (spec, words) in [
        (json!({"resident": {"issuers": "a"}}), "issuers"),
        (json!({"resident": {}, "keycloak": null, "default": "yes"}), "default"),
        (json!({"access": []}), "exactly one kind of key manager must be given"),
    ] {
        let objects = render(&json!({"keyManagers": {"mistaken": spec}})).unwrap();
        let manager = object(&objects, "ClusterKeyManager", "mistaken");
        let refused = dry_run(&cluster, "create", manager, "appkeys").unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }
}
