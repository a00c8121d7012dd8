//! Watches: events of the cluster become memory and work. Nothing here calls a key manager or writes.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Resource as _, ResourceExt as _,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::watcher,
};
use tokio::sync::oneshot;

use super::{
    Context,
    follow::{self, Followed, name, readable},
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
    scope::RESIDENT,
};

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
    if let Some(limited) = ctx.settings.scope.limited() {
        let named = limited.namespaces.iter();
        let unlabelled = named.map(|name| (name.clone(), BTreeMap::new()));
        ctx.world.lock().namespaces.extend(unlabelled);
        let _ = synced.send(());
        return;
    }
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
    let what = Followed {
        kind: "Namespace",
        config: watcher::Config::default(),
        apply,
        delete,
        known,
    };
    follow::of_cluster(api, what, synced).await;
}

async fn watch_applications(ctx: &Arc<Context>, synced: oneshot::Sender<()>) {
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
    let what = Followed {
        kind: "Application",
        config: watcher::Config::default(),
        apply,
        delete,
        known,
    };
    follow::everywhere(&ctx.client, ctx.settings.scope.places(), what, synced).await;
}

async fn watch_cluster_key_managers(ctx: &Arc<Context>, synced: oneshot::Sender<()>) {
    let add = |name: Name| {
        ctx.add(Item::KeyManager(KeyManagerKind::ClusterKeyManager, name), Cause::Change);
    };
    if let Some(limited) = ctx.settings.scope.limited() {
        if limited.resident.is_some() {
            add(Name::new("", RESIDENT));
        }
        let _ = synced.send(());
        return;
    }
    let api = Api::<PartialObjectMeta<ClusterKeyManager>>::all(ctx.client.clone());
    let what = Followed {
        kind: "ClusterKeyManager",
        config: watcher::Config::default(),
        apply: |object: PartialObjectMeta<ClusterKeyManager>| add(name(&object)),
        delete: add,
        known: || ctx.known_key_managers(KeyManagerKind::ClusterKeyManager),
    };
    follow::of_cluster(api, what, synced).await;
}

async fn watch_key_managers(ctx: &Arc<Context>, synced: oneshot::Sender<()>) {
    let add = |name: Name| {
        ctx.add(Item::KeyManager(KeyManagerKind::KeyManager, name), Cause::Change);
    };
    let what = Followed {
        kind: "KeyManager",
        config: watcher::Config::default(),
        apply: |object: PartialObjectMeta<KeyManager>| add(name(&object)),
        delete: add,
        known: || ctx.known_key_managers(KeyManagerKind::KeyManager),
    };
    follow::everywhere(&ctx.client, ctx.settings.scope.places(), what, synced).await;
}

/// Metadata only: the operator never holds the values of all Secrets.
async fn watch_secrets(ctx: &Arc<Context>, synced: oneshot::Sender<()>) {
    // The resident key manager follows its records itself.
    let selector = format!(
        "{}={},{COMPONENT_LABEL} notin ({})",
        hints::MANAGED_BY_LABEL,
        hints::MANAGED_BY,
        resident::record::COMPONENT
    );
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
    let mut places = ctx.settings.scope.places();
    let own = Some(ctx.settings.operator_namespace.clone());
    if ctx.settings.scope.limited().is_some() && !places.contains(&own) {
        places.push(own);
    }
    let what = Followed {
        kind: "Secret",
        config: watcher::Config::default().labels(&selector),
        apply,
        delete,
        known,
    };
    follow::everywhere(&ctx.client, places, what, synced).await;
}

async fn watch_keys(ctx: &Arc<Context>) {
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
    let what = Followed {
        kind: "ApplicationKey",
        config: watcher::Config::default(),
        apply,
        delete,
        known,
    };
    let watched = follow::everywhere(&ctx.client, ctx.settings.scope.places(), what, synced);
    let applications = async {
        // Keys are known now: Applications and key managers that wait for them can be told.
        if seen.await.is_ok() {
            ctx.after_keys_synced();
        }
    };
    futures::join!(watched, applications);
}
