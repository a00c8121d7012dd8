//! The controllers: watch → observe → plan → execute → report.
//!
//! ```text
//! watch ──► world (memory) ──► queue ──► key / application / key_manager
//!                                          observe ─► plan ─► execute ─┐
//!                                             ▲                        │
//!                                             └────────────────────────┘  ─► status, events, logs (report)
//! ```

pub mod application;
pub mod execute;
pub mod key;
pub mod key_manager;
mod key_manager_says;
pub mod observe;
pub mod outage;
pub mod queue;
pub mod report;
pub mod secrets;
pub mod steps;
pub mod tombstone;
pub mod census;
mod departed;
mod drift;
pub mod follow;
pub mod watch;
pub mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::SignedDuration;
use kube::{Client, runtime::events::Recorder};
use tokio::{
    sync::watch as channel,
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    api::KeyManagerKind,
    clock::Clock,
    entropy::Entropy,
    key_manager::{Drivers, budget::NamespaceBudgets},
    leader::Leadership,
    metrics::Metrics,
    scope::Scope,
    spans,
};
use queue::{Cause, Item, Name, Queue};
use world::World;

/// What does not change while the operator runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The id of this cluster: part of every client's identity.
    pub cluster_id: String,
    /// Where the operator's own Secrets are.
    pub operator_namespace: String,
    /// The operator's own Deployment there: events that have no other place are about it.
    pub deployment: String,
    /// Which namespaces are looked after.
    pub scope: Scope,
    /// How long a key's deletion may wait for a key manager.
    pub deletion_deadline: SignedDuration,
    /// Calls a second that a namespace may have made at all its own key managers.
    pub namespace_calls: NonZeroU32,
}

/// What a context is made of.
#[derive(Clone)]
pub struct Parts {
    /// The API server; writes only while this process leads.
    pub client: Client,
    /// What does not change.
    pub settings: Settings,
    /// The time.
    pub clock: Clock,
    /// Random values.
    pub entropy: Entropy,
    /// Makes drivers.
    pub drivers: Arc<dyn Drivers>,
    /// Whether this process may change anything.
    pub leadership: Leadership,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What all controllers share.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What does not change.
    pub settings: Settings,
    /// The time.
    pub clock: Clock,
    /// Random values.
    pub entropy: Entropy,
    /// Makes drivers.
    pub drivers: Arc<dyn Drivers>,
    /// Whether this process may change anything.
    pub leadership: Leadership,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What the namespaces may ask of their own key managers.
    pub budgets: NamespaceBudgets,
    /// What is remembered.
    pub world: World,
    /// What is to be done.
    pub queue: Queue,
    /// Writes events.
    pub recorder: Recorder,
    /// Key managers that were looked at since the start.
    pub looked_at: channel::Sender<BTreeSet<Item>>,
    /// Whether all keys that were there at the start are known: before that nothing is taken to have no keys.
    pub keys_synced: AtomicBool,
    /// Whether all that was there at the start is in the queue, or was.
    all_asked_for: AtomicBool,
    failures: Mutex<BTreeMap<Item, u32>>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// A context with nothing remembered.
    pub fn new(parts: Parts) -> Self {
        Self {
            recorder: Recorder::new(parts.client.clone(), report::reporter()),
            client: parts.client,
            budgets: NamespaceBudgets::new(parts.settings.namespace_calls),
            settings: parts.settings,
            clock: parts.clock,
            entropy: parts.entropy,
            drivers: parts.drivers,
            leadership: parts.leadership,
            metrics: parts.metrics,
            world: World::default(),
            queue: Queue::default(),
            looked_at: channel::Sender::new(BTreeSet::new()),
            keys_synced: AtomicBool::new(false),
            all_asked_for: AtomicBool::new(false),
            failures: Mutex::default(),
        }
    }

    /// Asks for work on an item now.
    pub fn add(&self, item: Item, cause: Cause) {
        let lane = self.world.lock().lane(&item);
        self.queue.add(item, lane, cause);
    }

    /// Asks for work on an item after a while.
    pub fn add_after(&self, item: Item, cause: Cause, after: SignedDuration) {
        let lane = self.world.lock().lane(&item);
        self.queue.add_after(item, lane, cause, after);
    }

    fn known_key_managers(&self, kind: KeyManagerKind) -> Vec<Name> {
        let world = self.world.lock();
        world
            .key_managers
            .keys()
            .filter(|(other, _)| *other == kind)
            .map(|(_, name)| name.clone())
            .collect()
    }

    /// Whether it is not known yet which keys there are; `item` is looked at again when it is.
    pub fn waits_for_keys(&self, item: Item) -> bool {
        let mut world = self.world.lock();
        let waits = !self.keys_synced.load(Ordering::SeqCst);
        if waits {
            world.wait_for_keys.insert(item);
        }
        waits
    }

    /// The key managers that wait to be looked at.
    fn queue_of_key_managers(&self) -> Vec<Item> {
        self.queue
            .waiting()
            .into_iter()
            .filter(|item| matches!(item, Item::KeyManager(..)))
            .collect()
    }

    /// Whatever waits for keys to go is looked at once all keys are known.
    fn after_keys_synced(&self) {
        let mut world = self.world.lock();
        self.keys_synced.store(true, Ordering::SeqCst);
        let waiting = std::mem::take(&mut world.wait_for_keys);
        drop(world);
        for item in waiting {
            self.add(item, Cause::Time);
        }
        self.all_asked_for.store(true, Ordering::SeqCst);
    }
}

/// How long passes that are under way may take to come to their end when the process is told to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// Watches and works until `stop`; then the passes that are under way come to their end, so that no answer of a key manager
/// is lost.
pub async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let seen = Arc::downgrade(&ctx);
    ctx.metrics
        .look_with(move || seen.upgrade().map(|ctx| census::take(&ctx)));
    tokio::select! {
        biased;
        () = watch::run(ctx.clone()) => {}
        () = work(ctx.clone(), stop) => {}
    }
}

async fn work(ctx: Arc<Context>, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    loop {
        let item = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            item = ctx.queue.next() => item,
            Some(_) = tasks.join_next() => continue,
        };
        let ctx = ctx.clone();
        tasks.spawn(async move {
            let pass = ctx.queue.pass(&item);
            Box::pin(one(&ctx, &item)).instrument(pass).await;
            ctx.queue.done(&item);
        });
    }
    let drained = async { while tasks.join_next().await.is_some() {} };
    if timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("passes are cut off that did not come to their end in time");
    }
}

async fn one(ctx: &Context, item: &Item) {
    if let Item::Probe(kind, name) = item {
        return outage::probe(ctx, *kind, name);
    }
    let start = Instant::now();
    let (again, steps) = steps::noted(Box::pin(reconcile(ctx, item))).await;
    let (outcome, took) = (again.outcome(), start.elapsed());
    ctx.metrics.reconcile(item.kind(), outcome, took);
    report::finished(item, &steps, outcome, took);
    spans::pass_ended(outcome);
    if let key::Again::Settled(at) = again {
        return ctx.add_after(item.clone(), Cause::Time, key::until(at, ctx.clock.now()));
    }
    let failures = ctx.count_failure(item, again == key::Again::Failed);
    if let Item::Key(name) = item
        && outage::waits(ctx, name, again == key::Again::Failed)
    {
        return;
    }
    match again {
        key::Again::Settled(_) => {}
        key::Again::OnChange => ctx.queue.forget(item),
        key::Again::At(at) => ctx.add_after(item.clone(), Cause::Time, key::until(at, ctx.clock.now())),
        key::Again::Failed => ctx.add_after(item.clone(), Cause::Retry, backoff(item, failures)),
    }
}

async fn reconcile(ctx: &Context, item: &Item) -> key::Again {
    match item {
        Item::Key(name) => Box::pin(key::reconcile(ctx, name)).await,
        Item::Application(name) => application::reconcile(ctx, name).await,
        Item::KeyManager(kind, name) => {
            let again = Box::pin(key_manager::reconcile(ctx, *kind, name)).await;
            ctx.looked_at.send_if_modified(|looked| looked.insert(item.clone()));
            again
        }
        Item::Probe(..) => key::Again::OnChange,
    }
}

impl Context {
    /// Counts failures in a row of an item.
    fn count_failure(&self, item: &Item, failed: bool) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if !failed {
            failures.remove(item);
            return 0;
        }
        let count = failures.entry(item.clone()).or_default();
        *count += 1;
        *count
    }
}

/// The longest time after which a key manager that cannot be used is looked at again.
const KEY_MANAGER_BACKOFF: SignedDuration = SignedDuration::from_secs(10);

/// Doubled with each failure in a row, with a share of itself by the item's name so that items do not go in step.
fn backoff(item: &Item, failures: u32) -> SignedDuration {
    let (least, most) = match item {
        // There are few, all their keys wait for it, and nothing tells when a person has mended what they need.
        Item::KeyManager(..) => (execute::BACKOFF.0, KEY_MANAGER_BACKOFF),
        _ => execute::BACKOFF,
    };
    let time = least * 2_i32.saturating_pow(failures.saturating_sub(1).min(10));
    let time = time.min(most);
    time / 2 + crate::plan::identity::share(&["backoff", &format!("{item:?}")], time / 2)
}
