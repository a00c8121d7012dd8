//! An HTTPS server in this process, for doubles of key managers. It and all its connections end when it is dropped.
//!
//! It has a thread of its own: whoever waits for an operator, or for kubectl, would keep it from answering them.

use std::{fmt, net::TcpListener as Listener, sync::Arc, thread};

use anyhow::Context as _;
use axum::{Router, body::Body, extract::Request, response::Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::oneshot,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::certificate;
use crate::process::steady_ports;

/// In a response's extensions: the client gets none, the connection ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoAnswer;

/// The server. It listens after `start`, until `stop`.
pub(crate) struct TlsServer {
    port: u16,
    ca: String,
    acceptor: TlsAcceptor,
    running: Option<Running>,
}

/// It ends when `_stop` is dropped; the thread has `ended` then.
struct Running {
    _stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsServer({})", self.url())
    }
}

impl TlsServer {
    /// One that does not listen yet, with a port and a certificate of its own.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let issued = certificate::issue()?;
        let certificate =
            CertificateDer::from_pem_slice(issued.certificate.as_bytes()).context("read a certificate")?;
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).context("read a certificate's key")?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], key))
            .context("use a certificate")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let [port] = steady_ports()?;
        Ok(Self {
            port,
            ca: issued.ca,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            running: None,
        })
    }

    /// Where it is or will be.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The CA that its certificate is from, in PEM.
    pub(super) fn ca(&self) -> &str {
        &self.ca
    }

    /// Listens and answers with `router` from now on.
    pub(crate) async fn start(&mut self, router: Router) -> anyhow::Result<()> {
        self.stop().await;
        let listener = Listener::bind(("127.0.0.1", self.port)).context("listen")?;
        listener.set_nonblocking(true).context("listen without blocking")?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .context("make a runtime")?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener).context("listen in a runtime")?
        };
        let (stop, stopped) = oneshot::channel();
        let (ends, ended) = oneshot::channel();
        let acceptor = self.acceptor.clone();
        thread::Builder::new()
            .name("tls-server".into())
            .spawn(move || {
                runtime.block_on(serve(listener, acceptor, router, stopped));
                let _nobody_waits = ends.send(());
            })
            .context("start a thread")?;
        self.running = Some(Running { _stop: stop, ended });
        Ok(())
    }

    /// Refuses connections from now on. Those that were open have ended.
    pub(super) async fn stop(&mut self) {
        if let Some(Running { _stop: stop, ended }) = self.running.take() {
            drop(stop);
            drop(ended.await);
        }
    }
}

/// Until `stopped` resolves, which it does when its sender is dropped.
async fn serve(listener: TcpListener, acceptor: TlsAcceptor, router: Router, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(connection(stream, acceptor.clone(), router.clone()));
            },
            Some(_) = connections.join_next() => {},
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, router: Router) {
    drop(stream.set_nodelay(true));
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let Ok(response) = router.oneshot(request.map(Body::new)).await;
            let lost = response.extensions().get::<NoAnswer>().is_some();
            if lost {
                Err::<Response, _>("no answer")
            } else {
                Ok(response)
            }
        }
    });
    drop(
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}
