//! Each trap by its number, with a client of the tests' own.

mod apps;
mod contract;
mod credentials;
mod login;
mod orders;
mod sdk;
mod tokens;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};

use super::Okta;
use crate::key_managers::http;

/// A double and an administrator.
struct Bed {
    okta: Okta,
    http: reqwest::Client,
}

/// An answer.
#[derive(Debug)]
struct Got {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Got {
    /// Status and error code, of either shape.
    fn error(&self) -> (u16, &str) {
        let code = self.body["errorCode"].as_str().or(self.body["error"].as_str());
        (self.status, code.unwrap_or("none"))
    }

    /// The first cause of an error of the management API.
    fn cause(&self) -> &str {
        self.body["errorCauses"][0]["errorSummary"].as_str().unwrap_or_default()
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    #[track_caller]
    fn ok(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }
}

impl Bed {
    async fn start() -> Self {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let okta = Okta::start().await.unwrap();
        let http = http::client(Some(okta.ca())).unwrap();
        Self { okta, http }
    }

    /// For the end of a test: nothing passed that Okta's files do not have.
    #[track_caller]
    fn clean(&self) {
        self.okta.audit().assert_clean();
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let address = if path.starts_with('/') {
            self.okta.url() + path
        } else {
            path.to_owned()
        };
        self.http.request(method, address)
    }

    async fn send(request: RequestBuilder) -> Got {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
        Got { status, headers, body }
    }

    /// A call of the management API with the API token.
    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Got {
        let token = format!("SSWS {}", self.okta.operator().api_token);
        let mut request = self.request(method, path).header("authorization", token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Self::send(request).await
    }

    /// Makes an app, and gives it.
    async fn create(&self, body: Value) -> Value {
        self.call("POST", "/api/v1/apps", Some(body)).await.ok(200)
    }

    async fn token(&self, client: &str, secret: &str, form: &[(&str, &str)]) -> Got {
        let request = self
            .request("POST", "/oauth2/default/v1/token")
            .basic_auth(client, Some(secret));
        let mut all = vec![("grant_type", "client_credentials")];
        if form.iter().any(|(name, _)| *name == "grant_type") {
            all.clear();
        }
        all.extend(form);
        Self::send(request.form(&all)).await
    }

    /// What the operator posts to the org's token endpoint, with changed claims.
    fn org_form(&self, scope: &str, change: impl FnOnce(&mut Value)) -> Vec<(&'static str, String)> {
        let operator = self.okta.operator();
        let mut claims = claims(&operator.client_id, &format!("{}/oauth2/v1/token", self.okta.url()));
        change(&mut claims);
        let key = EncodingKey::from_rsa_pem(operator.private_key.as_bytes()).unwrap();
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(operator.key_id.clone());
        assertion_form(scope, &jsonwebtoken::encode(&header, &claims, &key).unwrap())
    }

    async fn org_token(&self, form: &[(&str, String)]) -> Got {
        Self::send(self.request("POST", "/oauth2/v1/token").form(form)).await
    }
}

fn assertion_form(scope: &str, assertion: &str) -> Vec<(&'static str, String)> {
    vec![
        ("grant_type", "client_credentials".to_owned()),
        ("scope", scope.to_owned()),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
        ),
        ("client_assertion", assertion.to_owned()),
    ]
}

fn claims(client: &str, audience: &str) -> Value {
    let now = jsonwebtoken::get_current_timestamp();
    let jti = uuid::Uuid::new_v4().to_string();
    json!({"iss": client, "sub": client, "aud": audience, "iat": now, "exp": now + 300, "jti": jti})
}

/// The body of an app for machines.
fn machine(label: &str) -> Value {
    json!({
        "name": "oidc_client", "label": label, "signOnMode": "OPENID_CONNECT",
        "credentials": {"oauthClient": {
            "client_id": format!("client-{label}"), "client_secret": format!("secret-of-{label}-0123456789"),
            "token_endpoint_auth_method": "client_secret_basic",
        }},
        "profile": {"owner": "cluster/team/shop"},
        "settings": {"oauthClient": {
            "application_type": "service", "grant_types": ["client_credentials"], "response_types": ["token"],
        }},
    })
}

/// A body with one member changed, by a JSON pointer; it may be new in an object that is there.
fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[name] = value;
    body
}

const CREDENTIALS: &str = "/credentials/oauthClient";
const SETTINGS: &str = "/settings/oauthClient";
