//! `ApplicationKey`: one credential of an application in one environment.

#![expect(
    clippy::struct_field_names,
    reason = "each lifetime is that of a kind of token; KubeSchema derives a shadow struct, so it is said here"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Duration, GrantType,
    key_manager::{KeyManagerRef, SecretName},
    schema::{RESOURCE, SCOPE, SUBDOMAIN, without_default, without_description},
    secret::SecretSpec,
    vendor::{KeycloakClient, VendorBlocks},
    wso2::Wso2Client,
};

/// The environment that a credential is for.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
)]
pub enum Environment {
    /// Real users and real data.
    Production,
    /// Trials.
    #[default]
    Sandbox,
}

/// How the client proves itself at the token endpoint (OpenID Connect Core section 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, strum::Display)]
#[schemars(transform = without_description)]
pub enum ClientAuthentication {
    /// HTTP Basic authentication with client id and secret.
    #[default]
    ClientSecretBasic,
    /// Client id and secret in the request body.
    ClientSecretPost,
    /// An assertion that is signed with a private key (RFC 7523): the Secret has the key, the key manager only its public part.
    PrivateKeyJwt,
    /// Not at all: a public client, which has no secret.
    None,
}

impl ClientAuthentication {
    /// What a client of this kind holds.
    pub const fn credential(self) -> CredentialKind {
        match self {
            Self::ClientSecretBasic | Self::ClientSecretPost => CredentialKind::Secret,
            Self::PrivateKeyJwt => CredentialKind::PrivateKey,
            Self::None => CredentialKind::Nothing,
        }
    }

    /// Its name on the wire (OpenID Connect Core section 9).
    pub const fn registered_name(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::None => "none",
        }
    }
}

/// What a client proves itself with.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::EnumString,
)]
pub enum CredentialKind {
    /// A secret that the key manager knows.
    #[default]
    Secret,
    /// A private key whose public part the key manager knows.
    PrivateKey,
    /// Nothing.
    Nothing,
}

/// Proof Key for Code Exchange (RFC 7636): the app that asks for a code is the one that gets the token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pkce {
    /// Whether the key manager refuses logins without a code challenge.
    pub required: bool,
    /// Whether the challenge may be the verifier itself (method `plain`). Only for apps that cannot do S256.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_plain: bool,
}

/// What happens to the client when the key is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = without_description)]
pub enum DeletionPolicy {
    /// The client and the Secrets are deleted.
    #[default]
    Delete,
    /// The client and its Secret stay; a key of the same name takes them over.
    Retain,
}

/// How a secret is rotated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display)]
#[schemars(transform = without_description)]
pub enum RotationStrategy {
    /// The client has the old and the new secret for the time of the overlap. Needs a key manager that can keep two.
    #[default]
    Overlap,
    /// A new client, so a new client id; the old client is deleted after the overlap.
    ReplaceClient,
    /// The new secret replaces the old one at once: a short cut until consumers have the new one.
    InPlace,
}

/// An application's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ApplicationRef {
    /// The name of an Application in the same namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = SUBDOMAIN))]
    pub name: String,
}

/// An access token to keep fresh in the Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessTokenSpec {
    /// Name of the token: the Secret gets the entries `NAME.access-token` and `NAME.expires-at`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Scopes of the token. Absent: those that the key manager gives by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256), regex(pattern = SCOPE)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub scopes: Vec<String>,
    /// The resource (RFC 8707) that the token is for, an absolute URI without fragment. Absent: the key manager's default audience.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = RESOURCE))]
    pub resource: Option<String>,
    /// How long before its end the token is renewed. Absent: at two thirds of its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('10s') && duration(self) <= duration('8760h')", "must be between 10s and 8760h (a year)"))]
    pub renew_before: Option<Duration>,
}

/// When and how the client secret is rotated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotationSpec {
    /// Time from one secret to the next. Absent: never by time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('5m') && duration(self) <= duration('87600h')", "must be between 5m and 87600h (ten years)"))]
    pub interval: Option<Duration>,
    /// How long the old secret goes on working after the new one is in the Secret. Default 24h. Less than two minutes is less than some nodes need to show the new Secret to their Pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('1s') && duration(self) <= duration('87600h')", "must be between 1s and 87600h (ten years)"))]
    pub overlap: Option<Duration>,
    /// Overlap (default), ReplaceClient (a new client id) or InPlace (a short cut).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<RotationStrategy>,
    /// Each new non-empty value rotates once. Removing it does nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub trigger: Option<String>,
}

/// A client that is there already, to take over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adopt {
    /// Its id.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[!-~]+$"))]
    pub client_id: String,
    /// A Secret of this namespace that proves that the client is yours: its entry `client-secret` (`private-key.pem` for PrivateKeyJwt) must work. For a dynamically registered client it has `registration-client-uri` and `registration-access-token` too.
    pub secret_ref: SecretName,
}

/// Lifetimes of what the key manager issues to this client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lifetimes {
    /// Life of access tokens, where the key manager can set it for each client. Absent: as the key manager has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('1m') && duration(self) <= duration('24h')", "must be between 1m and 24h"))]
    pub access_token: Option<Duration>,
    /// Life of refresh tokens: how long one that nobody uses is good for. Where the key manager can set it for each client. Absent: as the key manager has it. Needs the grant type RefreshToken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('1m') && duration(self) <= duration('8760h')", "must be between 1m and 8760h (a year)"))]
    pub refresh_token: Option<Duration>,
    /// Life of ID tokens, where the key manager can set it for each client. Absent: as the key manager has it. Needs the grant type AuthorizationCode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('1m') && duration(self) <= duration('24h')", "must be between 1m and 24h"))]
    pub id_token: Option<Duration>,
}

/// A credential of an application: the operator registers a client at the key manager and keeps a Secret with its id, a working secret and fresh access tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "appkeys.dev",
    version = "v1alpha1",
    kind = "ApplicationKey",
    plural = "applicationkeys",
    shortname = "akey",
    category = "appkeys",
    namespaced,
    status = "ApplicationKeyStatus",
    doc = "A credential of an Application for one environment, kept in a Secret.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Environment", type_ = "string", json_path = ".spec.environment"),
    printcolumn(name = "Key Manager", type_ = "string", json_path = ".status.keyManager.name"),
    printcolumn(name = "Client ID", type_ = "string", json_path = ".status.clientId"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.secretRef.name"),
    printcolumn(name = "Next Change", type_ = "string", json_path = ".status.nextChangeTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        priority = 1
    ),
    printcolumn(
        name = "Version",
        type_ = "integer",
        json_path = ".status.credential.version",
        priority = 1
    ),
    validation = ("!has(self.spec.accessTokens) || size(self.spec.accessTokens) == 0 || !has(self.spec.grantTypes) || 'ClientCredentials' in self.spec.grantTypes", "accessTokens needs the grant type ClientCredentials: add it to grantTypes, or remove accessTokens"),
    validation = ("!has(self.spec.grantTypes) || !('AuthorizationCode' in self.spec.grantTypes) || has(self.spec.redirectUris) && size(self.spec.redirectUris) > 0", "the grant type AuthorizationCode needs redirectUris: say where logins return to"),
    validation = ("!has(self.spec.redirectUris) && !has(self.spec.pkce) || has(self.spec.grantTypes) && 'AuthorizationCode' in self.spec.grantTypes", "redirectUris and pkce are for logins: add AuthorizationCode to grantTypes, or remove them"),
    validation = ("!has(self.spec.lifetimes) || !has(self.spec.lifetimes.refreshToken) || has(self.spec.grantTypes) && 'RefreshToken' in self.spec.grantTypes", "lifetimes.refreshToken is for clients that get refresh tokens: add RefreshToken to grantTypes, or remove it"),
    validation = ("!has(self.spec.lifetimes) || !has(self.spec.lifetimes.idToken) || has(self.spec.grantTypes) && 'AuthorizationCode' in self.spec.grantTypes", "lifetimes.idToken is for clients with logins: add AuthorizationCode to grantTypes, or remove it"),
    validation = ("!has(self.spec.keycloak) || !has(self.spec.keycloak.pkceMethod) || has(self.spec.pkce) && self.spec.pkce.required && (self.spec.keycloak.pkceMethod != 'Plain' || has(self.spec.pkce.allowPlain) && self.spec.pkce.allowPlain)", "keycloak.pkceMethod is the one method that is demanded: set pkce.required to true, and for Plain pkce.allowPlain too"),
    validation = ("!has(self.spec.keycloak) || !has(self.spec.keycloak.defaultClientScopes) || !has(self.spec.scopes) || !self.spec.keycloak.defaultClientScopes.exists(scope, scope in self.spec.scopes)", "a scope is in scopes or in keycloak.defaultClientScopes, not in both: tokens have default ones without being asked"),
    validation = ("!has(self.spec.clientAuthentication) || self.spec.clientAuthentication != 'None' || has(self.spec.grantTypes) && !('ClientCredentials' in self.spec.grantTypes)", "a public client (clientAuthentication None) cannot use the grant type ClientCredentials: give grantTypes without it"),
    validation = ("!has(self.spec.adopt) || !has(self.spec.clientId)", "adopt says the client id: remove clientId"),
    validation = ("!has(self.spec.adopt) || !has(self.spec.clientAuthentication) || self.spec.clientAuthentication != 'None'", "a public client has nothing that proves whose it is: it cannot be adopted"),
    validation = ("has(self.spec.adopt) == has(oldSelf.spec.adopt) && (!has(self.spec.adopt) || self.spec.adopt.clientId == oldSelf.spec.adopt.clientId)", "adopt cannot be changed: make a new key"),
    validation = ("!has(self.spec.secret) || !has(self.spec.secret.type) || self.spec.secret.type != 'kubernetes.io/basic-auth' || !has(self.spec.clientAuthentication) || self.spec.clientAuthentication in ['ClientSecretBasic', 'ClientSecretPost']", "a Secret of type kubernetes.io/basic-auth needs a client secret: choose ClientSecretBasic or ClientSecretPost"),
    validation = ("!has(self.spec.secret) || !has(self.spec.secret.preset) || self.spec.secret.preset != 'oauth2-proxy' || !has(self.spec.clientAuthentication) || self.spec.clientAuthentication in ['ClientSecretBasic', 'ClientSecretPost']", "oauth2-proxy needs a client secret: choose ClientSecretBasic or ClientSecretPost"),
    validation = ("!has(self.spec.accessTokens) || size(self.spec.accessTokens) == 0 || size(self.metadata.name) <= 246 || has(self.spec.secret) && (has(self.spec.secret.name) || has(self.spec.secret.tokens) && self.spec.secret.tokens == 'SameSecret')", "the Secret of the access tokens is named after this key with -tokens, which is too long: give it a shorter secret.name, or set secret.tokens to SameSecret")
)]
pub struct ApplicationKeySpec {
    /// The Application, in the same namespace. Cannot be changed.
    #[x_kube(validation = ("self == oldSelf", "applicationRef cannot be changed: make a new key"))]
    pub application_ref: ApplicationRef,

    /// Production or Sandbox. Cannot be changed.
    #[x_kube(validation = ("self == oldSelf", "environment cannot be changed: make a new key"))]
    pub environment: Environment,

    /// The key manager. Absent: the Application's, else the cluster's default. A change moves the key: a new client is made there, the old one is kept through the overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_manager_ref: Option<KeyManagerRef>,

    /// A client id of your choice, where the key manager and its access rules allow one. Absent: derived from cluster, namespace and name. A change makes a new client; the old one is kept through the overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub client_id: Option<String>,

    /// Grant types of the client. Absent: ClientCredentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub grant_types: Option<Vec<GrantType>>,

    /// Scopes of the client; an access rule of the key manager must grant them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256), regex(pattern = SCOPE)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub scopes: Vec<String>,

    /// Where logins may return to, each an absolute URI without fragment that matches exactly; an access rule of the key manager must grant them. The grant type AuthorizationCode needs one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512), regex(pattern = RESOURCE)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub redirect_uris: Vec<String>,

    /// Proof Key for Code Exchange (RFC 7636) for logins. Absent: required with S256 for a public client, else the app's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pkce: Option<Pkce>,

    /// How the client proves itself: ClientSecretBasic (default), ClientSecretPost, PrivateKeyJwt, or None for a public client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_authentication: Option<ClientAuthentication>,

    /// Lifetimes of what the key manager issues to this client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetimes: Option<Lifetimes>,

    /// What only Keycloak has for a client. Other key managers refuse a key with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keycloak: Option<KeycloakClient>,

    /// What only WSO2 has for a key. Other key managers refuse a key with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wso2: Option<Wso2Client>,

    /// Access tokens to keep fresh in the Secret. Needs the grant type ClientCredentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub access_tokens: Vec<AccessTokenSpec>,

    /// When and how the client secret is rotated. Absent: only by the annotation `appkeys.dev/rotate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationSpec>,

    /// The Secret that workloads mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretSpec>,

    /// Take over a client that is there already, where an access rule allows it, once the Secret named here has proved that it is yours. Its properties become those of this key. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,

    /// What happens to the client when this key is deleted: Delete or Retain. Absent: Delete; Retain for an adopted client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,

    /// Stops every action but deletion.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
}

impl ApplicationKeySpec {
    /// The blocks that it has for key managers of one vendor.
    pub fn vendor_blocks(&self) -> VendorBlocks {
        VendorBlocks {
            keycloak: self.keycloak.clone(),
            wso2: self.wso2.clone(),
        }
    }
}

/// Where a rotation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display)]
pub enum Phase {
    /// A new secret is registered.
    Pending,
    /// The new secret has been used once.
    Verified,
    /// The new secret is in the Secret; the old one's end is not set yet.
    Published,
    /// The old secret still works, until `previousValidUntil`.
    Draining,
    /// Nothing is under way.
    #[default]
    Idle,
}

/// The credential in the Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialStatus {
    /// Counts the secrets that this key has had.
    pub version: i64,
    /// When the secret was put into the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<Time>,
    /// When it is rotated next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_rotation_time: Option<Time>,
    /// Until when the secret before it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_valid_until: Option<Time>,
    /// Where a rotation is: Pending, Verified, Published, Draining or Idle.
    #[serde(default)]
    #[schemars(transform = without_default)]
    pub phase: Phase,
}

/// An access token in the Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessTokenStatus {
    /// Its name.
    pub name: String,
    /// The scopes that it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// When it ends.
    pub expires_at: Time,
    /// When it is renewed.
    pub renew_at: Time,
}

/// Names a Secret of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct SecretRef {
    /// Its name.
    pub name: String,
}

/// What the operator saw and did. It never holds a secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationKeyStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` and the few that explain it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The client's id at the key manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The key manager that was found for this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_manager: Option<KeyManagerRef>,
    /// The Secret that workloads mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// The same Secret, where service bindings look for it (servicebinding.io, Provisioned Service).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<SecretRef>,
    /// The credential in the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialStatus>,
    /// The access tokens in the Secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub access_tokens: Vec<AccessTokenStatus>,
    /// When the operator changes something next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_change_time: Option<Time>,
}
