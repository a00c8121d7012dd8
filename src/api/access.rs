//! Who may have what at a key manager: the rules of `spec.access`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{REDIRECT_PATTERN, RESOURCE, SCOPE};

/// A grant type of OAuth 2.0 that a client may use (RFC 6749, RFC 8628, RFC 8693).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, strum::Display,
)]
pub enum GrantType {
    /// Machine to machine (RFC 6749 section 4.4).
    ClientCredentials,
    /// A user logs in through a browser (RFC 6749 section 4.1).
    AuthorizationCode,
    /// New access tokens from a refresh token (RFC 6749 section 6).
    RefreshToken,
}

impl GrantType {
    /// Its name on the wire (RFC 7591 section 2).
    pub const fn registered_name(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
        }
    }
}

/// One rule: the namespaces that it selects may have what it grants. A namespace gets the union of the rules that select it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessRule {
    /// Labels of the namespaces that this rule selects. Absent selects no namespace, `{}` every namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,

    /// Scopes that clients may have, those of `keycloak.defaultClientScopes` included. They match exactly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 256), regex(pattern = SCOPE)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub scopes: Vec<String>,

    /// Resources (RFC 8707) that access tokens may be asked for. They match exactly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 2048), regex(pattern = RESOURCE)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub resources: Vec<String>,

    /// Grant types that clients may use. Absent: ClientCredentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub grant_types: Option<Vec<GrantType>>,

    /// Redirect URIs that clients may have. A pattern matches the whole URI; `*` stands for characters within one segment of the path, and never in scheme or host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 512), regex(pattern = REDIRECT_PATTERN)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub redirect_uri_patterns: Vec<String>,

    /// Whether clients that are there already may be taken over, once their secret has proved whose they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopt: bool,

    /// Beginning that a chosen client id must have. Absent: no client id may be chosen; the operator derives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub client_id_prefix: Option<String>,
}
