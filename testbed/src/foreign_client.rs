//! A client that nobody here wrote: npm's `oauth4webapi` and `jose`, with nothing but a Secret's entries.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use crate::binaries::cache;

const FILES: [&str; 3] = ["package.json", "package-lock.json", "client.mjs"];

/// Gets a token by discovery alone, validates it as RFC 9068 asks, introspects and revokes it. Its claims.
/// `method` is `client_secret_basic`, `client_secret_post` or `private_key_jwt`. Blocks.
///
/// # Errors
/// Node or npm is missing, or what the client says is wrong.
pub fn claims(entries: &BTreeMap<String, String>, method: &str) -> anyhow::Result<serde_json::Value> {
    let folder = installed()?;
    let mut ca = tempfile::NamedTempFile::new().context("make a file")?;
    let pem = entries.get("ca.crt").context("the Secret has no ca.crt")?;
    ca.write_all(pem.as_bytes()).context("write ca.crt")?;
    let mut node = Command::new("node")
        .args(["client.mjs", method])
        .current_dir(folder)
        .env("NODE_EXTRA_CA_CERTS", ca.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("run node: install Node.js 20 or newer")?;
    let input = serde_json::to_vec(entries).context("print the entries")?;
    let mut stdin = node.stdin.take().context("the client's input")?;
    stdin.write_all(&input).context("give the entries")?;
    drop(stdin);
    let output = node.wait_with_output().context("wait for node")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the client says: {said}");
    serde_json::from_slice(&output.stdout).context("read what the client printed")
}

/// The folder with the client and its packages; installs what is missing or has changed.
fn installed() -> anyhow::Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign_client");
    let folder = cache().join("foreign_client");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let lock = File::create(folder.join(".lock")).context("make the install lock")?;
    lock.lock().context("wait for the install lock")?;
    let same = |file: &str| fs::read(source.join(file)).ok() == fs::read(folder.join(file)).ok();
    let done = same("package-lock.json") && folder.join("node_modules").exists();
    for file in FILES {
        fs::copy(source.join(file), folder.join(file)).with_context(|| format!("copy {file}"))?;
    }
    if !done {
        eprintln!("test bed: npm ci for the client that checks the resident key manager");
        let status = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--silent"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .status()
            .context("run npm: install Node.js 20 or newer")?;
        ensure!(status.success(), "npm ci failed");
    }
    Ok(folder)
}
