//! Metric families, registered once. Labels are words of the code, and names of ClusterKeyManagers: whoever makes those runs the
//! cluster. What belongs to a namespace never makes a series of its own.

mod now;

pub use now::{KeyManagerNow, KeyState, Snapshot};

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use now::Gauges;

/// The label of all KeyManagers of namespaces together.
pub const NAMESPACED: &str = "(namespaced)";

/// Labels of a request to the API server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiRequest {
    verb: &'static str,
    resource: &'static str,
}

/// Labels of a call to a key manager.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyManagerCall {
    key_manager: String,
    verb: &'static str,
    outcome: &'static str,
}

/// Labels of the time that calls to a key manager take.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyManagerTime {
    key_manager: String,
}

/// Labels of a pass over an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconcile {
    kind: &'static str,
    outcome: &'static str,
}

/// Labels of the time that passes take.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileTime {
    kind: &'static str,
}

/// Labels of a request to the resident key manager.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResidentRequest {
    endpoint: &'static str,
    outcome: &'static str,
}

/// Labels of the time that requests to the resident key manager take.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResidentTime {
    endpoint: &'static str,
}

/// From a millisecond to half a minute, the longest that a call may take.
fn slow() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

/// From a tenth of a millisecond to some seconds.
fn fast() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 16))
}

/// What is counted at the resident key manager's endpoints.
#[derive(Clone, Debug)]
pub struct ResidentMetrics {
    requests: Family<ResidentRequest, Counter>,
    seconds: Family<ResidentTime, Histogram>,
}

impl Default for ResidentMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(fast),
        }
    }
}

impl ResidentMetrics {
    /// Counts a request; `outcome` is `Ok` or the error's word (RFC 6749 section 5.2).
    pub fn request(&self, endpoint: &'static str, outcome: &'static str, took: Duration) {
        self.requests
            .get_or_create(&ResidentRequest { endpoint, outcome })
            .inc();
        let seconds = self.seconds.get_or_create(&ResidentTime { endpoint });
        seconds.observe(took.as_secs_f64());
    }
}

/// Takes a snapshot; `None` while this process does not lead.
type Look = dyn Fn() -> Option<Snapshot> + Send + Sync;

/// The operator's metrics.
pub struct Metrics {
    registry: Registry,
    api_requests: Family<ApiRequest, Counter>,
    key_manager_calls: Family<KeyManagerCall, Counter>,
    key_manager_seconds: Family<KeyManagerTime, Histogram>,
    reconciles: Family<Reconcile, Counter>,
    reconcile_seconds: Family<ReconcileTime, Histogram>,
    /// 1 while this process leads.
    pub leader: Gauge,
    /// Clients that may be left at a key manager and that only a person can delete.
    pub possible_orphans: Counter,
    /// Requests to the resident key manager.
    pub resident: ResidentMetrics,
    now: Gauges,
    look: Mutex<Option<Box<Look>>>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("appkeys");
        let api_requests = Family::<ApiRequest, Counter>::default();
        registry.register(
            "api_requests",
            "Requests sent to the API server by verb and resource; a watch counts when it begins",
            api_requests.clone(),
        );
        let key_manager_calls = Family::<KeyManagerCall, Counter>::default();
        registry.register(
            "key_manager_calls",
            "Calls made to key managers by verb and outcome: Ok, or what kind of failure it was; those of namespaces together",
            key_manager_calls.clone(),
        );
        let key_manager_seconds = Family::new_with_constructor(slow as fn() -> Histogram);
        registry.register_with_unit(
            "key_manager_call",
            "How long key managers take to answer, the wait for the call budget not counted",
            Unit::Seconds,
            key_manager_seconds.clone(),
        );
        let reconciles = Family::<Reconcile, Counter>::default();
        registry.register(
            "reconciles",
            "Passes over objects by kind and outcome: Done, Waits (for a call whose answer was lost) or Failed",
            reconciles.clone(),
        );
        let reconcile_seconds = Family::new_with_constructor(slow as fn() -> Histogram);
        registry.register_with_unit(
            "reconcile",
            "How long passes take by kind, waits for key managers included",
            Unit::Seconds,
            reconcile_seconds.clone(),
        );
        let possible_orphans = Counter::default();
        registry.register(
            "possible_orphans",
            "Clients that may be left at a key manager and that only a person can delete; an event names each",
            possible_orphans.clone(),
        );
        let resident = ResidentMetrics::default();
        registry.register(
            "resident_requests",
            "Requests to the resident key manager by endpoint and outcome: Ok, or the OAuth error",
            resident.requests.clone(),
        );
        registry.register_with_unit(
            "resident_request",
            "How long the resident key manager takes to answer",
            Unit::Seconds,
            resident.seconds.clone(),
        );
        let leader = Gauge::default();
        registry.register("leader", "1 while this process leads", leader.clone());
        let now = Gauges::register(&mut registry);
        Self {
            registry,
            api_requests,
            key_manager_calls,
            key_manager_seconds,
            reconciles,
            reconcile_seconds,
            leader,
            possible_orphans,
            resident,
            now,
            look: Mutex::default(),
        }
    }
}

impl Metrics {
    /// Counts a request to the API server.
    pub fn api_request(&self, verb: &'static str, resource: &'static str) {
        self.api_requests.get_or_create(&ApiRequest { verb, resource }).inc();
    }

    /// Counts a call to a key manager.
    pub fn key_manager_call(&self, key_manager: &str, verb: &'static str, outcome: &'static str, took: Duration) {
        let key_manager = key_manager.to_owned();
        let time = KeyManagerTime {
            key_manager: key_manager.clone(),
        };
        let labels = KeyManagerCall {
            key_manager,
            verb,
            outcome,
        };
        self.key_manager_calls.get_or_create(&labels).inc();
        let seconds = self.key_manager_seconds.get_or_create(&time);
        seconds.observe(took.as_secs_f64());
    }

    /// Counts a pass over an object.
    pub fn reconcile(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.reconciles.get_or_create(&Reconcile { kind, outcome }).inc();
        let seconds = self.reconcile_seconds.get_or_create(&ReconcileTime { kind });
        seconds.observe(took.as_secs_f64());
    }

    /// Takes snapshots with `look` from now on.
    pub fn look_with(&self, look: impl Fn() -> Option<Snapshot> + Send + Sync + 'static) {
        *self.look.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(look));
    }

    /// All metrics in the `OpenMetrics` text format.
    ///
    /// # Errors
    /// Encoding failed.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = look.as_ref().and_then(|look| look()).unwrap_or_default();
        // The lock is held until the text is made: of two that ask at once neither gets half of the other's.
        self.now.set(&seen);
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        drop(look);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn what_is_gone_from_a_snapshot_is_gone_from_the_metrics() {
        let metrics = Metrics::default();
        let seen = std::sync::Arc::new(Mutex::new(Some(Snapshot {
            nearest_expiry: Some(SignedDuration::from_secs(-5)),
            keys: Some([(KeyState::Ready, 3)].into()),
            key_managers: [
                (
                    "main".to_owned(),
                    KeyManagerNow {
                        circuits_open: 1,
                        budget_left: Some(7),
                        waiting: 2,
                        not_ready: 1,
                    },
                ),
                ("other".to_owned(), KeyManagerNow::default()),
                (
                    NAMESPACED.to_owned(),
                    KeyManagerNow {
                        not_ready: 3,
                        ..KeyManagerNow::default()
                    },
                ),
            ]
            .into(),
            ..Snapshot::default()
        })));
        let look = seen.clone();
        metrics.look_with(move || look.lock().unwrap().clone());
        let text = metrics.text().unwrap();
        for line in [
            "appkeys_nearest_expiry_seconds{} -5.0",
            "appkeys_keys{state=\"Ready\"} 3",
            "appkeys_keys{state=\"Deleting\"} 0",
            "appkeys_key_manager_circuits_open{key_manager=\"main\"} 1",
            "appkeys_key_manager_budget_left{key_manager=\"main\"} 7",
            "appkeys_key_manager_waiting_keys{key_manager=\"main\"} 2",
            "appkeys_key_manager_ready{key_manager=\"main\"} 0",
            "appkeys_key_manager_ready{key_manager=\"other\"} 1",
            "appkeys_key_managers_not_ready{key_manager=\"(namespaced)\"} 3",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        *seen.lock().unwrap() = None;
        let text = metrics.text().unwrap();
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let speaks = |what: &str| lines.iter().any(|line| line.contains(what));
        assert!(
            !speaks("nearest_expiry") && !speaks("main") && !speaks("state="),
            "{text}"
        );
    }
}
