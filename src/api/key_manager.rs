//! `ClusterKeyManager` and `KeyManager`: the authorization servers that clients are registered at.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Duration,
    access::AccessRule,
    remote::{Drift, KeycloakSpec, OidcSpec, OktaSpec},
    schema::{SUBDOMAIN, without_default, without_description},
    wso2::Wso2Spec,
};

/// The kind of a key manager.
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
pub enum KeyManagerKind {
    /// A key manager that platform teams give to the namespaces which its access rules select.
    #[default]
    ClusterKeyManager,
    /// A key manager of the namespace that it is in.
    KeyManager,
}

/// Names a key manager.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyManagerRef {
    /// `ClusterKeyManager` (the default) or `KeyManager` (of the same namespace).
    #[serde(default)]
    #[schemars(transform = without_default)]
    pub kind: KeyManagerKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = SUBDOMAIN))]
    pub name: String,
}

impl std::fmt::Display for KeyManagerRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// How hard the operator may use a key manager.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Calls a second, on average. Absent: no limit at the resident key manager, 10 elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub requests_per_second: Option<i32>,
    /// Calls that may be made at once after a pause. Absent: as many as `requestsPerSecond`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub burst: Option<i32>,
    /// Calls under way at the same time. Absent: 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub max_in_flight: Option<i32>,
}

/// An algorithm that access tokens are signed with (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = without_description)]
pub enum SigningAlgorithm {
    /// ECDSA with P-256 and SHA-256; small and fast, the default.
    #[default]
    ES256,
    /// RSA with SHA-256, for consumers that know nothing else; twenty times slower to sign.
    RS256,
    /// Ed25519.
    EdDSA,
}

/// Names a Secret: in the operator's namespace for a ClusterKeyManager, in its own for a KeyManager.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
pub struct SecretName {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = SUBDOMAIN))]
    pub name: String,
}

/// The OAuth 2.0 authorization server inside the operator. It issues tokens to programs and does no user login.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResidentSpec {
    /// Issuer of the tokens (RFC 8414): an https URL without query and fragment that reaches the operator. Absent: the URL of the operator's Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 512), regex(pattern = r"^https://[^\s/?#@]+(/[^\s?#]*)?$"))]
    pub issuer: Option<String>,
    /// Audience of tokens that are asked for without a resource. Absent: the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub default_audience: Option<String>,
    /// Algorithm that tokens are signed with: ES256 (default), RS256 or EdDSA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_algorithm: Option<SigningAlgorithm>,
    /// Life of access tokens. Absent: one hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('1m') && duration(self) <= duration('24h')", "must be between 1m and 24h"))]
    pub access_token_lifetime: Option<Duration>,
    /// A Secret of type kubernetes.io/tls in the operator's namespace with the server's certificate. Absent: the operator has a CA of its own and hands it to workloads as `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_secret_ref: Option<SecretName>,
}

/// A key manager for the namespaces that its access rules select.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "appkeys.dev",
    version = "v1alpha1",
    kind = "ClusterKeyManager",
    plural = "clusterkeymanagers",
    shortname = "ckm",
    category = "appkeys",
    status = "KeyManagerStatus",
    doc = "An OAuth 2.0 authorization server for the namespaces that its access rules select.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Default", type_ = "boolean", json_path = ".spec.default"),
    printcolumn(name = "Issuer", type_ = "string", json_path = ".status.issuer"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        priority = 1
    ),
    validation = ("[has(self.spec.resident), has(self.spec.okta), has(self.spec.keycloak), has(self.spec.wso2), has(self.spec.oidc)].filter(given, given).size() == 1", "exactly one kind of key manager must be given: resident, okta, keycloak, wso2 or oidc"),
    validation = ("!has(self.spec.drift) || !has(self.spec.resident)", "drift is for key managers elsewhere: nobody but the operator changes clients of the resident one"),
    validation = ("!has(self.spec.caBundleRef) || !has(self.spec.resident)", "caBundleRef is for key managers elsewhere: the resident one has resident.certificateSecretRef")
)]
pub struct ClusterKeyManagerSpec {
    /// The authorization server inside the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident: Option<ResidentSpec>,

    /// An Okta org.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub okta: Option<OktaSpec>,

    /// A Keycloak realm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keycloak: Option<KeycloakSpec>,

    /// A WSO2 API Manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wso2: Option<Wso2Spec>,

    /// An authorization server with dynamic client registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcSpec>,

    /// A Secret in the operator's namespace whose entry `ca.crt` has the certificates (PEM) that the server's certificate is checked with, beside the public ones. Workloads get them as `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<SecretName>,

    /// Who may have what. Absent or empty: every namespace may have plain client_credentials clients, without scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub access: Vec<AccessRule>,

    /// How hard the operator may use this key manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,

    /// Looks now and then whether clients were changed or deleted at the key manager itself. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,

    /// Keys that name no key manager, and whose Application names none, get this one. It is looked up once for each key and kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
}

/// A key manager of one namespace, which may use all that its credentials can.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "appkeys.dev",
    version = "v1alpha1",
    kind = "KeyManager",
    plural = "keymanagers",
    shortname = "km",
    category = "appkeys",
    namespaced,
    status = "KeyManagerStatus",
    doc = "An OAuth 2.0 authorization server for the keys of one namespace.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Issuer", type_ = "string", json_path = ".status.issuer"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        priority = 1
    ),
    validation = ("[has(self.spec.okta), has(self.spec.keycloak), has(self.spec.wso2), has(self.spec.oidc)].filter(given, given).size() == 1", "exactly one kind of key manager must be given: okta, keycloak, wso2 or oidc")
)]
pub struct KeyManagerSpec {
    /// An Okta org.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub okta: Option<OktaSpec>,

    /// A Keycloak realm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keycloak: Option<KeycloakSpec>,

    /// A WSO2 API Manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wso2: Option<Wso2Spec>,

    /// An authorization server with dynamic client registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcSpec>,

    /// A Secret of this namespace whose entry `ca.crt` has the certificates (PEM) that the server's certificate is checked with, beside the public ones. Workloads get them as `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<SecretName>,

    /// Looks now and then whether clients were changed or deleted at the key manager itself. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,

    /// How hard the operator may use this key manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// What the operator found at a key manager.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyManagerStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`; while a deletion waits for keys `InUse`, and where there are several defaults `AmbiguousDefault`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The issuer (RFC 8414).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Where clients get tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    /// What this key manager can do and what it cannot, as it was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub capabilities: Vec<CapabilityStatus>,
}

/// Whether a key manager can do something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapabilityStatus {
    /// What: `ChosenClientId` and so on, as the documentation lists them.
    pub name: String,
    /// Whether it can.
    pub available: bool,
    /// What tells so, and what happens instead.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
