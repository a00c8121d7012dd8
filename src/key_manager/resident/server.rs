//! The TLS server of all resident key managers, with a certificate that can change while it runs.

use std::{
    future::ready,
    pin::pin,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use ::http::{HeaderValue, header::CONNECTION};
use axum::{middleware::map_response, response::Response};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::http::{self, Issuers};

/// Connections at the same time.
const CONNECTIONS: usize = 4096;
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEADERS: Duration = Duration::from_secs(10);
const DRAIN: Duration = Duration::from_secs(10);
/// How long each answer closes its connection before the idle ones are closed: a client that is about to send its next request
/// on a connection that closes under it would see that fail.
const LAME_DUCK: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The certificate in use; none until the first resident key manager is open.
#[derive(Clone, Debug, Default)]
pub struct CurrentCertificate(Arc<RwLock<Option<Arc<CertifiedKey>>>>);

impl CurrentCertificate {
    /// Uses `certificate` for connections from now on.
    pub fn set(&self, certificate: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certificate));
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Serves until `shutdown`; then lets clients go one answer after the other, and answers what is under way, for a bounded time.
///
/// # Errors
/// TLS cannot be set up.
pub async fn serve(
    listener: TcpListener,
    issuers: Issuers,
    certificate: CurrentCertificate,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificate));
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Its connections are counted until it is left.
    {
        let mut left = pin!(async {
            shutdown.cancelled().await;
            let end = Instant::now() + LAME_DUCK;
            while graceful.count() > 0 && Instant::now() < end {
                sleep(LOOK_EVERY).await;
            }
        });
        loop {
            let place = places.clone().acquire_owned().await?;
            let (stream, peer) = tokio::select! {
                () = &mut left => break,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "accept a connection");
                        sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let leaving = shutdown.clone();
            let close = map_response(move |mut response: Response| {
                if leaving.is_cancelled() {
                    let headers = response.headers_mut();
                    headers.insert(CONNECTION, HeaderValue::from_static("close"));
                }
                ready(response)
            });
            let service = TowerToHyperService::new(http::router(issuers.clone(), peer.ip()).layer(close));
            let (acceptor, builder, watcher) = (acceptor.clone(), builder.clone(), graceful.watcher());
            tokio::spawn(async move {
                let _place = place;
                drop(stream.set_nodelay(true));
                if let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await {
                    drop(
                        watcher
                            .watch(builder.serve_connection(TokioIo::new(stream), service))
                            .await,
                    );
                }
            });
        }
    }
    drop(timeout(DRAIN, graceful.shutdown()).await);
    Ok(())
}
