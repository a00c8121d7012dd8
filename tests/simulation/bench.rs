//! One run: the servers, which stay, and the operator's process, which may die.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    num::NonZeroU32,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use appkeys::{
    clock::Clock,
    controller::{self, Context, Parts, Settings},
    entropy::Entropy,
    guard::WriteGuard,
    key_manager::resident::{
        ResidentKeyManagers, http::Issuers, revocations::Revocations, server::CurrentCertificate, store::RecordStore,
    },
    leader::{self, LeaderConfig, Leadership},
    metrics::Metrics,
};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use serde_json::{Value, json};
use testbed::memory_api::{Fault, Faults, Id, MemoryApi, RequestInfo};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;

use super::{
    invariants::{Invariants, records},
    key_manager::{self, Profile, Server, Servers, SimulatedDrivers},
    record::{Record, Witness},
};

pub(crate) const LEASE: Duration = Duration::from_secs(15);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// When every run begins.
const BEGIN: i64 = 1_800_000_000;

/// What happens at the n-th write of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    DieBefore,
    DieAfter,
    Lose(Fault),
}

/// All writes of a run.
type Trace = Arc<Mutex<Vec<String>>>;

/// Decides over a process's requests, and remembers them.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) writes: AtomicUsize,
    at: Mutex<Option<(usize, Mishap)>>,
    rate: Mutex<Option<(SmallRng, f64)>>,
    trace: Trace,
    clock: Option<Clock>,
    /// Whose requests they are, and where it can be seen who leads.
    process: Option<(String, MemoryApi, Arc<Invariants>)>,
    /// The lease cannot be reached any more, and everything else is slow.
    pub(crate) cut_off: AtomicBool,
    witness: Witness,
    pub(crate) dying: CancellationToken,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plan")
    }
}

impl Faults for Plan {
    fn decide(&self, request: &RequestInfo) -> Fault {
        if let Some(mishap) = self.witness.request(request) {
            return self.ruled(&format!("{:?} {}", request.verb, request.plural), mishap);
        }
        let cut_off = self.cut_off.load(Ordering::SeqCst);
        if request.plural == "leases" && cut_off {
            return Fault::LoseRequest;
        }
        if request.plural == "leases" || request.plural == "events" {
            return Fault::Pass;
        }
        if cut_off && request.verb.writes() {
            // Longer than a lease: it arrives when somebody else leads, unless its sender has given it up.
            self.note(
                &format!("{:?} {} {}, cut off", request.verb, request.plural, request.name),
                Fault::Pass,
            );
            return Fault::Delay(2 * LEASE);
        }
        let write = request.verb.writes();
        let fault = if write { self.at_write() } else { self.random(false) };
        if write || fault != Fault::Pass {
            let RequestInfo {
                verb,
                plural,
                namespace,
                name,
                ..
            } = request;
            self.note(&format!("{verb:?} {plural} {namespace}/{name}"), fault);
        }
        fault
    }

    /// One writer: a process that still waits for a write leads.
    fn arrives(&self, request: &RequestInfo) {
        let Some((identity, api, invariants)) = &self.process else {
            return;
        };
        if !request.verb.writes() || request.plural == "leases" {
            return;
        }
        let store = api.store();
        let lease = store.get(&Id::of("coordination.k8s.io/v1", "leases", "appkeys", "appkeys"));
        let holder = lease
            .map(|lease| lease["spec"]["holderIdentity"].clone())
            .unwrap_or_default();
        if holder != *identity.as_str() {
            let (verb, plural) = (request.verb, &request.plural);
            invariants.break_with(&format!(
                "{verb:?} {plural} {} by {identity} although {holder} leads",
                request.name
            ));
        }
    }
}

impl Plan {
    /// What happens to a call to a key manager.
    pub(crate) fn decide_call(&self, what: &str, writes: bool) -> Fault {
        if let Some(mishap) = self.witness.call(what, writes) {
            return self.ruled(what, mishap);
        }
        if writes && self.cut_off.load(Ordering::SeqCst) {
            self.note(&format!("{what}, cut off"), Fault::Pass);
            return Fault::Delay(2 * LEASE);
        }
        let fault = if writes { self.at_write() } else { self.random(false) };
        if writes || fault != Fault::Pass {
            self.note(what, fault);
        }
        fault
    }

    fn at_write(&self) -> Fault {
        let n = self.writes.fetch_add(1, Ordering::SeqCst);
        let at = *self.at.lock().unwrap();
        match at.filter(|(at, _)| *at == n) {
            None => self.random(true),
            Some((_, Mishap::Lose(fault))) => fault,
            Some((_, Mishap::DieBefore)) => {
                self.dying.cancel();
                Fault::Hang
            }
            Some((_, Mishap::DieAfter)) => {
                self.dying.cancel();
                Fault::ApplyAndHang
            }
        }
    }

    /// What a rule of the run wants.
    fn ruled(&self, what: &str, mishap: Mishap) -> Fault {
        let fault = match mishap {
            Mishap::Lose(fault) => fault,
            Mishap::DieBefore => Fault::Hang,
            Mishap::DieAfter => Fault::ApplyAndHang,
        };
        if !matches!(mishap, Mishap::Lose(_)) {
            self.dying.cancel();
        }
        self.note(what, fault);
        fault
    }

    fn note(&self, what: &str, fault: Fault) {
        let now = self.clock.as_ref().map(Clock::now);
        let mut line = format!("{:?} {what}", now.unwrap_or_default());
        if fault != Fault::Pass {
            let _ = write!(line, " {fault:?}");
        }
        self.trace.lock().unwrap().push(line);
    }

    fn random(&self, write: bool) -> Fault {
        let mut rate = self.rate.lock().unwrap();
        let Some((rng, probability)) = &mut *rate else {
            return Fault::Pass;
        };
        if !rng.random_bool(*probability) {
            return Fault::Pass;
        }
        let delay = Duration::from_millis(rng.random_range(1..2500));
        match rng.random_range(0..if write { 9 } else { 4 }) {
            0 => Fault::Refuse([401, 403, 429, 500][rng.random_range(0..4)]),
            1 => Fault::LoseRequest,
            2 => Fault::Delay(delay),
            3 | 4 => Fault::LoseAnswer,
            5 | 6 => Fault::Late(delay),
            7 => {
                self.dying.cancel();
                Fault::Hang
            }
            _ => {
                self.dying.cancel();
                Fault::ApplyAndHang
            }
        }
    }
}

/// The servers of one run.
pub(crate) struct Bench {
    pub(crate) api: MemoryApi,
    pub(crate) invariants: Arc<Invariants>,
    clock: Clock,
    entropy: Entropy,
    process: Option<Process>,
    /// A process that leads, or led, beside it.
    elder: Option<Process>,
    processes: usize,
    cluster_id: String,
    pub(crate) servers: Servers,
    pub(crate) record: Arc<Record>,
    /// How long a claim to lead lasts; longer ones make days pass quicker.
    pub(crate) lease: Duration,
    trace: Trace,
}

/// A running operator.
struct Process {
    plan: Arc<Plan>,
    stop: CancellationToken,
    _tasks: JoinSet<()>,
}

impl Bench {
    /// Servers with two key managers of these profiles, a namespace and an Application; nothing runs yet.
    pub(crate) fn new(seed: u64, first: Profile, second: Profile) -> Self {
        let start = Instant::now();
        let begin = Timestamp::from_second(BEGIN).unwrap();
        let clock = Clock::new(move || begin + SignedDuration::try_from(start.elapsed()).unwrap());
        let time = clock.clone();
        let api = MemoryApi::new(Arc::new(move || time.now().to_string()));
        let entropy = key_manager::entropy(seed);
        let simulated = [("first", first), ("second", second)].into_iter();
        let simulated = simulated.filter(|(_, profile)| *profile != Profile::Resident);
        let servers = simulated.map(|(name, profile)| (name.to_owned(), Arc::new(Server::new(name, profile))));
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
            servers,
            record: Arc::default(),
            lease: LEASE,
            trace,
        };
        bench.api.edit(|store| {
            for namespace in ["appkeys", "team", "other"] {
                store.put(&Id::of("v1", "namespaces", "", namespace), json!({}));
            }
            for crd in appkeys::api::all_crds() {
                let name = crd.metadata.name.unwrap_or_default();
                store.put(
                    &Id::of("apiextensions.k8s.io/v1", "customresourcedefinitions", "", &name),
                    json!({}),
                );
            }
            store.put(
                &Id::ours("clusterkeymanagers", "", "first"),
                json!({"spec": {"default": true, "resident": {"accessTokenLifetime": "12h"}}}),
            );
            store.put(
                &Id::ours("clusterkeymanagers", "", "second"),
                json!({"spec": {"resident": {"accessTokenLifetime": "12h"}}}),
            );
            store.put(&Id::ours("applications", "team", "shop"), json!({"spec": {}}));
        });
        bench
    }

    /// Starts a process without faults.
    pub(crate) fn start(&mut self) {
        self.start_with(None, None);
    }

    /// Starts a process that has this mishap at that write.
    pub(crate) fn start_with(&mut self, at: Option<(usize, Mishap)>, rate: Option<(u64, f64)>) {
        let identity = format!("process-{}", self.processes + 1);
        let plan = Arc::new(Plan {
            trace: self.trace.clone(),
            clock: Some(self.clock.clone()),
            process: Some((identity.clone(), self.api.clone(), self.invariants.clone())),
            witness: Witness::new(&self.record, self.processes + 1, &self.clock),
            ..Plan::default()
        });
        self.note(&format!("{identity} starts"));
        *plan.at.lock().unwrap() = at;
        *plan.rate.lock().unwrap() = rate.map(|(seed, probability)| (SmallRng::seed_from_u64(seed), probability));
        self.processes += 1;
        let leadership = Leadership::default();
        let service = self.api.service(plan.clone());
        let guarded = ServiceBuilder::new()
            .layer(WriteGuard(leadership.clone()))
            .service(service.clone());
        let (client, guarded) = (Client::new(service, "appkeys"), Client::new(guarded, "appkeys"));
        let lease = LeaderConfig {
            namespace: "appkeys".into(),
            name: "appkeys".into(),
            identity,
            duration: self.lease,
            renew_every: self.lease / 5,
            request_timeout: REQUEST_TIMEOUT,
        };
        let store = Arc::new(RecordStore::new(guarded.clone(), "appkeys"));
        let drivers = self.drivers(&client, &guarded, store.clone(), plan.clone());
        let settings = Settings {
            cluster_id: self.cluster_id.clone(),
            operator_namespace: "appkeys".into(),
            deletion_deadline: SignedDuration::from_hours(1),
            namespace_calls: NonZeroU32::new(10).unwrap(),
        };
        let (clock, entropy, dying) = (self.clock.clone(), self.entropy.clone(), plan.dying.clone());
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let controllers = async {
                leadership.acquired().await;
                let parts = Parts {
                    client: guarded,
                    settings,
                    clock: clock.clone(),
                    entropy,
                    drivers,
                    leadership: leadership.clone(),
                    metrics: Arc::new(Metrics::default()),
                };
                let ctx = Arc::new(Context::new(parts));
                tokio::select! {
                    biased;
                    () = controller::run(ctx, stopping) => {}
                    () = leadership.lost() => {}
                }
            };
            let leading = leader::run(
                client,
                lease,
                clock.clone(),
                leadership.clone(),
                CancellationToken::new(),
            );
            tokio::select! {
                biased;
                () = controllers => {}
                () = leading => {}
                () = store.run() => {}
                () = dying.cancelled() => {}
            }
            dying.cancel();
        });
        self.process = Some(Process {
            plan,
            stop,
            _tasks: tasks,
        });
    }

    /// A process's drivers: the resident one, and the ways to the servers.
    fn drivers(
        &self,
        client: &Client,
        guarded: &Client,
        store: Arc<RecordStore>,
        plan: Arc<Plan>,
    ) -> Arc<SimulatedDrivers> {
        let resident = ResidentKeyManagers {
            store,
            revocations: Arc::new(Revocations::new(
                client.clone(),
                guarded.clone(),
                "appkeys",
                self.clock.clone(),
                self.entropy.clone(),
            )),
            issuers: Issuers::default(),
            certificate: CurrentCertificate::default(),
            service_url: "https://appkeys.appkeys.svc:8443".parse().unwrap(),
            names: vec![],
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            client: guarded.clone(),
            namespace: "appkeys".into(),
        };
        Arc::new(SimulatedDrivers {
            resident,
            servers: self.servers.clone(),
            plan,
            clock: self.clock.clone(),
        })
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
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        self.api
            .edit(|store| store.put(&Id::ours("applicationkeys", "team", name), json!({"spec": all})));
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

/// Whether a key is ready, and its status speaks of its spec.
pub(crate) fn ready(key: &Value) -> bool {
    let conditions = key["status"]["conditions"].as_array().cloned().unwrap_or_default();
    key["status"]["observedGeneration"] == key["metadata"]["generation"]
        && conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
        && !conditions.iter().any(|c| c["type"] == "UpToDate")
}

/// Runs a future on a runtime of its own, with the clock paused.
pub(crate) fn run<T>(run: impl Future<Output = T>) -> T {
    crate::support::provider();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(run)
}

/// Plays all of `runs`, as many at once as there are cores. What failed, in the order of the runs.
pub(crate) fn side_by_side<R: Send>(runs: Vec<R>, play: impl Fn(R) -> Option<String> + Sync) -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runs = Mutex::new(runs.into_iter().enumerate());
    let failures = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some((n, run)) = { runs.lock().unwrap().next() } {
                    let played = catch_unwind(AssertUnwindSafe(|| play(run)));
                    let failure = played.unwrap_or_else(|_| Some(format!("run {n} panicked")));
                    if let Some(failure) = failure {
                        failures.lock().unwrap().insert(n, failure);
                    }
                }
            });
        }
    });
    failures.into_inner().unwrap().into_values().collect()
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
}

impl Bench {
    /// Lets time pass without a process.
    pub(crate) async fn pass_alone(&self, time: Duration) {
        sleep(time).await;
    }
}

impl Bench {
    /// Lets time pass; a process that dies stays dead, and ends it.
    pub(crate) async fn until_dead(&self, time: Duration) {
        let end = Instant::now() + time;
        while self.is_running() && Instant::now() < end {
            sleep(Duration::from_millis(250)).await;
        }
    }
}

impl Bench {
    /// Takes the process away alive: it runs until what is returned is dropped, beside those that are started later.
    pub(crate) fn set_aside(&mut self) -> impl Sized + use<> {
        self.process.take()
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
