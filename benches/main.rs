//! What the operator costs: one run on a real API server, printed as a table beside the targets and written as JSON.
//!
//! `KEYS` is how many keys are made (1000), `SECONDS` how long a quiet operator is looked at (60), `TOKEN_SECONDS` how long
//! the token endpoint is under load each time (5), `KEYCLOAK_KEYS` how many keys are made at a Keycloak (500; 0: that part is
//! left out). Everything is on loopback and ends with the run.

mod usage; // CPU and memory of a process
mod cluster; // a control plane with the operator in it
mod keys; // many keys: made by a plain client alone, and by the operator
mod keycloak; // the same at a real Keycloak
mod tokens; // the token endpoint under load
mod signing; // raw signing on one core
mod report; // the table and the JSON

use std::time::Duration;

use anyhow::Context as _;

use crate::{cluster::Cluster, report::Report};

fn main() -> anyhow::Result<()> {
    // Cargo hands flags on; nothing here reads them.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(run())
}

/// A number from the environment.
fn setting(name: &str, default: u32) -> anyhow::Result<u32> {
    match std::env::var(name) {
        Ok(value) => value.parse().with_context(|| format!("{name} is to be a number")),
        Err(_) => Ok(default),
    }
}

/// Says how far the run is.
fn progress(text: &str) {
    eprintln!("bench: {text}");
}

async fn run() -> anyhow::Result<()> {
    let keys = setting("KEYS", 1000)?.clamp(1, 100_000);
    let seconds = Duration::from_secs(setting("SECONDS", 60)?.into());
    let at_keycloak = setting("KEYCLOAK_KEYS", 500)?.min(10_000);
    let token_seconds = Duration::from_secs(setting("TOKEN_SECONDS", 5)?.max(1).into());
    let mut report = Report::new(keys);

    progress("raw ES256 signing on one core");
    let raw = signing::per_core_second()?;
    report.signing(raw);

    progress("a control plane and the operator");
    let mut cluster = Cluster::start().await?;
    report.size(cluster::binary_size()?);
    report.start(cluster.start_operator().await?);
    cluster.key_manager().await?;
    report.idle_memory(cluster.operator_usage()?.memory);
    let templates = keys::warm_up(&cluster).await?;

    progress(&format!("bare writes for {keys} keys, in a control plane of their own"));
    let bare = keys::bare(&templates, keys).await?;
    report.bare(&bare);

    progress(&format!("{keys} keys made by the operator"));
    let made = keys::by_the_operator(&cluster, keys::NAMESPACE, None, keys).await?;
    report.made(&made, &bare);

    progress(&format!("{} seconds of rest", seconds.as_secs()));
    report.rest(seconds, &cluster.sent_during(seconds).await?);

    progress("the token endpoint");
    report.tokens(raw, &tokens::load(&cluster, token_seconds).await?);

    progress("restart");
    cluster.stop_operator()?;
    let restart = cluster.start_operator().await?;
    report.restart(&restart, cluster.operator_usage()?.memory);

    // Last: its keys would count in what is measured above.
    if at_keycloak > 0 {
        progress(&format!("{at_keycloak} keys at a Keycloak"));
        report.keycloak(&keycloak::measure(&cluster, at_keycloak).await?);
    }

    drop(cluster);
    report.print();
    report.write()
}
