//! Reloader starts workloads again for each rotation, once, and not for the renewal of access tokens: by each of the annotations
//! that docs/secrets.md names.

use appkeys::api::{ApplicationKey, application_key::Phase};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::json;
use testbed::reloader::Reloader;

use crate::support::{Cluster, is_ready, repository};

const NAMESPACE: &str = "team-a";
/// A Deployment for each annotation, and the Secret that it has.
const WORKLOADS: [(&str, &str); 3] = [
    ("shop-env", "shop-env"),
    ("shop-spring", "shop-spring"),
    ("shop-reloaded", "shop-reloaded"),
];

/// How often each Deployment was changed.
async fn generations(cluster: &Cluster) -> Vec<i64> {
    let api = Api::<Deployment>::namespaced(cluster.client().await, NAMESPACE);
    let mut all = vec![];
    for (deployment, _) in WORKLOADS {
        all.push(api.get(deployment).await.unwrap().metadata.generation.unwrap());
    }
    all
}

/// Waits until the access token of each key has been renewed so often.
async fn renewed(cluster: &Cluster, times: usize) {
    for (_, secret) in WORKLOADS {
        let tokens = format!("{secret}-tokens");
        for _ in 0..times {
            let before = cluster.secret(NAMESPACE, &tokens).await;
            let other = async || cluster.secret(NAMESPACE, &tokens).await != before;
            cluster.until("a renewal", other).await;
        }
    }
}

#[tokio::test]
async fn a_rotation_restarts_a_workload_once_and_a_renewal_does_not() {
    let cluster = Cluster::start().await;
    cluster.quickstart();
    cluster.kubectl(&[
        "patch",
        "ckm",
        "resident",
        "--type=merge",
        "-p",
        r#"{"spec": {"resident": {"accessTokenLifetime": "1m"}}}"#,
    ]);
    for file in ["env", "spring", "reloader"] {
        cluster.kubectl(&["apply", "-f", &repository(&format!("examples/presets/{file}.yaml"))]);
    }
    // Renewed every ten seconds or so, and a rotation that is over soon.
    let often = json!({"spec": {
        "accessTokens": [{"name": "orders", "renewBefore": "50s"}], "rotation": {"overlap": "1s"},
    }});
    for (_, key) in WORKLOADS {
        let patch = ["patch", "akey", key, "--type=merge", "-p", &often.to_string()];
        cluster.kubectl(&[&["-n", NAMESPACE][..], &patch].concat());
        cluster.ready(NAMESPACE, key).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let reloader = Reloader::start(&cluster.plane.access(), folder.path()).await.unwrap();
    println!("Reloader: {}", reloader.name);
    let before = generations(&cluster).await;
    renewed(&cluster, 2).await;
    assert_eq!(generations(&cluster).await, before, "a renewal restarted a workload");

    for (_, key) in WORKLOADS {
        cluster.kubectl(&["-n", NAMESPACE, "annotate", "akey", key, "appkeys.dev/rotate=now"]);
    }
    let after: Vec<_> = before.iter().map(|generation| generation + 1).collect();
    let restarted = async || generations(&cluster).await == after;
    cluster.until("each workload to be restarted", restarted).await;
    for (_, key) in WORKLOADS {
        let over = |key: &ApplicationKey| {
            let credential = key.status.as_ref().and_then(|status| status.credential.as_ref());
            is_ready(key) && credential.is_some_and(|c| c.version == 2 && c.phase == Phase::Idle)
        };
        cluster.key_until(NAMESPACE, key, over).await;
    }
    renewed(&cluster, 1).await;
    assert_eq!(generations(&cluster).await, after, "one rotation, one restart");
}
