//! oauth2-proxy, as the example runs it: with the configuration and the secret that a key's Secret has, at a real Keycloak.

use std::{collections::BTreeMap, path::Path, process::Command};

use reqwest::redirect::Policy;
use serde_json::Value;
use testbed::{
    key_managers::keycloak::{Keycloak, OPERATOR_SECRET, Options, ROTATING},
    oauth2_proxy,
    process::{Server, free_ports},
};

use crate::support::{
    Cluster,
    examples::{self, apply},
};

const EXAMPLE: &str = "examples/presets/oauth2-proxy.yaml";

/// A Secret's entries as files.
fn mounted(entries: &BTreeMap<String, String>, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for (name, value) in entries {
        std::fs::write(folder.join(name), value).unwrap();
    }
}

/// The arguments of the example's container, at these folders and this port; the CA as the docs say.
fn arguments(cluster: &Cluster, folder: &Path, port: u16) -> Vec<String> {
    let deployment = cluster.kubectl(&["-n", "team-a", "get", "deployment", "shop-proxy", "-o=json"]);
    let deployment: Value = serde_json::from_str(&deployment).unwrap();
    let all = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        .as_array()
        .unwrap();
    let ca = Value::from("--provider-ca-file=/etc/oauth2-proxy/ca.crt");
    let place = |argument: &Value| {
        let argument = argument.as_str().unwrap();
        let argument = argument.replace("/etc/", &format!("{}/", folder.display()));
        argument.replace("0.0.0.0:4180", &format!("127.0.0.1:{port}"))
    };
    all.iter().chain([&ca]).map(place).collect()
}

#[tokio::test]
async fn oauth2_proxy_starts_with_its_preset_and_sends_people_to_the_login() {
    let binary = tokio::task::spawn_blocking(oauth2_proxy::installed)
        .await
        .unwrap()
        .unwrap();
    let cluster = Cluster::start().await;
    let keycloak = Keycloak::start(Options::default()).await.unwrap();
    examples::keycloak(&cluster, &keycloak, ROTATING, OPERATOR_SECRET);
    cluster.quickstart();
    let cookie = [("REPLACE-ME-REPLACE-ME-REPLACE-ME", "0123456789abcdef0123456789abcdef")];
    apply(&cluster, EXAMPLE, &cookie);
    cluster.ready("team-a", "shop-proxy").await;
    let secret = cluster.secret("team-a", "shop-proxy").await;
    let folder = tempfile::tempdir().unwrap();
    mounted(&secret, &folder.path().join("oauth2-proxy"));
    mounted(
        &cluster.secret("team-a", "shop-proxy-cookie").await,
        &folder.path().join("cookie"),
    );

    let [port] = free_ports().unwrap();
    let mut command = Command::new(binary);
    command.args(arguments(&cluster, folder.path(), port));
    let proxy = Server::start(command, folder.path(), "oauth2-proxy").unwrap();
    let ca = reqwest::Certificate::from_pem(secret["ca.crt"].as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([ca]).redirect(Policy::none());
    let client = client.build().unwrap();
    let get = async |path: &str| client.get(format!("http://127.0.0.1:{port}{path}")).send().await;
    let answers = async || get("/ping").await.is_ok_and(|answer| answer.status() == 200);
    let start = tokio::time::Instant::now();
    while !answers().await {
        assert!(start.elapsed() < crate::support::LIMIT, "{}", proxy.output());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }

    let answer = get("/oauth2/start?rd=/").await.unwrap();
    assert_eq!(answer.status(), 302, "{}", proxy.output());
    let login = answer.headers()["location"].to_str().unwrap().to_owned();
    assert!(login.starts_with(&secret["authorization-uri"]), "{login}");
    let asked: BTreeMap<_, _> = reqwest::Url::parse(&login)
        .unwrap()
        .query_pairs()
        .into_owned()
        .collect();
    assert_eq!(asked["client_id"], secret["client-id"]);
    assert_eq!(asked["redirect_uri"], "https://shop.example.com/oauth2/callback");
    assert_eq!(asked["code_challenge_method"], "S256");
    // Keycloak knows the client, its redirect URI and the scopes that are asked for.
    let page = client.get(&login).send().await.unwrap();
    assert_eq!(page.status(), 200, "{login}");
    let page = page.text().await.unwrap();
    assert!(page.contains("kc-form-login"), "{page}");
}
