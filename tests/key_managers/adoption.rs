//! Clients that somebody made by hand: taken over with a proof and a rule, and otherwise left as they are.

use std::sync::Arc;

use appkeys::api::{ApplicationKey, conditions};
use serde_json::{Value, json};
use testbed::key_managers::keycloak::{Admin, BED, Keycloak};

use super::beds::{self, Bed};
use crate::support::{Cluster, key, team, token};

const SECRET: &str = "a-secret-that-was-chosen-by-hand";
const OWNER: &str = "appkeys.owner";

/// A namespace whose keys adopt clients of a Keycloak, by a key manager of its name.
struct Team {
    keycloak: Arc<Keycloak>,
    cluster: Arc<Cluster>,
    namespace: &'static str,
}

impl Team {
    /// One that may adopt.
    async fn new(namespace: &'static str) -> Self {
        Self::with(namespace, true).await
    }

    async fn with(namespace: &'static str, adopt: bool) -> Self {
        let keycloak = beds::keycloak().await;
        let cluster = beds::cluster().await;
        let bed = Bed::keycloak(&keycloak, BED);
        // Nothing here is another test's: of two that create one object at the same time one fails.
        let own = |name: &str| format!("{namespace}-{name}");
        let secret = |(name, entries): &(String, Value)| {
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": own(name), "namespace": "appkeys"},
                "stringData": entries,
            })
        };
        let mut items: Vec<_> = bed.secrets.iter().map(secret).collect();
        let mut spec = bed.spec.clone();
        spec["keycloak"]["credentialsSecretRef"]["name"] = json!(own("keycloak-operator"));
        spec["caBundleRef"]["name"] = json!(own("keycloak-ca"));
        spec["access"] = json!([{"namespaceSelector": {}, "scopes": ["orders:read"], "adopt": adopt}]);
        spec["limits"] = json!({"requestsPerSecond": 1000});
        items.push(json!({
            "apiVersion": "appkeys.dev/v1alpha1", "kind": "ClusterKeyManager", "metadata": {"name": namespace},
            "spec": spec,
        }));
        cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}));
        team(&cluster, namespace).await;
        Self {
            keycloak,
            cluster,
            namespace,
        }
    }

    fn admin(&self) -> &Admin {
        self.keycloak.admin()
    }

    /// A client that somebody makes at the server.
    async fn by_hand(&self, id: &str) -> Value {
        let client = json!({
            "clientId": id, "name": "made by hand", "protocol": "openid-connect", "publicClient": false,
            "secret": SECRET, "serviceAccountsEnabled": true, "standardFlowEnabled": false,
            "directAccessGrantsEnabled": false, "attributes": {"of.theirs": "kept"},
        });
        self.admin().create(BED, &client).await.unwrap();
        self.seen(id).await
    }

    async fn seen(&self, id: &str) -> Value {
        let mut client = self.admin().client(BED, id).await.unwrap().unwrap();
        // They have no order at the server.
        for scopes in ["defaultClientScopes", "optionalClientScopes"] {
            let scopes = client[scopes].as_array_mut().unwrap();
            scopes.sort_by_key(ToString::to_string);
        }
        client
    }

    async fn grants(&self, id: &str, secret: &str) -> bool {
        self.admin().grant(BED, id, secret, None).await.unwrap().0.is_success()
    }

    /// A key that is to adopt `id`, with `proof` as its secret.
    fn adopts(&self, name: &str, id: &str, proof: &str) {
        self.proves(name, proof);
        let spec = json!({
            "keyManagerRef": {"name": self.namespace}, "scopes": ["orders:read"],
            "adopt": {"clientId": id, "secretRef": {"name": format!("{name}-proof")}},
        });
        self.cluster.apply(&key(self.namespace, name, &spec));
    }

    fn proves(&self, name: &str, proof: &str) {
        self.cluster.apply(&json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": format!("{name}-proof"), "namespace": self.namespace},
            "stringData": {"client-secret": proof},
        }));
    }

    /// Waits until a key is not ready for this reason, in a message with this.
    async fn refused(&self, name: &str, reason: &str, word: &str) {
        let good = |key: &ApplicationKey| {
            let status = key.status.as_ref();
            status.is_some_and(|status| {
                let said = |c: &&_| is_said(c, reason, word);
                status.observed_generation == key.metadata.generation
                    && !conditions::is_true(&status.conditions, "Ready")
                    && status.conditions.iter().find(said).is_some()
            })
        };
        self.cluster.key_until(self.namespace, name, good).await;
    }

    fn delete(&self, name: &str) {
        let delete = ["-n", self.namespace, "delete", "akey", name, "--timeout=60s"];
        self.cluster.kubectl(&delete);
    }
}

fn is_said(condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition, reason: &str, word: &str) -> bool {
    condition.type_ == "Ready" && condition.reason == reason && condition.message.contains(word)
}

#[tokio::test]
async fn a_client_made_by_hand_is_adopted_with_its_secret_and_outlives_the_key() {
    let team = Team::new("adopt").await;
    let id = "made-by-hand";
    team.by_hand(id).await;
    team.adopts("k", id, SECRET);
    let ready = team.cluster.ready(team.namespace, "k").await;
    assert_eq!(ready.status.unwrap().client_id.as_deref(), Some(id));
    let entries = team.cluster.secret(team.namespace, "k").await;
    assert_eq!(
        (entries["client-id"].as_str(), entries["client-secret"].as_str()),
        (id, SECRET)
    );
    let (code, answer) = token(&entries, &[("scope", "orders:read")]).await;
    assert_eq!(code, 200, "{answer}");
    let adopted = team.seen(id).await;
    let owner = adopted["attributes"][OWNER].as_str().unwrap();
    assert!(owner.ends_with("/adopt/k"), "{owner}");
    assert_eq!(adopted["attributes"]["of.theirs"], "kept");
    assert_eq!(adopted["secret"], SECRET);
    team.delete("k");
    let left = team.seen(id).await;
    assert_eq!(left["id"], adopted["id"]);
    assert!(team.grants(id, SECRET).await);
    // A key of the same name has it again.
    team.adopts("k", id, SECRET);
    team.cluster.ready(team.namespace, "k").await;
    assert_eq!(team.cluster.secret(team.namespace, "k").await, entries);
}

#[tokio::test]
async fn an_adopted_client_goes_with_the_key_where_that_is_asked_for() {
    let team = Team::new("adopt-and-delete").await;
    let id = "made-by-hand-to-go";
    team.by_hand(id).await;
    team.proves("k", SECRET);
    let spec = json!({
        "keyManagerRef": {"name": team.namespace}, "deletionPolicy": "Delete",
        "adopt": {"clientId": id, "secretRef": {"name": "k-proof"}},
    });
    team.cluster.apply(&key(team.namespace, "k", &spec));
    team.cluster.ready(team.namespace, "k").await;
    team.delete("k");
    assert!(team.admin().client(BED, id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_wrong_proof_changes_nothing() {
    let team = Team::new("adopt-wrong").await;
    let id = "of-somebody-else";
    let before = team.by_hand(id).await;
    team.adopts("k", id, "guessed");
    let word = "refuses client-secret of Secret k-proof";
    team.refused("k", "AdoptionRefused", word).await;
    assert_eq!(team.seen(id).await, before);
    assert!(team.grants(id, SECRET).await);
    team.delete("k");
    assert_eq!(team.seen(id).await, before);
}

#[tokio::test]
async fn a_public_client_cannot_be_adopted_by_any_secret() {
    let team = Team::new("adopt-public").await;
    let id = "an-app-in-browsers";
    let client = json!({
        "clientId": id, "protocol": "openid-connect", "publicClient": true, "standardFlowEnabled": true,
        "redirectUris": ["https://app.example.com/*"],
    });
    team.admin().create(BED, &client).await.unwrap();
    let before = team.seen(id).await;
    team.adopts("k", id, "any");
    team.refused("k", "AdoptionRefused", "does not prove").await;
    assert_eq!(team.seen(id).await, before);
    team.delete("k");
    assert_eq!(team.seen(id).await, before);
}

#[tokio::test]
async fn nobody_adopts_without_a_rule() {
    let team = Team::with("adopt-denied", false).await;
    let id = "without-a-rule";
    let before = team.by_hand(id).await;
    team.adopts("k", id, SECRET);
    team.refused("k", "AccessDenied", &format!("adoption of client {id}"))
        .await;
    assert_eq!(team.seen(id).await, before);
}

#[tokio::test]
async fn the_client_of_another_key_is_not_adopted_even_with_its_secret() {
    let team = Team::new("adopt-others").await;
    let spec = json!({"keyManagerRef": {"name": team.namespace}});
    team.cluster.apply(&key(team.namespace, "first", &spec));
    team.cluster.ready(team.namespace, "first").await;
    let entries = team.cluster.secret(team.namespace, "first").await;
    let before = team.seen(&entries["client-id"]).await;
    team.adopts("second", &entries["client-id"], &entries["client-secret"]);
    team.refused("second", "ClientConflict", &entries["client-id"]).await;
    assert_eq!(team.seen(&entries["client-id"]).await, before);
    team.delete("second");
    assert_eq!(team.seen(&entries["client-id"]).await, before);
    assert_eq!(token(&entries, &[]).await.0, 200);
}
