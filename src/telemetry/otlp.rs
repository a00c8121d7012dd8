//! Traces by OTLP (HTTP with protobuf), where the variables of the OpenTelemetry specification ask for them.
//!
//! Nothing waits for the collector: spans go into a bounded queue, a thread of its own sends them, and what finds no room is lost.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::SdkTracerProvider,
};
use reqwest::Certificate;
use tokio::{runtime::Handle, time::Instant};
use tracing_subscriber::{Layer, Registry, filter::filter_fn};

use crate::{key_manager::remote::built_in, spans};

/// How long the end of the process may wait for the last spans to be sent.
const FLUSH: Duration = Duration::from_secs(3);
/// How long one request may take, where no variable says so; the specification's.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The least time between two lines of the log that say that spans are lost.
const QUIET: Duration = Duration::from_mins(10);
/// The largest answer that is read.
const ANSWER: usize = 64 << 10;

/// Where spans go.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// As the environment asks for; `None` where it names no collector. `runtime` sends.
    ///
    /// # Errors
    /// A variable that cannot be used, with its name.
    pub fn from_environment(runtime: &Handle) -> anyhow::Result<Option<Self>> {
        let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if disabled || of_traces("ENDPOINT").is_none() {
            return Ok(None);
        }
        if let Some(protocol) = of_traces("PROTOCOL")
            && protocol != "http/protobuf"
        {
            bail!(
                "OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}: traces are sent by http/protobuf only, to port 4318 of a collector"
            );
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender::new(runtime)?)
            .build()
            .context("read OTEL_EXPORTER_OTLP_ENDPOINT and what goes with it")?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_batch_exporter(exporter)
            .build();
        Ok(Some(Self(provider)))
    }

    /// What gives it the spans of passes, and nothing else.
    pub(super) fn layer(&self) -> Box<dyn Layer<Registry> + Send + Sync> {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("appkeys"))
            // Each attribute is one of ours: see `spans`.
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(filter_fn(|metadata| {
                metadata.is_span() && metadata.target() == spans::TARGET
            }))
            .boxed()
    }

    /// Sends what is left, for a few seconds at most.
    pub async fn flush(self) {
        let sent = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(FLUSH)).await;
        if !matches!(sent, Ok(Ok(()))) {
            tracing::warn!("the last traces were not delivered");
        }
    }
}

/// An environment variable, where it is there and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable of the exporter, of traces alone or of all signals.
fn of_traces(name: &str) -> Option<String> {
    let own = variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"));
    own.or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}")))
}

/// Who this is: `appkeys`, where no variable says otherwise.
fn resource() -> Resource {
    let resource = Resource::builder_empty()
        .with_service_name("appkeys")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match variable("OTEL_SERVICE_NAME") {
        Some(name) => resource.with_service_name(name).build(),
        None => resource.build(),
    }
}

/// Sends by our own HTTP client, on the operator's runtime: the exporter's thread has none.
#[derive(Debug)]
struct Sender {
    client: reqwest::Client,
    runtime: Handle,
    told: Arc<Told>,
}

impl Sender {
    fn new(runtime: &Handle) -> anyhow::Result<Self> {
        let timeout = of_traces("TIMEOUT").and_then(|millis| millis.parse().ok());
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("appkeys/", env!("CARGO_PKG_VERSION")))
            .timeout(timeout.map_or(TIMEOUT, Duration::from_millis))
            .redirect(reqwest::redirect::Policy::none())
            .tls_certs_merge(built_in());
        if let Some(file) = of_traces("CERTIFICATE") {
            let pem = std::fs::read(&file).with_context(|| format!("read {file} (OTEL_EXPORTER_OTLP_CERTIFICATE)"))?;
            let certificates = Certificate::from_pem_bundle(&pem);
            builder = builder.tls_certs_merge(certificates.with_context(|| format!("read certificates of {file}"))?);
        }
        Ok(Self {
            client: builder.build().context("make the HTTP client of traces")?,
            runtime: runtime.clone(),
            told: Arc::default(),
        })
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, told) = (self.client.clone(), self.told.clone());
        let sent = self.runtime.spawn(async move {
            let answer = send(&client, request).await;
            told.of(&answer);
            answer
        });
        sent.await?
    }
}

async fn send(client: &reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let mut response = client.execute(request.try_into()?).await.map_err(hide)?;
    let mut answer = Response::builder().status(response.status());
    if let Some(headers) = answer.headers_mut() {
        headers.clone_from(response.headers());
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(hide)? {
        if body.len() + chunk.len() > ANSWER {
            return Err("the answer is too large".into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(answer.body(body.freeze())?)
}

/// Without the URL, which may hold a token.
fn hide(error: reqwest::Error) -> HttpError {
    error.without_url().into()
}

/// What the log was told of the way to the collector.
#[derive(Debug, Default)]
struct Told(Mutex<Option<Instant>>);

impl Told {
    /// Tells of trouble when it begins and then now and then, and of its end.
    fn of(&self, answer: &Result<Response<Bytes>, HttpError>) {
        let why = match answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(root(error.as_ref())),
        };
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (why, *told) {
            (None, None) => {}
            (None, Some(_)) => {
                *told = None;
                tracing::info!("traces are delivered again");
            }
            (Some(_), Some(at)) if at.elapsed() < QUIET => {}
            (Some(why), _) => {
                *told = Some(Instant::now());
                tracing::warn!(error = why, "traces are not delivered and some are lost");
            }
        }
    }
}

/// What is at the bottom of an error.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests;
