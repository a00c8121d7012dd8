//! What goes into the Secrets that workloads mount.

mod credential;
mod preset;
pub mod template;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::hints::{Hints, TokenHints};
use crate::{
    api::{ApplicationKey, ApplicationKeySpec, SecretType, TokensPlacement},
    key_manager::{Endpoints, Token},
};

/// Default time for which an old secret goes on working.
pub const DEFAULT_OVERLAP: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// The entries of a Secret. Its `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Entries(pub BTreeMap<String, Vec<u8>>);

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Entries {
    /// An entry as text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    fn put(&mut self, name: impl Into<String>, value: &str) {
        self.0.insert(name.into(), value.as_bytes().to_vec());
    }
}

/// A Secret as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_: &'static str,
    /// The labels that are ours or the spec's.
    pub labels: BTreeMap<String, String>,
    /// The annotations that are ours or the spec's.
    pub annotations: BTreeMap<String, String>,
    /// All its entries.
    pub entries: Entries,
}

/// The name of the Secret with the credential.
pub fn name(key: &ApplicationKey) -> String {
    let name = key.spec.secret.as_ref().and_then(|secret| secret.name.clone());
    name.or_else(|| key.metadata.name.clone()).unwrap_or_default()
}

/// The name of the Secret with the access tokens.
pub fn tokens_name(key: &ApplicationKey) -> String {
    format!("{}-tokens", name(key))
}

/// Whether the access tokens are in the credential's own Secret.
pub fn same_secret(spec: &ApplicationKeySpec) -> bool {
    spec.secret.as_ref().and_then(|secret| secret.tokens) == Some(TokensPlacement::SameSecret)
}

/// The Secret of a credential. `hints.secret_entry` is set to the name that the secret's entry has; `published` is what is there.
pub fn render(
    key: &ApplicationKey,
    endpoints: &Endpoints,
    mut hints: Hints,
    secret: &SecretString,
    tokens: &Entries,
    published: Option<&Entries>,
) -> Rendered {
    let spec = key.spec.secret.clone().unwrap_or_default();
    let credential = credential::entries(&key.spec, endpoints, &hints.client_id, hints.kind, secret);
    let mut entries = credential.clone();
    if let Some(preset) = spec.preset {
        let added = preset::entries(preset, &key.spec, hints.key_manager.as_ref(), &credential);
        entries.0.extend(added.0);
    }
    let type_ = spec.secret_type();
    if type_ == SecretType::BasicAuth {
        entries.put("username", &hints.client_id);
        entries.put("password", secret.expose_secret());
    }
    let secret_entry = credential::secret_entry(hints.kind);
    secret_entry.clone_into(&mut hints.secret_entry);
    let originals: BTreeMap<_, _> = spec
        .keys
        .iter()
        .filter_map(|rename| Some((rename.from.clone(), entries.0.get(&rename.from)?.clone())))
        .collect();
    let kept: BTreeSet<_> = spec
        .keys
        .iter()
        .filter(|rename| rename.keep)
        .map(|rename| &rename.from)
        .collect();
    for rename in spec.keys.iter().filter(|rename| !kept.contains(&rename.from)) {
        entries.0.remove(&rename.from);
    }
    for rename in &spec.keys {
        let Some(value) = originals.get(&rename.from) else {
            continue;
        };
        entries.0.insert(rename.to.clone(), value.clone());
        if rename.from == secret_entry && !kept.contains(&rename.from) {
            hints.secret_entry.clone_from(&rename.to);
        }
    }
    let templates = template::entries(&spec.templates, &credential, published);
    entries.0.extend(templates.0);
    entries.0.extend(tokens.0.clone());
    let mut labels = spec.labels;
    labels.extend(super::hints::labels(key.metadata.name.as_deref().unwrap_or_default()));
    let mut annotations = spec.annotations;
    annotations.extend(hints.write());
    Rendered {
        name: name(key),
        type_: type_.as_str(),
        labels,
        annotations,
        entries,
    }
}

/// The Secret of the access tokens.
pub fn render_tokens(key: &ApplicationKey, cluster_id: &str, hints: &TokenHints, entries: Entries) -> Rendered {
    Rendered {
        name: tokens_name(key),
        type_: SecretType::Opaque.as_str(),
        labels: super::hints::labels(key.metadata.name.as_deref().unwrap_or_default()),
        annotations: super::hints::token_annotations(cluster_id, hints),
        entries,
    }
}

/// The entries of one access token.
pub fn put_token(entries: &mut Entries, name: &str, token: &Token) {
    entries.put(access_token_entry(name), token.value.expose_secret());
    entries.put(expires_at_entry(name), &rfc3339(token.expires_at));
}

/// The name of the entry with an access token.
pub fn access_token_entry(name: &str) -> String {
    format!("{name}.access-token")
}

/// The name of the entry with an access token's end.
pub fn expires_at_entry(name: &str) -> String {
    format!("{name}.expires-at")
}

/// RFC 3339 in whole seconds.
fn rfc3339(time: Timestamp) -> String {
    time.round(jiff::Unit::Second).unwrap_or(time).to_string()
}
