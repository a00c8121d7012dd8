//! What the operator remembers of the cluster between passes: small, free of secrets, and indexed by every question
//! "which keys does this concern".

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{
    census::KeyNow,
    queue::{Item, Lane, Name},
};
use crate::{
    api::{
        AccessRule, Application, ApplicationKey, Drift, Environment, KeyManagerKind, KeyManagerRef, conditions::Say,
    },
    key_manager::{KeyManager, gate::Gate},
    plan::{hand::Gone, hints, observed::ApplicationView},
};

/// A key manager as the operator holds it.
#[derive(Clone, Debug)]
pub struct KeyManagerEntry {
    /// The driver, or what stands against it.
    pub driver: Result<Arc<dyn KeyManager>, Say>,
    /// In a word, why it could not be opened when it was looked at last; the driver may be from before.
    pub not_ready: Option<&'static str>,
    /// The way to it.
    pub gate: Arc<Gate>,
    /// Its keys that are worked on at the same time.
    pub in_flight: usize,
    /// Who may have what; empty for a namespaced key manager.
    pub access: Vec<AccessRule>,
    /// Whether keys that name none get this one.
    pub default: bool,
    /// Its life of access tokens and so on: a change of the spec opens the driver anew.
    pub generation: Option<i64>,
    /// What it was opened with beside its spec.
    pub stamp: String,
    /// Keys whose client is gone, and since when.
    pub gone: BTreeMap<Name, Timestamp>,
    /// Too many are gone: it has lost its data.
    pub data_loss: bool,
    /// Whether and how its clients are compared with what they should be.
    pub drift: Option<Drift>,
    /// It is gone itself, and only there to clean up.
    pub departed: bool,
    /// A person said that gone clients are to be made anew, until then.
    pub confirmed_until: Option<Timestamp>,
}

/// How long a client must be gone before it is replaced.
const GONE_SURE: SignedDuration = SignedDuration::from_mins(1);
/// The time in which gone clients are counted, and for which a confirmation holds.
pub const GONE_WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// More than so many gone clients, and more than a tenth of all, are a loss of data.
const GONE_LEAST: usize = 3;

/// What is remembered of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySummary {
    /// Its Application.
    pub application: String,
    /// Its environment.
    pub environment: Environment,
    /// The key manager that was found for it.
    pub key_manager: Option<KeyManagerRef>,
    /// The key manager that its client is being moved away from.
    pub old_key_manager: Option<KeyManagerRef>,
    /// The name of its Secret, where that is not its own.
    pub secret: Option<String>,
    /// Whether its client was published once.
    pub published: bool,
    /// When it was made.
    pub created: Timestamp,
    /// What metrics say of it.
    pub now: KeyNow,
}

/// What is remembered of one Secret of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretMeta {
    /// Its resource version; opaque, compared for equality, and for order only where both are numbers.
    pub resource_version: String,
    /// The value of its key label.
    pub key: String,
    /// Hash of the properties that the client was given last.
    pub applied: String,
    /// Counts the secrets that the key has had.
    pub version: i64,
    /// Hash of the rotation requests that were handled.
    pub handled: String,
    /// Somebody else wrote an entry, or a process died after it fenced the Secret: it is to be checked.
    pub doubtful: bool,
}

/// Failures in a row to delete a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailedDeletions {
    /// How many.
    pub count: u32,
    /// When the first was.
    pub first: Option<Instant>,
}

impl FailedDeletions {
    /// One more.
    pub fn add(&mut self) {
        self.count += 1;
        self.first.get_or_insert_with(Instant::now);
    }

    /// How many there were, and how long ago the first was.
    pub fn so_far(&self) -> Option<(u32, SignedDuration)> {
        let over = SignedDuration::try_from(self.first?.elapsed()).ok()?;
        Some((self.count, over))
    }
}

/// Everything that is remembered.
#[derive(Debug, Default)]
pub struct World {
    inner: Mutex<Inner>,
}

/// The parts of the [`World`], under its lock: never held across a wait.
#[derive(Debug, Default)]
pub struct Inner {
    /// Applications.
    pub applications: BTreeMap<Name, ApplicationView>,
    /// Key managers of both kinds.
    pub key_managers: BTreeMap<(KeyManagerKind, Name), KeyManagerEntry>,
    /// Labels of namespaces.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Secrets of ours, by their own name.
    pub secrets: BTreeMap<Name, SecretMeta>,
    /// Secrets that a pass writes just now, with what an event said of them meanwhile.
    being_written: BTreeMap<Name, Option<SecretMeta>>,
    /// State Secrets in the operator's namespace.
    pub states: BTreeSet<String>,
    /// Keys, gone or made anew, of whose name there is a tombstone.
    pub tombstones: BTreeSet<Name>,
    /// Key managers of namespaces of which a snapshot is kept.
    pub snapshots: BTreeSet<Name>,
    /// Until when the clients of keys were compared with what they should be.
    pub compared: BTreeMap<Name, Timestamp>,
    /// Keys as an event brought them, until a pass takes them.
    pub fresh: BTreeMap<Name, Arc<ApplicationKey>>,
    /// Applications as an event brought them, until a pass takes them.
    pub fresh_applications: BTreeMap<Name, Box<Application>>,
    /// What cannot go on before all keys are known.
    pub wait_for_keys: BTreeSet<Item>,
    /// Resource versions of keys that this process wrote and whose events are still to come.
    pub written: BTreeMap<Name, String>,
    /// Keys whose last pass had a write at the API server without an answer.
    pub in_doubt: BTreeSet<Name>,
    /// Keys with a call that may still have its effect, and until when.
    pub unsettled: BTreeMap<Name, Instant>,
    /// Keys that are being deleted, and how often and since when that has failed.
    pub deleting: BTreeMap<Name, FailedDeletions>,
    keys: BTreeMap<Name, KeySummary>,
    by_application: BTreeMap<Name, BTreeSet<String>>,
    by_key_manager: BTreeMap<(KeyManagerKind, Name), BTreeSet<Name>>,
    by_secret: BTreeMap<Name, BTreeSet<String>>,
}

impl World {
    /// The parts, locked.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a key manager is that a key of `namespace` names.
pub fn key_manager_name(reference: &KeyManagerRef, namespace: &str) -> (KeyManagerKind, Name) {
    let namespace = match reference.kind {
        KeyManagerKind::ClusterKeyManager => "",
        KeyManagerKind::KeyManager => namespace,
    };
    (reference.kind, Name::new(namespace, &reference.name))
}

impl Inner {
    /// Remembers what metrics say of a key; whether all else of it is known already.
    pub fn knows_key(&mut self, name: &Name, summary: &KeySummary) -> bool {
        let known = self.keys.get_mut(name);
        known.is_some_and(|known| {
            known.now = summary.now;
            known == summary
        })
    }

    /// Remembers a key.
    pub fn put_key(&mut self, name: &Name, summary: KeySummary) {
        self.forget_key(name);
        let application = Name::new(&name.namespace, &summary.application);
        self.by_application
            .entry(application)
            .or_default()
            .insert(name.name.clone());
        for reference in summary.key_manager.iter().chain(&summary.old_key_manager) {
            self.by_key_manager
                .entry(key_manager_name(reference, &name.namespace))
                .or_default()
                .insert(name.clone());
        }
        if let Some(secret) = &summary.secret {
            let secret = Name::new(&name.namespace, secret);
            self.by_secret.entry(secret).or_default().insert(name.name.clone());
        }
        self.keys.insert(name.clone(), summary);
    }

    /// The key that should have a Secret which nobody has published yet: the oldest of those that name it, then the first by
    /// name.
    pub fn first_to_name(&self, secret: &Name) -> Option<String> {
        let named = self.by_secret.get(secret).into_iter().flatten().cloned();
        let own = self.keys.get(secret).filter(|summary| summary.secret.is_none());
        let all = named.chain(own.map(|_| secret.name.clone()));
        let age = |key: &String| {
            let summary = self.keys.get(&Name::new(&secret.namespace, key));
            (summary.map(|summary| summary.created), key.clone())
        };
        all.min_by_key(age)
    }

    /// The first of the keys with the Application, the environment and this key manager of `key`: the one that has its client, then
    /// the oldest, then the first by name.
    pub fn first_in_environment(&self, key: &Name, key_manager: &KeyManagerRef) -> Option<String> {
        let own = self.keys.get(key)?;
        let application = Name::new(&key.namespace, &own.application);
        let names = self.by_application.get(&application)?.iter();
        let all = names.filter_map(|name| Some((self.keys.get(&Name::new(&key.namespace, name))?, name)));
        let same = |summary: &KeySummary| {
            summary.environment == own.environment && summary.key_manager.as_ref() == Some(key_manager)
        };
        let first = all.filter(|(summary, _)| same(summary));
        let (_, name) = first.min_by_key(|(summary, name)| (!summary.published, summary.created, *name))?;
        Some(name.clone())
    }

    /// Forgets a key.
    pub fn forget_key(&mut self, name: &Name) {
        let Some(old) = self.keys.remove(name) else { return };
        let application = Name::new(&name.namespace, &old.application);
        if let Some(keys) = self.by_application.get_mut(&application) {
            keys.remove(&name.name);
            if keys.is_empty() {
                self.by_application.remove(&application);
            }
        }
        for reference in old.key_manager.iter().chain(&old.old_key_manager) {
            let manager = key_manager_name(reference, &name.namespace);
            if let Some(keys) = self.by_key_manager.get_mut(&manager) {
                keys.remove(name);
                if keys.is_empty() {
                    self.by_key_manager.remove(&manager);
                }
            }
        }
        if let Some(secret) = old.secret.map(|secret| Name::new(&name.namespace, secret))
            && let Some(keys) = self.by_secret.get_mut(&secret)
        {
            keys.remove(&name.name);
            if keys.is_empty() {
                self.by_secret.remove(&secret);
            }
        }
    }

    /// What is remembered of a key.
    pub fn key(&self, name: &Name) -> Option<&KeySummary> {
        self.keys.get(name)
    }

    /// Where work on an item waits for its turn.
    pub fn lane(&self, item: &Item) -> Lane {
        match item {
            Item::KeyManager(kind, name) => Lane::Opening(*kind, name.clone()),
            Item::Application(_) | Item::Probe(..) => Lane::Own,
            Item::Key(name) => match self.keys.get(name).and_then(|summary| summary.key_manager.as_ref()) {
                Some(reference) => {
                    let (kind, manager) = key_manager_name(reference, &name.namespace);
                    Lane::Keys(kind, manager)
                }
                None if self.tombstones.contains(name) => Lane::CleanUp,
                None => Lane::Own,
            },
        }
    }

    /// How the client of a key is compared with what it should be, where that is asked for.
    pub fn drift(&self, key: &Name) -> Option<Drift> {
        let summary = self.keys.get(key)?;
        let at = key_manager_name(summary.key_manager.as_ref()?, &key.namespace);
        self.key_managers.get(&at)?.drift.clone()
    }

    /// The gates of the key managers that a key's client is at, or is moved away from.
    pub fn gates(&self, key: &Name) -> Vec<((KeyManagerKind, Name), Arc<Gate>)> {
        let Some(summary) = self.keys.get(key) else {
            return vec![];
        };
        let references = summary.key_manager.iter().chain(&summary.old_key_manager);
        let mut names: Vec<_> = references.map(|one| key_manager_name(one, &key.namespace)).collect();
        names.dedup();
        let gate = |name: (KeyManagerKind, Name)| {
            let gate = self.key_managers.get(&name)?.gate.clone();
            Some((name, gate))
        };
        names.into_iter().filter_map(gate).collect()
    }

    /// The key of this namespace that has this value of the key label.
    pub fn key_labelled(&self, namespace: &str, label: &str) -> Option<Name> {
        let name = Name::new(namespace, label);
        if self.keys.contains_key(&name) {
            return Some(name);
        }
        // The label of a long name is its beginning and a hash, so only names with that beginning are looked at.
        let (beginning, _) = label.rsplit_once('.')?;
        let keys = self.keys.range(Name::new(namespace, beginning)..);
        keys.map(|(name, _)| name)
            .take_while(|name| name.namespace == namespace && name.name.starts_with(beginning))
            .find(|name| hints::label_value(&name.name) == label)
            .cloned()
    }

    /// How many Secrets of ours have no key.
    pub fn released_secrets(&self) -> usize {
        let labels: BTreeSet<_> = {
            // The few keys whose label differs from their name.
            let long = self.keys.keys().filter(|key| key.name.len() > hints::LABEL_LENGTH);
            long.map(|key| Name::new(&key.namespace, hints::label_value(&key.name)))
                .collect()
        };
        let has_key = |name: &Name, meta: &SecretMeta| {
            let key = Name::new(&name.namespace, &meta.key);
            self.keys.contains_key(&key) || labels.contains(&key)
        };
        self.secrets.iter().filter(|(name, meta)| !has_key(name, meta)).count()
    }

    /// Remembers that this process wrote a key, guarded by what it had read: no event up to this one brings anything new, and
    /// what an earlier event brought is out of date.
    pub fn wrote_key(&mut self, name: &Name, key: &ApplicationKey) {
        let version = key.metadata.resource_version.clone().unwrap_or_default();
        if let Some(fresh) = self.fresh.get_mut(name)
            && !is_newer(fresh.metadata.resource_version.as_deref().unwrap_or_default(), &version)
        {
            *fresh = Arc::new(key.clone());
        }
        self.written.insert(name.clone(), version);
    }

    /// A pass begins to write a Secret: its event may come before the answer does.
    pub fn begin_write(&mut self, secret: &Name) {
        self.being_written.insert(secret.clone(), None);
    }

    /// The write has ended; `written` is what it made. Whether somebody else changed the Secret meanwhile.
    pub fn end_write(&mut self, secret: &Name, written: Option<&SecretMeta>) -> bool {
        // Under the same lock: an event that comes right after it must find it known.
        if let Some(written) = written {
            self.put_secret(secret.clone(), written.clone());
        }
        let said = self.being_written.remove(secret).flatten();
        let same = |said: &SecretMeta| written.map(|written| &written.resource_version) == Some(&said.resource_version);
        let Some(said) = said.filter(|said| !same(said)) else {
            return false;
        };
        self.put_secret(secret.clone(), said);
        true
    }

    /// Whether an event of a Secret is left to the pass that writes it.
    pub fn left_to_writer(&mut self, secret: &Name, meta: &SecretMeta) -> bool {
        let said = self.being_written.get_mut(secret);
        said.map(|said| *said = Some(meta.clone())).is_some()
    }

    /// Whether an event with this resource version only brings what this process wrote itself.
    pub fn own_event(&mut self, name: &Name, version: &str) -> bool {
        let Some(written) = self.written.get(name) else {
            return false;
        };
        if is_newer(written, version) {
            return true;
        }
        let own = written == version;
        self.written.remove(name);
        own
    }

    /// What is remembered of all keys.
    pub fn summaries(&self) -> impl Iterator<Item = &KeySummary> {
        self.keys.values()
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &Name> {
        self.keys.keys()
    }

    /// Whether an Application has keys.
    pub fn has_keys(&self, application: &Name) -> bool {
        self.by_application.contains_key(application)
    }

    /// The keys of an Application.
    pub fn keys_of_application(&self, application: &Name) -> Vec<Name> {
        let names = self.by_application.get(application).into_iter().flatten();
        names.map(|name| Name::new(&application.namespace, name)).collect()
    }

    /// The keys at a key manager.
    pub fn keys_of_key_manager(&self, manager: &(KeyManagerKind, Name)) -> Vec<Name> {
        self.by_key_manager
            .get(manager)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// The keys of a namespace.
    pub fn keys_in_namespace(&self, namespace: &str) -> Vec<Name> {
        let from = Name::new(namespace, "");
        self.keys
            .range(from..)
            .take_while(|(name, _)| name.namespace == namespace)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Keys that wait for a key manager: those that have found none.
    pub fn keys_without_key_manager(&self) -> Vec<Name> {
        self.keys
            .iter()
            .filter(|(_, summary)| summary.key_manager.is_none())
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The names of the cluster's default key managers.
    pub fn defaults(&self) -> Vec<String> {
        let all = self.key_managers.iter();
        all.filter(|(_, entry)| entry.default)
            .map(|((_, name), _)| name.name.clone())
            .collect()
    }

    /// Notes that the client of a key is gone from its key manager, and tells what that means.
    pub fn note_gone(&mut self, key: &Name, manager: &(KeyManagerKind, Name), now: Timestamp) -> Gone {
        let all = self.by_key_manager.get(manager).map_or(0, BTreeSet::len);
        let Some(entry) = self.key_managers.get_mut(manager) else {
            return Gone::Perhaps;
        };
        entry.gone.retain(|_, since| now.duration_since(*since) < GONE_WINDOW);
        let since = *entry.gone.entry(key.clone()).or_insert(now);
        if entry.confirmed_until.is_some_and(|until| now < until) {
            return Gone::Surely;
        }
        if entry.gone.len() > GONE_LEAST && entry.gone.len() * 10 > all {
            entry.data_loss = true;
        }
        if entry.data_loss {
            Gone::TooMany
        } else if now.duration_since(since) >= GONE_SURE {
            Gone::Surely
        } else {
            Gone::Perhaps
        }
    }

    /// Remembers a Secret, unless what is remembered is newer.
    pub fn put_secret(&mut self, name: Name, meta: SecretMeta) {
        let older = self
            .secrets
            .get(&name)
            .is_some_and(|known| is_newer(&known.resource_version, &meta.resource_version));
        if !older {
            self.secrets.insert(name, meta);
        }
    }
}

/// Whether resource version `one` is newer than `other`; unknown order counts as not newer.
fn is_newer(one: &str, other: &str) -> bool {
    match (one.parse::<u64>(), other.parse::<u64>()) {
        (Ok(one), Ok(other)) => one > other,
        _ => false,
    }
}
