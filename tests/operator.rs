//! The operator as a process against a real API server, from `kubectl apply` to a token that works.

use serde_json::json;

use crate::support::{Cluster, http_client, key, repository, team, token};

#[tokio::test]
async fn the_examples_become_ready_and_their_tokens_are_valid() {
    let cluster = Cluster::shared().await;
    cluster.kubectl(&["apply", "-f", &repository("examples")]);
    let ready = cluster.ready("team-a", "shop-production").await;
    let secret = cluster.secret("team-a", "shop-production").await;
    assert_eq!(ready.status.unwrap().client_id.as_ref(), Some(&secret["client-id"]));
    let (status, answer) = token(&secret, &[]).await;
    assert_eq!((status, &answer["token_type"]), (200, &json!("Bearer")), "{answer}");

    cluster.ready("team-a", "shop-sandbox").await;
    let tokens = cluster.secret("team-a", "shop-credentials-tokens").await;
    let secret = cluster.secret("team-a", "shop-credentials").await;
    assert_eq!(secret["CLIENT_ID"], secret["client-id"]);
    let jwks: jsonwebtoken::jwk::JwkSet = http_client(&secret)
        .get(&secret["jwks-uri"])
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let header = jsonwebtoken::decode_header(&tokens["orders.access-token"]).unwrap();
    assert_eq!(header.typ.as_deref(), Some("at+jwt"));
    let jwk = jwks.find(&header.kid.unwrap()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(header.alg);
    validation.set_audience(&[&secret["issuer-uri"]]);
    validation.set_issuer(&[&secret["issuer-uri"]]);
    let key = jsonwebtoken::DecodingKey::from_jwk(jwk).unwrap();
    let claims = jsonwebtoken::decode::<serde_json::Value>(&tokens["orders.access-token"], &key, &validation)
        .unwrap()
        .claims;
    assert_eq!(claims["scope"], "orders:read");
    assert_eq!(claims["environment"], "Sandbox");
}

#[tokio::test]
async fn a_rotation_keeps_the_old_secret_through_the_overlap_and_no_longer() {
    let cluster = Cluster::shared().await;
    team(&cluster, "rotation").await;
    cluster.apply(&key(
        "rotation",
        "k",
        &json!({"rotation": {"overlap": "3s", "trigger": "one"}}),
    ));
    cluster.ready("rotation", "k").await;
    let old = cluster.secret("rotation", "k").await;
    cluster.apply(&key(
        "rotation",
        "k",
        &json!({"rotation": {"overlap": "3s", "trigger": "two"}}),
    ));
    let version = |wanted| {
        move |key: &appkeys::api::ApplicationKey| {
            key.status
                .as_ref()
                .and_then(|s| s.credential.as_ref())
                .is_some_and(|c| c.version == wanted)
        }
    };
    cluster.key_until("rotation", "k", version(2)).await;
    let new = cluster.secret("rotation", "k").await;
    assert_ne!(old["client-secret"], new["client-secret"]);
    assert_eq!(old["client-id"], new["client-id"]);
    assert_eq!(token(&new, &[]).await.0, 200);
    let drained = |key: &appkeys::api::ApplicationKey| {
        key.status
            .as_ref()
            .and_then(|s| s.credential.as_ref())
            .is_some_and(|c| c.phase == appkeys::api::application_key::Phase::Idle)
    };
    cluster.key_until("rotation", "k", drained).await;
    assert_eq!(
        token(&old, &[]).await,
        (
            401,
            json!({"error": "invalid_client", "error_description": "unknown client or wrong secret"})
        )
    );
    assert_eq!(token(&new, &[]).await.0, 200);
}

#[tokio::test]
async fn deletion_takes_the_client_and_the_secret_along() {
    let cluster = Cluster::shared().await;
    team(&cluster, "deletion").await;
    cluster.apply(&key("deletion", "k", &json!({"accessTokens": [{"name": "t"}]})));
    cluster.ready("deletion", "k").await;
    let secret = cluster.secret("deletion", "k").await;
    assert_eq!(token(&secret, &[]).await.0, 200);
    cluster.kubectl(&["-n", "deletion", "delete", "akey", "k", "--timeout=60s"]);
    assert_eq!(token(&secret, &[]).await.0, 401);
    assert_eq!(cluster.kubectl(&["-n", "deletion", "get", "secrets", "-o", "name"]), "");
    cluster.kubectl(&["delete", "namespace", "deletion", "--timeout=60s"]);
}

#[tokio::test]
async fn what_no_rule_grants_is_refused_and_heals_when_the_spec_asks_for_less() {
    let cluster = Cluster::shared().await;
    team(&cluster, "denied").await;
    cluster.apply(&key("denied", "k", &json!({"scopes": ["orders:read"]})));
    let reason = |wanted: &'static str| {
        move |key: &appkeys::api::ApplicationKey| {
            key.status
                .as_ref()
                .is_some_and(|s| appkeys::api::conditions::reason(&s.conditions, "Ready") == Some(wanted))
        }
    };
    cluster.key_until("denied", "k", reason("AccessDenied")).await;
    cluster.apply(&key("denied", "k", &json!({"scopes": null})));
    cluster.ready("denied", "k").await;
    cluster.apply(&key("denied", "other", &json!({"applicationRef": {"name": "missing"}})));
    cluster
        .key_until("denied", "other", reason("ApplicationNotFound"))
        .await;
    cluster.kubectl(&["-n", "denied", "create", "secret", "generic", "taken"]);
    cluster.apply(&key("denied", "third", &json!({"secret": {"name": "taken"}})));
    cluster.key_until("denied", "third", reason("SecretConflict")).await;
}
