//! What must never be read anywhere but in Secrets: every value that was issued, looked for in all that the operator says.

use std::{collections::BTreeSet, sync::Mutex};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _, api::ListParams};

use crate::support::{Cluster, token};

/// Entries that are no secrets.
const PUBLIC: [&str; 11] = [
    "client-id",
    "key-id",
    "issuer-uri",
    "token-uri",
    "jwks-uri",
    "introspection-uri",
    "revocation-uri",
    "scopes",
    "ca.crt",
    "username",
    "type",
];

/// All secret values that were seen.
#[derive(Default)]
pub(crate) struct Issued(Mutex<BTreeSet<String>>);

impl Issued {
    /// Collects what the Secrets of a cluster hold now, and what the token endpoint gives.
    pub(crate) async fn collect(&self, cluster: &Cluster) {
        let secrets = Api::<Secret>::all(cluster.client().await);
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=appkeys");
        for secret in secrets.list(&ours).await.unwrap() {
            let public = |name: &str| PUBLIC.contains(&name) || name.ends_with(".expires-at");
            let data = secret.data.clone().unwrap_or_default();
            for (name, value) in data.into_iter().filter(|(name, _)| !public(name)) {
                self.add(&name, &String::from_utf8(value.0).unwrap());
            }
            let namespace = secret.namespace().unwrap();
            let entries = cluster.secret(&namespace, &secret.name_any()).await;
            if entries.contains_key("client-secret") {
                let answer = token(&entries, &[]).await.1;
                self.add("access_token", answer["access_token"].as_str().unwrap());
            }
        }
    }

    /// What is JSON holds several values: each string in it that nobody could guess.
    pub(crate) fn add(&self, name: &str, value: &str) {
        let mut values = self.0.lock().unwrap();
        if value.starts_with("-----BEGIN") {
            values.extend(lines(value));
            return;
        }
        let Ok(json) = serde_json::from_str::<serde_json::Value>(value) else {
            assert!(value.len() > 20, "{name} is too short to be looked for");
            values.insert(value.to_owned());
            // A token's signature alone would be as bad.
            values.extend(value.rsplit_once('.').map(|(_, signature)| signature.to_owned()));
            return;
        };
        let mut left = vec![json];
        while let Some(next) = left.pop() {
            match next {
                serde_json::Value::Array(all) => left.extend(all),
                serde_json::Value::Object(all) => {
                    let secret = |name: &str| matches!(name, "privateKey" | "key" | "caKey" | "secret" | "token");
                    for (name, value) in all {
                        match value {
                            serde_json::Value::String(text) if secret(&name) => values.extend(lines(&text)),
                            value => left.push(value),
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Nothing of it is in logs, events, status, metrics or traces.
    pub(crate) async fn assert_secret(&self, cluster: &Cluster) {
        let values = self.0.lock().unwrap().clone();
        assert!(values.len() > 8, "values were issued");
        let said = cluster.all_that_is_said().await;
        for (place, text) in said {
            assert!(!text.is_empty(), "{place} says something");
            let leaked = values.iter().filter(|value| text.contains(*value)).count();
            assert_eq!(leaked, 0, "{place} shows {leaked} of {} secret values", values.len());
            // Those that nobody else ever saw: the assertions and tokens that the operator made or got for itself.
            assert_eq!(jwts(&text), 0, "{place} shows a JWT");
        }
    }
}

/// A PEM is looked for line by line, as a log would have it.
fn lines(text: &str) -> impl Iterator<Item = String> {
    let long = text.lines().filter(|line| line.len() > 20 && !line.starts_with("--"));
    long.map(str::to_owned)
}

/// How many JWTs there are (RFC 7519): the base64url of a JSON object, a dot and another such.
fn jwts(text: &str) -> usize {
    let part = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
        end.unwrap_or(text.len())
    };
    let starts = text.match_indices("eyJ").map(|(at, _)| &text[at..]);
    starts.filter(|text| text[part(text)..].starts_with(".eyJ")).count()
}

#[test]
fn a_jwt_is_seen_wherever_it_is() {
    let jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJvcmRlcnMifQ.c2lnbmF0dXJl";
    assert_eq!(
        jwts(&format!("Authorization: Bearer {jwt}, {{\"token\":\"{jwt}\"}}")),
        2
    );
    assert_eq!(jwts("eyJhbGciOiJFUzI1NiJ9 alone, heyJude.eyJ"), 1);
    assert_eq!(jwts("eyJhbGciOiJFUzI1NiJ9 alone"), 0);
}
