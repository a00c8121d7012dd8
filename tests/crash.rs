//! Nothing is lost, whatever dies: the operator by `kill -9`, a key that comes back, a whole cluster.

use std::collections::BTreeMap;

use appkeys::api::ApplicationKey;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::{Value, json};

use crate::{
    leaks::Issued,
    support::{Cluster, is_ready, key, kills::Kills, team, token},
};

const RECORDS: &str = "appkeys.dev/component=resident-client";

#[tokio::test]
async fn kill_nine_at_any_moment_loses_nothing() {
    let cluster = Cluster::start_with(&["--identity=the-only-one"]).await;
    cluster.apply(&json!({
        "apiVersion": "appkeys.dev/v1alpha1", "kind": "ClusterKeyManager", "metadata": {"name": "resident"},
        "spec": {"default": true, "resident": {}},
    }));
    let kills = Kills {
        namespace: "kills",
        keys: 200,
        times: 50,
        specs: vec![json!({})],
        flags: &["--identity=the-only-one"],
    };
    kills.run(&cluster).await;
    let records = Api::<Secret>::namespaced(cluster.client().await, "appkeys");
    let records = records
        .list_metadata(&ListParams::default().labels(RECORDS))
        .await
        .unwrap();
    assert_eq!(
        records.items.len(),
        kills.keys,
        "one client for each key and none beside"
    );
}

#[tokio::test]
async fn a_retained_key_that_comes_back_has_the_same_client_and_secret() {
    let cluster = Cluster::shared().await;
    team(&cluster, "retained").await;
    let spec = json!({"deletionPolicy": "Retain", "accessTokens": [{"name": "t"}]});
    cluster.apply(&key("retained", "k", &spec));
    cluster.ready("retained", "k").await;
    let before = cluster.secret("retained", "k").await;
    cluster.kubectl(&["-n", "retained", "delete", "akey", "k", "--timeout=60s"]);
    assert_eq!(token(&before, &[]).await.0, 200, "the client stays");
    let secrets = cluster.kubectl(&["-n", "retained", "get", "secrets", "-o", "name"]);
    assert_eq!(secrets.trim(), "secret/k", "the tokens go");

    cluster.apply(&key("retained", "k", &spec));
    let again = cluster.ready("retained", "k").await.status.unwrap();
    assert_eq!(cluster.secret("retained", "k").await, before);
    assert_eq!(again.credential.unwrap().version, 1, "nothing was rotated");

    // A rename: the old key goes, and another one names its Secret.
    cluster.kubectl(&["-n", "retained", "delete", "akey", "k", "--timeout=60s"]);
    cluster.apply(&key("retained", "renamed", &json!({"secret": {"name": "k"}})));
    cluster.ready("retained", "renamed").await;
    let after = cluster.secret("retained", "k").await;
    assert_eq!(
        (&after["client-id"], &after["client-secret"]),
        (&before["client-id"], &before["client-secret"])
    );
    assert_eq!(token(&after, &[]).await.0, 200);
}

/// Everything of ours in a cluster as a backup has it: without uids, versions and status.
fn dump(cluster: &Cluster) -> Vec<Value> {
    let mut objects = vec![];
    for kinds in [
        "namespaces",
        "secrets",
        "clusterkeymanagers,applications.appkeys.dev,applicationkeys",
    ] {
        let list = cluster.kubectl(&["get", kinds, "--all-namespaces", "-o", "json"]);
        let mut list: Value = serde_json::from_str(&list).unwrap();
        objects.append(list["items"].as_array_mut().unwrap());
    }
    for object in &mut objects {
        let object = object.as_object_mut().unwrap();
        object.remove("status");
        let meta = object["metadata"].as_object_mut().unwrap();
        for field in [
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "managedFields",
        ] {
            meta.remove(field);
        }
    }
    let system = |object: &Value| {
        let namespace = if object["kind"] == "Namespace" {
            "name"
        } else {
            "namespace"
        };
        let namespace = object["metadata"][namespace].as_str().unwrap_or_default();
        namespace.starts_with("kube-") || namespace == "default"
    };
    objects.retain(|object| !system(object));
    objects
}

#[tokio::test]
async fn a_cluster_that_is_restored_elsewhere_has_the_same_clients_and_secrets() {
    const KEYS: [&str; 3] = ["plain", "rotated", "replaced"];
    let issued = Issued::default();
    let old = Cluster::start_traced(&["--log=trace"]).await;
    old.quickstart();
    team(&old, "team").await;
    let spec = |name: &str, trigger: &str| {
        let strategy = if name == "replaced" { "ReplaceClient" } else { "Overlap" };
        let rotation = json!({"overlap": "1s", "trigger": trigger, "strategy": strategy});
        key(
            "team",
            name,
            &json!({"accessTokens": [{"name": "t"}], "rotation": rotation}),
        )
    };
    for name in KEYS {
        old.apply(&spec(name, "one"));
        old.ready("team", name).await;
    }
    issued.collect(&old).await;
    for name in ["rotated", "replaced"] {
        old.apply(&spec(name, "two"));
        let idle = |key: &ApplicationKey| {
            let credential = key.status.as_ref().and_then(|status| status.credential.as_ref());
            is_ready(key) && credential.is_some_and(|c| c.version == 2 && c.previous_valid_until.is_none())
        };
        old.key_until("team", name, idle).await;
    }
    issued.collect(&old).await;
    let cluster_id = old.kubectl(&["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"]);
    let mut before = BTreeMap::new();
    for name in KEYS {
        before.insert(name, old.secret("team", name).await);
    }
    issued.assert_secret(&old).await;
    old.terminate();
    let backup = dump(&old);
    let ports = old.ports();
    drop(old);

    let new = Cluster::install_with(ports).await;
    for object in &backup {
        new.apply(object);
    }
    let secrets = async |new: &Cluster| -> Vec<_> {
        let all = Api::<Secret>::all(new.client().await);
        let all = all.list_metadata(&ListParams::default()).await.unwrap();
        all.iter()
            .map(|secret| (secret.name_any(), secret.resource_version()))
            .collect()
    };
    let restored = secrets(&new).await;
    new.run();
    for name in KEYS {
        let foreign = |key: &ApplicationKey| {
            let status = key.status.as_ref();
            status.is_some_and(|s| appkeys::api::conditions::reason(&s.conditions, "Ready") == Some("ForeignCluster"))
        };
        new.key_until("team", name, foreign).await;
    }
    assert_eq!(
        secrets(&new).await,
        restored,
        "nothing is written before somebody says whose these are"
    );
    new.terminate();

    new.run_with(&[&format!("--cluster-id={cluster_id}"), "--log=trace"]);
    for name in KEYS {
        let status = new.ready("team", name).await.status.unwrap();
        let after = new.secret("team", name).await;
        assert_eq!(after, before[name], "{name}");
        assert_eq!(status.client_id.as_ref(), Some(&after["client-id"]));
        assert_eq!(token(&after, &[]).await.0, 200, "{name}");
    }
    issued.collect(&new).await;
    issued.assert_secret(&new).await;
    new.terminate();
}
