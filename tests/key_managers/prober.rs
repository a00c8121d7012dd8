//! A workload that logs in all the time with what its Secret says.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

use crate::support::{Cluster, LIMIT, token};

/// How often it logs in.
const EVERY: Duration = Duration::from_millis(50);

/// What a prober saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Logins.
    pub(crate) logins: usize,
    /// Logins that were refused, with the answer.
    pub(crate) failures: Vec<String>,
    /// The longest time without a login that worked.
    pub(crate) longest_cut: Duration,
}

/// A workload with a mounted Secret.
pub(crate) struct Prober {
    stop: oneshot::Sender<()>,
    secrets: watch::Receiver<usize>,
    task: JoinHandle<Seen>,
}

impl Prober {
    /// Begins to log in with the Secret's values as they are at each time; it has done so once.
    pub(crate) async fn start(cluster: Arc<Cluster>, namespace: &str, secret: &str) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let (said, secrets) = watch::channel(0);
        let api = Api::<Secret>::namespaced(cluster.client().await, namespace);
        let secret = secret.to_owned();
        let task = tokio::spawn(async move {
            let mut seen = Seen::default();
            let mut last_good = Instant::now();
            let mut different = std::collections::BTreeSet::new();
            let mut ticks = tokio::time::interval(EVERY);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    _ = &mut stopped => break,
                }
                let data = api.get(&secret).await.unwrap().data.unwrap_or_default();
                let text = |value: Vec<u8>| String::from_utf8(value).unwrap();
                let entries: BTreeMap<_, _> = data.into_iter().map(|(name, value)| (name, text(value.0))).collect();
                let (status, answer) = token(&entries, &[]).await;
                seen.logins += 1;
                if status == 200 {
                    different.insert(entries["client-secret"].clone());
                    said.send_replace(different.len());
                    seen.longest_cut = seen.longest_cut.max(last_good.elapsed());
                    last_good = Instant::now();
                } else {
                    seen.failures.push(format!("{status} {answer}"));
                }
            }
            drop(cluster);
            seen
        });
        let prober = Self { stop, secrets, task };
        prober.has_used(1).await
    }

    /// Waits until it has logged in with so many different secrets.
    pub(crate) async fn has_used(mut self, secrets: usize) -> Self {
        let used = self.secrets.wait_for(|used| *used >= secrets);
        tokio::time::timeout(LIMIT, used).await.unwrap().unwrap();
        self
    }

    /// Ends it.
    pub(crate) async fn stop(self) -> Seen {
        let _ = self.stop.send(());
        self.task.await.unwrap()
    }
}
