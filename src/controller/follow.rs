//! Watches of one kind: events of the cluster in the order in which they come, for as long as the process lives.

use std::{collections::BTreeSet, pin::pin, time::Duration};

use backon::ExponentialBuilder;
use futures::{Stream, TryStreamExt as _, future::join_all};
use kube::{
    Api, Client, Resource,
    core::{DeserializeGuard, NamespaceResourceScope},
    runtime::{
        WatchStreamExt as _,
        utils::{Backoff, ResetTimerBackoff},
        watcher,
        watcher::Event,
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::queue::Name;
use crate::scope;

/// What is followed, and what an event means.
pub(super) struct Followed<A, D, N> {
    /// The kind, for logs.
    pub(super) kind: &'static str,
    /// Which objects.
    pub(super) config: watcher::Config,
    /// One is there, or was changed.
    pub(super) apply: A,
    /// One is gone.
    pub(super) delete: D,
    /// Those that are remembered: what is not among them after a new beginning is gone.
    pub(super) known: N,
}

/// Follows a kind in each of `places` for ever. `synced` is told when everything that was there at the start has been seen.
pub(super) async fn everywhere<K, A, D, N>(
    client: &Client,
    places: Vec<Option<String>>,
    what: Followed<A, D, N>,
    synced: oneshot::Sender<()>,
) where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + 'static,
    A: Fn(K),
    D: Fn(Name),
    N: Fn() -> Vec<Name>,
{
    let what = &what;
    let (watches, seen): (Vec<_>, Vec<_>) = places
        .into_iter()
        .map(|place| {
            let (synced, seen) = oneshot::channel();
            let api = scope::api(client, place.as_deref());
            let known = move || {
                let mut known = (what.known)();
                known.retain(|name| place.as_ref().is_none_or(|place| name.namespace == *place));
                known
            };
            let watch = watch(api, what.config.clone());
            (follow(watch, what.kind, synced, &what.apply, &what.delete, known), seen)
        })
        .unzip();
    let all_seen = async {
        if join_all(seen).await.iter().all(Result::is_ok) {
            let _ = synced.send(());
        }
    };
    futures::join!(join_all(watches), all_seen);
}

/// Follows a kind of the cluster for ever.
pub(super) async fn of_cluster<K, A, D, N>(api: Api<K>, what: Followed<A, D, N>, synced: oneshot::Sender<()>)
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
    A: Fn(K),
    D: Fn(Name),
    N: Fn() -> Vec<Name>,
{
    let events = watch(api, what.config);
    follow(events, what.kind, synced, what.apply, what.delete, what.known).await;
}

async fn follow<K>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>>,
    kind: &'static str,
    synced: oneshot::Sender<()>,
    apply: impl Fn(K),
    delete: impl Fn(Name),
    known: impl Fn() -> Vec<Name>,
) where
    K: Resource,
{
    let mut synced = Some(synced);
    let mut seen: Option<BTreeSet<Name>> = None;
    let mut events = pin!(events);
    loop {
        match events.try_next().await {
            Ok(Some(Event::Init)) => seen = Some(BTreeSet::new()),
            Ok(Some(Event::InitApply(object))) => {
                if let Some(seen) = &mut seen {
                    seen.insert(name(&object));
                }
                apply(object);
            }
            Ok(Some(Event::InitDone)) => {
                let seen = seen.take().unwrap_or_default();
                for gone in known().into_iter().filter(|name| !seen.contains(name)) {
                    delete(gone);
                }
                if let Some(synced) = synced.take() {
                    let _ = synced.send(());
                }
            }
            Ok(Some(Event::Apply(object))) => apply(object),
            Ok(Some(Event::Delete(object))) => delete(name(&object)),
            Ok(None) => return,
            Err(error) => tracing::warn!(kind, error = watch_error(&error), "watch interrupted"),
        }
    }
}

/// A watch error without the body of any object.
fn watch_error(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.message.clone(),
        _ => "no answer from the API server".to_owned(),
    }
}

/// An object that can be read; of another one the log says which it is, and the rest goes on without it.
pub(super) fn readable<K: Resource>(object: DeserializeGuard<K>, kind: &'static str) -> Result<K, Name> {
    let name = name(&object);
    object.0.map_err(|error| {
        tracing::warn!(kind, object = %name, error = error.error, "an object cannot be read: mend it, or bring its definition up to date: `appkeys crds | kubectl apply --server-side -f -`");
        name
    })
}

pub(super) fn name<K: Resource>(object: &K) -> Name {
    let meta = object.meta();
    Name::new(
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

fn watch<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = Result<Event<K>, watcher::Error>>
where
    K: Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    watcher(api, config).backoff(backoff())
}

/// How long an interrupted watch waits. Without jitter, which a handful of watches does not need: a simulation can replay it.
pub fn backoff() -> impl Backoff + use<> {
    let doubled = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(800))
        .with_max_delay(Duration::from_secs(30))
        .with_factor(2.0)
        .without_max_times();
    ResetTimerBackoff::new(watcher::ExponentialBackoff::from(doubled), Duration::from_mins(2))
}
