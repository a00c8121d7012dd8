//! What takes long to build: `make e2e` runs it, `make test` does not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the other test binary needs more of it")]
#[path = "../support/mod.rs"]
mod support;

mod collector; // traces, as the OpenTelemetry collector takes them
mod promtool; // alert rules, as Prometheus reads them
