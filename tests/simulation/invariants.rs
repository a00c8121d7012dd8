//! What must hold after each write: looked at in the servers' objects, as a workload and an attacker see them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use appkeys::{
    api::CredentialKind,
    clock::Clock,
    key_manager::resident::record::{self, ClientRecord},
    plan::hints::Hints,
};
use data_encoding::BASE64;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use testbed::memory_api::{Id, Store};

use super::{client, kinds::TAMPERED, servers::Servers};

/// A secret that was in a published Secret.
#[derive(Clone, Debug)]
struct Seen {
    key: String,
    client_id: String,
    secret: String,
    /// When another one took its place.
    replaced: Option<Timestamp>,
}

/// The state of the checks of one run.
pub(crate) struct Invariants {
    clock: Clock,
    servers: Servers,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    seen: Vec<Seen>,
    overlap: SignedDuration,
    broken: Vec<String>,
    /// What each key said of itself last.
    said: BTreeMap<String, String>,
    trace: Vec<String>,
}

impl Invariants {
    pub(crate) fn new(clock: Clock, servers: Servers) -> Self {
        Self {
            clock,
            servers,
            inner: Mutex::default(),
        }
    }

    /// From now on a replaced secret must go on working for this long.
    pub(crate) fn expect_overlap(&self, overlap: SignedDuration) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).overlap = overlap;
    }

    /// What was broken so far.
    pub(crate) fn broken(&self) -> Vec<String> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).broken.clone()
    }

    /// Something else is broken.
    pub(crate) fn break_with(&self, what: &str) {
        let text = format!("{}: {what}", self.clock.now());
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .broken
            .push(text);
    }

    /// What keys said of themselves since this was asked last.
    pub(crate) fn said(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner).trace)
    }

    /// Whether a client proves itself with this: at the resident key managers, whose clients these are, or at a server.
    fn work(&self, records: &BTreeMap<String, ClientRecord>, client_id: &str, credential: &str) -> bool {
        let now = self.clock.now();
        let resident = records.get(client_id).is_some_and(|record| {
            let key = client::public(credential);
            let digest = record::sha256(&credential.to_owned().into());
            record.accepts(&digest, now) || record.keys(now).any(|known| Some(known) == key.as_ref())
        });
        resident || self.servers.accept(client_id, credential)
    }

    /// Whether a workload that holds this is let in anywhere.
    pub(crate) fn works(&self, store: &Store, client_id: &str, credential: &str) -> bool {
        self.work(&records(store), client_id, credential)
    }

    /// Looks at the objects after a write.
    pub(crate) fn look(&self, store: &Store) {
        let now = self.clock.now();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let records = records(store);
        let works = |client_id: &str, credential: &str| self.work(&records, client_id, credential);
        let mut broken = vec![];
        for (id, key) in store.all("applicationkeys") {
            let ready = key["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|c| c["type"] == "Ready" && c["status"] == "True");
            let says: Vec<_> = key["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|c| format!("{}={} {}: {}", c["type"], c["status"], c["reason"], c["message"]))
                .collect();
            let says = format!("    key {} says {}", id.name, says.join("; ")).replace('"', "");
            if inner.said.insert(id.name.clone(), says.clone()).as_ref() != Some(&says) {
                inner.trace.push(says);
            }
            let name = key["status"]["secretRef"]["name"].as_str().unwrap_or_default();
            let deleting = !key["metadata"]["deletionTimestamp"].is_null();
            let Some(secret) = store.get(&Id::secret(&id.namespace, name)) else {
                continue;
            };
            let Some((client_id, value)) = credential(secret) else {
                continue;
            };
            // No lost secret: what is published works, or the key says that it is not ready.
            if ready && !deleting && value != TAMPERED && !works(&client_id, &value) {
                broken.push(format!(
                    "{now}: key {} is ready and its published secret does not work",
                    id.name
                ));
            }
        }
        for (id, secret) in store.all("secrets") {
            let Some(key) = secret["metadata"]["labels"]["appkeys.dev/key"].as_str() else {
                continue;
            };
            let Some((client_id, value)) = credential(secret) else {
                continue;
            };
            if value == TAMPERED {
                continue;
            }
            if let Some(public) = client::public(&value)
                && public.common.key_id != entry(secret, "key-id")
            {
                broken.push(format!("{now}: Secret {} names another key than it has", id.name));
            }
            // The same secret under another name, or back again, is not replaced.
            let known = inner
                .seen
                .iter()
                .position(|seen| seen.client_id == client_id && seen.secret == value);
            if known.is_none() {
                // What is published works: it was used before.
                if !value.is_empty() && self.servers.never_used(&client_id, &value) {
                    broken.push(format!("{now}: a secret of key {key} is published that was never used"));
                }
                for seen in inner
                    .seen
                    .iter_mut()
                    .filter(|seen| seen.key == key && seen.replaced.is_none())
                {
                    seen.replaced = Some(now);
                }
                inner.seen.push(Seen {
                    key: key.to_owned(),
                    client_id,
                    secret: value,
                    replaced: None,
                });
            }
        }
        // No cut: a secret that workloads may hold works through the overlap.
        let overlap = inner.overlap;
        for seen in &inner.seen {
            let within = seen.replaced.is_some_and(|replaced| now < replaced + overlap);
            let alive = store
                .all("applicationkeys")
                .any(|(id, key)| id.name == seen.key && key["metadata"]["deletionTimestamp"].is_null());
            if within && alive && !works(&seen.client_id, &seen.secret) {
                broken.push(format!(
                    "{now}: a secret of key {} does not work, {overlap} of overlap are not over",
                    seen.key
                ));
            }
        }
        // The first is telling; the others follow from it.
        if inner.broken.is_empty() {
            inner.broken = broken;
        }
    }
}

/// The clients of the resident key managers by id.
pub(crate) fn records(store: &Store) -> BTreeMap<String, ClientRecord> {
    let records = store
        .all("secrets")
        .filter_map(|(_, secret)| serde_json::from_str::<ClientRecord>(&entry(secret, "record")?).ok());
    records.map(|record| (record.client_id.clone(), record)).collect()
}

/// The client of a published Secret, and the secret or private key that it proves itself with; a public one has none.
pub(crate) fn credential(secret: &Value) -> Option<(String, String)> {
    let annotations = serde_json::from_value(secret["metadata"]["annotations"].clone()).ok()?;
    let credential = match Hints::read(&annotations).kind {
        CredentialKind::Secret => entry(secret, "client-secret")?,
        CredentialKind::PrivateKey => entry(secret, "private-key.pem")?,
        CredentialKind::Nothing => String::new(),
    };
    Some((entry(secret, "client-id")?, credential))
}

/// An entry of a Secret as text.
pub(crate) fn entry(secret: &Value, name: &str) -> Option<String> {
    String::from_utf8(BASE64.decode(secret["data"][name].as_str()?.as_bytes()).ok()?).ok()
}
