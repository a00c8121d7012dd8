//! One run: the servers, which stay, and the operator's process, which may die.

use std::{
    sync::{Arc, LazyLock, atomic::Ordering},
    time::Duration,
};

use appkeys::{api::CredentialKind, clock::Clock, entropy::Entropy};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use testbed::memory_api::{Id, MemoryApi};
use tokio::time::{Instant, sleep};

use super::{
    invariants::{Invariants, records},
    kinds,
    process::Process,
    profile::Profile,
    record::Record,
    runs,
    schedule::Trace,
    server::Server,
    servers::Servers,
};

pub(crate) const LEASE: Duration = Duration::from_secs(15);
/// When every run begins.
const BEGIN: i64 = 1_800_000_000;

/// The names of the definitions, made once: that takes a fifth of the time of a short run.
static DEFINITIONS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let names = appkeys::api::all_crds().into_iter().map(|crd| crd.metadata.name);
    names.flatten().collect()
});

/// The servers of one run.
pub(crate) struct Bench {
    pub(crate) api: MemoryApi,
    pub(crate) invariants: Arc<Invariants>,
    pub(super) clock: Clock,
    pub(super) entropy: Entropy,
    pub(super) process: Option<Process>,
    /// A process that leads, or led, beside it.
    elder: Option<Process>,
    pub(super) processes: usize,
    pub(super) cluster_id: String,
    /// What the clients of its keys hold, where their specs do not say it.
    pub(crate) kind: CredentialKind,
    pub(crate) servers: Servers,
    pub(crate) record: Arc<Record>,
    /// By how much the clocks of processes are wrong that are started from now on.
    pub(crate) clock_is_off: SignedDuration,
    /// How long a claim to lead lasts; longer ones make days pass quicker.
    pub(crate) lease: Duration,
    pub(super) trace: Trace,
}

impl Bench {
    /// Servers with two key managers of these profiles, a namespace and an Application; nothing runs yet.
    pub(crate) fn new(seed: u64, first: Profile, second: Profile) -> Self {
        Self::of_kind(seed, first, second, CredentialKind::Secret)
    }

    /// The same for keys whose clients hold this, where their specs do not say otherwise.
    pub(crate) fn of_kind(seed: u64, first: Profile, second: Profile, kind: CredentialKind) -> Self {
        let start = Instant::now();
        let begin = Timestamp::from_second(BEGIN).unwrap();
        let clock = Clock::new(move || begin + SignedDuration::try_from(start.elapsed()).unwrap());
        let time = clock.clone();
        let api = MemoryApi::new(Arc::new(move || time.now().to_string()));
        let entropy = runs::entropy(seed);
        let simulated = [("first", first), ("second", second)].into_iter();
        let simulated = simulated.filter(|(_, profile)| *profile != Profile::Resident);
        let server =
            |(name, profile): (&str, _)| (name.to_owned(), Arc::new(Server::new(name, profile, clock.clone())));
        let servers = simulated.map(server);
        let servers = Servers(servers.collect());
        let invariants = Arc::new(Invariants::new(clock.clone(), servers.clone()));
        let watch = invariants.clone();
        let trace = Trace::default();
        let said = trace.clone();
        api.inspect(move |store| {
            let concerns = |id: &Id| matches!(id.plural.as_str(), "secrets" | "applicationkeys");
            if !store.last_change().is_some_and(concerns) {
                return;
            }
            watch.look(store);
            said.lock().unwrap().extend(watch.said());
        });
        let bench = Self {
            api,
            invariants,
            clock,
            entropy,
            process: None,
            elder: None,
            processes: 0,
            cluster_id: "cluster".into(),
            kind,
            servers,
            record: Arc::default(),
            clock_is_off: SignedDuration::ZERO,
            lease: LEASE,
            trace,
        };
        bench.api.edit(|store| {
            for namespace in ["appkeys", "team", "other"] {
                store.put(&Id::of("v1", "namespaces", "", namespace), json!({}));
            }
            for name in DEFINITIONS.iter() {
                store.put(
                    &Id::of("apiextensions.k8s.io/v1", "customresourcedefinitions", "", name),
                    json!({}),
                );
            }
            for name in ["first", "second"] {
                let mut spec = json!({"resident": {"accessTokenLifetime": "12h"}, "access": kinds::access(kind)});
                if name == "first" {
                    spec["default"] = true.into();
                }
                store.put(&Id::ours("clusterkeymanagers", "", name), json!({"spec": spec}));
            }
            store.put(&Id::ours("applications", "team", "shop"), json!({"spec": {}}));
        });
        bench
    }

    /// Kills the process, and one that may still run beside it.
    pub(crate) fn kill(&mut self) {
        self.process = None;
        self.elder = None;
    }

    /// Tells the process to stop in order.
    pub(crate) fn stop(&self) {
        self.note("the process is told to stop");
        if let Some(process) = &self.process {
            process.stop.cancel();
        }
    }

    /// The process loses the lease and goes on as long as it may; the next one that is started runs beside it.
    pub(crate) fn cut_off(&mut self) {
        if let Some(process) = self.process.take() {
            self.note("the process is cut off from its lease");
            process.plan.cut_off.store(true, Ordering::SeqCst);
            self.elder = Some(process);
        }
    }

    /// Whether the process still runs.
    pub(crate) fn is_running(&self) -> bool {
        self.process
            .as_ref()
            .is_some_and(|process| !process.plan.dying.is_cancelled())
    }

    /// How many writes the process has made.
    pub(crate) fn writes(&self) -> usize {
        self.process
            .as_ref()
            .map_or(0, |process| process.plan.writes.load(Ordering::SeqCst))
    }

    /// All writes of all processes.
    pub(crate) fn trace(&self) -> String {
        self.trace.lock().unwrap().join("\n")
    }

    /// Puts a line between the writes.
    pub(crate) fn note(&self, line: &str) {
        self.trace.lock().unwrap().push(format!("{} {line}", self.clock.now()));
    }

    /// Applies a key of namespace `team`.
    pub(crate) fn put_key(&self, name: &str, spec: &Value) {
        let mut all = json!({"applicationRef": {"name": "shop"}, "environment": "Production"});
        let spec = kinds::spec(self.kind, spec);
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        self.api
            .edit(|store| store.put(&Id::ours("applicationkeys", "team", name), json!({"spec": all})));
    }

    /// Writes something else over what the client of a key of namespace `team` proves itself with.
    pub(crate) fn tamper(&self, name: &str) {
        let id = Id::secret("team", name);
        let secret = self.get(&id).unwrap_or_default();
        let entries = ["client-secret", "private-key.pem"];
        for entry in entries.into_iter().filter(|entry| !secret["data"][entry].is_null()) {
            let text = data_encoding::BASE64.encode(kinds::TAMPERED.as_bytes());
            self.api.edit(|store| store.put(&id, json!({"data": {entry: text}})));
        }
    }

    /// An object.
    pub(crate) fn get(&self, id: &Id) -> Option<Value> {
        self.api.store().get(id).cloned()
    }

    /// A key of namespace `team`.
    pub(crate) fn key(&self, name: &str) -> Value {
        self.get(&Id::ours("applicationkeys", "team", name)).unwrap_or_default()
    }

    /// Lets time pass until `good`, at most `limit`; a process that died is started again. Whether it came to be.
    pub(crate) async fn until(&mut self, limit: Duration, good: impl Fn(&Self) -> bool) -> bool {
        let start = Instant::now();
        loop {
            if !self.is_running() {
                self.start();
            }
            self.invariants.look(&self.api.store());
            if good(self) {
                return true;
            }
            if start.elapsed() >= limit {
                return false;
            }
            // Most happens at once; later it is enough to look now and then.
            let slow = start.elapsed() > Duration::from_secs(20);
            sleep(Duration::from_millis(if slow { 4000 } else { 250 })).await;
        }
    }

    /// Lets time pass.
    pub(crate) async fn pass(&mut self, time: Duration) {
        self.until(time, |_| false).await;
    }
}

impl Bench {
    /// The ids of all clients at all key managers.
    pub(crate) fn clients(&self) -> Vec<String> {
        let mut ids = self.servers.ids();
        ids.extend(records(&self.api.store()).into_keys());
        ids
    }

    /// How many clients that nobody can delete were named in events.
    pub(crate) fn named_orphans(&self) -> usize {
        let store = self.api.store();
        store
            .all("events")
            .filter(|(_, event)| event["reason"] == "PossibleOrphan")
            .count()
    }

    /// Lets time pass without a process.
    pub(crate) async fn pass_alone(&self, time: Duration) {
        sleep(time).await;
    }

    /// Lets time pass; a process that dies stays dead, and ends it.
    pub(crate) async fn until_dead(&self, time: Duration) {
        let end = Instant::now() + time;
        while self.is_running() && Instant::now() < end {
            sleep(Duration::from_millis(250)).await;
        }
    }

    /// Takes the process away alive: it runs until what is returned is dropped, beside those that are started later.
    pub(crate) fn set_aside(&mut self) -> impl Sized + use<> {
        self.process.take()
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Whether a key is ready, and its status speaks of its spec.
pub(crate) fn ready(key: &Value) -> bool {
    let conditions = key["status"]["conditions"].as_array().cloned().unwrap_or_default();
    key["status"]["observedGeneration"] == key["metadata"]["generation"]
        && conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
        && !conditions.iter().any(|c| c["type"] == "UpToDate")
}
