//! Programs for Node.js: their packages, and one that is asked once.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::key_managers::install::{announced, folder, run};

/// What to install where Node.js or npm is missing.
const MEND: &str = "install Node.js 20 or newer with npm";

/// The folder with the packages of a `package.json` and its lock file; installs what is missing or has changed. Blocks.
///
/// # Errors
/// Node.js or npm is missing, or npm fails.
pub(crate) fn installed(name: &str, version: &str, files: [(&str, &str); 2]) -> anyhow::Result<PathBuf> {
    let (folder, _lock) = folder(name, version)?;
    let [_, (file, lock)] = files;
    // Copied when all was installed.
    let mark = folder.join(format!("{file}.installed"));
    if fs::read_to_string(&mark).is_ok_and(|text| text == lock) {
        return Ok(folder);
    }
    for (file, text) in files {
        fs::write(folder.join(file), text).with_context(|| format!("write {file}"))?;
    }
    announced(&format!("npm ci for {name} {version}"), || {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder);
        run(&mut npm, MEND)
    })?;
    fs::write(mark, lock).with_context(|| format!("note that {name} is installed"))?;
    Ok(folder)
}

/// What a program (an ES module) prints for `input`, which it reads from its standard input; both are JSON. It finds its packages in
/// `folder`, and trusts the CA in `ca` (PEM). Blocks.
///
/// # Errors
/// Node.js is missing, or what the program says is wrong.
pub(crate) fn ask(folder: &Path, program: &str, ca: &str, input: &Value) -> anyhow::Result<Value> {
    let mut file = tempfile::NamedTempFile::new().context("make a file")?;
    file.write_all(ca.as_bytes()).context("write the CA")?;
    let mut node = Command::new("node")
        .args(["--input-type=module", "--eval", program])
        .current_dir(folder)
        .env("NODE_EXTRA_CA_CERTS", file.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("run node: {MEND}"))?;
    let mut stdin = node.stdin.take().context("the program's input")?;
    stdin
        .write_all(input.to_string().as_bytes())
        .context("give the program its input")?;
    drop(stdin);
    let output = node.wait_with_output().context("wait for node")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the program says: {said}");
    serde_json::from_slice(&output.stdout).context("read what the program printed")
}
