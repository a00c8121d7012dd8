//! What goes into the Secrets that workloads mount.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::hints::{Hints, TokenHints};
use crate::{
    api::{ApplicationKey, ApplicationKeySpec, CredentialKind, SecretPreset, SecretType, TokensPlacement},
    key_manager::{Endpoints, Token, private_key::PrivateKey},
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

/// The Secret of a credential. `hints.secret_entry` is set to the name that the secret's entry has.
pub fn render(
    key: &ApplicationKey,
    endpoints: &Endpoints,
    mut hints: Hints,
    secret: &SecretString,
    tokens: &Entries,
) -> Rendered {
    let spec = key.spec.secret.clone().unwrap_or_default();
    let mut entries = entries(&key.spec, endpoints, &hints.client_id, hints.kind, secret);
    if spec.preset == Some(SecretPreset::Env) {
        let env: Vec<_> = entries
            .0
            .iter()
            .map(|(name, value)| (environment_variable(name), value.clone()))
            .collect();
        entries.0.extend(env);
    }
    let type_ = spec.type_.unwrap_or_default();
    if type_ == SecretType::BasicAuth {
        entries.put("username", &hints.client_id);
        entries.put("password", secret.expose_secret());
    }
    let secret_entry = secret_entry(hints.kind);
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

/// The entry with what a client proves itself with; empty where there is none.
const fn secret_entry(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::Secret => "client-secret",
        CredentialKind::PrivateKey => "private-key.pem",
        CredentialKind::Nothing => "",
    }
}

fn entries(
    spec: &ApplicationKeySpec,
    endpoints: &Endpoints,
    client_id: &str,
    kind: CredentialKind,
    secret: &SecretString,
) -> Entries {
    let mut entries = Entries::default();
    entries.put("client-id", client_id);
    if kind != CredentialKind::Nothing {
        entries.put(secret_entry(kind), secret.expose_secret());
    }
    if let Some(id) = key_id(kind, secret) {
        entries.put("key-id", &id);
    }
    if !endpoints.issuer.is_empty() {
        entries.put("issuer-uri", &endpoints.issuer);
    }
    entries.put("token-uri", &endpoints.token);
    let optional = [
        ("jwks-uri", &endpoints.jwks),
        ("authorization-uri", &endpoints.authorization),
        ("introspection-uri", &endpoints.introspection),
        ("revocation-uri", &endpoints.revocation),
        ("ca.crt", &endpoints.ca),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            entries.put(name, value);
        }
    }
    if !spec.scopes.is_empty() {
        entries.put("scopes", &spec.scopes.join(" "));
    }
    entries
}

/// The id (`kid`) that the public part of a private key has at the key manager.
fn key_id(kind: CredentialKind, secret: &SecretString) -> Option<String> {
    let key = (kind == CredentialKind::PrivateKey).then(|| PrivateKey::from_pem(secret).ok())??;
    Some(key.id().to_owned())
}

/// `client-id` becomes `CLIENT_ID`, `ca.crt` becomes `CA_CRT`.
fn environment_variable(entry: &str) -> String {
    entry.replace(['-', '.'], "_").to_ascii_uppercase()
}
