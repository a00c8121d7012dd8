//! The record of one client: a small Secret in the operator's namespace with digests and public keys, never secrets.

use aws_lc_rs::{
    constant_time,
    digest::{SHA256, digest},
};
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use jsonwebtoken::jwk::Jwk;
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::{
    api::{ClientAuthentication, CredentialKind, Environment},
    controller::secrets::COMPONENT_LABEL,
    key_manager::{
        Mark, Properties, Room,
        private_key::{BadKey, PrivateKey},
    },
    plan::{hints, identity},
};

/// The value of the component label of client records.
pub const COMPONENT: &str = "resident-client";
/// Label: which resident key manager a record belongs to.
pub const KEY_MANAGER_LABEL: &str = "appkeys.dev/key-manager";
const TYPE: &str = "appkeys.dev/resident-client";
const ENTRY: &str = "record";

/// A client of a resident key manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientRecord {
    /// The client's id.
    pub client_id: String,
    /// The resident key manager.
    pub key_manager: String,
    /// Whose it is.
    pub mark: Mark,
    /// Name of the Application.
    pub application: String,
    /// Environment of the key.
    pub environment: Environment,
    /// How the client proves itself.
    pub authentication: ClientAuthentication,
    /// Scopes that it may have.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Resources that it may ask tokens for.
    #[serde(default)]
    pub resources: Vec<String>,
    /// Life of its access tokens in seconds, where it is not the key manager's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token_lifetime: Option<i64>,
    /// No new token is issued.
    #[serde(default)]
    pub frozen: bool,
    /// What it proves itself with, the newest last; at most two.
    pub secrets: Vec<Credential>,
}

/// What a client proves itself with, as much of it as is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// What is kept.
    #[serde(flatten)]
    pub kept: Kept,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}

/// What is kept of a credential: enough to know it again, too little to use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kept {
    /// SHA-256 of the secret in base64url. The secret has 256 random bits, so a slow hash would add nothing.
    Sha256(String),
    /// The public part of the private key (RFC 7517); its `kid` is the RFC 7638 thumbprint.
    PublicKey(Box<Jwk>),
}

/// A client cannot prove itself with this.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// A damaged private key, or one of another kind.
    #[error(transparent)]
    BadKey(#[from] BadKey),
    /// Nothing to prove itself with.
    #[error("this key manager has no public clients")]
    Public,
}

impl Credential {
    /// What is kept of `secret`, which is a private key in PKCS#8 PEM where `kind` says so.
    ///
    /// # Errors
    /// A client cannot prove itself with it.
    pub fn of(kind: CredentialKind, secret: &SecretString) -> Result<Self, Unfit> {
        let kept = match kind {
            CredentialKind::Secret => Kept::Sha256(sha256(secret)),
            CredentialKind::PrivateKey => Kept::PublicKey(Box::new(PrivateKey::from_pem(secret)?.public().clone())),
            CredentialKind::Nothing => return Err(Unfit::Public),
        };
        Ok(Self { kept, not_after: None })
    }

    fn is_live(&self, now: Timestamp) -> bool {
        self.not_after.is_none_or(|end| now < end)
    }

    /// Whether the two are of one secret or key, whenever they end.
    fn is(&self, other: &Self) -> bool {
        match (&self.kept, &other.kept) {
            (Kept::Sha256(_), Kept::Sha256(digest)) => self.is_of(digest),
            (Kept::PublicKey(one), Kept::PublicKey(other)) => one.common.key_id == other.common.key_id,
            _ => false,
        }
    }

    fn is_of(&self, digest: &str) -> bool {
        match &self.kept {
            Kept::Sha256(sha256) => {
                constant_time::verify_slices_are_equal(sha256.as_bytes(), digest.as_bytes()).is_ok()
            }
            Kept::PublicKey(_) => false,
        }
    }
}

/// SHA-256 of a secret in base64url.
pub fn sha256(secret: &SecretString) -> String {
    BASE64URL_NOPAD.encode(digest(&SHA256, secret.expose_secret().as_bytes()).as_ref())
}

/// The name of the Secret with a client's record.
pub fn secret_name(key_manager: &str, client_id: &str) -> String {
    format!(
        "appkeys-client-{}",
        identity::short_hash(&["resident-client", key_manager, client_id])
    )
}

impl ClientRecord {
    /// A new client's record.
    pub fn new(key_manager: &str, client_id: &str, properties: &Properties, first: Credential) -> Self {
        let mut record = Self {
            client_id: client_id.to_owned(),
            key_manager: key_manager.to_owned(),
            mark: properties.mark.clone(),
            application: String::new(),
            environment: properties.environment,
            authentication: properties.authentication,
            scopes: vec![],
            resources: vec![],
            access_token_lifetime: None,
            frozen: false,
            secrets: vec![first],
        };
        record.set(properties);
        record
    }

    /// Gives it these properties.
    pub fn set(&mut self, properties: &Properties) {
        self.mark = properties.mark.clone();
        self.application.clone_from(&properties.application);
        self.environment = properties.environment;
        self.authentication = properties.authentication;
        self.scopes.clone_from(&properties.scopes);
        self.resources.clone_from(&properties.resources);
        self.access_token_lifetime = properties.access_token_lifetime;
        self.frozen = properties.frozen;
    }

    /// Whether the secret with this digest authenticates the client at `now`.
    pub fn accepts(&self, digest: &str, now: Timestamp) -> bool {
        self.secrets.iter().fold(false, |accepted, secret| {
            accepted | (secret.is_of(digest) && secret.is_live(now))
        })
    }

    /// The public keys that the client's assertions may be signed with at `now`.
    pub fn keys(&self, now: Timestamp) -> impl Iterator<Item = &Jwk> {
        let live = self.secrets.iter().filter(move |secret| secret.is_live(now));
        live.filter_map(|secret| match &secret.kept {
            Kept::PublicKey(key) => Some(&**key),
            Kept::Sha256(_) => None,
        })
    }

    /// Adds a credential beside the published one. False, and nothing changed, where another one is in the way that `room` keeps.
    pub fn add_secret(&mut self, published: Option<&Credential>, new: Credential, room: Room, now: Timestamp) -> bool {
        self.secrets.retain(|secret| secret.is_live(now) && !secret.is(&new));
        let is_published = |secret: &Credential| published.is_some_and(|published| secret.is(published));
        match room {
            Room::Only => self.secrets.clear(),
            Room::Replace => {
                // What is published stays; where that is not known, the oldest is the one that workloads may still hold.
                let keep = self.secrets.iter().position(is_published).unwrap_or(0);
                self.secrets = self.secrets.drain(..).skip(keep).take(1).collect();
            }
            Room::Keep => {
                let known = published.is_none() && self.secrets.len() == 1;
                if !known && self.secrets.iter().any(|secret| !is_published(secret)) {
                    return false;
                }
            }
        }
        self.secrets.push(new);
        true
    }

    /// Ends all credentials but `current` at `end`, never later than they end already. Whether anything changed.
    pub fn retire(&mut self, current: &Credential, end: Timestamp) -> bool {
        let before = self.secrets.clone();
        for secret in self.secrets.iter_mut().filter(|secret| !secret.is(current)) {
            secret.not_after = Some(secret.not_after.map_or(end, |earlier| earlier.min(end)));
        }
        self.secrets != before
    }

    /// The Secret with this record.
    ///
    /// # Errors
    /// Never in practice: the record has only JSON types.
    pub fn to_secret(&self, namespace: &str) -> Result<Secret, serde_json::Error> {
        let labels = [
            (hints::MANAGED_BY_LABEL, hints::MANAGED_BY.to_owned()),
            (COMPONENT_LABEL, COMPONENT.to_owned()),
            (KEY_MANAGER_LABEL, hints::label_value(&self.key_manager)),
        ];
        Ok(Secret {
            metadata: ObjectMeta {
                name: Some(secret_name(&self.key_manager, &self.client_id)),
                namespace: Some(namespace.to_owned()),
                labels: Some(labels.map(|(name, value)| (name.to_owned(), value)).into()),
                ..ObjectMeta::default()
            },
            type_: Some(TYPE.to_owned()),
            data: Some([(ENTRY.to_owned(), ByteString(serde_json::to_vec(self)?))].into()),
            ..Secret::default()
        })
    }

    /// Reads a record; `None` where the Secret holds none that can be read.
    pub fn from_secret(secret: &Secret) -> Option<Self> {
        serde_json::from_slice(&secret.data.as_ref()?.get(ENTRY)?.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_manager::{KeyAlgorithm, private_key, testing};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn properties(authentication: ClientAuthentication) -> Properties {
        Properties {
            authentication,
            ..testing::properties()
        }
    }

    fn record(authentication: ClientAuthentication, first: &Credential) -> ClientRecord {
        ClientRecord::new("resident", "id", &properties(authentication), first.clone())
    }

    /// For each kind of client three credentials, and its record with the first.
    fn all() -> Vec<([Credential; 3], ClientRecord)> {
        let secrets = ["one", "two", "three"].map(|secret| secret.to_owned().into());
        let keys = [KeyAlgorithm::ES256, KeyAlgorithm::RS256, KeyAlgorithm::ES256]
            .map(|algorithm| private_key::generate(algorithm).unwrap());
        let kinds = [
            (ClientAuthentication::ClientSecretBasic, secrets),
            (ClientAuthentication::PrivateKeyJwt, keys),
        ];
        let of = |(authentication, all): (ClientAuthentication, [SecretString; 3])| {
            let all = all.map(|secret| Credential::of(authentication.credential(), &secret).unwrap());
            let record = record(authentication, &all[0]);
            (all, record)
        };
        kinds.map(of).into()
    }

    fn works(record: &ClientRecord, credential: &Credential, now: i64) -> bool {
        match &credential.kept {
            Kept::Sha256(digest) => record.accepts(digest, at(now)),
            Kept::PublicKey(key) => record.keys(at(now)).any(|known| known == &**key),
        }
    }

    #[test]
    fn a_rotation_keeps_both_until_the_old_one_ends() {
        for ([one, two, _], mut record) in all() {
            assert!(record.add_secret(Some(&one), two.clone(), Room::Keep, at(0)));
            assert!(works(&record, &one, 0) && works(&record, &two, 0));
            assert!(record.retire(&two, at(10)));
            assert!(works(&record, &one, 9) && !works(&record, &one, 10) && works(&record, &two, 10));
            assert!(!record.retire(&two, at(20)), "an end is never moved later");
        }
    }

    #[test]
    fn an_unpublished_one_is_in_the_way_until_it_may_go() {
        for ([one, two, three], mut record) in all() {
            assert!(record.add_secret(Some(&one), two.clone(), Room::Keep, at(0)));
            assert!(!record.add_secret(Some(&one), three.clone(), Room::Keep, at(0)));
            assert!(works(&record, &two, 0) && !works(&record, &three, 0));
            assert!(record.add_secret(Some(&one), three.clone(), Room::Replace, at(0)));
            assert!(works(&record, &one, 0) && !works(&record, &two, 0) && works(&record, &three, 0));
        }
    }

    #[test]
    fn in_place_leaves_only_the_new_one_and_again_changes_nothing() {
        for ([one, two, _], mut record) in all() {
            for _ in 0..2 {
                assert!(record.add_secret(None, two.clone(), Room::Only, at(0)));
                assert!(!works(&record, &one, 0) && works(&record, &two, 0));
                assert_eq!(record.secrets.len(), 1);
            }
        }
    }

    #[test]
    fn a_record_survives_its_secret() {
        for ([one, two, _], mut record) in all() {
            record.add_secret(Some(&one), two.clone(), Room::Keep, at(0));
            record.retire(&two, at(10));
            let secret = record.to_secret("appkeys").unwrap();
            assert_eq!(ClientRecord::from_secret(&secret), Some(record));
        }
        assert_eq!(ClientRecord::from_secret(&Secret::default()), None);
    }

    #[test]
    fn a_record_holds_no_secret_and_no_private_key() {
        let secret = SecretString::from("one");
        let text = serde_json::to_string(&Credential::of(CredentialKind::Secret, &secret).unwrap()).unwrap();
        assert!(!text.contains("\"one\""));
        for algorithm in [KeyAlgorithm::ES256, KeyAlgorithm::RS256] {
            let key = private_key::generate(algorithm).unwrap();
            let kept = Credential::of(CredentialKind::PrivateKey, &key).unwrap();
            let kept = serde_json::to_value(kept).unwrap();
            let members: Vec<_> = kept["publicKey"].as_object().unwrap().keys().cloned().collect();
            let public = ["alg", "crv", "e", "kid", "kty", "n", "use", "x", "y"];
            assert!(
                members.iter().all(|name| public.contains(&name.as_str())),
                "{members:?}"
            );
            assert_eq!(kept["publicKey"]["kid"], PrivateKey::from_pem(&key).unwrap().id());
        }
        assert!(Credential::of(CredentialKind::PrivateKey, &secret).is_err());
        assert!(Credential::of(CredentialKind::Nothing, &secret).is_err());
    }

    /// Records that are there already are read and written as they are, byte for byte.
    #[test]
    fn a_record_of_secrets_looks_as_it_always_did() {
        let text = concat!(
            r#"{"clientId":"id","keyManager":"resident","mark":{"clusterId":"c","namespace":"n","name":"k"},"#,
            r#""application":"shop","environment":"Production","authentication":"ClientSecretPost","#,
            r#""scopes":[],"resources":[],"frozen":false,"#,
            r#""secrets":[{"sha256":"a","notAfter":"1970-01-01T00:00:10Z"},{"sha256":"b"}]}"#
        );
        let record: ClientRecord = serde_json::from_str(text).unwrap();
        assert!(record.accepts("a", at(9)) && !record.accepts("a", at(10)) && record.accepts("b", at(10)));
        assert_eq!(serde_json::to_string(&record).unwrap(), text);
    }
}
