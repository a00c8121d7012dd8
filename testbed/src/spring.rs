//! How Spring Boot reads what a workload mounts: its own classes and those of Spring Cloud Bindings, from Maven Central.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::key_managers::{
    install::{announced, folder, from_maven, run, stamp},
    versions::SPRING,
};

const PROGRAM: &str = include_str!("../spring/Loader.java");
const MEND: &str = "install a JDK of Java 17 or newer (Debian's package is openjdk-17-jdk-headless), or set JAVA_HOME";

/// What a workload is given.
#[derive(Clone, Copy, Debug)]
pub enum Mounted<'a> {
    /// A file of properties.
    Properties(&'a Path),
    /// A folder in which each folder is a service binding (`SERVICE_BINDING_ROOT`).
    Bindings(&'a Path),
}

/// The one OAuth 2.0 client that Spring Boot makes of it, property by property. Blocks.
///
/// # Errors
/// The JDK is missing, or Spring refuses what is mounted.
pub fn client(mounted: Mounted<'_>) -> anyhow::Result<BTreeMap<String, String>> {
    let folder = installed()?;
    let path = class_path(&folder);
    let mut java = Command::new(java("java"));
    java.args(["-XX:TieredStopAtLevel=1", "-cp", &path, "Loader"]);
    match mounted {
        Mounted::Properties(file) => java.arg(file).env_remove("SERVICE_BINDING_ROOT"),
        Mounted::Bindings(folder) => java.env("SERVICE_BINDING_ROOT", folder),
    };
    let said = run(&mut java, MEND)?;
    let pairs = said.lines().filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// The folder with Spring's jars and the program that asks them; installs what is missing. Blocks.
///
/// # Errors
/// The JDK or curl is missing, or a download is not what was pinned.
pub fn installed() -> anyhow::Result<PathBuf> {
    let pinned: Vec<_> = SPRING
        .iter()
        .flat_map(|(path, sum)| [*path, *sum])
        .chain([PROGRAM])
        .collect();
    let (folder, _lock) = folder("spring", &stamp(&pinned))?;
    let mark = folder.join("installed");
    if mark.exists() {
        return Ok(folder);
    }
    announced("downloading Spring's jars (11 MB)", || {
        SPRING
            .iter()
            .try_for_each(|(path, sum)| from_maven(path, sum, &folder.join(file(path))))
    })?;
    let program = folder.join("Loader.java");
    fs::write(&program, PROGRAM).context("write the program that loads")?;
    let mut javac = Command::new(java("javac"));
    javac
        .args(["-cp", &class_path(&folder), "-d"])
        .arg(folder.join("classes"))
        .arg(&program);
    run(&mut javac, MEND)?;
    fs::write(&mark, "").context("note that Spring is installed")?;
    Ok(folder)
}

/// The program's own folder and the jars.
fn class_path(folder: &Path) -> String {
    let jars = SPRING.iter().map(|(path, _)| folder.join(file(path)));
    let all: Vec<_> = std::iter::once(folder.join("classes"))
        .chain(jars)
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    all.join(":")
}

fn file(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A tool of the JDK.
fn java(tool: &str) -> PathBuf {
    std::env::var_os("JAVA_HOME").map_or_else(|| tool.into(), |home| Path::new(&home).join("bin").join(tool))
}
