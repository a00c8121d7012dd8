//! `kill -9` at any moment, with real servers: every key has a working Secret, and nothing is left that nobody knows of.

use serde_json::{Value, json};
use testbed::key_managers::{
    keycloak::{BED, Keycloak, OPERATOR, Options, ROTATING},
    oidc_provider::{self, OidcProvider},
};

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
async fn kills_leave_no_unnamed_client_at_a_registration_server() {
    provider();
    let server = OidcProvider::start(oidc_provider::Options::default()).await.unwrap();
    let cluster = Cluster::start_with(&["--identity=the-only-one"]).await;
    Bed::oidc_provider(&server, Some(server.initial_access_token())).install(&cluster);
    let kills = Kills {
        namespace: "registered",
        keys: 100,
        times: 30,
        spec: json!({"keyManagerRef": {"name": "oidc-provider"}, "rotation": {"strategy": "ReplaceClient"}}),
        flags: &["--identity=the-only-one"],
    };
    let published = kills.run(&cluster).await;
    let there = server.clients().await.unwrap();
    let text = |client: &Value, member: &str| client[member].as_str().unwrap_or_default().to_owned();
    let surplus = there
        .iter()
        .filter(|client| !published.contains(&text(client, "client_id")));
    let events = cluster.kubectl(&["get", "events", "--all-namespaces", "-o", "json"]);
    let mut named = 0;
    for client in surplus {
        // The attempt's id is the last word of the name.
        let (id, name) = (text(client, "client_id"), text(client, "client_name"));
        let attempt = name.rsplit(' ').next().unwrap_or_default();
        assert!(
            events.contains(&id) || events.contains(attempt),
            "{name} ({id}) is named nowhere"
        );
        named += 1;
    }
    eprintln!("{named} surplus clients, each named in an event");
    let known: Vec<_> = there.iter().map(|client| text(client, "client_id")).collect();
    assert!(published.iter().all(|client| known.contains(client)));
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
