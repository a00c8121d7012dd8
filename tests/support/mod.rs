//! What several tests need: a cluster, the operator as a process, a workload.

pub(crate) mod collector;
pub(crate) mod examples;
pub(crate) mod kills;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Once, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use appkeys::api::ApplicationKey;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, Client, api::PostParams};
use serde_json::json;
use tempfile::TempDir;
use testbed::{
    control_plane::ControlPlane,
    counts::Scrape,
    nodes::Nodes,
    operator::{self, Ports},
    process::Server,
};
use tokio::sync::Mutex;

use collector::Collector;

/// The longest that anything here may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// How often something is looked at that cannot be watched.
const POLL: Duration = Duration::from_millis(100);

/// An operator beside the one that leads.
pub(crate) struct Standby {
    ports: Ports,
    server: Server,
}

impl Standby {
    /// Where it listens.
    pub(crate) fn ports(&self) -> Ports {
        self.ports
    }

    /// A Secret's entries with this process's endpoints.
    pub(crate) fn entries(&self, entries: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut entries = entries.clone();
        for (name, value) in &mut entries {
            if let Ok(mut url) = reqwest::Url::parse(value)
                && name.ends_with("-uri")
            {
                url.set_port(Some(self.ports.resident)).unwrap();
                *value = url.to_string();
            }
        }
        entries
    }

    /// Waits until it serves the key manager of `entries`.
    pub(crate) async fn follows(&self, entries: &BTreeMap<String, String>) {
        let start = tokio::time::Instant::now();
        let keys = || http_client(entries).get(&entries["jwks-uri"]).send();
        while !keys().await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(
                start.elapsed() < LIMIT,
                "the standby does not serve\n{}",
                self.server.output()
            );
            tokio::time::sleep(POLL).await;
        }
    }
}

/// A cluster with the custom resources, and an operator in it.
pub(crate) struct Cluster {
    pub(crate) plane: ControlPlane,
    pub(crate) operator: std::sync::Mutex<Option<Server>>,
    /// What runs Pods, where the operator is installed as people install it.
    pub(crate) nodes: Option<Nodes>,
    /// Variables of the operator.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Where its traces go, if anywhere.
    pub(crate) collector: Option<Collector>,
    starts: AtomicUsize,
    ports: Ports,
    folder: TempDir,
}

impl Cluster {
    /// A cluster of one's own with the operator in it.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// As [`Self::start`], with further flags of the operator.
    pub(crate) async fn start_with(flags: &[&str]) -> Self {
        let cluster = Self::install_with(Ports::free().unwrap()).await;
        cluster.run_with(flags);
        cluster
    }

    /// As [`Self::start_with`], and the operator's traces are collected.
    pub(crate) async fn start_traced(flags: &[&str]) -> Self {
        let mut cluster = Self::install_with(Ports::free().unwrap()).await;
        let collector = Collector::start();
        cluster.environment = collector.environment();
        cluster.collector = Some(collector);
        cluster.run_with(flags);
        cluster
    }

    /// A cluster with the custom resources; the operator, once it runs, listens on `ports`.
    pub(crate) async fn install_with(ports: Ports) -> Self {
        let cluster = Self::bare(ports).await;
        operator::install(&cluster.plane).unwrap();
        cluster
    }

    /// A cluster with nothing of ours.
    pub(crate) async fn bare(ports: Ports) -> Self {
        provider();
        Self::of(ControlPlane::start().await.unwrap(), ports)
    }

    /// A cluster with this control plane and nothing of ours.
    pub(crate) fn of(plane: ControlPlane, ports: Ports) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            plane,
            operator: None.into(),
            nodes: None,
            environment: vec![],
            collector: None,
            starts: AtomicUsize::default(),
            ports,
            folder,
        }
    }

    /// The cluster that tests share which leave each other alone; it ends with the last of them.
    pub(crate) async fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(cluster) = shared.upgrade() {
            return cluster;
        }
        let cluster = Arc::new(Self::start().await);
        cluster.quickstart();
        *shared = Arc::downgrade(&cluster);
        cluster
    }

    /// A client of the test's own runtime.
    pub(crate) async fn client(&self) -> Client {
        self.plane.client().await.unwrap()
    }

    /// Starts the operator.
    pub(crate) fn run(&self) {
        self.run_with(&[]);
    }

    /// Starts the operator with further flags.
    pub(crate) fn run_with(&self, flags: &[&str]) {
        let binary = Path::new(env!("CARGO_BIN_EXE_appkeys"));
        let mut all = vec!["--lease-seconds=5"];
        if !flags.iter().any(|flag| flag.starts_with("--log=")) {
            all.push("--log=appkeys=debug,info");
        }
        all.extend(flags);
        let name = format!("operator-{}", self.starts.fetch_add(1, Ordering::SeqCst));
        let (folder, environment) = (self.folder.path(), &self.environment);
        let server = operator::start(binary, &self.plane, self.ports, folder, &name, &all, environment).unwrap();
        *self.operator.lock().unwrap() = Some(server);
    }

    /// Where the operator listens.
    pub(crate) fn ports(&self) -> Ports {
        self.ports
    }

    /// Runs kubectl and gives what it prints.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.plane.kubectl(arguments).unwrap()
    }

    /// Stops the operator in order, which must be without an error.
    pub(crate) fn terminate(&self) {
        let mut server = self.operator.lock().unwrap().take().unwrap();
        server.signal("TERM").unwrap();
        let status = server.wait().unwrap();
        assert!(status.success(), "{status}\n{}", server.last_lines());
    }

    /// All that operators of this cluster say to anybody: logs, metrics, events, custom resources and traces.
    pub(crate) async fn all_that_is_said(&self) -> Vec<(String, String)> {
        let mut said = vec![];
        for n in 0..self.starts.load(Ordering::SeqCst) {
            let log = self.folder.path().join(format!("operator-{n}.log"));
            said.push((format!("log {n}"), std::fs::read_to_string(log).unwrap()));
        }
        let url = format!("http://127.0.0.1:{}/metrics", self.ports.admin);
        said.push(("metrics".into(), reqwest::get(url).await.unwrap().text().await.unwrap()));
        for kinds in ["events", "appkeys", "leases"] {
            said.push((
                kinds.into(),
                self.kubectl(&["get", kinds, "--all-namespaces", "-o", "yaml"]),
            ));
        }
        if let Some(collector) = &self.collector {
            said.push(("traces".into(), collector.settled().await));
        }
        said
    }

    /// The operator's metrics; none while it does not answer.
    pub(crate) async fn scrape(&self) -> Scrape {
        let url = format!("http://127.0.0.1:{}/metrics", self.ports.admin);
        Scrape::of(&url).await.unwrap_or_default()
    }

    /// Kills the operator.
    pub(crate) fn kill(&self) {
        *self.operator.lock().unwrap() = None;
    }

    /// A URL of the operator's resident key manager.
    pub(crate) fn resident_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.ports.resident)
    }

    /// Starts another operator on the same cluster.
    pub(crate) async fn start_another(&self) -> Standby {
        self.until("the first operator to lead", async || leads(self.ports).await)
            .await;
        let binary = Path::new(env!("CARGO_BIN_EXE_appkeys"));
        let ports = Ports::free().unwrap();
        let flags = ["--lease-seconds=5", "--log=appkeys=debug,info"];
        let folder = self.folder.path();
        let server = operator::start(binary, &self.plane, ports, folder, "standby", &flags, &[]).unwrap();
        Standby { ports, server }
    }

    /// The traces of the operator.
    pub(crate) fn traces(&self) -> &Collector {
        self.collector.as_ref().unwrap()
    }

    /// Applies the first examples: the resident key manager as the default, and a key.
    pub(crate) fn quickstart(&self) {
        for file in ["key-manager", "quickstart"] {
            self.kubectl(&["apply", "-f", &repository(&format!("examples/{file}.yaml"))]);
        }
    }

    /// Waits until `good`.
    pub(crate) async fn until(&self, what: &str, mut good: impl AsyncFnMut() -> bool) {
        let start = tokio::time::Instant::now();
        while !good().await {
            assert!(
                start.elapsed() < LIMIT,
                "waited in vain for {what}\n{}",
                self.operator_output()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Makes a namespace.
    pub(crate) async fn namespace(&self, name: &str) {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        Api::<Namespace>::all(self.client().await)
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
    }

    /// Applies objects.
    pub(crate) fn apply(&self, objects: &serde_json::Value) {
        let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
        std::fs::write(file.path(), objects.to_string()).unwrap();
        self.plane
            .kubectl(&["apply", "-f", file.path().to_str().unwrap()])
            .unwrap();
    }

    /// Waits until `key` is as `good` says.
    pub(crate) async fn key_until(
        &self,
        namespace: &str,
        key: &str,
        good: impl Fn(&ApplicationKey) -> bool,
    ) -> ApplicationKey {
        let api = Api::<ApplicationKey>::namespaced(self.client().await, namespace);
        let wait = kube::runtime::wait::await_condition(api.clone(), key, |key: Option<&ApplicationKey>| {
            key.is_some_and(&good)
        });
        if let Ok(found) = tokio::time::timeout(LIMIT, wait).await {
            return found.unwrap().unwrap();
        }
        panic!(
            "{namespace}/{key} is {:#?}
{}",
            api.get(key).await,
            self.operator_output()
        );
    }

    /// Waits until `key` is ready.
    pub(crate) async fn ready(&self, namespace: &str, key: &str) -> ApplicationKey {
        self.key_until(namespace, key, is_ready).await
    }

    /// The entries of a Secret.
    pub(crate) async fn secret(&self, namespace: &str, name: &str) -> BTreeMap<String, String> {
        let secret = Api::<Secret>::namespaced(self.client().await, namespace)
            .get(name)
            .await
            .unwrap();
        secret
            .data
            .into_iter()
            .flatten()
            .map(|(name, value)| (name, String::from_utf8(value.0).unwrap()))
            .collect()
    }

    /// What the operator logged.
    pub(crate) fn operator_output(&self) -> String {
        let process = self.operator.lock().unwrap().as_ref().map(Server::output);
        process
            .or_else(|| self.nodes.as_ref().map(Nodes::output))
            .unwrap_or_default()
    }
}

/// Whether a key is ready and its status speaks of its spec.
pub(crate) fn is_ready(key: &ApplicationKey) -> bool {
    key.status.as_ref().is_some_and(|status| {
        status.observed_generation == key.metadata.generation
            && appkeys::api::conditions::is_true(&status.conditions, "Ready")
    })
}

/// Whether the operator that listens there says that it leads.
pub(crate) async fn leads(ports: Ports) -> bool {
    let url = format!("http://127.0.0.1:{}/metrics", ports.admin);
    match reqwest::get(url).await.map(reqwest::Response::text) {
        // The line, not the word: the text that explains it is there too.
        Ok(text) => text
            .await
            .is_ok_and(|text| text.lines().any(|line| line == "appkeys_leader 1")),
        Err(_) => false,
    }
}

/// A path in the repository.
pub(crate) fn repository(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// The crypto provider, once for the process.
pub(crate) fn provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(rustls::crypto::aws_lc_rs::default_provider().install_default()));
}

/// Asks for a token as a workload does, with nothing but what a Secret says.
pub(crate) async fn token(secret: &BTreeMap<String, String>, form: &[(&str, &str)]) -> (u16, serde_json::Value) {
    let mut form = form.to_vec();
    form.push(("grant_type", "client_credentials"));
    let request = http_client(secret)
        .post(&secret["token-uri"])
        .basic_auth(&secret["client-id"], Some(&secret["client-secret"]));
    let response = request.form(&form).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// A client that trusts the CA in a Secret, where there is one.
pub(crate) fn http_client(secret: &BTreeMap<String, String>) -> reqwest::Client {
    let ca = secret.get("ca.crt");
    let ca = ca.map(|pem| reqwest::Certificate::from_pem(pem.as_bytes()).unwrap());
    reqwest::Client::builder().tls_certs_only(ca).build().unwrap()
}

/// A key of Application `shop`, with what `spec` adds.
pub(crate) fn key(namespace: &str, name: &str, spec: &serde_json::Value) -> serde_json::Value {
    let mut all = json!({"applicationRef": {"name": "shop"}, "environment": "Production"});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({
        "apiVersion": "appkeys.dev/v1alpha1", "kind": "ApplicationKey",
        "metadata": {"name": name, "namespace": namespace}, "spec": all,
    })
}

/// A namespace with Application `shop`.
pub(crate) async fn team(cluster: &Cluster, namespace: &str) {
    cluster.namespace(namespace).await;
    application(cluster, namespace);
}

/// The Application that the keys of a namespace are of.
pub(crate) fn application(cluster: &Cluster, namespace: &str) {
    cluster.apply(&json!({
        "apiVersion": "appkeys.dev/v1alpha1", "kind": "Application",
        "metadata": {"name": "shop", "namespace": namespace}, "spec": {},
    }));
}
