//! What differs by key manager: what is applied, and what is looked at.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context as _;
use serde_json::json;

use super::say;
use crate::{
    binaries::repository,
    control_plane::ControlPlane,
    key_managers::keycloak::{Keycloak, OPERATOR, OPERATOR_SECRET, Options, ROTATING},
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
    /// The audience of its token; `None`: the issuer.
    pub(super) audience: Option<&'static str>,
    /// `typ` of its token.
    pub(super) token_type: &'static str,
    /// Claims of its token that are shown.
    pub(super) claims: &'static [&'static str],
    /// What to read about this key manager.
    pub(super) docs: &'static str,
    /// Ends with the demo.
    _server: Option<Keycloak>,
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
            audience: None,
            token_type: "at+jwt",
            claims: &["iss", "application", "namespace", "environment", "scope"],
            docs: "docs/key-managers/resident.md",
            _server: None,
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
        let secret = |name: &str, entries: serde_json::Value| {
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "appkeys"},
                "stringData": entries,
            })
        };
        let credential = json!({"client-id": OPERATOR, "client-secret": OPERATOR_SECRET});
        let secrets = json!({"apiVersion": "v1", "kind": "List", "items": [
            secret("keycloak-operator", credential), secret("keycloak-ca", json!({"ca.crt": keycloak.ca()})),
        ]});
        // The example, with this server's address.
        let examples = repository().join("examples/keycloak");
        let manager = std::fs::read_to_string(examples.join("key-manager.yaml")).context("read an example")?;
        let manager = manager
            .replace("https://keycloak.example.com", &url)
            .replace("realm: example", &format!("realm: {ROTATING}"));
        let files = [("credentials.json", secrets.to_string()), ("key-manager.yaml", manager)];
        let mut paths = vec![];
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("write {name}"))?;
            paths.push(path);
        }
        paths.extend(["key.yaml", "private-key.yaml", "login.yaml"].map(|name| examples.join(name)));
        Ok(Self {
            shown: "examples/keycloak/ (with this server's values; adopt.yaml needs a client to adopt)",
            files: paths,
            key: "shop-orders",
            secret: "shop-orders",
            by_hand: "shop-signer",
            audience: Some("https://orders.example.com"),
            token_type: "JWT",
            claims: &["iss", "client_id", "aud", "scope"],
            docs: "docs/key-managers/keycloak.md",
            _server: Some(keycloak),
        })
    }

    /// Applies what is to be applied, and gives what kubectl prints.
    pub(super) fn apply(&self, plane: &ControlPlane) -> anyhow::Result<String> {
        let files: Vec<_> = self.files.iter().map(|file| file.to_string_lossy()).collect();
        plane.kubectl(&["apply", "-f", &files.join(",")])
    }
}
