//! Metric families, registered once; labels are words of the code, never names of objects.

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

/// The operator's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    api_requests: Family<ApiRequest, Counter>,
    /// 1 while this process leads.
    pub leader: Gauge,
    /// Items that wait or are worked on.
    pub queue_depth: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("appkeys");
        let api_requests = Family::<ApiRequest, Counter>::default();
        let (leader, queue_depth) = (Gauge::default(), Gauge::default());
        registry.register(
            "api_requests",
            "Requests to the API server by verb and resource",
            api_requests.clone(),
        );
        registry.register("leader", "1 while this process leads", leader.clone());
        registry.register(
            "queue_depth",
            "Objects that wait for a pass or are in one",
            queue_depth.clone(),
        );
        Self {
            registry,
            api_requests,
            leader,
            queue_depth,
        }
    }
}

impl Metrics {
    /// Counts a request to the API server.
    pub fn api_request(&self, verb: &'static str, resource: &'static str) {
        self.api_requests.get_or_create(&ApiRequest { verb, resource }).inc();
    }

    /// All metrics in the `OpenMetrics` text format.
    ///
    /// # Errors
    /// Encoding failed.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
