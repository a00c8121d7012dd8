//! The custom resource definitions of the Prometheus operator, for what the chart asks of it: files of its Go module.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// The files with the definitions of these kinds (plural, lower case).
///
/// # Errors
/// The module cannot be downloaded.
pub fn definitions(kinds: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("prometheus_operator");
    let name = "github.com/prometheus-operator/prometheus-operator";
    let output = Command::new("go")
        .args(["mod", "download", "-json", name])
        .current_dir(module)
        .output()
        .context("run go: install Go 1.26 or newer")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "go mod download {name}: {said}");
    let answer: Value = serde_json::from_str(&said).context("read what go says")?;
    let folder =
        Path::new(answer["Dir"].as_str().context("go names no folder")?).join("example/prometheus-operator-crd");
    let files = kinds
        .iter()
        .map(|kind| folder.join(format!("monitoring.coreos.com_{kind}.yaml")));
    Ok(files.collect())
}
