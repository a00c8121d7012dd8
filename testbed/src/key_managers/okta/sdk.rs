//! A client of Okta's own making, npm's `@okta/okta-sdk-nodejs`, against the double.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::Okta;
use crate::key_managers::{
    install::{NODE_MEND, npm},
    versions,
};

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
    let mut ca = tempfile::NamedTempFile::new().context("make a file")?;
    ca.write_all(okta.ca().as_bytes()).context("write the CA")?;
    let mut node = Command::new("node")
        .args(["--input-type=module", "--eval", PROGRAM])
        .current_dir(folder)
        .env("NODE_EXTRA_CA_CERTS", ca.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("run node: {NODE_MEND}"))?;
    let mut stdin = node.stdin.take().context("the client's input")?;
    stdin
        .write_all(input.to_string().as_bytes())
        .context("say how to log in")?;
    drop(stdin);
    let output = node.wait_with_output().context("wait for node")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "Okta's own client says: {said}");
    serde_json::from_slice(&output.stdout).context("read what the client printed")
}

/// The folder with the client and its packages; installs what is missing or has changed. Blocks.
///
/// # Errors
/// Node.js or npm is missing, or npm fails.
pub fn installed() -> anyhow::Result<PathBuf> {
    npm("okta_sdk", &versions::okta_sdk()?, versions::OKTA_SDK)
}
