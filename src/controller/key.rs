//! One pass over an `ApplicationKey`: observe, plan a step, execute it, ask again; then status, once.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use tokio::time::Instant;

use super::{
    Context,
    census::KeyNow,
    drift, execute,
    execute::Failure,
    observe::{self, Seen},
    queue::{Item, Name},
    report, tombstone,
    world::{KeySummary, SecretMeta},
};
use crate::{
    api::{ApplicationKey, FINALIZER, conditions},
    plan::{self, identity, observed::Observed, removal, rotation, secret, status, step::Step},
};

/// More steps than any plan has; reaching it is a defect, and must not become a busy loop.
const STEP_LIMIT: usize = 60;

/// When a key is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Only when something changes.
    OnChange,
    /// At this time.
    At(Timestamp),
    /// Soon, and later each time it fails.
    Failed,
    /// At this time, when a call of an earlier pass cannot have its effect any more; nothing was tried meanwhile.
    Settled(Timestamp),
}

impl Again {
    /// What became of the pass, for metrics.
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::OnChange | Self::At(_) => "Done",
            Self::Failed => "Failed",
            Self::Settled(_) => "Waits",
        }
    }
}

/// Works on one key. Errors are reported here and never returned.
pub async fn reconcile(ctx: &Context, name: &Name) -> Again {
    let key = match observe::key(ctx, name).await {
        Ok(Some(key)) => key,
        Ok(None) => {
            forget(ctx, name);
            return Box::pin(tombstone::clean(ctx, name)).await;
        }
        Err(kube::Error::SerdeError(error)) => return unreadable(ctx, name, &error.to_string()).await,
        Err(error) => {
            report::failed_pass(name, &Failure::from(error));
            return Again::Failed;
        }
    };
    remember(ctx, &key, None);
    if let Some(wait) = unsettled(ctx, name) {
        // What an event brought is read again then.
        return Again::Settled(ctx.clock.now() + wait);
    }
    let compare = drift::next(ctx, name);
    if quiet(ctx, &key) && compare.is_none_or(|at| at > ctx.clock.now()) {
        let change = key.status.as_ref().and_then(|s| s.next_change_time.as_ref());
        return again(change.map(|t| t.0).into_iter().chain(compare).min());
    }
    if let Some(wait) = ctx.leadership.unsettled() {
        // What is read now may change under a call of the process before this one.
        return Again::At(ctx.clock.now() + wait);
    }
    match observe::observe(ctx, (*key).clone()).await {
        Ok(seen) => Box::pin(pass(ctx, seen)).await,
        Err(error) => {
            report::failed_pass(name, &Failure::from(error));
            Again::Failed
        }
    }
}

/// A key that cannot be read: nothing is done for it, and its status says why. A change of it brings it here again.
async fn unreadable(ctx: &Context, name: &Name, error: &str) -> Again {
    let text = format!("this object cannot be read, and nothing is done for it until it is mended: {error}");
    let say = conditions::Say::no("Ready", "InvalidObject", text);
    match report::invalid_key(ctx, name, say).await {
        Ok(()) => Again::OnChange,
        Err(error) => {
            report::failed_pass(name, &Failure::from(error));
            Again::Failed
        }
    }
}

/// How long a call of an earlier pass may still have its effect.
fn unsettled(ctx: &Context, name: &Name) -> Option<SignedDuration> {
    let mut world = ctx.world.lock();
    let until = *world.unsettled.get(name)?;
    let wait = until.saturating_duration_since(Instant::now());
    if wait.is_zero() {
        world.unsettled.remove(name);
        return None;
    }
    SignedDuration::try_from(wait).ok()
}

fn again(at: Option<Timestamp>) -> Again {
    at.map_or(Again::OnChange, Again::At)
}

async fn pass(ctx: &Context, mut seen: Seen) -> Again {
    let before = seen.o.key.status.clone();
    let version = seen.o.secret.ours().map_or(0, |published| published.hints.version);
    let deleting = seen.o.key.metadata.deletion_timestamp.is_some();
    let name = Name::new(seen.o.namespace(), seen.o.name());
    let outcome = steps(ctx, &mut seen).await;
    if let Err(Failure::Changed) = outcome {
        ctx.add(Item::Key(name), super::queue::Cause::Change);
        return Again::OnChange;
    }
    if deleting && !has_finalizer(&seen.o.key) {
        forget(ctx, &name);
        if ctx.world.lock().tombstones.contains(&name) {
            // The clean-up begins once the key is gone.
            ctx.add(Item::Key(name), super::queue::Cause::Time);
        }
        return Again::OnChange;
    }
    if deleting && matches!(outcome, Err(Failure::KeyManager(_) | Failure::Unsettled { .. })) {
        ctx.world.lock().deleting.entry(name.clone()).or_default().add();
    }
    if matches!(&outcome, Err(Failure::Api(error)) if !matches!(error, kube::Error::Api(_))) {
        ctx.world.lock().in_doubt.insert(name.clone());
    } else if outcome.is_ok() {
        ctx.world.lock().in_doubt.remove(&name);
    }
    if let Err(Failure::Unsettled { settles, .. }) = &outcome {
        let until = Instant::now() + settles.unsigned_abs();
        ctx.world.lock().unsettled.insert(name.clone(), until);
    }
    let mut retry = false;
    let mut now = ctx.clock.now();
    let says = match &outcome {
        Ok((says, planned_at)) => {
            // What has become due since then is due at once.
            now = *planned_at;
            says.clone()
        }
        Err(failure) => {
            retry = true;
            report::failed_pass(&name, failure);
            match failure {
                // Without an answer nothing can be said either, and what is only too much is soon over.
                Failure::Api(error) if !execute::is_refusal(error) => return Again::Failed,
                _ if deleting => vec![removal::waiting(&failure.to_string())],
                _ => status::failed(&seen.o, failure.reason(), &failure.to_string()),
            }
        }
    };
    if deleting && says.is_empty() {
        return Again::OnChange;
    }
    let status = status::status(&seen.o, &says, now);
    let wake = status.next_change_time.as_ref().map(|t| t.0);
    remember(ctx, &seen.o.key, Some(&seen.o));
    report::changed(ctx, &seen.o, before.as_ref(), &status, version).await;
    match execute::write_status(ctx, &mut seen, status).await {
        Ok(()) => {}
        Err(Failure::Changed) => ctx.add(Item::Key(name), super::queue::Cause::Change),
        Err(failure) => {
            report::failed_pass(&name, &failure);
            return Again::Failed;
        }
    }
    let hand = &seen.o.hand;
    let soon = retry || status::unwatched(&says) || hand.gone.is_some() || hand.uncleaned.is_some();
    if soon || !hand.refused_tokens.is_empty() {
        Again::Failed
    } else {
        again(wake.into_iter().chain(drift::next(ctx, &name_of(&seen))).min())
    }
}

fn name_of(seen: &Seen) -> Name {
    Name::new(seen.o.namespace(), seen.o.name())
}

/// Takes steps. What the key says at the end, and the time at which nothing was left to do.
async fn steps(ctx: &Context, seen: &mut Seen) -> Result<(Vec<conditions::Say>, Timestamp), Failure> {
    for _ in 0..STEP_LIMIT {
        let now = ctx.clock.now();
        let step = if seen.o.key.metadata.deletion_timestamp.is_some() {
            removal::next(&seen.o, now)
        } else {
            plan::key::next(&seen.o, now)
        };
        if let Step::Done(says) = step {
            return Ok((says, now));
        }
        tracing::debug!(key = %Name::new(seen.o.namespace(), seen.o.name()), step = step.name(), "step");
        execute::execute(ctx, seen, step).await?;
    }
    let text = "the plan did not come to an end; this is a defect of the operator";
    Err(crate::key_manager::Error::new(crate::key_manager::Category::InvalidRequest, text).into())
}

/// Whether everything that is remembered says that a key is as it should be: no read, no write, no call.
fn quiet(ctx: &Context, key: &ApplicationKey) -> bool {
    let Some(status) = &key.status else { return false };
    let now = ctx.clock.now();
    let settled = key.metadata.deletion_timestamp.is_none()
        && has_finalizer(key)
        && status.observed_generation == key.metadata.generation
        && conditions::is_true(&status.conditions, "Ready")
        && conditions::reason(&status.conditions, "UpToDate").is_none()
        && conditions::reason(&status.conditions, "TokensIssued").is_none()
        && conditions::reason(&status.conditions, "CleanupPending").is_none()
        && status.next_change_time.as_ref().is_none_or(|t| t.0 > now);
    if !settled {
        return false;
    }
    let Some(meta) = meta_of(ctx, key, &secret::name(key)) else {
        return false;
    };
    let tokens = key.spec.access_tokens.is_empty()
        || secret::same_secret(&key.spec)
        || meta_of(ctx, key, &secret::tokens_name(key)).is_some_and(|meta| !meta.doubtful);
    let handled = identity::short_hash(&[
        "handled",
        rotation::trigger(&key.spec),
        rotation::rotate_annotation(key),
    ]);
    let asked = handled != meta.handled
        && (!rotation::trigger(&key.spec).is_empty() || !rotation::rotate_annotation(key).is_empty());
    let credential = status.credential.as_ref().map_or(0, |c| c.version);
    tokens
        && !asked
        && !meta.doubtful
        && credential == meta.version
        && applied(ctx, key).is_some_and(|hash| hash == meta.applied)
}

fn meta_of(ctx: &Context, key: &ApplicationKey, secret: &str) -> Option<SecretMeta> {
    let namespace = key.namespace().unwrap_or_default();
    let meta = ctx.world.lock().secrets.get(&Name::new(namespace, secret)).cloned();
    meta.filter(|meta| meta.key == plan::hints::label_value(&key.name_any()))
}

/// Hash of the properties that the client should have, from memory.
fn applied(ctx: &Context, key: &ApplicationKey) -> Option<String> {
    let namespace = key.namespace().unwrap_or_default();
    let application = {
        let world = ctx.world.lock();
        world
            .applications
            .get(&Name::new(&namespace, &key.spec.application_ref.name))
            .cloned()
    }?;
    let found = key.status.as_ref().and_then(|status| status.key_manager.clone());
    let target = observe::target(ctx, key, application.key_manager_ref.as_ref(), found.as_ref()).ok()?;
    if found.as_ref() != Some(&target.reference) {
        return None;
    }
    let o = Observed {
        cluster_id: ctx.settings.cluster_id.clone(),
        key: key.clone(),
        application: Some(application),
        first_in_environment: None,
        target: Ok(target),
        secret: plan::observed::SecretView::Absent,
        former: None,
        tokens: plan::observed::SecretView::Absent,
        state: plan::observed::State::default(),
        hand: plan::hand::Hand::default(),
    };
    o.target.as_ref().ok().map(|target| o.properties_hash(target))
}

fn has_finalizer(key: &ApplicationKey) -> bool {
    key.metadata
        .finalizers
        .iter()
        .flatten()
        .any(|finalizer| finalizer == FINALIZER)
}

/// Indexes a key under what it depends on.
pub fn remember(ctx: &Context, key: &ApplicationKey, o: Option<&Observed>) {
    let name = Name::new(key.namespace().unwrap_or_default(), key.name_any());
    let found = o
        .and_then(|o| o.target.as_ref().ok())
        .map(|target| target.reference.clone());
    let said = key.status.as_ref().and_then(|status| status.key_manager.clone());
    let placed = |o: &Observed| {
        o.state
            .old
            .clone()
            .or_else(|| o.state.making.clone())
            .or_else(|| o.first_client())
    };
    let old = o.and_then(placed).map(|placed| placed.key_manager);
    let mut world = ctx.world.lock();
    let found = found.or_else(|| {
        let application = Name::new(&name.namespace, &key.spec.application_ref.name);
        let application = world.applications.get(&application);
        let of_application = application.and_then(|application| application.key_manager_ref.as_ref());
        plan::resolve::key_manager(key, of_application, said.as_ref(), &world.defaults()).ok()
    });
    let summary = KeySummary {
        application: key.spec.application_ref.name.clone(),
        environment: key.spec.environment,
        key_manager: found,
        old_key_manager: old.or(said),
        published: key.status.as_ref().is_some_and(|status| status.client_id.is_some()),
        secret: Some(secret::name(key)).filter(|secret| *secret != name.name),
        created: key
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |t| t.0),
        now: KeyNow::of(key),
    };
    if key.metadata.deletion_timestamp.is_some() {
        world.deleting.entry(name.clone()).or_default();
    }
    if world.knows_key(&name, &summary) {
        return;
    }
    let application = Name::new(&name.namespace, &summary.application);
    let first = !world.has_keys(&application);
    world.put_key(&name, summary);
    drop(world);
    if first {
        // It is held from now on.
        ctx.add(Item::Application(application), super::queue::Cause::Change);
    }
}

/// A key is gone: what waits for it goes on.
fn forget(ctx: &Context, name: &Name) {
    let summary = {
        let mut world = ctx.world.lock();
        let summary = world.key(name).cloned();
        for (_, gate) in world.gates(name) {
            gate.forget(name);
        }
        world.forget_key(name);
        world.in_doubt.remove(name);
        world.unsettled.remove(name);
        world.written.remove(name);
        world.deleting.remove(name);
        summary
    };
    if let Some(summary) = summary {
        ctx.add(
            Item::Application(Name::new(&name.namespace, &summary.application)),
            super::queue::Cause::Change,
        );
        for reference in summary.key_manager.iter().chain(&summary.old_key_manager) {
            let (kind, manager) = super::world::key_manager_name(reference, &name.namespace);
            ctx.add(Item::KeyManager(kind, manager), super::queue::Cause::Change);
        }
    }
    ctx.queue.forget(&Item::Key(name.clone()));
}

/// How long until `at`.
pub fn until(at: Timestamp, now: Timestamp) -> SignedDuration {
    at.duration_since(now).max(SignedDuration::ZERO)
}
