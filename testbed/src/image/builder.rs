//! buildah or podman: they build an image as an ordinary process, without an engine.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};

use super::{Version, folder};
use crate::binaries::repository;

const TAG: &str = "localhost/appkeys:build";

/// What builds images here.
#[derive(Debug)]
pub(super) struct Builder {
    name: &'static str,
}

impl Builder {
    /// The first that is there.
    pub(super) fn found() -> anyhow::Result<Self> {
        let there = |name: &&str| Command::new(name).arg("--version").output().is_ok();
        match ["buildah", "podman"].into_iter().find(there) {
            Some(name) => Ok(Self { name }),
            None => bail!(
                "buildah is missing, and podman too: install one of them (Debian: apt-get install buildah), or let docker have the program: \
                 docker build --file Dockerfile --tag appkeys {}",
                folder().join(super::architecture()).display()
            ),
        }
    }

    /// Its name and version.
    pub(super) fn describe(&self) -> anyhow::Result<String> {
        let output = Command::new(self.name)
            .arg("--version")
            .output()
            .context("ask for a version")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Builds the image of the program in `context` from the Dockerfile, as an archive.
    pub(super) fn build(&self, context: &Path, version: &Version, archive: &Path) -> anyhow::Result<()> {
        let Version { epoch, revision } = version;
        let mut build = self.command();
        build
            .args([
                "build",
                "--quiet",
                "--isolation=chroot",
                "--no-cache",
                "--layers=false",
                "--format=oci",
                // Who owned the program's file would be in the history, and what built the image in a label.
                "--omit-history",
                "--identity-label=false",
            ])
            .arg(format!("--timestamp={epoch}"))
            .arg(format!("--build-arg=VERSION={}", env!("CARGO_PKG_VERSION")))
            .arg(format!("--build-arg=REVISION={revision}"))
            .arg("--file")
            .arg(repository().join("Dockerfile"))
            .args(["--tag", TAG]);
        // Where the sources are in public: what shows an image links to them.
        if let Ok(source) = std::env::var("IMAGE_SOURCE") {
            build.arg(format!("--label=org.opencontainers.image.source={source}"));
        }
        build.arg(context);
        run(build)?;
        // An archive that is there would get a second image.
        if archive.exists() {
            std::fs::remove_file(archive).with_context(|| format!("remove {}", archive.display()))?;
        }
        let mut push = self.command();
        let to = format!("oci-archive:{}:{}", archive.display(), env!("CARGO_PKG_VERSION"));
        push.args(["push", "--quiet", TAG, &to]);
        run(push)?;
        let mut remove = self.command();
        remove.args(["rmi", TAG]);
        run(remove)
    }

    /// With images of its own: those of whoever builds are left alone.
    fn command(&self) -> Command {
        let store = folder().join("store");
        let mut command = Command::new(self.name);
        command
            .args(["--storage-driver", "vfs", "--root"])
            .arg(store.join("root"))
            .arg("--runroot")
            .arg(store.join("run"));
        command
    }
}

fn run(mut command: Command) -> anyhow::Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .context("run the image's builder")?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
