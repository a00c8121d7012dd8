//! The operator's process in a run, with all that its binary has but the HTTP servers.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use appkeys::{
    clock::Clock,
    controller::{self, Context, Parts, Settings},
    guard::WriteGuard,
    key_manager::resident::{
        ResidentKeyManagers, http::Issuers, revocations::Revocations, server::CurrentCertificate, store::RecordStore,
    },
    leader::{self, LeaderConfig, Leadership},
    metrics::Metrics,
    scope::Scope,
};
use jiff::SignedDuration;
use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;

use super::{
    bench::Bench,
    driver::SimulatedDrivers,
    record::Witness,
    schedule::{Mishap, Plan},
};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// A running operator.
pub(super) struct Process {
    pub(super) plan: Arc<Plan>,
    pub(super) stop: CancellationToken,
    _tasks: JoinSet<()>,
}

impl Bench {
    /// Starts a process without faults.
    pub(crate) fn start(&mut self) {
        self.start_with(None, None);
    }

    /// Starts a process that has this mishap at that write.
    pub(crate) fn start_with(&mut self, at: Option<(usize, Mishap)>, rate: Option<(u64, f64)>) {
        let identity = format!("process-{}", self.processes + 1);
        let plan = Plan {
            trace: self.trace.clone(),
            clock: Some(self.clock.clone()),
            process: Some((identity.clone(), self.api.clone(), self.invariants.clone())),
            witness: Witness::new(&self.record, self.processes + 1, &self.clock),
            ..Plan::with(at, rate)
        };
        let plan = Arc::new(plan);
        self.note(&format!("{identity} starts"));
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
            deployment: "appkeys".into(),
            scope: Scope::Cluster,
            deletion_deadline: SignedDuration::from_hours(1),
            namespace_calls: NonZeroU32::new(10).unwrap(),
        };
        let (right, off) = (self.clock.clone(), self.clock_is_off);
        let clock = Clock::new(move || right.now() + off);
        let (entropy, dying) = (self.entropy.clone(), plan.dying.clone());
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
            scope: Scope::Cluster,
        };
        Arc::new(SimulatedDrivers {
            resident,
            servers: self.servers.clone(),
            plan,
        })
    }
}
