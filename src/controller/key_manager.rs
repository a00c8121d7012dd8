//! One pass over a key manager: open its driver, say what was found; its deletion waits for its keys.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;

use super::{
    Context, departed,
    execute::Failure,
    key::Again,
    key_manager_says::finish,
    queue::{Cause, IN_FLIGHT, Item, Lane, Name},
    report, steps,
    world::{GONE_WINDOW, Inner, KeyManagerEntry},
};
use crate::{
    api::{
        ClusterKeyManager, ClusterKeyManagerSpec, KeyManager as NamespacedKeyManager, KeyManagerKind, KeyManagerSpec,
        KeyManagerStatus, Limits, conditions::Say,
    },
    key_manager::{Capabilities, Endpoints, KeyManager, Opened, Wanted, budget::Budget, gate::Gate},
    metrics::NAMESPACED,
    spans,
};

/// Condition: so many clients are gone that the key manager must have lost its data.
pub(super) const DATA_LOSS: &str = "SuspectedDataLoss";
/// Condition: other key managers are the default too, so that none of them is used as such.
pub(super) const AMBIGUOUS_DEFAULT: &str = "AmbiguousDefault";
/// Reason: there is no answer.
const UNREACHABLE: &str = "Unreachable";
/// Annotation: a person says that the clients are to be made anew.
pub(super) const CONFIRM_DATA_LOSS: &str = "appkeys.dev/confirm-data-loss";

/// Works on one key manager.
pub async fn reconcile(ctx: &Context, kind: KeyManagerKind, name: &Name) -> Again {
    let result = match kind {
        KeyManagerKind::ClusterKeyManager => cluster(ctx, name).await,
        KeyManagerKind::KeyManager => namespaced(ctx, name).await,
    };
    match result {
        Ok(again) => again,
        Err(failure) => {
            report::failed_pass(name, &failure);
            Again::Failed
        }
    }
}

async fn cluster(ctx: &Context, name: &Name) -> Result<Again, Failure> {
    if let Some(limited) = ctx.settings.scope.limited() {
        return Ok(match limited.key_manager(name) {
            Some(spec) => of_file(ctx, name, spec).await,
            None => Again::OnChange,
        });
    }
    let api = Api::<ClusterKeyManager>::all(ctx.client.clone());
    let Some(object) = api.get_opt(&name.name).await? else {
        gone(ctx, KeyManagerKind::ClusterKeyManager, name);
        return Ok(Again::OnChange);
    };
    let opened = steps::look("Open", ctx.drivers.open(Wanted::cluster(name, &object.spec))).await;
    let again = renewal(&opened);
    let entry = KeyManagerEntry {
        drift: object.spec.drift.clone(),
        access: object.spec.access.clone(),
        default: object.spec.default,
        ..entry(
            ctx,
            &opened,
            &object.metadata,
            object.status.as_ref(),
            object.spec.limits.as_ref(),
            gate(
                ctx,
                &name.name,
                object.spec.limits.as_ref(),
                object.spec.resident.is_some(),
                None,
            ),
        )
    };
    remember(ctx, KeyManagerKind::ClusterKeyManager, name, entry);
    finish(
        ctx,
        &api,
        object.clone(),
        object.status.clone(),
        KeyManagerKind::ClusterKeyManager,
        name,
        opened,
        |object, status| {
            object.status = Some(status);
        },
    )
    .await?;
    Ok(again)
}

/// A key manager that is no object: what its status would say is a line of the log and, where it is trouble, an event.
async fn of_file(ctx: &Context, name: &Name, spec: &ClusterKeyManagerSpec) -> Again {
    let opened = steps::look("Open", ctx.drivers.open(Wanted::cluster(name, spec))).await;
    let again = renewal(&opened);
    let limits = spec.limits.as_ref();
    let gate = gate(ctx, &name.name, limits, true, None);
    let entry = KeyManagerEntry {
        access: spec.access.clone(),
        default: spec.default,
        ..entry(ctx, &opened, &ObjectMeta::default(), None, limits, gate)
    };
    let before = {
        let world = ctx.world.lock();
        let known = world
            .key_managers
            .get(&(KeyManagerKind::ClusterKeyManager, name.clone()));
        known.map(|known| said(&known.driver).map(|_| ()).map_err(Clone::clone))
    };
    match said(&entry.driver) {
        Ok(_) if before == Some(Ok(())) => {}
        Ok((endpoints, _)) => {
            tracing::info!(key_manager = %name, issuer = endpoints.issuer, "keys may use this key manager");
        }
        Err(say) if before.as_ref() == Some(&Err(say.clone())) => {}
        Err(say) => report::key_manager_not_ready(ctx, name, say).await,
    }
    remember(ctx, KeyManagerKind::ClusterKeyManager, name, entry);
    again
}

async fn namespaced(ctx: &Context, name: &Name) -> Result<Again, Failure> {
    let api = Api::<NamespacedKeyManager>::namespaced(ctx.client.clone(), &name.namespace);
    let budget = ctx.budgets.of(&name.namespace);
    let open = async |spec: &KeyManagerSpec| {
        spans::waiting("wait for the call budget", budget.take()).await;
        steps::look("Open", ctx.drivers.open(Wanted::namespaced(name, spec))).await
    };
    let Some(object) = api.get_opt(&name.name).await? else {
        let Some(spec) = departed::spec(ctx, name).await? else {
            gone(ctx, KeyManagerKind::KeyManager, name);
            return Ok(Again::OnChange);
        };
        let opened = open(&spec).await;
        let meta = ObjectMeta::default();
        let entry = KeyManagerEntry {
            departed: true,
            ..entry(
                ctx,
                &opened,
                &meta,
                None,
                spec.limits.as_ref(),
                gate(ctx, NAMESPACED, spec.limits.as_ref(), false, Some(budget.clone())),
            )
        };
        remember(ctx, KeyManagerKind::KeyManager, name, entry);
        return Ok(match opened {
            Ok(_) => Again::OnChange,
            Err(_) => Again::Failed,
        });
    };
    let kept = match object.metadata.deletion_timestamp {
        Some(_) => departed::keep(ctx, name, &object.spec).await?,
        None => None,
    };
    let opened = match kept {
        Some(opened) => Ok(opened),
        None => open(&object.spec).await,
    };
    let again = renewal(&opened);
    let entry = KeyManagerEntry {
        drift: object.spec.drift.clone(),
        ..entry(
            ctx,
            &opened,
            &object.metadata,
            object.status.as_ref(),
            object.spec.limits.as_ref(),
            gate(
                ctx,
                NAMESPACED,
                object.spec.limits.as_ref(),
                false,
                Some(budget.clone()),
            ),
        )
    };
    remember(ctx, KeyManagerKind::KeyManager, name, entry);
    finish(
        ctx,
        &api,
        object.clone(),
        object.status.clone(),
        KeyManagerKind::KeyManager,
        name,
        opened,
        |object, status| {
            object.status = Some(status);
        },
    )
    .await?;
    Ok(again)
}

fn renewal(opened: &Result<Opened, Say>) -> Again {
    match opened {
        Ok(opened) => opened.look_again.map_or(Again::OnChange, Again::At),
        Err(_) => Again::Failed,
    }
}

/// The way to a key manager; its metrics are called `label`.
fn gate(ctx: &Context, label: &str, limits: Option<&Limits>, resident: bool, budget: Option<Arc<Budget>>) -> Gate {
    Gate::new(
        label.to_owned(),
        limits,
        resident,
        budget,
        ctx.clock.clone(),
        ctx.leadership.clone(),
        ctx.metrics.clone(),
    )
}

/// A key manager as it is remembered. A loss of data that was said before holds until a person confirms it.
fn entry(
    ctx: &Context,
    opened: &Result<Opened, Say>,
    meta: &ObjectMeta,
    status: Option<&KeyManagerStatus>,
    limits: Option<&Limits>,
    gate: Gate,
) -> KeyManagerEntry {
    let now = ctx.clock.now();
    let said = status.and_then(|status| {
        status
            .conditions
            .iter()
            .find(|c| c.type_ == DATA_LOSS && c.status == "True")
    });
    let confirmed = said.is_some_and(|said| {
        let annotation = meta.annotations.as_ref().and_then(|all| all.get(CONFIRM_DATA_LOSS));
        annotation == Some(&said.last_transition_time.0.to_string())
    });
    let in_flight = limits.and_then(|limits| usize::try_from(limits.max_in_flight?).ok());
    KeyManagerEntry {
        driver: opened
            .as_ref()
            .map(|opened| opened.driver.clone())
            .map_err(Clone::clone),
        not_ready: opened.as_ref().err().map(|say| say.reason),
        gate: Arc::new(gate),
        in_flight: in_flight.unwrap_or(IN_FLIGHT),
        access: vec![],
        default: false,
        generation: meta.generation,
        stamp: opened.as_ref().map(|opened| opened.stamp.clone()).unwrap_or_default(),
        gone: BTreeMap::new(),
        drift: None,
        departed: false,
        data_loss: said.is_some() && !confirmed,
        confirmed_until: confirmed.then(|| now.checked_add(GONE_WINDOW).unwrap_or(now)),
    }
}

fn remember(ctx: &Context, kind: KeyManagerKind, name: &Name, mut entry: KeyManagerEntry) {
    let mut world = ctx.world.lock();
    let before = world.key_managers.remove(&(kind, name.clone()));
    if let Some(before) = &before
        && before.generation == entry.generation
    {
        let unreachable = entry.driver.as_ref().is_err_and(|say| say.reason == UNREACHABLE);
        if unreachable && before.driver.is_ok() {
            // What was found there before still holds; its keys try by themselves.
            entry.driver.clone_from(&before.driver);
            entry.stamp.clone_from(&before.stamp);
        }
        if before.stamp == entry.stamp {
            // What was learnt of the way to it holds until its spec or the operator's credential changes.
            entry.gate = before.gate.clone();
        }
    }
    if let Some(before) = &before
        && entry.confirmed_until.is_none()
    {
        entry.gone.clone_from(&before.gone);
        entry.data_loss |= before.data_loss;
        entry.confirmed_until = before.confirmed_until;
    }
    ctx.queue.set_limit(Lane::Keys(kind, name.clone()), entry.in_flight);
    world.key_managers.insert((kind, name.clone()), entry.clone());
    let others = if before.as_ref().is_some_and(|before| before.default) == entry.default {
        vec![]
    } else {
        other_defaults(&world, name)
    };
    let same = before.is_some_and(|before| {
        before.access == entry.access
            && before.default == entry.default
            && before.drift == entry.drift
            && before.generation == entry.generation
            && before.stamp == entry.stamp
            && said(&before.driver) == said(&entry.driver)
            && before.data_loss == entry.data_loss
    });
    if same {
        return;
    }
    let mut keys = world.keys_of_key_manager(&(kind, name.clone()));
    keys.extend(world.keys_without_key_manager());
    drop(world);
    tell(ctx, keys, others);
}

/// What a key sees of a driver: where it is and what it can, or why it cannot be used.
fn said(driver: &Result<Arc<dyn KeyManager>, Say>) -> Result<(&Endpoints, &Capabilities), &Say> {
    driver
        .as_ref()
        .map(|driver| (driver.endpoints(), driver.capabilities()))
}

fn gone(ctx: &Context, kind: KeyManagerKind, name: &Name) {
    let mut world = ctx.world.lock();
    let before = world.key_managers.remove(&(kind, name.clone()));
    let mut keys = world.keys_of_key_manager(&(kind, name.clone()));
    let mut others = vec![];
    if before.is_some_and(|before| before.default) {
        // Of two defaults the other one may be the only one now.
        keys.extend(world.keys_without_key_manager());
        others = other_defaults(&world, name);
    }
    drop(world);
    tell(ctx, keys, others);
}

/// The key managers beside `name` that are the default.
pub(super) fn other_defaults(world: &Inner, name: &Name) -> Vec<String> {
    let defaults = world.defaults().into_iter();
    defaults.filter(|default| *default != name.name).collect()
}

fn tell(ctx: &Context, keys: Vec<Name>, defaults: Vec<String>) {
    for key in keys {
        ctx.add(Item::Key(key), Cause::Change);
    }
    for default in defaults {
        let name = Name::new("", default);
        ctx.add(Item::KeyManager(KeyManagerKind::ClusterKeyManager, name), Cause::Change);
    }
}
