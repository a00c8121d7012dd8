//! Of two key managers one hangs: the keys of the other do not wait for it.

use serde_json::json;
use testbed::key_managers::keycloak::{BED, Keycloak, Options};

use super::beds::Bed;
use crate::support::{Cluster, is_ready, kills::Kills, provider, team};
use appkeys::api::{ApplicationKey, ClusterKeyManager, conditions};
use kube::{Api, api::ListParams};

const KEYS: usize = 20;

fn keys(namespace: &'static str, key_manager: &str) -> Kills {
    Kills {
        namespace,
        keys: KEYS,
        times: 0,
        specs: vec![json!({"keyManagerRef": {"name": key_manager}})],
        flags: &[],
    }
}

#[tokio::test]
async fn a_key_manager_that_hangs_delays_no_key_of_another() {
    provider();
    let keycloak = Keycloak::start(Options::default()).await.unwrap();
    let cluster = Cluster::start().await;
    let beds = [Bed::keycloak(&keycloak, BED), Bed::resident()];
    let managers = Api::<ClusterKeyManager>::all(cluster.client().await);
    for bed in &beds {
        bed.install(&cluster);
        let reachable = async || {
            let status = managers.get(bed.name).await.unwrap().status.unwrap_or_default();
            conditions::is_true(&status.conditions, "Ready")
        };
        cluster.until(&format!("{} to be reachable", bed.name), reachable).await;
    }
    let (dead, living) = (keys("dead", BED), keys("living", "resident"));
    let late = keys("late", "resident");
    for keys in [&dead, &living, &late] {
        team(&cluster, keys.namespace).await;
    }
    let all: Vec<_> = (0..KEYS).collect();

    keycloak.pause().unwrap();
    cluster.apply(&dead.list(&all, "first"));
    cluster.apply(&living.list(&all, "first"));
    living.all_work(&cluster).await;
    let hanging = Api::<ApplicationKey>::namespaced(cluster.client().await, "dead");
    let listed = async || hanging.list(&ListParams::default()).await.unwrap().items;
    let ready = listed().await;
    assert_eq!(ready.len(), KEYS);
    assert!(!ready.iter().any(is_ready), "it hangs");
    // Nor do those wait that are made once it is known that it does not answer.
    let said = |key: &ApplicationKey| {
        let conditions = key.status.as_ref().map_or(&[][..], |status| &status.conditions);
        conditions::reason(conditions, "Ready").is_some()
    };
    let known = async || listed().await.iter().any(said);
    cluster.until("a key to say that it does not answer", known).await;
    cluster.apply(&late.list(&all, "first"));
    late.all_work(&cluster).await;
    assert!(!listed().await.iter().any(is_ready), "it hangs still");

    keycloak.resume().unwrap();
    dead.all_work(&cluster).await;
}
