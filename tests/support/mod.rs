//! What several tests need: a cluster, the operator as a process, a workload.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Once, Weak},
    time::Duration,
};

use appkeys::api::ApplicationKey;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, Client, api::PostParams};
use serde_json::json;
use tempfile::TempDir;
use testbed::{
    control_plane::ControlPlane,
    operator::{self, Ports},
    process::Server,
};
use tokio::sync::Mutex;

/// The longest that anything here may take.
const LIMIT: Duration = Duration::from_secs(90);

/// A cluster with the custom resources, and an operator in it.
pub(crate) struct Cluster {
    pub(crate) plane: ControlPlane,
    pub(crate) operator: std::sync::Mutex<Option<Server>>,
    ports: Ports,
    folder: TempDir,
}

impl Cluster {
    /// A cluster of one's own.
    pub(crate) async fn start() -> Self {
        provider();
        let plane = ControlPlane::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let cluster = Self {
            plane,
            operator: None.into(),
            ports: Ports::free().unwrap(),
            folder,
        };
        operator::install(&cluster.plane).unwrap();
        cluster.run();
        cluster
    }

    /// The cluster that tests share which leave each other alone; it ends with the last of them.
    pub(crate) async fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(cluster) = shared.upgrade() {
            return cluster;
        }
        let cluster = Arc::new(Self::start().await);
        cluster
            .plane
            .kubectl(&["apply", "-f", &repository("examples/quickstart.yaml")])
            .unwrap();
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
        let mut all = vec!["--lease-seconds=5", "--log=appkeys=debug,info"];
        all.extend(flags);
        let server = operator::start(binary, &self.plane, self.ports, self.folder.path(), "operator", &all).unwrap();
        *self.operator.lock().unwrap() = Some(server);
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
        self.operator
            .lock()
            .unwrap()
            .as_ref()
            .map(Server::output)
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

/// A client that trusts the CA in a Secret.
pub(crate) fn http_client(secret: &BTreeMap<String, String>) -> reqwest::Client {
    let ca = reqwest::Certificate::from_pem(secret["ca.crt"].as_bytes()).unwrap();
    reqwest::Client::builder().tls_certs_only([ca]).build().unwrap()
}
