//! OAuth clients at a key manager.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Map, Value};

/// One secret of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSecret {
    /// Its id.
    pub id: String,
    /// The secret itself, whether or not the server could show it.
    pub value: String,
    /// What it is for.
    pub description: Option<String>,
    /// When it ends, in seconds of the epoch; 0 is never.
    pub expires_at: i64,
}

impl ClientSecret {
    /// A random one.
    pub(super) fn random() -> Self {
        Self::of(&random())
    }

    /// A given one.
    pub(super) fn of(value: &str) -> Self {
        Self {
            id: uuid(),
            value: value.to_owned(),
            description: None,
            expires_at: 0,
        }
    }

    fn is_live(&self, now: i64) -> bool {
        self.expires_at == 0 || self.expires_at > now
    }
}

/// What a client may do with PKCE and without a secret. On the wire: strings when sent, booleans when read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The code grant must carry a challenge.
    pub pkce_mandatory: bool,
    /// The challenge may be plain.
    pub pkce_plain: bool,
    /// A public client: no secret needed.
    pub public: bool,
}

/// Lifetimes in seconds; none is the server's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetimes {
    /// Tokens of client_credentials.
    pub application: Option<i64>,
    /// Tokens of user grants.
    pub user: Option<i64>,
    /// Refresh tokens.
    pub refresh: Option<i64>,
    /// ID tokens.
    pub id: Option<i64>,
}

/// A client.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// Its id: the consumer key.
    pub id: String,
    /// Its name, unique at its key manager.
    pub name: String,
    /// The user it belongs to.
    pub owner: String,
    /// Its secrets, the latest last.
    pub secrets: Vec<ClientSecret>,
    /// Its grant types.
    pub grants: Vec<String>,
    /// Redirect URIs, separated by commas.
    pub callback: String,
    /// PKCE and public.
    pub flags: Flags,
    /// Lifetimes.
    pub lifetimes: Lifetimes,
    /// `application_scopes`.
    pub scopes: Vec<String>,
    /// Whether its access tokens are JWTs.
    pub jwt: bool,
    /// Whether it is active; a revoked one gets no token.
    pub active: bool,
    /// Properties of a connector of another vendor.
    pub others: Map<String, Value>,
}

impl Client {
    /// A client with one secret.
    pub(super) fn new(id: String, name: String, owner: String, secret: ClientSecret) -> Self {
        Self {
            id,
            name,
            owner,
            secrets: vec![secret],
            grants: vec![],
            callback: String::new(),
            flags: Flags::default(),
            lifetimes: Lifetimes::default(),
            scopes: vec![],
            jwt: true,
            active: true,
            others: Map::new(),
        }
    }

    /// The latest secret.
    pub fn secret(&self) -> &str {
        self.secrets.last().map_or("", |secret| secret.value.as_str())
    }

    /// Whether a secret is one of the client's.
    pub(super) fn proves(&self, secret: &str, now: i64) -> bool {
        self.secrets.iter().any(|own| own.is_live(now) && own.value == secret)
    }

    /// Redirect URIs as the resident key manager reads them back.
    pub(super) fn shown_callback(&self) -> Option<String> {
        let uris: Vec<_> = self
            .callback
            .split(',')
            .map(str::trim)
            .filter(|uri| !uri.is_empty())
            .collect();
        match uris.as_slice() {
            [] => None,
            [one] => Some((*one).to_owned()),
            several => Some(format!("regexp=({})", several.join("|"))),
        }
    }
}

/// The first characters of a secret, as 4.7 shows it.
pub(super) fn masked(secret: &str, hashed: bool) -> String {
    let shown: String = secret.chars().take(if hashed { 0 } else { 3 }).collect();
    format!("{shown:*<16}")
}

/// What is left of a secret that is kept as a digest.
pub(super) fn digest(secret: &str) -> String {
    HEXLOWER.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes()).as_ref())
}

/// Ids and secrets as the server makes them: 28 characters.
pub(super) fn random() -> String {
    let mut bytes = [0; 21];
    let halves = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
    for (byte, other) in bytes.iter_mut().zip(halves.iter().flat_map(uuid::Uuid::as_bytes)) {
        *byte = *other;
    }
    BASE64URL_NOPAD.encode(&bytes).replace('-', "_")
}

/// An id of a row.
pub(super) fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}
