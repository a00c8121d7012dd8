//! The HTTP face: token endpoint, public keys and metadata of every resident key manager of this process.
//!
//! Wrong input gets the error of its RFC as JSON, never a server error and never HTML.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{
    assertion::ALGORITHMS,
    attempts::WrongAttempts,
    issuer::{Issuer, Refusal, Wanted},
    record::ClientRecord,
    replays::Replays,
    request::{Form, Proof},
};
use crate::metrics::ResidentMetrics;

/// Longest request body in bytes.
const BODY_LIMIT: usize = 64 * 1024;
/// How long public keys and metadata may be cached, in seconds; less than a new key's lead.
const CACHE: &str = "public, max-age=900";

/// The issuers of this process.
#[derive(Clone, Debug, Default)]
pub struct Issuers {
    by_path: Arc<RwLock<BTreeMap<String, Arc<Issuer>>>>,
    wrong_attempts: Arc<WrongAttempts>,
    /// Here and not in an issuer: that is made anew with each signing key.
    replays: Arc<Replays>,
    metrics: ResidentMetrics,
}

impl Issuers {
    /// No issuer yet; `metrics` counts the requests.
    pub fn new(metrics: ResidentMetrics) -> Self {
        Self {
            metrics,
            ..Self::default()
        }
    }

    /// Serves `issuer` from now on, instead of one of the same path.
    pub fn put(&self, issuer: Arc<Issuer>) {
        let path = path_of(&issuer);
        let mut issuers = self.by_path.write().unwrap_or_else(PoisonError::into_inner);
        issuers.retain(|_, other| other.settings.name != issuer.settings.name);
        issuers.insert(path, issuer);
    }

    /// Serves only issuers of these names from now on.
    pub fn keep(&self, names: &[String]) {
        let mut issuers = self.by_path.write().unwrap_or_else(PoisonError::into_inner);
        issuers.retain(|_, issuer| names.contains(&issuer.settings.name));
    }

    fn get(&self, path: &str) -> Option<Arc<Issuer>> {
        let issuers = self.by_path.read().unwrap_or_else(PoisonError::into_inner);
        issuers.get(path).cloned()
    }
}

fn path_of(issuer: &Issuer) -> String {
    let url = url::Url::parse(&issuer.settings.endpoints.issuer);
    url.map(|url| url.path().trim_end_matches('/').to_owned())
        .unwrap_or_default()
}

/// The routes of all issuers, for connections from `source`.
pub fn router(issuers: Issuers, source: IpAddr) -> Router {
    Router::new()
        .fallback(serve)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Shared { issuers, source })
}

#[derive(Clone)]
struct Shared {
    issuers: Issuers,
    source: IpAddr,
}

/// What an issuer answers.
#[derive(Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
enum Endpoint {
    Token,
    Introspection,
    Revocation,
    Keys,
    Metadata,
}

/// Where they are under the issuer's path.
const PATHS: [(&str, Endpoint); 5] = [
    ("/token", Endpoint::Token),
    ("/introspect", Endpoint::Introspection),
    ("/revoke", Endpoint::Revocation),
    ("/jwks", Endpoint::Keys),
    ("/.well-known/openid-configuration", Endpoint::Metadata),
];

/// The issuer and endpoint of a path. RFC 8414 section 3 puts the well-known part before the issuer's path, OpenID Connect
/// Discovery after it.
fn route(issuers: &Issuers, path: &str) -> Option<(Arc<Issuer>, Endpoint)> {
    if let Some(issuer) = path.strip_prefix("/.well-known/oauth-authorization-server") {
        return Some((issuers.get(issuer.trim_end_matches('/'))?, Endpoint::Metadata));
    }
    PATHS
        .into_iter()
        .find_map(|(end, endpoint)| Some((issuers.get(path.strip_suffix(end)?)?, endpoint)))
}

async fn serve(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Response {
    let Some((issuer, endpoint)) = route(&shared.issuers, uri.path()) else {
        return (StatusCode::NOT_FOUND, Json(json!({"error": "not_found"}))).into_response();
    };
    let reads = matches!(endpoint, Endpoint::Keys | Endpoint::Metadata);
    let allowed = if reads { Method::GET } else { Method::POST };
    if method != allowed && !(reads && method == Method::HEAD) {
        let allow = [(header::ALLOW, allowed.as_str().to_owned())];
        let error = json!({"error": "invalid_request", "error_description": format!("the method must be {allowed}")});
        return (StatusCode::METHOD_NOT_ALLOWED, allow, Json(error)).into_response();
    }
    match endpoint {
        Endpoint::Keys => ([(header::CACHE_CONTROL, CACHE)], Json(&*issuer.jwks())).into_response(),
        Endpoint::Metadata => ([(header::CACHE_CONTROL, CACHE)], Json(metadata(&issuer))).into_response(),
        Endpoint::Token | Endpoint::Introspection | Endpoint::Revocation => {
            let Ok(body) = body else {
                let error =
                    json!({"error": "invalid_request", "error_description": "the body cannot be read or is too long"});
                return (StatusCode::BAD_REQUEST, NO_STORE, Json(error)).into_response();
            };
            let call = Call {
                issuer: &issuer,
                headers: &headers,
                wrong_attempts: &shared.issuers.wrong_attempts,
                replays: &shared.issuers.replays,
                source: shared.source,
            };
            let start = Instant::now();
            let answered = call.answer(endpoint, &body).await;
            let outcome = answered.as_ref().map_or_else(|refusal| (*refusal).into(), |_| "Ok");
            shared
                .issuers
                .metrics
                .request(endpoint.into(), outcome, start.elapsed());
            match answered {
                Ok(answer) => (NO_STORE, Json(answer)).into_response(),
                Err(refusal) => refused(refusal, headers.contains_key(header::AUTHORIZATION)),
            }
        }
    }
}

const NO_STORE: [(header::HeaderName, &str); 2] = [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")];

/// Authorization server metadata (RFC 8414 section 2), the same for `OpenID` Connect Discovery.
fn metadata(issuer: &Issuer) -> serde_json::Value {
    const METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
    let endpoints = &issuer.settings.endpoints;
    json!({
        "issuer": endpoints.issuer,
        "token_endpoint": endpoints.token,
        "introspection_endpoint": endpoints.introspection,
        "revocation_endpoint": endpoints.revocation,
        "jwks_uri": endpoints.jwks,
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "introspection_endpoint_auth_methods_supported": METHODS,
        "introspection_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "revocation_endpoint_auth_methods_supported": METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
    })
}

/// The error of RFC 6749 section 5.2.
fn refused(refusal: Refusal, basic: bool) -> Response {
    let status = match refusal {
        Refusal::InvalidClient | Refusal::WrongAssertion => StatusCode::UNAUTHORIZED,
        Refusal::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    let word: &'static str = refusal.into();
    let body = Json(json!({"error": word, "error_description": refusal.to_string()}));
    let mut response = (status, NO_STORE, body).into_response();
    if refusal == Refusal::InvalidClient && basic {
        let challenge = header::HeaderValue::from_static("Basic realm=\"token endpoint\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// A request of a client that has to prove itself.
struct Call<'a> {
    issuer: &'a Issuer,
    headers: &'a HeaderMap,
    wrong_attempts: &'a WrongAttempts,
    replays: &'a Replays,
    source: IpAddr,
}

impl Call<'_> {
    async fn answer(&self, endpoint: Endpoint, body: &[u8]) -> Result<Value, Refusal> {
        let form = Form::parse(self.headers, body)?;
        if endpoint == Endpoint::Token {
            match form.one("grant_type")? {
                None => return Err(Refusal::InvalidRequest("grant_type is missing")),
                Some("client_credentials") => {}
                Some(_) => return Err(Refusal::UnsupportedGrantType),
            }
        }
        let proof = Proof::of(self.headers, &form)?;
        let proved = match &proof {
            Proof::Secret(client_id, secret, authentication) => {
                self.issuer.authenticate(client_id, secret, *authentication).await
            }
            Proof::Assertion(assertion) => self.issuer.authenticate_assertion(assertion, self.replays).await,
        };
        let client = match proved {
            Ok(client) => client,
            Err(refusal @ (Refusal::InvalidClient | Refusal::WrongAssertion)) => {
                self.wrong_attempts.slow_down(proof.client_id(), self.source).await;
                return Err(refusal);
            }
            Err(refusal) => return Err(refusal),
        };
        let token = || form.one("token")?.ok_or(Refusal::InvalidRequest("token is missing"));
        match endpoint {
            Endpoint::Introspection => Ok(self.introspection(token()?)),
            Endpoint::Revocation => self.issuer.revoke(&client, token()?).await.map(|()| json!({})),
            _ => self.token(&client, &form),
        }
    }

    fn token(&self, client: &ClientRecord, form: &Form) -> Result<Value, Refusal> {
        let scopes = form.one("scope")?.unwrap_or_default().split(' ');
        let wanted = Wanted {
            scopes: scopes.filter(|scope| !scope.is_empty()).collect(),
            resources: form.all("resource").collect(),
        };
        let token = self.issuer.issue_to(client, &wanted)?;
        let mut answer = json!({
            "access_token": token.value.expose_secret(),
            "token_type": "Bearer",
            "expires_in": token.life().as_secs(),
        });
        if !token.scopes.is_empty() {
            answer["scope"] = token.scopes.join(" ").into();
        }
        Ok(answer)
    }

    /// What is to be said of a token (RFC 7662 section 2.2); of one that is not good nothing else.
    fn introspection(&self, token: &str) -> Value {
        let Some(mut claims) = self.issuer.good_claims(token) else {
            return json!({"active": false});
        };
        claims["active"] = true.into();
        claims["token_type"] = "Bearer".into();
        claims
    }
}

#[cfg(test)]
mod tests;
