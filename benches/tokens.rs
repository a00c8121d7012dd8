//! The token endpoint under load: TLS, connections that stay, and an answer of its own for each request.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use data_encoding::BASE64;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_rustls::TlsConnector;

use crate::cluster::Cluster;

/// Connections at the same time.
const CONNECTIONS: u32 = 32;
/// Answers of each connection that are looked at closely.
const SAMPLE: usize = 200;

/// What came of one load.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// Answers in a second.
    pub(crate) rate: f64,
    /// Answers in a second of the operator's CPU time: what one core gives.
    pub(crate) per_core_second: f64,
    /// Half of the answers came within this time.
    pub(crate) p50: Duration,
    /// All but one in a hundred did.
    pub(crate) p99: Duration,
}

/// As much as there can be, and half of that.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loads {
    pub(crate) full: Load,
    pub(crate) half: Load,
}

/// Where tokens are, and the request for one.
struct Target {
    address: (String, u16),
    tls: TlsConnector,
    path: String,
    authorization: String,
}

/// Asks for tokens of one key for `time` each.
pub(crate) async fn load(cluster: &Cluster, time: Duration) -> anyhow::Result<Loads> {
    let target = Arc::new(target(cluster).await?);
    run(cluster, &target, time.min(Duration::from_secs(1)), None).await?;
    let full = run(cluster, &target, time, None).await?;
    let half = run(cluster, &target, time, Some(full.rate / 2.0)).await?;
    Ok(Loads { full, half })
}

async fn target(cluster: &Cluster) -> anyhow::Result<Target> {
    let secret = Api::<Secret>::namespaced(cluster.client().await?, "measured")
        .get("key-0")
        .await
        .context("read a Secret")?;
    let data = secret.data.unwrap_or_default();
    let entry = |name: &str| {
        let value = data.get(name).with_context(|| format!("a Secret without {name}"))?;
        String::from_utf8(value.0.clone()).context("a Secret with text")
    };
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(entry("ca.crt")?.as_bytes()).context("read ca.crt")?;
    roots.add(ca).context("trust ca.crt")?;
    let tls = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let url = reqwest::Url::parse(&entry("token-uri")?).context("read token-uri")?;
    let credentials = format!("{}:{}", entry("client-id")?, entry("client-secret")?);
    Ok(Target {
        address: cluster.token_address(),
        tls: TlsConnector::from(Arc::new(tls)),
        path: url.path().to_owned(),
        authorization: format!("Basic {}", BASE64.encode(credentials.as_bytes())),
    })
}

/// Asks for `time` over all connections, as fast as answers come or `rate` times a second.
async fn run(cluster: &Cluster, target: &Arc<Target>, time: Duration, rate: Option<f64>) -> anyhow::Result<Load> {
    let mut connections = vec![];
    for _ in 0..CONNECTIONS {
        connections.push(connect(target).await?);
    }
    let cpu = cluster.operator_usage()?.cpu;
    let begin = Instant::now();
    let end = begin + time;
    let mut tasks = JoinSet::new();
    for (n, connection) in (0_u32..).zip(connections) {
        let every = rate.map(|rate| Duration::from_secs_f64(f64::from(CONNECTIONS) / rate));
        let first = begin + every.unwrap_or_default() * n / CONNECTIONS;
        tasks.spawn(ask(connection, target.clone(), first, every, end));
    }
    let (mut times, mut ids, mut looked_at) = (vec![], BTreeSet::new(), 0);
    while let Some(asked) = tasks.join_next().await {
        let (took, tokens) = asked.context("ask for tokens")??;
        times.extend(took);
        looked_at += tokens.len();
        for token in tokens {
            ids.insert(token_id(&token)?);
        }
    }
    let wall = begin.elapsed().as_secs_f64();
    let cpu = cluster.operator_usage()?.cpu.saturating_sub(cpu).as_secs_f64();
    ensure!(ids.len() == looked_at, "two tokens with the same jti");
    times.sort_unstable();
    let count = u32::try_from(times.len()).context("count answers")?;
    let quantile = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    Ok(Load {
        rate: f64::from(count) / wall,
        per_core_second: f64::from(count) / cpu.max(0.01),
        p50: quantile(50),
        p99: quantile(99),
    })
}

async fn connect(target: &Target) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(("127.0.0.1", target.address.1))
        .await
        .context("connect")?;
    stream.set_nodelay(true).context("connect")?;
    let name = ServerName::try_from(target.address.0.clone()).context("read the server's name")?;
    let stream = target.tls.connect(name, stream).await.context("set up TLS")?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .context("set up HTTP")?;
    tokio::spawn(connection);
    Ok(sender)
}

/// How long each answer took, and the first tokens. A request that is due waits for the answer before it: that wait is part
/// of its time.
async fn ask(
    mut connection: SendRequest<Full<Bytes>>,
    target: Arc<Target>,
    first: Instant,
    every: Option<Duration>,
    end: Instant,
) -> anyhow::Result<(Vec<Duration>, Vec<Bytes>)> {
    let (mut times, mut tokens) = (vec![], vec![]);
    let mut due = first;
    loop {
        if every.is_some() {
            sleep_until(due).await;
        }
        let begin = if every.is_some() { due } else { Instant::now() };
        if begin >= end {
            return Ok((times, tokens));
        }
        let request = Request::post(&target.path)
            .header(header::HOST, &target.address.0)
            .header(header::AUTHORIZATION, &target.authorization)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from("grant_type=client_credentials"))
            .context("write a request")?;
        connection.ready().await.context("wait for the connection")?;
        let answer = connection.send_request(request).await.context("ask for a token")?;
        ensure!(answer.status() == 200, "a token request got {}", answer.status());
        let body = answer.into_body().collect().await.context("read a token")?.to_bytes();
        times.push(begin.elapsed());
        if tokens.len() < SAMPLE {
            tokens.push(body);
        }
        due += every.unwrap_or_default();
    }
}

/// The `jti` of the token in an answer.
fn token_id(answer: &[u8]) -> anyhow::Result<String> {
    let answer: serde_json::Value = serde_json::from_slice(answer).context("read an answer")?;
    let token = answer["access_token"].as_str().context("an answer without a token")?;
    let token = jsonwebtoken::dangerous::insecure_decode::<serde_json::Value>(token).context("read a token")?;
    let id = token.claims["jti"].as_str().context("a token without jti")?;
    Ok(id.to_owned())
}
