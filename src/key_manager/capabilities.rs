//! What a key manager can do. The plan follows it.

use crate::api::{CapabilityStatus, ClientAuthentication, CredentialKind, GrantType, Vendor};

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
