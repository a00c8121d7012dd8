//! Where a key manager's endpoints are: its own metadata (RFC 8414, OpenID Connect Discovery 1.0).

use http::{Method, StatusCode, header};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::way::HttpClient;
use crate::key_manager::{Category, Endpoints, Error};

const STEP: &str = "find the endpoints";

/// A key manager's metadata (RFC 8414 section 2). What it does not say is `None`, which is not "no".
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Metadata {
    /// Its issuer, exactly as it writes it.
    pub issuer: String,
    /// Token endpoint.
    pub token_endpoint: String,
    /// Its public keys (RFC 7517).
    #[serde(default, deserialize_with = "text")]
    pub jwks_uri: Option<String>,
    /// Authorization endpoint.
    #[serde(default, deserialize_with = "text")]
    pub authorization_endpoint: Option<String>,
    /// Introspection endpoint (RFC 7662).
    #[serde(default, deserialize_with = "text")]
    pub introspection_endpoint: Option<String>,
    /// Revocation endpoint (RFC 7009).
    #[serde(default, deserialize_with = "text")]
    pub revocation_endpoint: Option<String>,
    /// Registration endpoint (RFC 7591).
    #[serde(default, deserialize_with = "text")]
    pub registration_endpoint: Option<String>,
    /// Scopes; servers need not name all.
    #[serde(default, deserialize_with = "list")]
    pub scopes_supported: Option<Vec<String>>,
    /// Grant types; absent means authorization_code and implicit.
    #[serde(default, deserialize_with = "list")]
    pub grant_types_supported: Option<Vec<String>>,
    /// How clients prove themselves; absent means client_secret_basic.
    #[serde(default, deserialize_with = "list")]
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Algorithms of client assertions.
    #[serde(default, deserialize_with = "list")]
    pub token_endpoint_auth_signing_alg_values_supported: Option<Vec<String>>,
    /// PKCE methods (RFC 7636); absent: unknown.
    #[serde(default, deserialize_with = "list")]
    pub code_challenge_methods_supported: Option<Vec<String>>,
}

/// A string; anything else counts as not said: one odd member must not make the rest unreadable.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    })
}

/// A list of strings, or one string; anything else counts as not said.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        _ => None,
    })
}

impl Metadata {
    /// What workloads are told; `ca` is the PEM that the key manager's certificate is checked with.
    pub fn endpoints(&self, ca: Option<String>) -> Endpoints {
        Endpoints {
            issuer: self.issuer.clone(),
            token: self.token_endpoint.clone(),
            jwks: self.jwks_uri.clone(),
            authorization: self.authorization_endpoint.clone(),
            introspection: self.introspection_endpoint.clone(),
            revocation: self.revocation_endpoint.clone(),
            ca,
        }
    }

    fn urls(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let named = [
            ("token_endpoint", Some(&self.token_endpoint)),
            ("jwks_uri", self.jwks_uri.as_ref()),
            ("authorization_endpoint", self.authorization_endpoint.as_ref()),
            ("introspection_endpoint", self.introspection_endpoint.as_ref()),
            ("revocation_endpoint", self.revocation_endpoint.as_ref()),
            ("registration_endpoint", self.registration_endpoint.as_ref()),
        ];
        named.into_iter().filter_map(|(name, url)| Some((name, url?.as_str())))
    }
}

/// Where the metadata of `issuer` may be: OpenID Connect Discovery section 4, RFC 8414 section 3.1, and the form that many servers
/// have although no standard says so.
fn places(issuer: &url::Url) -> Vec<String> {
    let origin = issuer.origin().ascii_serialization();
    let path = issuer.path().trim_end_matches('/');
    let mut places = vec![
        format!("{origin}{path}/.well-known/openid-configuration"),
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}{path}/.well-known/oauth-authorization-server"),
    ];
    // Without a path the last two are one.
    places.dedup();
    places
}

/// Reads the metadata of `issuer`.
///
/// # Errors
/// As [`HttpClient::send`]; [`Category::InvalidRequest`] where there is none, where it is another issuer's (RFC 8414 section 3.3),
/// or where an endpoint is not https.
pub async fn discover(http: &HttpClient, issuer: &str) -> Result<Metadata, Error> {
    let url = http.allowed(issuer)?;
    let mut first = None;
    for place in places(&url) {
        let request = http
            .request(Method::GET, &place)
            .header(header::ACCEPT, "application/json");
        let error = match http.send(STEP, request).await {
            Ok(reply) if reply.status == StatusCode::OK => match reply.json::<Metadata>() {
                Ok(metadata) => return checked(http, issuer, metadata),
                Err(error) => Error {
                    category: Category::InvalidRequest,
                    ..error
                },
            },
            Ok(reply) => reply.error(Category::InvalidRequest, "no metadata there: is the issuer right?"),
            // A front page may redirect what it does not know.
            Err(error) if error.category == Category::InvalidRequest => error,
            Err(error) => return Err(error),
        };
        first = first.or(Some(error));
    }
    // The first form is the one that most servers have.
    Err(first.unwrap_or_else(|| Error::new(Category::InvalidRequest, STEP)))
}

fn checked(http: &HttpClient, issuer: &str, metadata: Metadata) -> Result<Metadata, Error> {
    let invalid = |text: String| Err(Error::new(Category::InvalidRequest, format!("{STEP}: {text}")));
    let bare = |issuer: &str| issuer.strip_suffix('/').unwrap_or(issuer).to_owned();
    if bare(&metadata.issuer) != bare(issuer) {
        // Shown only where it is a URL, and without what may follow its path.
        let there = url::Url::parse(&metadata.issuer)
            .ok()
            .filter(|_| metadata.issuer.len() <= 256);
        let there = there.map(|url| format!("{}{}", url.origin().ascii_serialization(), url.path()));
        let there = there.unwrap_or_else(|| "something that is no URL".to_owned());
        return invalid(format!(
            "the metadata of issuer {issuer} names another, {there}: give that one if it is meant"
        ));
    }
    for (name, url) in metadata.urls() {
        if let Err(error) = http.allowed(url) {
            return invalid(format!("{name}: {error}"));
        }
    }
    Ok(metadata)
}
