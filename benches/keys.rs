//! Many keys: the bare writes by a plain client, and the same by the operator.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use appkeys::api::{Application, ApplicationKey, FIELD_MANAGER, FINALIZER};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;
use testbed::control_plane::ControlPlane;
use tokio::time::Instant;

use crate::{
    cluster::{Cluster, During, PlaneUsage, parsed, team},
    progress,
};

/// Keys that are worked on at the same time, by the plain client as by the operator.
pub(crate) const IN_FLIGHT: usize = 32;
/// Keys that a control plane has had before anything is measured: a fresh one is slower.
const WARM_UP: u32 = 100;
/// The namespace of the keys that are measured.
pub(crate) const NAMESPACE: &str = "measured";

/// What the operator wrote for one key, to be written again by a plain client.
#[derive(Clone, Debug)]
pub(crate) struct Templates {
    key: ApplicationKey,
    secret: Secret,
    record: Secret,
}

/// What the bare writes cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bare {
    pub(crate) wall: Duration,
    pub(crate) api_server: Duration,
    pub(crate) etcd: Duration,
}

fn key(namespace: &str, n: u32) -> anyhow::Result<ApplicationKey> {
    parsed(json!({
        "apiVersion": "appkeys.dev/v1alpha1", "kind": "ApplicationKey",
        "metadata": {"name": format!("key-{n}"), "namespace": namespace},
        "spec": {"applicationRef": {"name": "shop"}, "environment": "Production"},
    }))
}

fn params() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// Does `one` for all of `0..count`, a bounded number at the same time.
async fn all(count: u32, one: impl AsyncFn(u32) -> anyhow::Result<()>) -> anyhow::Result<()> {
    stream::iter(0..count)
        .map(|n| one(n))
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await
}

/// Makes keys as a user does, and waits until all are ready.
async fn make(cluster: &Cluster, namespace: &str, count: u32) -> anyhow::Result<()> {
    let client = cluster.client().await?;
    let keys = Api::<ApplicationKey>::namespaced(client.clone(), namespace);
    let writes = [("verb", "update"), ("resource", "applicationkeys/status")];
    let written = async || Ok::<_, anyhow::Error>(cluster.scrape().await?.sum("appkeys_api_requests_total", &writes));
    let before = written().await?;
    all(count, async |n| {
        keys.create(&PostParams::default(), &key(namespace, n)?)
            .await
            .context("make a key")?;
        Ok(())
    })
    .await?;
    // Watching them would cost the API server as much as the operator does.
    let mut tenths = 0;
    cluster
        .until("all keys to be ready", async || {
            let done = written().await? - before;
            if count > 1000 && 10 * done / u64::from(count) > tenths {
                tenths += 1;
                progress(&format!("  {tenths}0 %"));
            }
            Ok(done >= count.into() && cluster.idle().await?)
        })
        .await
}

/// Makes a few keys, and takes what the operator wrote for one of them.
pub(crate) async fn warm_up(cluster: &Cluster) -> anyhow::Result<Templates> {
    let client = cluster.client().await?;
    team(&client, "warm-up", None).await?;
    make(cluster, "warm-up", WARM_UP).await?;
    let key = Api::<ApplicationKey>::namespaced(client.clone(), "warm-up")
        .get("key-0")
        .await
        .context("read a key")?;
    let id = key.status.as_ref().and_then(|status| status.client_id.clone());
    let id = id.context("a key that is ready has a client id")?;
    let secret = Api::<Secret>::namespaced(client.clone(), "warm-up")
        .get("key-0")
        .await
        .context("read a Secret")?;
    let records = Api::<Secret>::namespaced(client, "appkeys");
    let records = records.list(&ListParams::default()).await.context("list records")?;
    let named = |secret: &Secret| {
        let data = secret.data.iter().flatten();
        let mut values = data.map(|(_, value)| String::from_utf8_lossy(&value.0).into_owned());
        values.any(|value| value.contains(&id))
    };
    let record = records.into_iter().find(named).context("find a client's record")?;
    Ok(Templates { key, secret, record })
}

/// The same writes, made by a plain client as fast as a control plane of their own takes them.
pub(crate) async fn bare(templates: &Templates, count: u32) -> anyhow::Result<Bare> {
    let plane = ControlPlane::start().await?;
    testbed::operator::install(&plane)?;
    let client = plane.client().await?;
    for namespace in ["warm-up", NAMESPACE] {
        team(&client, namespace, None).await?;
    }
    all(WARM_UP, async |n| write(&client, templates, "warm-up", n).await).await?;
    let before = PlaneUsage::of(&plane)?;
    let begin = Instant::now();
    all(count, async |n| write(&client, templates, NAMESPACE, n).await).await?;
    let wall = begin.elapsed();
    let after = PlaneUsage::of(&plane)?;
    Ok(Bare {
        wall,
        api_server: after.api_server.saturating_sub(before.api_server),
        etcd: after.etcd.saturating_sub(before.etcd),
    })
}

/// All writes for one key, with the cheapest verbs.
async fn write(client: &Client, templates: &Templates, namespace: &str, n: u32) -> anyhow::Result<()> {
    let keys = Api::<ApplicationKey>::namespaced(client.clone(), namespace);
    let made = keys.create(&PostParams::default(), &key(namespace, n)?).await;
    let made = made.context("make a key")?;
    let patch = json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": made.resource_version()},
        {"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]},
    ]);
    let patch = Patch::<()>::Json(serde_json::from_value(patch).context("write a patch")?);
    let finalizer = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let mut held = keys
        .patch(&made.name_any(), &finalizer, &patch)
        .await
        .context("add the finalizer")?;
    for (object, place, name) in [
        (&templates.record, "appkeys", format!("record-{namespace}-{n}")),
        (&templates.secret, namespace, made.name_any()),
    ] {
        let metadata = ObjectMeta {
            name: Some(name),
            namespace: Some(place.to_owned()),
            labels: object.metadata.labels.clone(),
            annotations: object.metadata.annotations.clone(),
            ..ObjectMeta::default()
        };
        let secret = Secret {
            metadata,
            ..object.clone()
        };
        Api::<Secret>::namespaced(client.clone(), place)
            .create(&params(), &secret)
            .await
            .context("make a Secret")?;
    }
    held.status.clone_from(&templates.key.status);
    held.metadata.managed_fields = None;
    keys.replace_status(&made.name_any(), &params(), &held)
        .await
        .context("write status")?;
    Ok(())
}

/// The keys that the operator makes at a key manager (at the default one), from the first create to the last that is ready.
pub(crate) async fn by_the_operator(
    cluster: &Cluster,
    namespace: &str,
    key_manager: Option<&str>,
    count: u32,
) -> anyhow::Result<(During, u64)> {
    let client = cluster.client().await?;
    team(&client, namespace, key_manager).await?;
    let there = async || {
        let applications = Api::<Application>::namespaced(client.clone(), namespace);
        let shop = applications.get("shop").await.context("read an Application")?;
        Ok(shop.status.is_some() && cluster.idle().await?)
    };
    cluster.until("the Application to be ready", there).await?;
    let during = cluster.during(make(cluster, namespace, count)).await?;
    let memory = cluster.operator_usage()?.memory;
    let list = Api::<ApplicationKey>::namespaced(client, namespace)
        .list(&ListParams::default())
        .await
        .context("list keys")?;
    let ready = list.iter().filter(|key| {
        let status = key.status.as_ref();
        status.is_some_and(|status| appkeys::api::conditions::is_true(&status.conditions, "Ready"))
    });
    let ready = ready.count();
    ensure!(u32::try_from(ready) == Ok(count), "{ready} of {count} keys are ready");
    Ok((during, memory))
}
