//! What the Pods run: the operator's image, and one with this test bed's program for workloads. Made without a container engine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde_json::json;

use super::run;
use crate::binaries::repository;

/// What an image without a registry's name is called in a node's store.
pub(super) const NAMESPACE: &str = "docker.io/library/";
/// The operator's, as the chart calls it.
pub const OPERATOR: &str = concat!("appkeys:", env!("CARGO_PKG_VERSION"));
/// That of workloads; it is what holds a Pod's network, too.
pub const WORKLOAD: &str = "docker.io/library/appkeys-workload:1";

/// An image in a file.
#[derive(Clone, Debug)]
pub struct Image {
    /// Repository and tag.
    pub name: String,
    /// A docker archive or an OCI archive.
    pub archive: PathBuf,
}

/// Both images. The operator's is that of `make image` where it has been made, else one with the program beside this one, as
/// workloads have: with the libraries that it needs.
///
/// # Errors
/// A program is missing, or cannot be packed.
pub fn build() -> anyhow::Result<Vec<Image>> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    let folder = target.join("e2e");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let workload = folder.join("workload.tar");
    make(WORKLOAD, &beside("testbed")?, Some("pause"), &workload).context("make the image of workloads")?;
    let mut operator = target.join(format!("image/appkeys-{}.tar", architecture()));
    if !operator.exists() {
        operator = folder.join("appkeys.tar");
        make(OPERATOR, &beside("appkeys")?, None, &operator).context("make the operator's image")?;
    }
    let image = |name: &str, archive| Image {
        name: name.trim_start_matches(NAMESPACE).to_owned(),
        archive,
    };
    Ok(vec![image(OPERATOR, operator), image(WORKLOAD, workload)])
}

/// What an image of this processor is called.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A program of this workspace, built as this one was; tests are in a folder below.
pub fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("find this program")?;
    let found = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.with_context(|| format!("{name} is missing: run `cargo build --bins` first"))
}

/// A docker archive with one layer: a program, and the libraries that it asks for.
fn make(name: &str, program: &Path, command: Option<&str>, archive: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let root = folder.path().join("root");
    fs::create_dir(&root)?;
    let file = program.file_name().context("a program has a name")?;
    fs::copy(program, root.join(file)).context("copy the program")?;
    for library in libraries(program)? {
        let there = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(there.parent().context("a library has a folder")?)?;
        fs::copy(&library, there).with_context(|| format!("copy {library}"))?;
    }
    let layer = folder.path().join("layer.tar");
    tar(&root, &layer, &["."])?;
    let layer_digest = HEXLOWER.encode(digest(&SHA256, &fs::read(&layer)?).as_ref());
    let configuration = json!({
        "architecture": architecture(), "os": "linux",
        "config": {
            "Entrypoint": [format!("/{}", file.to_string_lossy())], "Cmd": command.map(|word| [word]), "User": "65532:65532",
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
    });
    fs::write(folder.path().join("config.json"), configuration.to_string())?;
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    fs::write(folder.path().join("manifest.json"), manifest.to_string())?;
    tar(folder.path(), archive, &["manifest.json", "config.json", "layer.tar"])
}

/// The files that a program is loaded with, by what the loader says: `libc.so.6 => /lib/.../libc.so.6 (0x...)`.
fn libraries(program: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new("ldd").arg(program).output().context("run ldd")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let paths = said.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(str::to_owned).collect())
}

fn tar(folder: &Path, archive: &Path, files: &[&str]) -> anyhow::Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--owner=0", "--group=0", "--numeric-owner", "--file"]);
    run(tar.arg(archive).arg("--directory").arg(folder).args(files))
}
