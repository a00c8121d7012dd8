//! A namespace that goes while the server of its own key manager is away.

use k8s_openapi::api::core::v1::{Event, Namespace};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use serde_json::json;
use testbed::{
    key_managers::keycloak::{BED, Keycloak, Options},
    process::End,
};

use super::beds::Bed;
use crate::support::{Cluster, key, provider, team};
use appkeys::api::{ApplicationKey, KeyManager};

const NAMESPACE: &str = "leaving";

#[tokio::test]
async fn a_namespace_that_goes_leaves_nothing_at_its_own_key_manager() {
    provider();
    let mut keycloak = Keycloak::start(Options::default()).await.unwrap();
    let cluster = Cluster::start_with(&["--allow-local-key-managers", "--deletion-deadline=1s"]).await;
    team(&cluster, NAMESPACE).await;
    Bed::keycloak(&keycloak, BED).install_in(&cluster, NAMESPACE);
    cluster.apply(&key(
        NAMESPACE,
        "orders",
        &json!({"keyManagerRef": {"kind": "KeyManager", "name": BED}}),
    ));
    cluster.ready(NAMESPACE, "orders").await;
    let client = cluster.secret(NAMESPACE, "orders").await["client-id"].clone();
    assert!(keycloak.admin().client(BED, &client).await.unwrap().is_some());

    // What the namespace controller does: the namespace takes nothing new, and all in it goes in no order.
    keycloak.stop(End::Crash).await.unwrap();
    let params = DeleteParams::default();
    let api = cluster.client().await;
    let namespaces = Api::<Namespace>::all(api.clone());
    namespaces.delete(NAMESPACE, &params).await.unwrap();
    cluster.kubectl(&["delete", "secrets", "--all", "--namespace", NAMESPACE]);
    let managers = Api::<KeyManager>::namespaced(api.clone(), NAMESPACE);
    managers.delete(BED, &params).await.unwrap();
    let keys = Api::<ApplicationKey>::namespaced(api.clone(), NAMESPACE);
    keys.delete("orders", &params).await.unwrap();
    cluster
        .until("the key and its key manager to go", async || {
            keys.get_opt("orders").await.unwrap().is_none() && managers.get_opt(BED).await.unwrap().is_none()
        })
        .await;

    let events = Api::<Event>::namespaced(api, "appkeys");
    let about = ListParams::default().fields("involvedObject.kind=Deployment,involvedObject.name=appkeys");
    let named = async || {
        let all = events.list(&about).await.unwrap();
        let notes = all.into_iter().filter_map(|event| event.message);
        notes.filter(|note| note.contains(&client)).count()
    };
    assert_eq!(named().await, 1, "an event names what is left, where it can be read");

    // Another process knows nothing but what is kept in the operator's namespace.
    cluster.kill();
    keycloak.start_again().await.unwrap();
    cluster.run_with(&["--allow-local-key-managers"]);
    cluster
        .until("the client to go", async || {
            keycloak.admin().client(BED, &client).await.unwrap().is_none()
        })
        .await;
}
