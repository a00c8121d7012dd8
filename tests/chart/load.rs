//! Workloads that ask for tokens all the time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::support::http_client;

/// How many there are, and how often each asks: 500 times a second together.
const WORKLOADS: usize = 25;
const EVERY: Duration = Duration::from_millis(50);

/// They go on until this is dropped.
pub(super) struct Load {
    answered: Arc<AtomicUsize>,
    failed: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Load {
    /// Workloads with this Secret. Each keeps its connection as long as it lasts.
    pub(super) fn start(entries: &BTreeMap<String, String>) -> Self {
        let (answered, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(vec![])));
        let mut tasks = JoinSet::new();
        for _ in 0..WORKLOADS {
            let (answered, failed, entries) = (answered.clone(), failed.clone(), entries.clone());
            tasks.spawn(async move {
                let client = http_client(&entries);
                let mut ticks = interval(EVERY);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    match ask(&client, &entries).await {
                        Ok(()) => drop(answered.fetch_add(1, Ordering::SeqCst)),
                        Err(why) => failed.lock().unwrap().push(why),
                    }
                }
            });
        }
        Self {
            answered,
            failed,
            _tasks: tasks,
        }
    }

    /// How many tokens they have.
    pub(super) fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// Why requests have failed since this was asked last.
    pub(super) fn failed(&self) -> Vec<String> {
        std::mem::take(&mut self.failed.lock().unwrap())
    }
}

async fn ask(client: &reqwest::Client, entries: &BTreeMap<String, String>) -> Result<(), String> {
    let request = client
        .post(&entries["token-uri"])
        .basic_auth(&entries["client-id"], Some(&entries["client-secret"]))
        .form(&[("grant_type", "client_credentials")]);
    match request.send().await {
        Ok(answer) if answer.status().is_success() => answer.bytes().await.map(drop).map_err(|e| format!("{e:?}")),
        Ok(answer) => Err(format!("status {}", answer.status())),
        Err(error) => Err(format!("{error:?}")),
    }
}
