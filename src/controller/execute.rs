//! Steps to effects: one arm a step, no decisions. What an effect changed is put where the plan sees it.

use std::{collections::BTreeMap, sync::Arc};

use jiff::SignedDuration;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use secrecy::SecretString;

use super::{
    Context,
    observe::{self, Seen},
    queue::{Cause, Item, Name},
    secrets::{self, Written},
    world,
};
use crate::{
    api::{ApplicationKey, FIELD_MANAGER, FINALIZER, KeyManagerRef},
    key_manager::{
        self, Category, Changed, Client, KeyManager, NewSecret, Registered, SecretAdded, TokenAnswer, TokenRequest,
        gate::Gated,
    },
    plan::{
        hints,
        observed::{Attempt, InHand, PlacedClient, SecretView, State, StoredAnswer},
        removal, secret, status,
        step::Step,
    },
};

/// Why a pass ended before its plan did.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The API server refused a call or gave no answer.
    #[error("API server: {}", text(.0))]
    Api(#[from] kube::Error),
    /// A key manager refused a call or gave no answer.
    #[error("{0}")]
    KeyManager(#[from] key_manager::Error),
    /// A key manager gave no answer to a call that changes something: it may still have its effect.
    #[error("{error}")]
    Unsettled {
        /// What happened.
        error: key_manager::Error,
        /// For how long it may.
        settles: SignedDuration,
    },
    /// Somebody else changed what was read; the next pass reads it again.
    #[error("the object changed meanwhile")]
    Changed,
    /// No random numbers.
    #[error(transparent)]
    Entropy(#[from] crate::entropy::NoEntropy),
}

impl Failure {
    /// One PascalCase word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Api(_) => "ApiServerError",
            Self::KeyManager(error) | Self::Unsettled { error, .. } => error.reason(),
            Self::Changed => "Changed",
            Self::Entropy(_) => "NoEntropy",
        }
    }
}

/// The text of an API error without the body of any object.
fn text(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        kube::Error::SerdeError(_) => "the answer could not be read".to_owned(),
        other => other.to_string(),
    }
}

/// Whether the API server refused a request for what it asks: a quota, a policy, a missing right.
pub fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 403 | 413 | 422))
}

#[expect(clippy::too_many_lines, reason = "one arm a step")]
/// Does one step.
pub async fn execute(ctx: &Context, seen: &mut Seen, step: Step) -> Result<(), Failure> {
    match step {
        Step::Begin(first) => begin(ctx, seen, first).await,
        Step::RemoveFinalizer => remove_finalizer(ctx, seen).await,
        Step::Announce(say) => {
            let status = status::status(&seen.o, std::slice::from_ref(&say), ctx.clock.now());
            super::report::publish(ctx, &seen.o.key, &say).await;
            write_status(ctx, seen, status).await?;
            seen.o.hand.announced = true;
            Ok(())
        }
        Step::WriteState(state) => write_state(ctx, seen, *state).await,
        Step::Look => Ok(observe::look(ctx, seen).await?),
        Step::HandOver(former) => hand_over(ctx, seen, &former).await,
        Step::Fence(published) => fence(ctx, seen, &published).await,
        Step::RegisterGiven(properties) => register_given(ctx, seen, &properties).await,
        Step::Find(attempt) => find(ctx, seen, attempt).await,
        Step::Register {
            client,
            properties,
            secret,
        } => {
            let secret = match secret {
                Some(secret) => secret,
                None => ctx.entropy.client_secret()?,
            };
            let driver = driver(ctx, seen)?;
            match changing(&driver, driver.register(&client, &properties, &secret, None)).await? {
                Registered::Made(answer) => hold(seen, answer.id, answer.secret, false),
                Registered::Exists => seen.o.hand.exists = true,
            }
            Ok(())
        }
        Step::Update { client, properties } => update(ctx, seen, client, properties).await,
        Step::AddSecret {
            client,
            published,
            room,
        } => {
            let secret = ctx.entropy.client_secret()?;
            let new = NewSecret {
                published: published.as_ref(),
                secret: &secret,
                room,
            };
            let driver = driver(ctx, seen)?;
            match changing(&driver, driver.add_secret(&client, new)).await? {
                SecretAdded::Added(secret) => hold(seen, client.id, secret, room != key_manager::Room::Only),
                SecretAdded::Occupied => seen.o.hand.occupied = true,
                SecretAdded::NotThere => return Err(not_there(&client)),
            }
            Ok(())
        }
        Step::ReadSecret(client) => {
            match driver(ctx, seen)?.read_secret(&client).await? {
                Some(secret) => hold(seen, client.id, secret, false),
                None => seen.o.hand.occupied = true,
            }
            Ok(())
        }
        Step::Verify => verify(ctx, seen).await,
        Step::Publish {
            rendered,
            replaces,
            tokens,
        } => {
            let written = write_secret(ctx, seen, &rendered, replaces.as_deref()).await?;
            published(ctx, seen, &rendered.name, written, tokens).await
        }
        Step::Retire { client, current, end } => {
            let driver = driver(ctx, seen)?;
            changing(&driver, driver.retire(&client, &current, end)).await?;
            seen.o.hand.retired = true;
            Ok(())
        }
        Step::FetchToken {
            client_id,
            secret,
            token,
        } => {
            let authentication = seen.o.spec().client_authentication.unwrap_or_default();
            let request = TokenRequest {
                client_id: &client_id,
                secret: &secret,
                authentication,
                scopes: &token.scopes,
                resource: token.resource.as_deref(),
            };
            match driver(ctx, seen)?.token(request).await? {
                TokenAnswer::Issued(fresh) => drop(seen.o.hand.tokens.insert(token.name, fresh)),
                TokenAnswer::Refused(word) => drop(seen.o.hand.refused_tokens.insert(token.name, word)),
                TokenAnswer::InvalidClient => {
                    if seen.o.hand.refused {
                        return Err(not_working(&client_id));
                    }
                    seen.o.hand.refused = true;
                }
            }
            Ok(())
        }
        Step::Check { client_id, secret } => {
            let authentication = seen.o.spec().client_authentication.unwrap_or_default();
            let request = TokenRequest {
                client_id: &client_id,
                secret: &secret,
                authentication,
                scopes: &[],
                resource: None,
            };
            match driver(ctx, seen)?.token(request).await? {
                TokenAnswer::Issued(_) | TokenAnswer::Refused(_) => seen.o.hand.checked = true,
                TokenAnswer::InvalidClient => seen.o.hand.refused = true,
            }
            Ok(())
        }
        Step::NoteGone => {
            let reference = seen.o.target.as_ref().map(|target| target.reference.clone());
            let key = Name::new(seen.o.namespace(), seen.o.name());
            if let Ok(reference) = reference {
                let manager = world::key_manager_name(&reference, &key.namespace);
                seen.o.hand.gone = Some(ctx.world.lock().note_gone(&key, &manager, ctx.clock.now()));
                ctx.add(Item::KeyManager(manager.0, manager.1), Cause::Change);
            }
            Ok(())
        }
        Step::DeleteClient(placed) => delete_client(ctx, seen, placed).await,
        Step::Entomb(state) => entomb(ctx, seen, *state).await,
        Step::FindLeft(attempt) => find_left(ctx, seen, attempt).await,
        Step::DeleteLeft(placed) => {
            match delete_client(ctx, seen, placed).await {
                // The key itself, where there is one, does not suffer from it.
                Err(Failure::KeyManager(error) | Failure::Unsettled { error, .. }) => {
                    seen.o.hand.uncleaned = Some(error.message);
                }
                other => other?,
            }
            Ok(())
        }
        Step::DeleteSecret(published) => {
            if !secrets::delete(&ctx.client, seen.o.namespace(), &published).await? {
                return Err(Failure::Changed);
            }
            let name = Name::new(seen.o.namespace(), &published.name);
            ctx.world.lock().secrets.remove(&name);
            for view in [&mut seen.o.secret, &mut seen.o.tokens] {
                if view.ours().is_some_and(|ours| ours.name == published.name) {
                    *view = SecretView::Absent;
                }
            }
            if seen
                .o
                .former
                .as_ref()
                .is_some_and(|former| former.name == published.name)
            {
                seen.o.former = None;
            }
            Ok(())
        }
        Step::DeleteFormer(name) => delete_former(ctx, seen, &name).await,
        Step::Done(_) => Ok(()),
    }
}

fn driver(ctx: &Context, seen: &Seen) -> Result<Arc<dyn KeyManager>, Failure> {
    let target = seen
        .o
        .target
        .as_ref()
        .map_err(|say| key_manager::Error::new(Category::Unreachable, say.message.clone()))?;
    driver_of(ctx, &target.reference, seen.o.namespace())
}

fn driver_of(ctx: &Context, reference: &KeyManagerRef, namespace: &str) -> Result<Arc<dyn KeyManager>, Failure> {
    let world = ctx.world.lock();
    let entry = world.key_managers.get(&world::key_manager_name(reference, namespace));
    let driver = entry.map(|entry| {
        let gate = entry.gate.clone();
        entry.driver.clone().map(|driver| Gated { driver, gate })
    });
    drop(world);
    match driver {
        Some(Ok(driver)) => Ok(Arc::new(driver)),
        Some(Err(say)) => {
            Err(key_manager::Error::new(Category::Unreachable, format!("{reference}: {}", say.message)).into())
        }
        None => Err(key_manager::Error::new(Category::Unreachable, format!("there is no {reference}")).into()),
    }
}

/// A call that changes something. Where its answer is lost it may still have its effect for a while, and nothing else may
/// be changed there until that is over.
async fn changing<T>(
    driver: &Arc<dyn KeyManager>,
    call: impl Future<Output = Result<T, key_manager::Error>>,
) -> Result<T, Failure> {
    call.await.map_err(|error| {
        let settles = driver.settles();
        if error.sent && error.category == Category::Unreachable && !settles.is_zero() {
            Failure::Unsettled { error, settles }
        } else {
            error.into()
        }
    })
}

async fn update(
    ctx: &Context,
    seen: &mut Seen,
    client: Client,
    properties: key_manager::Properties,
) -> Result<(), Failure> {
    let driver = driver(ctx, seen)?;
    let changed = changing(&driver, driver.update(&client, &properties)).await?;
    seen.o.hand.updated = true;
    match changed {
        Changed::Done(management) => keep_management(ctx, seen, client, management).await?,
        Changed::NotThere if driver.capabilities().chosen_identity() => seen.o.hand.refused = true,
        Changed::NotThere | Changed::Refused => seen.o.hand.unmanageable = true,
    }
    Ok(())
}

fn hold(seen: &mut Seen, client_id: String, secret: SecretString, previous_works: bool) {
    seen.o.hand.credential = Some(InHand {
        client_id,
        secret,
        verified: None,
        previous_works,
    });
}

fn not_there(client: &Client) -> Failure {
    let text = format!("client {} was there a moment ago and is not found now", client.id);
    key_manager::Error::new(Category::NotYet, text).into()
}

fn not_working(client_id: &str) -> Failure {
    let text = format!("the key manager refuses the secret that it was just given for client {client_id}");
    key_manager::Error::new(Category::NotYet, text).into()
}

async fn begin(ctx: &Context, seen: &mut Seen, first: Option<PlacedClient>) -> Result<(), Failure> {
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

async fn remove_finalizer(ctx: &Context, seen: &mut Seen) -> Result<(), Failure> {
    let all = seen.o.key.metadata.finalizers.clone().unwrap_or_default();
    let finalizers: Vec<_> = all.into_iter().filter(|finalizer| finalizer != FINALIZER).collect();
    match patch_metadata(ctx, seen, &finalizers, None).await {
        Err(Failure::Api(kube::Error::Api(status))) if status.is_not_found() => Ok(()),
        other => other,
    }?;
    seen.o.key.metadata.finalizers = Some(finalizers);
    Ok(())
}

async fn patch_metadata(
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

async fn write_state(ctx: &Context, seen: &mut Seen, state: State) -> Result<(), Failure> {
    let name = Name::new(seen.o.namespace(), seen.o.name());
    let operator = &ctx.settings.operator_namespace;
    let before = seen.stored_state.stored.as_deref();
    let written = secrets::write_state(&ctx.client, operator, &name.namespace, &name.name, before, state).await?;
    let Some(stored) = written else {
        return Err(Failure::Changed);
    };
    let secret_name = crate::plan::identity::state_secret_name(&name.namespace, &name.name);
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

async fn hand_over(ctx: &Context, seen: &mut Seen, former: &str) -> Result<(), Failure> {
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

async fn fence(ctx: &Context, seen: &mut Seen, published: &crate::plan::observed::Published) -> Result<(), Failure> {
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
async fn write_secret(
    ctx: &Context,
    seen: &Seen,
    rendered: &secret::Rendered,
    replaces: Option<&crate::plan::observed::Published>,
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
async fn published(ctx: &Context, seen: &mut Seen, name: &str, written: Written, tokens: bool) -> Result<(), Failure> {
    let key = Name::new(seen.o.namespace(), seen.o.name());
    let view = match written {
        Written::Done(published) => {
            let mut world = ctx.world.lock();
            world.put_secret(Name::new(&key.namespace, name), secrets::meta(&published));
            drop(world);
            if !tokens && let Some(credential) = seen.o.hand.credential.take() {
                seen.o.hand = crate::plan::observed::Hand {
                    checked: credential.verified == Some(true),
                    tokens: std::mem::take(&mut seen.o.hand.tokens),
                    refused_tokens: std::mem::take(&mut seen.o.hand.refused_tokens),
                    not_found: std::mem::take(&mut seen.o.hand.not_found),
                    deleted: std::mem::take(&mut seen.o.hand.deleted),
                    updated: true,
                    ..crate::plan::observed::Hand::default()
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

async fn register_given(ctx: &Context, seen: &mut Seen, properties: &key_manager::Properties) -> Result<(), Failure> {
    let driver = driver(ctx, seen)?;
    let target = seen.o.target.as_ref().map_err(|_| Failure::Changed)?;
    let attempt = Attempt {
        id: ctx.entropy.attempt_id()?,
        key_manager: target.reference.clone(),
    };
    let state = State {
        attempt: Some(attempt.clone()),
        ..seen.o.state.clone()
    };
    write_state(ctx, seen, state).await?;
    let client = seen.o.client(String::new());
    let secret = ctx.entropy.client_secret()?;
    let registered = driver.register(&client, properties, &secret, Some(&attempt.id)).await;
    if registered.as_ref().is_err_and(key_manager::Error::made_nothing) {
        // There is nothing to look for, and no orphan to name.
        let state = State {
            attempt: None,
            ..seen.o.state.clone()
        };
        write_state(ctx, seen, state).await?;
    }
    match changing(&driver, async { registered }).await? {
        Registered::Made(answer) => store_answer(ctx, seen, attempt.key_manager, answer).await,
        Registered::Exists => Err(not_there(&client)),
    }
}

async fn store_answer(
    ctx: &Context,
    seen: &mut Seen,
    key_manager: KeyManagerRef,
    answer: key_manager::Answer,
) -> Result<(), Failure> {
    let client = Client {
        management: answer.management,
        ..seen.o.client(answer.id.clone())
    };
    let stored = StoredAnswer {
        client_id: answer.id.clone(),
        secret: answer.secret.clone(),
    };
    let state = State {
        attempt: None,
        client: Some(PlacedClient { key_manager, client }),
        answer: Some(stored),
        ..seen.o.state.clone()
    };
    write_state(ctx, seen, state).await?;
    hold(seen, answer.id, answer.secret, false);
    Ok(())
}

async fn find(ctx: &Context, seen: &mut Seen, attempt: Attempt) -> Result<(), Failure> {
    let driver = driver_of(ctx, &attempt.key_manager, seen.o.namespace())?;
    if let Some(answer) = driver.find(&seen.o.mark(), &attempt.id).await? {
        return store_answer(ctx, seen, attempt.key_manager, answer).await;
    }
    if !driver.capabilities().find {
        super::report::orphan(ctx, &seen.o, &attempt.key_manager, &attempt.id).await?;
    }
    seen.o.hand.not_found.insert(attempt.id);
    Ok(())
}

/// Management data that changed are stored at once: the ones before may not work any more.
async fn keep_management(
    ctx: &Context,
    seen: &mut Seen,
    client: Client,
    management: Option<key_manager::Management>,
) -> Result<(), Failure> {
    let Some(management) = management else { return Ok(()) };
    let client = Client {
        management: Some(management),
        ..client
    };
    let target = seen.o.target.as_ref().map_err(|_| Failure::Changed)?;
    let state = State {
        client: Some(PlacedClient {
            key_manager: target.reference.clone(),
            client,
        }),
        ..seen.o.state.clone()
    };
    write_state(ctx, seen, state).await
}

async fn verify(ctx: &Context, seen: &mut Seen) -> Result<(), Failure> {
    let driver = driver(ctx, seen)?;
    let authentication = seen.o.spec().client_authentication.unwrap_or_default();
    let Some(credential) = &seen.o.hand.credential else {
        return Ok(());
    };
    // The first access token that the key asks for is the canary: one call less.
    let wanted = seen.o.spec().access_tokens.first().cloned();
    let scopes = wanted.as_ref().map(|token| token.scopes.clone()).unwrap_or_default();
    let request = TokenRequest {
        client_id: &credential.client_id,
        secret: &credential.secret,
        authentication,
        scopes: &scopes,
        resource: wanted.as_ref().and_then(|token| token.resource.as_deref()),
    };
    match driver.token(request).await? {
        TokenAnswer::Issued(token) => {
            if let Some(wanted) = wanted {
                seen.o.hand.tokens.insert(wanted.name, token);
            }
        }
        TokenAnswer::Refused(word) => {
            if let Some(wanted) = wanted {
                seen.o.hand.refused_tokens.insert(wanted.name, word);
            }
        }
        TokenAnswer::InvalidClient => return Err(not_working(&credential.client_id)),
    }
    if let Some(credential) = &mut seen.o.hand.credential {
        credential.verified = Some(true);
    }
    Ok(())
}

async fn delete_client(ctx: &Context, seen: &mut Seen, placed: PlacedClient) -> Result<(), Failure> {
    let driver = driver_of(ctx, &placed.key_manager, seen.o.namespace())?;
    if let Changed::Refused = changing(&driver, driver.delete(&placed.client)).await? {
        super::report::orphan(ctx, &seen.o, &placed.key_manager, &placed.client.id).await?;
    }
    seen.o.hand.deleted.insert((placed.key_manager, placed.client.id));
    Ok(())
}

/// Says on its key manager what a key leaves behind, then notes it. The key goes whether that can be said or not.
async fn entomb(ctx: &Context, seen: &mut Seen, state: State) -> Result<(), Failure> {
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
        super::report::entombed(ctx, &key, key_manager, id).await;
    }
    write_state(ctx, seen, state).await
}

async fn find_left(ctx: &Context, seen: &mut Seen, attempt: Attempt) -> Result<(), Failure> {
    let found = match driver_of(ctx, &attempt.key_manager, seen.o.namespace()) {
        Ok(driver) => match driver.find(&seen.o.mark(), &attempt.id).await {
            Ok(None) if !driver.capabilities().find => {
                super::report::orphan(ctx, &seen.o, &attempt.key_manager, &attempt.id).await?;
                Ok(None)
            }
            other => other.map_err(Failure::from),
        },
        Err(failure) => Err(failure),
    };
    let answer = match found {
        Ok(answer) => answer,
        Err(failure) => {
            seen.o.hand.uncleaned = Some(failure.to_string());
            return Ok(());
        }
    };
    let found = answer.map(|answer| PlacedClient {
        key_manager: attempt.key_manager.clone(),
        client: Client {
            management: answer.management,
            ..seen.o.client(answer.id)
        },
    });
    let before = seen.o.state.tombstone.clone().unwrap_or_default();
    let state = State {
        tombstone: Some(removal::without_attempt(&before, &attempt.id, found)),
        ..seen.o.state.clone()
    };
    write_state(ctx, seen, state).await
}

async fn delete_former(ctx: &Context, seen: &mut Seen, former: &str) -> Result<(), Failure> {
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

/// The key as a write left it.
fn wrote(ctx: &Context, seen: &mut Seen, mut key: ApplicationKey) {
    key.metadata.managed_fields = None;
    let name = Name::new(seen.o.namespace(), seen.o.name());
    ctx.world.lock().wrote_key(&name, &key);
    seen.o.key = key;
}

/// Writes status where it differs, guarded by the key's resource version.
pub async fn write_status(
    ctx: &Context,
    seen: &mut Seen,
    status: crate::api::ApplicationKeyStatus,
) -> Result<(), Failure> {
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
    match api.replace_status(&key.name_any(), &params, &key).await {
        Ok(key) => {
            wrote(ctx, seen, key);
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.is_conflict() => Err(Failure::Changed),
        Err(error) => Err(error.into()),
    }
}

/// The least time after which a failed pass is tried again, and the most; doubled each time in between.
pub const BACKOFF: (SignedDuration, SignedDuration) = (SignedDuration::from_secs(1), SignedDuration::from_mins(5));
