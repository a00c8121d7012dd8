//! What takes long to build: `make e2e` runs it, `make test` does not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the other test binary needs more of it")]
#[path = "../support/mod.rs"]
mod support;

mod collector; // traces, as the OpenTelemetry collector takes them
mod promtool; // alert rules, as Prometheus reads them
mod pods; // real Pods: the image, the chart, workloads through a rotation
mod reloader; // who restarts workloads when their Secret changes
mod proxy; // oauth2-proxy, as it reads its configuration
