//! What the operator uses at key managers elsewhere is said nowhere, not even by the most talkative log.

use serde_json::json;
use testbed::key_managers::{
    keycloak::{BED, OPERATOR_SECRET},
    oidc_provider::{self, OidcProvider},
    okta::Okta,
};

use super::beds::{self, Bed};
use crate::{
    leaks::Issued,
    support::{Cluster, key, team},
};

const TEAM: &str = "silent";
const WRONG: &str = "a-secret-of-the-operator-that-is-wrong";

/// Where each client is, and how it proves itself.
const CLIENTS: [(&str, &str); 6] = [
    (BED, "ClientSecretBasic"),
    (BED, "PrivateKeyJwt"),
    ("oidc-provider", "ClientSecretPost"),
    ("oidc-provider", "PrivateKeyJwt"),
    ("okta", "ClientSecretBasic"),
    ("okta", "PrivateKeyJwt"),
];

/// The name of its key.
fn name(server: &str, authentication: &str) -> String {
    format!("{server}-{authentication}").to_lowercase()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_tokens_and_assertions_are_said_nowhere() {
    let keycloak = beds::keycloak().await;
    let server = OidcProvider::start(oidc_provider::Options::default()).await.unwrap();
    let okta = Okta::start().await.unwrap();
    okta.set(|modes| modes.dpop_required = true);
    let cluster = Cluster::start_traced(&["--allow-local-key-managers", "--log=trace"]).await;
    team(&cluster, TEAM).await;
    Bed::keycloak(&keycloak, BED).install(&cluster);
    Bed::oidc_provider(&server, Some(server.initial_access_token())).install(&cluster);
    Bed::okta(&okta).install(&cluster);
    let mut wrong = Bed::keycloak(&keycloak, BED);
    wrong.secrets[0].1["client-secret"] = json!(WRONG);
    wrong.install_in(&cluster, TEAM);

    let issued = Issued::default();
    issued.add("client-secret", OPERATOR_SECRET);
    issued.add("client-secret", WRONG);
    issued.add("token", server.initial_access_token());
    issued.add("private-key.pem", &okta.operator().private_key);
    let refused = json!({"keyManagerRef": {"kind": "KeyManager", "name": BED}});
    cluster.apply(&key(TEAM, "refused", &refused));
    for trigger in ["first", "second"] {
        for (server, authentication) in CLIENTS {
            let spec = json!({
                "keyManagerRef": {"name": server}, "clientAuthentication": authentication,
                "accessTokens": [{"name": "t"}], "rotation": {"strategy": "ReplaceClient", "trigger": trigger},
            });
            cluster.apply(&key(TEAM, &name(server, authentication), &spec));
        }
        for (server, authentication) in CLIENTS {
            cluster.ready(TEAM, &name(server, authentication)).await;
        }
        issued.collect(&cluster).await;
    }
    let rejected = |key: &appkeys::api::ApplicationKey| {
        let conditions = key.status.as_ref().map_or(&[][..], |status| &status.conditions);
        let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
        ready.is_some_and(|ready| ready.message.contains("Secret keycloak-operator"))
    };
    cluster.key_until(TEAM, "refused", rejected).await;
    issued.assert_secret(&cluster).await;
}
