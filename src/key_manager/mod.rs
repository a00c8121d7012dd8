//! Key managers: what the reconciler asks of an authorization server, in words of the domain.
//!
//! A driver speaks one vendor's protocol and states its [`Capabilities`]; the plan follows those and never a vendor's
//! name. Every verb may be repeated: the answer to "again" is the state that the first call made. "Not there" is a value.

pub mod budget;
pub mod circuit;
mod credentials;
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
mod wso2;

pub use error::{Category, Error};

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        ApplicationBlocks, CapabilityStatus, ClientAuthentication, ClusterKeyManagerSpec, CredentialKind, Environment,
        GrantType, KeyManagerKind, KeyManagerSpec, KeycloakSpec, OidcSpec, OktaSpec, Pkce, ResidentSpec, Vendor,
        VendorBlocks, Wso2Spec, conditions::Say,
    },
    controller::queue::Name,
};

/// Who owns a client: it is written on the client wherever the key manager can hold it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// The cluster's id.
    pub cluster_id: String,
    /// The key's namespace.
    pub namespace: String,
    /// The key's name.
    pub name: String,
}

/// Which client of an application a client is: key managers that keep clients in applications have one for each environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The name of the Application; empty where that is not known.
    pub application: String,
    /// The environment.
    pub environment: Environment,
}

impl Place {
    /// Whether nothing is known of it: state of an earlier version does not say it.
    pub const fn is_unknown(&self) -> bool {
        self.application.is_empty()
    }
}

/// Who chooses a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// We do; the key manager takes it as it is.
    Ours,
    /// The key manager does, and tells once.
    Theirs,
}

/// What ids of our choice look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdForm {
    /// Up to a hundred letters, digits and `-`.
    #[default]
    Readable,
    /// Up to thirty letters, digits and `_`.
    Word,
}

/// How long an old secret can live beside a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// A client has one secret.
    None,
    /// A client has up to two; the end that we give is kept by the key manager itself.
    ServerEnds,
    /// A client has up to two; the old one ends when we take it away.
    WeEnd,
}

/// What a key manager can do. Found by the driver, never configured.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Who chooses the client id.
    pub client_id: Choice,
    /// What ids that we choose look like.
    pub client_ids: IdForm,
    /// Whether clients are in applications there: one client for each environment of an Application, and no other beside it.
    pub applications: bool,
    /// Who chooses the secret of a new client.
    pub secret_at_creation: Choice,
    /// Who chooses a rotated secret; `None` where a client's secret cannot be changed.
    pub secret_at_rotation: Option<Choice>,
    /// Whether the secret of a client can be read back.
    pub read_secret: bool,
    /// How long an old secret can live beside a new one.
    pub overlap: Overlap,
    /// Whether clients that somebody else made can be taken over.
    pub adopt: bool,
    /// Whether a client can be found by its mark or by the id of the attempt that made it.
    pub find: bool,
    /// Grant types that it serves.
    pub grant_types: Vec<GrantType>,
    /// Whether the life of access tokens can be set for each client.
    pub access_token_lifetime: bool,
    /// Whether the life of refresh tokens can be set for each client.
    pub refresh_token_lifetime: bool,
    /// Whether the life of ID tokens can be set for each client.
    pub id_token_lifetime: bool,
    /// How clients can prove themselves.
    pub authentication: Vec<ClientAuthentication>,
    /// What clients sign their assertions with.
    pub key_algorithm: KeyAlgorithm,
    /// How long an old private key can live beside a new one.
    pub key_overlap: Overlap,
    /// What PKCE it can demand of a client.
    pub pkce: PkceMethods,
    /// Whether it keeps which scopes a client may have; otherwise policies of its own decide, which are no part of a client.
    pub scopes: bool,
    /// Whether tokens can be asked for a resource (RFC 8707).
    pub resources: bool,
    /// Whose blocks of a key's spec it honours.
    pub vendors: Vec<Vendor>,
    /// Where it is worth a word: what tells that it has a capability of this name or has it not, and what happens instead; what is
    /// to be done at the key manager where it refuses a token with this word (RFC 6749 section 5.2).
    pub reasons: Vec<(&'static str, String)>,
}

/// What clients sign their assertions with (RFC 7518).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// ECDSA with P-256 and SHA-256.
    #[default]
    ES256,
    /// RSA with SHA-256, for servers that know nothing else.
    RS256,
}

/// What PKCE (RFC 7636) a key manager can demand of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PkceMethods {
    /// None: it does no logins, or lets apps choose.
    Nothing,
    /// The method S256.
    S256,
    /// Exactly one: S256, or plain; not either of the two.
    One,
    /// S256, or either of S256 and plain.
    Both,
}

impl Capabilities {
    /// As they are for a client that holds this.
    #[must_use]
    pub fn with(&self, kind: CredentialKind) -> Self {
        match kind {
            CredentialKind::Secret => self.clone(),
            CredentialKind::PrivateKey => Self {
                // The key is always made here; its private part never goes anywhere.
                secret_at_creation: Choice::Ours,
                secret_at_rotation: (self.key_overlap != Overlap::None).then_some(Choice::Ours),
                read_secret: false,
                overlap: self.key_overlap,
                ..self.clone()
            },
            CredentialKind::Nothing => Self {
                secret_at_creation: Choice::Ours,
                secret_at_rotation: None,
                read_secret: true,
                overlap: Overlap::None,
                ..self.clone()
            },
        }
    }

    /// Whether a client's identity can be derived, so that a create can be repeated.
    pub const fn chosen_identity(&self) -> bool {
        matches!(self.client_id, Choice::Ours)
    }

    /// What is worth a word about the capability or refusal of this name.
    pub fn reason(&self, name: &str) -> Option<&str> {
        let mut reasons = self.reasons.iter();
        reasons.find(|(of, _)| *of == name).map(|(_, text)| text.as_str())
    }

    /// All of them, as a key manager's status shows them.
    pub fn status(&self) -> Vec<CapabilityStatus> {
        let all = [
            ("ChosenClientId", self.client_id == Choice::Ours),
            ("ChosenSecret", self.secret_at_creation == Choice::Ours),
            ("SecretRotation", self.secret_at_rotation.is_some()),
            ("SecretOverlap", self.overlap != Overlap::None),
            ("ReadSecret", self.read_secret),
            ("FindClient", self.find),
            ("AdoptClient", self.adopt),
            ("Applications", self.applications),
            ("AccessTokenLifetime", self.access_token_lifetime),
            ("RefreshTokenLifetime", self.refresh_token_lifetime),
            ("IdTokenLifetime", self.id_token_lifetime),
            (
                "PrivateKeyJwt",
                self.authentication.contains(&ClientAuthentication::PrivateKeyJwt),
            ),
            (
                "PublicClients",
                self.authentication.contains(&ClientAuthentication::None),
            ),
            ("ClientScopes", self.scopes),
            ("Resources", self.resources),
            ("PkceS256", self.pkce != PkceMethods::Nothing),
            ("PkcePlain", matches!(self.pkce, PkceMethods::One | PkceMethods::Both)),
        ];
        let status = |(name, available): (&str, bool)| CapabilityStatus {
            name: name.to_owned(),
            available,
            reason: self.reason(name).unwrap_or_default().to_owned(),
        };
        all.into_iter().map(status).collect()
    }
}

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

/// The properties of a client, as they should be.
///
/// Their JSON form is hashed to see changes: what is not asked for is left out of it, so that a property which a later version
/// adds changes nothing for clients that do without.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Properties {
    /// Whose the client is from now on; differs from [`Client::mark`] only while a client is taken over.
    pub mark: Mark,
    /// Name of the Application.
    pub application: String,
    /// Name for people.
    pub display_name: String,
    /// Environment of the key.
    pub environment: Environment,
    /// How the client proves itself.
    pub authentication: ClientAuthentication,
    /// Grant types that it may use.
    pub grant_types: Vec<GrantType>,
    /// Where its logins may return to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
    /// The code challenge that its logins need.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pkce: Option<Pkce>,
    /// Scopes that it may have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Resources (RFC 8707) that it may ask tokens for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Life of its access tokens in seconds, where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token_lifetime: Option<i64>,
    /// Life of a refresh token that nobody uses, in seconds, where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token_lifetime: Option<i64>,
    /// Life of ID tokens in seconds, where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token_lifetime: Option<i64>,
    /// What the application itself is given, where clients are in applications.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_properties: Option<ApplicationProperties>,
    /// What key managers of one vendor are asked for.
    #[serde(skip_serializing_if = "VendorBlocks::is_empty")]
    pub vendor: VendorBlocks,
    /// No new token: no access rule selects the key's namespace any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
}

/// The properties of an application at a key manager that keeps clients in applications, beside its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationProperties {
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What else is known of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// What key managers of one vendor are asked for.
    #[serde(skip_serializing_if = "ApplicationBlocks::is_empty")]
    pub vendor: ApplicationBlocks,
}

/// Names a client at its key manager and holds what its management needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    /// Its id.
    pub id: String,
    /// Whose it must be: a client with another mark is never changed or deleted.
    pub mark: Mark,
    /// Which client of its application it is.
    #[serde(default, skip_serializing_if = "Place::is_unknown")]
    pub place: Place,
    /// The registration access token and its URI (RFC 7592), where the key manager gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management: Option<Management>,
}

/// What manages a dynamically registered client (RFC 7592 section 3).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Management {
    /// The client configuration endpoint.
    pub uri: String,
    /// The registration access token.
    #[serde(serialize_with = "crate::plan::expose")]
    pub token: SecretString,
    /// The registration access token before that, until the current one has worked.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::plan::expose_option"
    )]
    pub previous: Option<SecretString>,
}

/// Answer to a registration.
#[derive(Clone, Debug)]
pub enum Registered {
    /// A client was made.
    Made(Answer),
    /// A client of this id and with our mark was there already; its secret is unknown.
    Exists,
}

/// What a key manager says of a client that it made, or that it is asked for.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The client's id.
    pub id: String,
    /// Its secret.
    pub secret: SecretString,
    /// What manages it.
    pub management: Option<Management>,
    /// When the key manager ends the secret by itself, where it does.
    pub secret_ends: Option<Timestamp>,
    /// What was registered otherwise than asked, a sentence for each property; without secrets.
    pub differences: Vec<String>,
}

/// Answer to a new secret.
#[derive(Clone, Debug)]
pub enum SecretAdded {
    /// The secret works, and so does the published one where that was to go on working.
    Added(SecretString),
    /// The secret works, and the published one does not any more although it was to: workloads must get the new one at once.
    Alone(SecretString),
    /// This client has only one secret, whatever others at this key manager have; nothing was changed.
    OneSecret,
    /// Another secret, which is not the published one and has no end, is in the way: find out whether it was published, then ask to replace it.
    Occupied,
    /// There is no such client.
    NotThere,
}

/// Which secrets may go for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// None: say `Occupied`.
    Keep,
    /// Any that is not the published one.
    Replace,
    /// All: the new one is the only one from now on.
    Only,
}

/// A secret to add to a client; where it proves itself by a private key, that in PKCS#8 PEM.
#[derive(Clone, Debug)]
pub struct NewSecret<'a> {
    /// What the client proves itself with.
    pub kind: CredentialKind,
    /// The secret in the published Secret, where there is one.
    pub published: Option<&'a SecretString>,
    /// The version of the published one.
    pub published_version: i64,
    /// Our choice; the key manager's own where it chooses.
    pub secret: &'a SecretString,
    /// The version of the credential that it is to be: key managers that show no secret can keep that with it.
    pub version: i64,
    /// Which secrets may go for it.
    pub room: Room,
}

/// The secret that a client goes on with.
#[derive(Clone, Copy, Debug)]
pub struct Current<'a> {
    /// What the client proves itself with.
    pub kind: CredentialKind,
    /// It; a private key in PKCS#8 PEM.
    pub secret: &'a SecretString,
    /// The version of the credential that it is.
    pub version: i64,
}

/// Answer to a change or deletion.
#[derive(Clone, Debug)]
pub enum Changed {
    /// Done.
    Done(Outcome),
    /// There is no such client.
    NotThere,
    /// What manages this client (RFC 7592 section 3) is refused, or nothing does: the client is gone, or out of our reach.
    Refused,
    /// No client becomes this one that was made otherwise, for the reason given; another one can be made so. Nothing was changed.
    NeedsAnother(String),
}

impl Changed {
    /// Done, and nothing more to say.
    pub fn done() -> Self {
        Self::Done(Outcome::default())
    }
}

/// What a key manager says of a change.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// New management data, where the key manager changed them: the ones before may not work any more.
    pub management: Option<Management>,
    /// The client's secret, where the key manager tells it: another one than before if a change replaces it (RFC 7592 section 2.2).
    pub secret: Option<SecretString>,
    /// When the key manager ends that secret by itself, where it does.
    pub secret_ends: Option<Timestamp>,
    /// What is otherwise than asked, as in [`Answer::differences`].
    pub differences: Vec<String>,
}

/// Answer to a comparison.
#[derive(Clone, Debug)]
pub enum Compared {
    /// The fields that differ, and what manages the client from now on where that changed.
    Differs(Vec<String>, Option<Management>),
    /// There is no such client.
    NotThere,
    /// What manages this client is refused or missing.
    Refused,
}

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

    /// Ends all secrets but `current` at `end`; never later than an end already set.
    async fn retire(&self, client: &Client, current: Current<'_>, end: Timestamp) -> Result<Changed, Error>;

    /// Deletes a client; one with another mark is left alone, and as if it were not there.
    async fn delete(&self, client: &Client) -> Result<Changed, Error>;

    /// Asks for an access token as the client.
    async fn token(&self, request: TokenRequest<'_>) -> Result<TokenAnswer, Error>;

    /// How long a call whose answer was lost may still have its effect; zero where a late call is refused.
    fn settles(&self) -> SignedDuration;
}

/// A driver that is ready for use.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The driver.
    pub driver: std::sync::Arc<dyn KeyManager>,
    /// When the key manager is to be looked at again: a certificate or signing key is due then, or its capabilities are.
    pub look_again: Option<Timestamp>,
    /// What of the world beside the spec it was opened with, the operator's credential say: where that changes, what was
    /// learnt of the way to it holds no more.
    pub stamp: String,
}

/// A key manager as its spec says it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its kind.
    pub kind: KeyManagerKind,
    /// Its name; a cluster's has no namespace.
    pub name: &'a Name,
    /// What it is.
    pub server: Server<'a>,
    /// The Secret with the CA certificates that its server is checked with.
    pub ca_bundle: Option<&'a str>,
}

/// What a key manager is.
#[derive(Clone, Copy, Debug)]
pub enum Server<'a> {
    /// The one inside the operator.
    Resident(&'a ResidentSpec),
    /// An Okta org.
    Okta(&'a OktaSpec),
    /// A Keycloak realm.
    Keycloak(&'a KeycloakSpec),
    /// A WSO2 API Manager.
    Wso2(&'a Wso2Spec),
    /// A server with dynamic client registration.
    Oidc(&'a OidcSpec),
    /// No kind that this version knows.
    Unknown,
}

impl Server<'_> {
    /// The one that is given.
    fn only<const N: usize>(given: [Option<Self>; N]) -> Self {
        let mut given = given.into_iter().flatten();
        given.next().filter(|_| given.next().is_none()).unwrap_or(Self::Unknown)
    }
}

impl<'a> Wanted<'a> {
    /// A key manager of the cluster.
    pub fn cluster(name: &'a Name, spec: &'a ClusterKeyManagerSpec) -> Self {
        let server = Server::only([
            spec.resident.as_ref().map(Server::Resident),
            spec.okta.as_ref().map(Server::Okta),
            spec.keycloak.as_ref().map(Server::Keycloak),
            spec.wso2.as_ref().map(Server::Wso2),
            spec.oidc.as_ref().map(Server::Oidc),
        ]);
        Self {
            kind: KeyManagerKind::ClusterKeyManager,
            name,
            server,
            ca_bundle: spec.ca_bundle_ref.as_ref().map(|secret| secret.name.as_str()),
        }
    }

    /// A key manager of a namespace.
    pub fn namespaced(name: &'a Name, spec: &'a KeyManagerSpec) -> Self {
        let server = Server::only([
            spec.okta.as_ref().map(Server::Okta),
            spec.keycloak.as_ref().map(Server::Keycloak),
            spec.wso2.as_ref().map(Server::Wso2),
            spec.oidc.as_ref().map(Server::Oidc),
        ]);
        Self {
            kind: KeyManagerKind::KeyManager,
            name,
            server,
            ca_bundle: spec.ca_bundle_ref.as_ref().map(|secret| secret.name.as_str()),
        }
    }
}

/// Makes drivers from specs: the one place that knows which kinds of key manager there are.
#[async_trait]
pub trait Drivers: std::fmt::Debug + Send + Sync {
    /// The driver of a key manager.
    ///
    /// # Errors
    /// The condition `Ready=False` that says what is wrong.
    async fn open(&self, wanted: Wanted<'_>) -> Result<Opened, Say>;

    /// What the Secrets that its spec names hold, or held when it was opened last; `None` where that is not known any more.
    async fn held(&self, wanted: Wanted<'_>) -> Option<snapshot::Held>;
}
