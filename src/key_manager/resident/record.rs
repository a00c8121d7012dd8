//! The record of one client: a small Secret in the operator's namespace with digests, never secrets.

use aws_lc_rs::{
    constant_time,
    digest::{SHA256, digest},
};
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::{
    api::{ClientAuthentication, Environment},
    controller::secrets::COMPONENT_LABEL,
    key_manager::{Mark, Properties, Room},
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
    /// Its secrets, the newest last; at most two.
    pub secrets: Vec<SecretDigest>,
}

/// A client secret, as much of it as is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretDigest {
    /// SHA-256 of the secret in base64url. The secret has 256 random bits, so a slow hash would add nothing.
    pub sha256: String,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}

impl SecretDigest {
    fn of(secret: &SecretString) -> Self {
        Self {
            sha256: sha256(secret),
            not_after: None,
        }
    }

    fn is_of(&self, digest: &str) -> bool {
        constant_time::verify_slices_are_equal(self.sha256.as_bytes(), digest.as_bytes()).is_ok()
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
    pub fn new(key_manager: &str, client_id: &str, properties: &Properties, secret: &SecretString) -> Self {
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
            secrets: vec![SecretDigest::of(secret)],
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

    /// Whether `secret` authenticates the client at `now`.
    pub fn accepts(&self, digest: &str, now: Timestamp) -> bool {
        let live = |secret: &SecretDigest| secret.not_after.is_none_or(|end| now < end);
        self.secrets.iter().fold(false, |accepted, secret| {
            accepted | (secret.is_of(digest) && live(secret))
        })
    }

    /// Adds a secret beside the published one. False, and nothing changed, where another one is in the way that `room` keeps.
    pub fn add_secret(
        &mut self,
        published: Option<&SecretString>,
        new: &SecretString,
        room: Room,
        now: Timestamp,
    ) -> bool {
        let new = SecretDigest::of(new);
        self.secrets
            .retain(|secret| secret.not_after.is_none_or(|end| now < end) && secret.sha256 != new.sha256);
        let published = published.map(sha256);
        let is_published = |secret: &SecretDigest| published.as_ref().is_some_and(|digest| secret.is_of(digest));
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

    /// Ends all secrets but `current` at `end`, never later than they end already. Whether anything changed.
    pub fn retire(&mut self, current: &SecretString, end: Timestamp) -> bool {
        let current = sha256(current);
        let before = self.secrets.clone();
        for secret in self.secrets.iter_mut().filter(|secret| !secret.is_of(&current)) {
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

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn record() -> ClientRecord {
        let properties = Properties {
            mark: Mark {
                cluster_id: "c".into(),
                namespace: "n".into(),
                name: "k".into(),
            },
            application: "shop".into(),
            display_name: "Shop".into(),
            environment: Environment::Production,
            authentication: ClientAuthentication::ClientSecretBasic,
            grant_types: vec![],
            redirect_uris: vec![],
            pkce: None,
            scopes: vec![],
            resources: vec![],
            access_token_lifetime: None,
            frozen: false,
        };
        ClientRecord::new("resident", "id", &properties, &"one".to_owned().into())
    }

    fn works(record: &ClientRecord, secret: &str, now: i64) -> bool {
        record.accepts(&sha256(&secret.to_owned().into()), at(now))
    }

    #[test]
    fn a_rotation_keeps_both_until_the_old_one_ends() {
        let mut record = record();
        let (one, two) = ("one".to_owned().into(), "two".to_owned().into());
        assert!(record.add_secret(Some(&one), &two, Room::Keep, at(0)));
        assert!(works(&record, "one", 0) && works(&record, "two", 0));
        assert!(record.retire(&two, at(10)));
        assert!(works(&record, "one", 9) && !works(&record, "one", 10) && works(&record, "two", 10));
        assert!(!record.retire(&two, at(20)), "an end is never moved later");
    }

    #[test]
    fn an_unpublished_secret_is_in_the_way_until_it_may_go() {
        let mut record = record();
        let (one, two, three) = (
            "one".to_owned().into(),
            "two".to_owned().into(),
            "three".to_owned().into(),
        );
        assert!(record.add_secret(Some(&one), &two, Room::Keep, at(0)));
        assert!(!record.add_secret(Some(&one), &three, Room::Keep, at(0)));
        assert!(works(&record, "two", 0) && !works(&record, "three", 0));
        assert!(record.add_secret(Some(&one), &three, Room::Replace, at(0)));
        assert!(works(&record, "one", 0) && !works(&record, "two", 0) && works(&record, "three", 0));
    }

    #[test]
    fn in_place_leaves_only_the_new_one() {
        let mut record = record();
        assert!(record.add_secret(None, &"two".to_owned().into(), Room::Only, at(0)));
        assert!(!works(&record, "one", 0) && works(&record, "two", 0));
    }

    #[test]
    fn a_record_survives_its_secret_and_holds_no_secret() {
        let secret = record().to_secret("appkeys").unwrap();
        assert_eq!(ClientRecord::from_secret(&secret), Some(record()));
        assert!(!String::from_utf8_lossy(&secret.data.unwrap()[ENTRY].0).contains("\"one\""));
        assert_eq!(ClientRecord::from_secret(&Secret::default()), None);
    }
}
