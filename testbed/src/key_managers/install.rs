//! What the installations of all key managers have in common.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest::{SHA256, digest};

use crate::binaries::cache;

/// The folder of a key manager in the cache, and its lock: of two processes that need it one installs and the other waits.
pub(crate) fn folder(name: &str, version: &str) -> anyhow::Result<(PathBuf, File)> {
    let folder = cache().join(name).join(version);
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let lock = File::create(folder.join(".lock")).context("make the install lock")?;
    lock.lock().context("wait for the install lock")?;
    // One name, also where the cache is reached by a link.
    let folder = fs::canonicalize(&folder).with_context(|| format!("find {}", folder.display()))?;
    Ok((folder, lock))
}

/// Does a long work, and says so before and after.
pub(crate) fn announced<T>(what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    eprintln!("test bed: {what}");
    let start = Instant::now();
    let made = work()?;
    eprintln!("test bed: {what}: {} s", start.elapsed().as_secs());
    Ok(made)
}

/// Runs a command; when it fails, its output is the error. `mend` says what to install where the command is missing.
pub(crate) fn run(command: &mut Command, mend: &str) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {name}: {mend}"))?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    ensure!(
        output.status.success(),
        "{name} failed ({mend}): {}",
        said.concat().trim()
    );
    Ok(said.concat())
}

/// Downloads `path` of a Maven repository: Maven Central, or the mirror that `MAVEN_REPOSITORY` names.
pub(crate) fn from_maven(path: &str, sha256: &str, to: &Path) -> anyhow::Result<()> {
    let repository = std::env::var("MAVEN_REPOSITORY").unwrap_or_else(|_| "https://repo1.maven.org/maven2".to_owned());
    let address = format!("{}/{path}", repository.trim_end_matches('/'));
    run(
        Command::new("curl")
            .args(["--fail", "--silent", "--show-error", "--location", "--retry", "3"])
            .args(["--connect-timeout", "30", "--max-time", "1200", "--output"])
            .arg(to)
            .arg(&address),
        "curl is needed to download from Maven Central; MAVEN_REPOSITORY names a mirror of it where there is one",
    )?;
    let bytes = fs::read(to).with_context(|| format!("read {}", to.display()))?;
    let found = hex(digest(&SHA256, &bytes).as_ref());
    ensure!(
        found == sha256,
        "{address} has SHA-256 {found}, not {sha256}: it is not what was pinned"
    );
    Ok(())
}

/// A short name of some texts: another one when one of them changes.
pub(crate) fn stamp(texts: &[&str]) -> String {
    hex(&digest(&SHA256, texts.join("\0").as_bytes()).as_ref()[..6])
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
