//! The Secret that workloads mount: what a key's spec says of it.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{SUBDOMAIN, bounded, without_description};

/// The type of the Secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = without_description)]
pub enum SecretType {
    /// No constraint.
    #[default]
    Opaque,
    /// Has `username` and `password` too.
    #[serde(rename = "kubernetes.io/basic-auth")]
    BasicAuth,
    /// What the preset `servicebinding` makes.
    #[serde(rename = "servicebinding.io/oauth2")]
    ServiceBinding,
}

impl SecretType {
    /// The value of a Secret's `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opaque => "Opaque",
            Self::BasicAuth => "kubernetes.io/basic-auth",
            Self::ServiceBinding => "servicebinding.io/oauth2",
        }
    }
}

/// Where access tokens are put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = without_description)]
pub enum TokensPlacement {
    /// In a second Secret, `NAME-tokens`, so that a renewal does not look like a new credential.
    #[default]
    SeparateSecret,
    /// In the Secret of the credential.
    SameSecret,
}

/// A ready-made set of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = without_description)]
pub enum SecretPreset {
    /// Adds entries for `envFrom`: `CLIENT_ID`, `CLIENT_SECRET`, `ISSUER_URI`, `TOKEN_URI` and so on.
    #[serde(rename = "env")]
    Env,
    /// Adds what a service binding has (servicebinding.io): `type` and `provider`, and what Spring Cloud Bindings reads besides.
    #[serde(rename = "servicebinding")]
    ServiceBinding,
    /// Adds `application.properties` with the OAuth 2.0 client of a Spring Boot application.
    #[serde(rename = "spring")]
    Spring,
    /// Adds `oauth2-proxy.cfg`, a configuration of oauth2-proxy.
    #[serde(rename = "oauth2-proxy")]
    OAuth2Proxy,
}

/// The entries that can be renamed: all that a credential has, but for those of a preset or a type.
const ENTRIES: [&str; 12] = [
    "client-id",
    "client-secret",
    "private-key.pem",
    "key-id",
    "issuer-uri",
    "token-uri",
    "jwks-uri",
    "authorization-uri",
    "introspection-uri",
    "revocation-uri",
    "scopes",
    "ca.crt",
];

/// One entry under another name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// The entry: `client-id`, `client-secret`, `private-key.pem`, `key-id`, `issuer-uri`, `token-uri`, `jwks-uri`, `authorization-uri`, `introspection-uri`, `revocation-uri`, `scopes` or `ca.crt`. One that this key does not have is left out.
    #[schemars(length(max = 64), extend("enum" = ENTRIES))]
    pub from: String,
    /// The name that it gets.
    // Not `.`, `..` or anything that begins with two dots: Kubernetes refuses such an entry.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[.]?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$"))]
    #[x_kube(validation = ("!self.endsWith('.access-token') && !self.endsWith('.expires-at')", "names that end in .access-token or .expires-at are those of access tokens"))]
    pub to: String,
    /// Keep the entry under its own name too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
}

/// The Secret that workloads mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.preset) || !has(self.keys) || !self.keys.exists(k, self.preset == 'env' && k.to.matches('^(CLIENT_ID|CLIENT_SECRET|PRIVATE_KEY_PEM|KEY_ID|(ISSUER|TOKEN|JWKS|AUTHORIZATION|INTROSPECTION|REVOCATION)_URI|SCOPES|CA_CRT)$') || self.preset == 'servicebinding' && k.to in ['type', 'provider', 'client-authentication-method', 'authorization-grant-type', 'redirect-uri', 'scope', 'jwk-set-uri'] || self.preset == 'spring' && k.to == 'application.properties' || self.preset == 'oauth2-proxy' && k.to == 'oauth2-proxy.cfg')", "an entry cannot have the name of one that the preset makes"))]
#[x_kube(validation = ("!has(self.type) || self.type != 'kubernetes.io/basic-auth' || !has(self.keys) || !self.keys.exists(k, k.to in ['username', 'password'])", "type kubernetes.io/basic-auth has entries username and password of its own"))]
#[x_kube(validation = ("!has(self.templates) || !has(self.preset) || !self.templates.exists(t, self.preset == 'env' && t.matches('^(CLIENT_ID|CLIENT_SECRET|PRIVATE_KEY_PEM|KEY_ID|(ISSUER|TOKEN|JWKS|AUTHORIZATION|INTROSPECTION|REVOCATION)_URI|SCOPES|CA_CRT)$') || self.preset == 'servicebinding' && t in ['type', 'provider', 'client-authentication-method', 'authorization-grant-type', 'redirect-uri', 'scope', 'jwk-set-uri'] || self.preset == 'spring' && t == 'application.properties' || self.preset == 'oauth2-proxy' && t == 'oauth2-proxy.cfg')", "a template cannot have the name of an entry that the preset makes"))]
#[x_kube(validation = ("!has(self.templates) || !has(self.type) || self.type != 'kubernetes.io/basic-auth' || !self.templates.exists(t, t in ['username', 'password'])", "a template cannot be called username or password: type kubernetes.io/basic-auth has entries of that name"))]
#[x_kube(validation = ("!has(self.templates) || !has(self.keys) || !self.keys.exists(k, k.to in self.templates)", "a template and a renamed entry cannot have the same name"))]
#[x_kube(validation = ("!has(self.type) || self.type != 'servicebinding.io/oauth2' || has(self.preset) && self.preset == 'servicebinding'", "type servicebinding.io/oauth2 needs the preset servicebinding"))]
#[x_kube(validation = ("!has(self.preset) || self.preset != 'servicebinding' || !has(self.type) || self.type != 'kubernetes.io/basic-auth'", "the preset servicebinding makes a Secret of type servicebinding.io/oauth2: remove type"))]
#[x_kube(validation = ("(has(self.type) ? self.type : has(self.preset) && self.preset == 'servicebinding' ? 'servicebinding.io/oauth2' : 'Opaque') == (has(oldSelf.type) ? oldSelf.type : has(oldSelf.preset) && oldSelf.preset == 'servicebinding' ? 'servicebinding.io/oauth2' : 'Opaque') || has(self.name) != has(oldSelf.name) || has(self.name) && self.name != oldSelf.name", "the type of a Secret cannot be changed: choose a new secret.name together with the new type (the preset servicebinding has a type of its own)"))]
pub struct SecretSpec {
    /// Its name. Absent: the name of this key. At most 246 characters: the Secret of access tokens has `-tokens` after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 246), regex(pattern = SUBDOMAIN))]
    pub name: Option<String>,
    /// Its type: Opaque, kubernetes.io/basic-auth or servicebinding.io/oauth2. Absent: that of the preset `servicebinding`, else Opaque. A change needs a new name.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "type")]
    pub type_: Option<SecretType>,
    /// Labels to add. None under appkeys.dev, kubernetes.io, k8s.io, helm.sh or argoproj.io.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = bounded::<63>)]
    #[x_kube(validation = ("!self.exists(k, k.matches('(?i)^([^/]*[.])?(appkeys[.]dev|kubernetes[.]io|k8s[.]io|helm[.]sh|argoproj[.]io)/'))", "labels under appkeys.dev, kubernetes.io, k8s.io, helm.sh and argoproj.io are not allowed"))]
    #[x_kube(validation = ("self.all(k, size(k) <= 317 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$'))", "the name of a label is letters, digits, '-', '_' and '.', at most 63, after an optional DNS name and '/'"))]
    #[x_kube(validation = ("self.all(k, self[k].matches('^([a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)?$'))", "the value of a label is letters, digits, '-', '_' and '.', at most 63, and begins and ends with a letter or digit"))]
    pub labels: BTreeMap<String, String>,
    /// Annotations to add. None under appkeys.dev, kubernetes.io, k8s.io, helm.sh or argoproj.io.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = bounded::<4096>)]
    #[x_kube(validation = ("!self.exists(k, k.matches('(?i)^([^/]*[.])?(appkeys[.]dev|kubernetes[.]io|k8s[.]io|helm[.]sh|argoproj[.]io)/'))", "annotations under appkeys.dev, kubernetes.io, k8s.io, helm.sh and argoproj.io are not allowed"))]
    #[x_kube(validation = ("self.all(k, size(k) <= 317 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$'))", "the name of an annotation is letters, digits, '-', '_' and '.', at most 63, after an optional DNS name and '/'"))]
    pub annotations: BTreeMap<String, String>,
    /// Entries under other names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = ("self.all(k, self.exists_one(other, other.to == k.to))", "two entries cannot have the same name: each `to` must be another"))]
    #[x_kube(validation = ("self.all(k, !(k.to in ['client-id', 'client-secret', 'private-key.pem', 'key-id', 'issuer-uri', 'token-uri', 'jwks-uri', 'authorization-uri', 'introspection-uri', 'revocation-uri', 'scopes', 'ca.crt']) || self.exists(other, other.from == k.to) && !self.exists(other, other.from == k.to && has(other.keep) && other.keep))", "an entry cannot have the name of another one, unless that is renamed itself and not kept"))]
    pub keys: Vec<SecretKey>,
    /// A ready-made set of entries to add: `env`, `servicebinding`, `spring` or `oauth2-proxy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<SecretPreset>,
    /// Entries of your own making: name and text, in which `{{ client_id }}` stands for the entry `client-id` (with `_` for `-` and `.`), and `{{ client_id | tojson }}` for the same as a quoted JSON string. All entries of the credential can be used, access tokens cannot.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = bounded::<16384>)]
    #[x_kube(validation = ("self.all(k, size(k) <= 253 && k.matches('^[.]?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$'))", "the name of a template is the name of an entry: letters, digits, '-', '_' and '.', at most 253, and not '..' at its beginning"))]
    #[x_kube(validation = ("!self.exists(k, k.endsWith('.access-token') || k.endsWith('.expires-at'))", "names that end in .access-token or .expires-at are those of access tokens"))]
    #[x_kube(validation = ("!self.exists(k, k in ['client-id', 'client-secret', 'private-key.pem', 'key-id', 'issuer-uri', 'token-uri', 'jwks-uri', 'authorization-uri', 'introspection-uri', 'revocation-uri', 'scopes', 'ca.crt'])", "a template cannot have the name of an entry of the credential: choose another name"))]
    pub templates: BTreeMap<String, String>,
    /// Where access tokens go: SeparateSecret (default) or SameSecret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokensPlacement>,
}

impl SecretSpec {
    /// The type that the Secret is to have.
    pub fn secret_type(&self) -> SecretType {
        self.type_.unwrap_or(match self.preset {
            Some(SecretPreset::ServiceBinding) => SecretType::ServiceBinding,
            Some(SecretPreset::Env | SecretPreset::Spring | SecretPreset::OAuth2Proxy) | None => SecretType::Opaque,
        })
    }
}
