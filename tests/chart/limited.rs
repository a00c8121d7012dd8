//! Limited mode: the operator looks after the namespaces that it is told, and is granted nothing of the cluster.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testbed::control_plane::ControlPlane;

use super::{
    installed::{Installed, NAMESPACE},
    is_hook, object,
    permissions::{Record, granted, key_managers, keys, trouble, uninstall},
    render,
};
use crate::support::{application, key, repository, team};

const VALUES: &str = "charts/appkeys/examples/limited.yaml";

fn limited() -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(repository(VALUES)).unwrap()).unwrap()
}

#[test]
fn nothing_is_of_the_cluster() {
    let objects = render(&limited()).unwrap();
    let places: BTreeSet<_> = objects
        .iter()
        .map(|object| object["metadata"]["namespace"].as_str())
        .collect();
    assert_eq!(places, [Some("appkeys"), Some("team-a")].into(), "{objects:#?}");
    let kinds: BTreeSet<_> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert!(!kinds.iter().any(|kind| kind.starts_with("Cluster")), "{kinds:?}");
    let there = objects
        .iter()
        .filter(|object| object["metadata"]["namespace"] == "team-a" && !is_hook(object));
    assert_eq!(there.count(), 2, "a Role and its binding");
    let map = object(&objects, "ConfigMap", "appkeys-resident");
    let text = map["data"]["resident.yaml"].as_str().unwrap();
    let spec: Value = serde_saphyr::from_str(text).unwrap();
    assert_eq!(spec["access"][0]["scopes"], json!(["orders:read", "orders:write"]));
    // A change of the file is seen: its Pods are new ones.
    let annotation = |objects: &[Value]| {
        object(objects, "Deployment", "appkeys")["spec"]["template"]["metadata"]["annotations"].clone()
    };
    let mut changed = limited();
    changed["keyManagers"]["resident"]["access"][0]["scopes"] = json!(["b"]);
    assert_ne!(annotation(&objects), annotation(&render(&changed).unwrap()));
}

#[test]
fn values_that_limited_mode_cannot_keep_are_refused_with_the_mend() {
    let with = |name: &str, value: Value| {
        let mut values = limited();
        values[name] = value;
        values
    };
    for (values, text) in [
        (with("clusterId", json!("")), "clusterId is needed with namespaces"),
        (
            with(
                "keyManagers",
                json!({"sso": {"oidc": {"issuer": "https://sso.example"}}}),
            ),
            "keyManagers.sso: with namespaces there is none but resident",
        ),
        (with("namespaces", json!(["Team"])), "/namespaces/0"),
        (with("namespaces", json!(["a", "a"])), "/namespaces"),
    ] {
        let error = render(&values).unwrap_err();
        assert!(error.contains(text), "{values}: {error}");
    }
    // Without a resident one there are the namespaces' own.
    let objects = render(&with("keyManagers", json!({"resident": null}))).unwrap();
    assert!(objects.iter().all(|object| object["kind"] != "ConfigMap"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_with_what_its_roles_grant_and_needs_all_of_it() {
    let operator = "system:serviceaccount:appkeys:appkeys";
    let hook = "system:serviceaccount:appkeys:appkeys-release";
    let plane = ControlPlane::start_audited(&[operator, hook]).await.unwrap();
    let installed = Installed::nothing_in(plane).await;
    let cluster = &installed.cluster;
    cluster.namespace("team-a").await;
    installed.install(&["--set", "replicas=1", "--values", VALUES]);
    team(cluster, "other").await;
    // Nobody looks at this one.
    cluster.apply(&key("other", "k", &json!({})));
    application(cluster, "team-a");

    cluster.apply(&key("team-a", "scoped", &json!({"scopes": ["orders:read"]})));
    let ready = cluster.ready("team-a", "scoped").await;
    let found = ready.status.unwrap().key_manager.unwrap();
    assert_eq!(found.to_string(), "ClusterKeyManager/resident");
    keys(cluster, "team-a").await;
    application(cluster, "team-a");
    key_managers(cluster, "team-a").await;
    trouble(cluster, "team-a").await;
    damaged_key(&installed).await;
    uninstall(&installed).await;

    let finalizers = cluster.kubectl(&[
        "get",
        "appkeys",
        "--all-namespaces",
        "-o=jsonpath={.items[*].metadata.finalizers[*]}",
    ]);
    assert_eq!(finalizers, "");
    let other = cluster.kubectl(&["-n", "other", "get", "akey", "k", "-o=jsonpath={.status}"]);
    assert_eq!(other, "");
    let record = Record::of(&cluster.plane);
    let objects = render(&limited()).unwrap();
    for (account, role) in [(operator, "appkeys"), (hook, "appkeys-release")] {
        record.nothing_refused(account);
        let places: BTreeSet<_> = record
            .asked_by(account)
            .map(|event| &event["objectRef"])
            .filter(|about| about.is_object())
            .map(|about| about["namespace"].as_str())
            .collect();
        assert_eq!(places, [Some("appkeys"), Some("team-a")].into(), "{account}");
        let own = granted(&objects, "Role", role);
        record.all_used(account, &own, |place| place == NAMESPACE);
        let theirs = granted(&objects, "Role", &format!("{role}-keys"));
        record.all_used(account, &theirs, |place| place == "team-a");
    }
}

/// The key manager that is no object says what is wrong in an event on the operator's Deployment, and is mended.
async fn damaged_key(installed: &Installed) {
    let cluster = &installed.cluster;
    let selector = "--selector=appkeys.dev/component=resident-signing-keys";
    let secret = cluster.kubectl(&["-n", NAMESPACE, "get", "secret", selector, "-o=name"]);
    let damage = json!({"data": {"value": "bm8="}}).to_string();
    cluster.kubectl(&["-n", NAMESPACE, "patch", secret.trim(), "--type=merge", "-p", &damage]);
    let about = "--field-selector=regarding.kind=Deployment";
    let said = async || {
        let events = cluster.kubectl(&["-n", NAMESPACE, "get", "events.v1.events.k8s.io", about, "-o=json"]);
        events.contains("key manager resident: ")
    };
    cluster.until("an event that names the key manager", said).await;
    cluster.kubectl(&["-n", NAMESPACE, "delete", secret.trim()]);
    cluster.apply(&key("team-a", "after", &json!({})));
    cluster.ready("team-a", "after").await;
}

#[test]
fn flags_that_limited_mode_cannot_keep_are_refused_before_anything_is_asked() {
    for (arguments, text) in [
        (&["--namespaces=a"][..], "--namespaces needs --cluster-id"),
        (
            &["--namespaces=a,b", "--cluster-id=c", "--update-crds"],
            "--update-crds is not for limited mode",
        ),
        (&["--resident-file=resident.yaml"], "give --namespaces"),
        (
            &[
                "--namespaces=a",
                "--cluster-id=c",
                "--resident-file=/nowhere/resident.yaml",
            ],
            "read /nowhere/resident.yaml (--resident-file)",
        ),
    ] {
        let mut run = std::process::Command::new(env!("CARGO_BIN_EXE_appkeys"));
        let output = run
            .arg("run")
            .args(arguments)
            .env("KUBECONFIG", "/nowhere")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(text), "{arguments:?}: {said}");
    }
}
