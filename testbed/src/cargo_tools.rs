//! Tools of Cargo that the project is checked with, installed once into the cache folder and not into anybody's home.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, ensure};

use crate::binaries::{cache, repository};

/// A program of crates.io at a version that is pinned here.
#[derive(Clone, Copy, Debug)]
struct CargoTool {
    name: &'static str,
    version: &'static str,
}

/// Licences, bans and sources of what the project depends on.
const DENY: CargoTool = CargoTool {
    name: "cargo-deny",
    version: "0.20.2",
};

impl CargoTool {
    /// A command that runs it in the repository's folder; installs it where it is missing.
    fn command(self) -> anyhow::Result<Command> {
        let mut command = Command::new(self.installed()?);
        command.current_dir(repository()).stdin(Stdio::null());
        Ok(command)
    }

    fn installed(self) -> anyhow::Result<PathBuf> {
        let Self { name, version } = self;
        let folder = cache().join("cargo").join(format!("{name}-{version}"));
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        // Of two processes that need it one builds and the other waits.
        let lock = File::create(folder.join(".lock")).context("make the build lock")?;
        lock.lock().context("wait for the build lock")?;
        let binary = folder.join("bin").join(name);
        if !binary.exists() {
            eprintln!("test bed: building {name} {version} from crates.io, a few minutes on two cores");
            let start = Instant::now();
            let status = Command::new("cargo")
                .args([
                    "install",
                    "--quiet",
                    "--locked",
                    "--version",
                    &format!("={version}"),
                    "--root",
                ])
                .arg(&folder)
                .arg(name)
                // What is built on the way is of no use to anybody else: its place is Cargo's own temporary folder.
                .env_remove("CARGO_TARGET_DIR")
                .stdin(Stdio::null())
                .status()
                .context("run cargo")?;
            ensure!(status.success(), "cargo install {name} {version} failed");
            eprintln!("test bed: built {name} in {} s", start.elapsed().as_secs());
        }
        Ok(binary)
    }
}

/// What is held to `deny.toml` without a network: advisories are in a database that only the network has.
const CHECKS: [&str; 3] = ["bans", "licenses", "sources"];

/// Holds `Cargo.lock` to `deny.toml`: these checks, or those that need no network.
///
/// # Errors
/// Something is not allowed; it has been printed.
pub fn deny(checks: &[String]) -> anyhow::Result<()> {
    let mut deny = DENY.command()?;
    deny.args(["--locked", "--workspace", "check"]);
    if checks.is_empty() {
        deny.args(CHECKS);
    } else {
        deny.args(checks);
    }
    let status = deny.status().context("run cargo-deny")?;
    ensure!(
        status.success(),
        "cargo-deny found something: deny.toml says what is allowed"
    );
    Ok(())
}
