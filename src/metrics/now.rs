//! What is counted only when somebody asks, so that it costs nothing in between.

use std::{collections::BTreeMap, sync::atomic::AtomicU64};

use jiff::SignedDuration;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use strum::IntoEnumIterator as _;

use super::NAMESPACED;

/// How a key is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelValue, strum::EnumIter)]
pub enum KeyState {
    /// Nothing was said of it yet.
    #[default]
    New,
    /// Its Secret works.
    Ready,
    /// Its Secret does not work, or is not there.
    NotReady,
    /// Nothing is done for it until it is resumed.
    Suspended,
    /// It is being deleted.
    Deleting,
}

/// How a key manager is; of KeyManagers of namespaces, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyManagerNow {
    /// How many get no call but a probe now and then.
    pub circuits_open: usize,
    /// Calls that may be made at once; of several the least; `None` where calls are not counted.
    pub budget_left: Option<u32>,
    /// Keys that wait for an answer.
    pub waiting: usize,
    /// How many cannot be used.
    pub not_ready: usize,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Whether everything that was there when this process began to lead has been asked for.
    pub synced: bool,
    /// Objects that wait for a pass or are in one.
    pub queue_depth: usize,
    /// How long the object has waited for its pass that waits longest.
    pub queue_age: SignedDuration,
    /// Secrets of ours whose key is not there.
    pub released_secrets: usize,
    /// Keys by state, where this process leads.
    pub keys: Option<BTreeMap<KeyState, usize>>,
    /// Until the first access token in a Secret ends; below zero: for so long it has ended.
    pub nearest_expiry: Option<SignedDuration>,
    /// For how long an access token should have been renewed.
    pub renewal_overdue: SignedDuration,
    /// Key managers by label.
    pub key_managers: BTreeMap<String, KeyManagerNow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: KeyState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyManager {
    key_manager: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoLabels {}

/// Seconds with a fraction.
type Seconds = Gauge<f64, AtomicU64>;

/// The gauges that a snapshot fills. A family that is empty has no line.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    synced: Gauge,
    queue_depth: Gauge,
    queue_age: Seconds,
    released_secrets: Gauge,
    keys: Family<State, Gauge>,
    nearest_expiry: Family<NoLabels, Seconds>,
    renewal_overdue: Seconds,
    circuits_open: Family<KeyManager, Gauge>,
    budget_left: Family<KeyManager, Gauge>,
    waiting: Family<KeyManager, Gauge>,
    ready: Family<KeyManager, Gauge>,
    not_ready: Family<KeyManager, Gauge>,
}

impl Gauges {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        registry.register(
            "synced",
            "1 once all objects that were there when this process began to lead are in the queue or done",
            gauges.synced.clone(),
        );
        registry.register(
            "queue_depth",
            "Objects that wait for a pass or are in one",
            gauges.queue_depth.clone(),
        );
        registry.register_with_unit(
            "queue_age",
            "How long the object has waited for its pass that waits longest",
            Unit::Seconds,
            gauges.queue_age.clone(),
        );
        registry.register(
            "released_secrets",
            "Secrets of this operator whose ApplicationKey is gone",
            gauges.released_secrets.clone(),
        );
        registry.register("keys", "ApplicationKeys by state", gauges.keys.clone());
        registry.register_with_unit(
            "nearest_expiry",
            "Until the first access token in a Secret ends; below zero: for so long it has ended",
            Unit::Seconds,
            gauges.nearest_expiry.clone(),
        );
        registry.register_with_unit(
            "renewal_overdue",
            "For how long the access token should have been renewed that should have been first",
            Unit::Seconds,
            gauges.renewal_overdue.clone(),
        );
        registry.register(
            "key_manager_circuits_open",
            "Key managers that get no call but a probe now and then, because they gave no answer",
            gauges.circuits_open.clone(),
        );
        registry.register(
            "key_manager_budget_left",
            "Calls that may be made at once; of KeyManagers of namespaces the least",
            gauges.budget_left.clone(),
        );
        registry.register(
            "key_manager_waiting_keys",
            "ApplicationKeys that wait until their key manager answers again",
            gauges.waiting.clone(),
        );
        registry.register(
            "key_manager_ready",
            "1 while a ClusterKeyManager can be used, as its condition Ready says",
            gauges.ready.clone(),
        );
        registry.register(
            "key_managers_not_ready",
            "KeyManagers of namespaces that cannot be used, all together",
            gauges.not_ready.clone(),
        );
        gauges
    }

    pub(super) fn set(&self, seen: &Snapshot) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.synced.set(seen.synced.into());
        self.queue_depth.set(count(seen.queue_depth));
        self.queue_age.set(seen.queue_age.as_secs_f64());
        self.released_secrets.set(count(seen.released_secrets));
        self.renewal_overdue.set(seen.renewal_overdue.as_secs_f64());
        self.nearest_expiry.clear();
        if let Some(expiry) = seen.nearest_expiry {
            self.nearest_expiry
                .get_or_create(&NoLabels {})
                .set(expiry.as_secs_f64());
        }
        self.keys.clear();
        if let Some(keys) = &seen.keys {
            for state in KeyState::iter() {
                let keys = keys.get(&state).copied().unwrap_or_default();
                self.keys.get_or_create(&State { state }).set(count(keys));
            }
        }
        for family in [
            &self.circuits_open,
            &self.budget_left,
            &self.waiting,
            &self.ready,
            &self.not_ready,
        ] {
            family.clear();
        }
        for (key_manager, now) in &seen.key_managers {
            let label = KeyManager {
                key_manager: key_manager.clone(),
            };
            self.circuits_open.get_or_create(&label).set(count(now.circuits_open));
            self.waiting.get_or_create(&label).set(count(now.waiting));
            if key_manager == NAMESPACED {
                self.not_ready.get_or_create(&label).set(count(now.not_ready));
            } else {
                self.ready.get_or_create(&label).set((now.not_ready == 0).into());
            }
            if let Some(left) = now.budget_left {
                self.budget_left.get_or_create(&label).set(left.into());
            }
        }
    }
}
