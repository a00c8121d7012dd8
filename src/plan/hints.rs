//! The annotations of a published Secret: what lets the operator go on without a status.
//!
//! They are hints. They hold no secret value, and a remote id that is changed or deleted never comes from them alone.

use std::{collections::BTreeMap, str::FromStr};

use jiff::Timestamp;

use crate::api::{CredentialKind, KeyManagerKind, KeyManagerRef};

/// Label: which key a Secret belongs to.
pub const KEY_LABEL: &str = "appkeys.dev/key";
/// Label: who manages the Secret.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "appkeys";
/// Annotation on a key: each new non-empty value rotates once.
pub const ROTATE: &str = "appkeys.dev/rotate";

/// Annotation on a key, written together with the finalizer: where its first client is made (`KIND/NAME/CLIENT-ID`), so that
/// a spec that changes before anything is published leaves no client behind.
pub const FIRST_CLIENT: &str = "appkeys.dev/first-client";

const CLUSTER_ID: &str = "appkeys.dev/cluster-id";
const KEY_MANAGER: &str = "appkeys.dev/key-manager";
const CLIENT_ID: &str = "appkeys.dev/client-id";
const CREDENTIAL: &str = "appkeys.dev/credential";
const SECRET_ENTRY: &str = "appkeys.dev/secret-entry";
const VERSION: &str = "appkeys.dev/version";
const ISSUED_AT: &str = "appkeys.dev/issued-at";
const REPLACEMENTS: &str = "appkeys.dev/replacements";
const APPLIED: &str = "appkeys.dev/applied";
const HANDLED_TRIGGER: &str = "appkeys.dev/handled-trigger";
const HANDLED_ROTATE: &str = "appkeys.dev/handled-rotate";
const PREVIOUS_VALID_UNTIL: &str = "appkeys.dev/previous-valid-until";
const SECRET_ENDS: &str = "appkeys.dev/secret-ends";
const ATTEMPT: &str = "appkeys.dev/attempt";
const VERIFIED: &str = "appkeys.dev/verified";
const RELEASED: &str = "appkeys.dev/released";
const FORMER_SECRET: &str = "appkeys.dev/former-secret";
const FORMER_UNTIL: &str = "appkeys.dev/former-secret-until";
const DIFFERS: &str = "appkeys.dev/differs";
const TOKENS: &str = "appkeys.dev/tokens";

/// Longest text of [`Hints::differs`] in bytes.
const DIFFERS_LIMIT: usize = 1024;

/// What the annotations of a credential's Secret say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// The cluster whose operator wrote it.
    pub cluster_id: String,
    /// The key manager that the client is at.
    pub key_manager: Option<KeyManagerRef>,
    /// The client's id.
    pub client_id: String,
    /// What the client proves itself with.
    pub kind: CredentialKind,
    /// The name of the entry with that.
    pub secret_entry: String,
    /// Counts the secrets that the key has had.
    pub version: i64,
    /// When the secret was published.
    pub issued_at: Option<Timestamp>,
    /// How often the client was replaced or moved.
    pub replacements: u32,
    /// Hash of the properties that the client was given last.
    pub applied: String,
    /// The value of `rotation.trigger` that was handled last.
    pub handled_trigger: String,
    /// The value of the annotation [`ROTATE`] that was handled last.
    pub handled_rotate: String,
    /// Until when the secret before this one works.
    pub previous_valid_until: Option<Timestamp>,
    /// When the key manager ends the secret.
    pub secret_ends: Option<Timestamp>,
    /// Set by a fence: no write from before it can succeed.
    pub attempt: String,
    /// Whether the secret was used once before it was published.
    pub verified: bool,
    /// The key was deleted with `Retain`; the next key of its name takes the Secret over.
    pub released: Option<Timestamp>,
    /// The Secret that had the credential before `secret.name` changed, and when it is deleted.
    pub former: Option<Former>,
    /// What the key manager has made of the client otherwise than asked; empty where all is as asked.
    pub differs: String,
    /// The access tokens in this Secret.
    pub tokens: TokenHints,
}

/// A Secret that a new one took the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// Its name.
    pub name: String,
    /// When it is deleted.
    pub until: Timestamp,
}

/// Of each access token in a Secret by name: what it was asked for and when it is renewed.
pub type TokenHints = BTreeMap<String, TokenHint>;

/// What is known of a published access token.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenHint {
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Its end.
    pub expires_at: Timestamp,
    /// When it is renewed.
    pub renew_at: Timestamp,
    /// Its scopes.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Hash of what it was asked for: client, scopes, resource.
    pub request: String,
}

impl Hints {
    /// Reads annotations; what cannot be read is as if it were not there.
    pub fn read(annotations: &BTreeMap<String, String>) -> Self {
        let text = |key: &str| annotations.get(key).cloned().unwrap_or_default();
        Self {
            cluster_id: text(CLUSTER_ID),
            key_manager: annotations.get(KEY_MANAGER).and_then(|r| reference(r)),
            client_id: text(CLIENT_ID),
            kind: parsed(annotations, CREDENTIAL).unwrap_or_default(),
            secret_entry: text(SECRET_ENTRY),
            version: parsed(annotations, VERSION).unwrap_or_default(),
            issued_at: parsed(annotations, ISSUED_AT),
            replacements: parsed(annotations, REPLACEMENTS).unwrap_or_default(),
            applied: text(APPLIED),
            handled_trigger: text(HANDLED_TRIGGER),
            handled_rotate: text(HANDLED_ROTATE),
            previous_valid_until: parsed(annotations, PREVIOUS_VALID_UNTIL),
            secret_ends: parsed(annotations, SECRET_ENDS),
            attempt: text(ATTEMPT),
            verified: text(VERIFIED) == "true",
            released: parsed(annotations, RELEASED),
            former: parsed(annotations, FORMER_UNTIL)
                .map(|until| Former {
                    name: text(FORMER_SECRET),
                    until,
                })
                .filter(|former| !former.name.is_empty()),
            differs: text(DIFFERS),
            tokens: token_hints(annotations),
        }
    }

    /// The annotations that say this; absent and empty values are left out.
    pub fn write(&self) -> BTreeMap<String, String> {
        let time = |t: Option<Timestamp>| t.map(|t| t.to_string()).unwrap_or_default();
        let pairs = [
            (CLUSTER_ID, self.cluster_id.clone()),
            (
                KEY_MANAGER,
                self.key_manager.as_ref().map(ToString::to_string).unwrap_or_default(),
            ),
            (CLIENT_ID, self.client_id.clone()),
            (
                CREDENTIAL,
                if self.kind == CredentialKind::Secret {
                    String::new()
                } else {
                    self.kind.to_string()
                },
            ),
            (SECRET_ENTRY, self.secret_entry.clone()),
            (VERSION, self.version.to_string()),
            (ISSUED_AT, time(self.issued_at)),
            (
                REPLACEMENTS,
                if self.replacements == 0 {
                    String::new()
                } else {
                    self.replacements.to_string()
                },
            ),
            (APPLIED, self.applied.clone()),
            (HANDLED_TRIGGER, self.handled_trigger.clone()),
            (HANDLED_ROTATE, self.handled_rotate.clone()),
            (PREVIOUS_VALID_UNTIL, time(self.previous_valid_until)),
            (SECRET_ENDS, time(self.secret_ends)),
            (ATTEMPT, self.attempt.clone()),
            (
                VERIFIED,
                if self.verified {
                    "true".to_owned()
                } else {
                    String::new()
                },
            ),
            (RELEASED, time(self.released)),
            (
                FORMER_SECRET,
                self.former
                    .as_ref()
                    .map(|former| former.name.clone())
                    .unwrap_or_default(),
            ),
            (FORMER_UNTIL, time(self.former.as_ref().map(|former| former.until))),
            (DIFFERS, self.differs.clone()),
            (TOKENS, write_token_hints(&self.tokens)),
        ];
        pairs
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }
}

/// [`Hints::differs`] of what a key manager says; cut where it is too long for an annotation that people read.
pub fn differs(differences: &[String]) -> String {
    let mut text = differences.join("; ");
    text.truncate(text.floor_char_boundary(DIFFERS_LIMIT));
    text
}

/// The access tokens that the annotations of a Secret speak of.
pub fn token_hints(annotations: &BTreeMap<String, String>) -> TokenHints {
    annotations
        .get(TOKENS)
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default()
}

/// The annotations of a Secret of access tokens.
pub fn token_annotations(cluster_id: &str, tokens: &TokenHints) -> BTreeMap<String, String> {
    BTreeMap::from([
        (CLUSTER_ID.to_owned(), cluster_id.to_owned()),
        (TOKENS.to_owned(), write_token_hints(tokens)),
    ])
}

/// The labels of every Secret that we publish.
pub fn labels(key: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned()),
        (KEY_LABEL.to_owned(), label_value(key)),
    ])
}

/// The longest value of a label in characters (Kubernetes).
pub const LABEL_LENGTH: usize = 63;

/// A key's name as a label's value: names may have 253 characters and label values 63, so longer ones end in a hash.
pub fn label_value(key: &str) -> String {
    if key.len() <= LABEL_LENGTH {
        return key.to_owned();
    }
    format!(
        "{}.{}",
        key[..46].trim_end_matches(['-', '.']),
        super::identity::short_hash(&["label", key])
    )
}

/// Whether an annotation or label is one of ours.
pub fn is_ours(name: &str) -> bool {
    name.starts_with("appkeys.dev/") || name == MANAGED_BY_LABEL
}

fn write_token_hints(tokens: &TokenHints) -> String {
    if tokens.is_empty() {
        String::new()
    } else {
        serde_json::to_string(tokens).unwrap_or_default()
    }
}

fn parsed<T: FromStr>(annotations: &BTreeMap<String, String>, key: &str) -> Option<T> {
    annotations.get(key)?.parse().ok()
}

/// Reads `KIND/NAME`.
pub fn reference(text: &str) -> Option<KeyManagerRef> {
    let (kind, name) = text.split_once('/')?;
    let kind = match kind {
        "ClusterKeyManager" => KeyManagerKind::ClusterKeyManager,
        "KeyManager" => KeyManagerKind::KeyManager,
        _ => return None,
    };
    Some(KeyManagerRef {
        kind,
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let token = TokenHint {
            issued_at: now,
            expires_at: now,
            renew_at: now,
            scopes: vec!["a".into()],
            request: "r".into(),
        };
        let hints = Hints {
            cluster_id: "c".into(),
            key_manager: Some(KeyManagerRef {
                kind: KeyManagerKind::KeyManager,
                name: "k".into(),
            }),
            client_id: "id".into(),
            kind: CredentialKind::PrivateKey,
            secret_entry: "client-secret".into(),
            version: 3,
            issued_at: Some(now),
            replacements: 2,
            applied: "hash".into(),
            handled_trigger: "t".into(),
            handled_rotate: "r".into(),
            previous_valid_until: Some(now),
            secret_ends: Some(now),
            attempt: "a".into(),
            verified: true,
            released: Some(now),
            former: Some(Former {
                name: "old".into(),
                until: now,
            }),
            differs: "scope: asked for a, got none".into(),
            tokens: BTreeMap::from([("orders".to_owned(), token)]),
        };
        assert_eq!(Hints::read(&hints.write()), hints);
    }

    #[test]
    fn broken_annotations_read_as_absent() {
        let broken: BTreeMap<_, _> = [VERSION, ISSUED_AT, KEY_MANAGER, TOKENS, REPLACEMENTS]
            .iter()
            .map(|key| ((*key).to_owned(), "?".to_owned()))
            .collect();
        assert_eq!(Hints::read(&broken), Hints::default());
    }

    #[test]
    fn long_key_names_fit_a_label() {
        let long = "k".repeat(253);
        assert!(label_value(&long).len() <= 63);
        assert_ne!(label_value(&long), label_value(&"k".repeat(252)));
    }
}
