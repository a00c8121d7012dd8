//! The token endpoint as a client sees it (RFC 6749 sections 4.4 and 5).

use http::{Method, StatusCode, header};
use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;

use super::{
    proof::{AssertionKey, ClientProof},
    reply::Reply,
    way::HttpClient,
};
use crate::{
    api::ClientAuthentication,
    entropy::Entropy,
    key_manager::{Category, Error, Token, TokenAnswer, TokenRequest},
};

/// The life of a token that tells it in no way (RFC 6749 section 5.1 only recommends `expires_in`).
const ASSUMED: SignedDuration = SignedDuration::from_mins(5);
/// The longest life that is believed, in seconds: ten years.
const LONGEST: f64 = 315_360_000.0;
/// What a server may say to a client that it knows (RFC 6749 section 5.2, RFC 8707 section 2, OpenID Connect Core section 3.1.2.6).
const REFUSALS: [&str; 7] = [
    "access_denied",
    "consent_required",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "unauthorized_client",
    "unsupported_grant_type",
];
const STEP: &str = "get an access token";

/// Whether a refusal with this `error` and `error_description` says that the client's credential is wrong, or the client unknown:
/// servers differ in their words.
pub type RefusesCredential = fn(error: &str, description: &str) -> bool;

/// The standard's words for it (RFC 6749 section 5.2).
pub fn invalid_client(error: &str, _description: &str) -> bool {
    error == "invalid_client"
}

#[derive(Deserialize)]
struct Issued {
    access_token: SecretString,
    token_type: Option<String>,
    /// A number, a fraction or a string of one.
    expires_in: Option<Value>,
    scope: Option<String>,
}

#[derive(Deserialize)]
struct Lifetime {
    /// Some servers write fractions.
    exp: f64,
}

#[derive(Deserialize)]
struct Described {
    error_description: Option<String>,
}

/// What a refusal says of the client.
enum Refusal {
    /// Its credential is wrong, or there is no such client.
    Client,
    /// Its credential is right.
    Word(&'static str),
}

/// A token endpoint as a client sees it.
#[derive(Clone, Copy, Debug)]
pub struct TokenEndpoint<'a> {
    /// The way to it.
    pub http: &'a HttpClient,
    /// Its URL.
    pub url: &'a str,
    /// Whom client assertions are for, as the server wants it: itself, or its issuer (RFC 7523 section 3).
    pub audience: &'a str,
    /// What the server says to a wrong credential.
    pub refuses_credential: RefusesCredential,
    /// For what must differ each time.
    pub entropy: &'a Entropy,
}

impl TokenEndpoint<'_> {
    /// Does what `request` asks for: a token by client_credentials, or a proof of the credential by a code that cannot exist. A
    /// private key that somebody damaged is refused without asking: no server takes it, and another one must come.
    ///
    /// # Errors
    /// As [`HttpClient::send`]; [`Category::Unreachable`] where the answer says neither yes nor no; as
    /// [`use_code_that_cannot_exist`].
    pub async fn ask(self, request: TokenRequest<'_>) -> Result<TokenAnswer, Error> {
        let key = match request.authentication {
            ClientAuthentication::PrivateKeyJwt => match AssertionKey::from_pem(request.secret, self.entropy.clone()) {
                Ok(key) => Some(key),
                Err(_) => return Ok(TokenAnswer::InvalidClient),
            },
            _ => None,
        };
        let proof = match &key {
            Some(key) => ClientProof::Assertion {
                key,
                audience: self.audience,
            },
            None => ClientProof::secret(request.authentication, request.secret),
        };
        if let Some(redirect_uri) = request.code_for {
            let (http, id) = (self.http, request.client_id);
            return use_code_that_cannot_exist(
                http,
                self.url,
                id,
                proof,
                redirect_uri,
                self.entropy,
                self.refuses_credential,
            )
            .await;
        }
        let wanted = Wanted {
            client_id: request.client_id,
            scopes: request.scopes,
            resource: request.resource,
        };
        wanted
            .get(self.http, self.url, proof, self.refuses_credential, STEP)
            .await
    }
}

/// A token that is wanted by client_credentials, whatever the proof.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The client's id.
    pub client_id: &'a str,
    /// Scopes to ask for; empty: those that the server gives by itself.
    pub scopes: &'a [String],
    /// The resource (RFC 8707) to ask for.
    pub resource: Option<&'a str>,
}

impl Wanted<'_> {
    /// Asks for it; `step` says for people what it is for.
    ///
    /// # Errors
    /// As [`TokenEndpoint::ask`].
    pub async fn get(
        self,
        http: &HttpClient,
        token_endpoint: &str,
        proof: ClientProof<'_>,
        refuses_credential: RefusesCredential,
        step: &str,
    ) -> Result<TokenAnswer, Error> {
        let mut form = vec![("grant_type", "client_credentials".to_owned())];
        // An empty `scope` is an error at Keycloak.
        if !self.scopes.is_empty() {
            form.push(("scope", self.scopes.join(" ")));
        }
        if let Some(resource) = self.resource {
            form.push(("resource", resource.to_owned()));
        }
        let reply = post(http, token_endpoint, self.client_id, proof, form, step).await?;
        if reply.status.is_success() {
            return Ok(TokenAnswer::Issued(issued(&reply, self.scopes, "Bearer")?));
        }
        Ok(match refusal(&reply, refuses_credential)? {
            Refusal::Client => TokenAnswer::InvalidClient,
            Refusal::Word(word) => TokenAnswer::Refused(word),
        })
    }
}

/// Proves a client's credential where it may not use client_credentials: an authorization code that cannot exist is refused with
/// `invalid_grant` once the client has proved itself, and with `invalid_client` where it could not.
///
/// # Errors
/// As [`HttpClient::send`]; [`Category::InvalidRequest`] where the answer proves nothing, such as `invalid_request`.
pub async fn use_code_that_cannot_exist(
    http: &HttpClient,
    token_endpoint: &str,
    client_id: &str,
    proof: ClientProof<'_>,
    redirect_uri: &str,
    entropy: &Entropy,
    refuses_credential: RefusesCredential,
) -> Result<TokenAnswer, Error> {
    let step = "prove the client's credential";
    let random = || {
        let secret = entropy.client_secret();
        let secret = secret.map_err(|error| Error::new(Category::InvalidRequest, error.to_string()))?;
        Ok::<_, Error>(secret.expose_secret().to_owned())
    };
    let form = vec![
        ("grant_type", "authorization_code".to_owned()),
        ("code", random()?),
        ("redirect_uri", redirect_uri.to_owned()),
        // Servers that demand PKCE say `invalid_request` without one (RFC 7636 section 4.5).
        ("code_verifier", random()?),
    ];
    let reply = post(http, token_endpoint, client_id, proof, form, step).await?;
    if reply.error_word().as_deref() == Some("invalid_grant") {
        return Ok(TokenAnswer::Refused("invalid_grant"));
    }
    if reply.status.is_client_error() {
        match refusal(&reply, refuses_credential)? {
            Refusal::Client => return Ok(TokenAnswer::InvalidClient),
            Refusal::Word(word @ "unauthorized_client") => return Ok(TokenAnswer::Refused(word)),
            Refusal::Word(_) => {}
        }
    }
    Err(reply.error(
        Category::InvalidRequest,
        "it does not say whether the credential is right",
    ))
}

async fn post(
    http: &HttpClient,
    token_endpoint: &str,
    client_id: &str,
    proof: ClientProof<'_>,
    form: Vec<(&str, String)>,
    step: &str,
) -> Result<Reply, Error> {
    let request = http
        .request(Method::POST, token_endpoint)
        .header(header::ACCEPT, "application/json");
    let request = proof.apply(request, client_id, form, http.clock().now())?;
    http.send(step, request).await
}

/// The token of a success, of this type. Its times are ours: a server whose clock is off by minutes changes nothing.
///
/// # Errors
/// [`Category::Unreachable`] where there is none, [`Category::InvalidRequest`] where it is of another type.
pub fn issued(reply: &Reply, asked: &[String], kind: &str) -> Result<Token, Error> {
    let answer: Issued = reply.json()?;
    if answer.access_token.expose_secret().is_empty() {
        return Err(reply.error(Category::Unreachable, "without a token"));
    }
    let right = |given: &String| given.eq_ignore_ascii_case(kind);
    if !answer.token_type.as_ref().is_none_or(right) {
        let hint = format!("a token that is not of type {kind}, which programs could not use");
        return Err(reply.error(Category::InvalidRequest, &hint));
    }
    let issued_at = reply.received_at;
    let life = answer
        .expires_in
        .as_ref()
        .and_then(seconds)
        .or_else(|| {
            let Lifetime { exp } =
                jsonwebtoken::dangerous::insecure_decode_claims(answer.access_token.expose_secret()).ok()?;
            let there = reply.date().unwrap_or(issued_at);
            Some(exp - there.as_duration().as_secs_f64())
        })
        .filter(|life| life.is_finite())
        .map_or(ASSUMED, |life| {
            SignedDuration::from_secs_f64(life.clamp(0.0, LONGEST).floor())
        });
    Ok(Token {
        expires_at: issued_at.checked_add(life).unwrap_or(issued_at),
        value: answer.access_token,
        issued_at,
        scopes: match answer.scope {
            Some(scope) => scope.split_whitespace().map(str::to_owned).collect(),
            // Left out where it is what was asked for (RFC 6749 section 5.1).
            None => asked.to_vec(),
        },
    })
}

fn seconds(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn refusal(reply: &Reply, refuses_credential: RefusesCredential) -> Result<Refusal, Error> {
    let Some(word) = reply.error_word() else {
        let challenges = reply.headers.get_all(header::WWW_AUTHENTICATE).iter();
        let basic = challenges.filter_map(|value| value.to_str().ok()).any(|value| {
            value
                .trim_start()
                .get(..5)
                .is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic"))
        });
        if reply.status == StatusCode::UNAUTHORIZED && basic {
            return Ok(Refusal::Client);
        }
        return Err(reply.error(Category::Unreachable, "not as a token endpoint does: is the URL right?"));
    };
    let described = reply.try_json::<Described>().and_then(|body| body.error_description);
    if refuses_credential(&word, &described.unwrap_or_default()) {
        return Ok(Refusal::Client);
    }
    let known = REFUSALS.into_iter().find(|known| *known == word);
    known
        .map(Refusal::Word)
        .ok_or_else(|| reply.error(Category::Unreachable, ""))
}

#[cfg(test)]
mod tests;
