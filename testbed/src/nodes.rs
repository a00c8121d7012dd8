//! Stands in for a cluster's nodes: what the Pods of one namespace would run are processes of this machine, with the
//! command line, the environment and the ServiceAccount of their Pod, and of the Pods is said what a kubelet would say.
//! A port stands in for the Service: it leads to those that are ready.
//!
//! There is no image, no scheduler and no `preStop`: a Pod that goes is out of the Service, and a moment later told to end.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::{ConfigMap, Container, Pod, Volume},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::AbortHandle,
    time::sleep,
};

use crate::{control_plane::ControlPlane, operator::Ports, process::Server, relay::Relay};

/// How often the Pods are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The nodes of a cluster; what runs on them ends when they are dropped.
#[derive(Debug)]
pub struct Nodes {
    running: Arc<Mutex<Running>>,
    service: u16,
    tasks: [AbortHandle; 2],
}

#[derive(Debug, Default)]
struct Running {
    /// By the Pod's uid.
    pods: BTreeMap<String, Process>,
    /// What those said that are gone.
    past: String,
    /// Connections that the Service has passed on.
    connections: usize,
}

#[derive(Debug)]
struct Process {
    name: String,
    ports: Ports,
    server: Server,
    /// Its way to the API server.
    way: Relay,
    /// What was said of it last.
    said: Value,
    /// Its Pod is gone.
    ending: bool,
}

impl Running {
    fn process(&mut self, pod: &str) -> anyhow::Result<&mut Process> {
        let found = self.pods.values_mut().find(|process| process.name == pod);
        found.with_context(|| format!("there is no Pod {pod}"))
    }
}

impl Process {
    fn is_ready(&self) -> bool {
        !self.ending && self.said == ready(true)
    }
}

/// What all Pods run with.
struct Host {
    client: Client,
    binary: PathBuf,
    namespace: String,
    /// The API server.
    port: u16,
    /// A kubeconfig without its port and its token.
    kubeconfig: String,
    folder: TempDir,
}

const TOKEN: &str = "the-token";
/// A port that is no API server's.
const PORT: u16 = 1;

impl Nodes {
    /// Runs the Pods of `namespace` from now on; their program is `binary`, whatever their image is.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(plane: &ControlPlane, binary: &Path, namespace: &str) -> anyhow::Result<Self> {
        let host = Host {
            client: plane.client().await?,
            binary: binary.to_owned(),
            namespace: namespace.to_owned(),
            port: plane.port(),
            kubeconfig: plane.kubeconfig_through(PORT, TOKEN),
            folder: tempfile::tempdir().context("make a folder")?,
        };
        let running = Arc::new(Mutex::new(Running::default()));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("find a free port")?;
        let service = listener.local_addr().context("find a free port")?.port();
        let tasks = [
            tokio::spawn(run(host, running.clone())).abort_handle(),
            tokio::spawn(serve(listener, running.clone())).abort_handle(),
        ];
        Ok(Self {
            running,
            service,
            tasks,
        })
    }

    /// The port of the Service.
    pub fn service_port(&self) -> u16 {
        self.service
    }

    /// Where the Pods that run listen, by name.
    pub fn pods(&self) -> BTreeMap<String, Ports> {
        let running = lock(&self.running);
        let all = running.pods.values().filter(|process| !process.ending);
        all.map(|process| (process.name.clone(), process.ports)).collect()
    }

    /// Kills the process of a Pod in the middle of everything.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&self, pod: &str) -> anyhow::Result<()> {
        let mut running = lock(&self.running);
        running.process(pod)?.server.signal("KILL")
    }

    /// Cuts the way of a Pod to the API server, or mends it.
    ///
    /// # Errors
    /// It is not there.
    pub fn cut(&self, pod: &str, cut: bool) -> anyhow::Result<()> {
        lock(&self.running).process(pod)?.way.cut(cut);
        Ok(())
    }

    /// Whether nothing runs, not even what was told to end.
    pub fn is_idle(&self) -> bool {
        let mut running = lock(&self.running);
        running
            .pods
            .values_mut()
            .all(|process| process.server.ended().is_some())
    }

    /// What all Pods have said.
    pub fn output(&self) -> String {
        let running = lock(&self.running);
        let now = running.pods.values().map(|process| process.server.output());
        running.past.clone() + &now.collect::<String>()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(host: Host, running: Arc<Mutex<Running>>) {
    let api = Api::<Pod>::namespaced(host.client.clone(), &host.namespace);
    loop {
        if let Ok(pods) = api.list(&ListParams::default()).await {
            for pod in &pods {
                if let Err(error) = look(&host, &running, &api, pod).await {
                    eprintln!("test bed: Pod {}: {error:#}", pod.name_any());
                }
            }
            end_others(&running, &pods.items);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Starts what a Pod runs, and says how it is.
async fn look(host: &Host, running: &Mutex<Running>, api: &Api<Pod>, pod: &Pod) -> anyhow::Result<()> {
    let uid = pod.uid().unwrap_or_default();
    if !lock(running).pods.contains_key(&uid) {
        let process = host.start(pod).await?;
        lock(running).pods.insert(uid.clone(), process);
    }
    let (ended, ports) = {
        let mut running = lock(running);
        let process = running.pods.get_mut(&uid).context("it has just been started")?;
        (process.server.ended(), process.ports)
    };
    let now = match ended {
        Some(status) if status.success() => json!({"phase": "Succeeded"}),
        Some(_) => json!({"phase": "Failed"}),
        None => ready(answers(ports).await),
    };
    let before = {
        let mut running = lock(running);
        let process = running.pods.get_mut(&uid).context("it has just been started")?;
        std::mem::replace(&mut process.said, now.clone())
    };
    if before != now {
        let status = Patch::Strategic(json!({ "status": now }));
        let (name, params) = (pod.name_any(), PatchParams::default());
        // It may be gone; otherwise it is said again.
        if api.patch_status(&name, &params, &status).await.is_err()
            && let Some(process) = lock(running).pods.get_mut(&uid)
        {
            process.said = before;
        }
    }
    Ok(())
}

fn ready(is: bool) -> Value {
    let status = if is { "True" } else { "False" };
    let conditions = ["ContainersReady", "Ready"].map(|type_| json!({"type": type_, "status": status}));
    json!({"phase": "Running", "conditions": conditions})
}

async fn answers(ports: Ports) -> bool {
    let url = format!("http://127.0.0.1:{}/readyz", ports.admin);
    reqwest::get(url).await.is_ok_and(|answer| answer.status().is_success())
}

/// Tells those to end whose Pod is gone, and forgets those that have ended.
fn end_others(running: &Mutex<Running>, pods: &[Pod]) {
    let mut running = lock(running);
    let gone = |uid: &String| pods.iter().all(|pod| pod.uid().as_ref() != Some(uid));
    let mut past = String::new();
    running.pods.retain(|uid, process| {
        if !gone(uid) {
            return true;
        }
        if process.server.ended().is_some() {
            past += &process.server.output();
            return false;
        }
        // Told at the second look: a connection that is passed on right now must still be answered.
        if std::mem::replace(&mut process.ending, true) {
            drop(process.server.signal("TERM"));
        }
        true
    });
    running.past += &past;
}

impl Host {
    async fn start(&self, pod: &Pod) -> anyhow::Result<Process> {
        let (name, spec) = (pod.name_any(), pod.spec.clone().unwrap_or_default());
        let container = spec.containers.first().context("it has no container")?;
        let account = spec.service_account_name.context("it has no ServiceAccount")?;
        let kubeconfig = self.folder.path().join(format!("{name}.kubeconfig"));
        let way = Relay::to(self.port).await?;
        let server = |port: u16| format!("https://127.0.0.1:{port}\"");
        let text = self.kubeconfig.replace(&server(PORT), &server(way.port()));
        let text = text.replace(TOKEN, &self.token(&account, pod).await?);
        std::fs::write(&kubeconfig, text).context("write its kubeconfig")?;
        let ports = Ports::free()?;
        let mut command = Command::new(&self.binary);
        command.env_clear().env("KUBECONFIG", kubeconfig).env("HOSTNAME", &name);
        let mounts = self.mounts(&name, &spec.volumes.unwrap_or_default(), container).await?;
        // Where a Pod would see its files.
        let place = |value: String| {
            let mount = mounts
                .iter()
                .find_map(|(path, folder)| Some((folder, value.strip_prefix(path.as_str())?)));
            mount.map_or_else(|| value.clone(), |(folder, rest)| format!("{}{rest}", folder.display()))
        };
        let variables = environment(container)?.into_iter();
        command.envs(variables.map(|(name, value)| (name, place(value))));
        let arguments = container.args.clone().unwrap_or_default();
        command.args(&arguments);
        if arguments.first().is_some_and(|first| first == "run") {
            command.arg(format!("--resident-address=127.0.0.1:{}", ports.resident));
            command.arg(format!("--admin-address=127.0.0.1:{}", ports.admin));
        }
        Ok(Process {
            ports,
            server: Server::start(command, self.folder.path(), &name)?,
            way,
            said: Value::Null,
            ending: false,
            name,
        })
    }

    /// The folders of ConfigMaps, each with the path that it has in the container.
    async fn mounts(
        &self,
        pod: &str,
        volumes: &[Volume],
        container: &Container,
    ) -> anyhow::Result<Vec<(String, PathBuf)>> {
        let mut mounts = vec![];
        for mount in container.volume_mounts.iter().flatten() {
            let volume = volumes.iter().find(|volume| volume.name == mount.name);
            let map = volume.and_then(|volume| volume.config_map.as_ref());
            let map = map.with_context(|| format!("volume {} is no ConfigMap", mount.name))?;
            let api = Api::<ConfigMap>::namespaced(self.client.clone(), &self.namespace);
            let data = api.get(&map.name).await?.data.unwrap_or_default();
            let folder = self.folder.path().join(format!("{pod}.{}", mount.name));
            std::fs::create_dir_all(&folder).context("make a folder")?;
            for (name, text) in data {
                std::fs::write(folder.join(name), text).context("write a ConfigMap's entry")?;
            }
            mounts.push((mount.mount_path.clone(), folder));
        }
        Ok(mounts)
    }

    /// What a kubelet would mount.
    async fn token(&self, account: &str, pod: &Pod) -> anyhow::Result<String> {
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{account}/token", self.namespace);
        // Bound to the Pod, whose name is in the API server's record then.
        let bound = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
        };
        let request = TokenRequest {
            spec: TokenRequestSpec {
                bound_object_ref: Some(bound),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let body = serde_json::to_vec(&request).context("ask for a token")?;
        let request = http::Request::post(path).header("content-type", "application/json");
        let answer: TokenRequest = self
            .client
            .request(request.body(body).context("ask for a token")?)
            .await?;
        Ok(answer.status.context("no token came")?.token)
    }
}

fn environment(container: &Container) -> anyhow::Result<Vec<(String, String)>> {
    let all = container.env.iter().flatten().map(|variable| {
        ensure!(variable.value_from.is_none(), "{} is from elsewhere", variable.name);
        Ok((variable.name.clone(), variable.value.clone().unwrap_or_default()))
    });
    all.collect()
}

/// Passes each connection on to a Pod that is ready, in turn.
async fn serve(listener: TcpListener, running: Arc<Mutex<Running>>) {
    while let Ok((mut from, _)) = listener.accept().await {
        let to = {
            let mut running = lock(&running);
            running.connections += 1;
            let ready = running.pods.values().filter(|process| process.is_ready());
            let ready: Vec<_> = ready.map(|process| process.ports.resident).collect();
            ready.get(running.connections % ready.len().max(1)).copied()
        };
        let Some(port) = to else { continue };
        tokio::spawn(async move {
            if let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)).await {
                drop(copy_bidirectional(&mut from, &mut to).await);
            }
        });
    }
}
