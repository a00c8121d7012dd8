//! The operator's image, built without a container engine and looked at before anybody has it: `make image`.
//!
//! All of it is made twice from the same program, and must be the same to the byte.

mod program; // the static program
mod builder; // buildah or podman
mod layout; // what is in an image
mod sbom; // what is in the program
mod alone; // the program in a root with nothing else in it

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use self::{builder::Builder, layout::Image};
use crate::binaries::repository;

pub use self::alone::run_alone;

/// User and group in the image; the chart's Pods have the same.
const USER: &str = "65532:65532";
/// Bytes that the program may have.
const LARGEST_PROGRAM: u64 = 20_000_000;
/// Bytes that the image may have.
const LARGEST_IMAGE: u64 = 30_000_000;

/// Where images are put.
fn folder() -> PathBuf {
    target().join("image")
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), |folder| repository().join(folder))
}

/// What an image of this processor is called.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What a build is dated and named by, none of which is of this machine.
#[derive(Debug)]
struct Version {
    /// Seconds since 1970: `SOURCE_DATE_EPOCH`, else when the commit was made.
    epoch: String,
    /// The commit.
    revision: String,
}

impl Version {
    fn of_the_repository() -> anyhow::Result<Self> {
        let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(epoch) => epoch,
            Err(_) => said("git", &["log", "-1", "--format=%ct"])?,
        };
        Ok(Self {
            epoch,
            revision: said("git", &["rev-parse", "HEAD"])?,
        })
    }
}

/// Builds the program, the image and the list of what is in it, and says what they are.
///
/// # Errors
/// Something cannot be built, or the image is not what it should be.
pub fn build() -> anyhow::Result<()> {
    let builder = Builder::found();
    let version = Version::of_the_repository()?;
    println!("== a static program for {}", program::triple());
    let program = program::build()?;
    let context = folder().join(architecture());
    program::put(&program, &context)?;
    let size = fs::metadata(&program).context("look at the program")?.len();
    println!(
        "{} ({}, limit {})",
        program.display(),
        megabytes(size),
        megabytes(LARGEST_PROGRAM)
    );
    ensure!(size <= LARGEST_PROGRAM, "the program is too large");

    println!("== what is in it");
    let list = folder().join(format!("appkeys-{}.cdx.json", architecture()));
    let components = sbom::write(&version.epoch, &list)?;
    println!("{} (CycloneDX, {components} components)", list.display());

    let builder = builder?;
    println!("== the image, twice, with {}", builder.describe()?);
    let archive = folder().join(format!("appkeys-{}.tar", architecture()));
    let image = builder
        .build(&context, &version, &archive)
        .and_then(|()| Image::read(&archive))?;
    let second = second(&builder, &program, &version)?;
    ensure!(
        image.digest == second,
        "the image is not reproducible: {} and {second}",
        image.digest
    );
    image.check(&fs::read(&program).context("read the program")?)?;
    let size = fs::metadata(&archive).context("look at the image")?.len();
    ensure!(
        size <= LARGEST_IMAGE,
        "the image has {}, more than {}",
        megabytes(size),
        megabytes(LARGEST_IMAGE)
    );
    println!(
        "{} (OCI archive, {}, limit {})",
        archive.display(),
        megabytes(size),
        megabytes(LARGEST_IMAGE)
    );
    // What a release signs.
    let digest = folder().join(format!("appkeys-{}.digest", architecture()));
    fs::write(&digest, format!("{}\n", image.digest)).context("write the digest")?;
    println!("digest {} both times", image.digest);
    println!("user {USER}, one file, no shell");
    Ok(())
}

/// The digest of the image when somebody else builds it, at another time.
fn second(builder: &Builder, program: &Path, version: &Version) -> anyhow::Result<String> {
    let (context, archive) = (folder().join("again"), folder().join("again.tar"));
    program::put(program, &context)?;
    // Only root can give a file away; others have to be content with the time.
    let _given = chown(context.join("appkeys"), Some(65532), Some(65532));
    let image = builder
        .build(&context, version, &archive)
        .and_then(|()| Image::read(&archive))?;
    fs::remove_file(&archive).context("remove the second image")?;
    fs::remove_dir_all(&context).context("remove the second program")?;
    Ok(image.digest)
}

/// What a command prints, run in the repository's folder.
fn said(command: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(command)
        .args(arguments)
        .current_dir(repository())
        .output()
        .with_context(|| format!("run {command}"))?;
    ensure!(
        output.status.success(),
        "{command} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
