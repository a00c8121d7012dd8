//! Where a key manager's endpoints are: its own metadata (RFC 8414, OpenID Connect Discovery 1.0).

use http::{Method, StatusCode, header};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::way::HttpClient;
use crate::{
    api::GrantType,
    key_manager::{Category, Endpoints, Error},
};

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
pub(in crate::key_manager) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    })
}

/// A list of strings, or one string; anything else counts as not said.
pub(in crate::key_manager) fn list<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
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

    /// The grant types that it serves; where the metadata do not say, all of ours: the server tells then.
    pub fn grant_types(&self) -> Vec<GrantType> {
        let all = [
            (GrantType::ClientCredentials, "client_credentials"),
            (GrantType::AuthorizationCode, "authorization_code"),
            (GrantType::RefreshToken, "refresh_token"),
        ];
        let offered = self.grant_types_supported.as_deref();
        let serves = |name: &str| offered.is_none_or(|offered| offered.iter().any(|other| other == name));
        let ours = all.into_iter().filter(|(_, name)| serves(name));
        ours.map(|(grant, _)| grant).collect()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        clock::Clock,
        key_manager::remote::{
            testing::{self, Seen, Server, answer, bounds, client, now},
            way::Way,
        },
    };

    /// A server whose metadata is at `place`, for the issuer "its own URL" + `issuer`; elsewhere it gives `other`.
    async fn server(place: &'static str, issuer: &'static str, other: (u16, &'static str)) -> Server {
        Server::new(move |seen: &Seen, _| {
            if seen.path != place {
                return answer(other.0, &[("location", "/login")], other.1);
            }
            let base = format!("http://{}", seen.header("host"));
            testing::json(
                200,
                &json!({
                    "issuer": format!("{base}{issuer}"), "token_endpoint": format!("{base}/token"), "jwks_uri": null,
                    "scopes_supported": "openid", "grant_types_supported": ["client_credentials", 5],
                    "registration_endpoint": 7, "code_challenge_methods_supported": {}, "unknown": {"a": [1]},
                }),
            )
        })
        .await
    }

    #[tokio::test]
    async fn the_three_forms_are_tried_in_turn_past_everything_that_is_no_metadata() {
        let forms = [
            "/realms/r/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server/realms/r",
            "/realms/r/.well-known/oauth-authorization-server",
        ];
        let others = [
            (404, "{}"),
            (400, ""),
            (403, "no"),
            (302, ""),
            (200, "<html>"),
            (200, r#"{"a": 1}"#),
        ];
        for (place, other) in others
            .into_iter()
            .flat_map(|other| (0..3).map(move |place| (place, other)))
        {
            let server = server(forms[place], "/realms/r", other).await;
            let metadata = discover(&client(), &format!("{}/realms/r/", server.url)).await.unwrap();
            assert_eq!(
                metadata.issuer,
                format!("{}/realms/r", server.url),
                "as the server writes it"
            );
            let asked: Vec<_> = server.seen().into_iter().map(|seen| seen.path).collect();
            assert_eq!(asked, forms[..=place], "{other:?}");
            // What is of another shape was not said.
            assert_eq!(metadata.scopes_supported, Some(vec!["openid".to_owned()]));
            assert_eq!(
                metadata.grant_types_supported,
                Some(vec!["client_credentials".to_owned()])
            );
            assert_eq!(metadata.code_challenge_methods_supported, None);
            let endpoints = metadata.endpoints(Some("PEM".to_owned()));
            let expected = Endpoints {
                issuer: metadata.issuer.clone(),
                token: format!("{}/token", server.url),
                ca: Some("PEM".to_owned()),
                ..Endpoints::default()
            };
            assert_eq!(endpoints, expected);
        }
    }

    #[tokio::test]
    async fn without_metadata_the_first_answer_is_told_and_an_outage_ends_the_search() {
        let none = Server::new(|_, before| answer(if before == 0 { 403 } else { 404 }, &[], "")).await;
        let error = discover(&client(), &none.url).await.unwrap_err();
        assert_eq!(error.category, Category::InvalidRequest);
        assert!(error.message.contains("answered 403: no metadata there"), "{error}");
        assert_eq!(none.seen().len(), 2, "without a path two forms are one");
        for (status, category) in [(500, Category::Unreachable), (429, Category::Throttled)] {
            let down = server("", "", (status, "")).await;
            assert_eq!(discover(&client(), &down.url).await.unwrap_err().category, category);
            assert_eq!(down.seen().len(), 1);
        }
    }

    #[tokio::test]
    async fn the_metadata_of_another_issuer_is_refused() {
        const PLACE: &str = "/a/.well-known/openid-configuration";
        for (theirs, ours, fine) in [
            ("/a", "/a", true),
            ("/a/", "/a", true),
            ("/a", "/a/", true),
            ("/a//", "/a", false),
            ("/b", "/a", false),
            ("/A", "/a", false),
            ("/a?x=s3cret", "/a", false),
        ] {
            let server = server(PLACE, theirs, (404, "")).await;
            let result = discover(&client(), &format!("{}{ours}", server.url)).await;
            assert_eq!(result.is_ok(), fine, "{theirs} {ours}");
            let Err(error) = result else { continue };
            assert_eq!(error.category, Category::InvalidRequest);
            let there = format!("{}{}", server.url, theirs.split('?').next().unwrap());
            assert!(
                error
                    .message
                    .contains(&format!("issuer {}{ours} names another, {there}", server.url)),
                "{error}"
            );
            assert!(!error.message.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn endpoints_are_https_too_and_for_a_tenant_not_at_an_address_that_is_not_allowed() {
        let http = |tenant| {
            let way = Way {
                tenant,
                ..Way::default()
            };
            super::HttpClient::within(&way, Clock::new(now), bounds()).unwrap()
        };
        let check = |http: &HttpClient, name: &str, url: &str| {
            let mut metadata = json!({"issuer": "https://idp.example", "token_endpoint": "https://idp.example/token"});
            metadata[name] = url.into();
            checked(http, "https://idp.example", serde_json::from_value(metadata).unwrap())
        };
        for name in [
            "token_endpoint",
            "jwks_uri",
            "authorization_endpoint",
            "introspection_endpoint",
        ]
        .into_iter()
        .chain(["revocation_endpoint", "registration_endpoint"])
        {
            assert!(check(&http(false), name, "https://127.0.0.1/x").is_ok());
            for (tenant, url) in [
                (false, "http://idp.example/x"),
                (false, "/x"),
                (true, "https://127.0.0.1/x"),
            ] {
                let error = check(&http(tenant), name, url).unwrap_err();
                assert_eq!(error.category, Category::InvalidRequest);
                assert!(error.message.contains(name), "{error}");
            }
        }
    }
}
