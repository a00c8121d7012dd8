//! A key from its making to its end, at each server, as its team and its workloads see it.

use std::{collections::BTreeMap, sync::Arc};

use appkeys::{
    api::{ApplicationKey, conditions},
    key_manager::{Capabilities, Overlap},
};
use serde_json::{Value, json};
use testbed::key_managers::{
    canaille::Canaille,
    keycloak::{BED, ROTATING},
    oidc_provider::{OidcProvider, Options},
    okta::Okta,
    wso2::{Call, Fault, Settings, Version, Wso2},
};

use super::{
    beds::{self, Bed},
    prober::Prober,
};
use crate::support::{Cluster, is_ready, key, provider, team, token};

#[tokio::test]
async fn a_key_lives_at_the_resident_key_manager() {
    life(&Bed::resident()).await;
}

#[tokio::test]
async fn a_key_lives_at_a_keycloak_realm() {
    let keycloak = beds::keycloak().await;
    life(&Bed::keycloak(&keycloak, BED)).await;
}

#[tokio::test]
async fn a_key_lives_at_a_keycloak_realm_with_a_policy_of_rotation() {
    let keycloak = beds::keycloak().await;
    life(&Bed::keycloak(&keycloak, ROTATING)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_lives_at_an_okta_org() {
    provider();
    let okta = Okta::start().await.unwrap();
    okta.add_app("Somebody else's", "somebody-elses-app");
    life(&Bed::okta(&okta)).await;
    let left = okta.apps();
    assert_eq!(left.len(), 1, "no app of ours is left");
    assert!(left[0].active && left[0].profile.is_none());
    okta.audit().assert_clean();
}

#[tokio::test]
async fn a_key_lives_at_a_registration_server() {
    provider();
    let server = OidcProvider::start(Options::default()).await.unwrap();
    life(&Bed::oidc_provider(&server, Some(server.initial_access_token()))).await;
    assert!(server.clients().await.unwrap().is_empty(), "no client is left");
}

#[tokio::test]
async fn a_key_lives_at_a_server_that_is_easy_about_registration() {
    provider();
    let server = Canaille::start().await.unwrap();
    life(&Bed::canaille(&server)).await;
}

/// WSO2 with an application that somebody made, in which nothing changes, and nothing else is left.
async fn life_at_wso2(version: Version, name: &'static str) {
    provider();
    let wso2 = Wso2::start(Settings::of(version)).await.unwrap();
    let body = json!({"name": "by hand", "throttlingPolicy": "Unlimited"});
    assert_eq!(wso2.by_hand(wso2.user(), "POST", "/applications", &body).0, 201);
    let before = wso2.state().applications.clone();
    life(&Bed::wso2(&wso2, name)).await;
    let state = wso2.state();
    assert_eq!(state.applications, before, "no application of ours is left");
    assert!(state.keys.is_empty() && state.orphans().is_empty());
    drop(state);
    wso2.audit().assert_clean();
}

#[tokio::test]
async fn a_key_lives_at_a_wso2_whose_clients_have_one_secret() {
    life_at_wso2(Version::V4_2, "wso2-single").await;
}

#[tokio::test]
async fn a_key_lives_at_a_wso2_whose_clients_have_several_secrets() {
    life_at_wso2(Version::V4_7, "wso2-several").await;
}

#[tokio::test]
async fn at_a_wso2_with_one_secret_nothing_rotates_until_its_team_chooses_a_cut() {
    const TEAM: &str = "chooses-a-cut";
    provider();
    let wso2 = Wso2::start(Settings::of(Version::V4_2)).await.unwrap();
    let cluster = beds::cluster().await;
    Bed::wso2(&wso2, "wso2-cut").install(&cluster);
    team(&cluster, TEAM).await;
    let apply = |rotation: Value| {
        let spec = json!({"keyManagerRef": {"name": "wso2-cut"}, "rotation": rotation});
        cluster.apply(&key(TEAM, "k", &spec));
    };
    let says = async |type_: &'static str, reason: &'static str| {
        let said = |key: &ApplicationKey| {
            let conditions = key.status.as_ref().map_or(&[][..], |status| &status.conditions);
            let observed = key.status.as_ref().and_then(|status| status.observed_generation);
            conditions::reason(conditions, type_) == Some(reason) && observed == key.metadata.generation
        };
        cluster.key_until(TEAM, "k", said).await
    };
    apply(json!({"trigger": "first"}));
    cluster.ready(TEAM, "k").await;
    let old = cluster.secret(TEAM, "k").await;
    let prober = Prober::start(cluster.clone(), TEAM, "k").await;
    for strategy in ["Overlap", "ReplaceClient"] {
        apply(json!({"trigger": strategy, "strategy": strategy}));
        let said = says("RotationUnsupported", "NotAtThisKeyManager").await;
        assert_eq!(credential(&said).unwrap().version, 1, "{strategy}");
    }
    assert_eq!(wso2.state().count(Call::RegenerateSecret), 0);
    assert_eq!(cluster.secret(TEAM, "k").await, old);

    // The call waits: what is said by then is said before it.
    wso2.state().fail_next(Call::RegenerateSecret, Fault::Hang);
    apply(json!({"trigger": "third", "strategy": "InPlace"}));
    says("Ready", "RotationCut").await;
    assert_eq!(token(&old, &[]).await.0, 200, "nothing is cut yet");
    cluster.key_until(TEAM, "k", at_rest(2)).await;
    let seen = prober.has_used(2).await.stop().await;
    let new = cluster.secret(TEAM, "k").await;
    assert_eq!(new["client-id"], old["client-id"]);
    assert_ne!(token(&old, &[]).await.0, 200);
    eprintln!(
        "wso2 4.2: InPlace was a cut of {} ms at the most, {} of {} logins failed",
        seen.longest_cut.as_millis(),
        seen.failures.len(),
        seen.logins
    );
    cluster.kubectl(&["-n", TEAM, "delete", "akey", "k", "--timeout=60s"]);
    wso2.audit().assert_clean();
}

/// One key at one server.
struct Life {
    cluster: Arc<Cluster>,
    scopes: [&'static str; 2],
    bed: String,
    namespace: String,
}

async fn life(bed: &Bed) {
    let capabilities = bed.open().await.unwrap().driver.capabilities().clone();
    let cluster = beds::cluster().await;
    bed.install(&cluster);
    let namespace = format!("life-{}", bed.name);
    team(&cluster, &namespace).await;
    let life = Life {
        cluster,
        scopes: bed.scopes,
        bed: bed.name.to_owned(),
        namespace,
    };
    life.a_token_with_scopes_is_renewed(&capabilities).await;
    if capabilities.overlap != Overlap::None && !bed.one_secret {
        life.a_rotation_is_not_noticed("Overlap").await;
    }
    if !capabilities.applications {
        life.a_rotation_is_not_noticed("ReplaceClient").await;
    }
    if capabilities.secret_at_rotation.is_some() {
        life.a_cut_is_announced().await;
    }
    life.a_retained_key_comes_back().await;
    life.a_deleted_key_leaves_nothing().await;
}

fn credential(key: &ApplicationKey) -> Option<&appkeys::api::application_key::CredentialStatus> {
    key.status.as_ref()?.credential.as_ref()
}

/// Ready with this version of the credential, and nothing under way.
pub(super) fn at_rest(version: i64) -> impl Fn(&ApplicationKey) -> bool {
    move |key| {
        let rests = credential(key).is_some_and(|c| c.version == version && c.previous_valid_until.is_none());
        is_ready(key) && rests
    }
}

impl Life {
    fn key(&self, name: &str, spec: &Value) -> Value {
        let mut spec = spec.clone();
        spec["keyManagerRef"] = json!({"name": self.bed});
        key(&self.namespace, name, &spec)
    }

    async fn secret(&self, name: &str) -> BTreeMap<String, String> {
        self.cluster.secret(&self.namespace, name).await
    }

    async fn a_token_with_scopes_is_renewed(&self, can: &Capabilities) {
        let [read, write] = self.scopes;
        let lifetimes = can.access_token_lifetime;
        let mut spec = json!({
            "scopes": self.scopes,
            "accessTokens": [{"name": "orders", "scopes": [read]}],
        });
        if can.resources {
            spec["accessTokens"][0]["resource"] = json!("https://orders.example.com");
        }
        if lifetimes {
            // Renewed as soon as it is five seconds old.
            spec["lifetimes"] = json!({"accessToken": "1m"});
            spec["accessTokens"][0]["renewBefore"] = json!("55s");
        }
        self.cluster.apply(&self.key("token", &spec));
        let ready = self.cluster.ready(&self.namespace, "token").await;
        let status = ready.status.unwrap();
        assert!(status.access_tokens[0].scopes.contains(&read.to_owned()));
        let (code, answer) = token(&self.secret("token").await, &[("scope", write)]).await;
        assert_eq!(code, 200, "{answer}");
        if lifetimes {
            let first = self.secret("token-tokens").await["orders.access-token"].clone();
            let renewed = async || self.secret("token-tokens").await["orders.access-token"] != first;
            self.cluster.until("the token to be renewed", renewed).await;
        }
        self.delete("token");
    }

    async fn a_rotation_is_not_noticed(&self, strategy: &str) {
        let name = format!("rotated-{}", strategy.to_lowercase());
        let spec = |trigger: &str| {
            let rotation = json!({"strategy": strategy, "overlap": "3s", "trigger": trigger});
            self.key(&name, &json!({"rotation": rotation}))
        };
        self.cluster.apply(&spec("first"));
        self.cluster.ready(&self.namespace, &name).await;
        let old = self.secret(&name).await;
        let prober = Prober::start(self.cluster.clone(), &self.namespace, &name).await;
        self.cluster.apply(&spec("second"));
        self.cluster.key_until(&self.namespace, &name, at_rest(2)).await;
        let new = self.secret(&name).await;
        // The old secret's end is the server's to keep, to the second.
        let ended = async || token(&old, &[]).await.0 != 200;
        self.cluster.until("the old secret to end", ended).await;
        let seen = prober.has_used(2).await.stop().await;
        assert_eq!(seen.failures, [""; 0], "{strategy}: {seen:?}");
        assert!(seen.logins > 2, "{seen:?}");
        assert_eq!(new["client-id"] == old["client-id"], strategy == "Overlap");
        self.delete(&name);
    }

    async fn a_cut_is_announced(&self) {
        let spec = |trigger: &str| {
            let rotation = json!({"strategy": "InPlace", "trigger": trigger});
            self.key("in-place", &json!({"rotation": rotation}))
        };
        self.cluster.apply(&spec("first"));
        self.cluster.ready(&self.namespace, "in-place").await;
        let prober = Prober::start(self.cluster.clone(), &self.namespace, "in-place").await;
        self.cluster.apply(&spec("second"));
        self.cluster.key_until(&self.namespace, "in-place", at_rest(2)).await;
        let seen = prober.has_used(2).await.stop().await;
        eprintln!(
            "{}: InPlace was a cut of {} ms at the most",
            self.bed,
            seen.longest_cut.as_millis()
        );
        let events = self
            .cluster
            .kubectl(&["-n", &self.namespace, "get", "events", "-o", "json"]);
        assert!(events.contains("RotationCut"), "the cut is announced: {events}");
        self.delete("in-place");
    }

    async fn a_retained_key_comes_back(&self) {
        let object = self.key("kept", &json!({"deletionPolicy": "Retain"}));
        self.cluster.apply(&object);
        self.cluster.ready(&self.namespace, "kept").await;
        let before = self.secret("kept").await;
        self.delete("kept");
        assert_eq!(token(&before, &[]).await.0, 200, "the client stays");
        self.cluster.apply(&object);
        let again = self.cluster.ready(&self.namespace, "kept").await;
        assert_eq!(self.secret("kept").await, before);
        assert_eq!(credential(&again).unwrap().version, 1, "nothing was rotated");
        // For the next test: nothing may stay at the server.
        self.cluster
            .apply(&self.key("kept", &json!({"deletionPolicy": "Delete"})));
        self.cluster
            .key_until(&self.namespace, "kept", |key| {
                key.status.as_ref().and_then(|s| s.observed_generation) == key.metadata.generation
            })
            .await;
        self.delete("kept");
        assert_ne!(token(&before, &[]).await.0, 200, "the client is gone");
    }

    async fn a_deleted_key_leaves_nothing(&self) {
        self.cluster.apply(&self.key("last", &json!({})));
        let ready = self.cluster.ready(&self.namespace, "last").await;
        assert!(conditions::is_true(&ready.status.unwrap().conditions, "Verified"));
        let entries = self.secret("last").await;
        self.delete("last");
        assert_ne!(token(&entries, &[]).await.0, 200);
        let secrets = self
            .cluster
            .kubectl(&["-n", &self.namespace, "get", "secrets", "-o", "name"]);
        assert_eq!(secrets, "");
    }

    fn delete(&self, name: &str) {
        self.cluster
            .kubectl(&["-n", &self.namespace, "delete", "akey", name, "--timeout=60s"]);
    }
}
