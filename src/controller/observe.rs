//! Reads what a pass over one key needs: from memory where that is enough, live where it decides something.

use std::sync::Arc;

use kube::{Api, ResourceExt as _};

use super::{Context, drift, queue::Name, secrets, world};
use crate::{
    api::{ApplicationKey, ApplicationKeySpec, DriftPolicy, KeyManagerKind, conditions::Say},
    plan::{
        access::Grants,
        hand::{Hand, InHand},
        hints,
        observed::{Observed, PlacedClient, SecretView, State, Target},
        removal, resolve, secret,
    },
};

/// A key with what guards the writes to its state.
#[derive(Debug)]
pub struct Seen {
    /// What the plan sees.
    pub o: Observed,
    /// The state Secret, where there is one.
    pub stored_state: secrets::StoredState,
}

/// The key as an event brought it, or live. `None` where it is gone.
pub async fn key(ctx: &Context, name: &Name) -> kube::Result<Option<Arc<ApplicationKey>>> {
    let fresh = ctx.world.lock().fresh.remove(name);
    match fresh {
        Some(key) => Ok(Some(key)),
        None => Ok(Api::<ApplicationKey>::namespaced(ctx.client.clone(), &name.namespace)
            .get_opt(&name.name)
            .await?
            .map(Arc::new)),
    }
}

/// Everything that a decision about `key` needs.
pub async fn observe(ctx: &Context, key: ApplicationKey) -> kube::Result<Seen> {
    let name = Name::new(key.namespace().unwrap_or_default(), key.name_any());
    let new = key.metadata.finalizers.as_ref().is_none_or(Vec::is_empty);
    let stored_state = if !new
        || ctx
            .world
            .lock()
            .states
            .contains(&crate::plan::identity::state_secret_name(&name.namespace, &name.name))
    {
        read_state(ctx, &name).await?
    } else {
        secrets::StoredState::default()
    };
    let secret = own_secret(ctx, &name, &key, new).await?;
    let separate = !secret::same_secret(&key.spec);
    let known_tokens = ctx
        .world
        .lock()
        .secrets
        .contains_key(&Name::new(&name.namespace, secret::tokens_name(&key)));
    let tokens = if known_tokens || separate && !key.spec.access_tokens.is_empty() {
        read_secret(ctx, &name, &secret::tokens_name(&key), new).await?
    } else {
        SecretView::Absent
    };
    let former_name = key
        .status
        .as_ref()
        .and_then(|s| s.secret_ref.as_ref())
        .map(|r| r.name.clone());
    let former = match former_name.filter(|former| *former != secret::name(&key)) {
        Some(former) => match read_secret(ctx, &name, &former, false).await? {
            SecretView::Ours(published) if published.released_by.is_none() => Some(published),
            _ => None,
        },
        None => None,
    };
    let application = {
        let world = ctx.world.lock();
        world
            .applications
            .get(&Name::new(&name.namespace, &key.spec.application_ref.name))
            .cloned()
    };
    let found_before = match (&secret, &former) {
        (SecretView::Ours(published), _) => published.hints.key_manager.clone(),
        (_, Some(former)) => former.hints.key_manager.clone(),
        _ => None,
    }
    .or_else(|| key.status.as_ref().and_then(|status| status.key_manager.clone()))
    .or_else(|| first_key_manager(&key));
    let target = target(
        ctx,
        &key,
        application.as_ref().and_then(|a| a.key_manager_ref.as_ref()),
        found_before.as_ref(),
    );
    let mut hand = hand(&stored_state.state, &secret);
    hand.looked = !new;
    hand.compare = !new && drift::is_due(ctx, &name);
    hand.released = released(ctx, &name.namespace, &secret).await?;
    hand.in_doubt = ctx.world.lock().in_doubt.contains(&name);
    if let Some(deleted) = &key.metadata.deletion_timestamp {
        let failed = ctx.world.lock().deleting.get(&name).copied().unwrap_or_default();
        let (deadline, now) = (ctx.settings.deletion_deadline, ctx.clock.now());
        hand.overdue = removal::overdue(deleted.0, failed.so_far(), deadline, now);
    }
    let o = Observed {
        cluster_id: ctx.settings.cluster_id.clone(),
        key,
        application,
        first_in_environment: first_in_environment(ctx, &name, target.as_ref().ok()),
        target,
        secret,
        former,
        tokens,
        state: stored_state.state.clone(),
        hand,
    };
    Ok(Seen { o, stored_state })
}

/// What a clean-up after a key that is gone needs.
pub fn departed(ctx: &Context, name: &Name, stored_state: secrets::StoredState) -> Seen {
    let mut key = ApplicationKey::new(&name.name, ApplicationKeySpec::default());
    key.metadata.namespace = Some(name.namespace.clone());
    let o = Observed {
        cluster_id: ctx.settings.cluster_id.clone(),
        key,
        application: None,
        first_in_environment: None,
        target: Err(Say::no("Ready", "Gone", "the key is gone")),
        secret: SecretView::Absent,
        former: None,
        tokens: SecretView::Absent,
        state: stored_state.state.clone(),
        hand: Hand::default(),
    };
    Seen { o, stored_state }
}

/// Another key that comes before this one of those that want the same client of an application.
fn first_in_environment(ctx: &Context, name: &Name, target: Option<&Target>) -> Option<String> {
    let target = target.filter(|target| target.capabilities.applications)?;
    let first = ctx.world.lock().first_in_environment(name, &target.reference)?;
    (first != name.name).then_some(first)
}

/// Reads live what a new key knows from the watch alone.
pub async fn look(ctx: &Context, seen: &mut Seen) -> kube::Result<()> {
    let name = Name::new(seen.o.namespace(), seen.o.name());
    seen.stored_state = read_state(ctx, &name).await?;
    seen.o.state = seen.stored_state.state.clone();
    seen.o.secret = own_secret(ctx, &name, &seen.o.key, false).await?;
    seen.o.hand = Hand {
        looked: true,
        in_doubt: seen.o.hand.in_doubt,
        released: released(ctx, &name.namespace, &seen.o.secret).await?,
        not_found: std::mem::take(&mut seen.o.hand.not_found),
        deleted: std::mem::take(&mut seen.o.hand.deleted),
        ..hand(&seen.o.state, &seen.o.secret)
    };
    Ok(())
}

/// The state of the deleted key whose Secret this is.
async fn released(ctx: &Context, namespace: &str, secret: &SecretView) -> kube::Result<Option<State>> {
    let Some(former) = secret.ours().and_then(|published| published.released_by.as_ref()) else {
        return Ok(None);
    };
    Ok(Some(read_state(ctx, &Name::new(namespace, former)).await?.state))
}

/// The key manager that was found for a key before anything was published.
fn first_key_manager(key: &ApplicationKey) -> Option<crate::api::KeyManagerRef> {
    let note = key.annotations().get(hints::FIRST_CLIENT)?;
    hints::reference(note.rsplit_once('/')?.0)
}

/// Reads the state Secret of a key.
pub async fn read_state(ctx: &Context, name: &Name) -> kube::Result<secrets::StoredState> {
    secrets::read_state(
        &ctx.client,
        &ctx.settings.operator_namespace,
        &name.namespace,
        &name.name,
    )
    .await
}

/// Reads the Secret of a key's credential; of keys that name the same one, and none has published it, the first has it.
async fn own_secret(ctx: &Context, name: &Name, key: &ApplicationKey, new: bool) -> kube::Result<SecretView> {
    let secret = secret::name(key);
    let view = read_secret(ctx, name, &secret, new).await?;
    if !matches!(view, SecretView::Absent) {
        return Ok(view);
    }
    let first = ctx.world.lock().first_to_name(&Name::new(&name.namespace, secret));
    let other = first.filter(|first| *first != name.name);
    Ok(other.map_or(SecretView::Absent, SecretView::Wanted))
}

/// Reads a Secret as a key sees it. A key that nothing was done for yet trusts the cache; its create is guarded anyway.
pub async fn read_secret(ctx: &Context, key: &Name, secret: &str, new: bool) -> kube::Result<SecretView> {
    let known = ctx
        .world
        .lock()
        .secrets
        .contains_key(&Name::new(&key.namespace, secret));
    if new && !known {
        return Ok(SecretView::Absent);
    }
    let lives = |owner: &str| ctx.world.lock().key_labelled(&key.namespace, owner).is_some();
    secrets::read(
        &ctx.client,
        &key.namespace,
        secret,
        &key.name,
        &ctx.settings.cluster_id,
        lives,
    )
    .await
}

/// The key manager of a key with what its namespace may have there.
pub fn target(
    ctx: &Context,
    key: &ApplicationKey,
    of_application: Option<&crate::api::KeyManagerRef>,
    found_before: Option<&crate::api::KeyManagerRef>,
) -> Result<Target, Say> {
    let namespace = key.namespace().unwrap_or_default();
    let kind = key.spec.client_authentication.unwrap_or_default().credential();
    let world = ctx.world.lock();
    let reference = resolve::key_manager(key, of_application, found_before, &world.defaults())?;
    let Some(entry) = world.key_managers.get(&world::key_manager_name(&reference, &namespace)) else {
        return Err(Say::no(
            "Ready",
            "KeyManagerNotFound",
            format!("there is no {reference}: create it or name another"),
        ));
    };
    if entry.departed {
        let text = format!("{reference} is gone: create it or name another");
        return Err(Say::no("Ready", "KeyManagerNotFound", text));
    }
    let driver = entry
        .driver
        .as_ref()
        .map_err(|say| Say::no("Ready", "KeyManagerNotReady", format!("{reference}: {}", say.message)))?;
    let grants = match reference.kind {
        KeyManagerKind::KeyManager => Grants::everything(),
        KeyManagerKind::ClusterKeyManager => {
            let none = std::collections::BTreeMap::new();
            let labels = world.namespaces.get(&namespace);
            if labels.is_none() && !entry.access.is_empty() {
                // Nothing is granted and nothing withdrawn for labels that were not seen.
                let text =
                    format!("namespace {namespace} was not seen yet, so what {reference} grants it is not known");
                return Err(Say::no("Ready", "NamespaceNotSeen", text));
            }
            Grants::of(&entry.access, labels.unwrap_or(&none))
        }
    };
    Ok(Target {
        capabilities: driver.capabilities().with(kind),
        endpoints: driver.endpoints().clone(),
        corrects: entry.drift.as_ref().and_then(|drift| drift.policy) == Some(DriftPolicy::Correct),
        reference,
        grants,
    })
}

/// What an earlier process stored and did not publish is in hand again.
fn hand(state: &State, secret: &SecretView) -> Hand {
    let published = |client: &PlacedClient| secret.ours().is_some_and(|secret| secret.is_of(client));
    let unpublished = state
        .answer
        .as_ref()
        .filter(|_| state.client.as_ref().is_some_and(|client| !published(client)));
    Hand {
        differs: unpublished.map(|answer| answer.differs.clone()),
        credential: unpublished.map(|answer| InHand {
            client_id: answer.client_id.clone(),
            secret: answer.secret.clone(),
            verified: None,
            previous_works: false,
            secret_ends: answer.secret_ends,
            applied: Some(answer.applied.clone()),
        }),
        ..Hand::default()
    }
}
