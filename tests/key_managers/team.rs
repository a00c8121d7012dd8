//! Keys of a namespace with a key manager of its own.

use std::{collections::BTreeMap, sync::Arc};

use appkeys::api::{ApplicationKey, conditions};
use serde_json::{Value, json};

use super::beds::{self, Bed};
use crate::support::{Cluster, key, team, token};

pub(crate) type Entries = BTreeMap<String, String>;

/// A namespace with its own KeyManager.
pub(crate) struct Team {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) namespace: &'static str,
    key_manager: &'static str,
}

impl Team {
    pub(crate) async fn new(namespace: &'static str, bed: &Bed) -> Self {
        let cluster = beds::cluster().await;
        team(&cluster, namespace).await;
        bed.install_in(&cluster, namespace);
        Self {
            cluster,
            namespace,
            key_manager: bed.name,
        }
    }

    pub(crate) fn apply(&self, name: &str, spec: &Value) {
        let mut spec = spec.clone();
        spec["keyManagerRef"] = json!({"kind": "KeyManager", "name": self.key_manager});
        self.cluster.apply(&key(self.namespace, name, &spec));
    }

    /// A key that is ready, and its Secret.
    pub(crate) async fn made(&self, name: &str, spec: &Value) -> Entries {
        self.apply(name, spec);
        self.cluster.ready(self.namespace, name).await;
        self.secret(name).await
    }

    pub(crate) async fn secret(&self, name: &str) -> Entries {
        self.cluster.secret(self.namespace, name).await
    }

    /// Waits until a key says this, in a message with these words.
    pub(crate) async fn says(&self, name: &str, condition: &str, reason: &str, words: &[&str]) -> ApplicationKey {
        let good = |key: &ApplicationKey| {
            let conditions = key.status.as_ref().map_or(&[][..], |status| &status.conditions);
            let mut said = conditions.iter().filter(|c| c.type_ == condition);
            said.any(|c| c.reason == reason && words.iter().all(|word| c.message.contains(word)))
        };
        self.cluster.key_until(self.namespace, name, good).await
    }

    /// Waits until a key is ready and says this no more.
    pub(crate) async fn is_well(&self, name: &str, condition: &str) -> ApplicationKey {
        let good = |key: &ApplicationKey| {
            let conditions = key.status.as_ref().map_or(&[][..], |status| &status.conditions);
            conditions::is_true(conditions, "Ready") && conditions::reason(conditions, condition).is_none()
        };
        self.cluster.key_until(self.namespace, name, good).await
    }

    /// Waits until a key has this version of its credential.
    pub(crate) async fn has(&self, name: &str, n: i64) -> Entries {
        let good = |key: &ApplicationKey| version(key) == n;
        self.cluster.key_until(self.namespace, name, good).await;
        self.secret(name).await
    }

    pub(crate) fn delete(&self, name: &str) {
        let delete = ["-n", self.namespace, "delete", "akey", name, "--timeout=80s"];
        self.cluster.kubectl(&delete);
    }
}

pub(crate) async fn works(entries: &Entries) -> bool {
    token(entries, &[]).await.0 == 200
}

pub(crate) fn version(key: &ApplicationKey) -> i64 {
    let credential = key.status.as_ref().and_then(|status| status.credential.as_ref());
    credential.map_or(0, |credential| credential.version)
}
