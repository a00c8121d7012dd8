//! Access tokens in Secrets, as whoever looks at these sees them: when they end, and when they are renewed.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use appkeys::clock::Clock;
use futures::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher},
};
use tokio::{task::JoinHandle, time::interval};

use crate::support::Cluster;

/// When token `t` of a Secret ends.
fn end(secret: &Secret) -> Option<Timestamp> {
    let end = &secret.data.as_ref()?.get("t.expires-at")?.0;
    Some(std::str::from_utf8(end).unwrap().parse().unwrap())
}

/// When the tokens of a namespace end, one after the other for each Secret.
pub(super) struct Renewed {
    ends: Arc<Mutex<BTreeMap<String, Vec<Timestamp>>>>,
    task: JoinHandle<()>,
}

impl Renewed {
    pub(super) async fn watch(cluster: &Cluster, namespace: &str) -> Self {
        let api = Api::<Secret>::namespaced(cluster.client().await, namespace);
        let ends = Arc::<Mutex<BTreeMap<String, Vec<Timestamp>>>>::default();
        let seen = ends.clone();
        let task = tokio::spawn(async move {
            let watch = watcher(api, watcher::Config::default());
            let mut secrets = pin!(watch.default_backoff().applied_objects());
            while let Ok(Some(secret)) = secrets.try_next().await {
                let Some(end) = end(&secret) else { continue };
                let mut seen = seen.lock().unwrap();
                let ends = seen.entry(secret.name_any()).or_default();
                if ends.last() != Some(&end) {
                    ends.push(end);
                }
            }
        });
        Self { ends, task }
    }

    /// How many tokens there were.
    pub(super) fn count(&self) -> usize {
        self.ends.lock().unwrap().values().map(Vec::len).sum()
    }

    /// Each of those that are due after ten seconds was renewed after half of that at the earliest.
    pub(super) fn none_twice(&self) {
        self.task.abort();
        let ends = self.ends.lock().unwrap();
        assert_eq!(ends.len(), 3, "{ends:?}");
        for (name, ends) in &*ends {
            assert!(ends.len() > 2, "{name}: {ends:?}");
            let apart = ends.windows(2).map(|pair| pair[1].duration_since(pair[0]));
            assert!(apart.min().unwrap() >= SignedDuration::from_secs(5), "{name}: {ends:?}");
        }
    }
}

/// The token of one Secret, looked at all the time: it never ends before it is renewed.
pub(super) struct OnTime {
    late: Arc<Mutex<Vec<Timestamp>>>,
    task: JoinHandle<()>,
}

impl OnTime {
    pub(super) async fn watch(cluster: &Cluster, namespace: &str, name: &'static str) -> Self {
        let api = Api::<Secret>::namespaced(cluster.client().await, namespace);
        let late = Arc::<Mutex<Vec<Timestamp>>>::default();
        let seen = late.clone();
        let task = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_secs(1));
            loop {
                ticks.tick().await;
                let Ok(secret) = api.get(name).await else { continue };
                let end = end(&secret).unwrap();
                if end <= Clock::system().now() {
                    seen.lock().unwrap().push(end);
                }
            }
        });
        Self { late, task }
    }

    pub(super) fn so_far(&self) {
        assert!(!self.task.is_finished(), "the Secret cannot be read");
        self.task.abort();
        let late = self.late.lock().unwrap();
        assert!(late.is_empty(), "tokens had ended before they were renewed: {late:?}");
    }
}
