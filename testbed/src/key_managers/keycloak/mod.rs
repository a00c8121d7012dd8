//! A real Keycloak with realms for tests. Changes go to `Keycloak::admin`, which shares no code with the product.

mod admin;
mod install;
mod realms;

pub use admin::Admin;
pub use install::{Installed, installed};
pub use realms::{BED, LIMITED, OPERATOR, OPERATOR_SECRET, ROTATING, Rotation, SCOPES, VIEWING};

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;
use tempfile::TempDir;

use super::{certificate, http};
use crate::process::{End, Server, steady_ports};

const START_LIMIT: Duration = Duration::from_mins(2);

/// The memory and compiler settings with which it starts fastest.
const JVM: [&str; 17] = [
    "-Xms256m",
    "-Xmx512m",
    "-XX:MetaspaceSize=128M",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Dfile.encoding=UTF-8",
    "-Djava.security.egd=file:/dev/urandom",
    "-Duser.language=en",
    "-Duser.country=US",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.security=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--enable-native-access=ALL-UNNAMED",
    "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
];

/// How it is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Further arguments of `kc.sh start`, such as `--spi-client--jpa--searchable-attributes=NAME`.
    pub arguments: Vec<String>,
}

/// A running Keycloak. It ends, and its data goes, when it is dropped.
#[derive(Debug)]
pub struct Keycloak {
    // Ends before its folder goes.
    server: Server,
    place: Place,
    admin: Admin,
}

impl Keycloak {
    /// Starts one with the realms of tests, and waits until it is ready.
    ///
    /// # Errors
    /// It cannot be installed, or does not come up; the text has its last lines.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let installed = installed().await?;
        let mut tries = 0;
        loop {
            // A port that was free may be taken by somebody else before the server has it.
            tries += 1;
            match Self::try_start(&installed, &options).await {
                Err(error) if tries < 3 => eprintln!("test bed: Keycloak did not start, trying again: {error:#}"),
                result => return result,
            }
        }
    }

    async fn try_start(installed: &Installed, options: &Options) -> anyhow::Result<Self> {
        let place = Place::make(installed.clone(), options.clone())?;
        place.fill()?;
        let mut server = place.launch(&[])?;
        place.ready(&mut server).await?;
        let admin = Admin::new(place.https_url(), &place.ca)?;
        Ok(Self { server, place, admin })
    }

    /// Where it serves HTTPS, with a certificate of `ca`.
    pub fn https_url(&self) -> String {
        self.place.https_url()
    }

    /// Where it serves plain HTTP. It is another issuer there: a token of one is nothing to the other.
    pub fn http_url(&self) -> String {
        self.place.http_url()
    }

    /// The CA of its certificate, in PEM.
    pub fn ca(&self) -> &str {
        &self.place.ca
    }

    /// A client with all rights in all realms.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Ends it. Its data stays for `start_again`.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(&mut self, how: End) -> anyhow::Result<()> {
        self.server.end(how).await
    }

    /// Starts it on the same ports, with the data that it had, and waits until it is ready.
    ///
    /// # Errors
    /// It does not come up; the text has its last lines.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.stop(End::Crash).await?;
        self.server = self.place.launch(&[])?;
        self.place.ready(&mut self.server).await
    }

    /// Ends it and starts it again with the data that it had.
    ///
    /// # Errors
    /// It does not end, or does not come up.
    pub async fn restart(&mut self, how: End) -> anyhow::Result<()> {
        self.stop(how).await?;
        self.start_again().await
    }

    /// Ends it and starts it again as it was in the beginning: all that was made since is gone.
    ///
    /// # Errors
    /// It does not end, or does not come up.
    pub async fn restart_empty(&mut self) -> anyhow::Result<()> {
        self.stop(End::Crash).await?;
        self.place.fill()?;
        self.start_again().await
    }

    /// Stops it from running: it takes connections and does not answer.
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.server.signal("STOP")
    }

    /// Lets it go on after `pause`.
    ///
    /// # Errors
    /// It does not run.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.server.signal("CONT")
    }

    /// The process id of its virtual machine.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// What it has printed since it was started last.
    pub fn output(&self) -> String {
        self.server.output()
    }
}

/// Where a Keycloak lives: its ports, its certificate, and a home of its own that borrows the distribution.
#[derive(Debug)]
struct Place {
    http: u16,
    https: u16,
    management: u16,
    ca: String,
    installed: Installed,
    options: Options,
    folder: TempDir,
}

impl Place {
    fn make(installed: Installed, options: Options) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("appkeys-keycloak-")
            .tempdir()
            .context("make a folder")?;
        for part in ["lib", "conf", "providers", "themes"] {
            std::os::unix::fs::symlink(installed.distribution.join(part), folder.path().join(part))
                .with_context(|| format!("borrow {part} of the distribution"))?;
        }
        fs::create_dir(folder.path().join("tmp")).context("make a folder")?;
        let ca = certificate::make(folder.path())?;
        let [http, https, management] = steady_ports()?;
        Ok(Self {
            http,
            https,
            management,
            ca,
            installed,
            options,
            folder,
        })
    }

    fn https_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.https)
    }

    fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("data/h2/keycloakdb.mv.db")
    }

    /// Makes the data what it was when the realms had just been made.
    fn fill(&self) -> anyhow::Result<()> {
        let data = self.folder.path().join("data");
        if data.exists() {
            fs::remove_dir_all(&data).context("remove Keycloak's data")?;
        }
        let database = self.database();
        fs::create_dir_all(database.parent().unwrap_or(&data)).context("make Keycloak's data folder")?;
        fs::copy(&self.installed.database, &database).context("copy Keycloak's first database")?;
        Ok(())
    }

    /// Starts the server. Java itself and not `kc.sh`, whose shell would be what is paused and killed.
    fn launch(&self, more: &[&str]) -> anyhow::Result<Server> {
        let home = self.folder.path();
        let property = |name: &str, path: &Path| format!("-D{name}={}", path.display());
        let mut java = Command::new(install::java());
        install::without_settings(&mut java);
        java.args(JVM);
        if self.installed.classes.exists() {
            let classes = self.installed.classes.display();
            java.arg(format!("-XX:SharedArchiveFile={classes}"));
        }
        java.args(more)
            .arg(property("java.io.tmpdir", &home.join("tmp")))
            .arg(property("kc.home.dir", home))
            .arg(property("jboss.server.config.dir", &home.join("conf")))
            .arg("-Djava.util.logging.manager=org.jboss.logmanager.LogManager")
            .arg("-Dpicocli.disable.closures=true")
            .arg("-cp")
            // Not by way of the home: the class archive knows this path.
            .arg(self.installed.distribution.join("lib/quarkus-run.jar"))
            .args(["io.quarkus.bootstrap.runner.QuarkusEntryPoint", "start", "--optimized"])
            .args(["--hostname-strict=false", "--cache=local"])
            // What was answered is on the disk: H2 would write it half a second later, and a crash would lose it.
            .arg("--db-url-properties=;NON_KEYWORDS=VALUE;WRITE_DELAY=0")
            .arg("--log-level=INFO,io.smallrye.health:ERROR")
            .args(["--http-enabled=true", "--http-host=127.0.0.1"])
            .arg(format!("--http-port={}", self.http))
            .arg(format!("--https-port={}", self.https))
            .arg(format!(
                "--https-certificate-file={}",
                home.join(certificate::CERTIFICATE).display()
            ))
            .arg(format!(
                "--https-certificate-key-file={}",
                home.join(certificate::KEY).display()
            ))
            .args(["--http-management-scheme=http", "--http-management-host=127.0.0.1"])
            .arg(format!("--http-management-port={}", self.management))
            .args(&self.options.arguments)
            // Taken when the database is empty.
            .env("KC_BOOTSTRAP_ADMIN_CLIENT_ID", admin::ID)
            .env("KC_BOOTSTRAP_ADMIN_CLIENT_SECRET", admin::SECRET);
        Server::start(java, home, "keycloak")
    }

    /// Waits until it is ready, and not only until it listens: that is seconds earlier.
    async fn ready(&self, server: &mut Server) -> anyhow::Result<()> {
        let health = format!("http://127.0.0.1:{}/health/ready", self.management);
        http::ready("Keycloak", server, &http::client(None)?, &health, START_LIMIT).await
    }
}
