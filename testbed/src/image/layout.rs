//! What is in an image, read from its OCI archive.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::USER;

/// An image that was built.
#[derive(Debug)]
pub(super) struct Image {
    /// Of its manifest: what it is pulled by.
    pub(super) digest: String,
    manifest: Value,
    folder: TempDir,
}

impl Image {
    pub(super) fn read(archive: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("make a folder")?;
        tar(&["-xf", &archive.to_string_lossy()], folder.path())?;
        let index = read(&folder.path().join("index.json"))?;
        let digest = text(&index["manifests"][0]["digest"])?.to_owned();
        let manifest = read(&blob(folder.path(), &digest))?;
        Ok(Self {
            digest,
            manifest,
            folder,
        })
    }

    /// Holds it to what an image of this operator is.
    pub(super) fn check(&self, program: &[u8]) -> anyhow::Result<()> {
        let config = read(&blob(self.folder.path(), text(&self.manifest["config"]["digest"])?))?;
        let run = &config["config"];
        ensure!(run["User"] == USER, "the image runs as {}", run["User"]);
        ensure!(
            run["Entrypoint"] == json!(["/appkeys"]),
            "the image runs {}",
            run["Entrypoint"]
        );
        ensure!(run["Cmd"].is_null(), "the image has a command: {}", run["Cmd"]);
        ensure!(
            config["architecture"] == super::architecture(),
            "the image is for {}",
            config["architecture"]
        );
        let root = self.unpacked()?;
        let files: Vec<_> = fs::read_dir(root.path())
            .context("look into the image")?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<Result<_, _>>()
            .context("look into the image")?;
        ensure!(files == ["appkeys"], "the image holds {files:?}");
        ensure!(
            fs::read(root.path().join("appkeys")).context("read the program of the image")? == program,
            "the program of the image is another"
        );
        Ok(())
    }

    /// Its files, in a folder.
    pub(super) fn unpacked(&self) -> anyhow::Result<TempDir> {
        let root = tempfile::tempdir().context("make a folder")?;
        for layer in self.manifest["layers"].as_array().context("an image without layers")? {
            let layer = blob(self.folder.path(), text(&layer["digest"])?);
            tar(&["-xf", &layer.to_string_lossy()], root.path())?;
        }
        Ok(root)
    }
}

fn blob(folder: &Path, digest: &str) -> std::path::PathBuf {
    folder.join("blobs").join(digest.replace(':', "/"))
}

fn read(file: &Path) -> anyhow::Result<Value> {
    let text = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("read {}", file.display()))
}

fn text(value: &Value) -> anyhow::Result<&str> {
    value.as_str().context("an image without a digest")
}

fn tar(arguments: &[&str], folder: &Path) -> anyhow::Result<()> {
    let status = Command::new("tar")
        .args(arguments)
        .current_dir(folder)
        .status()
        .context("run tar")?;
    ensure!(status.success(), "tar {} failed", arguments.join(" "));
    Ok(())
}
