//! A life with Helm: install, upgrade, rollback, uninstall, install again.

use appkeys::api::{ApplicationKey, conditions};
use serde_json::{Value, json};

use super::installed::Installed;
use crate::support::{Cluster, key, repository, team, token};

/// What outlives the release: keys need it.
const KEPT: &str = "ClusterKeyManager/resident";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn installed_upgraded_rolled_back_uninstalled_and_installed_again() {
    let installed = Installed::nothing().await;
    let cluster = &installed.cluster;
    let said = installed.install(&[]);
    assert!(said.contains("kubectl apply -f examples/quickstart.yaml"), "{said}");
    let first = installed.objects();
    assert_eq!(installed.nodes().pods().len(), 2);

    // The first key, with nothing else done.
    cluster.kubectl(&["apply", "-f", &repository("examples/quickstart.yaml")]);
    cluster.ready("team-a", "shop-production").await;
    let entries = cluster.secret("team-a", "shop-production").await;
    assert_eq!(token(&entries, &[]).await.0, 200);

    // Other values, and with them other Pods.
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), scopes().to_string()).unwrap();
    let pods = installed.nodes().pods();
    let values = ["--values", file.path().to_str().unwrap(), "--set", "replicas=3"];
    let upgrade = "upgrade appkeys charts/appkeys";
    installed.helm(upgrade, &values).unwrap();
    assert_eq!(installed.objects(), first, "nothing is made anew");
    let after = installed.nodes().pods();
    assert_eq!(after.len(), 3);
    assert!(
        after.keys().filter(|name| pods.contains_key(*name)).count() == 2,
        "{pods:?} {after:?}"
    );
    assert_eq!(token(&entries, &[]).await.0, 200);
    cluster.kubectl(&["apply", "-f", &repository("examples/tokens-and-rotation.yaml")]);
    cluster.ready("team-a", "shop-sandbox").await;

    // Back: what the first revision did not grant is taken away.
    installed.helm("rollback appkeys 1", &[]).unwrap();
    assert_eq!(installed.objects(), first, "nothing is made anew");
    assert_eq!(installed.nodes().pods().len(), 2);
    let denied = |key: &ApplicationKey| {
        let status = key.status.as_ref();
        status.is_some_and(|status| conditions::reason(&status.conditions, "Ready") == Some("AccessDenied"))
    };
    cluster.key_until("team-a", "shop-sandbox", denied).await;
    let kept = cluster.secret("team-a", "shop-production").await;
    assert_eq!(kept, entries);

    // Without the operator: definitions, key managers, keys and Secrets stay, and nothing waits for it.
    team(cluster, "other").await;
    cluster.apply(&key("other", "k", &json!({})));
    cluster.ready("other", "k").await;
    assert!(finalizers(cluster).contains("appkeys.dev/cleanup"));
    installed.helm("uninstall appkeys", &[]).unwrap();
    let said = installed.nodes().output();
    let kept = format!("kept: client {} of team-a/shop-production", entries["client-id"]);
    assert!(said.contains(&kept), "{said}");
    let released = "released: 3 applicationkeys, 2 applications, 0 keymanagers, 1 clusterkeymanagers";
    assert!(said.contains(released), "{said}");
    assert_eq!(finalizers(cluster), "");
    cluster.kubectl(&["delete", "namespace", "other", "--timeout=60s"]);
    let left = installed.objects();
    assert_eq!(left.keys().collect::<Vec<_>>(), [KEPT]);
    assert_eq!(left[KEPT], first[KEPT]);
    let crds = cluster.kubectl(&["get", "crds", "-o", "name"]);
    assert_eq!(crds.matches(".appkeys.dev").count(), 4, "{crds}");
    assert_eq!(cluster.secret("team-a", "shop-production").await, entries);

    // With one again: it goes on where the other one was.
    installed.install(&[]);
    assert_eq!(installed.objects()[KEPT], first[KEPT]);
    cluster.kubectl(&["-n", "team-a", "label", "akey", "shop-production", "looked=at"]);
    cluster.ready("team-a", "shop-production").await;
    let mut again = entries.clone();
    cluster
        .until("the token endpoint to answer again", async || {
            token(&entries, &[]).await.0 == 200
        })
        .await;
    again.extend(cluster.secret("team-a", "shop-production").await);
    assert_eq!(again, entries, "nothing was rotated");
    cluster
        .until("the finalizers to be back", async || {
            finalizers(cluster).matches("appkeys.dev/cleanup").count() == 4
        })
        .await;
}

/// Those of all custom resources.
fn finalizers(cluster: &Cluster) -> String {
    let path = "-o=jsonpath={.items[*].metadata.finalizers[*]}";
    cluster.kubectl(&["get", "appkeys", "--all-namespaces", path])
}

/// What the example with scopes needs.
fn scopes() -> Value {
    let team = json!({"matchLabels": {"kubernetes.io/metadata.name": "team-a"}});
    json!({"keyManagers": {"resident": {"access": [
        {"namespaceSelector": {}},
        {"namespaceSelector": team, "scopes": ["orders:read", "orders:write"]},
    ]}}})
}
