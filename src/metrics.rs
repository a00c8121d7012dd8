//! Metric families, registered once; labels are words of the code, never names of objects.

use std::sync::{Mutex, PoisonError};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Labels of a request to the API server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiRequest {
    verb: &'static str,
    resource: &'static str,
}

/// Labels of a call to a key manager.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyManagerCall {
    verb: &'static str,
    outcome: &'static str,
}

/// What is counted only when somebody asks, so that it costs nothing in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Whether everything that was there when this process began to lead has been asked for.
    pub synced: bool,
    /// Objects that wait for a pass or are in one.
    pub queue_depth: usize,
    /// Secrets of ours whose key is not there.
    pub released_secrets: usize,
}

/// Takes a snapshot; `None` while this process does not lead.
type Look = dyn Fn() -> Option<Snapshot> + Send + Sync;

/// The operator's metrics.
pub struct Metrics {
    registry: Registry,
    api_requests: Family<ApiRequest, Counter>,
    key_manager_calls: Family<KeyManagerCall, Counter>,
    /// 1 while this process leads.
    pub leader: Gauge,
    /// Clients that may be left at a key manager and that only a person can delete.
    pub possible_orphans: Counter,
    synced: Gauge,
    queue_depth: Gauge,
    released_secrets: Gauge,
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
            "Calls made to key managers by verb and outcome: Ok, or what kind of failure it was",
            key_manager_calls.clone(),
        );
        let possible_orphans = Counter::default();
        registry.register(
            "possible_orphans",
            "Clients that may be left at a key manager and that only a person can delete; an event names each",
            possible_orphans.clone(),
        );
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let leader = gauge("leader", "1 while this process leads");
        let synced = gauge(
            "synced",
            "1 once all objects that were there when this process began to lead are in the queue or done",
        );
        let queue_depth = gauge("queue_depth", "Objects that wait for a pass or are in one");
        let released_secrets = gauge(
            "released_secrets",
            "Secrets of this operator whose ApplicationKey is gone",
        );
        Self {
            registry,
            api_requests,
            key_manager_calls,
            leader,
            possible_orphans,
            synced,
            queue_depth,
            released_secrets,
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
    pub fn key_manager_call(&self, verb: &'static str, outcome: &'static str) {
        let labels = KeyManagerCall { verb, outcome };
        self.key_manager_calls.get_or_create(&labels).inc();
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
        drop(look);
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.synced.set(seen.synced.into());
        self.queue_depth.set(count(seen.queue_depth));
        self.released_secrets.set(count(seen.released_secrets));
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
