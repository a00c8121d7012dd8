//! Effects at the API server: the key itself, its Secrets and its state.

use std::collections::BTreeMap;

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};

use super::Failure;
use crate::{
    api::{ApplicationKey, ApplicationKeyStatus, FIELD_MANAGER, FINALIZER},
    controller::{
        Context,
        observe::{self, Seen},
        queue::{Cause, Item, Name},
        report,
        secrets::{self, Written},
        steps,
    },
    plan::{
        hand::Hand,
        hints, identity,
        observed::{PlacedClient, Published, SecretView, State},
        secret,
    },
};

pub(super) async fn begin(ctx: &Context, seen: &mut Seen, first: Option<PlacedClient>) -> Result<(), Failure> {
    let meta = &seen.o.key.metadata;
    let mut finalizers = meta.finalizers.clone().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    finalizers.push(FINALIZER.to_owned());
    let mut annotations = meta.annotations.clone().unwrap_or_default();
    let before = annotations.remove(hints::FIRST_CLIENT);
    if let Some(first) = first {
        let note = format!("{}/{}", first.key_manager, first.client.id);
        annotations.insert(hints::FIRST_CLIENT.to_owned(), note);
    }
    let changed = before.as_ref() != annotations.get(hints::FIRST_CLIENT);
    patch_metadata(ctx, seen, &finalizers, changed.then_some(&annotations)).await
}

pub(super) async fn remove_finalizer(ctx: &Context, seen: &mut Seen) -> Result<(), Failure> {
    let all = seen.o.key.metadata.finalizers.clone().unwrap_or_default();
    let finalizers: Vec<_> = all.into_iter().filter(|finalizer| finalizer != FINALIZER).collect();
    match patch_metadata(ctx, seen, &finalizers, None).await {
        Err(Failure::Api(kube::Error::Api(status))) if status.is_not_found() => Ok(()),
        other => other,
    }?;
    seen.o.key.metadata.finalizers = Some(finalizers);
    Ok(())
}

pub(super) async fn patch_metadata(
    ctx: &Context,
    seen: &mut Seen,
    finalizers: &[String],
    annotations: Option<&BTreeMap<String, String>>,
) -> Result<(), Failure> {
    let key = &seen.o.key;
    let mut operations = vec![
        serde_json::json!({ "op": "test", "path": "/metadata/resourceVersion", "value": key.resource_version() }),
        serde_json::json!({ "op": "add", "path": "/metadata/finalizers", "value": finalizers }),
    ];
    operations.extend(
        annotations.map(|all| serde_json::json!({ "op": "add", "path": "/metadata/annotations", "value": all })),
    );
    let patch = serde_json::Value::Array(operations);
    let patch: json_patch::Patch = serde_json::from_value(patch).map_err(kube::Error::SerdeError)?;
    let api = Api::<ApplicationKey>::namespaced(ctx.client.clone(), seen.o.namespace());
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api.patch(&key.name_any(), &params, &Patch::<()>::Json(patch)).await {
        Ok(key) => wrote(ctx, seen, key),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_invalid() => return Err(Failure::Changed),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// The key as a write left it.
pub(super) fn wrote(ctx: &Context, seen: &mut Seen, mut key: ApplicationKey) {
    key.metadata.managed_fields = None;
    let name = Name::new(seen.o.namespace(), seen.o.name());
    ctx.world.lock().wrote_key(&name, &key);
    seen.o.key = key;
}

pub(super) async fn write_state(ctx: &Context, seen: &mut Seen, state: State) -> Result<(), Failure> {
    let name = Name::new(seen.o.namespace(), seen.o.name());
    let operator = &ctx.settings.operator_namespace;
    let before = seen.stored_state.stored.as_deref();
    let written = secrets::write_state(&ctx.client, operator, &name.namespace, &name.name, before, state).await?;
    let Some(stored) = written else {
        return Err(Failure::Changed);
    };
    let secret_name = identity::state_secret_name(&name.namespace, &name.name);
    let mut world = ctx.world.lock();
    if stored.stored.is_some() {
        world.states.insert(secret_name);
    } else {
        world.states.remove(&secret_name);
    }
    if stored.state.tombstone.is_some() {
        world.tombstones.insert(name);
    } else {
        world.tombstones.remove(&name);
    }
    drop(world);
    seen.o.state = stored.state.clone();
    seen.stored_state = stored;
    Ok(())
}

/// Says on its key manager what a key leaves behind, then notes it. The key goes whether that can be said or not.
pub(super) async fn entomb(ctx: &Context, seen: &mut Seen, state: State) -> Result<(), Failure> {
    let tombstone = state.tombstone.clone().unwrap_or_default();
    let key = Name::new(seen.o.namespace(), seen.o.name());
    let clients = tombstone
        .clients
        .iter()
        .map(|placed| (&placed.key_manager, &placed.client.id));
    let attempts = tombstone
        .attempts
        .iter()
        .map(|attempt| (&attempt.key_manager, &attempt.id));
    for (key_manager, id) in clients.chain(attempts) {
        report::entombed(ctx, &key, key_manager, id).await;
    }
    write_state(ctx, seen, state).await
}

pub(super) async fn hand_over(ctx: &Context, seen: &mut Seen, former: &str) -> Result<(), Failure> {
    let namespace = seen.o.namespace().to_owned();
    let stored = observe::read_state(ctx, &Name::new(&namespace, former)).await?;
    let left = State {
        replacements: stored.state.replacements,
        ..State::default()
    };
    let operator = &ctx.settings.operator_namespace;
    let before = stored.stored.as_deref();
    let written = secrets::write_state(&ctx.client, operator, &namespace, former, before, left.clone()).await?;
    if written.is_none() {
        return Err(Failure::Changed);
    }
    seen.o.hand.released = Some(left);
    Ok(())
}

pub(super) async fn fence(ctx: &Context, seen: &mut Seen, published: &Published) -> Result<(), Failure> {
    let mut hints = published.hints.clone();
    hints.attempt = ctx.entropy.attempt_id()?;
    let rendered = secret::Rendered {
        name: published.name.clone(),
        type_: "",
        labels: published.labels.clone(),
        annotations: hints.write(),
        entries: published.entries.clone(),
    };
    let written = write_secret(ctx, seen, &rendered, Some(published)).await?;
    seen.o.hand.fenced = matches!(written, Written::Done(_));
    self::published(ctx, seen, &published.name, written, false).await
}

/// Writes a Secret of the key. Its own event brings nothing new, also where that comes before the answer.
pub(super) async fn write_secret(
    ctx: &Context,
    seen: &Seen,
    rendered: &secret::Rendered,
    replaces: Option<&Published>,
) -> Result<Written, Failure> {
    let key = Name::new(seen.o.namespace(), seen.o.name());
    let name = Name::new(&key.namespace, &rendered.name);
    ctx.world.lock().begin_write(&name);
    let written = secrets::write(&ctx.client, &key.namespace, rendered, replaces).await;
    let meta = match &written {
        Ok(Written::Done(published)) => Some(secrets::meta(published)),
        _ => None,
    };
    let changed = ctx.world.lock().end_write(&name, meta.as_ref());
    if changed {
        ctx.add(Item::Key(key), Cause::Change);
    }
    Ok(written?)
}

/// Puts what a write of a Secret changed where the plan and the cache see it; after a conflict what is there now.
pub(super) async fn published(
    ctx: &Context,
    seen: &mut Seen,
    name: &str,
    written: Written,
    tokens: bool,
) -> Result<(), Failure> {
    let key = Name::new(seen.o.namespace(), seen.o.name());
    let view = match written {
        Written::Done(published) => {
            let mut world = ctx.world.lock();
            world.put_secret(Name::new(&key.namespace, name), secrets::meta(&published));
            drop(world);
            if !tokens && let Some(credential) = seen.o.hand.credential.take() {
                seen.o.hand = Hand {
                    checked: credential.verified == Some(true),
                    tokens: std::mem::take(&mut seen.o.hand.tokens),
                    refused_tokens: std::mem::take(&mut seen.o.hand.refused_tokens),
                    not_found: std::mem::take(&mut seen.o.hand.not_found),
                    deleted: std::mem::take(&mut seen.o.hand.deleted),
                    updated: true,
                    ..Hand::default()
                };
            }
            SecretView::Ours(published)
        }
        Written::Conflict => observe::read_secret(ctx, &key, name, false).await?,
    };
    if tokens {
        seen.o.tokens = view;
    } else {
        seen.o.secret = view;
    }
    Ok(())
}

pub(super) async fn delete_former(ctx: &Context, seen: &mut Seen, former: &str) -> Result<(), Failure> {
    let key = Name::new(seen.o.namespace(), seen.o.name());
    if let SecretView::Ours(published) = observe::read_secret(ctx, &key, former, false).await?
        && published.released_by.is_none()
    {
        secrets::delete(&ctx.client, &key.namespace, &published).await?;
    }
    ctx.world.lock().secrets.remove(&Name::new(&key.namespace, former));
    let Some(ours) = seen.o.secret.ours().cloned() else {
        return Ok(());
    };
    let mut hints = ours.hints.clone();
    hints.former = None;
    let rendered = secret::Rendered {
        name: ours.name.clone(),
        type_: "",
        labels: ours.labels.clone(),
        annotations: hints.write(),
        entries: ours.entries.clone(),
    };
    let written = write_secret(ctx, seen, &rendered, Some(&ours)).await?;
    published(ctx, seen, &ours.name, written, false).await
}

/// Writes status where it differs, guarded by the key's resource version.
pub async fn write_status(ctx: &Context, seen: &mut Seen, status: ApplicationKeyStatus) -> Result<(), Failure> {
    if seen.o.key.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let api = Api::<ApplicationKey>::namespaced(ctx.client.clone(), seen.o.namespace());
    let mut key = seen.o.key.clone();
    key.status = Some(status);
    key.metadata.managed_fields = None;
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let write = async {
        match api.replace_status(&key.name_any(), &params, &key).await {
            Ok(key) => {
                wrote(ctx, seen, key);
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_conflict() => Err(Failure::Changed),
            Err(error) => Err(error.into()),
        }
    };
    steps::change("WriteStatus", write).await
}
