//! Keys at a real Keycloak: the calls that cannot be spared by a plain client, and the same keys by the operator.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, api::PostParams};
use serde_json::{Value, json};
use testbed::key_managers::keycloak::{BED, Keycloak, OPERATOR, OPERATOR_SECRET, Options};
use tokio::time::Instant;

use crate::{
    cluster::{Cluster, During, parsed},
    keys::{self, IN_FLIGHT},
    progress,
    usage::Usage,
};

const NAME: &str = "keycloak";
/// Clients that a Keycloak has made before anything is measured: a fresh one is slower.
const WARM_UP: u32 = 100;
/// Clients that are made with one token of the operator's client: it lives five minutes.
const BATCH: usize = 500;

/// What the plain client needed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plain {
    pub(crate) wall: Duration,
    /// CPU time of Keycloak.
    pub(crate) server: Duration,
}

/// Keys by the plain client and by the operator, at the same server.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) keys: u32,
    pub(crate) plain: Plain,
    pub(crate) operator: During,
    /// CPU time of Keycloak for the operator's keys.
    pub(crate) server: Duration,
}

/// Makes `count` keys each way. Half of the plain client's come first and half last: a server gets faster, and then slower with
/// the number of its clients.
pub(crate) async fn measure(cluster: &Cluster, count: u32) -> anyhow::Result<Figures> {
    let keycloak = Keycloak::start(Options::default()).await?;
    let caller = Caller::new(&keycloak)?;
    let server = || anyhow::Ok(Usage::of(keycloak.pid())?.cpu);
    install(&cluster.client().await?, &keycloak).await?;
    cluster.key_manager_ready(NAME).await?;
    caller.make("warm-up", WARM_UP).await?;

    let mut plain = Plain::default();
    let half = async |name: &str, count: u32| {
        progress(&format!("  {count} clients by a plain client"));
        let (before, begin) = (server()?, Instant::now());
        caller.make(name, count).await?;
        anyhow::Ok((begin.elapsed(), server()?.saturating_sub(before)))
    };
    let first = half("first", count / 2).await?;
    progress(&format!("  {count} keys by the operator"));
    let before = server()?;
    let (operator, _) = keys::by_the_operator(cluster, "at-keycloak", Some(NAME), count).await?;
    let cpu = server()?.saturating_sub(before);
    let last = half("last", count - count / 2).await?;
    for (wall, server) in [first, last] {
        plain.wall += wall;
        plain.server += server;
    }
    Ok(Figures {
        keys: count,
        plain,
        operator,
        server: cpu,
    })
}

/// Makes the realm a key manager, with limits that are none.
async fn install(client: &Client, keycloak: &Keycloak) -> anyhow::Result<()> {
    let secrets = Api::<Secret>::namespaced(client.clone(), "appkeys");
    for (name, entries) in [
        (
            "keycloak-operator",
            json!({"client-id": OPERATOR, "client-secret": OPERATOR_SECRET}),
        ),
        ("keycloak-ca", json!({"ca.crt": keycloak.ca()})),
    ] {
        let secret = parsed(json!({"metadata": {"name": name}, "stringData": entries}))?;
        secrets
            .create(&PostParams::default(), &secret)
            .await
            .context("make a Secret")?;
    }
    let manager = json!({
        "apiVersion": "appkeys.dev/v1alpha1", "kind": "ClusterKeyManager", "metadata": {"name": NAME},
        "spec": {
            "keycloak": {
                "url": keycloak.https_url(), "realm": BED, "credentialsSecretRef": {"name": "keycloak-operator"},
            },
            "caBundleRef": {"name": "keycloak-ca"},
            "access": [{"namespaceSelector": {}}],
            "limits": {"requestsPerSecond": 10000, "maxInFlight": IN_FLIGHT},
        },
    });
    Api::<appkeys::api::ClusterKeyManager>::all(client.clone())
        .create(&PostParams::default(), &parsed(manager)?)
        .await
        .context("make a key manager")?;
    Ok(())
}

/// A plain client of the Admin API.
struct Caller {
    http: reqwest::Client,
    url: String,
}

impl Caller {
    fn new(keycloak: &Keycloak) -> anyhow::Result<Self> {
        let ca = reqwest::Certificate::from_pem(keycloak.ca().as_bytes()).context("read Keycloak's CA")?;
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build();
        Ok(Self {
            http: http.context("make an HTTP client")?,
            url: keycloak.https_url(),
        })
    }

    /// Makes clients, and gets a token as each: not a call more, as many at the same time as the operator does.
    async fn make(&self, name: &str, count: u32) -> anyhow::Result<()> {
        let all: Vec<_> = (0..count).collect();
        for batch in all.chunks(BATCH) {
            let token = self.token(OPERATOR, OPERATOR_SECRET).await?;
            stream::iter(batch)
                .map(|n| self.make_one(&token, format!("{name}-{n}")))
                .buffer_unordered(IN_FLIGHT)
                .try_collect::<()>()
                .await?;
        }
        Ok(())
    }

    async fn make_one(&self, token: &str, id: String) -> anyhow::Result<()> {
        let secret = "a-secret-of-43-characters-as-the-operator-s";
        let client = json!({
            "clientId": id, "name": "shop", "protocol": "openid-connect", "publicClient": false, "bearerOnly": false,
            "clientAuthenticatorType": "client-secret", "secret": secret, "serviceAccountsEnabled": true,
            "standardFlowEnabled": false, "implicitFlowEnabled": false, "directAccessGrantsEnabled": false,
            "fullScopeAllowed": false, "redirectUris": [], "attributes": {"owner": id},
            "defaultClientScopes": ["basic"], "optionalClientScopes": [],
        });
        let answer = self
            .http
            .post(format!("{}/admin/realms/{BED}/clients", self.url))
            .bearer_auth(token)
            .json(&client)
            .send()
            .await
            .context("make a client")?;
        ensure!(answer.status() == 201, "a client is refused: {}", answer.status());
        self.token(&id, secret).await?;
        Ok(())
    }

    async fn token(&self, id: &str, secret: &str) -> anyhow::Result<String> {
        let url = format!("{}/realms/{BED}/protocol/openid-connect/token", self.url);
        let request = self.http.post(url).basic_auth(id, Some(secret));
        let answer = request.form(&[("grant_type", "client_credentials")]).send().await;
        let answer: Value = answer
            .context("ask for a token")?
            .json()
            .await
            .context("read a token")?;
        let token = answer["access_token"].as_str().map(str::to_owned);
        token.with_context(|| format!("{id} gets no token: {answer}"))
    }
}
