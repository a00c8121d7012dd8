//! The records that this replica serves from: fed by a watch, looked up live where it may be behind.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use futures::TryStreamExt as _;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt as _,
    api::ListParams,
    runtime::{WatchStreamExt as _, watcher, watcher::Event},
};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, sleep},
};

use super::record::{self, ClientRecord};
use crate::{
    controller::{follow::backoff, secrets::COMPONENT_LABEL},
    plan::hints,
};

/// Live reads under way at the same time.
const LIVE_READS: usize = 16;
/// How long a failed authentication is remembered, so that a guesser does not read the API server in a loop.
const NEGATIVE: SignedDuration = SignedDuration::from_secs(5);
/// How many failed authentications are remembered.
const NEGATIVE_LIMIT: usize = 10_000;
/// Life of one watch request in seconds: silence of a broken connection is noticed after it.
const WATCH: u32 = 120;
/// How often the API server is asked whether it answers again.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// After so long without the watch a replica does not serve any more.
const STALE: Duration = Duration::from_mins(1);

/// A record and the resource version that it was read at.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The record.
    pub record: Arc<ClientRecord>,
    /// The Secret's resource version.
    pub resource_version: String,
    /// The Secret's uid.
    pub uid: String,
}

/// Records by key manager and client id.
pub struct RecordStore {
    client: Client,
    namespace: String,
    records: RwLock<HashMap<(String, String), Stored>>,
    refused: Mutex<BTreeMap<(String, String, String), Instant>>,
    live_reads: Semaphore,
    synced: watch::Sender<bool>,
    interrupted: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for RecordStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordStore")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl RecordStore {
    /// An empty store over the Secrets of `namespace`.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            records: RwLock::default(),
            refused: Mutex::default(),
            live_reads: Semaphore::new(LIVE_READS),
            synced: watch::Sender::new(false),
            interrupted: Mutex::default(),
        }
    }

    /// Follows the records for ever.
    pub async fn run(&self) {
        let selector = format!(
            "{}={},{COMPONENT_LABEL}={}",
            hints::MANAGED_BY_LABEL,
            hints::MANAGED_BY,
            record::COMPONENT
        );
        let config = watcher::Config::default().labels(&selector).timeout(WATCH);
        let mut events = pin!(watcher(self.api(), config).backoff(backoff()));
        let mut seen: Option<HashSet<(String, String)>> = None;
        loop {
            let event = tokio::select! {
                event = events.try_next() => event,
                // A watch that goes on where it was says nothing until something changes.
                () = self.reachable(), if self.interrupted().is_some() => {
                    *self.interrupted() = None;
                    continue;
                }
            };
            match event {
                Ok(Some(Event::Init)) => seen = Some(HashSet::new()),
                Ok(Some(Event::InitApply(secret))) => {
                    if let Some(stored) = stored(&secret) {
                        if let Some(seen) = &mut seen {
                            seen.insert(key(&stored.record));
                        }
                        self.put(stored);
                    }
                }
                Ok(Some(Event::InitDone)) => {
                    if let Some(seen) = seen.take() {
                        self.write().retain(|key, _| seen.contains(key));
                    }
                    self.synced.send_replace(true);
                }
                Ok(Some(Event::Apply(secret))) => drop(stored(&secret).map(|stored| self.put(stored))),
                Ok(Some(Event::Delete(secret))) => {
                    if let Some(stored) = stored(&secret) {
                        self.remove(&stored.record.key_manager, &stored.record.client_id);
                    }
                }
                Ok(None) => return,
                Err(_) => {
                    tracing::warn!("watch of client records interrupted");
                    self.interrupted().get_or_insert_with(Instant::now);
                }
            }
        }
    }

    /// Returns when the API server answers.
    async fn reachable(&self) {
        loop {
            sleep(PROBE_EVERY).await;
            if self.api().list_metadata(&ListParams::default().limit(1)).await.is_ok() {
                return;
            }
        }
    }

    /// Whether the records may be too old to serve from: the watch has been interrupted for too long.
    pub fn is_stale(&self) -> bool {
        self.interrupted().is_some_and(|since| since.elapsed() > STALE)
    }

    /// Waits until all records that were there at the start are known.
    pub async fn synced(&self) {
        drop(self.synced.subscribe().wait_for(|synced| *synced).await);
    }

    /// Whether all records that were there at the start are known.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// A record as this replica knows it.
    pub fn get(&self, key_manager: &str, client_id: &str) -> Option<Stored> {
        self.read()
            .get(&(key_manager.to_owned(), client_id.to_owned()))
            .cloned()
    }

    /// A record as the API server has it.
    ///
    /// # Errors
    /// Those of the API server.
    pub async fn get_live(&self, key_manager: &str, client_id: &str) -> kube::Result<Option<Stored>> {
        let secret = self.api().get_opt(&record::secret_name(key_manager, client_id)).await?;
        let found = secret.as_ref().and_then(stored);
        match &found {
            Some(stored) => self.put(stored.clone()),
            None => self.remove(key_manager, client_id),
        }
        Ok(found)
    }

    /// Looks a record up live after a failed authentication: bounded, and not again for the same attempt within a few seconds.
    /// `None` where nothing newer is known.
    pub async fn second_look(&self, key_manager: &str, client_id: &str, digest: &str) -> Option<Stored> {
        let attempt = (key_manager.to_owned(), client_id.to_owned(), digest.to_owned());
        let now = Instant::now();
        {
            let mut refused = self.refused();
            refused.retain(|_, until| *until > now);
            if refused.contains_key(&attempt) || refused.len() >= NEGATIVE_LIMIT {
                return None;
            }
            refused.insert(attempt.clone(), now + NEGATIVE.unsigned_abs());
        }
        let Ok(_permit) = self.live_reads.try_acquire() else {
            self.refused().remove(&attempt);
            return None;
        };
        self.get_live(key_manager, client_id).await.ok().flatten()
    }

    /// Remembers a record, unless a newer one is known; the writer's own write is seen at once.
    pub fn put(&self, stored: Stored) {
        let key = key(&stored.record);
        let mut records = self.write();
        let version = |stored: &Stored| stored.resource_version.parse::<u64>().ok();
        let known = records.get(&key).filter(|known| known.uid == stored.uid);
        let newer_known = known.is_some_and(|known| version(known) > version(&stored));
        let same_known = known.is_some_and(|known| known.resource_version == stored.resource_version);
        if newer_known || same_known {
            // What was refused by it is still wrong.
            return;
        }
        records.insert(key.clone(), stored);
        drop(records);
        self.refused()
            .retain(|(key_manager, client_id, _), _| (key_manager, client_id) != (&key.0, &key.1));
    }

    /// Forgets a record.
    pub fn remove(&self, key_manager: &str, client_id: &str) {
        self.write().remove(&(key_manager.to_owned(), client_id.to_owned()));
    }

    /// The Secrets of the records.
    pub fn api(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The namespace of the records.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<(String, String), Stored>> {
        self.records.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<(String, String), Stored>> {
        self.records.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn interrupted(&self) -> MutexGuard<'_, Option<Instant>> {
        self.interrupted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> MutexGuard<'_, BTreeMap<(String, String, String), Instant>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(record: &ClientRecord) -> (String, String) {
    (record.key_manager.clone(), record.client_id.clone())
}

/// A record from its Secret; one that cannot be read is said once for each event and left out.
pub fn stored(secret: &Secret) -> Option<Stored> {
    let record = ClientRecord::from_secret(secret);
    if record.is_none() {
        tracing::warn!(
            secret = secret.name_any(),
            "client record cannot be read: delete the Secret, its key makes it anew"
        );
    }
    Some(Stored {
        record: Arc::new(record?),
        resource_version: secret.resource_version().unwrap_or_default(),
        uid: secret.uid().unwrap_or_default(),
    })
}
