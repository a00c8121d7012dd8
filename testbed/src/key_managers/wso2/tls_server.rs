//! The TLS server of doubles: on a free loopback port, with a certificate of a CA of its own, gone when it is dropped.

use std::{io, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use crate::key_managers::certificate;

/// Answers a request, or breaks the connection without an answer.
pub(super) type Handler = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Option<Response<Bytes>>> + Send + Sync>;

/// A listener that is not served yet: a double needs to know its address before it can answer.
#[derive(Debug)]
pub(super) struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Takes a free port.
    pub(super) async fn new() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let address = listener.local_addr().context("listen")?;
        Ok(Self { listener, address })
    }

    /// The URL of the server, without a path.
    pub(super) fn origin(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Serves.
    pub(super) fn serve(self, handler: Handler) -> anyhow::Result<TlsServer> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let ca = certificate::make(folder.path())?;
        let certificate = CertificateDer::from_pem_file(folder.path().join(certificate::CERTIFICATE))
            .context("read a certificate")?;
        let key = PrivateKeyDer::from_pem_file(folder.path().join(certificate::KEY)).context("read a key")?;
        let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .context("choose TLS versions")?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .context("use a certificate")?;
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = self.listener;
        let task = tokio::spawn(async move {
            // Ends with this task, and all connections with it.
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                while connections.try_join_next().is_some() {}
                connections.spawn(connection(acceptor.clone(), stream, handler.clone()));
            }
        });
        Ok(TlsServer {
            ca,
            task: task.abort_handle(),
        })
    }
}

/// A server. It ends when it is dropped, with its connections.
#[derive(Debug)]
pub(super) struct TlsServer {
    ca: String,
    task: AbortHandle,
}

impl TlsServer {
    /// The CA of its certificate, in PEM.
    pub(super) fn ca(&self) -> &str {
        &self.ca
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connection(acceptor: TlsAcceptor, stream: TcpStream, handler: Handler) {
    drop(stream.set_nodelay(true));
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let handler = handler.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            let answer = handler(Request::from_parts(head, body)).await;
            // An error makes hyper close the connection, which is what a lost answer looks like.
            answer
                .map(|answer| answer.map(Full::new))
                .ok_or(io::Error::from(io::ErrorKind::ConnectionReset))
        }
    });
    drop(
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}
