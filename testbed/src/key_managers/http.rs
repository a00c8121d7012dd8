//! The test bed's own HTTP client, and waiting for a server with it.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep};

use crate::process::Server;

const STEP: Duration = Duration::from_millis(50);

/// A client without idle connections: the server may have been killed in between.
pub(super) fn client(ca: Option<&str>) -> anyhow::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(30));
    if let Some(ca) = ca {
        let ca = reqwest::Certificate::from_pem(ca.as_bytes()).context("read a test server's CA")?;
        builder = builder.tls_certs_only([ca]);
    }
    builder.build().context("make an HTTP client")
}

/// Waits until a server answers `url` with success.
pub(super) async fn ready(
    name: &str,
    server: &mut Server,
    client: &reqwest::Client,
    url: &str,
    limit: Duration,
) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        if !server.is_running() {
            bail!("{name} ended: {}", server.last_lines());
        }
        let said = match client.get(url).timeout(Duration::from_secs(5)).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => answer.status().to_string(),
            Err(error) => format!("{:#}", anyhow::Error::new(error)),
        };
        if start.elapsed() > limit {
            let (seconds, lines) = (limit.as_secs(), server.last_lines());
            bail!("{name} is not ready after {seconds} s ({url}: {said}): {lines}");
        }
        sleep(STEP).await;
    }
}
