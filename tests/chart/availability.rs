//! Tokens and keys while Pods come and go, are killed, lose their way to the API server, or it pauses.

use serde_json::json;
use testbed::control_plane::ControlPlane;
use tokio::time::Instant;

use super::{installed::Installed, load::Load, renewals::Renewed, writers::one_at_a_time};
use crate::support::{Cluster, key, leads, team, token};

const OPERATOR: &str = "system:serviceaccount:appkeys:appkeys";
const ROTATED: usize = 12;

/// A key whose secret is rotated by this trigger.
fn rotated(n: usize, trigger: &str) -> serde_json::Value {
    let rotation = json!({"overlap": "1s", "trigger": trigger});
    key("team", &format!("k{n}"), &json!({"rotation": rotation}))
}

async fn version(cluster: &Cluster, n: usize) -> i64 {
    let key = cluster.ready("team", &format!("k{n}")).await;
    key.status.unwrap().credential.unwrap().version
}

/// The Pod that leads, where one does.
async fn leader(installed: &Installed) -> Option<String> {
    for (pod, ports) in installed.nodes().pods() {
        if leads(ports).await {
            return Some(pod);
        }
    }
    None
}

async fn another_leads(installed: &Installed, than: &str) {
    let another = async || leader(installed).await.is_some_and(|pod| pod != than);
    installed.cluster.until("another Pod to lead", another).await;
}

async fn audited() -> Installed {
    Installed::nothing_in(ControlPlane::start_audited(&[OPERATOR]).await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_under_load_fails_no_request_and_a_killed_leader_loses_no_key_and_renews_nothing_twice() {
    let installed = audited().await;
    installed.install(&["--set", "keyManagers.resident.resident.accessTokenLifetime=1m"]);
    let cluster = &installed.cluster;
    team(cluster, "team").await;
    for n in 0..ROTATED {
        cluster.apply(&rotated(n, "first"));
    }
    // Renewed every ten seconds or so.
    let often = json!({"accessTokens": [{"name": "t", "renewBefore": "50s"}]});
    for name in ["t0", "t1", "t2"] {
        cluster.apply(&key("team", name, &often));
        cluster.ready("team", name).await;
    }
    for n in 0..ROTATED {
        assert_eq!(version(cluster, n).await, 1);
    }
    let renewed = Renewed::watch(cluster, "team").await;
    let entries = cluster.secret("team", "t0").await;
    let load = Load::start(&entries);

    let before = installed.nodes().pods();
    installed
        .helm(
            "upgrade appkeys charts/appkeys",
            &["--reuse-values", "--set", "podAnnotations.again=yes"],
        )
        .unwrap();
    let replaced = async || {
        let now = installed.nodes().pods();
        now.len() == 2 && now.keys().all(|name| !before.contains_key(name))
    };
    cluster.until("every Pod to be replaced", replaced).await;
    let then = load.answered();
    cluster
        .until("tokens from the new Pods", async || load.answered() >= then + 500)
        .await;
    let failed = load.failed();
    assert!(
        failed.is_empty(),
        "{} of {}: {failed:#?}",
        failed.len(),
        load.answered()
    );
    println!("upgrade: {} token requests, none failed", load.answered());

    // It dies in the middle of many rotations.
    let mut leading = None;
    cluster
        .until("a Pod to lead", async || {
            leading = leader(&installed).await;
            leading.is_some()
        })
        .await;
    let leading = leading.unwrap();
    for n in 0..ROTATED {
        cluster.apply(&rotated(n, "second"));
    }
    cluster
        .until("the first rotation", async || version(cluster, 0).await == 2)
        .await;
    installed.nodes().kill(&leading).unwrap();
    let killed = Instant::now();
    another_leads(&installed, &leading).await;
    let took_over = killed.elapsed();
    let then = load.answered();
    cluster
        .until("tokens from the Pod that is left", async || {
            load.answered() >= then + 500
        })
        .await;
    let failed = load.failed();
    println!(
        "kill -9 of the leader: another one led after {took_over:.1?} (Lease of 5 s); {} of {} token requests failed",
        failed.len(),
        load.answered()
    );
    // Of those that were under way, and of those that were passed on before the balancer knew.
    assert!(failed.iter().all(|why| !why.contains("status")), "{failed:#?}");
    for n in 0..ROTATED {
        let turned = async || version(cluster, n).await == 2;
        cluster.until("each key to be rotated", turned).await;
    }
    let count = renewed.count();
    cluster
        .until("renewals by the new leader", async || renewed.count() >= count + 3)
        .await;
    drop(load);
    for n in 0..ROTATED {
        let entries = cluster.secret("team", &format!("k{n}")).await;
        assert_eq!(token(&entries, &[]).await.0, 200, "k{n}");
        assert_eq!(version(cluster, n).await, 2, "each trigger rotates once");
    }
    renewed.none_twice();
    assert!(one_at_a_time(&cluster.plane, OPERATOR) >= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_leader_that_is_cut_off_nor_an_api_server_that_pauses_makes_a_second_writer() {
    let installed = audited().await;
    installed.install(&[]);
    let cluster = &installed.cluster;
    team(cluster, "team").await;
    for n in 0..ROTATED {
        cluster.apply(&rotated(n, "first"));
    }
    for n in 0..ROTATED {
        assert_eq!(version(cluster, n).await, 1);
    }
    let leading = leader(&installed).await.expect("one leads, or nothing would be ready");
    for n in 0..ROTATED {
        cluster.apply(&rotated(n, "second"));
    }
    installed.nodes().cut(&leading, true).unwrap();
    another_leads(&installed, &leading).await;
    for n in 0..ROTATED {
        let turned = async || version(cluster, n).await == 2;
        cluster.until("each key to be rotated by the next leader", turned).await;
    }
    installed.nodes().cut(&leading, false).unwrap();

    // Nobody leads who cannot renew the Lease.
    for n in 0..ROTATED {
        cluster.apply(&rotated(n, "third"));
    }
    cluster.plane.pause(true).unwrap();
    cluster
        .until("nobody to lead", async || leader(&installed).await.is_none())
        .await;
    cluster.plane.pause(false).unwrap();
    for n in 0..ROTATED {
        let turned = async || version(cluster, n).await == 3;
        cluster.until("each key to be rotated after the pause", turned).await;
    }
    assert!(one_at_a_time(&cluster.plane, OPERATOR) >= 2);
}
