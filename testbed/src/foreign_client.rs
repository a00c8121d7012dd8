//! A client that nobody here wrote: npm's `oauth4webapi` and `jose`, with nothing but a Secret's entries.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::{key_managers::versions, node};

const PROGRAM: &str = include_str!("../foreign_client/client.mjs");

/// Gets a token by discovery alone, validates it as RFC 9068 asks, introspects and revokes it. Its claims.
/// `method` is `client_secret_basic`, `client_secret_post` or `private_key_jwt`. Blocks.
///
/// # Errors
/// Node or npm is missing, or what the client says is wrong.
pub fn claims(entries: &BTreeMap<String, String>, method: &str) -> anyhow::Result<Value> {
    let ca = entries.get("ca.crt").context("the Secret has no ca.crt")?;
    let input = json!({"method": method, "secret": entries});
    node::ask(&installed()?, PROGRAM, ca, &input)
}

/// The folder with the client's packages; installs what is missing or has changed. Blocks.
///
/// # Errors
/// Node.js or npm is missing, or npm fails.
pub fn installed() -> anyhow::Result<PathBuf> {
    node::installed("foreign_client", &versions::foreign_client()?, versions::FOREIGN_CLIENT)
}
