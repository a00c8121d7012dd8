//! What differs by key manager: what is applied, and what is looked at.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::say;
use crate::{
    binaries::repository,
    control_plane::ControlPlane,
    key_managers::{
        keycloak::{Keycloak, OPERATOR, OPERATOR_SECRET, Options, ROTATING},
        okta::Okta,
        wso2::{Settings, Version, Wso2},
    },
};

/// The demo at one key manager.
pub(super) struct Scene {
    /// What is applied, as people see it.
    pub(super) shown: &'static str,
    files: Vec<PathBuf>,
    /// The key that is looked at and rotated.
    pub(super) key: &'static str,
    /// Its Secret.
    pub(super) secret: &'static str,
    /// The key that a person may rotate afterwards.
    pub(super) by_hand: &'static str,
    /// The audience of its token.
    pub(super) audience: Audience,
    /// `typ` of its token; empty where it has none.
    pub(super) token_type: &'static str,
    /// Claims of its token that are shown.
    pub(super) claims: &'static [&'static str],
    /// What to read about this key manager.
    pub(super) docs: &'static str,
    /// Ends with the demo.
    _server: Server,
}

/// Whom a token is for.
pub(super) enum Audience {
    /// The issuer.
    Issuer,
    /// The client that it was given to.
    Client,
    /// This one.
    Given(&'static str),
}

/// The key manager, where it is none of the operator's own.
enum Server {
    None,
    Keycloak(#[expect(dead_code, reason = "it ends when it is dropped")] Keycloak),
    Okta(#[expect(dead_code, reason = "it ends when it is dropped")] Okta),
    Wso2(#[expect(dead_code, reason = "it ends when it is dropped")] Wso2),
}

impl Scene {
    /// At the operator's own key manager.
    pub(super) fn resident() -> Self {
        Self {
            shown: "examples/",
            files: vec![repository().join("examples")],
            key: "shop-sandbox",
            secret: "shop-credentials",
            by_hand: "shop-production",
            audience: Audience::Issuer,
            token_type: "at+jwt",
            claims: &["iss", "application", "namespace", "environment", "scope"],
            docs: "docs/key-managers/resident.md",
            _server: Server::None,
        }
    }

    /// At a real Keycloak, in a realm that keeps two secrets for a client.
    pub(super) async fn keycloak(folder: &Path) -> anyhow::Result<Self> {
        let start = Instant::now();
        let keycloak = Keycloak::start(Options::default()).await?;
        let url = keycloak.https_url();
        say(&format!(
            "a Keycloak is up after {} s: {url}, realm {ROTATING}, with a policy that keeps two secrets for a client",
            start.elapsed().as_secs()
        ));
        let credential = json!({"client-id": OPERATOR, "client-secret": OPERATOR_SECRET});
        let secrets = secrets(&[
            ("keycloak-operator", credential),
            ("keycloak-ca", json!({"ca.crt": keycloak.ca()})),
        ]);
        // The example, with this server's address.
        let examples = repository().join("examples/keycloak");
        let manager = std::fs::read_to_string(examples.join("key-manager.yaml")).context("read an example")?;
        let manager = manager
            .replace("https://keycloak.example.com", &url)
            .replace("realm: example", &format!("realm: {ROTATING}"));
        let mut paths = written(folder, &secrets, manager)?;
        paths.extend(["key.yaml", "private-key.yaml", "login.yaml"].map(|name| examples.join(name)));
        Ok(Self {
            shown: "examples/keycloak/ (with this server's values; adopt.yaml needs a client to adopt)",
            files: paths,
            key: "shop-orders",
            secret: "shop-orders",
            by_hand: "shop-signer",
            audience: Audience::Given("https://orders.example.com"),
            token_type: "JWT",
            claims: &["iss", "client_id", "aud", "scope"],
            docs: "docs/key-managers/keycloak.md",
            _server: Server::Keycloak(keycloak),
        })
    }

    /// At a double of Okta, which nobody can run.
    pub(super) async fn okta(folder: &Path) -> anyhow::Result<Self> {
        let okta = Okta::start().await?;
        let (url, operator) = (okta.url(), okta.operator());
        say("this is NOT Okta, which cannot be run here, but a double of it: a small server that behaves as");
        say("Okta's documents say, held to Okta's own OpenAPI files. No call leaves this machine.");
        say(&format!(
            "it is up: {url}, with the authorization server `default`; its apps can demand proofs of possession (DPoP), as this one does"
        ));
        okta.set(|modes| modes.dpop_required = true);
        let credential = json!({
            "client-id": operator.client_id, "key-id": operator.key_id, "private-key.pem": operator.private_key,
        });
        let secrets = secrets(&[("okta-operator", credential), ("okta-ca", json!({"ca.crt": okta.ca()}))]);
        let examples = repository().join("examples/okta");
        let manager = std::fs::read_to_string(examples.join("key-manager.yaml")).context("read an example")?;
        let manager = manager
            .replace("https://example.okta.com", &url)
            // Its CA is no public one.
            .replace("  limits:", "  caBundleRef: {name: okta-ca}\n  limits:");
        let mut paths = written(folder, &secrets, manager)?;
        paths.extend(["key.yaml", "private-key.yaml", "login.yaml"].map(|name| examples.join(name)));
        Ok(Self {
            shown: "examples/okta/ (with the double's values; adopt.yaml needs an app to adopt)",
            files: paths,
            key: "shop-orders",
            secret: "shop-orders",
            by_hand: "shop-signer",
            audience: Audience::Given("api://default"),
            token_type: "",
            claims: &["iss", "cid", "aud", "sub"],
            docs: "docs/key-managers/okta.md",
            _server: Server::Okta(okta),
        })
    }

    /// At a double of WSO2 API Manager 4.7.
    pub(super) async fn wso2(folder: &Path) -> anyhow::Result<Self> {
        let wso2 = Wso2::start(Settings::of(Version::V4_7)).await?;
        say(
            "this is NOT WSO2 API Manager but a double of it: a small server that behaves as WSO2's documents and source say,",
        );
        say("held to WSO2's own OpenAPI files. No call leaves this machine.");
        say(&format!(
            "it is up: {}, as version 4.7 with its resident key manager, which keeps several consumer secrets",
            wso2.url()
        ));
        let user = json!({"username": wso2.user(), "password": wso2.password()});
        let secrets = secrets(&[("wso2-operator", user), ("wso2-ca", json!({"ca.crt": wso2.ca()}))]);
        let examples = repository().join("examples/wso2");
        let manager = std::fs::read_to_string(examples.join("key-manager.yaml")).context("read an example")?;
        let manager = manager.replace("https://apim.example.com:9443", wso2.url());
        let mut paths = written(folder, &secrets, manager)?;
        paths.extend(["key.yaml", "login.yaml"].map(|name| examples.join(name)));
        Ok(Self {
            shown: "examples/wso2/ (with the double's values; adopt.yaml needs a consumer key to adopt)",
            files: paths,
            key: "shop-orders",
            secret: "shop-orders",
            by_hand: "shop-sandbox",
            audience: Audience::Client,
            token_type: "at+jwt",
            claims: &["iss", "azp", "aud", "scope"],
            docs: "docs/key-managers/wso2.md",
            _server: Server::Wso2(wso2),
        })
    }

    /// Applies what is to be applied, and gives what kubectl prints.
    pub(super) fn apply(&self, plane: &ControlPlane) -> anyhow::Result<String> {
        let files: Vec<_> = self.files.iter().map(|file| file.to_string_lossy()).collect();
        plane.kubectl(&["apply", "-f", &files.join(",")])
    }
}

/// Secrets in the operator's namespace.
fn secrets(all: &[(&str, Value)]) -> Value {
    let secret = |(name, entries): &(&str, Value)| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "appkeys"},
            "stringData": entries,
        })
    };
    json!({"apiVersion": "v1", "kind": "List", "items": all.iter().map(secret).collect::<Vec<_>>()})
}

/// What is applied first, as files.
fn written(folder: &Path, secrets: &Value, manager: String) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = vec![];
    for (name, text) in [("credentials.json", secrets.to_string()), ("key-manager.yaml", manager)] {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("write {name}"))?;
        paths.push(path);
    }
    Ok(paths)
}
