//! The operator's own endpoints: `/livez`, `/readyz`, `/metrics`, and `/log` for a person who is on this host or Pod.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{ConnectInfo, DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{metrics::Metrics, telemetry::LogFilter};

/// Longest filter of logs in bytes.
const BODY_LIMIT: usize = 4096;

/// How this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It serves tokens and is the one that works on keys.
    Leading,
    /// It serves tokens and leads when the leader is gone.
    Standby,
    /// It cannot serve yet.
    Starting(&'static str),
    /// It cannot serve any more.
    Broken(&'static str),
}

/// Looks how this process is.
pub type Look = Arc<dyn Fn() -> Health + Send + Sync>;

/// What the endpoints tell.
#[derive(Clone)]
pub struct Shared {
    /// How this process is.
    pub health: Look,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is logged.
    pub log: LogFilter,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Serves until `shutdown`.
///
/// # Errors
/// The listener fails.
pub async fn serve(listener: TcpListener, shared: Shared, shutdown: CancellationToken) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route(
            "/metrics",
            get(async |State(shared): State<Shared>| metrics_text(&shared.metrics)),
        )
        .route(
            "/log",
            get(async |State(shared): State<Shared>| format!("{}\n", shared.log)).put(set_log),
        )
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(shared);
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

async fn readyz(State(shared): State<Shared>) -> (StatusCode, String) {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    match (shared.health)() {
        Health::Leading => (StatusCode::OK, "leading\n".to_owned()),
        Health::Standby => (StatusCode::OK, "standby\n".to_owned()),
        Health::Starting(why) => (unavailable, format!("starting: {why}\n")),
        Health::Broken(why) => (unavailable, format!("broken: {why}\n")),
    }
}

/// Only from the same host or Pod: whoever may `kubectl port-forward` may decide what is logged, and nobody else.
async fn set_log(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    filter: String,
) -> (StatusCode, String) {
    if !peer.ip().to_canonical().is_loopback() {
        let text = "what is logged is changed from this host or Pod only: use `kubectl port-forward`\n";
        return (StatusCode::FORBIDDEN, text.to_owned());
    }
    match shared.log.set(filter.trim()) {
        Ok(()) => {
            tracing::warn!(filter = %shared.log, "what is logged was changed");
            (StatusCode::OK, format!("{}\n", shared.log))
        }
        Err(error) => {
            let text = format!("{error}: give a filter as `info` or `appkeys=debug`\n");
            (StatusCode::BAD_REQUEST, text)
        }
    }
}

fn metrics_text(metrics: &Metrics) -> impl IntoResponse + use<> {
    match metrics.text() {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{PoisonError, RwLock};

    use super::*;

    /// A server of this health and its address.
    async fn server(health: Look) -> (String, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (_, log) =
            crate::telemetry::subscriber("info", crate::telemetry::LogFormat::Json, std::io::sink, None).unwrap();
        let shared = Shared {
            health,
            metrics: Arc::default(),
            log,
        };
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, shared, stop.clone()));
        (url, stop)
    }

    #[tokio::test]
    async fn readiness_tells_starting_standby_leading_and_broken_apart() {
        let health = Arc::new(RwLock::new(Health::Leading));
        let look = health.clone();
        let (url, _stop) = server(Arc::new(move || *look.read().unwrap_or_else(PoisonError::into_inner))).await;
        for (now, status, text) in [
            (Health::Starting("a is not read"), 503, "starting: a is not read\n"),
            (Health::Standby, 200, "standby\n"),
            (Health::Leading, 200, "leading\n"),
            (Health::Broken("b is old"), 503, "broken: b is old\n"),
        ] {
            *health.write().unwrap() = now;
            let answer = reqwest::get(format!("{url}/readyz")).await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), answer.text().await.unwrap().as_str()),
                (status, text)
            );
        }
        assert_eq!(reqwest::get(format!("{url}/livez")).await.unwrap().status(), 200);
    }
}
