//! The entries that a credential has by itself.

use secrecy::{ExposeSecret as _, SecretString};

use super::Entries;
use crate::{
    api::{ApplicationKeySpec, CredentialKind},
    key_manager::{Endpoints, private_key::PrivateKey},
};

/// The entry with what a client proves itself with; empty where there is none.
pub(super) const fn secret_entry(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::Secret => "client-secret",
        CredentialKind::PrivateKey => "private-key.pem",
        CredentialKind::Nothing => "",
    }
}

/// The entries of a credential.
pub(super) fn entries(
    spec: &ApplicationKeySpec,
    endpoints: &Endpoints,
    client_id: &str,
    kind: CredentialKind,
    secret: &SecretString,
) -> Entries {
    with_key_id(
        spec,
        endpoints,
        client_id,
        kind,
        secret,
        key_id(kind, secret).as_deref(),
    )
}

/// The entries that a credential of this spec will have, with as much in them as there can be: names and sizes are those of a
/// credential, values are not.
pub(super) fn stand_in(spec: &ApplicationKeySpec, endpoints: &Endpoints) -> Entries {
    /// Longer than any id, and than any secret or private key.
    const LONGEST: usize = 2048;
    let kind = spec.client_authentication.unwrap_or_default().credential();
    let value = "x".repeat(LONGEST);
    let key_id = (kind == CredentialKind::PrivateKey).then_some(value.as_str());
    with_key_id(spec, endpoints, &value, kind, &value.clone().into(), key_id)
}

fn with_key_id(
    spec: &ApplicationKeySpec,
    endpoints: &Endpoints,
    client_id: &str,
    kind: CredentialKind,
    secret: &SecretString,
    key_id: Option<&str>,
) -> Entries {
    let mut entries = Entries::default();
    entries.put("client-id", client_id);
    if kind != CredentialKind::Nothing {
        entries.put(secret_entry(kind), secret.expose_secret());
    }
    if !endpoints.issuer.is_empty() {
        entries.put("issuer-uri", &endpoints.issuer);
    }
    entries.put("token-uri", &endpoints.token);
    let optional = [
        ("key-id", key_id),
        ("jwks-uri", endpoints.jwks.as_deref()),
        ("authorization-uri", endpoints.authorization.as_deref()),
        ("introspection-uri", endpoints.introspection.as_deref()),
        ("revocation-uri", endpoints.revocation.as_deref()),
        ("ca.crt", endpoints.ca.as_deref()),
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
