//! The operator as a process in a test bed's cluster.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use crate::{
    binaries::repository,
    control_plane::ControlPlane,
    process::{Server, free_ports},
};

/// The custom resources' plural names.
const PLURALS: [&str; 4] = ["applications", "applicationkeys", "keymanagers", "clusterkeymanagers"];

/// Where an operator listens.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// The resident key manager.
    pub resident: u16,
    /// `/livez`, `/readyz`, `/metrics`.
    pub admin: u16,
}

impl Ports {
    /// Free ones.
    ///
    /// # Errors
    /// There are none.
    pub fn free() -> anyhow::Result<Self> {
        let [resident, admin] = free_ports()?;
        Ok(Self { resident, admin })
    }
}

/// The operator's binary beside this one.
///
/// # Errors
/// It was not built.
pub fn binary() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("find this program")?;
    let beside = this.parent().map(|folder| folder.join("appkeys")).unwrap_or_default();
    ensure!(
        beside.exists(),
        "{} is missing: run `cargo build --bins` first",
        beside.display()
    );
    Ok(beside)
}

/// Puts the custom resources and the operator's namespace into a cluster.
///
/// # Errors
/// What kubectl says.
pub fn install(plane: &ControlPlane) -> anyhow::Result<()> {
    let crds = repository().join("crds");
    plane.kubectl(&["apply", "--server-side", "-f", &crds.to_string_lossy()])?;
    let crds = PLURALS.map(|name| format!("crd/{name}.appkeys.dev"));
    let mut wait = vec!["wait", "--for=condition=Established", "--timeout=60s"];
    wait.extend(crds.iter().map(String::as_str));
    plane.kubectl(&wait)?;
    plane.kubectl(&["create", "namespace", "appkeys"])?;
    Ok(())
}

/// Starts the operator with these variables beside those that are there; its output goes to `NAME.log` in `folder`.
///
/// # Errors
/// It cannot be started.
pub fn start(
    binary: &Path,
    plane: &ControlPlane,
    ports: Ports,
    folder: &Path,
    name: &str,
    flags: &[&str],
    environment: &[(&str, String)],
) -> anyhow::Result<Server> {
    let mut command = Command::new(binary);
    command.env("KUBECONFIG", plane.kubeconfig()).arg("run");
    command.arg(format!("--resident-address=127.0.0.1:{}", ports.resident));
    command.arg(format!("--resident-url=https://localhost:{}", ports.resident));
    command.arg(format!("--admin-address=127.0.0.1:{}", ports.admin));
    command.args(flags);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    Server::start(command, folder, name)
}
