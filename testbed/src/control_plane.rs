//! A real control plane: etcd, kube-apiserver and kube-controller-manager on free loopback ports.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail};
use kube::Client;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{
    access::Access,
    binaries,
    process::{Server, free_ports},
};

const AUDIT_LOG: &str = "audit.log";
const START_LIMIT: Duration = Duration::from_mins(1);

/// A cluster without nodes. Everything ends when it is dropped.
#[derive(Debug)]
pub struct ControlPlane {
    // In the order in which they are to be stopped.
    controller_manager: Option<Server>,
    api_server: Server,
    etcd: Server,
    port: u16,
    kubeconfig: PathBuf,
    binaries: PathBuf,
    folder: TempDir,
}

impl ControlPlane {
    /// Starts one, and waits until it is ready.
    ///
    /// # Errors
    /// The binaries cannot be built, or a server does not come up; the text has its last lines.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts one whose API server keeps a record of all that these users ask of it.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_audited(users: &[&str]) -> anyhow::Result<Self> {
        Self::start_with(users).await
    }

    async fn start_with(audited: &[&str]) -> anyhow::Result<Self> {
        let binaries = tokio::task::spawn_blocking(binaries::kubernetes)
            .await
            .context("build Kubernetes")??;
        let mut tries = 0;
        loop {
            // A port that was free may be taken by somebody else before the server has it.
            tries += 1;
            match Self::try_start(&binaries, audited).await {
                Err(error) if tries < 3 => eprintln!("test bed: control plane did not start, trying again: {error:#}"),
                result => return result,
            }
        }
    }

    async fn try_start(binaries: &Path, audited: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("appkeys-control-plane-")
            .tempdir()
            .context("make a folder")?;
        let path = |name: &str| folder.path().join(name);
        let [etcd_port, peer_port, api_port] = free_ports()?;
        let token = uuid::Uuid::new_v4().simple().to_string();
        fs::write(path("tokens.csv"), format!("{token},admin,admin,\"system:masters\"\n"))
            .context("write the token")?;
        let key = rcgen::KeyPair::generate().context("make the service-account key")?;
        fs::write(path("sa.key"), key.serialize_pem()).context("write the service-account key")?;
        fs::write(path("sa.pub"), key.public_key_pem()).context("write the service-account key")?;
        let kubeconfig = path("kubeconfig");
        fs::write(
            &kubeconfig,
            kubeconfig_text(api_port, &path("certs/apiserver.crt"), &token),
        )
        .context("write the kubeconfig")?;

        let (client_url, peer_url) = (
            format!("http://127.0.0.1:{etcd_port}"),
            format!("http://127.0.0.1:{peer_port}"),
        );
        let mut etcd = Command::new(binaries.join("etcd"));
        etcd.arg("--data-dir").arg(path("etcd")).args([
            "--unsafe-no-fsync",
            "--listen-client-urls",
            &client_url,
            "--advertise-client-urls",
            &client_url,
            "--listen-peer-urls",
            &peer_url,
            "--initial-advertise-peer-urls",
            &peer_url,
            "--initial-cluster",
            &format!("default={peer_url}"),
        ]);
        let etcd = Server::start(etcd, folder.path(), "etcd")?;
        let mut api_server = Command::new(binaries.join("kube-apiserver"));
        api_server
            .arg("--cert-dir")
            .arg(path("certs"))
            .arg("--token-auth-file")
            .arg(path("tokens.csv"))
            .arg("--service-account-key-file")
            .arg(path("sa.pub"))
            .arg("--service-account-signing-key-file")
            .arg(path("sa.key"))
            .args([
                "--etcd-servers",
                &client_url,
                "--bind-address=127.0.0.1",
                "--secure-port",
                &api_port.to_string(),
                "--service-account-issuer=https://kubernetes.default.svc",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.0.0.0/24",
                "--disable-admission-plugins=ServiceAccount",
            ]);
        if !audited.is_empty() {
            fs::write(path("audit.yaml"), audit_policy(audited)).context("write the audit policy")?;
            api_server.arg("--audit-policy-file").arg(path("audit.yaml"));
            api_server.arg("--audit-log-path").arg(path(AUDIT_LOG));
        }
        let api_server = Server::start(api_server, folder.path(), "kube-apiserver")?;
        let mut cluster = Self {
            controller_manager: None,
            api_server,
            etcd,
            port: api_port,
            kubeconfig,
            binaries: binaries.to_owned(),
            folder,
        };
        cluster.ready().await?;
        let mut manager = Command::new(binaries.join("kube-controller-manager"));
        manager
            .arg("--kubeconfig")
            .arg(&cluster.kubeconfig)
            .arg("--service-account-private-key-file")
            .arg(cluster.folder.path().join("sa.key"))
            .args([
                "--use-service-account-credentials",
                "--leader-elect=false",
                // It serves nothing: nobody asks it.
                "--secure-port=0",
            ]);
        cluster.controller_manager = Some(Server::start(
            manager,
            cluster.folder.path(),
            "kube-controller-manager",
        )?);
        Ok(cluster)
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            if !self.api_server.is_running() {
                bail!("kube-apiserver ended: {}", self.api_server.last_lines());
            }
            if !self.etcd.is_running() {
                bail!("etcd ended: {}", self.etcd.last_lines());
            }
            if let Ok(client) = self.client().await {
                let request = http::Request::get("/readyz").body(vec![]).context("ask /readyz")?;
                if client.request_text(request).await.is_ok_and(|text| text == "ok") {
                    return Ok(());
                }
            }
            if start.elapsed() > START_LIMIT {
                bail!(
                    "kube-apiserver is not ready after {} s: {}",
                    START_LIMIT.as_secs(),
                    self.api_server.last_lines()
                );
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// A client with all rights.
    ///
    /// # Errors
    /// The kubeconfig cannot be read.
    pub async fn client(&self) -> anyhow::Result<Client> {
        self.access().client().await
    }

    /// The configuration of a client with all rights.
    ///
    /// # Errors
    /// The kubeconfig cannot be read.
    pub async fn config(&self) -> anyhow::Result<kube::Config> {
        self.access().config().await
    }

    /// All rights, without the cluster.
    pub fn access(&self) -> Access {
        Access::new(&self.kubeconfig, &self.binaries)
    }

    /// The kubeconfig file.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The API server's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A kubeconfig for whoever has this token; `port` leads to the API server.
    pub fn kubeconfig_through(&self, port: u16, token: &str) -> String {
        kubeconfig_text(port, &self.folder.path().join("certs/apiserver.crt"), token)
    }

    /// Stops the API server in the middle of everything, or lets it go on from there.
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self, pause: bool) -> anyhow::Result<()> {
        self.api_server.signal(if pause { "STOP" } else { "CONT" })
    }

    /// What the audited users have asked of the API server so far, as audit events, one a line.
    ///
    /// # Errors
    /// Nobody is audited.
    pub fn audited(&self) -> anyhow::Result<String> {
        fs::read_to_string(self.folder.path().join(AUDIT_LOG)).context("read the audit log")
    }

    /// The CA that the API server's certificate is from, in PEM.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn ca(&self) -> anyhow::Result<String> {
        fs::read_to_string(self.folder.path().join("certs/apiserver.crt")).context("read the API server's CA")
    }

    /// Where the binaries are.
    pub fn binaries(&self) -> &Path {
        &self.binaries
    }

    /// Runs kubectl and gives what it prints.
    ///
    /// # Errors
    /// It ended with an error; the text has its words.
    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.access().kubectl(arguments)
    }

    /// The process ids of etcd and the API server.
    pub fn pids(&self) -> (u32, u32) {
        (self.etcd.pid(), self.api_server.pid())
    }
}

/// Everything that `users` ask, when it is answered; of a watch, when it begins.
fn audit_policy(users: &[&str]) -> String {
    format!(
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\n\
         rules: [{{level: Metadata, users: {users:?}}}]\n"
    )
}

fn kubeconfig_text(port: u16, ca: &Path, token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: testbed\n\
         clusters: [{{name: testbed, cluster: {{server: \"https://127.0.0.1:{port}\", certificate-authority: \"{}\"}}}}]\n\
         users: [{{name: admin, user: {{token: {token}}}}}]\n\
         contexts: [{{name: testbed, context: {{cluster: testbed, user: admin}}}}]\n",
        ca.display()
    )
}
