//! What test Pods run: a workload that calls a protected API with the credential that its Pod was given, that API, and nothing.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::protected_api::{self, TrustedIssuer};

/// The folder where the Secret is mounted. Without it the values are variables, as the preset `env` calls them.
pub const FOLDER: &str = "CREDENTIAL_FOLDER";
/// The protected API that the workload calls.
pub const API_URL: &str = "API_URL";
/// Where the protected API listens.
pub const API_PORT: u16 = 8080;

const ENTRIES: [&str; 4] = ["client-id", "client-secret", "token-uri", "ca.crt"];
const CALL_EVERY: Duration = Duration::from_millis(200);
/// How many calls are one line.
const CALLS_OF_A_LINE: u64 = 5;
/// How long an issuer may take to answer when the API starts.
const ISSUER_LIMIT: Duration = Duration::from_mins(1);
const CALL_LIMIT: Duration = Duration::from_secs(10);

type Entries = BTreeMap<String, String>;

/// Runs one of them, as the first process of a container, until it is told to end.
///
/// # Errors
/// It has no such work, or cannot do it.
pub async fn run(work: &str) -> anyhow::Result<()> {
    // The first process of a container is ended by no signal that it does not ask for.
    let mut end = signal(SignalKind::terminate()).context("listen for the end")?;
    let work = async {
        match work {
            "pause" => std::future::pending().await,
            "workload" => call_always().await,
            "protected-api" => serve().await,
            other => bail!("no work is called {other}"),
        }
    };
    tokio::select! {
        done = work => done,
        _ = end.recv() => Ok(()),
    }
}

/// What is known of a secret by those who do not have it.
pub fn name_of(secret: &str) -> String {
    HEXLOWER.encode(&digest(&SHA256, secret.as_bytes()).as_ref()[..4])
}

/// The credential as it is now.
fn credential() -> anyhow::Result<Entries> {
    let folder = std::env::var_os(FOLDER).map(PathBuf::from);
    let entries = ENTRIES.map(|name| {
        let value = match &folder {
            Some(folder) => fs::read_to_string(folder.join(name)).context("read the file")?,
            None => std::env::var(name.to_uppercase().replace(['-', '.'], "_"))?,
        };
        Ok((name.to_owned(), value))
    });
    entries
        .into_iter()
        .collect::<anyhow::Result<_>>()
        .context("read the credential")
}

/// Reads the credential, gets a token and calls the API, again and again. A line says when the secret is another one, another
/// one how many calls there were and how many failed, another one why one failed.
async fn call_always() -> anyhow::Result<()> {
    let api = std::env::var(API_URL).context(API_URL)?;
    let (mut calls, mut failed) = (0_u64, 0_u64);
    let mut known = Entries::new();
    let mut client = None;
    let mut ticks = interval(CALL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = credential()?;
        let with = match &client {
            Some(client) if now == known => client,
            _ => client.insert(http_client(&now)?),
        };
        if now.get("client-secret") != known.get("client-secret") {
            println!("secret {}", name_of(&now["client-secret"]));
        }
        known = now;
        calls += 1;
        if let Err(why) = call(with, &known, &api).await {
            failed += 1;
            println!("call {calls} failed: {why:#}");
        }
        if calls % CALLS_OF_A_LINE == 0 {
            println!("calls {calls} failed {failed}");
        }
    }
}

fn http_client(entries: &Entries) -> anyhow::Result<reqwest::Client> {
    let ca = reqwest::Certificate::from_pem(entries["ca.crt"].as_bytes()).context("read ca.crt")?;
    let builder = reqwest::Client::builder().tls_certs_only([ca]).timeout(CALL_LIMIT);
    builder.build().context("build a client")
}

async fn call(client: &reqwest::Client, entries: &Entries, api: &str) -> anyhow::Result<()> {
    let request = client
        .post(&entries["token-uri"])
        .basic_auth(&entries["client-id"], Some(&entries["client-secret"]))
        .form(&[("grant_type", "client_credentials"), ("scope", "orders:read")]);
    let answer = request.send().await.context("ask for a token")?;
    ensure!(answer.status().is_success(), "no token: {}", answer.status());
    let answer: Value = answer.json().await.context("read the token")?;
    let token = answer["access_token"].as_str().context("no token in the answer")?;
    let answer = client
        .get(api)
        .bearer_auth(token)
        .send()
        .await
        .context("call the API")?;
    ensure!(answer.status().is_success(), "the API says {}", answer.status());
    Ok(())
}

/// The API, for tokens of the issuer that the mounted Secret names.
async fn serve() -> anyhow::Result<()> {
    let folder = PathBuf::from(std::env::var_os(FOLDER).context(FOLDER)?);
    let read = |name: &str| fs::read_to_string(folder.join(name)).with_context(|| format!("read {name}"));
    let client = http_client(&Entries::from([("ca.crt".to_owned(), read("ca.crt")?)]))?;
    let (keys, start) = (read("jwks-uri")?, Instant::now());
    let keys = loop {
        let asked = async { client.get(&keys).send().await?.error_for_status()?.json().await };
        match asked.await {
            Ok(keys) => break keys,
            Err(why) if start.elapsed() > ISSUER_LIMIT => return Err(why).context("get the issuer's keys"),
            Err(_) => sleep(CALL_EVERY).await,
        }
    };
    let issuer = read("issuer-uri")?;
    let trusted = TrustedIssuer {
        audience: issuer.clone(),
        issuer,
        token_type: "at+jwt",
        keys,
    };
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, API_PORT));
    let listener = TcpListener::bind(address).await.context("listen")?;
    println!("serves");
    protected_api::serve_on(listener, trusted).await.context("serve")
}
