//! Watches: events of the cluster become memory and work. Nothing here calls a key manager or writes.

use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};

use backon::ExponentialBuilder;
use futures::{Stream, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Resource, ResourceExt as _,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{
        WatchStreamExt as _,
        utils::{Backoff, ResetTimerBackoff},
        watcher,
        watcher::Event,
    },
};
use tokio::sync::oneshot;

use super::{
    Context,
    queue::{Cause, Item, Name},
    secrets::{COMPONENT_LABEL, STATE_COMPONENT, doubtful, handled, tampered, tombstone_of},
    world::SecretMeta,
};
use crate::{
    api::{Application, ApplicationKey, ClusterKeyManager, KeyManager, KeyManagerKind},
    key_manager::{ApplicationProperties, resident, snapshot},
    plan::{
        hints::{self, Hints, KEY_LABEL},
        identity,
        observed::ApplicationView,
    },
};

/// Follows one kind for ever. `synced` is told when everything that was there at the start has been seen.
async fn follow<K>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>>,
    kind: &'static str,
    synced: oneshot::Sender<()>,
    mut apply: impl FnMut(K),
    mut delete: impl FnMut(Name),
    mut known: impl FnMut() -> Vec<Name>,
) where
    K: Resource,
{
    let mut synced = Some(synced);
    let mut seen: Option<BTreeSet<Name>> = None;
    let mut events = pin!(events);
    loop {
        match events.try_next().await {
            Ok(Some(Event::Init)) => seen = Some(BTreeSet::new()),
            Ok(Some(Event::InitApply(object))) => {
                if let Some(seen) = &mut seen {
                    seen.insert(name(&object));
                }
                apply(object);
            }
            Ok(Some(Event::InitDone)) => {
                let seen = seen.take().unwrap_or_default();
                for gone in known().into_iter().filter(|name| !seen.contains(name)) {
                    delete(gone);
                }
                if let Some(synced) = synced.take() {
                    let _ = synced.send(());
                }
            }
            Ok(Some(Event::Apply(object))) => apply(object),
            Ok(Some(Event::Delete(object))) => delete(name(&object)),
            Ok(None) => return,
            Err(error) => tracing::warn!(kind, error = watch_error(&error), "watch interrupted"),
        }
    }
}

/// A watch error without the body of any object.
fn watch_error(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.message.clone(),
        _ => "no answer from the API server".to_owned(),
    }
}

/// An object that can be read; of another one the log says which it is, and the rest goes on without it.
fn readable<K: Resource>(object: DeserializeGuard<K>, kind: &'static str) -> Result<K, Name> {
    let name = name(&object);
    object.0.map_err(|error| {
        tracing::warn!(kind, object = %name, error = error.error, "an object cannot be read: mend it, or bring its definition up to date: `appkeys crds | kubectl apply --server-side -f -`");
        name
    })
}

fn name<K: Resource>(object: &K) -> Name {
    let meta = object.meta();
    Name::new(
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

fn watch<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = Result<Event<K>, watcher::Error>>
where
    K: Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    watcher(api, config).backoff(backoff())
}

/// How long an interrupted watch waits. Without jitter, which a handful of watches does not need: a simulation can replay it.
pub fn backoff() -> impl Backoff + use<> {
    let doubled = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(800))
        .with_max_delay(Duration::from_secs(30))
        .with_factor(2.0)
        .without_max_times();
    ResetTimerBackoff::new(watcher::ExponentialBackoff::from(doubled), Duration::from_mins(2))
}

/// Follows everything, for ever: first what keys depend on, then the keys, so that the first look at a key sees the rest.
pub async fn run(ctx: Arc<Context>) {
    let (namespaces, namespaces_synced) = oneshot::channel();
    let (applications, applications_synced) = oneshot::channel();
    let (secrets, secrets_synced) = oneshot::channel();
    let (cluster, cluster_synced) = oneshot::channel();
    let (managers, managers_synced) = oneshot::channel();
    let dependencies = async {
        drop(futures::join!(
            namespaces_synced,
            applications_synced,
            secrets_synced,
            cluster_synced,
            managers_synced
        ));
        key_managers_opened(&ctx).await;
        watch_keys(&ctx).await;
    };
    futures::join!(
        watch_namespaces(&ctx, namespaces),
        watch_applications(&ctx, applications),
        watch_secrets(&ctx, secrets),
        watch_cluster_key_managers(&ctx, cluster),
        watch_key_managers(&ctx, managers),
        dependencies,
    );
}

/// Waits until each key manager that was there at the start has been looked at once.
async fn key_managers_opened(ctx: &Context) {
    let mut looked = ctx.looked_at.subscribe();
    let wanted = ctx.queue_of_key_managers();
    drop(
        looked
            .wait_for(|done| wanted.iter().all(|item| done.contains(item)))
            .await,
    );
}

async fn watch_namespaces(ctx: &Arc<Context>, synced: oneshot::Sender<()>) {
    let api = Api::<PartialObjectMeta<Namespace>>::all(ctx.client.clone());
    let apply = |namespace: PartialObjectMeta<Namespace>| {
        let labels = namespace.labels().clone();
        let mut world = ctx.world.lock();
        let before = world.namespaces.insert(namespace.name_any(), labels.clone());
        if before != Some(labels) {
            let keys: Vec<_> = world.keys_in_namespace(&namespace.name_any());
            drop(world);
            for key in keys {
                ctx.add(Item::Key(key), Cause::Change);
            }
        }
    };
    let delete = |name: Name| drop(ctx.world.lock().namespaces.remove(&name.name));
    let known = || {
        ctx.world
            .lock()
            .namespaces
            .keys()
            .map(|name| Name::new("", name))
            .collect()
    };
    follow(
        watch(api, watcher::Config::default()),
        "Namespace",
        synced,
        apply,
        delete,
        known,
    )
    .await;
}

async fn watch_applications(ctx: &Arc<Context>, synced: oneshot::Sender<()>) {
    let api = Api::<DeserializeGuard<Application>>::all(ctx.client.clone());
    let apply = |application: DeserializeGuard<Application>| {
        let Ok(application) = readable(application, "Application") else {
            return;
        };
        let name = name(&application);
        let view = ApplicationView {
            display_name: application
                .spec
                .display_name
                .clone()
                .unwrap_or_else(|| name.name.clone()),
            key_manager_ref: application.spec.key_manager_ref.clone(),
            properties: ApplicationProperties {
                description: application.spec.description.clone(),
                attributes: application.spec.attributes.clone(),
                vendor: application.spec.vendor_blocks(),
            },
        };
        let keys = {
            let mut world = ctx.world.lock();
            let before = world.applications.insert(name.clone(), view.clone());
            world.fresh_applications.insert(name.clone(), Box::new(application));
            let changed = before.as_ref() != Some(&view);
            changed.then(|| world.keys_of_application(&name))
        };
        for key in keys.into_iter().flatten() {
            ctx.add(Item::Key(key), Cause::Change);
        }
        ctx.add(Item::Application(name), Cause::Change);
    };
    let delete = |name: Name| {
        let mut world = ctx.world.lock();
        world.applications.remove(&name);
        world.fresh_applications.remove(&name);
        let keys = world.keys_of_application(&name);
        drop(world);
        for key in keys {
            ctx.add(Item::Key(key), Cause::Change);
        }
    };
    let known = || ctx.world.lock().applications.keys().cloned().collect();
    follow(
        watch(api, watcher::Config::default()),
        "Application",
        synced,
        apply,
        delete,
        known,
    )
    .await;
}

async fn watch_cluster_key_managers(ctx: &Arc<Context>, synced: oneshot::Sender<()>) {
    let api = Api::<PartialObjectMeta<ClusterKeyManager>>::all(ctx.client.clone());
    let add = |name: Name| {
        ctx.add(Item::KeyManager(KeyManagerKind::ClusterKeyManager, name), Cause::Change);
    };
    let known = || ctx.known_key_managers(KeyManagerKind::ClusterKeyManager);
    follow(
        watch(api, watcher::Config::default()),
        "ClusterKeyManager",
        synced,
        |object| add(name(&object)),
        add,
        known,
    )
    .await;
}

async fn watch_key_managers(ctx: &Arc<Context>, synced: oneshot::Sender<()>) {
    let api = Api::<PartialObjectMeta<KeyManager>>::all(ctx.client.clone());
    let add = |name: Name| {
        ctx.add(Item::KeyManager(KeyManagerKind::KeyManager, name), Cause::Change);
    };
    let known = || ctx.known_key_managers(KeyManagerKind::KeyManager);
    follow(
        watch(api, watcher::Config::default()),
        "KeyManager",
        synced,
        |object| add(name(&object)),
        add,
        known,
    )
    .await;
}

/// Metadata only: the operator never holds the values of all Secrets.
async fn watch_secrets(ctx: &Arc<Context>, synced: oneshot::Sender<()>) {
    let api = Api::<PartialObjectMeta<Secret>>::all(ctx.client.clone());
    // The resident key manager follows its records itself.
    let selector = format!(
        "{}={},{COMPONENT_LABEL} notin ({})",
        hints::MANAGED_BY_LABEL,
        hints::MANAGED_BY,
        resident::record::COMPONENT
    );
    let config = watcher::Config::default().labels(&selector);
    let apply = |secret: PartialObjectMeta<Secret>| {
        let name = name(&secret);
        match secret.labels().get(COMPONENT_LABEL).map(String::as_str) {
            Some(STATE_COMPONENT) => {
                let mut world = ctx.world.lock();
                world.states.insert(name.name);
                let key = tombstone_of(secret.annotations()).filter(|key| world.tombstones.insert(key.clone()));
                drop(world);
                if let Some(key) = key {
                    ctx.add(Item::Key(key), Cause::Time);
                }
                return;
            }
            Some(snapshot::COMPONENT) => {
                let kept = snapshot::of(secret.annotations());
                if let Some(manager) = kept.filter(|manager| ctx.world.lock().snapshots.insert(manager.clone())) {
                    ctx.add(Item::KeyManager(KeyManagerKind::KeyManager, manager), Cause::Time);
                }
                return;
            }
            // Somebody may have damaged or mended what the resident key managers sign with.
            Some(resident::SIGNING_KEYS | resident::CERTIFICATE_COMPONENT) => {
                for manager in ctx.known_key_managers(KeyManagerKind::ClusterKeyManager) {
                    ctx.add(
                        Item::KeyManager(KeyManagerKind::ClusterKeyManager, manager),
                        Cause::Change,
                    );
                }
                return;
            }
            _ => {}
        }
        let Some(key) = secret.labels().get(KEY_LABEL).cloned() else {
            return;
        };
        let read = Hints::read(secret.annotations());
        let meta = SecretMeta {
            resource_version: secret.resource_version().unwrap_or_default(),
            applied: read.applied.clone(),
            version: read.version,
            handled: handled(&read),
            doubtful: doubtful(tampered(secret.meta()), &read),
            key,
        };
        let mut world = ctx.world.lock();
        if world.left_to_writer(&name, &meta) {
            return;
        }
        let known = world.secrets.get(&name).map(|known| known.resource_version.clone());
        if known.as_ref() == Some(&meta.resource_version) {
            return;
        }
        let key = world.key_labelled(&name.namespace, &meta.key);
        world.put_secret(name, meta);
        drop(world);
        if let Some(key) = key {
            ctx.add(Item::Key(key), Cause::Change);
        }
    };
    let delete = |name: Name| {
        let mut world = ctx.world.lock();
        if world.states.remove(&name.name) {
            let state = |key: &Name| identity::state_secret_name(&key.namespace, &key.name);
            world.tombstones.retain(|key| state(key) != name.name);
        }
        let Some(meta) = world.secrets.remove(&name) else {
            return;
        };
        let key = world.key_labelled(&name.namespace, &meta.key);
        drop(world);
        if let Some(key) = key {
            ctx.add(Item::Key(key), Cause::Change);
        }
    };
    let known = || ctx.world.lock().secrets.keys().cloned().collect();
    follow(watch(api, config), "Secret", synced, apply, delete, known).await;
}

async fn watch_keys(ctx: &Arc<Context>) {
    let api = Api::<DeserializeGuard<ApplicationKey>>::all(ctx.client.clone());
    let (synced, seen) = oneshot::channel();
    let apply = |key: DeserializeGuard<ApplicationKey>| {
        let mut key = match readable(key, "ApplicationKey") {
            Ok(key) => key,
            // The pass says so in its status.
            Err(name) => return ctx.add(Item::Key(name), Cause::Change),
        };
        key.metadata.managed_fields = None;
        let name = name(&key);
        super::key::remember(ctx, &key, None);
        let mut world = ctx.world.lock();
        if world.own_event(&name, key.metadata.resource_version.as_deref().unwrap_or_default()) {
            return;
        }
        world.fresh.insert(name.clone(), Arc::new(key));
        drop(world);
        ctx.add(Item::Key(name), Cause::Change);
    };
    let delete = |name: Name| {
        ctx.world.lock().fresh.remove(&name);
        ctx.add(Item::Key(name), Cause::Change);
    };
    let known = || ctx.world.lock().keys().cloned().collect();
    let watched = follow(
        watch(api, watcher::Config::default()),
        "ApplicationKey",
        synced,
        apply,
        delete,
        known,
    );
    let applications = async {
        // Keys are known now: Applications and key managers that wait for them can be told.
        if seen.await.is_ok() {
            ctx.after_keys_synced();
        }
    };
    futures::join!(watched, applications);
}
