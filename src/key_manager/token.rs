//! An access token, and how it is asked for.

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use crate::api::ClientAuthentication;

/// An access token (RFC 6749 section 5.1).
#[derive(Clone, Debug)]
pub struct Token {
    /// The token.
    pub value: SecretString,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Its end.
    pub expires_at: Timestamp,
    /// Its scopes.
    pub scopes: Vec<String>,
}

impl Token {
    /// How long it lives.
    pub fn life(&self) -> SignedDuration {
        self.expires_at.duration_since(self.issued_at)
    }
}

/// A request for an access token by client_credentials (RFC 6749 section 4.4), or for the proof of a credential.
#[derive(Clone, Debug)]
pub struct TokenRequest<'a> {
    /// The client's id.
    pub client_id: &'a str,
    /// Where the client may not use client_credentials: one of its redirect URIs, for an authorization code that cannot exist.
    /// `Refused("invalid_grant")` is then the proof that its credential is right.
    pub code_for: Option<&'a str>,
    /// Its secret, or its private key in PKCS#8 PEM.
    pub secret: &'a SecretString,
    /// How it proves itself.
    pub authentication: ClientAuthentication,
    /// Scopes to ask for; empty: those that the key manager gives by itself.
    pub scopes: &'a [String],
    /// The resource (RFC 8707) to ask for.
    pub resource: Option<&'a str>,
}

/// Answer to a request for a token.
#[derive(Clone, Debug)]
pub enum TokenAnswer {
    /// A token.
    Issued(Token),
    /// The secret is wrong or the client unknown (`invalid_client`).
    InvalidClient,
    /// The secret is right, but this token is refused (`invalid_scope`, `invalid_target`, `unauthorized_client`, `access_denied`), with the server's word.
    Refused(&'static str),
}
