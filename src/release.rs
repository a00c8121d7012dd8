//! `appkeys release`: lets everything go before the operator is uninstalled, so that nothing waits for a process that does
//! not come. It stops the operator, then takes our finalizers from all custom resources; nothing at a key manager is
//! touched, no Secret is, and a new installation puts the finalizers back.

use std::{io::Write as _, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, stream};
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v1::Scale, core::v1::Pod};
use kube::{
    Api, Client, Config, CustomResourceExt as _, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{Application, ApplicationKey, ClusterKeyManager, FIELD_MANAGER, FINALIZER, KeyManager},
    clock::Clock,
    guard::WriteGuard,
    leader::{self, LeaderConfig, Leadership},
    metrics::Metrics,
    operator,
    scope::Scope,
};

/// How `appkeys release` is to run.
#[derive(Clone, Debug)]
pub struct ReleaseConfig {
    /// The operator's own namespace.
    pub namespace: String,
    /// The operator's Deployment in it.
    pub deployment: String,
    /// Which namespaces the operator looks after.
    pub scope: Scope,
    /// Who this process is.
    pub identity: String,
    /// How long a claim to lead lasts without renewal.
    pub lease_duration: Duration,
    /// How long the operator may take to stop.
    pub patience: Duration,
}

/// Objects that are asked for at once, and that are changed at once.
const PAGE: u32 = 500;
const IN_FLIGHT: usize = 16;
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often what others change in between is looked at again.
const ROUNDS: usize = 10;

/// Stops the operator and takes the finalizers away.
///
/// # Errors
/// What stands against it, with the mend.
pub async fn run(kube: Config, config: ReleaseConfig) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::default());
    let leadership = Leadership::default();
    let plain = operator::client(kube.clone(), &metrics, None)?;
    let guarded = operator::client(kube, &metrics, Some(WriteGuard(leadership.clone())))?;
    stop_operator(&plain, &config).await?;
    let lead_until = CancellationToken::new();
    let lease = LeaderConfig::of(&config.namespace, &config.identity, config.lease_duration);
    let leader = leader::run(plain, lease, Clock::system(), leadership.clone(), lead_until.clone());
    let leader = tokio::spawn(leader);
    let work = async {
        tokio::time::timeout(config.patience, leadership.acquired())
            .await
            .context("another operator holds the Lease appkeys: stop it first")?;
        let mut released = vec![];
        let cluster = config.scope.limited().is_none().then(ClusterKeyManager::api_resource);
        let kinds = [
            ApplicationKey::api_resource(),
            Application::api_resource(),
            KeyManager::api_resource(),
        ];
        for resource in kinds.into_iter().chain(cluster) {
            let mut count = 0;
            for place in config.scope.places() {
                count += release(&guarded, place.as_deref(), &resource).await?;
            }
            released.push(format!("{count} {}", resource.plural));
        }
        say(&format!("released: {}", released.join(", ")))
    };
    let result = work.await;
    lead_until.cancel();
    leader.await.context("stop leading")?;
    result
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("print")
}

/// Scales the Deployment to nothing, and waits until its Pods are gone: they would put the finalizers back.
async fn stop_operator(client: &Client, config: &ReleaseConfig) -> anyhow::Result<()> {
    let deployments = Api::<Deployment>::namespaced(client.clone(), &config.namespace);
    let name = &config.deployment;
    let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
    let scale: Scale = match deployments.patch_scale(name, &PatchParams::default(), &none).await {
        Ok(scale) => scale,
        Err(kube::Error::Api(status)) if status.is_not_found() => return say("the operator is not there"),
        Err(error) => return Err(error).with_context(|| format!("scale Deployment {name} to 0")),
    };
    let selector = scale.status.and_then(|status| status.selector);
    let selector = selector.with_context(|| format!("Deployment {name} says nothing of its Pods"))?;
    let pods = Api::<Pod>::namespaced(client.clone(), &config.namespace);
    let params = ListParams::default().labels(&selector);
    let start = Instant::now();
    loop {
        let left = pods
            .list_metadata(&params)
            .await
            .context("list the operator's Pods")?
            .items;
        let Some(first) = left.first() else {
            return say(&format!("stopped: Deployment {name} has no Pods any more"));
        };
        if start.elapsed() > config.patience {
            bail!(
                "{} Pods of Deployment {name} are still there, {} for one: end them, or uninstall without hooks and take the finalizers away by hand",
                left.len(),
                first.name_any()
            );
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Takes our finalizer from all objects of a kind in a place; how many had it.
async fn release(client: &Client, place: Option<&str>, resource: &ApiResource) -> anyhow::Result<usize> {
    let mut released = 0;
    for _ in 0..ROUNDS {
        let (mut done, mut again) = (0, false);
        let all = objects(client, place, resource);
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = match all.list(&params).await {
                Ok(page) => page,
                // Its definition is gone, and with it all objects.
                Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(released),
                Err(error) => return Err(error).with_context(|| format!("list {}", resource.plural)),
            };
            let next = page.metadata.continue_.filter(|next| !next.is_empty());
            let mut changes = stream::iter(page.items)
                .map(|object| release_one(client, resource, object))
                .buffer_unordered(IN_FLIGHT);
            while let Some(outcome) = changes.next().await {
                match outcome? {
                    Released::Done => done += 1,
                    Released::HadNone => {}
                    Released::Changed => again = true,
                }
            }
            let Some(next) = next else { break };
            params = ListParams::default().limit(PAGE).continue_token(&next);
        }
        released += done;
        if !again {
            return Ok(released);
        }
    }
    bail!("{} change all the time: is another operator at work?", resource.plural)
}

/// The objects of a kind in a namespace, or all of them.
fn objects(client: &Client, namespace: Option<&str>, resource: &ApiResource) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}

enum Released {
    Done,
    HadNone,
    /// Somebody changed it in between.
    Changed,
}

async fn release_one(client: &Client, resource: &ApiResource, object: DynamicObject) -> anyhow::Result<Released> {
    let Some(at) = object.finalizers().iter().position(|finalizer| finalizer == FINALIZER) else {
        return Ok(Released::HadNone);
    };
    let pointer = format!("/metadata/finalizers/{at}");
    let patch = json!([
        {"op": "test", "path": pointer, "value": FINALIZER},
        {"op": "remove", "path": pointer},
    ]);
    let patch: json_patch::Patch = serde_json::from_value(patch).context("make a patch")?;
    let (name, namespace) = (object.name_any(), object.namespace());
    let api = objects(client, namespace.as_deref(), resource);
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api.patch(&name, &params, &Patch::<()>::Json(patch)).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(Released::HadNone),
        Err(kube::Error::Api(status)) if status.is_invalid() || status.is_conflict() => return Ok(Released::Changed),
        Err(error) => return Err(error).with_context(|| format!("take the finalizer from {} {name}", resource.kind)),
    }
    let status = &object.data["status"];
    if let Some(client) = status["clientId"].as_str() {
        let place = namespace.unwrap_or_default();
        let manager = &status["keyManager"];
        let word = |what: &str| manager[what].as_str().unwrap_or_default();
        say(&format!(
            "kept: client {client} of {place}/{name} at {}/{}",
            word("kind"),
            word("name")
        ))?;
    }
    Ok(Released::Done)
}
