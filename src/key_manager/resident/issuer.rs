//! Issues access tokens: client authentication, what may be asked for, and the signed JWT (RFC 6749, RFC 8707, RFC 9068).

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;

use super::{
    assertion::Assertion,
    keys::{KeyError, KeySet},
    record::{self, ClientRecord},
    replays::{Replays, Use},
    revocations::Revocations,
    signer::Signer,
    store::RecordStore,
};
use crate::{
    api::{ClientAuthentication, Environment},
    clock::Clock,
    entropy::Entropy,
    key_manager::{Endpoints, Token, private_key::PrivateKey},
};

/// Why no token is issued; the words are those of RFC 6749 section 5.2 and RFC 8707 section 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Refusal {
    /// Unknown client or wrong secret.
    #[error("unknown client or wrong secret")]
    InvalidClient,
    /// Unknown client or wrong assertion: the same to the client, whose mistake it may be (RFC 7521 section 4.2.1).
    #[error("unknown client or wrong client assertion")]
    #[strum(serialize = "invalid_client")]
    WrongAssertion,
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

    /// Authenticates a client by its secret.
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
        let good = |record: &ClientRecord| {
            (record.authentication == authentication && record.accepts(&digest, now)).then_some(())
        };
        let proved = self.proved(client_id, &digest, good).await;
        proved.map(|(client, ())| client).ok_or(Refusal::InvalidClient)
    }

    /// Authenticates a client by its assertion (RFC 7523 section 3), which is good once.
    ///
    /// # Errors
    /// [`Refusal::WrongAssertion`], or too many others are remembered.
    pub async fn authenticate_assertion(
        &self,
        assertion: &Assertion,
        replays: &Replays,
    ) -> Result<Arc<ClientRecord>, Refusal> {
        let endpoints = &self.settings.endpoints;
        // The issuer is what RFC 8414 calls the server; OpenID Connect Core section 9 names the token endpoint.
        let audiences = [endpoints.issuer.as_str(), &endpoints.token];
        let now = self.clock.now();
        let good = |record: &ClientRecord| {
            let by_key = record.authentication == ClientAuthentication::PrivateKeyJwt;
            by_key.then(|| assertion.verify(record, &audiences, now)).flatten()
        };
        let proved = self.proved(assertion.client_id(), &assertion.digest(), good).await;
        let (client, once) = proved.ok_or(Refusal::WrongAssertion)?;
        match replays.remember(&self.settings.name, &client.client_id, &once, self.clock.now()) {
            Use::First => Ok(client),
            Use::Again => Err(Refusal::WrongAssertion),
            Use::Unknown => Err(Refusal::TemporarilyUnavailable),
        }
    }

    /// Authenticates a client by the private key itself, which only this process may be given. No assertion is signed for
    /// that: the public part follows from the private one, so who has a key whose thumbprint (RFC 7638) is in the record can
    /// sign what verifies with the record.
    ///
    /// # Errors
    /// [`Refusal::InvalidClient`].
    pub async fn authenticate_key(&self, client_id: &str, pem: &SecretString) -> Result<Arc<ClientRecord>, Refusal> {
        let key = PrivateKey::from_pem(pem).map_err(|_| Refusal::InvalidClient)?;
        let now = self.clock.now();
        let good = |record: &ClientRecord| {
            let by_key = record.authentication == ClientAuthentication::PrivateKeyJwt;
            let known = |id: &Option<String>| id.as_deref() == Some(key.id());
            (by_key && record.keys(now).any(|public| known(&public.common.key_id))).then_some(())
        };
        let proved = self.proved(client_id, key.id(), good).await;
        proved.map(|(client, ())| client).ok_or(Refusal::InvalidClient)
    }

    /// The client whose record `good` has a proof for; a replica that may be behind looks at the record live once before it
    /// refuses, but not again for the same `digest` soon.
    async fn proved<T>(
        &self,
        client_id: &str,
        digest: &str,
        good: impl Fn(&ClientRecord) -> Option<T>,
    ) -> Option<(Arc<ClientRecord>, T)> {
        let name = &self.settings.name;
        if let Some(stored) = self.store.get(name, client_id)
            && let Some(proof) = good(&stored.record)
        {
            return Some((stored.record, proof));
        }
        let live = self.store.second_look(name, client_id, digest).await?;
        let proof = good(&live.record)?;
        Some((live.record, proof))
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
