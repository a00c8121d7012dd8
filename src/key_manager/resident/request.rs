//! What a request says: its parameters, and how the client proves itself (RFC 6749 sections 2.3 and 3.2, RFC 7521 section 4.2).

use axum::http::{HeaderMap, header};
use data_encoding::{BASE64, BASE64_NOPAD};
use secrecy::SecretString;
use url::form_urlencoded;

use super::{
    assertion::{self, Assertion},
    issuer::Refusal,
};
use crate::api::ClientAuthentication;

/// Longest client id in bytes: what cannot be one is not remembered as a wrong attempt either.
const LONGEST_ID: usize = 255;

/// The parameters of a request (RFC 6749 section 3.2): each at most once, save `resource` (RFC 8707 section 2).
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
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

    pub(super) fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Refusal> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (value, None) => Ok(value),
            _ => Err(Refusal::InvalidRequest("a parameter is given more than once")),
        }
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }
}

/// How a client proves itself.
pub(super) enum Proof {
    /// Id and secret, and where they were.
    Secret(String, SecretString, ClientAuthentication),
    /// A signed assertion (RFC 7523 section 2.2).
    Assertion(Assertion),
}

impl Proof {
    /// The one proof in a request: of two methods nobody knows which was meant (RFC 6749 section 2.3).
    pub(super) fn of(headers: &HeaderMap, form: &Form) -> Result<Self, Refusal> {
        let mut in_header = headers.get_all(header::AUTHORIZATION).iter();
        let (in_header, another) = (in_header.next(), in_header.next());
        let in_body = form.one("client_secret")?;
        let type_ = form.one("client_assertion_type")?;
        let assertion = form.one("client_assertion")?;
        let client_id = form.one("client_id")?;
        if another.is_some() {
            return Err(Refusal::InvalidRequest("more than one Authorization header"));
        }
        let proof = match (in_header, in_body, type_, assertion) {
            (Some(value), None, None, None) => Self::in_header(value.as_bytes(), client_id)?,
            (None, Some(secret), None, None) => {
                let id = client_id.ok_or(Refusal::InvalidRequest("client_id is missing"))?;
                Self::Secret(
                    id.to_owned(),
                    secret.to_owned().into(),
                    ClientAuthentication::ClientSecretPost,
                )
            }
            (None, None, Some(type_), Some(assertion)) => Self::assertion(type_, assertion, client_id)?,
            (None, None, Some(_), None) | (None, None, None, Some(_)) => {
                return Err(Refusal::InvalidRequest(
                    "client_assertion and client_assertion_type go together",
                ));
            }
            (None, None, None, None) => return Err(Refusal::InvalidClient),
            _ => {
                return Err(Refusal::InvalidRequest("more than one method of client authentication"));
            }
        };
        if proof.client_id().len() > LONGEST_ID {
            return Err(match proof {
                Self::Secret(..) => Refusal::InvalidClient,
                Self::Assertion(_) => Refusal::WrongAssertion,
            });
        }
        Ok(proof)
    }

    pub(super) fn client_id(&self) -> &str {
        match self {
            Self::Secret(id, ..) => id,
            Self::Assertion(assertion) => assertion.client_id(),
        }
    }

    fn in_header(value: &[u8], client_id: Option<&str>) -> Result<Self, Refusal> {
        let (id, secret) = basic(value).ok_or(Refusal::InvalidClient)?;
        if client_id.is_some_and(|other| other != id) {
            return Err(Refusal::InvalidRequest(
                "client_id differs from the Authorization header's",
            ));
        }
        Ok(Self::Secret(id, secret.into(), ClientAuthentication::ClientSecretBasic))
    }

    fn assertion(type_: &str, assertion: &str, client_id: Option<&str>) -> Result<Self, Refusal> {
        if type_ != assertion::TYPE {
            return Err(Refusal::WrongAssertion);
        }
        let assertion = Assertion::read(assertion.to_owned().into()).ok_or(Refusal::WrongAssertion)?;
        // RFC 7521 section 4.2: it is not needed, but must not be another's.
        if client_id.is_some_and(|other| other != assertion.client_id()) {
            return Err(Refusal::WrongAssertion);
        }
        Ok(Self::Assertion(assertion))
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
