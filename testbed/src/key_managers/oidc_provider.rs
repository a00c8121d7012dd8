//! A real server of RFC 7591 and RFC 7592, strict about both: npm's `oidc-provider`, with Node.js.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{certificate, http, versions};
use crate::{
    node,
    process::{End, Server, steady_ports},
};

const START_LIMIT: Duration = Duration::from_secs(30);
const PROGRAM: &str = include_str!("../../oidc_provider/server.mjs");
const STATE: &str = "state.json";

/// The scopes that the server knows.
pub const SCOPES: [&str; 2] = ["orders:read", "orders:write"];

/// What the server is like.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each switches one behaviour, and all combine"
)]
pub struct Options {
    /// Registration needs no initial access token.
    pub open: bool,
    /// An update gives a new registration access token, and the one before ends.
    pub rotate_registration_token: bool,
    /// Clients can be updated and deleted, and not only made and read.
    pub management: bool,
    /// `software_id` and `software_version` are kept; else they are dropped, as unknown members always are.
    pub software_id: bool,
    /// How long a client secret lives, in seconds. Without it secrets do not end.
    pub secret_life: Option<u32>,
    /// An update gives the client a new secret, and the one before ends.
    pub new_secret_on_update: bool,
    /// How long an access token lives, in seconds.
    pub token_life: u32,
    /// HTTPS with a certificate of `OidcProvider::ca`; else plain HTTP.
    pub https: bool,
}

impl Default for Options {
    /// As the specifications suggest: a token is needed to register, tokens rotate, secrets do not end.
    fn default() -> Self {
        Self {
            open: false,
            rotate_registration_token: true,
            management: true,
            software_id: true,
            secret_life: None,
            new_secret_on_update: false,
            token_life: 300,
            https: true,
        }
    }
}

/// A running server. It ends, and its state goes, when it is dropped.
#[derive(Debug)]
pub struct OidcProvider {
    // Ends before its folder goes.
    server: Server,
    client: reqwest::Client,
    issuer: String,
    ca: String,
    initial_access_token: String,
    settings: Value,
    folder: TempDir,
}

impl OidcProvider {
    /// Starts one without clients, and waits until it is ready.
    ///
    /// # Errors
    /// It cannot be installed, or does not come up; the text has its last lines.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let installed = tokio::task::spawn_blocking(installed);
        let installed = installed.await.context("install oidc-provider")??;
        let mut tries = 0;
        loop {
            // A port that was free may be taken by somebody else before the server has it.
            tries += 1;
            match Self::try_start(&installed, &options).await {
                Err(error) if tries < 3 => eprintln!("test bed: oidc-provider did not start, trying again: {error:#}"),
                result => return result,
            }
        }
    }

    async fn try_start(installed: &Path, options: &Options) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("appkeys-oidc-provider-")
            .tempdir()
            .context("make a folder")?;
        // Beside its packages, as Node.js wants it.
        fs::write(folder.path().join("server.mjs"), PROGRAM).context("write server.mjs")?;
        std::os::unix::fs::symlink(installed.join("node_modules"), folder.path().join("node_modules"))
            .context("borrow the packages")?;
        let ca = certificate::make(folder.path())?;
        let [port] = steady_ports()?;
        let issuer = if options.https {
            format!("https://127.0.0.1:{port}")
        } else {
            format!("http://127.0.0.1:{port}")
        };
        let initial_access_token = uuid::Uuid::new_v4().simple().to_string();
        let certificate = options.https.then(|| folder.path().join(certificate::CERTIFICATE));
        let settings = json!({
            "issuer": issuer,
            "port": port,
            "certificate": certificate,
            "key": folder.path().join(certificate::KEY),
            "state": folder.path().join(STATE),
            "initialAccessToken": initial_access_token,
            "openRegistration": options.open,
            "rotateRegistrationToken": options.rotate_registration_token,
            "management": options.management,
            "softwareId": options.software_id,
            "secretLife": options.secret_life,
            "newSecretOnUpdate": options.new_secret_on_update,
            "tokenLife": options.token_life,
            "scopes": SCOPES,
        });
        let client = http::client(Some(&ca))?;
        let server = launch(folder.path(), &settings)?;
        let mut this = Self {
            server,
            client,
            issuer,
            ca,
            initial_access_token,
            settings,
            folder,
        };
        this.ready().await?;
        Ok(this)
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer);
        http::ready("oidc-provider", &mut self.server, &self.client, &url, START_LIMIT).await
    }

    /// Its issuer identifier, from which everything else can be discovered.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The CA of its certificate, in PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// The token that registration needs, also one that is not needed. It can be used more than once.
    pub fn initial_access_token(&self) -> &str {
        &self.initial_access_token
    }

    /// The metadata of all its clients, with their secrets.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn clients(&self) -> anyhow::Result<Vec<Value>> {
        self.bed(Method::GET, "clients").await
    }

    /// Removes a client as an administrator of the server would: its owner is not asked.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn delete(&self, client_id: &str) -> anyhow::Result<()> {
        self.bed(Method::DELETE, &format!("clients/{client_id}")).await?;
        Ok(())
    }

    async fn bed(&self, method: Method, what: &str) -> anyhow::Result<Vec<Value>> {
        let url = format!("{}/bed/{what}", self.issuer);
        let answer = self.client.request(method, &url).send().await;
        let answer = answer.with_context(|| format!("ask {url}"))?;
        ensure!(answer.status().is_success(), "{url}: {}", answer.status());
        answer.json().await.with_context(|| format!("read {url}"))
    }

    /// Ends it. Its state stays for `start_again`.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(&mut self, how: End) -> anyhow::Result<()> {
        self.server.end(how).await
    }

    /// Starts it on the same port, with the clients and registration access tokens that it had; access tokens are
    /// forgotten.
    ///
    /// # Errors
    /// It does not come up; the text has its last lines.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.stop(End::Crash).await?;
        self.server = launch(self.folder.path(), &self.settings)?;
        self.ready().await
    }

    /// Ends it in the middle of everything and starts it again: with its state, or as it was in the beginning.
    ///
    /// # Errors
    /// It does not come up; the text has its last lines.
    pub async fn restart(&mut self, keep: bool) -> anyhow::Result<()> {
        self.stop(End::Crash).await?;
        if !keep {
            fs::remove_file(self.folder.path().join(STATE)).context("remove the server's state")?;
        }
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

    /// What it has printed since it was started last.
    pub fn output(&self) -> String {
        self.server.output()
    }
}

fn launch(folder: &Path, settings: &Value) -> anyhow::Result<Server> {
    let mut node = Command::new("node");
    node.arg("server.mjs")
        .current_dir(folder)
        .env("TESTBED_OPTIONS", settings.to_string());
    Server::start(node, folder, "oidc-provider")
}

/// The folder with oidc-provider and its packages; installs what is missing or has changed. Blocks.
///
/// # Errors
/// Node.js or npm is missing, or npm fails.
pub fn installed() -> anyhow::Result<PathBuf> {
    node::installed("oidc_provider", &versions::oidc_provider()?, versions::NPM)
}
