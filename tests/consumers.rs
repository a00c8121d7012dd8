//! Those who read Secrets, each with its own loader: what the examples of presets make is what they take.

use std::{collections::BTreeMap, path::Path};

use appkeys::api::ApplicationKey;
use testbed::spring::{self, Mounted};

use crate::support::{Cluster, repository, token};

/// The key of an example, ready, and its Secret.
async fn example(cluster: &Cluster, file: &str, name: &str) -> (ApplicationKey, BTreeMap<String, String>) {
    cluster.kubectl(&["apply", "-f", &repository(&format!("examples/presets/{file}.yaml"))]);
    let key = cluster.ready("team-a", name).await;
    (key, cluster.secret("team-a", name).await)
}

/// The Secret as a kubelet mounts it.
fn mount(entries: &BTreeMap<String, String>, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for (name, value) in entries {
        std::fs::write(folder.join(name), value).unwrap();
    }
}

fn is_the_client(read: &BTreeMap<String, String>, secret: &BTreeMap<String, String>) {
    assert_eq!(read["clients"], "1");
    for entry in ["client-id", "client-secret", "token-uri"] {
        assert!(read[entry] == secret[entry], "{entry} is another one");
    }
    for (name, value) in [
        ("registration", "shop"),
        ("provider", "resident"),
        ("authentication", "client_secret_basic"),
        ("grant", "client_credentials"),
        ("scopes", "orders:read orders:write"),
        ("jwk-set-uri", &secret["jwks-uri"]),
    ] {
        assert_eq!(read[name], value, "{name}");
    }
}

#[tokio::test]
async fn spring_boot_reads_the_properties() {
    let cluster = Cluster::shared().await;
    let (_, secret) = example(&cluster, "spring", "shop-spring").await;
    let folder = tempfile::tempdir().unwrap();
    mount(&secret, folder.path());
    let file = folder.path().join("application.properties");
    let read = tokio::task::spawn_blocking(move || spring::client(Mounted::Properties(&file)));
    let read = read.await.unwrap().unwrap();
    is_the_client(&read, &secret);
    assert_eq!(read["issuer-uri"], "null", "the server is not asked at every start");
    assert_eq!(token(&secret, &[]).await.0, 200);
}

#[tokio::test]
async fn spring_cloud_bindings_reads_the_service_binding() {
    let cluster = Cluster::shared().await;
    let (key, secret) = example(&cluster, "service-binding", "shop-binding").await;
    assert_eq!(key.status.unwrap().binding.unwrap().name, "shop-binding");
    let type_ = cluster.kubectl(&[
        "-n",
        "team-a",
        "get",
        "secret",
        "shop-binding",
        "-o",
        "jsonpath={.type}",
    ]);
    assert_eq!(type_, "servicebinding.io/oauth2");
    let folder = tempfile::tempdir().unwrap();
    mount(&secret, &folder.path().join("shop"));
    let root = folder.path().to_owned();
    let read = tokio::task::spawn_blocking(move || spring::client(Mounted::Bindings(&root)));
    let read = read.await.unwrap().unwrap();
    is_the_client(&read, &secret);
    assert_eq!(read["issuer-uri"], secret["issuer-uri"]);
}

#[tokio::test]
async fn a_template_is_the_file_that_its_reader_wants() {
    let cluster = Cluster::shared().await;
    let (before, secret) = example(&cluster, "template", "shop-template").await;
    let json: serde_json::Value = serde_json::from_str(&secret["shop.json"]).unwrap();
    let tokens = &json["tokens"];
    for (name, entry) in [("url", "token-uri"), ("id", "client-id"), ("secret", "client-secret")] {
        assert!(tokens[name] == secret[entry].as_str(), "{name} is another one");
    }
    // A template that cannot be filled leaves the Secret as it is, and another one changes it without a rotation.
    let patch = |text: &str| {
        let patch = serde_json::json!({"spec": {"secret": {"templates": {"shop.json": text}}}}).to_string();
        cluster.kubectl(&[
            "-n",
            "team-a",
            "patch",
            "akey",
            "shop-template",
            "--type=merge",
            "-p",
            &patch,
        ]);
    };
    patch("{{ client_secrett }}");
    let said = |key: &ApplicationKey| {
        let conditions = &key.status.as_ref().unwrap().conditions;
        conditions
            .iter()
            .any(|c| c.reason == "InvalidTemplate" && c.message.contains("shop.json, line 1, column 1"))
    };
    cluster.key_until("team-a", "shop-template", said).await;
    assert!(
        cluster.secret("team-a", "shop-template").await == secret,
        "the Secret was changed"
    );
    patch("{{ client_id }}");
    let other = async || cluster.secret("team-a", "shop-template").await["shop.json"] == secret["client-id"];
    cluster.until("another text", other).await;
    let after = cluster.key_until("team-a", "shop-template", |key| !said(key)).await;
    let version = |key: ApplicationKey| key.status.unwrap().credential.unwrap().version;
    assert_eq!(version(after), version(before));
}

#[tokio::test]
async fn variables_are_those_of_the_entries() {
    let cluster = Cluster::shared().await;
    let (_, secret) = example(&cluster, "env", "shop-env").await;
    for (variable, entry) in [
        ("CLIENT_ID", "client-id"),
        ("CLIENT_SECRET", "client-secret"),
        ("CA_CRT", "ca.crt"),
    ] {
        assert!(secret[variable] == secret[entry], "{variable} is another one");
    }
}
