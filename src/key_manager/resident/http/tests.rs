//! Client authentication at the routes, with an API server that has nothing but records.

use std::sync::Mutex;

use axum::body::{Body, to_bytes};
use http::Request;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use secrecy::SecretString;
use tokio::time::Instant;
use tower::{ServiceExt as _, service_fn};
use url::form_urlencoded;

use super::*;
use crate::{
    api::{ClientAuthentication, key_manager::SigningAlgorithm},
    clock::Clock,
    entropy::Entropy,
    key_manager::{
        Endpoints, KeyAlgorithm, Mark, Properties, private_key,
        remote::proof::AssertionKey,
        resident::{
            assertion::TYPE,
            issuer::IssuerSettings,
            keys::{self, KeySet},
            record::Credential,
            revocations::Revocations,
            store::{self, RecordStore},
        },
        testing,
    },
};

const ISSUER: &str = "https://idp.example/r";
const ASSERTION: &str = "client_assertion";

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// The routes, the records behind them, and what the API server has.
struct Bed {
    routes: Router,
    store: Arc<RecordStore>,
    there: Arc<Mutex<BTreeMap<String, Secret>>>,
    reads: Arc<Mutex<usize>>,
}

impl Bed {
    fn new() -> Self {
        let there = Arc::new(Mutex::new(BTreeMap::<String, Secret>::new()));
        let reads = Arc::new(Mutex::new(0));
        let (kept, counted) = (there.clone(), reads.clone());
        let api = service_fn(move |request: Request<kube::client::Body>| {
            *counted.lock().unwrap() += 1;
            let name = request.uri().path().rsplit('/').next().unwrap_or_default();
            let secret = kept.lock().unwrap().get(name).cloned();
            let status = if secret.is_some() { 200 } else { 404 };
            let missing = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404});
            let body = secret.map_or(missing, |secret| serde_json::to_value(secret).unwrap());
            let body = Body::from(body.to_string());
            async move { Ok::<_, std::convert::Infallible>(http::Response::builder().status(status).body(body).unwrap()) }
        });
        let client = kube::Client::new(api, "default");
        let (clock, entropy) = (Clock::new(now), Entropy::system());
        let store = Arc::new(RecordStore::new(client.clone(), "appkeys"));
        let revocations = Revocations::new(client.clone(), client, "appkeys", clock.clone(), entropy.clone());
        let settings = IssuerSettings {
            name: "r".into(),
            endpoints: Endpoints {
                issuer: ISSUER.into(),
                token: format!("{ISSUER}/token"),
                ..Endpoints::default()
            },
            default_audience: ISSUER.into(),
            access_token_lifetime: 60,
        };
        let make = || keys::generate(SigningAlgorithm::ES256);
        let keys = KeySet::default().rotated(SigningAlgorithm::ES256, now(), make);
        let keys = keys.unwrap().unwrap();
        let issuer = Issuer::new(settings, store.clone(), Arc::new(revocations), keys, clock, entropy).unwrap();
        let issuers = Issuers::default();
        issuers.put(Arc::new(issuer));
        Self {
            routes: router(issuers, IpAddr::from([127, 0, 0, 1])),
            store,
            there,
            reads,
        }
    }

    /// A client; what it proves itself with.
    fn client(&self, id: &str, authentication: ClientAuthentication) -> SecretString {
        let (secret, record) = client(id, authentication);
        self.write(&record);
        self.store.put(store::stored(&record).unwrap());
        secret
    }

    /// Writes a record that this replica has not seen.
    fn write(&self, record: &Secret) {
        let name = record.metadata.name.clone().unwrap();
        self.there.lock().unwrap().insert(name, record.clone());
    }

    async fn post(&self, endpoint: &str, form: &[(&str, &str)], basic: Option<&str>) -> (u16, Value) {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let mut request = Request::post(format!("/r{endpoint}"));
        if let Some(basic) = basic {
            let value = format!("Basic {}", data_encoding::BASE64.encode(basic.as_bytes()));
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = self
            .routes
            .clone()
            .oneshot(request.body(Body::from(body)).unwrap())
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// Asks for a token by this assertion, with further parameters.
    async fn ask(&self, assertion: &str, more: &[(&str, &str)]) -> (u16, Value) {
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_assertion_type", TYPE),
            (ASSERTION, assertion),
        ];
        form.extend(more);
        self.post("/token", &form, None).await
    }

    async fn refuses(&self, assertion: &str, more: &[(&str, &str)]) -> bool {
        let error = json!({"error": "invalid_client", "error_description": "unknown client or wrong client assertion"});
        self.ask(assertion, more).await == (401, error)
    }
}

fn client(id: &str, authentication: ClientAuthentication) -> (SecretString, Secret) {
    let secret = match authentication {
        ClientAuthentication::PrivateKeyJwt => private_key::generate(KeyAlgorithm::ES256).unwrap(),
        _ => "secret".to_owned().into(),
    };
    let mark = Mark {
        name: id.into(),
        ..testing::properties().mark
    };
    let properties = Properties {
        mark,
        authentication,
        ..testing::properties()
    };
    let first = Credential::of(authentication.credential(), &secret).unwrap();
    let record = ClientRecord::new("r", id, &properties, first);
    (secret, record.to_secret("appkeys").unwrap())
}

/// An assertion as our own drivers make them for other servers.
fn assertion(id: &str, pem: &SecretString) -> String {
    let key = AssertionKey::from_pem(pem, Entropy::system()).unwrap();
    key.assertion(id, ISSUER, now()).unwrap().expose_secret().to_owned()
}

#[tokio::test(start_paused = true)]
async fn an_assertion_authenticates_once_at_every_endpoint() {
    let bed = Bed::new();
    let key = bed.client("me", ClientAuthentication::PrivateKeyJwt);
    let one = assertion("me", &key);
    let (status, answer) = bed.ask(&one, &[]).await;
    assert_eq!(status, 200, "{answer}");
    assert!(bed.refuses(&one, &[]).await, "a replay");
    let token = answer["access_token"].as_str().unwrap();
    for (endpoint, answer) in [("/introspect", json!(true)), ("/revoke", Value::Null)] {
        // A revocation is not kept here: of a token that is not good there is nothing to keep.
        let token = if endpoint == "/revoke" { "nonsense" } else { token };
        let one = assertion("me", &key);
        let form = [("token", token), ("client_assertion_type", TYPE), (ASSERTION, &*one)];
        let (status, said) = bed.post(endpoint, &form, None).await;
        assert_eq!((status, &said["active"]), (200, &answer), "{endpoint}");
        assert_eq!(bed.post(endpoint, &form, None).await.0, 401, "{endpoint}: a replay");
        assert!(bed.refuses(&one, &[]).await, "a replay at another endpoint");
    }
    assert_eq!(
        *bed.reads.lock().unwrap(),
        0,
        "a replay is nothing that a newer record could allow"
    );
}

#[tokio::test(start_paused = true)]
async fn one_method_of_authentication_and_the_one_that_is_registered() {
    let bed = Bed::new();
    let key = bed.client("me", ClientAuthentication::PrivateKeyJwt);
    let other_key = bed.client("other", ClientAuthentication::PrivateKeyJwt);
    for (id, authentication) in [
        ("basic", ClientAuthentication::ClientSecretBasic),
        ("post", ClientAuthentication::ClientSecretPost),
    ] {
        bed.client(id, authentication);
        assert!(
            bed.refuses(&assertion(id, &key), &[]).await,
            "{id} is registered for a secret"
        );
    }
    // Also where the record still has what it proved itself with before.
    let (was_key, mut changed) = client("changed", ClientAuthentication::PrivateKeyJwt);
    let mut record = ClientRecord::from_secret(&changed).unwrap();
    record.authentication = ClientAuthentication::ClientSecretBasic;
    changed.data = record.to_secret("appkeys").unwrap().data;
    bed.write(&changed);
    assert!(bed.refuses(&assertion("changed", &was_key), &[]).await);
    let grant = ("grant_type", "client_credentials");
    let form = [grant, ("client_id", "basic"), ("client_secret", "secret")];
    assert_eq!(
        bed.post("/token", &form, None).await.0,
        401,
        "registered for the header"
    );
    assert_eq!(bed.post("/token", &[grant], Some("basic:secret")).await.0, 200);
    for secret in ["secret", key.expose_secret()] {
        let (status, _) = bed.post("/token", &[grant], Some(&format!("me:{secret}"))).await;
        assert_eq!(status, 401, "registered for assertions");
        let form = [grant, ("client_id", "me"), ("client_secret", secret)];
        assert_eq!(
            bed.post("/token", &form, None).await.0,
            401,
            "registered for assertions"
        );
    }

    let one = assertion("me", &key);
    let proof = [grant, ("client_assertion_type", TYPE), (ASSERTION, &*one)];
    let with = |more| [&proof[..], &[more]].concat();
    for (what, form, basic) in [
        ("a header, too", proof.to_vec(), Some("basic:secret")),
        ("a secret, too", with(("client_secret", "secret")), None),
        ("a type alone", proof[..2].to_vec(), None),
        ("an assertion alone", vec![grant, proof[2]], None),
        ("a type twice", with(proof[1]), None),
        ("a type and a header", proof[..2].to_vec(), Some("basic:secret")),
        (
            "an assertion and a secret",
            vec![grant, proof[2], ("client_secret", "secret")],
            None,
        ),
    ] {
        let (status, answer) = bed.post("/token", &form, basic).await;
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_request")), "{what}");
        assert!(!answer.to_string().contains(&one), "{what}");
    }
    let type_ = [grant, ("client_assertion_type", "urn:x"), (ASSERTION, &*one)];
    assert_eq!(
        bed.post("/token", &type_, None).await.0,
        401,
        "a type that nobody knows"
    );
    assert!(bed.refuses(&one, &[("client_id", "other")]).await);
    assert!(
        bed.refuses(&assertion("me", &other_key), &[]).await,
        "another client's key"
    );
    let reads = || *bed.reads.lock().unwrap();
    let (before, long) = (reads(), "x".repeat(LONG));
    assert!(bed.refuses(&assertion(&long, &key), &[]).await);
    assert_eq!(bed.post("/token", &[grant], Some(&format!("{long}:x"))).await.0, 401);
    assert_eq!(reads(), before, "nobody has such an id");
    assert_eq!(
        bed.ask(&one, &[("client_id", "me")]).await.0,
        200,
        "nothing of that used it up"
    );
}

/// Longer than any id.
const LONG: usize = 300;

#[tokio::test(start_paused = true)]
async fn wrong_assertions_are_slowed_and_a_right_one_is_not() {
    let bed = Bed::new();
    let key = bed.client("me", ClientAuthentication::PrivateKeyJwt);
    let foreign = private_key::generate(KeyAlgorithm::ES256).unwrap();
    let mut last = std::time::Duration::ZERO;
    for _ in 0..5 {
        let start = Instant::now();
        assert!(bed.refuses(&assertion("me", &foreign), &[]).await);
        assert!(start.elapsed() > last);
        last = start.elapsed();
    }
    let start = Instant::now();
    assert_eq!(bed.ask(&assertion("me", &key), &[]).await.0, 200);
    assert!(start.elapsed().is_zero());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_behind_looks_once_before_it_refuses() {
    let bed = Bed::new();
    bed.client("me", ClientAuthentication::PrivateKeyJwt);
    let (key, mut record) = client("me", ClientAuthentication::PrivateKeyJwt);
    record.metadata.resource_version = Some("2".into());
    let reads = || *bed.reads.lock().unwrap();
    let foreign = assertion("me", &private_key::generate(KeyAlgorithm::ES256).unwrap());
    for _ in 0..3 {
        assert!(bed.refuses(&foreign, &[]).await);
    }
    assert_eq!(reads(), 1, "not again for the same assertion");
    bed.write(&record);
    assert_eq!(bed.ask(&assertion("me", &key), &[]).await.0, 200);
    assert_eq!(bed.ask(&assertion("me", &key), &[]).await.0, 200);
    assert_eq!(reads(), 2, "what was learnt is kept");
}

#[tokio::test]
async fn metadata_tell_of_it() {
    let bed = Bed::new();
    let request = Request::get("/.well-known/oauth-authorization-server/r");
    let answer = bed.routes.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let metadata: Value = serde_json::from_slice(&body).unwrap();
    for endpoint in ["token", "introspection", "revocation"] {
        let methods = metadata[format!("{endpoint}_endpoint_auth_methods_supported")]
            .as_array()
            .unwrap();
        assert!(methods.contains(&json!("private_key_jwt")), "{endpoint}");
        let algorithms = &metadata[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")];
        assert_eq!(algorithms, &json!(["ES256", "RS256"]), "{endpoint}");
    }
}
