//! A namespaced key manager that goes: what is still to be cleaned up at its server needs its spec and credential, which may go
//! before it, with the namespace.

use super::{
    Context,
    execute::Failure,
    queue::{Cause, Item, Name},
    report, steps,
};
use crate::{
    api::{KeyManagerKind, KeyManagerSpec},
    key_manager::{
        Opened, Wanted,
        snapshot::{Snapshot, Snapshots},
    },
};

fn snapshots(ctx: &Context) -> Snapshots {
    Snapshots::new(ctx.client.clone(), &ctx.settings.operator_namespace)
}

/// Keeps what a key manager that is being deleted needs. The driver that is open goes on: its credential may be gone already.
pub(super) async fn keep(ctx: &Context, name: &Name, spec: &KeyManagerSpec) -> Result<Option<Opened>, Failure> {
    let known = {
        let world = ctx.world.lock();
        world
            .key_managers
            .get(&(KeyManagerKind::KeyManager, name.clone()))
            .cloned()
    };
    let opened = known.and_then(|known| {
        let driver = known.driver.ok()?;
        Some(Opened {
            driver,
            look_again: None,
            stamp: known.stamp,
        })
    });
    if ctx.world.lock().snapshots.contains(name) {
        return Ok(opened);
    }
    match ctx.drivers.held(Wanted::namespaced(name, spec)).await {
        Some(held) => {
            let snapshot = Snapshot::new(spec.clone(), held);
            steps::change("KeepSnapshot", snapshots(ctx).keep(name, &snapshot)).await?;
            ctx.world.lock().snapshots.insert(name.clone());
        }
        None if opened.is_none() => report::no_credentials(ctx, name).await,
        None => {}
    }
    Ok(opened)
}

/// After it is gone: its spec, for as long as a deleted key of its namespace has left something there.
pub(super) async fn spec(ctx: &Context, name: &Name) -> Result<Option<KeyManagerSpec>, Failure> {
    let kept = ctx.world.lock().snapshots.contains(name);
    if !kept || ctx.waits_for_keys(item(name)) {
        return Ok(None);
    }
    let (tombstones, keys) = {
        let world = ctx.world.lock();
        let tombstones = world.tombstones.iter().any(|key| key.namespace == name.namespace);
        (
            tombstones,
            world.keys_of_key_manager(&(KeyManagerKind::KeyManager, name.clone())),
        )
    };
    if tombstones || !keys.is_empty() {
        return Ok(snapshots(ctx).get(name).await?.map(|snapshot| snapshot.spec));
    }
    steps::change("ForgetSnapshot", snapshots(ctx).forget(name)).await?;
    ctx.world.lock().snapshots.remove(name);
    Ok(None)
}

/// Nothing is left of a deleted key: a key manager that was kept for that may go.
pub(super) fn cleaned(ctx: &Context, key: &Name) {
    let kept: Vec<_> = {
        let world = ctx.world.lock();
        let same = world.snapshots.iter().filter(|name| name.namespace == key.namespace);
        same.cloned().collect()
    };
    for name in kept {
        ctx.add(item(&name), Cause::Time);
    }
}

fn item(name: &Name) -> Item {
    Item::KeyManager(KeyManagerKind::KeyManager, name.clone())
}
