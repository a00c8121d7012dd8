//! The HTTP face: token endpoint, public keys and metadata of every resident key manager of this process.
//!
//! Wrong input gets the error of its RFC as JSON, never a server error and never HTML.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use data_encoding::{BASE64, BASE64_NOPAD};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use url::form_urlencoded;

use super::issuer::{Issuer, Refusal, Request};
use crate::api::ClientAuthentication;

/// Longest request body in bytes.
const BODY_LIMIT: usize = 64 * 1024;
/// How long public keys and metadata may be cached, in seconds; less than a new key's lead.
const CACHE: &str = "public, max-age=900";

/// The issuers of this process, by the path of their issuer URL.
#[derive(Clone, Debug, Default)]
pub struct Issuers(Arc<RwLock<BTreeMap<String, Arc<Issuer>>>>);

impl Issuers {
    /// Serves `issuer` from now on, instead of one of the same path.
    pub fn put(&self, issuer: Arc<Issuer>) {
        let path = path_of(&issuer);
        let mut issuers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        issuers.retain(|_, other| other.settings.name != issuer.settings.name);
        issuers.insert(path, issuer);
    }

    fn get(&self, path: &str) -> Option<Arc<Issuer>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }
}

fn path_of(issuer: &Issuer) -> String {
    let url = url::Url::parse(&issuer.settings.endpoints.issuer);
    url.map(|url| url.path().trim_end_matches('/').to_owned())
        .unwrap_or_default()
}

/// The routes of all issuers.
pub fn router(issuers: Issuers) -> Router {
    Router::new()
        .fallback(serve)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(issuers)
}

async fn serve(
    State(issuers): State<Issuers>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Response {
    let path = uri.path();
    // RFC 8414 section 3 puts the well-known part before the issuer's path, OpenID Connect Discovery after it.
    let found = path
        .strip_prefix("/.well-known/oauth-authorization-server")
        .and_then(|issuer| Some((issuers.get(issuer.trim_end_matches('/'))?, "/metadata")))
        .or_else(|| {
            ["/token", "/jwks", "/.well-known/openid-configuration"]
                .into_iter()
                .find_map(|endpoint| {
                    let issuer = issuers.get(path.strip_suffix(endpoint)?)?;
                    Some((
                        issuer,
                        if endpoint.starts_with("/.well") {
                            "/metadata"
                        } else {
                            endpoint
                        },
                    ))
                })
        });
    let Some((issuer, endpoint)) = found else {
        return (StatusCode::NOT_FOUND, Json(json!({"error": "not_found"}))).into_response();
    };
    let allowed = if endpoint == "/token" {
        Method::POST
    } else {
        Method::GET
    };
    if method != allowed && !(allowed == Method::GET && method == Method::HEAD) {
        return (
            StatusCode::METHOD_NOT_ALLOWED,
            [(header::ALLOW, allowed.as_str().to_owned())],
        )
            .into_response();
    }
    match endpoint {
        "/token" => match body {
            Ok(body) => token(&issuer, &headers, &body).await,
            Err(rejection) => {
                let status = rejection.into_response().status();
                let error =
                    json!({"error": "invalid_request", "error_description": "the body cannot be read or is too long"});
                (status, NO_STORE, Json(error)).into_response()
            }
        },
        "/jwks" => ([(header::CACHE_CONTROL, CACHE)], Json(&*issuer.jwks())).into_response(),
        _ => ([(header::CACHE_CONTROL, CACHE)], Json(metadata(&issuer))).into_response(),
    }
}

const NO_STORE: [(header::HeaderName, &str); 2] = [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")];

/// Authorization server metadata (RFC 8414 section 2), the same for `OpenID` Connect Discovery.
fn metadata(issuer: &Issuer) -> serde_json::Value {
    let endpoints = &issuer.settings.endpoints;
    json!({
        "issuer": endpoints.issuer,
        "token_endpoint": endpoints.token,
        "jwks_uri": endpoints.jwks,
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    })
}

async fn token(issuer: &Issuer, headers: &HeaderMap, body: &[u8]) -> Response {
    let basic = headers.contains_key(header::AUTHORIZATION);
    match answer(issuer, headers, body).await {
        Ok(answer) => (NO_STORE, Json(answer)).into_response(),
        Err(refusal) => refused(refusal, basic),
    }
}

/// The error of RFC 6749 section 5.2.
fn refused(refusal: Refusal, basic: bool) -> Response {
    let status = match refusal {
        Refusal::InvalidClient => StatusCode::UNAUTHORIZED,
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

async fn answer(issuer: &Issuer, headers: &HeaderMap, body: &[u8]) -> Result<serde_json::Value, Refusal> {
    let form = Form::parse(headers, body)?;
    match form.one("grant_type")? {
        None => return Err(Refusal::InvalidRequest("grant_type is missing")),
        Some("client_credentials") => {}
        Some(_) => return Err(Refusal::UnsupportedGrantType),
    }
    let (client_id, secret, authentication) = credentials(headers, &form)?;
    let request = Request {
        client_id: &client_id,
        secret: &secret,
        authentication,
        scopes: form
            .one("scope")?
            .unwrap_or_default()
            .split(' ')
            .filter(|scope| !scope.is_empty())
            .collect(),
        resources: form.all("resource").collect(),
    };
    let token = issuer.issue(&request).await?;
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

/// The parameters of a request (RFC 6749 section 3.2): each at most once, save `resource` (RFC 8707 section 2).
struct Form(Vec<(String, String)>);

impl Form {
    fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
        let type_ = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let essence = type_.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Refusal::InvalidRequest(
                "the content type must be application/x-www-form-urlencoded",
            ));
        }
        if std::str::from_utf8(body).is_err() {
            return Err(Refusal::InvalidRequest("the body must be UTF-8"));
        }
        Ok(Self(
            form_urlencoded::parse(body)
                .into_owned()
                .filter(|(_, value)| !value.is_empty())
                .collect(),
        ))
    }

    fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Refusal> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (value, None) => Ok(value),
            _ => Err(Refusal::InvalidRequest("a parameter is given more than once")),
        }
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The client's credentials: in the header or in the body, never in both (RFC 6749 section 2.3).
fn credentials(headers: &HeaderMap, form: &Form) -> Result<(String, SecretString, ClientAuthentication), Refusal> {
    let in_body = form.one("client_secret")?;
    let client_id = form.one("client_id")?;
    let mut in_header = headers.get_all(header::AUTHORIZATION).iter();
    match (in_header.next(), in_header.next(), in_body) {
        (Some(_), Some(_), _) => Err(Refusal::InvalidRequest("more than one Authorization header")),
        (Some(_), None, Some(_)) => Err(Refusal::InvalidRequest(
            "credentials both in the header and in the body",
        )),
        (Some(value), None, None) => {
            let (id, secret) = basic(value.as_bytes()).ok_or(Refusal::InvalidClient)?;
            if client_id.is_some_and(|other| other != id) {
                return Err(Refusal::InvalidRequest(
                    "client_id differs from the Authorization header's",
                ));
            }
            Ok((id, secret.into(), ClientAuthentication::ClientSecretBasic))
        }
        (None, _, Some(secret)) => {
            let id = client_id.ok_or(Refusal::InvalidRequest("client_id is missing"))?;
            Ok((
                id.to_owned(),
                secret.to_owned().into(),
                ClientAuthentication::ClientSecretPost,
            ))
        }
        (None, _, None) => Err(Refusal::InvalidClient),
    }
}

/// Id and secret from a Basic header; both are form-encoded inside it (RFC 6749 section 2.3.1).
fn basic(value: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(value).ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let encoded = encoded.trim().as_bytes();
    let decoded = String::from_utf8(BASE64.decode(encoded).or_else(|_| BASE64_NOPAD.decode(encoded)).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((form_decoded(id)?, form_decoded(secret)?))
}

fn form_decoded(text: &str) -> Option<String> {
    // As the one name of a form without values.
    if text.contains(['&', '=']) {
        return Some(text.to_owned());
    }
    form_urlencoded::parse(text.as_bytes())
        .next()
        .map_or(Some(String::new()), |(name, _)| Some(name.into_owned()))
}
