//! The operator killed again and again while keys are made and rotated.

use std::{collections::BTreeSet, time::Duration};

use appkeys::api::ApplicationKey;
use kube::{Api, api::ListParams};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use serde_json::{Value, json};

use super::{Cluster, is_ready, key, team, token};

/// A run of kills. `KILLS=`, `SEED=` in the environment give others.
pub(crate) struct Kills {
    /// The namespace of the keys, made here.
    pub(crate) namespace: &'static str,
    /// So many keys in the end.
    pub(crate) keys: usize,
    /// So many kills.
    pub(crate) times: u64,
    /// What specs have beside tokens, in turn. Where there are several, each round of them is an Application of its own, for key
    /// managers that have one client for each environment of an Application.
    pub(crate) specs: Vec<Value>,
    /// The operator's flags.
    pub(crate) flags: &'static [&'static str],
}

impl Kills {
    /// Kills, waits until all is well, and gives the ids of the clients, one of each key; every Secret works.
    pub(crate) async fn run(&self, cluster: &Cluster) -> BTreeSet<String> {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let (kills, seed) = (number("KILLS").unwrap_or(self.times), number("SEED").unwrap_or(1));
        eprintln!(
            "{}: {kills} kills, seed {seed} (KILLS=… SEED=… for others)",
            self.namespace
        );
        let mut rng = SmallRng::seed_from_u64(seed);
        team(cluster, self.namespace).await;
        if self.specs.len() > 1 {
            cluster.apply(&self.applications());
        }
        let mut made = 0;
        for round in 0..kills {
            // Some keys are made and some rotate while the process dies.
            let until = self.keys * usize::try_from(round + 1).unwrap() / usize::try_from(kills).unwrap();
            cluster.apply(&self.list(&(made..until).collect::<Vec<_>>(), "first"));
            made = until;
            let some: BTreeSet<_> = (0..10).map(|_| rng.random_range(0..made)).collect();
            cluster.apply(&self.list(&some.into_iter().collect::<Vec<_>>(), &format!("round {round}")));
            // From before it leads until it has nothing more to do.
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..2500))).await;
            orphans_are_counted(cluster).await;
            cluster.kill();
            cluster.run_with(self.flags);
        }
        self.all_work(cluster).await
    }

    /// Waits until all keys are ready and nothing is under way; the ids of their clients.
    pub(crate) async fn all_work(&self, cluster: &Cluster) -> BTreeSet<String> {
        let api = Api::<ApplicationKey>::namespaced(cluster.client().await, self.namespace);
        cluster
            .until("all keys to be ready", async || {
                let all = api.list(&ListParams::default()).await.unwrap();
                let drained = |key: &ApplicationKey| {
                    let credential = key.status.as_ref().and_then(|status| status.credential.as_ref());
                    credential.is_some_and(|credential| credential.previous_valid_until.is_none())
                };
                all.items.len() == self.keys && all.iter().all(|key| is_ready(key) && drained(key))
            })
            .await;
        let mut clients = BTreeSet::new();
        for n in 0..self.keys {
            let entries = cluster.secret(self.namespace, &format!("k-{n}")).await;
            let (status, answer) = token(&entries, &[]).await;
            assert_eq!(status, 200, "k-{n}: {answer}");
            clients.insert(entries["client-id"].clone());
        }
        assert_eq!(clients.len(), self.keys);
        orphans_are_counted(cluster).await;
        clients
    }

    fn application(&self, n: usize) -> String {
        format!("shop-{}", n / self.specs.len())
    }

    /// The Applications of rounds.
    fn applications(&self) -> Value {
        let names = (0..self.keys).step_by(self.specs.len()).map(|n| self.application(n));
        let one = |name| {
            json!({
                "apiVersion": "appkeys.dev/v1alpha1", "kind": "Application",
                "metadata": {"name": name, "namespace": self.namespace}, "spec": {},
            })
        };
        json!({"apiVersion": "v1", "kind": "List", "items": names.map(one).collect::<Vec<_>>()})
    }

    /// Keys of these numbers, with this trigger.
    pub(crate) fn list(&self, some: &[usize], trigger: &str) -> Value {
        let one = |n: &usize| {
            let mut spec = self.specs[n % self.specs.len()].clone();
            if self.specs.len() > 1 {
                spec["applicationRef"] = json!({"name": self.application(*n)});
            }
            spec["accessTokens"] = json!([{"name": "t"}]);
            spec["rotation"]["overlap"] = json!("2s");
            spec["rotation"]["trigger"] = json!(trigger);
            key(self.namespace, &format!("k-{n}"), &spec)
        };
        json!({"apiVersion": "v1", "kind": "List", "items": some.iter().map(one).collect::<Vec<_>>()})
    }
}

/// Each possible orphan that this process has named so far is in its metric.
async fn orphans_are_counted(cluster: &Cluster) {
    let named = cluster.operator_output().matches("possible orphan").count();
    let counted = cluster.scrape().await.sum("appkeys_possible_orphans_total", &[]);
    assert!(
        counted >= u64::try_from(named).unwrap(),
        "{named} are named and {counted} counted"
    );
}
