//! WSO2 API Manager: how it is reached, and what only it has.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    key_manager::SecretName,
    remote::URL,
    schema::{bounded, without_description},
};

/// How the operator logs in to WSO2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = without_description)]
pub enum Wso2Login {
    /// By client_credentials of a client that was registered for it: its owner is the user who owns the applications.
    #[default]
    Client,
    /// As a user, with a client that the operator registers for itself. Not where WSO2 keeps only digests of client secrets.
    Registration,
    /// As a user, with user and password in each call, where the administrator has left that on.
    Password,
}

/// A WSO2 API Manager, 4.0 to 4.7. The operator uses the Developer Portal API as one user, who owns all applications that it makes there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Wso2Spec {
    /// Where the server is, without a path: such as `https://apim.example.com:9443`.
    #[schemars(length(min = 9, max = 512), regex(pattern = URL))]
    pub url: String,
    /// The path of its Developer Portal API. Absent: `/api/am/devportal/v3`, which is that of 4.2 and later; 4.0 and 4.1 have `/api/am/devportal/v2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 256), regex(pattern = r"^(/[-._a-zA-Z0-9]+)+$"))]
    pub dev_portal_path: Option<String>,
    /// How the operator logs in: Client (default), Registration or Password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Wso2Login>,
    /// A Secret with what the login needs: `client-id` and `client-secret` for Client, `username` and `password` for the others. The user needs the role `Internal/subscriber`.
    pub credentials_secret_ref: SecretName,
    /// The key manager inside WSO2 that makes the clients, by its name there. Absent: `Resident Key Manager`. Others are those that WSO2 calls third-party: an Okta or a Keycloak behind WSO2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub key_manager: Option<String>,
    /// The issuer of the tokens, for programs that check them. Absent: that of the resident key manager; none for another key manager inside WSO2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 512), regex(pattern = URL))]
    pub issuer: Option<String>,
    /// The tenant whose key managers are meant, where that is not the user's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub tenant: Option<String>,
    /// The throttling policy of applications that name none themselves. Absent: `Unlimited`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub throttling_policy: Option<String>,
}

/// What only WSO2 has for a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Wso2Client {
    /// Further properties of the key, as its key manager inside WSO2 names them (`additionalProperties` in WSO2's API): what a third-party one asks for, such as `application_type` at Okta.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = bounded::<1024>)]
    #[x_kube(validation = ("!self.exists(name, name in ['pkceMandatory', 'pkceSupportPlain', 'bypassClientCredentials', 'application_access_token_expiry_time', 'refresh_token_expiry_time', 'id_token_expiry_time', 'application_scopes', 'client_id', 'client_secret'])", "that property has a field of its own: pkce, clientAuthentication, lifetimes, scopes or clientId"))]
    pub properties: BTreeMap<String, String>,
}

/// What only WSO2 has for an application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Wso2Application {
    /// Its throttling policy. Absent: that of the key manager's spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub throttling_policy: Option<String>,
    /// Groups of users that see it in the Developer Portal, where WSO2 shares applications.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 255)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub groups: Vec<String>,
}
