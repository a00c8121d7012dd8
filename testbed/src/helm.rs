//! Helm, built once from Go modules into the cache folder, and run against a cluster of the test bed.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::{
    binaries::{go_command, repository},
    control_plane::ControlPlane,
};

/// The version that is built.
pub const VERSION: &str = "v4.3.1";

/// Helm's binary; builds it where it is missing (4 to 5 minutes on two cores).
///
/// # Errors
/// Go is missing or the build fails.
pub fn installed() -> anyhow::Result<PathBuf> {
    go_command("helm", VERSION, "helm.sh/helm/v4/cmd/helm", &["-ldflags", "-s -w"])
}

/// Helm with a home of its own.
#[derive(Debug)]
pub struct Helm {
    binary: PathBuf,
    home: TempDir,
    kubeconfig: Option<PathBuf>,
}

impl Helm {
    /// For charts alone.
    ///
    /// # Errors
    /// Helm cannot be built.
    pub fn without_cluster() -> anyhow::Result<Self> {
        Ok(Self {
            binary: installed()?,
            home: tempfile::tempdir().context("make a folder")?,
            kubeconfig: None,
        })
    }

    /// For a cluster.
    ///
    /// # Errors
    /// Helm cannot be built.
    pub fn of(plane: &ControlPlane) -> anyhow::Result<Self> {
        Self::at(plane.kubeconfig())
    }

    /// For the cluster of a kubeconfig.
    ///
    /// # Errors
    /// Helm cannot be built.
    pub fn at(kubeconfig: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            kubeconfig: Some(kubeconfig.to_owned()),
            ..Self::without_cluster()?
        })
    }

    /// Runs Helm in the repository's folder and gives what it prints.
    ///
    /// # Errors
    /// It ended with an error; the text has its words.
    pub fn run<A: AsRef<str>>(&self, arguments: &[A]) -> anyhow::Result<String> {
        let arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
        let mut command = Command::new(&self.binary);
        // Nothing but these: a cluster of the machine's own must not be found.
        command
            .env(
                "KUBECONFIG",
                self.kubeconfig.as_deref().unwrap_or(Path::new("/dev/null")),
            )
            .env("HOME", self.home.path())
            .current_dir(repository())
            .args(&arguments);
        let output = command.output().context("run Helm")?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
            bail!("helm {}: {}", arguments.join(" "), said.concat().trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
