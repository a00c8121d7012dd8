//! Keycloak's distribution, built once; its classes in an archive; and a database in which the realms of tests are made.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, ensure};
use reqwest::Method;

use super::{Admin, Options, Place, admin, realms};
use crate::{
    key_managers::{
        install::{announced, folder, from_maven, run, stamp},
        versions::{KEYCLOAK, KEYCLOAK_SHA256},
    },
    process::End,
};

/// Runs with Java 17 as well as with newer ones.
const JAVA: u32 = 17;
const JAVA_MEND: &str = "install Java 17 or newer (Debian's package is openjdk-17-jre-headless), or set JAVA_HOME";
/// What is fixed when it is built.
const BUILD: [&str; 4] = [
    "--db=dev-file",
    "--health-enabled=true",
    "--features=client-secret-rotation",
    "--metrics-enabled=false",
];

/// What is needed to start a Keycloak in seconds.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The distribution, unpacked and built.
    pub distribution: PathBuf,
    /// An archive of its classes, for the Java virtual machine that is installed.
    pub classes: PathBuf,
    /// A database with the realms of tests.
    pub database: PathBuf,
}

/// Keycloak in the cache folder; downloads, builds and makes what is missing.
///
/// # Errors
/// Java or curl is missing, the download is not what was pinned, or a step fails.
pub async fn installed() -> anyhow::Result<Installed> {
    let prepared = tokio::task::spawn_blocking(|| {
        let version = java_version()?;
        let (folder, lock) = folder("keycloak", KEYCLOAK)?;
        let distribution = distribution(&folder)?;
        anyhow::Ok((version, folder, distribution, lock))
    });
    let (version, folder, distribution, _lock) = prepared.await.context("install Keycloak")??;
    let content = format!(
        "{:?} {:?} {BUILD:?} {} {}",
        realms::all(),
        realms::SCOPES,
        admin::ID,
        admin::SECRET
    );
    let path = distribution.to_string_lossy().into_owned();
    let installed = Installed {
        distribution,
        // An archive is for one virtual machine and one class path.
        classes: folder.join(format!("classes-{}.jsa", stamp(&[&version, &path]))),
        database: folder.join(format!("realms-{}.mv.db", stamp(&[&content]))),
    };
    if !(installed.classes.exists() && installed.database.exists()) {
        eprintln!("test bed: making Keycloak's class archive and realms (about half a minute on two cores)");
        let start = Instant::now();
        make(&installed).await.context("make Keycloak's first database")?;
        eprintln!("test bed: made Keycloak's realms in {} s", start.elapsed().as_secs());
    }
    Ok(installed)
}

/// The distribution, built.
fn distribution(folder: &Path) -> anyhow::Result<PathBuf> {
    let distribution = folder.join(format!("keycloak-{KEYCLOAK}"));
    let mark = distribution.join("built-for-the-test-bed");
    if mark.exists() {
        return Ok(distribution);
    }
    let archive = folder.join(".download.tar.gz");
    announced("downloading Keycloak (176 MB)", || {
        let artifact = "keycloak-quarkus-dist";
        let path = format!("org/keycloak/{artifact}/{KEYCLOAK}/{artifact}-{KEYCLOAK}.tar.gz");
        from_maven(&path, KEYCLOAK_SHA256, &archive)
    })?;
    if distribution.exists() {
        fs::remove_dir_all(&distribution).context("remove what was unpacked by halves")?;
    }
    announced("building Keycloak (about half a minute on two cores)", || {
        let mut tar = Command::new("tar");
        tar.arg("xzf").arg(&archive).arg("-C").arg(folder);
        run(&mut tar, "install tar and gzip")?;
        let mut build = Command::new(distribution.join("bin/kc.sh"));
        without_settings(&mut build);
        run(build.arg("build").args(BUILD), JAVA_MEND)
    })?;
    fs::remove_file(&archive).context("remove the download")?;
    fs::write(&mark, "").context("note that Keycloak is built")?;
    Ok(distribution)
}

/// Starts it on an empty database, makes the realms, and keeps the database and the classes that were loaded.
async fn make(installed: &Installed) -> anyhow::Result<()> {
    let mut bare = installed.clone();
    // It starts without an archive, and writes one when it ends.
    bare.classes = PathBuf::new();
    let place = Place::make(bare, Options::default())?;
    let fresh = installed.classes.with_extension("new");
    let mut server = place.launch(&[
        &format!("-XX:ArchiveClassesAtExit={}", fresh.display()),
        "-Xlog:cds=off",
    ])?;
    place.ready(&mut server).await?;
    let rights = Admin::new(place.https_url(), &place.ca)?;
    for realm in realms::all() {
        rights.done(Method::POST, "", Some(&realm)).await?;
        let name = realm["realm"].as_str().context("a realm without a name")?;
        for scope in realms::SCOPES {
            let path = format!("/{name}/client-scopes");
            rights.done(Method::POST, &path, Some(&realms::scope(scope))).await?;
        }
        // Classes that the first token loads.
        rights
            .grant(name, realms::OPERATOR, realms::OPERATOR_SECRET, None)
            .await?;
    }
    server.end(End::Orderly).await?;
    ensure!(fresh.exists(), "no class archive was written: {}", server.last_lines());
    fs::rename(&fresh, &installed.classes).context("keep the class archive")?;
    let database = installed.database.with_extension("new");
    fs::copy(place.database(), &database).context("keep the database")?;
    fs::rename(&database, &installed.database).context("keep the database")
}

/// The Java that runs it.
pub(super) fn java() -> PathBuf {
    std::env::var_os("JAVA_HOME").map_or_else(|| "java".into(), |home| Path::new(&home).join("bin/java"))
}

/// What Java says its version is.
fn java_version() -> anyhow::Result<String> {
    let said = run(Command::new(java()).arg("-version"), JAVA_MEND)?;
    // Not the lines that name a person's own options.
    let own = |line: &&str| !line.contains("Picked up");
    let said = said.lines().filter(own).collect::<Vec<_>>().join("\n");
    let number = said.split('"').nth(1).unwrap_or_default();
    let major = number.split(['.', '-', '+']).next().and_then(|text| text.parse().ok());
    let enough = major.is_some_and(|major: u32| major >= JAVA);
    ensure!(enough, "Java {number} is too old for Keycloak: {JAVA_MEND}");
    Ok(said)
}

/// Keeps a person's settings of another Keycloak from this one.
pub(super) fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("KC_") || text.starts_with("JAVA_OPTS") {
            command.env_remove(&name);
        }
    }
}
