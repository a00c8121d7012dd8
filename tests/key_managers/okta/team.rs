//! Keys of a namespace with an Okta org of its own, and the org.

use std::{collections::BTreeMap, sync::Arc};

use appkeys::api::{ApplicationKey, conditions};
use serde_json::{Value, json};
use testbed::key_managers::okta::{App, Okta};

use super::trap::org;
use crate::{
    key_managers::beds::{self, Bed},
    support::{Cluster, key, team, token},
};

pub(super) type Entries = BTreeMap<String, String>;

/// A namespace with its own KeyManager.
pub(super) struct Team {
    pub(super) okta: Okta,
    pub(super) cluster: Arc<Cluster>,
    pub(super) namespace: &'static str,
}

impl Team {
    pub(super) async fn new(namespace: &'static str) -> Self {
        let okta = org().await;
        let cluster = beds::cluster().await;
        team(&cluster, namespace).await;
        Bed::okta(&okta).install_in(&cluster, namespace);
        Self {
            okta,
            cluster,
            namespace,
        }
    }

    pub(super) fn apply(&self, name: &str, spec: &Value) {
        let mut spec = spec.clone();
        spec["keyManagerRef"] = json!({"kind": "KeyManager", "name": "okta"});
        self.cluster.apply(&key(self.namespace, name, &spec));
    }

    /// A key that is ready, and its Secret.
    pub(super) async fn made(&self, name: &str, spec: &Value) -> Entries {
        self.apply(name, spec);
        self.cluster.ready(self.namespace, name).await;
        self.secret(name).await
    }

    pub(super) async fn secret(&self, name: &str) -> Entries {
        self.cluster.secret(self.namespace, name).await
    }

    /// Waits until a key says this, in a message with these words.
    pub(super) async fn says(&self, name: &str, condition: &str, reason: &str, words: &[&str]) -> ApplicationKey {
        let good = |key: &ApplicationKey| {
            let conditions = key.status.as_ref().map_or(&[][..], |status| &status.conditions);
            let mut said = conditions.iter().filter(|c| c.type_ == condition);
            said.any(|c| c.reason == reason && words.iter().all(|word| c.message.contains(word)))
        };
        self.cluster.key_until(self.namespace, name, good).await
    }

    /// Waits until a key is ready and says this no more.
    pub(super) async fn is_well(&self, name: &str, condition: &str) -> ApplicationKey {
        let good = |key: &ApplicationKey| {
            let conditions = key.status.as_ref().map_or(&[][..], |status| &status.conditions);
            conditions::is_true(conditions, "Ready") && conditions::reason(conditions, condition).is_none()
        };
        self.cluster.key_until(self.namespace, name, good).await
    }

    pub(super) fn app(&self, entries: &Entries) -> Option<App> {
        let all = self.okta.apps();
        all.into_iter().find(|app| app.client_id == entries["client-id"])
    }

    pub(super) fn by_hand(&self, entries: &Entries, change: impl FnOnce(&mut App)) {
        assert!(self.okta.app(&entries["client-id"], change));
    }

    /// For the end of a test: nothing of ours is left, and nothing passed that Okta's files do not have.
    pub(super) fn end(&self) {
        let all = ["-n", self.namespace, "delete", "akey", "--all", "--timeout=80s"];
        self.cluster.kubectl(&all);
        let left = self.okta.apps();
        assert!(left.iter().all(|app| app.profile.is_none()), "{left:?}");
        self.okta.audit().assert_clean();
    }
}

pub(super) async fn works(entries: &Entries) -> bool {
    token(entries, &[]).await.0 == 200
}

pub(super) fn version(key: &ApplicationKey) -> i64 {
    let credential = key.status.as_ref().and_then(|status| status.credential.as_ref());
    credential.map_or(0, |credential| credential.version)
}
