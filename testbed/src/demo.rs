//! `make demo`: manifests become Secrets that work, a rotation that nobody notices, and how to go on by hand. With the resident
//! key manager, with a real Keycloak, or with a double of Okta or WSO2.

mod scene; // what differs by key manager

use std::{
    collections::BTreeMap,
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    control_plane::ControlPlane,
    operator::{self, Ports},
    protected_api::{self, TrustedIssuer},
};
use scene::{Audience, Scene};

/// The longest that one step may take.
const LIMIT: Duration = Duration::from_mins(2);
const NAMESPACE: &str = "team-a";
const OVERLAP: u64 = 10;

type Entries = BTreeMap<String, String>;

/// Runs the demo with a key manager, `resident`, `keycloak`, `okta` or `wso2`; with a terminal it then stays until Ctrl-C.
///
/// # Errors
/// What did not work, and the operator's last lines.
pub async fn run(key_manager: &str) -> anyhow::Result<()> {
    ensure!(
        ["resident", "keycloak", "okta", "wso2"].contains(&key_manager),
        "KEY_MANAGER can be resident, keycloak, okta or wso2, not {key_manager}"
    );
    title(1, "a Kubernetes API server of its own");
    let start = Instant::now();
    let plane = ControlPlane::start().await?;
    operator::install(&plane)?;
    say(&format!(
        "etcd, kube-apiserver and kube-controller-manager are up after {} s",
        start.elapsed().as_secs()
    ));

    title(2, "the operator and its key manager");
    let folder = tempfile::tempdir().context("make a folder")?;
    let ports = Ports::free()?;
    let operator = operator::start(&operator::binary()?, &plane, ports, folder.path(), "operator", &[], &[])?;
    say(&format!(
        "the operator runs; its log is {}",
        folder.path().join("operator.log").display()
    ));
    let scene = match key_manager {
        "keycloak" => Scene::keycloak(folder.path()).await?,
        "okta" => Scene::okta(folder.path()).await?,
        "wso2" => Scene::wso2(folder.path()).await?,
        _ => Scene::resident(),
    };
    let result = tour(&plane, &scene).await;
    if result.is_err() {
        eprintln!("the operator's last lines:\n{}", operator.last_lines());
    }
    result?;

    title(6, "go on by hand");
    let kubectl = plane.binaries().join("kubectl");
    println!("  export KUBECONFIG={}", plane.kubeconfig().display());
    println!("  alias kubectl={}", kubectl.display());
    println!("  kubectl get appkeys -A");
    println!("  kubectl explain akey.spec");
    println!(
        "  kubectl -n {NAMESPACE} annotate akey {} appkeys.dev/rotate=$(date +%s) --overwrite",
        scene.by_hand
    );
    println!("  kubectl -n {NAMESPACE} describe akey {}", scene.by_hand);
    println!("  curl -s http://127.0.0.1:{}/metrics", ports.admin);
    println!("  less {}", scene.docs);
    if std::io::stdin().is_terminal() {
        println!("\nEverything runs until Ctrl-C, which also removes it.");
        tokio::signal::ctrl_c().await.context("wait for Ctrl-C")?;
    } else {
        println!("\nNo terminal, so everything is stopped and removed now. The demo is complete.");
    }
    Ok(())
}

async fn tour(plane: &ControlPlane, scene: &Scene) -> anyhow::Result<()> {
    title(3, &format!("kubectl apply -f {}", scene.shown));
    print!("{}", indented(&scene.apply(plane)?));
    plane.kubectl(&[
        "-n",
        NAMESPACE,
        "wait",
        "akey",
        "--all",
        "--for=condition=Ready",
        "--timeout=120s",
    ])?;
    print!("{}", indented(&plane.kubectl(&["get", "ckm"])?));
    print!("{}", indented(&plane.kubectl(&["-n", NAMESPACE, "get", "akapp,akey"])?));

    title(4, "use the Secrets as a workload would");
    let credentials = secret(plane, scene.secret).await?;
    say(&format!("Secret {} (values masked):", scene.secret));
    for (name, value) in &credentials {
        println!("    {name:<18} {}", masked(name, value));
    }
    let tokens_name = format!("{}-tokens", scene.secret);
    let tokens = secret(plane, &tokens_name).await?;
    let token = tokens
        .get("orders.access-token")
        .context("no access token in the Secret")?;
    let client = http_client(&credentials)?;
    let keys = client
        .get(&credentials["jwks-uri"])
        .send()
        .await
        .context("read the JWKS")?;
    let issuer = TrustedIssuer {
        issuer: credentials["issuer-uri"].clone(),
        audience: match scene.audience {
            Audience::Issuer => credentials["issuer-uri"].clone(),
            Audience::Client => credentials["client-id"].clone(),
            Audience::Given(audience) => audience.to_owned(),
        },
        token_type: scene.token_type,
        keys: keys.json().await.context("read the JWKS")?,
    };
    let claims = issuer.check(token)?;
    say(&format!(
        "the token in Secret {tokens_name} is signed by a key of the JWKS; it says:"
    ));
    for claim in scene.claims {
        println!("    {claim:<18} {}", claims[*claim].as_str().unwrap_or_default());
    }
    let (url, _server) = protected_api::serve(issuer).await?;
    let plain = reqwest::Client::new();
    let refused = plain.get(&url).send().await.context("call the API")?.status();
    let answer = plain
        .get(&url)
        .bearer_auth(token)
        .send()
        .await
        .context("call the API")?;
    let (status, body) = (answer.status(), answer.text().await.context("read the answer")?);
    say(&format!("an API that trusts this issuer: GET {url}"));
    say(&format!("without a token: {refused}; with the token: {status} {body}"));
    ensure!(refused == 401 && status == 200, "the API did not answer as it should");

    title(5, "rotate: nobody notices");
    let patch = format!(r#"{{"spec":{{"rotation":{{"overlap":"{OVERLAP}s","trigger":"demo"}}}}}}"#);
    let key = scene.key;
    say(&format!(
        "kubectl -n {NAMESPACE} patch akey {key} --type=merge -p '{patch}'"
    ));
    plane.kubectl(&["-n", NAMESPACE, "patch", "akey", key, "--type=merge", "-p", &patch])?;
    let fresh = until("a new secret", async || {
        let now = secret(plane, scene.secret).await?;
        Ok((now["client-secret"] != credentials["client-secret"]).then_some(now))
    })
    .await?;
    ensure!(
        fresh["client-id"] == credentials["client-id"],
        "a rotation with an overlap keeps the client"
    );
    let (old, new) = (
        token_status(&client, &credentials).await?,
        token_status(&client, &fresh).await?,
    );
    say(&format!(
        "a token with the old secret: {old}; with the new secret: {new}"
    ));
    ensure!(old == 200 && new == 200, "both secrets should work through the overlap");
    say(&format!("after the overlap of {OVERLAP} seconds:"));
    until("the end of the old secret", async || {
        Ok((token_status(&client, &credentials).await? == 401).then_some(()))
    })
    .await?;
    let new = token_status(&client, &fresh).await?;
    say(&format!("a token with the old secret: 401; with the new secret: {new}"));
    ensure!(new == 200, "the new secret should go on working");
    Ok(())
}

fn title(number: u8, text: &str) {
    println!("\n== {number} of 6: {text}");
}

fn say(text: &str) {
    println!("  {text}");
}

fn indented(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        out.push_str("  ");
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// What is no secret as it is, and of the secret its length.
fn masked(name: &str, value: &str) -> String {
    let name = name.to_ascii_lowercase().replace('_', "-");
    match name.as_str() {
        "client-secret" => format!("**** ({} characters)", value.len()),
        "ca.crt" | "ca-crt" => format!("{} bytes of PEM", value.len()),
        _ => value.to_owned(),
    }
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if start.elapsed() > LIMIT {
            bail!("{what}: not within {} s", LIMIT.as_secs());
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn secret(plane: &ControlPlane, name: &str) -> anyhow::Result<Entries> {
    let api = Api::<Secret>::namespaced(plane.client().await?, NAMESPACE);
    let data = api.get(name).await.with_context(|| format!("read Secret {name}"))?.data;
    data.into_iter()
        .flatten()
        .map(|(name, value)| Ok((name, String::from_utf8(value.0).context("a Secret with text")?)))
        .collect()
}

fn http_client(credentials: &Entries) -> anyhow::Result<reqwest::Client> {
    let ca = reqwest::Certificate::from_pem(credentials["ca.crt"].as_bytes()).context("read ca.crt")?;
    reqwest::Client::builder()
        .tls_certs_only([ca])
        .build()
        .context("make an HTTP client")
}

async fn token_status(client: &reqwest::Client, credentials: &Entries) -> anyhow::Result<u16> {
    let request = client
        .post(&credentials["token-uri"])
        .basic_auth(&credentials["client-id"], credentials.get("client-secret"))
        .form(&[("grant_type", "client_credentials")]);
    let answer = request.send().await.context("ask for a token")?;
    let status = answer.status().as_u16();
    let _body: Value = answer.json().await.context("read the token endpoint's answer")?;
    Ok(status)
}
