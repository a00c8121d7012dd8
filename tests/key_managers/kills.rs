//! `kill -9` at any moment, with real servers: every key has a working Secret, and nothing is left that nobody knows of.

use serde_json::json;
use testbed::key_managers::keycloak::{BED, Keycloak, OPERATOR, Options, ROTATING};

use super::beds::Bed;
use crate::support::{Cluster, kills::Kills, provider};

/// The clients of a realm that are ours.
async fn clients(keycloak: &Keycloak, realm: &str) -> Vec<String> {
    let all = keycloak.admin().clients(realm).await.unwrap();
    let ours = all
        .iter()
        .filter(|client| client["attributes"]["appkeys.owner"].is_string());
    ours.map(|client| client["clientId"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn kills_leave_a_hundred_clients_at_keycloak() {
    provider();
    let keycloak = Keycloak::start(Options::default()).await.unwrap();
    let cluster = Cluster::start_with(&["--identity=the-only-one"]).await;
    for realm in [BED, ROTATING] {
        Bed::keycloak(&keycloak, realm).install(&cluster);
    }
    let kills = |namespace, realm, strategy| Kills {
        namespace,
        keys: 50,
        times: 15,
        spec: json!({"keyManagerRef": {"name": realm}, "rotation": {"strategy": strategy}}),
        flags: &["--identity=the-only-one"],
    };
    // Two secrets for a time, and two clients for a time.
    for (namespace, realm, strategy) in [("overlap", ROTATING, "Overlap"), ("replace", BED, "ReplaceClient")] {
        let published = kills(namespace, realm, strategy).run(&cluster).await;
        let mut there = clients(&keycloak, realm).await;
        there.sort();
        assert_eq!(
            there,
            published.into_iter().collect::<Vec<_>>(),
            "{realm}: one client for each key"
        );
        let operator = keycloak.admin().client(realm, OPERATOR).await.unwrap();
        assert!(operator.is_some(), "the operator's own client is left alone");
    }
}
