//! A client of Okta's own making, npm's `@okta/okta-sdk-nodejs`, against the double.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Okta;
use crate::{key_managers::versions, node};

const PROGRAM: &str = include_str!("../../../okta_sdk/scenario.mjs");

/// How the client logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// With an API token.
    ApiToken,
    /// As the operator's own app, with its private key.
    PrivateKey,
}

/// The life of an app through Okta's own client: made with a chosen id and secret, found, replaced, its secrets and keys
/// rotated, deleted. What the client saw. `keys` are two public keys. Blocks.
///
/// # Errors
/// Node.js is missing, or something was not as Okta's client expects it.
pub fn scenario(okta: &Okta, login: Login, label: &str, keys: &[Value; 2]) -> anyhow::Result<Value> {
    let folder = installed()?;
    let operator = okta.operator();
    let login = match login {
        Login::ApiToken => json!({"orgUrl": okta.url(), "token": operator.api_token}),
        Login::PrivateKey => json!({
            "orgUrl": okta.url(), "authorizationMode": "PrivateKey", "clientId": operator.client_id,
            "scopes": ["okta.apps.manage", "okta.authorizationServers.read"],
            "privateKey": operator.private_key, "keyId": operator.key_id,
        }),
    };
    let input = json!({
        "login": login, "label": label, "keys": keys, "secret": "first-secret-0123456789",
        "next": "second-secret-0123456789",
    });
    node::ask(&folder, PROGRAM, okta.ca(), &input).context("drive Okta's own client")
}

/// The folder with the client and its packages; installs what is missing or has changed. Blocks.
///
/// # Errors
/// Node.js or npm is missing, or npm fails.
pub fn installed() -> anyhow::Result<PathBuf> {
    node::installed("okta_sdk", &versions::okta_sdk()?, versions::OKTA_SDK)
}
