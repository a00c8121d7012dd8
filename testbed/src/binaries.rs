//! The Kubernetes binaries: those of `KUBEBUILDER_ASSETS`, else built once from Go modules into the cache folder.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, bail};

/// The version that is built.
pub const VERSION: &str = "v1.36.3";

const COMMANDS: [(&str, &str); 4] = [
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    (
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
];

const NODE_COMMANDS: [(&str, &str); 3] = [
    ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
    ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
];

/// Where things that can be made again are kept: `APPKEYS_CACHE`, else `.cache` of the repository.
pub fn cache() -> PathBuf {
    std::env::var_os("APPKEYS_CACHE").map_or_else(|| repository().join(".cache"), PathBuf::from)
}

/// The repository that this test bed belongs to.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// The folder with `etcd`, `kube-apiserver`, `kube-controller-manager` and `kubectl`; builds what is missing.
///
/// # Errors
/// Go is missing or a build fails.
pub fn kubernetes() -> anyhow::Result<PathBuf> {
    with(&COMMANDS)
}

/// The folder that has the commands of a node, too: `kubelet`, `kube-proxy` and `kube-scheduler`.
///
/// # Errors
/// As [`kubernetes`].
pub fn kubernetes_with_node() -> anyhow::Result<PathBuf> {
    with(&[&COMMANDS[..], &NODE_COMMANDS].concat())
}

fn with(commands: &[(&str, &str)]) -> anyhow::Result<PathBuf> {
    if let Some(assets) = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from)
        && commands.iter().all(|(name, _)| assets.join(name).exists())
    {
        return Ok(assets);
    }
    let folder = cache().join("kubernetes").join(VERSION);
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    // Of two processes that need the binaries one builds and the other waits.
    let lock = File::create(folder.join(".lock")).context("make the build lock")?;
    lock.lock().context("wait for the build lock")?;
    for (name, package) in commands {
        if !folder.join(name).exists() {
            build(&folder, name, package)?;
        }
    }
    Ok(folder)
}

fn build(folder: &Path, name: &str, package: &str) -> anyhow::Result<()> {
    // Without its version the API server says v0.0.0, and clients balk.
    let flags = format!("-s -w -X k8s.io/component-base/version.gitVersion={VERSION}");
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("kubernetes");
    eprintln!("test bed: the API server takes 3 to 5 minutes on two cores, the others less");
    go_build(&module, package, &["-ldflags", &flags], &folder.join(name))
        .with_context(|| format!("build {name} {VERSION}, or set KUBEBUILDER_ASSETS to a folder with the binaries"))
}

/// A command that a Go module of the test bed pins, in the cache folder; builds it where it is missing.
pub(crate) fn go_command(name: &str, version: &str, package: &str, flags: &[&str]) -> anyhow::Result<PathBuf> {
    let folder = cache().join(name).join(version);
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    // Of two processes that need it one builds and the other waits.
    let lock = File::create(folder.join(".lock")).context("make the build lock")?;
    lock.lock().context("wait for the build lock")?;
    let binary = folder.join(name);
    if !binary.exists() {
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        go_build(&module, package, flags, &binary)?;
    }
    Ok(binary)
}

/// Builds a command that a Go module of the test bed pins.
fn go_build(module: &Path, package: &str, flags: &[&str], to: &Path) -> anyhow::Result<()> {
    eprintln!("test bed: building {package} from Go modules");
    let start = Instant::now();
    let made = to.with_added_extension("new");
    let status = Command::new("go")
        .arg("build")
        .args(flags)
        .arg("-o")
        .arg(&made)
        .arg(package)
        .current_dir(module)
        .stdin(Stdio::null())
        .status()
        .context("run go: install Go 1.26 or newer")?;
    if !status.success() {
        bail!("go build {package} failed");
    }
    fs::rename(&made, to).with_context(|| format!("make {}", to.display()))?;
    eprintln!("test bed: built {package} in {} s", start.elapsed().as_secs());
    Ok(())
}
