//! Issues access tokens: client authentication, what may be asked for, and the signed JWT (RFC 6749, RFC 8707, RFC 9068).

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;

use super::{
    keys::{KeyError, KeySet},
    record::{self, ClientRecord},
    revocations::Revocations,
    signer::Signer,
    store::RecordStore,
};
use crate::{
    api::{ClientAuthentication, Environment},
    clock::Clock,
    entropy::Entropy,
    key_manager::{Endpoints, Token},
};

/// Why no token is issued; the words are those of RFC 6749 section 5.2 and RFC 8707 section 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Refusal {
    /// Unknown client or wrong secret.
    #[error("unknown client or wrong secret")]
    InvalidClient,
    /// The request is malformed.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// The client may not have a token now.
    #[error("no access rule of the key manager selects this client's namespace any more")]
    UnauthorizedClient,
    /// Only `client_credentials` is served.
    #[error("this key manager does machine clients only: the grant type must be client_credentials")]
    UnsupportedGrantType,
    /// A scope that the client does not have.
    #[error("the client does not have this scope")]
    InvalidScope,
    /// A resource that the client does not have.
    #[error("the client may not ask tokens for this resource")]
    InvalidTarget,
    /// A token of another client.
    #[error("the token was issued to another client")]
    InvalidGrant,
    /// No signing key.
    #[error("this cannot be done right now: try again")]
    TemporarilyUnavailable,
}

/// What a client asks a token for.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// Scopes; empty for all that the client has.
    pub scopes: Vec<&'a str>,
    /// Resources.
    pub resources: Vec<&'a str>,
}

/// What does not change while a resident key manager is open.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// The key manager's name.
    pub name: String,
    /// Where it is.
    pub endpoints: Endpoints,
    /// Audience of tokens that are asked for without a resource.
    pub default_audience: String,
    /// Life of access tokens in seconds.
    pub access_token_lifetime: i64,
}

/// The issuer of one resident key manager.
#[derive(Debug)]
pub struct Issuer {
    /// What does not change.
    pub settings: IssuerSettings,
    store: Arc<RecordStore>,
    revocations: Arc<Revocations>,
    keys: RwLock<Keys>,
    clock: Clock,
    entropy: Entropy,
}

#[derive(Debug)]
struct Keys {
    set: KeySet,
    signer: Option<Arc<Signer>>,
    next_change: Timestamp,
    jwks: Arc<JwkSet>,
}

/// The claims of an access token (RFC 9068 section 2.2) and what it is for.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    client_id: &'a str,
    aud: Audience<'a>,
    iat: i64,
    exp: i64,
    jti: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
    application: &'a str,
    namespace: &'a str,
    environment: Environment,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Audience<'a> {
    One(&'a str),
    Many(&'a [&'a str]),
}

impl Issuer {
    /// An issuer over `store` that signs with `keys`.
    ///
    /// # Errors
    /// A key is damaged.
    pub fn new(
        settings: IssuerSettings,
        store: Arc<RecordStore>,
        revocations: Arc<Revocations>,
        keys: KeySet,
        clock: Clock,
        entropy: Entropy,
    ) -> Result<Self, KeyError> {
        let keys = RwLock::new(Keys::new(keys, clock.now())?);
        Ok(Self {
            settings,
            store,
            revocations,
            keys,
            clock,
            entropy,
        })
    }

    /// The public keys.
    pub fn jwks(&self) -> Arc<JwkSet> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).jwks.clone()
    }

    /// Authenticates a client; a replica that may be behind looks at the record live once before it refuses.
    ///
    /// # Errors
    /// [`Refusal::InvalidClient`].
    pub async fn authenticate(
        &self,
        client_id: &str,
        secret: &SecretString,
        authentication: ClientAuthentication,
    ) -> Result<Arc<ClientRecord>, Refusal> {
        let digest = record::sha256(secret);
        let now = self.clock.now();
        let good = |record: &ClientRecord| record.authentication == authentication && record.accepts(&digest, now);
        let name = &self.settings.name;
        if let Some(stored) = self.store.get(name, client_id).filter(|stored| good(&stored.record)) {
            return Ok(stored.record);
        }
        let live = self.store.second_look(name, client_id, &digest).await;
        live.filter(|stored| good(&stored.record))
            .map(|stored| stored.record)
            .ok_or(Refusal::InvalidClient)
    }

    /// Issues a token by `client_credentials` (RFC 6749 section 4.4) to a client that has proved itself.
    ///
    /// # Errors
    /// Why not.
    pub fn issue_to(&self, client: &ClientRecord, wanted: &Wanted<'_>) -> Result<Token, Refusal> {
        if client.frozen {
            return Err(Refusal::UnauthorizedClient);
        }
        if wanted
            .scopes
            .iter()
            .any(|scope| !client.scopes.iter().any(|granted| granted == scope))
        {
            return Err(Refusal::InvalidScope);
        }
        if wanted
            .resources
            .iter()
            .any(|resource| !client.resources.iter().any(|granted| granted == resource))
        {
            return Err(Refusal::InvalidTarget);
        }
        let scopes: Vec<String> = if wanted.scopes.is_empty() {
            client.scopes.clone()
        } else {
            wanted.scopes.iter().map(|scope| (*scope).to_owned()).collect()
        };
        let now = self.clock.now();
        let life = client
            .access_token_lifetime
            .unwrap_or(self.settings.access_token_lifetime);
        let issued_at = now.as_second();
        let scope = scopes.join(" ");
        let claims = Claims {
            iss: &self.settings.endpoints.issuer,
            sub: &client.client_id,
            client_id: &client.client_id,
            aud: match wanted.resources.as_slice() {
                [] => Audience::One(&self.settings.default_audience),
                [one] => Audience::One(one),
                many => Audience::Many(many),
            },
            iat: issued_at,
            exp: issued_at + life,
            jti: self.entropy.attempt_id().map_err(|_| Refusal::TemporarilyUnavailable)?,
            scope: &scope,
            application: &client.application,
            namespace: &client.mark.namespace,
            environment: client.environment,
        };
        let signer = self.signer(now).ok_or(Refusal::TemporarilyUnavailable)?;
        let value = signer.token(&claims).map_err(|_| Refusal::TemporarilyUnavailable)?;
        let time = |second| Timestamp::from_second(second).unwrap_or(now);
        Ok(Token {
            value: value.into(),
            issued_at: time(issued_at),
            expires_at: time(issued_at + life),
            scopes,
        })
    }

    /// The claims of a token of this issuer that is good now: signed by us, not ended, not revoked, its client still there.
    pub fn good_claims(&self, token: &str) -> Option<Value> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let jwks = self.jwks();
        let key = DecodingKey::from_jwk(jwks.find(&header.kid?)?).ok()?;
        let mut validation = Validation::new(header.alg);
        // Time is checked below, by the clock that issued the token; audiences are the resource servers' own.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_issuer(&[&self.settings.endpoints.issuer]);
        let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).ok()?.claims;
        let ended = claims["exp"].as_i64()? <= self.clock.now().as_second();
        let revoked = self.revocations.contains(claims["jti"].as_str()?);
        let client = self.store.get(&self.settings.name, claims["client_id"].as_str()?);
        let live = client.is_some_and(|client| !client.record.frozen);
        (live && !ended && !revoked).then_some(claims)
    }

    /// Revokes a token of `client` (RFC 7009 section 2.1). One that is not good anyway is revoked already.
    ///
    /// # Errors
    /// It is another client's, or cannot be kept now.
    pub async fn revoke(&self, client: &ClientRecord, token: &str) -> Result<(), Refusal> {
        let Some(claims) = self.good_claims(token) else {
            return Ok(());
        };
        if claims["client_id"] != *client.client_id {
            return Err(Refusal::InvalidGrant);
        }
        let (jti, exp) = (claims["jti"].as_str().unwrap_or_default(), claims["exp"].as_i64());
        let kept = self.revocations.revoke(jti, exp.unwrap_or_default()).await;
        kept.map_err(|_| Refusal::TemporarilyUnavailable)
    }

    fn signer(&self, now: Timestamp) -> Option<Arc<Signer>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        if now < keys.next_change {
            return keys.signer.clone();
        }
        drop(keys);
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if let Ok(fresh) = Keys::new(keys.set.clone(), now) {
            *keys = fresh;
        }
        keys.signer.clone()
    }
}

impl Keys {
    fn new(set: KeySet, now: Timestamp) -> Result<Self, KeyError> {
        let signer = set.signer(now)?.map(Arc::new);
        let jwks = Arc::new(set.jwks()?);
        Ok(Self {
            next_change: set.next_change(now),
            signer,
            jwks,
            set,
        })
    }
}
