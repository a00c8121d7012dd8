//! A cluster with Pods: the test bed's, or the one that `KUBECONFIG` names.

use std::{io::Write as _, path::Path, process::Command, time::Duration};

use kube::Api;
use tempfile::TempDir;
use testbed::{
    access::Access,
    binaries,
    helm::Helm,
    pods::{self, PodCluster, images},
};

use super::team::Team;
use crate::support::{provider, repository};

/// The namespace of the release.
const NAMESPACE: &str = "appkeys";
/// The longest that one step may take, with a kubelet that looks after its Pods once a minute.
const LIMIT: Duration = Duration::from_mins(4);
const POLL: Duration = Duration::from_millis(200);

pub(super) struct Bed {
    access: Access,
    helm: Helm,
    /// Flags of Helm that name the operator's image.
    image: Vec<String>,
    /// The image of workloads.
    pub(super) workload: String,
    /// How long an old secret works: longer than it takes until files change.
    pub(super) overlap: &'static str,
    /// Ends with the test, where it is the test bed's.
    own: Option<PodCluster>,
    _folder: TempDir,
}

impl Bed {
    /// The cluster; none where there can be none, which is said.
    pub(super) async fn start() -> Option<Self> {
        provider();
        let images = ["APPKEYS_IMAGE", "APPKEYS_WORKLOAD_IMAGE"].map(|name| std::env::var(name).ok());
        match (std::env::var_os("KUBECONFIG"), images) {
            (Some(_), [Some(operator), Some(workload)]) => Some(Self::given(&operator, workload).await),
            _ => Self::of_the_test_bed().await,
        }
    }

    async fn of_the_test_bed() -> Option<Self> {
        let missing = pods::missing();
        if !missing.is_empty() {
            // Not by a macro: those are heard only when a test fails.
            writeln!(
                std::io::stderr(),
                "\nNOT RUN: the tests with real Pods (tests/e2e/pods), because {}. With KUBECONFIG, APPKEYS_IMAGE and \
                 APPKEYS_WORKLOAD_IMAGE they run in a cluster of yours.",
                missing.join("; ")
            )
            .unwrap();
            return None;
        }
        let images = images::build().unwrap();
        let program = images::beside("testbed").unwrap();
        let cluster = PodCluster::start(&program, &images).await.unwrap();
        let access = cluster.access().clone();
        println!("the operator's image: {}", images[0].archive.display());
        Some(Self {
            helm: Helm::at(access.kubeconfig()).unwrap(),
            access,
            image: vec!["--set=image.pullPolicy=Never".into()],
            workload: images[1].name.clone(),
            overlap: "30s",
            own: Some(cluster),
            _folder: tempfile::tempdir().unwrap(),
        })
    }

    async fn given(operator: &str, workload: String) -> Self {
        let binaries = tokio::task::spawn_blocking(binaries::kubernetes)
            .await
            .unwrap()
            .unwrap();
        // With all that its files name in it.
        let flat = Command::new(binaries.join("kubectl"))
            .args(["config", "view", "--raw", "--flatten", "--minify"])
            .output()
            .unwrap();
        assert!(flat.status.success(), "{}", String::from_utf8_lossy(&flat.stderr));
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, flat.stdout).unwrap();
        let access = Access::new(&kubeconfig, &binaries);
        let found = access
            .kubectl(&["api-resources", "--api-group=appkeys.dev", "-o", "name"])
            .unwrap();
        assert!(
            found.is_empty(),
            "Appkeys is in this cluster already: its keys are not for tests"
        );
        let (repository, tag) = operator.rsplit_once(':').unwrap();
        let image = [("repository", repository), ("tag", tag)];
        Self {
            helm: Helm::at(&kubeconfig).unwrap(),
            access,
            image: image.map(|(name, value)| format!("--set=image.{name}={value}")).into(),
            workload,
            overlap: "3m",
            own: None,
            _folder: folder,
        }
    }

    /// Runs kubectl and gives what it prints.
    pub(super) fn kubectl(&self, arguments: &[&str]) -> String {
        tokio::task::block_in_place(|| self.access.kubectl(arguments)).unwrap()
    }

    /// Applies objects.
    pub(super) fn apply(&self, objects: &serde_json::Value) {
        let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
        std::fs::write(file.path(), objects.to_string()).unwrap();
        self.kubectl(&["apply", "-f", file.path().to_str().unwrap()]);
    }

    /// Runs Helm, with `arguments` in words, and waits until what it did is done.
    pub(super) fn helm(&self, arguments: &str, more: &[&str]) {
        let mut all: Vec<&str> = arguments.split(' ').collect();
        if all[0] != "uninstall" {
            all.extend(self.image.iter().map(String::as_str));
        }
        all.extend(["--namespace", NAMESPACE, "--wait", "--timeout", "3m"]);
        all.extend(more);
        if let Err(error) = tokio::task::block_in_place(|| self.helm.run(&all)) {
            panic!("{error:#}\n{}", self.state());
        }
    }

    /// A namespaced kind.
    pub(super) async fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.access.client().await.unwrap(), namespace)
    }

    /// Waits until `good`.
    pub(super) async fn until(&self, what: &str, mut good: impl AsyncFnMut() -> bool) {
        let start = tokio::time::Instant::now();
        while !good().await {
            assert!(start.elapsed() < LIMIT, "waited in vain for {what}\n{}", self.state());
            tokio::time::sleep(POLL).await;
        }
    }

    /// What there is to see when something went wrong.
    fn state(&self) -> String {
        let ask = |arguments: &[&str]| match self.access.kubectl(arguments) {
            Ok(said) => said,
            Err(error) => format!("{error:#}"),
        };
        let pods = ask(&["get", "pods,akey", "--all-namespaces", "-o", "wide"]);
        let events = ask(&["get", "events", "--all-namespaces", "--field-selector=type=Warning"]);
        let logs = ask(&["-n", NAMESPACE, "logs", "deployment/appkeys", "--tail=20"]);
        format!("{pods}{events}{logs}")
    }

    /// Takes everything away again, as people would.
    pub(super) fn end(&self, team: &Team) {
        team.leave(self);
        self.helm("uninstall appkeys", &[]);
        if self.own.is_none() {
            self.kubectl(&["delete", "clusterkeymanager", "resident"]);
            self.kubectl(&["delete", "--wait", "-f", &repository("charts/appkeys/crds")]);
            self.kubectl(&["delete", "namespace", NAMESPACE]);
        }
    }

    /// The address of the operator's Service.
    pub(super) fn service(&self) -> String {
        self.kubectl(&[
            "-n",
            NAMESPACE,
            "get",
            "service",
            "appkeys",
            "-o=jsonpath={.spec.clusterIP}",
        ])
    }

    /// Whether a path of the repository can be applied.
    pub(super) fn apply_file(&self, path: &str) {
        assert!(Path::new(&repository(path)).exists(), "{path}");
        self.kubectl(&["apply", "-f", &repository(path)]);
    }
}
