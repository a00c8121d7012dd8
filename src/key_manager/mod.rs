//! Key managers: what the reconciler asks of an authorization server, in words of the domain.
//!
//! A driver speaks one vendor's protocol and states its [`Capabilities`]; the plan follows those and never a vendor's
//! name. Every verb may be repeated: the answer to "again" is the state that the first call made. "Not there" is a value.

mod answers;
pub mod budget;
mod capabilities;
pub mod circuit;
mod client;
mod credentials;
mod drivers;
mod error;
pub mod gate;
mod keycloak;
mod oidc;
mod okta;
pub mod open;
pub mod private_key;
pub mod remote;
pub mod resident;
pub mod snapshot;
#[cfg(test)]
mod testing;
mod token;
mod wso2;

pub use answers::{Answer, Changed, Compared, Current, NewSecret, Outcome, Registered, Room, SecretAdded};
pub use capabilities::{Capabilities, Choice, IdForm, KeyAlgorithm, Overlap, PkceMethods};
pub use client::{ApplicationProperties, Client, Management, Mark, Place, Properties};
pub use drivers::{Drivers, Opened, Server, Wanted};
pub use error::{Category, Error};
pub use token::{Token, TokenAnswer, TokenRequest};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::Serialize;

/// Where a key manager is reached (RFC 8414), as workloads see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Endpoints {
    /// Issuer of its tokens; empty where that is not known.
    pub issuer: String,
    /// Token endpoint.
    pub token: String,
    /// Its public keys (RFC 7517).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<String>,
    /// Authorization endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<String>,
    /// Introspection endpoint (RFC 7662).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection: Option<String>,
    /// Revocation endpoint (RFC 7009).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation: Option<String>,
    /// PEM of the CA that its certificate is checked with, where that is not a public one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// An authorization server at which clients are registered.
#[async_trait]
pub trait KeyManager: std::fmt::Debug + Send + Sync {
    /// What it can do.
    fn capabilities(&self) -> &Capabilities;

    /// Where it is reached.
    fn endpoints(&self) -> &Endpoints;

    /// Makes a client with `secret` (our choice where the key manager takes it; a private key in PKCS#8 PEM, or nothing, as
    /// `properties.authentication` says). `attempt` goes into what the key manager keeps, so that [`KeyManager::find`] can tell.
    ///
    /// # Errors
    /// [`Category::ClientConflict`] where a client of this id has another mark or none.
    async fn register(
        &self,
        client: &Client,
        properties: &Properties,
        secret: &SecretString,
        attempt: Option<&str>,
    ) -> Result<Registered, Error>;

    /// The client that `attempt` made, where the key manager can tell; `client` has no id.
    async fn find(&self, client: &Client, attempt: &str) -> Result<Option<Answer>, Error>;

    /// Gives a client these properties.
    async fn update(&self, client: &Client, properties: &Properties) -> Result<Changed, Error>;

    /// What of a client is not as `properties` say, a few words for each field; never a value that may be secret.
    async fn compare(&self, client: &Client, properties: &Properties) -> Result<Compared, Error>;

    /// Takes over a client that has nobody's mark: gives it ours and these properties. `secret` has proved whose it is.
    ///
    /// # Errors
    /// [`Category::ClientConflict`] where it has another mark, or is the operator's own.
    async fn adopt(&self, client: &Client, properties: &Properties, secret: &SecretString) -> Result<Changed, Error>;

    /// Gives a client a new secret; the published one goes on working unless `room` says otherwise.
    async fn add_secret(&self, client: &Client, new: NewSecret<'_>) -> Result<SecretAdded, Error>;

    /// The client with its newest secret, where that can be read back.
    async fn read_secret(&self, client: &Client) -> Result<Option<Answer>, Error>;

    /// Ends all secrets but `current` at `end`; never later than an end already set. A newer one that nobody published yet may stay.
    async fn retire(&self, client: &Client, current: Current<'_>, end: Timestamp) -> Result<Changed, Error>;

    /// Deletes a client; one with another mark is left alone, and as if it were not there.
    async fn delete(&self, client: &Client) -> Result<Changed, Error>;

    /// Asks for an access token as the client.
    async fn token(&self, request: TokenRequest<'_>) -> Result<TokenAnswer, Error>;

    /// How long a call whose answer was lost may still have its effect; zero where a late call is refused.
    fn settles(&self) -> SignedDuration;
}
