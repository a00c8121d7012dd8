//! Revoked access tokens (RFC 7009): batches in small Secrets that every replica watches and that go when their tokens have ended.
//!
//! They are the one thing that a replica writes without leading: a revocation must not wait for the leader.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use futures::TryStreamExt as _;
use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, PostParams},
    runtime::{WatchStreamExt as _, watcher, watcher::Event},
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::{interval, sleep},
};

use crate::{
    api::FIELD_MANAGER,
    clock::Clock,
    controller::{follow::backoff, secrets::COMPONENT_LABEL},
    entropy::Entropy,
    plan::hints,
};

/// The value of the component label of batches.
pub const COMPONENT: &str = "resident-revocations";
const TYPE: &str = "appkeys.dev/resident-revocations";
const ENTRY: &str = "revoked";
const EXPIRES_AT: &str = "appkeys.dev/expires-at";
/// How long revocations are gathered before they are written together.
const GATHER: Duration = Duration::from_millis(50);
/// Revocations in one batch.
const BATCH: usize = 1000;
/// Revocations that wait to be written.
const WAITING: usize = 4000;
/// Revocations that are remembered; more are refused until some have ended.
const LIMIT: usize = 200_000;
const CLEAN_EVERY: Duration = Duration::from_mins(5);

/// A revoked token, until it ends by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Revoked {
    jti: String,
    /// Seconds since the epoch.
    exp: i64,
}

/// A revocation could not be kept: ask again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the revocation could not be kept: try again")]
pub struct NotKept;

type Request = (Revoked, oneshot::Sender<Result<(), NotKept>>);

/// The revoked tokens of all resident key managers.
pub struct Revocations {
    /// Writes batches, also without leading.
    batches: Api<Secret>,
    /// Deletes ended ones, only while leading.
    cleaner: Api<Secret>,
    clock: Clock,
    entropy: Entropy,
    known: RwLock<HashMap<String, i64>>,
    requests: mpsc::Sender<Request>,
    waiting: Mutex<mpsc::Receiver<Request>>,
}

impl std::fmt::Debug for Revocations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Revocations")
    }
}

impl Revocations {
    /// None known yet. `plain` writes also without leading, `guarded` only while leading.
    pub fn new(plain: Client, guarded: Client, namespace: &str, clock: Clock, entropy: Entropy) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING);
        Self {
            batches: Api::namespaced(plain, namespace),
            cleaner: Api::namespaced(guarded, namespace),
            clock,
            entropy,
            known: RwLock::default(),
            requests,
            waiting: Mutex::new(waiting),
        }
    }

    /// Whether the token with this `jti` is revoked, as far as this replica knows.
    pub fn contains(&self, jti: &str) -> bool {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(jti)
    }

    /// Revokes a token; returns when that is kept. `exp` is in seconds since the epoch.
    ///
    /// # Errors
    /// [`NotKept`]: too many, or no answer from the API server.
    pub async fn revoke(&self, jti: &str, exp: i64) -> Result<(), NotKept> {
        if self.contains(jti) {
            return Ok(());
        }
        let (done, kept) = oneshot::channel();
        let revoked = Revoked {
            jti: jti.to_owned(),
            exp,
        };
        self.requests.try_send((revoked, done)).map_err(|_| NotKept)?;
        kept.await.map_err(|_| NotKept)?
    }

    /// Watches, writes and cleans up for ever.
    pub async fn run(&self) {
        futures::join!(self.watch(), self.write(), self.clean());
    }

    async fn watch(&self) {
        let mut events = pin!(watcher(self.batches.clone(), config()).backoff(backoff()));
        loop {
            match events.try_next().await {
                Ok(Some(Event::Apply(secret) | Event::InitApply(secret))) => self.learn(&read(&secret)),
                // What has ended is forgotten by time, not by the deletion of its batch.
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => tracing::warn!("watch of revocations interrupted"),
            }
        }
    }

    async fn write(&self) {
        let mut waiting = self.waiting.lock().await;
        while let Some(first) = waiting.recv().await {
            sleep(GATHER).await;
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(next) = waiting.try_recv()
            {
                batch.push(next);
            }
            let (revoked, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            let result = self.keep(&revoked).await;
            for answer in answers {
                // Whoever asked may have gone.
                let _ = answer.send(result);
            }
        }
    }

    async fn keep(&self, revoked: &[Revoked]) -> Result<(), NotKept> {
        let room = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.len() + revoked.len() <= LIMIT
        };
        let ends = revoked.iter().map(|token| token.exp).max().unwrap_or_default();
        let ends = Timestamp::from_second(ends).map_err(|_| NotKept)?;
        let id = self.entropy.attempt_id().map_err(|_| NotKept)?;
        let json = serde_json::to_vec(revoked).map_err(|_| NotKept)?;
        let labels = [
            (hints::MANAGED_BY_LABEL, hints::MANAGED_BY),
            (COMPONENT_LABEL, COMPONENT),
        ];
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(format!("appkeys-revocations-{id}")),
                labels: Some(labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
                annotations: Some([(EXPIRES_AT.to_owned(), ends.to_string())].into()),
                ..ObjectMeta::default()
            },
            type_: Some(TYPE.to_owned()),
            data: Some([(ENTRY.to_owned(), ByteString(json))].into()),
            ..Secret::default()
        };
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        if !room || self.batches.create(&params, &secret).await.is_err() {
            return Err(NotKept);
        }
        self.learn(revoked);
        Ok(())
    }

    fn learn(&self, revoked: &[Revoked]) {
        let now = self.clock.now().as_second();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = revoked.iter().filter(|token| token.exp > now);
        known.extend(fresh.map(|token| (token.jti.clone(), token.exp)));
    }

    async fn clean(&self) {
        let mut ticks = interval(CLEAN_EVERY);
        loop {
            ticks.tick().await;
            let now = self.clock.now();
            self.known
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .retain(|_, exp| *exp > now.as_second());
            let selector = config().label_selector.unwrap_or_default();
            let params = kube::api::ListParams::default().labels(&selector);
            let Ok(batches) = self.cleaner.list_metadata(&params).await else {
                continue;
            };
            for batch in batches {
                let ends = batch
                    .annotations()
                    .get(EXPIRES_AT)
                    .and_then(|time| time.parse::<Timestamp>().ok());
                if ends.is_some_and(|ends| ends < now) {
                    // A replica that does not lead is refused here; the leader does it.
                    drop(self.cleaner.delete(&batch.name_any(), &DeleteParams::default()).await);
                }
            }
        }
    }
}

fn config() -> watcher::Config {
    watcher::Config::default().labels(&format!(
        "{}={},{COMPONENT_LABEL}={COMPONENT}",
        hints::MANAGED_BY_LABEL,
        hints::MANAGED_BY
    ))
}

/// The revocations of a batch; what cannot be read is none.
fn read(secret: &Secret) -> Vec<Revoked> {
    secret
        .data
        .as_ref()
        .and_then(|data| serde_json::from_slice(&data.get(ENTRY)?.0).ok())
        .unwrap_or_default()
}
