//! Who starts Pods again when a Secret changes: the real Reloader where `RELOADER` names its binary, else a double that goes by
//! Reloader's documents: a Secret has changed when the hash of its data is another one, and a workload is started again by a change
//! of its template.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use data_encoding::HEXLOWER;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{PodSpec, Secret},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
    runtime::watcher::{self, Event, watcher},
};
use serde_json::json;
use tokio::task::AbortHandle;

use crate::{access::Access, process::Server};

const PREFIX: &str = "reloader.stakater.com";

/// It ends when it is dropped.
#[derive(Debug)]
pub struct Reloader {
    /// What it is, for people.
    pub name: String,
    _real: Option<Server>,
    double: Option<AbortHandle>,
}

impl Reloader {
    /// Starts one for all namespaces; files of it are in `folder`.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start(access: &Access, folder: &Path) -> anyhow::Result<Self> {
        if let Some(binary) = std::env::var_os("RELOADER").map(PathBuf::from) {
            let mut command = Command::new(&binary);
            command.env("KUBECONFIG", access.kubeconfig());
            return Ok(Self {
                name: format!("{}", binary.display()),
                _real: Some(Server::start(command, folder, "reloader")?),
                double: None,
            });
        }
        let client = access.client().await?;
        let task = tokio::spawn(async move {
            if let Err(error) = watch(client).await {
                eprintln!("test bed: the double of Reloader: {error:#}");
            }
        });
        Ok(Self {
            name: "a double of Reloader (RELOADER names no binary of the real one)".to_owned(),
            _real: None,
            double: Some(task.abort_handle()),
        })
    }
}

impl Drop for Reloader {
    fn drop(&mut self) {
        if let Some(task) = &self.double {
            task.abort();
        }
    }
}

async fn watch(client: Client) -> anyhow::Result<()> {
    let mut known = BTreeMap::new();
    let mut events = watcher(Api::<Secret>::all(client.clone()), watcher::Config::default()).boxed();
    while let Some(event) = events.try_next().await? {
        let (Event::Apply(secret) | Event::InitApply(secret)) = event else {
            continue;
        };
        let now = hash(&secret);
        // One that is new has nobody who knew it before.
        if let Some(before) = known.insert((secret.namespace(), secret.name_any()), now.clone())
            && before != now
        {
            restart(&client, &secret, &now).await?;
        }
    }
    Ok(())
}

fn hash(secret: &Secret) -> String {
    let mut text = vec![];
    for (name, value) in secret.data.iter().flatten() {
        text.extend([name.as_bytes(), b"=", &value.0, b";"].concat());
    }
    HEXLOWER.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text).as_ref())
}

async fn restart(client: &Client, secret: &Secret, hash: &str) -> anyhow::Result<()> {
    let namespace = secret.namespace().context("a Secret has a namespace")?;
    let api = Api::<Deployment>::namespaced(client.clone(), &namespace);
    for deployment in api.list(&ListParams::default()).await? {
        if !is_for(&deployment, secret) {
            continue;
        }
        let annotations = json!({format!("{PREFIX}/last-reloaded-from"): format!("{}:{hash}", secret.name_any())});
        let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
        let params = PatchParams::default();
        api.patch(&deployment.name_any(), &params, &Patch::Merge(patch)).await?;
    }
    Ok(())
}

/// Whether a workload asks to be started again for this Secret.
fn is_for(deployment: &Deployment, secret: &Secret) -> bool {
    let says = |object: &BTreeMap<String, String>, name: &str| object.get(name).is_some_and(|value| value == "true");
    let (asks, name) = (deployment.annotations(), secret.name_any());
    let named = asks.get(&format!("secret.{PREFIX}/reload"));
    let is_named = named.is_some_and(|names| names.split(',').any(|named| named.trim() == name));
    let matches = says(asks, &format!("{PREFIX}/search")) && says(secret.annotations(), &format!("{PREFIX}/match"));
    let all = says(asks, &format!("{PREFIX}/auto")) || says(asks, &format!("secret.{PREFIX}/auto"));
    let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    is_named || (matches || all) && pod.is_some_and(|pod| uses(pod, &name))
}

/// Whether a Pod has a Secret in its files or its environment.
fn uses(pod: &PodSpec, secret: &str) -> bool {
    let volumes = pod.volumes.iter().flatten();
    let mut mounted = volumes.filter_map(|volume| volume.secret.as_ref()?.secret_name.as_deref());
    let mut variables = pod.containers.iter().flat_map(|container| {
        let all = container.env_from.iter().flatten();
        let all = all.filter_map(|from| Some(from.secret_ref.as_ref()?.name.as_str()));
        let each = container.env.iter().flatten();
        let each = each.filter_map(|one| Some(one.value_from.as_ref()?.secret_key_ref.as_ref()?.name.as_str()));
        all.chain(each)
    });
    mounted.any(|name| name == secret) || variables.any(|name| name == secret)
}
