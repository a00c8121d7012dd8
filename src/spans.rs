//! Spans: what traces show of a pass over an object, from the event that asked for it to the calls that it makes.
//!
//! Every attribute that is ever exported is named here, and none is a value that somebody else chose: no query, path, header or
//! body, no text of an error. What stands in a trace beside words of this program are names of objects and hosts of key managers.
//!
//! ```text
//! reconcile ApplicationKey            kind, namespace, name, cause, outcome
//! ├─ queue                            until its turn
//! ├─ get applicationkeys              a request to the API server
//! └─ Register                         a step of the plan
//!    └─ register                      a call at a key manager: verb, key manager, outcome
//!       ├─ wait for the call budget   where it had to
//!       └─ POST                       its HTTP requests
//! ```

use std::pin::pin;

use futures::FutureExt as _;
use http::{Method, StatusCode};
use opentelemetry::trace::TraceContextExt as _;
use reqwest::Url;
use tracing::{Instrument as _, Span, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::controller::queue::{Cause, Item};

/// Where spans are from: those with this target are exported, and nothing else is.
pub const TARGET: &str = "appkeys::spans";

/// A span of ours below the one that this task is in; none where there is none: what is no part of a pass makes no trace.
macro_rules! below {
    ($($span:tt)*) => {
        if Span::current().metadata().is_some_and(|of| of.target() == TARGET) {
            info_span!(target: TARGET, $($span)*)
        } else {
            Span::none()
        }
    };
}

/// A pass that was asked for: its trace begins here, and goes through the queue with it.
#[derive(Debug, Default)]
pub struct Asked {
    pass: Option<Span>,
    queue: Option<Span>,
}

impl Asked {
    /// Something asks for a pass now.
    pub fn for_pass(item: &Item, cause: Cause) -> Self {
        if matches!(item, Item::Probe(..)) {
            // Only a look at which key is to try.
            return Self::default();
        }
        let name = item.name();
        let pass = info_span!(
            target: TARGET,
            parent: None,
            "reconcile",
            otel.name = format_args!("reconcile {}", item.kind()),
            otel.status_code = Empty,
            appkeys.kind = item.kind(),
            appkeys.name = name.name,
            k8s.namespace.name = Some(name.namespace.as_str()).filter(|namespace| !namespace.is_empty()),
            appkeys.cause = cause.word(),
            appkeys.outcome = Empty,
        );
        if pass.is_disabled() {
            return Self::default();
        }
        let queue = info_span!(target: TARGET, parent: &pass, "queue");
        Self {
            pass: Some(pass),
            queue: Some(queue),
        }
    }

    /// Its turn has come.
    pub fn begins(self) -> Span {
        drop(self.queue);
        self.pass.unwrap_or_else(Span::none)
    }
}

/// The pass that this task is in has ended.
pub fn pass_ended(outcome: &'static str) {
    let span = Span::current();
    span.record("appkeys.outcome", outcome);
    if outcome == "Failed" {
        span.record("otel.status_code", "ERROR");
    }
}

/// A step.
pub fn step(name: &'static str) -> Span {
    below!(
        "step",
        otel.name = name,
        otel.status_code = Empty,
        appkeys.step = name,
        error.type = Empty
    )
}

/// A call at a key manager; of those of namespaces `key_manager` is what metrics call them.
pub fn call(verb: &'static str, key_manager: &str) -> Span {
    below!(
        "call",
        otel.name = verb,
        otel.status_code = Empty,
        appkeys.verb = verb,
        appkeys.key_manager = key_manager,
        appkeys.outcome = Empty,
        error.type = Empty
    )
}

/// A call at a key manager has ended.
pub fn called(span: &Span, outcome: &'static str) {
    span.record("appkeys.outcome", outcome);
    if outcome != "Ok" {
        failed(span, outcome);
    }
}

/// An HTTP request to a key manager; `purpose` says in our words what it is for.
pub fn http(key_manager: &str, purpose: &str, method: &Method, url: &Url) -> Span {
    below!(
        "http",
        otel.name = method.as_str(),
        otel.kind = "client",
        otel.status_code = Empty,
        appkeys.key_manager = key_manager,
        appkeys.purpose = purpose,
        http.request.method = method.as_str(),
        server.address = url.host_str(),
        server.port = url.port_or_known_default().map(i64::from),
        http.response.status_code = Empty,
        error.type = Empty
    )
}

/// A request to the API server, in the words of its metrics.
pub fn api_request(verb: &'static str, resource: &'static str, method: &Method) -> Span {
    below!(
        "api",
        otel.name = format_args!("{verb} {resource}"),
        otel.kind = "client",
        otel.status_code = Empty,
        appkeys.api.verb = verb,
        appkeys.api.resource = resource,
        http.request.method = method.as_str(),
        http.response.status_code = Empty,
        error.type = Empty
    )
}

/// A request has its answer, or has ended without one.
pub fn answered(span: &Span, status: Option<StatusCode>) {
    match status {
        Some(status) => {
            // Of numbers only these become numbers in a trace.
            span.record("http.response.status_code", i64::from(status.as_u16()));
            if status.is_client_error() || status.is_server_error() {
                failed(span, status.as_str());
            }
        }
        None => failed(span, "Unreachable"),
    }
}

/// What a span is about has failed; `reason` is a word of ours.
pub fn failed(span: &Span, reason: &str) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", reason);
}

/// Waits, and where it has to has a span for it.
pub async fn waiting<T>(what: &'static str, wait: impl Future<Output = T>) -> T {
    let mut wait = pin!(wait);
    if let Some(done) = wait.as_mut().now_or_never() {
        return done;
    }
    wait.instrument(below!("wait", otel.name = what)).await
}

/// The id of the trace that this task is in, where it is exported.
pub fn trace_id() -> Option<String> {
    let context = Span::current().context();
    let span = context.span();
    let span = span.span_context();
    span.is_sampled().then(|| span.trace_id().to_string())
}
