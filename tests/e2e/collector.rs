//! Traces, as the OpenTelemetry collector takes them.

use serde_json::json;
use testbed::{collector::Collector, operator::Ports};

use crate::support::{Cluster, key, team};

#[tokio::test]
async fn the_opentelemetry_collector_takes_the_traces_of_an_operator() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start(folder.path()).await.unwrap();
    let mut cluster = Cluster::install_with(Ports::free().unwrap()).await;
    cluster.environment = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
        ("OTEL_SERVICE_NAME", "keys-of-a-test".to_owned()),
    ];
    cluster.run();
    cluster.quickstart();
    team(&cluster, "team").await;
    cluster.apply(&key("team", "collected", &json!({})));
    cluster.ready("team", "collected").await;
    // The last spans go out when it stops.
    cluster.terminate();
    let spans = || collector.output();
    cluster
        .until("the trace", async || spans().contains("appkeys.name: Str(collected)"))
        .await;
    let said = spans();
    for line in [
        "service.name: Str(keys-of-a-test)",
        "Name           : reconcile ApplicationKey",
        "Name           : queue",
        "Name           : register",
        "Name           : create secrets",
        "appkeys.cause: Str(change)",
        "appkeys.outcome: Str(Done)",
        "appkeys.step: Str(Publish)",
        "http.response.status_code: Int(201)",
    ] {
        assert!(said.contains(line), "{line} is not in {said}");
    }
}
