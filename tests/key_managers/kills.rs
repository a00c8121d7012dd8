//! `kill -9` at any moment, with real servers: every key has a working Secret, and nothing is left that nobody knows of.

use serde_json::{Value, json};
use testbed::key_managers::{
    keycloak::{BED, Keycloak, OPERATOR, Options, ROTATING},
    oidc_provider::{self, OidcProvider},
    okta::{App, Okta},
    wso2::{Application, Client, Key, KeyState, Settings, User, Version, Wso2},
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
        specs: vec![json!({"keyManagerRef": {"name": "oidc-provider"}, "rotation": {"strategy": "ReplaceClient"}})],
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_leave_a_hundred_apps_at_okta() {
    provider();
    let okta = Okta::start().await.unwrap();
    // What new things are slow at, and what nobody may touch.
    okta.set(|modes| {
        modes.young_reads = 1;
        modes.late_credentials = 1;
    });
    for n in 0..50 {
        okta.add_app(&format!("app {n}"), &format!("foreign-client-{n}"));
    }
    let foreign = |app: &App| app.client_id.starts_with("foreign-client-");
    let before: Vec<_> = okta.apps().into_iter().filter(foreign).collect();
    let cluster = Cluster::start_with(&["--identity=the-only-one"]).await;
    Bed::okta(&okta).install(&cluster);
    let kills = Kills {
        namespace: "apps",
        keys: 100,
        times: 30,
        specs: vec![json!({"keyManagerRef": {"name": "okta"}})],
        flags: &["--identity=the-only-one"],
    };
    let published = kills.run(&cluster).await;
    let (others, ours): (Vec<_>, Vec<_>) = okta.apps().into_iter().partition(foreign);
    let mut ids: Vec<_> = ours.iter().map(|app| app.client_id.clone()).collect();
    ids.sort();
    assert_eq!(ids, published.into_iter().collect::<Vec<_>>(), "one app for each key");
    for app in &ours {
        let owner = &app.profile.as_ref().unwrap()["appkeys"]["owner"];
        assert!(owner.as_str().unwrap().contains("/apps/k-"), "{owner}");
        assert!(app.active);
    }
    assert_eq!(others.len(), before.len());
    for (now, before) in others.iter().zip(&before) {
        let parts = |app: &App| {
            (
                app.client_id.clone(),
                app.active,
                app.profile.clone(),
                app.secrets.len(),
            )
        };
        assert_eq!(parts(now), parts(before));
    }
    okta.audit().assert_clean();
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
        specs: vec![json!({"keyManagerRef": {"name": realm}, "rotation": {"strategy": strategy}})],
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

/// An application of WSO2, with its keys and their clients.
type Whole = (Application, Vec<(Key, Option<Client>)>);

/// What a WSO2 has, by the names of applications: what somebody made by hand, or the rest.
fn applications(wso2: &Wso2, by_hand: bool) -> Vec<Whole> {
    let state = wso2.state();
    let all = state.applications.values();
    let some = all.filter(|one| one.described.name.starts_with("by hand") == by_hand);
    let mut some: Vec<_> = some
        .map(|one| {
            let keys = state.keys.values().filter(|key| key.application == one.id);
            let keys = keys.map(|key| (key.clone(), state.client_of(key).cloned()));
            (one.clone(), keys.collect())
        })
        .collect();
    some.sort_by(|(one, _), (other, _)| one.described.name.cmp(&other.described.name));
    some
}

/// Applications with keys that somebody made, some of them as the operator's own user.
fn made_by_hand(wso2: &Wso2) {
    let neighbour = User::new("n", &["Internal/subscriber"]);
    wso2.state().users.insert("neighbour".into(), neighbour);
    for n in 0..30 {
        let user = if n % 2 == 0 { wso2.user() } else { "neighbour" };
        let body = json!({"name": format!("by hand {n}"), "throttlingPolicy": "Unlimited"});
        let (status, made) = wso2.by_hand(user, "POST", "/applications", &body);
        assert_eq!(status, 201, "{made}");
        let path = format!(
            "/applications/{}/generate-keys",
            made["applicationId"].as_str().unwrap()
        );
        let body = json!({"keyType": "PRODUCTION", "grantTypesToBeSupported": ["client_credentials"]});
        assert_eq!(wso2.by_hand(user, "POST", &path, &body).0, 200);
    }
}

#[tokio::test]
async fn kills_leave_a_hundred_keys_at_each_kind_of_wso2() {
    provider();
    let cluster = Cluster::start_with(&["--identity=the-only-one"]).await;
    // One secret, replaced in place, and several.
    let all = [
        ("wso2-single", Version::V4_2, "InPlace"),
        ("wso2-several", Version::V4_7, "Overlap"),
    ];
    let (mut servers, mut specs) = (vec![], vec![]);
    for (name, version, strategy) in all {
        let wso2 = Wso2::start(Settings::of(version)).await.unwrap();
        made_by_hand(&wso2);
        Bed::wso2(&wso2, name).install(&cluster);
        let before = applications(&wso2, true);
        servers.push((wso2, before));
        for environment in ["Production", "Sandbox"] {
            specs.push(json!({
                "environment": environment, "keyManagerRef": {"name": name}, "rotation": {"strategy": strategy},
            }));
        }
    }
    let kills = Kills {
        namespace: "consumers",
        keys: 200,
        times: 30,
        specs,
        flags: &["--identity=the-only-one"],
    };
    let mut published = kills.run(&cluster).await;
    for (wso2, before) in &servers {
        assert_eq!(&applications(wso2, true), before, "what others made is as it was");
        let ours = applications(wso2, false);
        assert_eq!(ours.len(), 50, "one application for each Application");
        for (application, keys) in ours {
            let owner = application.described.description.unwrap_or_default();
            assert!(owner.contains("/consumers/shop-"), "{owner}");
            assert_eq!(keys.len(), 2, "one key for each environment: {keys:?}");
            assert_ne!(keys[0].0.key_type, keys[1].0.key_type);
            for (key, client) in keys {
                assert_eq!(key.state, KeyState::Completed);
                let client = client.unwrap();
                assert_eq!(client.secrets.len(), 1, "the secrets of before are gone");
                assert!(published.remove(&client.id), "{} is of no key of ours", client.id);
            }
        }
        let left = wso2.state().orphans().len();
        assert_eq!(left, 0, "clients that no key has");
        wso2.audit().assert_clean();
    }
    assert!(published.is_empty(), "each Secret's client is there");
}
