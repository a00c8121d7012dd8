//! What people copy works: every YAML of `examples/` (those for Keycloak and registration at real servers, those for Okta and WSO2 at their doubles), and the commands of README and docs.
//!
//! Commands are the lines that begin with `$ ` in its blocks marked `console` or `sh`. Those that are `kubectl`
//! and nothing else (no pipe, no redirection, no substitution, nothing that goes on until somebody stops it) are run one
//! after the other, in their order, in the repository's folder, against a cluster with the operator in it that nobody
//! else uses; each must succeed. What follows a command in the block is what it prints, for people, and is not compared.
//! A text without such lines passes, so nothing here has to change when it gets some. Those of Keycloak's `kcadm.sh` set up a
//! realm, which must then do for the operator.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use reqwest::Method;
use serde_json::json;
use testbed::key_managers::{
    keycloak::{Keycloak, OPERATOR_SECRET, Options, ROTATING, installed},
    oidc_provider::{self, OidcProvider},
};

use crate::support::{
    Cluster,
    examples::{self, apply},
    key, leads, repository, team, token,
};

/// The tutorial.
const TUTORIAL: &str = "docs/key-managers/resident.md";

/// Every example, those for one kind of key manager included.
fn examples() -> Vec<PathBuf> {
    files("examples")
}

/// All files in a folder and those below it.
pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let mut files = vec![];
    let mut folders = vec![PathBuf::from(repository(folder))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files
}

#[tokio::test]
async fn the_api_server_takes_every_example() {
    let cluster = Cluster::shared().await;
    let examples = examples();
    for path in &examples {
        assert!(
            path.extension().is_some_and(|extension| extension == "yaml"),
            "{} is no YAML",
            path.display()
        );
        let file = path.to_str().unwrap();
        let said = cluster.kubectl(&["apply", "--dry-run=server", "--validate=strict", "-f", file]);
        let text = std::fs::read_to_string(path).unwrap();
        let objects = text.lines().filter(|line| line.starts_with("kind:")).count();
        assert_eq!(said.lines().count(), objects, "{file}:\n{said}");
    }
    assert!(examples.len() >= 23, "only {} examples were found", examples.len());
}

#[tokio::test]
async fn the_examples_for_keycloak_work_at_a_keycloak() {
    let cluster = Cluster::start().await;
    let keycloak = Keycloak::start(Options::default()).await.unwrap();
    let legacy = json!({
        "clientId": "legacy-shop", "protocol": "openid-connect", "publicClient": false, "secret": "the-legacy-secret",
        "serviceAccountsEnabled": true,
    });
    keycloak.admin().create(ROTATING, &legacy).await.unwrap();

    examples::keycloak(&cluster, &keycloak, ROTATING, OPERATOR_SECRET);
    for file in ["key", "login", "private-key"] {
        apply(&cluster, &format!("examples/keycloak/{file}.yaml"), &[]);
    }
    let secret = [("REPLACE-ME", "the-legacy-secret")];
    apply(&cluster, "examples/keycloak/adopt.yaml", &secret);

    for key in ["shop-orders", "shop-login", "shop-signer", "shop-legacy"] {
        cluster.ready("team-a", key).await;
    }
    let orders = cluster.secret("team-a", "shop-orders").await;
    assert_eq!(token(&orders, &[("scope", "orders:write")]).await.0, 200);
    assert!(
        !cluster
            .secret("team-a", "shop-login")
            .await
            .contains_key("client-secret")
    );
    assert!(
        cluster
            .secret("team-a", "shop-signer")
            .await
            .contains_key("private-key.pem")
    );
    let legacy = cluster.secret("team-a", "shop-legacy").await;
    assert_eq!(legacy["client-id"], "legacy-shop");
    assert_eq!(legacy["client-secret"], "the-legacy-secret");
}

#[tokio::test]
async fn the_examples_for_registration_work_at_an_oidc_provider() {
    let cluster = Cluster::start().await;
    let server = OidcProvider::start(oidc_provider::Options::default()).await.unwrap();
    let secret = |name: &str, entries: serde_json::Value| {
        let metadata = json!({"name": name, "namespace": "appkeys"});
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": entries})
    };
    cluster.apply(&secret("oidc-ca", json!({"ca.crt": server.ca()})));
    let token = [("REPLACE-ME", server.initial_access_token())];
    apply(&cluster, "examples/oidc/credentials.yaml", &token);
    let server = [
        ("https://login.example.com", server.issuer()),
        // The server's CA is no public one.
        ("  access:", "  caBundleRef: {name: oidc-ca}\n  access:"),
    ];
    apply(&cluster, "examples/oidc/key-manager.yaml", &server);
    apply(&cluster, "examples/oidc/key.yaml", &[]);
    cluster.ready("team-a", "shop-partner").await;
    let entries = cluster.secret("team-a", "shop-partner").await;
    let (status, answer) = crate::support::token(&entries, &[("scope", "orders:read")]).await;
    assert_eq!(
        (status, answer["scope"].as_str()),
        (200, Some("orders:read")),
        "{answer}"
    );
}

/// The commands of a text in Markdown.
pub(crate) fn commands(markdown: &str) -> Vec<String> {
    let mut commands = vec![];
    let mut inside = false;
    for line in markdown.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            inside = !inside && ["console", "sh"].contains(&language.trim());
        } else if inside && let Some(command) = line.trim_start().strip_prefix("$ ") {
            commands.push(command.trim().to_owned());
        }
    }
    commands
}

/// The arguments of a plain kubectl command; `None` for anything else.
pub(crate) fn kubectl(command: &str) -> Option<Vec<String>> {
    arguments(command.strip_prefix("kubectl ")?)
}

/// Its words, as a shell has them; `None` for what needs a shell, or goes on until somebody stops it.
pub(crate) fn arguments(rest: &str) -> Option<Vec<String>> {
    if rest.contains(['|', '>', '<', '$', '`', ';', '&', '\\']) || rest.contains("-f -") {
        return None;
    }
    let mut words = vec![];
    let (mut word, mut quote) = (String::new(), None);
    for c in rest.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, ' ') => words.push(std::mem::take(&mut word)),
            // What is after it is for people.
            (None, '#') if word.is_empty() => break,
            (_, c) => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    let endless = ["-w", "--watch", "port-forward", "proxy", "edit"];
    let ends = !words.iter().any(|word| endless.contains(&word.as_str()));
    ends.then_some(words)
}

#[test]
fn commands_are_found_in_markdown() {
    let text = "$ kubectl get no\n```console\n$ kubectl get akey -n 'team a'   # all of them\nNAME  READY\n$ make demo\n```\n\
                ```yaml\n$ kubectl get no\n```\n```sh\n$ kubectl get secret x | jq .\n```\n";
    let found = commands(text);
    assert_eq!(found.len(), 3, "{found:?}");
    let run: Vec<_> = found.iter().filter_map(|command| kubectl(command)).collect();
    assert_eq!(run, [["get", "akey", "-n", "team a"]]);
}

/// The README and all of `docs/`, save the installation, which begins in an empty cluster: the tests of the chart run that;
/// and the tutorial, which is one shell from its beginning to its end.
fn texts() -> Vec<PathBuf> {
    let mut texts: Vec<_> = files("docs")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .filter(|path| !path.ends_with("docs/install.md") && !path.ends_with(TUTORIAL))
        .collect();
    texts.push(repository("README.md").into());
    texts
}

#[tokio::test]
async fn the_commands_of_readme_and_docs_work() {
    let cluster = Cluster::start().await;
    cluster
        .until("the operator to lead", async || leads(cluster.ports()).await)
        .await;
    for path in texts() {
        let text = std::fs::read_to_string(&path).unwrap();
        for arguments in commands(&text).iter().filter_map(|command| kubectl(command)) {
            let output = Command::new(cluster.plane.binaries().join("kubectl"))
                .env("KUBECONFIG", cluster.plane.kubeconfig())
                .current_dir(Path::new(&repository("")))
                .args(&arguments)
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{}: kubectl {}: {}{}\n{}",
                path.display(),
                arguments.join(" "),
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
                cluster.operator_output()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tutorial_works_from_its_beginning_to_its_end() {
    let cluster = Cluster::start().await;
    let text = std::fs::read_to_string(repository(TUTORIAL)).unwrap();
    // What is printed has lines, so that answers can be told apart.
    let lines = ["curl", "kubectl"].map(|tool| format!("{tool}() {{ command {tool} \"$@\"; echo; }}\n"));
    let script = lines.concat() + &commands(&text).join("\n");
    let binaries = cluster.plane.binaries();
    let path = std::env::var("PATH").unwrap();
    let run = || {
        Command::new("bash")
            .args(["-eu", "-o", "pipefail", "-x", "-c", &script])
            .env("KUBECONFIG", cluster.plane.kubeconfig())
            .env("PATH", format!("{}:{path}", binaries.display()))
            .current_dir(repository(""))
            .output()
            .unwrap()
    };
    let output = tokio::task::block_in_place(run);
    let [said, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{said}{errors}\n{}", cluster.operator_output());
    let answers: Vec<serde_json::Value> = said
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let with = |member: &str| answers.iter().filter(|answer| answer.get(member).is_some()).count();
    for (member, count) in [
        ("access_token", 2),
        ("keys", 1),
        ("introspection_endpoint", 1),
        ("active", 2),
    ] {
        assert_eq!(with(member), count, "{member}: {said}");
    }
    let active: Vec<_> = answers.iter().filter_map(|answer| answer["active"].as_bool()).collect();
    assert_eq!(
        active,
        [true, false],
        "a token, and the same once it is revoked: {said}"
    );
}

#[tokio::test]
async fn a_realm_that_is_set_up_as_documented_does_for_the_operator() {
    let cluster = Cluster::start().await;
    let keycloak = Keycloak::start(Options::default()).await.unwrap();
    let realm = json!({"realm": "example", "enabled": true, "sslRequired": "none"});
    let made = keycloak.admin().call(Method::POST, "", Some(&realm)).await.unwrap();
    assert_eq!(made.0, 201);

    let text = std::fs::read_to_string(repository("docs/key-managers/keycloak.md")).unwrap();
    let kcadm = installed().await.unwrap().distribution.join("bin/kcadm.sh");
    let commands = commands(&text);
    let commands: Vec<_> = commands.iter().filter_map(|c| c.strip_prefix("kcadm.sh ")).collect();
    assert_eq!(commands.len(), 6, "{commands:?}");
    // The first one logs in; here everybody has a token.
    assert!(commands[0].starts_with("config credentials "), "{commands:?}");
    for command in &commands[1..] {
        let token = keycloak.admin().token().await.unwrap();
        let output = Command::new(&kcadm)
            .current_dir(repository(""))
            .args(arguments(command).unwrap())
            .args(["--no-config", "--insecure", "--server", &keycloak.https_url()])
            .args(["--realm", "master", "--token", &token])
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(output.status.success(), "kcadm.sh {command}: {}", said.concat());
    }

    let secret = keycloak.admin().secret("example", "appkeys-operator").await.unwrap();
    examples::keycloak(&cluster, &keycloak, "example", &secret);
    team(&cluster, "documented").await;
    let spec = |trigger: &str| {
        let rotation = json!({"strategy": "Overlap", "overlap": "1h", "trigger": trigger});
        key(
            "documented",
            "orders",
            &json!({"keyManagerRef": {"name": "keycloak"}, "rotation": rotation}),
        )
    };
    cluster.apply(&spec("first"));
    cluster.ready("documented", "orders").await;
    let old = cluster.secret("documented", "orders").await;
    cluster.apply(&spec("second"));
    let rotated = async || cluster.secret("documented", "orders").await["client-secret"] != old["client-secret"];
    cluster.until("a rotation", rotated).await;
    let new = cluster.secret("documented", "orders").await;
    assert_eq!(new["client-id"], old["client-id"]);
    for secret in [&old, &new] {
        assert_eq!(token(secret, &[]).await.0, 200, "both secrets work through the overlap");
    }
}
