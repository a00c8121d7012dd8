//! Clients of every kind at a real Keycloak: private keys, public clients, and apps whose users log in.

use std::collections::BTreeMap;

use appkeys::{
    api::{ApplicationKey, conditions},
    clock::Clock,
    entropy::Entropy,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use testbed::key_managers::keycloak::BED;

use super::beds::{self, Bed};
use crate::support::{http_client, key, team, token};

const REDIRECT: &str = "https://shop.example.com/callback";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn spec(more: &Value) -> Value {
    let mut spec = json!({"keyManagerRef": {"name": BED}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

/// Ready with this version of the credential, whatever still drains.
fn has(version: i64) -> impl Fn(&ApplicationKey) -> bool {
    move |key| {
        let credential = key.status.as_ref().and_then(|status| status.credential.as_ref());
        crate::support::is_ready(key) && credential.is_some_and(|credential| credential.version == version)
    }
}

/// `True`, `False` or `Unknown`; empty where there is no such condition.
fn says(key: &ApplicationKey, type_: &str) -> String {
    let conditions = key.status.iter().flat_map(|status| &status.conditions);
    let mut found = conditions.filter(|condition| condition.type_ == type_);
    found
        .next()
        .map(|condition| condition.status.clone())
        .unwrap_or_default()
}

/// A token as a workload gets it with the private key of its Secret (RFC 7523): the status and the answer.
async fn token_by_key(entries: &BTreeMap<String, String>) -> (u16, Value) {
    let pem = entries["private-key.pem"].as_bytes();
    let (key, algorithm) = EncodingKey::from_ec_pem(pem)
        .map(|key| (key, Algorithm::ES256))
        .or_else(|_| EncodingKey::from_rsa_pem(pem).map(|key| (key, Algorithm::RS256)))
        .unwrap();
    let mut header = Header::new(algorithm);
    header.kid = Some(entries["key-id"].clone());
    let (now, id) = (Clock::system().now().as_second(), &entries["client-id"]);
    let claims = json!({
        "iss": id, "sub": id, "aud": entries["issuer-uri"], "iat": now, "exp": now + 60,
        "jti": Entropy::system().attempt_id().unwrap(),
    });
    let assertion = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", &assertion),
    ];
    let request = http_client(entries).post(&entries["token-uri"]).form(&form);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn names(entries: &BTreeMap<String, String>) -> Vec<&str> {
    let credential = ["client-id", "client-secret", "key-id", "private-key.pem"];
    let has = entries.keys().map(String::as_str);
    has.filter(|name| credential.contains(name)).collect()
}

#[tokio::test]
async fn a_private_key_is_published_and_rotated_with_an_overlap() {
    let keycloak = beds::keycloak().await;
    let cluster = beds::cluster().await;
    Bed::keycloak(&keycloak, BED).install(&cluster);
    team(&cluster, "private-keys").await;
    let rotated = |overlap: &str, trigger: &str| {
        let rotation = json!({"overlap": overlap, "trigger": trigger});
        let spec = spec(&json!({"clientAuthentication": "PrivateKeyJwt", "rotation": rotation}));
        key("private-keys", &format!("for-{overlap}"), &spec)
    };
    for (overlap, stays) in [("1h", true), ("3s", false)] {
        let name = format!("for-{overlap}");
        cluster.apply(&rotated(overlap, "first"));
        let ready = cluster.ready("private-keys", &name).await;
        assert_eq!(says(&ready, "Verified"), "True");
        let old = cluster.secret("private-keys", &name).await;
        assert_eq!(names(&old), ["client-id", "key-id", "private-key.pem"]);
        let (status, answer) = token_by_key(&old).await;
        assert_eq!(status, 200, "{answer}");
        cluster.apply(&rotated(overlap, "second"));
        cluster.key_until("private-keys", &name, has(2)).await;
        let new = cluster.secret("private-keys", &name).await;
        assert_eq!(new["client-id"], old["client-id"]);
        assert_ne!(new["key-id"], old["key-id"]);
        let (status, answer) = token_by_key(&new).await;
        assert_eq!(status, 200, "{answer}");
        if stays {
            let (status, answer) = token_by_key(&old).await;
            assert_eq!(status, 200, "the old key works through the overlap: {answer}");
        } else {
            let ended = async || token_by_key(&old).await.0 != 200;
            cluster.until("the old key to end", ended).await;
            assert_eq!(token_by_key(&new).await.0, 200);
        }
        let there = keycloak.admin().client(BED, &new["client-id"]).await.unwrap().unwrap();
        assert_eq!(there["clientAuthenticatorType"], "client-jwt");
        assert!(
            !there.to_string().contains("PRIVATE"),
            "the private part goes nowhere: {there}"
        );
        cluster.kubectl(&["-n", "private-keys", "delete", "akey", &name, "--timeout=60s"]);
        assert_ne!(token_by_key(&new).await.0, 200);
    }
}

#[tokio::test]
async fn a_public_client_demands_s256_and_has_no_secret() {
    let keycloak = beds::keycloak().await;
    let cluster = beds::cluster().await;
    Bed::keycloak(&keycloak, BED).install(&cluster);
    team(&cluster, "public").await;
    let public = json!({
        "clientAuthentication": "None", "grantTypes": ["AuthorizationCode"], "redirectUris": [REDIRECT],
    });
    cluster.apply(&key("public", "app", &spec(&public)));
    let ready = cluster.ready("public", "app").await;
    assert_eq!(
        says(&ready, "Verified"),
        "Unknown",
        "there is nothing that could be tried"
    );
    let entries = cluster.secret("public", "app").await;
    assert_eq!(names(&entries), ["client-id"]);
    assert!(entries.contains_key("authorization-uri"));
    let there = keycloak
        .admin()
        .client(BED, &entries["client-id"])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(there["publicClient"], true);
    assert_eq!(there["attributes"]["pkce.code.challenge.method"], "S256");
    assert_eq!(there["redirectUris"], json!([REDIRECT]));
    assert_eq!(there["serviceAccountsEnabled"], false);

    let mut plain = public.clone();
    plain["pkce"] = json!({"required": true, "allowPlain": true});
    cluster.apply(&key("public", "plain", &spec(&plain)));
    let unsupported = |key: &ApplicationKey| {
        let conditions = key.status.as_ref().map_or(&[][..], |status| &status.conditions);
        conditions::reason(conditions, "Ready") == Some("UnsupportedPkce")
    };
    let refused = cluster.key_until("public", "plain", unsupported).await;
    assert_eq!(says(&refused, "Ready"), "False");
    let text = format!("{:?}", refused.status);
    assert!(text.contains("spec.keycloak.pkceMethod"), "{text}");
    let secrets = cluster.kubectl(&["-n", "public", "get", "secrets", "-o", "name"]);
    assert_eq!(secrets.trim(), "secret/app");
    // As the refusal suggests, and then another method in place.
    plain["keycloak"] = json!({"pkceMethod": "Plain"});
    for (method, attribute) in [("Plain", "plain"), ("S256", "S256")] {
        plain["keycloak"]["pkceMethod"] = json!(method);
        cluster.apply(&key("public", "plain", &spec(&plain)));
        cluster.ready("public", "plain").await;
        let id = cluster.secret("public", "plain").await["client-id"].clone();
        let there = keycloak.admin().client(BED, &id).await.unwrap().unwrap();
        assert_eq!(there["attributes"]["pkce.code.challenge.method"], attribute);
    }
    cluster.kubectl(&["-n", "public", "delete", "akey", "--all", "--timeout=60s"]);
    let gone = keycloak.admin().client(BED, &entries["client-id"]).await.unwrap();
    assert_eq!(gone, None);
}

#[tokio::test]
async fn the_secret_of_an_app_with_logins_is_proved_by_a_code_that_cannot_exist() {
    let keycloak = beds::keycloak().await;
    let cluster = beds::cluster().await;
    Bed::keycloak(&keycloak, BED).install(&cluster);
    team(&cluster, "logins").await;
    let app = json!({"grantTypes": ["AuthorizationCode"], "redirectUris": [REDIRECT]});
    cluster.apply(&key("logins", "app", &spec(&app)));
    let ready = cluster.ready("logins", "app").await;
    assert_eq!(says(&ready, "Verified"), "True");
    let entries = cluster.secret("logins", "app").await;
    assert_eq!(names(&entries), ["client-id", "client-secret"]);
    let there = keycloak
        .admin()
        .client(BED, &entries["client-id"])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(there["publicClient"], false);
    assert_eq!(there["standardFlowEnabled"], true);
    assert_eq!(there["serviceAccountsEnabled"], false);
    // What the proof rests upon: only who has the secret hears of the code.
    let said = async |secret: &str| {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", "none"),
            ("redirect_uri", REDIRECT),
        ];
        let request = http_client(&entries).post(&entries["token-uri"]).form(&form);
        let answer = request
            .basic_auth(&entries["client-id"], Some(secret))
            .send()
            .await
            .unwrap();
        answer.json::<Value>().await.unwrap()["error"].clone()
    };
    assert_eq!(said(&entries["client-secret"]).await, "invalid_grant");
    assert_ne!(said("another").await, "invalid_grant");
    let (status, _) = token(&entries, &[]).await;
    assert_ne!(status, 200, "it may not act for itself");
    cluster.kubectl(&["-n", "logins", "delete", "akey", "app", "--timeout=60s"]);
}

#[tokio::test]
async fn another_kind_of_credential_is_another_client_and_the_old_one_stays_through_the_overlap() {
    let keycloak = beds::keycloak().await;
    let cluster = beds::cluster().await;
    Bed::keycloak(&keycloak, BED).install(&cluster);
    team(&cluster, "changes").await;
    let with = |authentication: &str| {
        let more = json!({"clientAuthentication": authentication, "rotation": {"overlap": "1h"}});
        key("changes", "k", &spec(&more))
    };
    cluster.apply(&with("ClientSecretBasic"));
    cluster.ready("changes", "k").await;
    let old = cluster.secret("changes", "k").await;
    assert_eq!(names(&old), ["client-id", "client-secret"]);
    cluster.apply(&with("PrivateKeyJwt"));
    cluster.key_until("changes", "k", has(2)).await;
    let new = cluster.secret("changes", "k").await;
    assert_eq!(names(&new), ["client-id", "key-id", "private-key.pem"]);
    assert_ne!(new["client-id"], old["client-id"]);
    let (status, answer) = token_by_key(&new).await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = token(&old, &[]).await;
    assert_eq!(status, 200, "the old client drains: {answer}");
    cluster.kubectl(&["-n", "changes", "delete", "akey", "k", "--timeout=60s"]);
    for entries in [&old, &new] {
        let left = keycloak.admin().client(BED, &entries["client-id"]).await.unwrap();
        assert_eq!(left, None, "both go with the key");
    }
}
