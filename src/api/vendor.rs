//! Blocks of a key's spec that are for key managers of one vendor: what has no common meaning.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    schema::{SCOPE, without_description},
    wso2::{Wso2Application, Wso2Client},
};

/// How a code challenge is made from its verifier (RFC 7636 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = without_description)]
pub enum PkceMethod {
    /// Its SHA-256.
    S256,
    /// It is the verifier itself.
    Plain,
}

/// What only Keycloak has for a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeycloakClient {
    /// Client scopes of the realm that are in every token of this client although nobody asks for them (Keycloak calls them default ones), such as `profile` or `roles`; an access rule of the key manager must grant them. Those that apps ask for go into `scopes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 256), regex(pattern = SCOPE)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub default_client_scopes: Vec<String>,
    /// The one method that logins must use where `pkce` is required: S256 or Plain. Keycloak never takes either of the two from one client. Absent: S256. Plain needs `pkce.allowPlain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pkce_method: Option<PkceMethod>,
}

/// A vendor that a key's spec has a block for; its name is that of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "camelCase")]
pub enum Vendor {
    /// Keycloak.
    Keycloak,
    /// WSO2 API Manager.
    Wso2,
}

/// The blocks that a key's spec has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VendorBlocks {
    /// For a client at Keycloak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keycloak: Option<KeycloakClient>,
    /// For a client at WSO2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wso2: Option<Wso2Client>,
}

/// The blocks that an Application's spec has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationBlocks {
    /// For an application at WSO2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wso2: Option<Wso2Application>,
}

impl ApplicationBlocks {
    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.wso2.is_none()
    }
}

impl VendorBlocks {
    /// Whose they are.
    pub fn vendors(&self) -> impl Iterator<Item = Vendor> {
        let keycloak = self.keycloak.iter().map(|_| Vendor::Keycloak);
        keycloak.chain(self.wso2.iter().map(|_| Vendor::Wso2))
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.keycloak.is_none() && self.wso2.is_none()
    }

    /// All scopes that they ask for.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let keycloak = self.keycloak.iter();
        keycloak.flat_map(|keycloak| keycloak.default_client_scopes.iter().map(String::as_str))
    }

    /// The same without the scopes that are not granted.
    #[must_use]
    pub fn with_scopes(mut self, granted: impl Fn(&str) -> bool) -> Self {
        if let Some(keycloak) = &mut self.keycloak {
            keycloak.default_client_scopes.retain(|scope| granted(scope));
        }
        self
    }

    /// The method of PKCE that they choose, for key managers that can demand only one.
    pub fn pkce_method(&self) -> Option<PkceMethod> {
        self.keycloak.as_ref()?.pkce_method
    }
}
