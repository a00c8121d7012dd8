//! Key managers elsewhere: how they are reached.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, key_manager::SecretName, schema::without_description};

/// The URL of a server: no user, query or fragment.
pub(super) const URL: &str = r"^https?://[^\s/?#@]+(/[^\s?#]*)?$";

/// The URL of an org: no path either.
const ORG: &str = r"^https?://[^\s/?#@]+/?$";

/// A realm of a Keycloak server. The operator manages clients there by the Admin API, as a service account with the role `manage-clients` of `realm-management` and no other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeycloakSpec {
    /// Where the server is: everything before `/realms/` in the issuer of its tokens.
    #[schemars(length(min = 9, max = 512), regex(pattern = URL))]
    pub url: String,
    /// The realm.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^\s/?#%]+$"))]
    pub realm: String,
    /// A Secret with the entries `client-id` and `client-secret` of the operator's own client in that realm.
    pub credentials_secret_ref: SecretName,
}

/// An Okta org, and the custom authorization server in it whose tokens clients get. The operator manages clients there by the Apps API, as a service app of its own or with an API token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.credentialsSecretRef) != has(self.apiTokenSecretRef)", "the operator logs in in one way: give credentialsSecretRef (its own service app) or apiTokenSecretRef (an API token)"))]
pub struct OktaSpec {
    /// The org's URL, or that of its custom domain.
    #[schemars(length(min = 9, max = 512), regex(pattern = ORG))]
    pub url: String,
    /// The id of the custom authorization server whose tokens clients get. Absent: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-zA-Z0-9]+$"))]
    pub authorization_server: Option<String>,
    /// A Secret with the entries `client-id`, `private-key.pem` (PKCS#8) and `key-id` of the operator's own service app in that org.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretName>,
    /// A Secret whose entry `token` is an API token of an administrator, in place of a service app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_token_secret_ref: Option<SecretName>,
}

/// An authorization server with dynamic client registration (RFC 7591) and, where it has that, management (RFC 7592). What it is and can do is discovered (RFC 8414, OpenID Connect Discovery).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OidcSpec {
    /// The issuer, exactly as the server's metadata say it.
    #[schemars(length(min = 9, max = 512), regex(pattern = URL))]
    pub issuer: String,
    /// Where clients are registered. Absent: as discovered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 512), regex(pattern = URL))]
    pub registration_endpoint: Option<String>,
    /// A Secret whose entry `token` is the initial access token that registrations need (RFC 7591 section 3). Absent: registration is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_access_token_secret_ref: Option<SecretName>,
}

/// What is done about a client that somebody changed at its key manager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = without_description)]
pub enum DriftPolicy {
    /// It is said in the condition `Drifted`, and nothing is changed.
    #[default]
    Report,
    /// It is put right.
    Correct,
}

/// Looks now and then whether clients still are as they should be. Each look is a call at the key manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// Time from one look at a client to the next.
    #[x_kube(validation = ("duration(self) >= duration('1m') && duration(self) <= duration('8760h')", "must be between 1m and 8760h (a year)"))]
    pub interval: Duration,
    /// Report (default) or Correct.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<DriftPolicy>,
}
