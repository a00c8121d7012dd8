//! A way into a cluster: a kubeconfig, and kubectl.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use kube::{
    Client,
    config::{KubeConfigOptions, Kubeconfig},
};

/// Whoever has it may do what its kubeconfig may.
#[derive(Clone, Debug)]
pub struct Access {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
}

impl Access {
    /// By this kubeconfig, with the kubectl in this folder.
    pub fn new(kubeconfig: &Path, binaries: &Path) -> Self {
        Self {
            kubeconfig: kubeconfig.to_owned(),
            kubectl: binaries.join("kubectl"),
        }
    }

    /// The kubeconfig file.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client. It tries nothing twice.
    ///
    /// # Errors
    /// The kubeconfig cannot be read.
    pub async fn client(&self) -> anyhow::Result<Client> {
        let mut config = self.config().await?;
        config.default_retry = false;
        Client::try_from(config).context("build a client")
    }

    /// The configuration of a client.
    ///
    /// # Errors
    /// The kubeconfig cannot be read.
    pub async fn config(&self) -> anyhow::Result<kube::Config> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).context("read the kubeconfig")?;
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .context("read the kubeconfig")
    }

    /// Runs kubectl and gives what it prints.
    ///
    /// # Errors
    /// It ended with an error; the text has its words.
    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.kubectl)
            .env("KUBECONFIG", &self.kubeconfig)
            // What it keeps of a cluster is beside the kubeconfig, and goes with it.
            .env("KUBECACHEDIR", self.kubeconfig.with_file_name("kubectl-cache"))
            .args(arguments)
            .output()
            .context("run kubectl")?;
        if !output.status.success() {
            bail!(
                "kubectl {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
