//! The operator as one static program that holds no path of the machine that built it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use super::{said, target};
use crate::binaries::repository;

/// Of the C library of this machine, whose resolver is in the program too.
pub(super) fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Builds it, and looks whether it is what it should be.
pub(super) fn build() -> anyhow::Result<PathBuf> {
    // With all sources there, their folders are known.
    cargo(&["fetch", "--locked", "--target", &triple()], &[])?;
    let places = places()?;
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    flags.extend(
        places
            .iter()
            .map(|(place, name)| format!("--remap-path-prefix={place}={name}")),
    );
    // The same for the C of the TLS library, which names its files in errors.
    let c = places
        .iter()
        .map(|(place, name)| format!("-ffile-prefix-map={place}={name}"));
    let c = c.collect::<Vec<_>>().join(" ");
    // With --target these are for the program alone: what runs during the build stays as it is.
    let build = [
        "build",
        "--locked",
        "--release",
        "--package",
        "appkeys",
        "--bin",
        "appkeys",
        "--target",
        &triple(),
    ];
    let variables = [
        ("CARGO_ENCODED_RUSTFLAGS".to_owned(), flags.join("\x1f")),
        (format!("CFLAGS_{}", triple().replace('-', "_")), c),
    ];
    cargo(&build, &variables)?;
    let program = target().join(triple()).join("release/appkeys");
    let bytes = fs::read(&program).with_context(|| format!("read {}", program.display()))?;
    ensure!(!has_interpreter(&bytes), "the program is not static");
    let version = said(&program.to_string_lossy(), &["--version"])?;
    ensure!(version.starts_with("appkeys "), "the program says {version}");
    for (place, _) in &places {
        let found = bytes.windows(place.len()).any(|part| part == place.as_bytes());
        ensure!(!found, "the program names {place}: it would differ elsewhere");
    }
    Ok(program)
}

/// Puts it into a folder that holds nothing else.
pub(super) fn put(program: &Path, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let there = folder.join("appkeys");
    fs::copy(program, &there).context("copy the program")?;
    // Whatever the umask of whoever builds it.
    fs::set_permissions(&there, fs::Permissions::from_mode(0o755)).context("make the program executable")
}

/// Folders of this machine that would be in the program, with the names that stand in for them. The last that fits is taken.
fn places() -> anyhow::Result<Vec<(String, String)>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let home = home.context("no CARGO_HOME and no HOME")?;
    let (sysroot, about) = (said("rustc", &["--print", "sysroot"])?, said("rustc", &["-vV"])?);
    let commit = about.lines().find_map(|line| line.strip_prefix("commit-hash: "));
    // Where the library's sources are installed they are found there, else under this name.
    let library = format!("/rustc/{}", commit.context("rustc without a commit")?);
    let mut places = vec![
        (repository(), "/appkeys".to_owned()),
        (target(), "/target".to_owned()),
        (Path::new(&sysroot).join("lib/rustlib/src/rust"), library),
        (home.clone(), "/cargo".to_owned()),
    ];
    // The name of this folder tells which registry, or which mirror of it, was asked.
    for registry in fs::read_dir(home.join("registry/src")).context("find Cargo's sources")? {
        places.push((registry.context("find Cargo's sources")?.path(), "/crates".to_owned()));
    }
    Ok(places
        .into_iter()
        .map(|(place, name)| (place.to_string_lossy().into_owned(), name))
        .collect())
}

fn cargo(arguments: &[&str], variables: &[(String, String)]) -> anyhow::Result<()> {
    let status = Command::new("cargo")
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .current_dir(repository())
        .stdin(Stdio::null())
        .status()
        .context("run cargo")?;
    ensure!(status.success(), "cargo {} failed", arguments.join(" "));
    Ok(())
}

/// Whether an ELF file of 64 bits asks for a dynamic loader (a program header PT_INTERP).
fn has_interpreter(elf: &[u8]) -> bool {
    const INTERPRETER: u64 = 3;
    let number = |at: usize, bytes: usize| {
        let digits = elf.get(at..at + bytes).unwrap_or_default().iter().rev();
        digits.fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let at = |number: u64| usize::try_from(number).unwrap_or_default();
    let (headers, size, count) = (at(number(32, 8)), at(number(54, 2)), at(number(56, 2)));
    (0..count).any(|header| number(headers + header * size, 4) == INTERPRETER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_needs_a_loader_is_seen() {
        let this = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(has_interpreter(&this), "tests are built as anything is");
        assert!(!has_interpreter(b"\x7fELF"));
    }
}
