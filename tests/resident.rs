//! The resident key manager over the wire: a client that nobody here wrote, wrong requests, several replicas.

use std::collections::BTreeMap;

use appkeys::{clock::Clock, entropy::Entropy, key_manager::remote::proof::AssertionKey};
use reqwest::{Method, RequestBuilder, header};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use testbed::foreign_client;

use crate::support::{Cluster, http_client, key, team, token};

#[tokio::test]
async fn a_client_that_nobody_here_wrote_gets_and_validates_tokens_over_discovery_alone() {
    let cluster = Cluster::shared().await;
    team(&cluster, "foreign").await;
    for (name, authentication, method) in [
        ("basic", "ClientSecretBasic", "client_secret_basic"),
        ("post", "ClientSecretPost", "client_secret_post"),
        ("key", "PrivateKeyJwt", "private_key_jwt"),
    ] {
        cluster.apply(&key("foreign", name, &json!({"clientAuthentication": authentication})));
        let client_id = cluster.ready("foreign", name).await.status.unwrap().client_id;
        let entries = cluster.secret("foreign", name).await;
        let claims = tokio::task::spawn_blocking(move || foreign_client::claims(&entries, method));
        let claims = claims.await.unwrap().unwrap();
        assert_eq!(claims["client_id"], json!(client_id));
        assert_eq!(
            (&claims["application"], &claims["namespace"]),
            (&json!("shop"), &json!("foreign"))
        );
    }
}

#[tokio::test]
async fn a_client_with_a_private_key_rotates_it_and_the_first_works_through_the_overlap() {
    let cluster = Cluster::shared().await;
    team(&cluster, "assertions").await;
    let spec = json!({"clientAuthentication": "PrivateKeyJwt", "rotation": {"overlap": "1h"}});
    cluster.apply(&key("assertions", "k", &spec));
    cluster.ready("assertions", "k").await;
    let first = cluster.secret("assertions", "k").await;
    assert!(!first.contains_key("client-secret"), "{:?}", first.keys());
    let at = Server::of(&first);
    let proof = assertion(&first);
    assert_eq!(at.token_by(&proof).await.0, 200);
    let (status, replay) = at.token_by(&proof).await;
    assert_eq!((status, &replay["error"]), (401, &json!("invalid_client")));
    assert!(!cluster.operator_output().contains(&proof));

    cluster.kubectl(&["-n", "assertions", "annotate", "akey", "k", "appkeys.dev/rotate=now"]);
    let rotated = |key: &appkeys::api::ApplicationKey| {
        let credential = key.status.as_ref().and_then(|status| status.credential.as_ref());
        credential.is_some_and(|credential| credential.version == 2)
    };
    cluster.key_until("assertions", "k", rotated).await;
    let second = cluster.secret("assertions", "k").await;
    assert_eq!(first["client-id"], second["client-id"]);
    assert_ne!(first["key-id"], second["key-id"]);
    assert_ne!(first["private-key.pem"], second["private-key.pem"]);
    for entries in [&first, &second] {
        assert_eq!(at.token_by(&assertion(entries)).await.0, 200);
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn a_wrong_request_gets_the_error_of_its_rfc() {
    let cluster = Cluster::shared().await;
    team(&cluster, "wrong").await;
    cluster.apply(&key("wrong", "k", &json!({})));
    cluster.ready("wrong", "k").await;
    let entries = cluster.secret("wrong", "k").await;
    let at = Server::of(&entries);
    let (id, secret) = (entries["client-id"].as_str(), entries["client-secret"].as_str());
    let good = "grant_type=client_credentials";
    let in_body = format!("{good}&client_id={id}&client_secret={secret}");
    let long = format!("{good}&scope={}", "x".repeat(100_000));
    let basic = |request: RequestBuilder| request.basic_auth(id, Some(secret));
    let form = |body: &str| at.token(body);
    let bearer = form(good).bearer_auth("x");
    let twice = basic(form(good)).header(header::AUTHORIZATION, "Basic eDp5");
    let cases: Vec<(&str, RequestBuilder, u16, &str)> = vec![
        ("no grant type", basic(form("")), 400, "invalid_request"),
        (
            "another grant type",
            basic(form("grant_type=password")),
            400,
            "unsupported_grant_type",
        ),
        (
            "a grant type given twice",
            basic(form(&format!("{good}&{good}"))),
            400,
            "invalid_request",
        ),
        ("no credentials", form(good), 401, "invalid_client"),
        ("another scheme", bearer, 401, "invalid_client"),
        (
            "a broken header",
            form(good).header(header::AUTHORIZATION, "Basic %%%"),
            401,
            "invalid_client",
        ),
        ("two headers", twice, 400, "invalid_request"),
        ("header and body", basic(form(&in_body)), 400, "invalid_request"),
        (
            "a secret without an id",
            form(&format!("{good}&client_secret=x")),
            400,
            "invalid_request",
        ),
        (
            "another method of authentication than registered",
            form(&in_body),
            401,
            "invalid_client",
        ),
        (
            "a wrong secret",
            form(good).basic_auth(id, Some("x")),
            401,
            "invalid_client",
        ),
        (
            "an unknown client",
            form(good).basic_auth("x", Some(secret)),
            401,
            "invalid_client",
        ),
        (
            "an id in the body that is another",
            basic(form(&format!("{good}&client_id=x"))),
            400,
            "invalid_request",
        ),
        (
            "a scope that is not granted",
            basic(form(&format!("{good}&scope=admin"))),
            400,
            "invalid_scope",
        ),
        (
            "a resource that is not granted",
            basic(form(&format!("{good}&resource=https%3A%2F%2Fx"))),
            400,
            "invalid_target",
        ),
        ("a body that is too long", basic(form(&long)), 400, "invalid_request"),
        (
            "bytes that are no text",
            basic(at.post(&at.token, b"grant_type=\xff\xfe".to_vec())),
            400,
            "invalid_request",
        ),
        (
            "JSON",
            basic(form("{}")).header(header::CONTENT_TYPE, "application/json"),
            400,
            "invalid_request",
        ),
        (
            "introspection without a token",
            basic(at.post(&at.introspection, vec![])),
            400,
            "invalid_request",
        ),
        (
            "introspection without credentials",
            at.post(&at.introspection, b"token=x".to_vec()),
            401,
            "invalid_client",
        ),
        (
            "revocation without a token",
            basic(at.post(&at.revocation, vec![])),
            400,
            "invalid_request",
        ),
    ];
    for (what, request, status, error) in cases {
        let answer = request.send().await.unwrap();
        let headers = answer.headers().clone();
        let got = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap();
        assert_eq!((got, &body["error"]), (status, &json!(error)), "{what}: {body}");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{what}");
        assert!(body["error_description"].is_string(), "{what}");
    }
    // RFC 6749 section 5.2: who tried by the header is told which scheme there is.
    let refused = form(good).basic_auth("x", Some("y")).send().await.unwrap();
    assert!(
        refused.headers()[header::WWW_AUTHENTICATE]
            .to_str()
            .unwrap()
            .starts_with("Basic ")
    );
    for (method, url, allowed) in [
        (Method::GET, &at.token, "POST"),
        (Method::PUT, &at.token, "POST"),
        (Method::DELETE, &at.revocation, "POST"),
        (Method::POST, &at.keys, "GET"),
    ] {
        let answer = at.client.request(method.clone(), url).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()[header::ALLOW]),
            (405, &allowed.parse().unwrap()),
            "{method} {url}"
        );
    }
    let nowhere = at.client.get(format!("{}/nowhere", at.token)).send().await.unwrap();
    assert_eq!(nowhere.status().as_u16(), 404);
    assert_eq!(token(&entries, &[]).await.0, 200, "all that cost the client nothing");
}

#[tokio::test]
async fn only_a_token_of_ones_own_can_be_revoked() {
    let cluster = Cluster::shared().await;
    team(&cluster, "revocation").await;
    for name in ["one", "other"] {
        cluster.apply(&key("revocation", name, &json!({})));
    }
    cluster.ready("revocation", "one").await;
    cluster.ready("revocation", "other").await;
    let one = cluster.secret("revocation", "one").await;
    let other = cluster.secret("revocation", "other").await;
    let at = Server::of(&one);
    let access_token = token(&one, &[]).await.1["access_token"].as_str().unwrap().to_owned();

    let (status, body) = at.about(&at.revocation, &other, &access_token).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")));
    let (status, body) = at.about(&at.introspection, &other, &access_token).await;
    assert_eq!(
        (status, &body["active"], &body["client_id"]),
        (200, &json!(true), &json!(one["client-id"]))
    );
    assert_eq!(at.about(&at.revocation, &one, &access_token).await.0, 200);
    assert_eq!(
        at.about(&at.introspection, &other, &access_token).await,
        (200, json!({"active": false}))
    );
    assert_eq!(
        at.about(&at.revocation, &one, "nonsense").await.0,
        200,
        "what is not good is revoked already"
    );
    let broken = format!("{access_token}x");
    assert_eq!(
        at.about(&at.introspection, &one, &broken).await,
        (200, json!({"active": false}))
    );
}

#[tokio::test]
async fn every_replica_answers_and_another_leads_when_one_is_killed() {
    let cluster = Cluster::start().await;
    let standby = cluster.start_another().await;
    cluster.apply(&json!({
        "apiVersion": "appkeys.dev/v1alpha1", "kind": "ClusterKeyManager", "metadata": {"name": "resident"},
        "spec": {"default": true, "resident": {"issuer": cluster.resident_url("/resident")}},
    }));
    team(&cluster, "replicas").await;
    cluster.apply(&key("replicas", "k", &json!({"rotation": {"overlap": "24h"}})));
    cluster.ready("replicas", "k").await;
    let entries = cluster.secret("replicas", "k").await;
    let there = standby.entries(&entries);
    standby.follows(&there).await;

    let (status, answer) = token(&there, &[]).await;
    assert_eq!(status, 200, "{answer}");
    let access_token = answer["access_token"].as_str().unwrap();
    let (at, other) = (Server::of(&entries), Server::of(&there));
    let active = at.about(&at.introspection, &entries, access_token).await.1;
    assert_eq!(
        (&active["active"], &active["iss"]),
        (&json!(true), &json!(entries["issuer-uri"]))
    );
    assert_eq!(token(&there, &[("scope", "admin")]).await.1["error"], "invalid_scope");

    // The one that does not lead keeps a revocation, and the leader learns of it.
    assert_eq!(other.about(&other.revocation, &there, access_token).await.0, 200);
    cluster
        .until("the leader to know the revocation", async || {
            at.about(&at.introspection, &entries, access_token).await.1 == json!({"active": false})
        })
        .await;

    cluster.kill();
    cluster.apply(&key(
        "replicas",
        "k",
        &json!({"rotation": {"overlap": "24h", "trigger": "now"}}),
    ));
    let rotated = |key: &appkeys::api::ApplicationKey| {
        let credential = key.status.as_ref().and_then(|status| status.credential.as_ref());
        credential.is_some_and(|credential| credential.version == 2)
    };
    cluster.key_until("replicas", "k", rotated).await;
    let fresh = standby.entries(&cluster.secret("replicas", "k").await);
    assert_ne!(fresh["client-secret"], there["client-secret"]);
    for entries in [&fresh, &there] {
        assert_eq!(token(entries, &[]).await.0, 200);
    }
}

/// The endpoints beside a Secret's token endpoint.
struct Server {
    client: reqwest::Client,
    token: String,
    introspection: String,
    revocation: String,
    keys: String,
}

impl Server {
    fn of(entries: &BTreeMap<String, String>) -> Self {
        Self {
            client: http_client(entries),
            token: entries["token-uri"].clone(),
            introspection: entries["introspection-uri"].clone(),
            revocation: entries["revocation-uri"].clone(),
            keys: entries["jwks-uri"].clone(),
        }
    }

    fn post(&self, url: &str, body: Vec<u8>) -> RequestBuilder {
        let request = self.client.post(url).body(body);
        request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
    }

    fn token(&self, body: &str) -> RequestBuilder {
        self.post(&self.token, body.as_bytes().to_vec())
    }

    /// Asks for a token by an assertion (RFC 7523 section 2.2).
    async fn token_by(&self, assertion: &str) -> (u16, Value) {
        let form = [
            ("grant_type", "client_credentials"),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", assertion),
        ];
        let answer = self.client.post(&self.token).form(&form).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Asks an endpoint about a token, as the client of `entries`.
    async fn about(&self, url: &str, entries: &BTreeMap<String, String>, token: &str) -> (u16, Value) {
        let request = self.client.post(url).form(&[("token", token)]);
        let request = request.basic_auth(&entries["client-id"], Some(&entries["client-secret"]));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

/// What the client of `entries` proves itself with, once.
fn assertion(entries: &BTreeMap<String, String>) -> String {
    let pem = entries["private-key.pem"].clone().into();
    let key = AssertionKey::from_pem(&pem, Entropy::system()).unwrap();
    let now = Clock::system().now();
    let assertion = key.assertion(&entries["client-id"], &entries["issuer-uri"], now);
    assertion.unwrap().expose_secret().to_owned()
}
