//! A cluster of one node with real Pods: etcd, the control plane, kubelet, kube-proxy and containerd as processes of this machine,
//! in namespaces and cgroups of their own.
//!
//! A process beside the test keeps it ([`keep`]) and takes it down when the test is gone, however it went. The first process inside
//! ([`node`]) starts everything; when that ends, the kernel ends all that it started. Network and mounts go with their namespaces.
//! Nothing leads out of it, and into it one way to the API server.

mod can; // whether this machine can
mod cgroups;
mod configuration; // what its servers are told
pub mod images; // what its Pods run
mod keeper;
mod node; // inside

use std::{
    fs,
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::{Api, Client};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{access::Access, binaries, process::Server, relay::Relay};

pub use self::{can::missing, images::Image, keeper::keep, node::node};

/// How long it may take until Pods can run.
const START_LIMIT: Duration = Duration::from_mins(2);
/// How long it may take until nothing is left.
const END_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// The socket in its folder that leads to the API server.
const SOCKET: &str = "api.sock";
/// The file in its folder that says why it ended.
const ENDED: &str = "ended";

/// It ends when it is dropped.
#[derive(Debug)]
pub struct PodCluster {
    access: Access,
    keeper: Server,
    /// Closed when this process ends, too: the keeper takes that as its sign.
    sign: Option<ChildStdin>,
    _way: Relay,
    folder: PathBuf,
    _kubeconfig: TempDir,
}

impl PodCluster {
    /// Starts one with these images, and waits until Pods can run. `program` is the test bed's own.
    ///
    /// # Errors
    /// This machine cannot run it, a binary cannot be built, or a server does not come up; the text has its last lines.
    pub async fn start(program: &Path, images: &[Image]) -> anyhow::Result<Self> {
        let missing = missing();
        ensure!(missing.is_empty(), "Pods cannot run here: {}", missing.join("; "));
        let binaries = tokio::task::spawn_blocking(binaries::kubernetes_with_node)
            .await
            .context("build Kubernetes")??;
        // The keeper removes it: nothing in it can be removed while it is in use.
        let folder = tempfile::Builder::new()
            .prefix("appkeys-pods-")
            .disable_cleanup(true)
            .tempdir()
            .context("make a folder")?
            .path()
            .to_owned();
        let kubeconfig = tempfile::tempdir().context("make a folder")?;
        let way = Relay::to_socket(&folder.join(SOCKET)).await?;
        let admin = configuration::write(&folder)?;
        let mut command = Command::new(program);
        command.arg("pods-keep").arg(&folder).arg(&binaries);
        command.args(
            images
                .iter()
                .flat_map(|image| [image.name.as_ref(), image.archive.as_os_str()]),
        );
        let (keeper, sign) = Server::start_with_sign(command, kubeconfig.path(), "keeper")?;
        let path = kubeconfig.path().join("kubeconfig");
        let ca = kubeconfig.path().join("ca.crt");
        let text = configuration::kubeconfig(&format!("127.0.0.1:{}", way.port()), &ca, &admin);
        fs::write(&path, text).context("write the kubeconfig")?;
        let mut cluster = Self {
            access: Access::new(&path, &binaries),
            keeper,
            sign: Some(sign),
            _way: way,
            folder,
            _kubeconfig: kubeconfig,
        };
        cluster.ready(&ca).await?;
        Ok(cluster)
    }

    /// A way in, with all rights.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Where its servers have their files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    async fn ready(&mut self, ca: &Path) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            if let Ok(why) = fs::read_to_string(self.folder.join(ENDED)) {
                bail!("a cluster with Pods does not start: {why}");
            }
            if !self.keeper.is_running() {
                bail!("a cluster with Pods does not start: {}", self.keeper.last_lines());
            }
            // The API server makes its certificate when it starts.
            if fs::copy(self.folder.join("certs/apiserver.crt"), ca).is_ok()
                && let Ok(client) = self.access.client().await
                && is_ready(client).await
            {
                return Ok(());
            }
            if start.elapsed() > START_LIMIT {
                bail!("a cluster with Pods is not ready after {} s", START_LIMIT.as_secs());
            }
            sleep(POLL).await;
        }
    }
}

/// Whether a Pod can run: its node is ready, and its namespace has the ServiceAccount.
async fn is_ready(client: Client) -> bool {
    let node = Api::<Node>::all(client.clone()).get(configuration::NODE).await;
    let conditions = node.ok().and_then(|node| node.status?.conditions).unwrap_or_default();
    let account = Api::<ServiceAccount>::default_namespaced(client).get("default").await;
    let is_ready = |condition: &k8s_openapi::api::core::v1::NodeCondition| {
        condition.type_ == "Ready" && condition.status == "True"
    };
    conditions.iter().any(is_ready) && account.is_ok()
}

impl Drop for PodCluster {
    fn drop(&mut self) {
        drop(self.sign.take());
        let start = Instant::now();
        while self.keeper.is_running() && start.elapsed() < END_LIMIT {
            std::thread::sleep(POLL);
        }
        if self.keeper.is_running() || self.folder.exists() {
            eprintln!(
                "test bed: {} is left: {}",
                self.folder.display(),
                self.keeper.last_lines()
            );
        }
    }
}

/// A command of the machine's, which says why it fails.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
