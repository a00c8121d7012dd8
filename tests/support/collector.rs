//! A collector of traces in this process: it takes OTLP by HTTP and keeps what it got.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use axum::{Router, body::Bytes, extract::DefaultBodyLimit, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{self as otlp, span::SpanKind, status::StatusCode as Status},
};
use prost::Message as _;
use tokio::sync::oneshot;

/// How long the operator keeps spans before it sends them, here.
const DELAY: Duration = Duration::from_millis(200);

/// A span as it was received.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) trace: Vec<u8>,
    pub(crate) id: Vec<u8>,
    /// Empty for the root of a trace.
    pub(crate) parent: Vec<u8>,
    pub(crate) attributes: BTreeMap<String, String>,
    /// Whether it is a call to somebody else.
    pub(crate) client: bool,
    pub(crate) failed: bool,
    /// In nanoseconds.
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Span {
    fn of(span: otlp::Span) -> Self {
        Self {
            client: span.kind() == SpanKind::Client,
            failed: span.status.is_some_and(|status| status.code() == Status::Error),
            name: span.name,
            trace: span.trace_id,
            id: span.span_id,
            parent: span.parent_span_id,
            attributes: attributes(span.attributes),
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
        }
    }

    /// An attribute; empty where there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

fn attributes(all: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        // What should be a number is seen not to be one.
        Some(Value::StringValue(text)) if text.parse::<i64>().is_ok() => format!("{text:?}"),
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    all.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}

#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    /// Everything in it, for whoever looks for what must not be there.
    text: String,
    /// Attributes of the process that sent it.
    resource: BTreeMap<String, String>,
}

/// The collector. It ends when it is dropped.
pub(crate) struct Collector {
    port: u16,
    received: Arc<Mutex<Received>>,
    _stop: oneshot::Sender<()>,
}

impl Collector {
    /// Starts one. It has a thread of its own: whoever waits for an operator would keep it from answering.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let received = Arc::<Mutex<Received>>::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let take = {
            let received = received.clone();
            post(async move |body: Bytes| take(&received, &body))
        };
        let router = Router::new()
            .route("/v1/traces", take)
            .layer(DefaultBodyLimit::disable());
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let served = axum::serve(listener, router).into_future();
                tokio::select! {
                    _ = stopped => {}
                    served = served => served.unwrap(),
                }
            });
        });
        Self {
            port,
            received,
            _stop: stop,
        }
    }

    /// The variables of an operator that sends its traces here.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
            ("OTEL_BSP_SCHEDULE_DELAY", DELAY.as_millis().to_string()),
        ]
    }

    /// What was received so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.received.lock().unwrap().spans.clone()
    }

    /// Who sent it.
    pub(crate) fn resource(&self) -> BTreeMap<String, String> {
        self.received.lock().unwrap().resource.clone()
    }

    /// All that is in it, once spans that have ended by now are there.
    pub(crate) async fn settled(&self) -> String {
        tokio::time::sleep(DELAY * 5).await;
        self.received.lock().unwrap().text.clone()
    }
}

fn take(received: &Mutex<Received>, body: &[u8]) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else {
        return StatusCode::BAD_REQUEST;
    };
    let mut received = received.lock().unwrap();
    writeln!(received.text, "{request:#?}").unwrap();
    for resource in request.resource_spans {
        received.resource = attributes(resource.resource.unwrap_or_default().attributes);
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        received.spans.extend(spans.map(Span::of));
    }
    StatusCode::OK
}
