//! What wrong input gets, and what a server that answers oddly: an error of the right kind that names what is at fault.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use appkeys::{
    api::{ClusterKeyManagerSpec, KeyManagerSpec, conditions::Say},
    clock::Clock,
    controller::queue::Name,
    entropy::Entropy,
    key_manager::{
        Category, Changed, Client, Drivers as _, Error, KeyManager, Opened, Properties, Registered, Wanted,
        open::KeyManagers,
    },
};
use axum::{
    Router,
    body::{Body, Bytes},
    http::{Method, Uri},
    response::{IntoResponse as _, Response},
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use testbed::{
    key_managers::keycloak::{BED, Keycloak, LIMITED, OPERATOR, OPERATOR_SECRET, Options, VIEWING},
    memory_api::MemoryApi,
};
use tokio::net::TcpListener;

use super::beds;
use crate::support::provider;

const NAMESPACE: &str = "appkeys";
const TENANT: &str = "tenant";

/// What opens key managers, with Secrets at an API server in memory.
struct Operator {
    api: MemoryApi,
    all: KeyManagers,
}

impl Operator {
    fn new(local_allowed: bool) -> Self {
        let (api, all) = beds::key_managers(local_allowed);
        Self { api, all }
    }

    /// With the credential and the CA of a Keycloak, for the cluster and for a tenant.
    fn with_secrets_of(self, keycloak: &Keycloak) -> Self {
        for namespace in [NAMESPACE, TENANT] {
            self.secret(namespace, "credential", &credential(OPERATOR_SECRET));
            self.secret(namespace, "ca", &json!({"ca.crt": keycloak.ca()}));
        }
        self
    }

    fn secret(&self, namespace: &str, name: &str, entries: &Value) {
        beds::put_secret(&self.api, namespace, name, entries);
    }

    async fn open(&self, spec: &Value) -> Result<Opened, Say> {
        let spec: ClusterKeyManagerSpec = serde_json::from_value(spec.clone()).unwrap();
        let name = Name::new("", "refusing");
        self.all.open(Wanted::cluster(&name, &spec)).await
    }

    /// As a tenant's.
    async fn open_theirs(&self, spec: &Value) -> Result<Opened, Say> {
        let spec: KeyManagerSpec = serde_json::from_value(spec.clone()).unwrap();
        let name = Name::new(TENANT, "refusing");
        self.all.open(Wanted::namespaced(&name, &spec)).await
    }

    /// It cannot be opened, for this reason, in a text with these words.
    async fn refuses(&self, spec: &Value, reason: &str, words: &[&str]) {
        is_refused(&self.open(spec).await.unwrap_err(), reason, words);
    }
}

fn is_refused(say: &Say, reason: &str, words: &[&str]) {
    assert_eq!(
        (say.type_, say.status, say.reason),
        ("Ready", Some(false), reason),
        "{}",
        say.message
    );
    for word in words {
        assert!(say.message.contains(word), "{word:?} is not in {:?}", say.message);
    }
    assert!(!say.message.contains(OPERATOR_SECRET), "{}", say.message);
}

fn credential(secret: &str) -> Value {
    json!({"client-id": OPERATOR, "client-secret": secret})
}

/// A realm of a server, by its CA.
fn realm(url: &str, realm: &str) -> Value {
    json!({
        "keycloak": {"url": url, "realm": realm, "credentialsSecretRef": {"name": "credential"}},
        "caBundleRef": {"name": "ca"},
    })
}

/// The same without a CA.
fn plain(url: &str) -> Value {
    json!({"keycloak": {"url": url, "realm": "r", "credentialsSecretRef": {"name": "credential"}}})
}

/// A client that a driver is to make.
fn wanted(scopes: &[&str]) -> (Client, Properties) {
    let (client, properties) = beds::machine("refusals-cluster", "refused");
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    (client, Properties { scopes, ..properties })
}

async fn register(driver: &dyn KeyManager, (client, properties): &(Client, Properties)) -> Result<Registered, Error> {
    let secret = Entropy::system().client_secret().unwrap();
    driver.register(client, properties, &secret, None).await
}

/// A server that gives `answer` to the path of a request, where it is one of the Admin API; all before that is in order.
struct Double {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Double {
    async fn new(answer: impl Fn(&str) -> Option<Response> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, answer) = (Arc::new(Mutex::new(vec![])), Arc::new(answer));
        let (all, base) = (seen.clone(), url.clone());
        let serve = async move |method: Method, uri: Uri, headers: axum::http::HeaderMap| {
            all.lock().unwrap().push(format!("{method} {}", uri.path()));
            if let Some(answer) = answer(uri.path()) {
                return answer;
            }
            // What a client says of itself, in base64: "appkeys-operator:right".
            let right = headers.get("authorization").is_some_and(|said| said == RIGHT);
            match uri.path() {
                "/realms/r/.well-known/openid-configuration" => axum::Json(json!({
                    "issuer": format!("{base}/realms/r"), "token_endpoint": format!("{base}/token"),
                }))
                .into_response(),
                "/token" if right => {
                    axum::Json(json!({"access_token": "t", "token_type": "Bearer", "expires_in": 60})).into_response()
                }
                "/token" => {
                    let body = json!({"error": "unauthorized_client", "error_description": "Invalid client secret"});
                    (axum::http::StatusCode::UNAUTHORIZED, axum::Json(body)).into_response()
                }
                _ => axum::Json(json!({"features": []})).into_response(),
            }
        };
        tokio::spawn(async { axum::serve(listener, Router::new().fallback(serve)).await });
        Self { url, seen }
    }

    fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// A driver, opened with the right credential.
    async fn driver(&self) -> Arc<dyn KeyManager> {
        let operator = Operator::new(true);
        operator.secret(NAMESPACE, "credential", &credential("right"));
        operator.open(&plain(&self.url)).await.unwrap().driver
    }
}

const RIGHT: &str = "Basic YXBwa2V5cy1vcGVyYXRvcjpyaWdodA==";

/// To this and what follows it.
fn when(beginning: &'static str, answer: impl Fn() -> Response) -> impl Fn(&str) -> Option<Response> {
    move |path| path.starts_with(beginning).then(&answer)
}

const CLIENTS: &str = "/admin/realms/r/clients";

fn html() -> Response {
    axum::response::Html("<html>Welcome, secret-of-the-page</html>").into_response()
}

fn endless() -> Response {
    let chunk = || Ok::<_, Infallible>(Bytes::from_static(&[b' '; 1 << 14]));
    Response::new(Body::from_stream(futures::stream::repeat_with(chunk)))
}

#[tokio::test]
async fn a_wrong_credential_is_refused_by_name_until_it_is_mended() {
    let keycloak = beds::keycloak().await;
    let operator = Operator::new(true).with_secrets_of(&keycloak);
    let spec = realm(&keycloak.https_url(), BED);
    operator.secret(NAMESPACE, "credential", &credential("wrong"));
    let words = ["Secret credential in namespace appkeys"];
    operator.refuses(&spec, "CredentialsRejected", &words).await;
    let unknown = json!({"client-id": "nobody", "client-secret": OPERATOR_SECRET});
    operator.secret(NAMESPACE, "credential", &unknown);
    operator.refuses(&spec, "CredentialsRejected", &words).await;
    operator.secret(NAMESPACE, "credential", &credential(OPERATOR_SECRET));
    assert!(operator.open(&spec).await.is_ok());
}

#[tokio::test]
async fn a_refused_credential_is_not_used_again_until_something_changes() {
    let double = Double::new(|_| None).await;
    let operator = Operator::new(true);
    operator.secret(NAMESPACE, "credential", &credential("wrong"));
    let spec = plain(&double.url);
    operator.refuses(&spec, "CredentialsRejected", &[]).await;
    let calls = double.calls();
    assert!(calls > 0);
    for _ in 0..3 {
        operator
            .refuses(&spec, "CredentialsRejected", &["Secret credential"])
            .await;
    }
    assert_eq!(double.calls(), calls, "{:?}", double.seen);
    // Changed, and wrong still: one more try.
    operator.secret(NAMESPACE, "credential", &credential("wrong-too"));
    operator.refuses(&spec, "CredentialsRejected", &[]).await;
    assert_eq!(double.calls(), 2 * calls, "{:?}", double.seen);
    operator.secret(NAMESPACE, "credential", &credential("right"));
    assert!(operator.open(&spec).await.is_ok());
}

#[tokio::test]
async fn an_operator_without_the_role_is_told_which() {
    let keycloak = beds::keycloak().await;
    let operator = Operator::new(true).with_secrets_of(&keycloak);
    for name in [LIMITED, VIEWING] {
        let driver = operator.open(&realm(&keycloak.https_url(), name)).await.unwrap().driver;
        for scopes in [&[][..], &["orders:read"]] {
            let wanted = wanted(scopes);
            let refused = register(&*driver, &wanted).await.unwrap_err();
            assert_eq!(refused.category, Category::MissingPermission, "{refused}");
            let role = format!("the role manage-clients of client realm-management in realm {name}");
            assert!(refused.message.contains(&role), "{refused}");
            let there = keycloak.admin().client(name, &wanted.0.id).await.unwrap();
            assert!(there.is_none(), "{there:?}");
        }
    }
}

#[tokio::test]
async fn a_realm_that_is_not_there_is_named() {
    let keycloak = beds::keycloak().await;
    let operator = Operator::new(true).with_secrets_of(&keycloak);
    let url = keycloak.https_url();
    let words = ["realm nowhere", url.as_str(), "404"];
    operator
        .refuses(&realm(&url, "nowhere"), "InvalidConfiguration", &words)
        .await;
    // The same with a path that no Keycloak has.
    let other = format!("{url}/auth");
    let words = ["realm bed", other.as_str()];
    operator
        .refuses(&realm(&other, BED), "InvalidConfiguration", &words)
        .await;
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_asks_for_its_ca() {
    let keycloak = beds::keycloak().await;
    let operator = Operator::new(true).with_secrets_of(&keycloak);
    let mut spec = realm(&keycloak.https_url(), BED);
    let ca = spec.as_object_mut().unwrap().remove("caBundleRef").unwrap();
    operator
        .refuses(&spec, "Unreachable", &["is not trusted", "caBundleRef"])
        .await;
    spec["caBundleRef"] = ca;
    operator.secret(NAMESPACE, "ca", &json!({"ca.crt": "no certificate"}));
    operator
        .refuses(&spec, "InvalidConfiguration", &["no certificate in PEM"])
        .await;
    operator.secret(NAMESPACE, "ca", &json!({"ca.crt": keycloak.ca()}));
    assert!(operator.open(&spec).await.is_ok());
}

#[tokio::test]
async fn a_secret_or_an_entry_that_is_missing_is_named() {
    let double = Double::new(|_| None).await;
    let operator = Operator::new(true);
    let mut spec = plain(&double.url);
    let words = [
        "Secret credential in namespace appkeys does not exist",
        "client-id and client-secret",
    ];
    operator.refuses(&spec, "InvalidConfiguration", &words).await;
    for (there, missing) in [("client-id", "client-secret"), ("client-secret", "client-id")] {
        operator.secret(NAMESPACE, "credential", &json!({there: "right"}));
        let text = format!("Secret credential in namespace appkeys has no entry {missing}");
        operator.refuses(&spec, "InvalidConfiguration", &[&text]).await;
        // An empty one is none.
        operator.secret(NAMESPACE, "credential", &json!({there: "right", missing: "\n"}));
        operator.refuses(&spec, "InvalidConfiguration", &[&text]).await;
    }
    operator.secret(NAMESPACE, "credential", &credential("right"));
    spec["caBundleRef"] = json!({"name": "ca"});
    let words = ["Secret ca in namespace appkeys does not exist", "ca.crt"];
    operator.refuses(&spec, "InvalidConfiguration", &words).await;
    operator.secret(NAMESPACE, "ca", &json!({"tls.crt": "x"}));
    let words = ["Secret ca in namespace appkeys has no entry ca.crt"];
    operator.refuses(&spec, "InvalidConfiguration", &words).await;
    assert_eq!(double.calls(), 0, "no call is made before all is there");
    spec.as_object_mut().unwrap().remove("caBundleRef");
    assert!(operator.open(&spec).await.is_ok());
}

#[tokio::test]
async fn a_tenant_s_key_manager_is_not_on_this_machine() {
    let keycloak = beds::keycloak().await;
    let spec = realm(&keycloak.https_url(), BED);
    let allowed = Operator::new(true).with_secrets_of(&keycloak);
    assert!(
        allowed.open_theirs(&spec).await.is_ok(),
        "nothing else stands against it"
    );
    let operator = Operator::new(false).with_secrets_of(&keycloak);
    let say = operator.open_theirs(&spec).await.unwrap_err();
    is_refused(
        &say,
        "InvalidConfiguration",
        &["127.0.0.1", "has an address that is not allowed"],
    );
    // By a name: what there is behind it is not said.
    let url = keycloak.https_url().replace("127.0.0.1", "localhost");
    let say = operator.open_theirs(&realm(&url, BED)).await.unwrap_err();
    is_refused(&say, "Unreachable", &["localhost"]);
    assert!(say.message.ends_with(": Unreachable"), "{}", say.message);
    let double = Double::new(|_| None).await;
    let say = operator.open_theirs(&plain(&double.url)).await.unwrap_err();
    is_refused(&say, "InvalidConfiguration", &["must begin with https://"]);
    assert_eq!(double.calls(), 0);
}

#[tokio::test]
async fn a_tenant_s_secrets_are_those_of_its_namespace() {
    let keycloak = beds::keycloak().await;
    let operator = Operator::new(true).with_secrets_of(&keycloak);
    let mut spec = realm(&keycloak.https_url(), BED);
    operator.secret(NAMESPACE, "of-the-cluster", &credential(OPERATOR_SECRET));
    spec["keycloak"]["credentialsSecretRef"]["name"] = json!("of-the-cluster");
    assert!(operator.open(&spec).await.is_ok());
    let say = operator.open_theirs(&spec).await.unwrap_err();
    let words = ["Secret of-the-cluster in namespace tenant does not exist"];
    is_refused(&say, "InvalidConfiguration", &words);
}

#[tokio::test]
async fn a_page_for_people_is_no_answer() {
    let front = Double::new(|_| Some(html())).await;
    let operator = Operator::new(true);
    operator.secret(NAMESPACE, "credential", &credential("right"));
    let words = ["not JSON", "text/html", "realm r"];
    operator
        .refuses(&plain(&front.url), "InvalidConfiguration", &words)
        .await;
    let double = Double::new(when("/admin/realms/r/client", html)).await;
    let driver = double.driver().await;
    let wanted = wanted(&["orders:read"]);
    let unread = register(&*driver, &wanted).await.unwrap_err();
    let update = driver.update(&wanted.0, &wanted.1).await.unwrap_err();
    for error in [unread, update] {
        assert_eq!(error.category, Category::Unreachable, "{error}");
        assert!(error.message.contains("not JSON"), "{error}");
        assert!(!error.message.contains("secret-of-the-page"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_given_up() {
    let front = Double::new(|_| Some(endless())).await;
    let operator = Operator::new(true);
    operator.secret(NAMESPACE, "credential", &credential("right"));
    let words = ["more than 1048576 bytes"];
    operator.refuses(&plain(&front.url), "Unreachable", &words).await;
    let double = Double::new(when(CLIENTS, endless)).await;
    let error = register(&*double.driver().await, &wanted(&[])).await.unwrap_err();
    assert_eq!(error.category, Category::Unreachable, "{error}");
    assert!(error.message.contains(words[0]), "{error}");
    assert!(!error.made_nothing(), "the client may be there");
}

#[tokio::test]
async fn a_server_that_wants_fewer_calls_says_when() {
    let throttle = || {
        let answer = Response::builder().status(429).header("retry-after", "70");
        answer.body(Body::empty()).unwrap()
    };
    let double = Double::new(when(CLIENTS, throttle)).await;
    let driver = double.driver().await;
    let before = Clock::system().now();
    let error = register(&*driver, &wanted(&[])).await.unwrap_err();
    let after = Clock::system().now();
    assert_eq!(error.category, Category::Throttled, "{error}");
    let wait = SignedDuration::from_secs(70);
    let at = error.retry_at.unwrap();
    assert!((before + wait..=after + wait).contains(&at), "{at}");
    assert!(error.made_nothing());
}

#[tokio::test]
async fn a_change_that_met_another_is_tried_again_and_is_no_conflict() {
    let conflict = || {
        let body = json!({"error": "conflict", "error_description": "Duplicate resource error"});
        (axum::http::StatusCode::CONFLICT, axum::Json(body)).into_response()
    };
    let wanted = wanted(&[]);
    let (client, properties) = &wanted;
    let double = Double::new(when(CLIENTS, conflict)).await;
    let error = register(&*double.driver().await, &wanted).await.unwrap_err();
    assert_eq!(error.category, Category::NotYet, "{error}");
    assert!(error.message.contains("make a client"), "{error}");
    let owner = json!({"appkeys.owner": "refusals-cluster/team/refused"});
    let found = json!([{"id": "u", "clientId": client.id, "attributes": owner}]);
    let double = Double::new(move |path| match path {
        CLIENTS => Some(axum::Json(found.clone()).into_response()),
        path => path.starts_with(CLIENTS).then(conflict),
    })
    .await;
    let driver = double.driver().await;
    for error in [
        driver.update(client, properties).await.unwrap_err(),
        driver.delete(client).await.unwrap_err(),
    ] {
        assert_eq!(error.category, Category::NotYet, "{error}");
        assert!(error.message.contains("at the same time"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_has_lost_all_gets_its_clients_again() {
    provider();
    let mut keycloak = Keycloak::start(Options::default()).await.unwrap();
    let operator = Operator::new(true).with_secrets_of(&keycloak);
    let driver = operator.open(&realm(&keycloak.https_url(), BED)).await.unwrap().driver;
    let wanted = wanted(&["orders:read"]);
    let (client, properties) = &wanted;
    assert!(matches!(register(&*driver, &wanted).await, Ok(Registered::Made(_))));
    assert!(matches!(driver.update(client, properties).await, Ok(Changed::Done(_))));
    keycloak.restart_empty().await.unwrap();
    assert!(keycloak.admin().client(BED, &client.id).await.unwrap().is_none());
    let update = driver.update(client, properties).await;
    assert!(matches!(update, Ok(Changed::NotThere)), "{update:?}");
    let again = register(&*driver, &wanted).await;
    assert!(matches!(again, Ok(Registered::Made(_))), "{again:?}");
    let there = keycloak.admin().client(BED, &client.id).await.unwrap().unwrap();
    assert_eq!(there["optionalClientScopes"], json!(["orders:read"]));
}
