//! A cluster in which the chart is installed, the operator's Pods running as processes under their ServiceAccount.

use std::{collections::BTreeMap, path::Path};

use testbed::{control_plane::ControlPlane, helm::Helm, nodes::Nodes, operator::Ports};

use crate::support::{Cluster, provider};

/// The namespace of the release.
pub(super) const NAMESPACE: &str = "appkeys";

pub(super) struct Installed {
    pub(super) cluster: Cluster,
    pub(super) helm: Helm,
}

impl Installed {
    /// A cluster without the chart, whose nodes wait for Pods.
    pub(super) async fn nothing() -> Self {
        provider();
        Self::nothing_in(ControlPlane::start().await.unwrap()).await
    }

    /// The same with a control plane of one's own.
    pub(super) async fn nothing_in(plane: ControlPlane) -> Self {
        provider();
        let mut cluster = Cluster::of(plane, Ports::free().unwrap());
        let binary = Path::new(env!("CARGO_BIN_EXE_appkeys"));
        cluster.nodes = Some(Nodes::start(&cluster.plane, binary, NAMESPACE).await.unwrap());
        let helm = Helm::of(&cluster.plane).unwrap();
        Self { cluster, helm }
    }

    pub(super) fn nodes(&self) -> &Nodes {
        self.cluster.nodes.as_ref().unwrap()
    }

    /// Runs Helm, with `arguments` in words, while the nodes do their work on other threads; tokens are had from their Service.
    pub(super) fn helm(&self, arguments: &str, more: &[&str]) -> Result<String, String> {
        let url = format!("residentUrl=https://localhost:{}", self.nodes().service_port());
        let mut all: Vec<_> = arguments.split(' ').collect();
        if ["install", "upgrade"].contains(&all[0]) {
            let values = [&url, "leaseSeconds=5", "log.filter=appkeys=debug"];
            all.extend(values.iter().flat_map(|value| ["--set", value]));
        }
        all.extend(["--namespace", NAMESPACE, "--wait", "--timeout", "60s"]);
        all.extend(more);
        let said = tokio::task::block_in_place(|| self.helm.run(&all));
        said.map_err(|error| format!("{error:#}\n{}", self.nodes().output()))
    }

    /// Installs the chart.
    pub(super) fn install(&self, more: &[&str]) -> String {
        self.helm("install appkeys charts/appkeys --create-namespace", more)
            .unwrap()
    }

    /// All objects of the cluster that the chart can make, by kind and name, with the uid of each.
    pub(super) fn objects(&self) -> BTreeMap<String, String> {
        const KINDS: &str = "deployments,services,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets,clusterroles,clusterrolebindings,clusterkeymanagers";
        let path = "-o=jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid}{\"\\n\"}{end}";
        let selector = "--selector=app.kubernetes.io/name=appkeys";
        let text = self
            .cluster
            .kubectl(&["get", KINDS, "--all-namespaces", selector, path]);
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        pairs.map(|(name, uid)| (name.to_owned(), uid.to_owned())).collect()
    }
}
