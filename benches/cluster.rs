//! A control plane with the operator in it, as a release process.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, api::PostParams};
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::{
    control_plane::ControlPlane,
    counts::{Scrape, Sent},
    operator::{self, Ports},
    process::Server,
};
use tokio::time::sleep;

use crate::usage::Usage;

/// The operator, built as it is released.
const BINARY: &str = env!("CARGO_BIN_EXE_appkeys");
/// The longest that one step may take.
const LIMIT: Duration = Duration::from_mins(20);
/// How often something is looked at that cannot be watched without a cost: often at first, where a start is timed, and less
/// after a second, because each look costs the operator something too.
const POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));

/// Bytes of the operator's binary.
pub(crate) fn binary_size() -> anyhow::Result<u64> {
    Ok(std::fs::metadata(BINARY).context("find the operator")?.len())
}

/// How the operator started.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    /// Until `/readyz` says so.
    pub(crate) ready: Duration,
    /// Until everything that was there had been looked at.
    pub(crate) evaluated: Duration,
    /// What it sent until then.
    pub(crate) sent: Sent,
}

/// What the operator did over a time, and what it cost.
#[derive(Clone, Debug)]
pub(crate) struct During {
    /// What it sent.
    pub(crate) sent: Sent,
    /// How long it was.
    pub(crate) wall: Duration,
    /// CPU time of the operator.
    pub(crate) operator: Duration,
    /// CPU time of the API server.
    pub(crate) api_server: Duration,
    /// CPU time of etcd.
    pub(crate) etcd: Duration,
}

/// CPU times of the control plane.
pub(crate) struct PlaneUsage {
    /// Of the API server.
    pub(crate) api_server: Duration,
    /// Of etcd.
    pub(crate) etcd: Duration,
}

impl PlaneUsage {
    /// What a control plane has used so far.
    pub(crate) fn of(plane: &ControlPlane) -> anyhow::Result<Self> {
        let (etcd, api_server) = plane.pids();
        Ok(Self {
            api_server: Usage::of(api_server)?.cpu,
            etcd: Usage::of(etcd)?.cpu,
        })
    }
}

/// A control plane with the custom resources, and the operator.
pub(crate) struct Cluster {
    pub(crate) plane: ControlPlane,
    operator: Option<Server>,
    ports: Ports,
    folder: TempDir,
    http: reqwest::Client,
}

impl Cluster {
    /// A control plane with the custom resources; no operator yet.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let plane = ControlPlane::start().await?;
        operator::install(&plane)?;
        Ok(Self {
            plane,
            operator: None,
            ports: Ports::free()?,
            folder: tempfile::tempdir().context("make a folder")?,
            http: reqwest::Client::new(),
        })
    }

    /// Starts the operator, and waits until it has looked at everything.
    pub(crate) async fn start_operator(&mut self) -> anyhow::Result<Start> {
        let begin = Instant::now();
        let operator = operator::start(
            Path::new(BINARY),
            &self.plane,
            self.ports,
            self.folder.path(),
            "operator",
            &[],
            &[],
        )?;
        self.operator = Some(operator);
        let url = format!("http://127.0.0.1:{}/readyz", self.ports.admin);
        let ready = async || Ok(self.http.get(&url).send().await.is_ok_and(|a| a.status().is_success()));
        self.until("the operator to be ready", ready).await?;
        let ready = begin.elapsed();
        self.until("the operator to look at everything", async || self.idle().await)
            .await?;
        let evaluated = begin.elapsed();
        let sent = Sent::of(&self.scrape().await?);
        Ok(Start { ready, evaluated, sent })
    }

    /// Stops the operator in order.
    pub(crate) fn stop_operator(&mut self) -> anyhow::Result<()> {
        let mut operator = self.operator.take().context("no operator runs")?;
        operator.signal("TERM")?;
        ensure!(
            operator.wait()?.success(),
            "the operator failed: {}",
            operator.last_lines()
        );
        Ok(())
    }

    /// Makes the resident key manager the default, and waits until it is served.
    pub(crate) async fn key_manager(&self) -> anyhow::Result<()> {
        let manager = json!({
            "apiVersion": "appkeys.dev/v1alpha1", "kind": "ClusterKeyManager", "metadata": {"name": "resident"},
            "spec": {"default": true, "resident": {}, "access": [{"namespaceSelector": {}}]},
        });
        let api = Api::<appkeys::api::ClusterKeyManager>::all(self.client().await?);
        let manager = serde_json::from_value(manager).context("write a key manager")?;
        api.create(&PostParams::default(), &manager)
            .await
            .context("make a key manager")?;
        self.key_manager_ready("resident").await
    }

    /// Waits until a key manager is ready.
    pub(crate) async fn key_manager_ready(&self, name: &str) -> anyhow::Result<()> {
        let api = Api::<appkeys::api::ClusterKeyManager>::all(self.client().await?);
        let ready = async || {
            let status = api.get(name).await.context("read the key manager")?.status;
            Ok(status.is_some_and(|status| appkeys::api::conditions::is_true(&status.conditions, "Ready")))
        };
        self.until("the key manager to be ready", ready).await
    }

    /// A client with all rights.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        self.plane.client().await
    }

    /// Where the resident key manager issues tokens.
    pub(crate) fn token_address(&self) -> (String, u16) {
        ("localhost".to_owned(), self.ports.resident)
    }

    /// The operator's metrics.
    pub(crate) async fn scrape(&self) -> anyhow::Result<Scrape> {
        let url = format!("http://127.0.0.1:{}/metrics", self.ports.admin);
        let answer = self.http.get(url).send().await.context("scrape the operator")?;
        Ok(Scrape::parse(&answer.text().await.context("read metrics")?))
    }

    /// Whether the operator has nothing to do.
    pub(crate) async fn idle(&self) -> anyhow::Result<bool> {
        let scrape = self.scrape().await?;
        Ok(scrape.sum("appkeys_synced", &[]) > 0 && scrape.sum("appkeys_queue_depth", &[]) == 0)
    }

    /// What the operator has used so far.
    pub(crate) fn operator_usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.operator.as_ref().context("no operator runs")?.pid())
    }

    /// What is sent and used while `work` is done.
    pub(crate) async fn during(&self, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<During> {
        let (before, plane, operator) = (
            self.scrape().await?,
            PlaneUsage::of(&self.plane)?,
            self.operator_usage()?,
        );
        let begin = Instant::now();
        work.await?;
        let wall = begin.elapsed();
        let after = PlaneUsage::of(&self.plane)?;
        Ok(During {
            sent: Sent::of(&self.scrape().await?.since(&before)),
            wall,
            operator: self.operator_usage()?.cpu.saturating_sub(operator.cpu),
            api_server: after.api_server.saturating_sub(plane.api_server),
            etcd: after.etcd.saturating_sub(plane.etcd),
        })
    }

    /// What is sent and used while nothing happens.
    pub(crate) async fn sent_during(&self, time: Duration) -> anyhow::Result<During> {
        // Its own events may still be on their way.
        self.until("the operator to come to rest", async || self.idle().await)
            .await?;
        let nothing = async {
            sleep(time).await;
            Ok(())
        };
        self.during(nothing).await
    }

    /// Waits until `good`.
    pub(crate) async fn until(
        &self,
        what: &str,
        mut good: impl AsyncFnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let begin = Instant::now();
        while !good().await? {
            if begin.elapsed() > LIMIT {
                let operator = self.operator.as_ref().map(Server::last_lines).unwrap_or_default();
                bail!("waited in vain for {what}\n{operator}");
            }
            let long = begin.elapsed() > Duration::from_secs(1);
            sleep(if long { POLL.1 } else { POLL.0 }).await;
        }
        Ok(())
    }
}

/// Makes a namespace with Application `shop`, whose keys are at this key manager, or at the default one.
pub(crate) async fn team(client: &Client, namespace: &str, key_manager: Option<&str>) -> anyhow::Result<()> {
    let object: Namespace = parsed(json!({"metadata": {"name": namespace}}))?;
    Api::all(client.clone())
        .create(&PostParams::default(), &object)
        .await
        .context("make a namespace")?;
    let spec = key_manager.map_or(json!({}), |name| json!({"keyManagerRef": {"name": name}}));
    let application: appkeys::api::Application = parsed(json!({
        "apiVersion": "appkeys.dev/v1alpha1", "kind": "Application",
        "metadata": {"name": "shop", "namespace": namespace}, "spec": spec,
    }))?;
    Api::namespaced(client.clone(), namespace)
        .create(&PostParams::default(), &application)
        .await
        .context("make an Application")?;
    Ok(())
}

/// An object from its JSON.
pub(crate) fn parsed<K: serde::de::DeserializeOwned>(value: Value) -> anyhow::Result<K> {
    serde_json::from_value(value).context("write an object")
}
