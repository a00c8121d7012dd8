//! A real server of RFC 7591 and RFC 7592 that is easy about both: PyPI's `canaille`, with Python. Everybody may register.
//!
//! It merges updates, answers nulls, says 400 for what is gone, and drops scopes. It keeps everything in memory, and has no
//! way to count its clients from outside.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::{
    http,
    install::{announced, folder, run},
    versions,
};
use crate::process::{End, Server, steady_ports};

const START_LIMIT: Duration = Duration::from_mins(1);
const PYTHON_MEND: &str = "install Python 3.11 or newer";
const VENV_MEND: &str = "install Python 3.11 or newer with its module venv (Debian's package is python3-venv)";

/// Serves the application in one process: `canaille run` has workers, which a killed parent would leave behind.
const PROGRAM: &str = "\
import asyncio, sys
from canaille.hypercorn.app import create_app
from hypercorn.asyncio import serve
from hypercorn.config import Config
config = Config()
config.bind = [sys.argv[1]]
asyncio.run(serve(create_app(), config))
";

/// Scopes that a client can register: those of OpenID Connect, and no others.
pub const SCOPES: [&str; 2] = ["profile", "email"];

/// A running server. It ends, and its clients go, when it is dropped.
#[derive(Debug)]
pub struct Canaille {
    // Ends before its folder goes.
    server: Server,
    python: PathBuf,
    address: String,
    issuer: String,
    folder: TempDir,
}

impl Canaille {
    /// Starts one without clients, and waits until it is ready.
    ///
    /// # Errors
    /// It cannot be installed, or does not come up; the text has its last lines.
    pub async fn start() -> anyhow::Result<Self> {
        let installed = tokio::task::spawn_blocking(installed);
        let python = installed.await.context("install Canaille")??.join("bin/python");
        let mut tries = 0;
        loop {
            // A port that was free may be taken by somebody else before the server has it.
            tries += 1;
            match Self::try_start(&python).await {
                Err(error) if tries < 3 => eprintln!("test bed: Canaille did not start, trying again: {error:#}"),
                result => return result,
            }
        }
    }

    async fn try_start(python: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("appkeys-canaille-")
            .tempdir()
            .context("make a folder")?;
        let [port] = steady_ports()?;
        let address = format!("127.0.0.1:{port}");
        let settings = format!(
            "SECRET_KEY = \"{}\"\nDATABASE = \"memory\"\nTASK_BROKER = \"memory\"\nSERVER_NAME = \"{address}\"\n\
             PREFERRED_URL_SCHEME = \"http\"\n[CANAILLE]\n[CANAILLE_OIDC]\nDYNAMIC_CLIENT_REGISTRATION_OPEN = true\n",
            uuid::Uuid::new_v4().simple()
        );
        fs::write(folder.path().join("canaille.toml"), settings).context("write canaille.toml")?;
        let mut this = Self {
            server: launch(python, folder.path(), &address)?,
            python: python.to_owned(),
            issuer: format!("http://{address}"),
            address,
            folder,
        };
        this.ready().await?;
        Ok(this)
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let url = format!("{}/.well-known/oauth-authorization-server", self.issuer);
        http::ready("Canaille", &mut self.server, &http::client(None)?, &url, START_LIMIT).await
    }

    /// Its issuer identifier, from which everything else can be discovered. Plain HTTP.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Ends it. Its clients go.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(&mut self, how: End) -> anyhow::Result<()> {
        self.server.end(how).await
    }

    /// Ends it and starts it again on the same port, without clients.
    ///
    /// # Errors
    /// It does not end, or does not come up; the text has its last lines.
    pub async fn restart_empty(&mut self) -> anyhow::Result<()> {
        self.stop(End::Crash).await?;
        self.server = launch(&self.python, self.folder.path(), &self.address)?;
        self.ready().await
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

    /// What it has printed since it was started last.
    pub fn output(&self) -> String {
        self.server.output()
    }
}

fn launch(python: &Path, folder: &Path, address: &str) -> anyhow::Result<Server> {
    let mut command = Command::new(python);
    command
        .args(["-c", PROGRAM, address])
        .current_dir(folder)
        .env("CONFIG", folder.join("canaille.toml"))
        .env("AUTHLIB_INSECURE_TRANSPORT", "1");
    Server::start(command, folder, "canaille")
}

/// The virtual environment with Canaille and what it needs; installs what is missing or has changed. Blocks.
///
/// # Errors
/// Python or its module venv is missing, or pip fails.
pub fn installed() -> anyhow::Result<PathBuf> {
    let version = versions::canaille()?;
    let (folder, _lock) = folder("canaille", version)?;
    let (venv, requirements) = (folder.join("venv"), folder.join("requirements.txt"));
    // Copied when all was installed.
    let mark = folder.join("requirements.txt.installed");
    let done = fs::read_to_string(&mark).is_ok_and(|text| text == versions::PIP);
    // An environment whose Python has gone is of no use.
    if done && venv.join("bin/python").exists() {
        return Ok(venv);
    }
    fs::write(&requirements, versions::PIP).context("write requirements.txt")?;
    announced(&format!("pip install for Canaille {version} (91 MB)"), || {
        run(
            Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv),
            VENV_MEND,
        )?;
        let pip = venv.join("bin/pip");
        ensure!(pip.exists(), "the virtual environment has no pip: {VENV_MEND}");
        let mut install = Command::new(pip);
        install.args(["install", "--quiet", "--disable-pip-version-check", "-r"]);
        run(install.arg(&requirements), PYTHON_MEND)
    })?;
    fs::write(&mark, versions::PIP).context("note that Canaille is installed")?;
    Ok(venv)
}
