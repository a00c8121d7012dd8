//! Wires the operator together: client, leadership, resident key managers, controllers, endpoints, shutdown.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, Config, ResourceExt as _, client::ClientBuilder};
use tokio::net::{TcpListener, lookup_host};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    admin::{self, Health},
    api,
    api_requests::CountRequests,
    clock::Clock,
    controller::{self, Settings},
    definitions,
    entropy::Entropy,
    guard::WriteGuard,
    key_manager::{
        open::{KeyManagers, RemoteKeyManagers},
        resident::{
            ResidentKeyManagers, http::Issuers, revocations::Revocations, server, server::CurrentCertificate,
            store::RecordStore,
        },
    },
    leader::{self, LeaderConfig, Leadership},
    metrics::Metrics,
    scope::Scope,
    telemetry::LogFilter,
};

/// How `appkeys run` is to run.
#[derive(Clone, Debug)]
pub struct OperatorConfig {
    /// The id of this cluster; absent: the uid of namespace kube-system.
    pub cluster_id: Option<String>,
    /// The operator's own namespace.
    pub namespace: String,
    /// The operator's own Deployment there.
    pub deployment: String,
    /// Which namespaces it looks after.
    pub scope: Scope,
    /// Who this process is.
    pub identity: String,
    /// Where the resident key manager listens.
    pub resident_address: SocketAddr,
    /// Where workloads reach the resident key manager.
    pub resident_url: Url,
    /// Where `/livez`, `/readyz` and `/metrics` listen.
    pub admin_address: SocketAddr,
    /// How long a leader's claim lasts without renewal.
    pub lease_duration: Duration,
    /// How long a key's deletion may wait for a key manager.
    pub deletion_deadline: api::Duration,
    /// Calls a second that a namespace may have made at all its own key managers.
    pub namespace_calls: NonZeroU32,
    /// Whether key managers may be on this machine and speak plain HTTP.
    pub allow_local_key_managers: bool,
    /// Whether custom resource definitions that are older than this program are brought up to date.
    pub update_crds: bool,
}

/// Runs until `shutdown`.
///
/// # Errors
/// What stands against a start, with the mend.
pub async fn run(
    kube: Config,
    config: OperatorConfig,
    log: LogFilter,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let leadership = Leadership::default();
    let metrics = Arc::new(Metrics::default());
    let server = kube.cluster_url.to_string();
    let kube_host = kube.cluster_url.host().unwrap_or_default().to_owned();
    let plain = client(kube.clone(), &metrics, None)?;
    let guarded = client(kube, &metrics, Some(WriteGuard(leadership.clone())))?;
    let clock = Clock::system();
    let entropy = Entropy::system();
    let cluster_id = match &config.cluster_id {
        Some(id) => id.clone(),
        None => uid_of_kube_system(&plain, &server).await?,
    };
    let resident = TcpListener::bind(config.resident_address)
        .await
        .with_context(|| format!("listen on {} (--resident-address)", config.resident_address))?;
    let admin = TcpListener::bind(config.admin_address)
        .await
        .with_context(|| format!("listen on {} (--admin-address)", config.admin_address))?;
    let resident_key_managers = Arc::new(resident_key_managers(
        &config, &metrics, &plain, &guarded, &clock, &entropy,
    ));
    let own_addresses = addresses(&[&kube_host, config.resident_url.host_str().unwrap_or_default()]).await;
    let drivers = Arc::new(KeyManagers {
        resident: resident_key_managers.clone(),
        remote: RemoteKeyManagers {
            client: plain.clone(),
            namespace: config.namespace.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            local_allowed: config.allow_local_key_managers,
            held: std::sync::Mutex::default(),
            rejected: std::sync::Mutex::default(),
            own_addresses,
        },
    });
    let lead_until = CancellationToken::new();
    let lease = LeaderConfig::of(&config.namespace, &config.identity, config.lease_duration);
    let leader = tokio::spawn(leader::run(
        plain.clone(),
        lease,
        clock.clone(),
        leadership.clone(),
        lead_until.clone(),
    ));
    let shared = admin::Shared {
        health: health(resident_key_managers.store.clone(), leadership.clone()),
        metrics: metrics.clone(),
        log,
    };
    let admin = tokio::spawn(admin::serve(admin, shared, shutdown.clone()));
    let (issuers, certificate) = (
        resident_key_managers.issuers.clone(),
        resident_key_managers.certificate.clone(),
    );
    let server = tokio::spawn(server::serve(resident, issuers, certificate, shutdown.clone()));
    let serving = {
        let resident = resident_key_managers.clone();
        tokio::spawn(async move { futures::join!(resident.store.run(), resident.revocations.run(), resident.follow()) })
    };
    let settings = Settings {
        cluster_id,
        operator_namespace: config.namespace.clone(),
        deployment: config.deployment.clone(),
        scope: config.scope.clone(),
        deletion_deadline: config.deletion_deadline.into(),
        namespace_calls: config.namespace_calls,
    };
    tracing::info!(cluster_id = settings.cluster_id, identity = config.identity, "started");
    let parts = controller::Parts {
        client: guarded,
        settings,
        clock,
        entropy,
        drivers,
        leadership: leadership.clone(),
        metrics: metrics.clone(),
    };
    let outdated = config.update_crds.then(|| parts.client.clone());
    let work = async || {
        if let Some(client) = &outdated {
            definitions::update(client).await;
        }
        let context = Arc::new(controller::Context::new(parts.clone()));
        Box::pin(controller::run(context, shutdown.clone())).await;
    };
    let leading = lead(&plain, &leadership, &metrics, work, &shutdown);
    Box::pin(leading).await;
    tracing::info!("stopping");
    lead_until.cancel();
    leader.await.context("stop leading")?;
    serving.abort();
    drop(admin.await);
    server.await.context("stop the resident key manager's server")??;
    Ok(())
}

/// What all resident key managers of this process share.
fn resident_key_managers(
    config: &OperatorConfig,
    metrics: &Metrics,
    plain: &Client,
    guarded: &Client,
    clock: &Clock,
    entropy: &Entropy,
) -> ResidentKeyManagers {
    ResidentKeyManagers {
        store: Arc::new(RecordStore::new(guarded.clone(), &config.namespace)),
        revocations: Arc::new(Revocations::new(
            plain.clone(),
            guarded.clone(),
            &config.namespace,
            clock.clone(),
            entropy.clone(),
        )),
        issuers: Issuers::new(metrics.resident.clone()),
        certificate: CurrentCertificate::default(),
        service_url: config.resident_url.clone(),
        names: vec!["localhost".to_owned()],
        clock: clock.clone(),
        entropy: entropy.clone(),
        client: guarded.clone(),
        namespace: config.namespace.clone(),
        scope: config.scope.clone(),
    }
}

/// The addresses of these hosts, as far as they can be found.
async fn addresses(hosts: &[&str]) -> Vec<IpAddr> {
    let mut found = vec![];
    for host in hosts {
        let host = host.trim_matches(['[', ']']);
        match lookup_host((host, 0)).await {
            Ok(addresses) => found.extend(addresses.map(|address| address.ip())),
            Err(error) => tracing::debug!(host, %error, "no address"),
        }
    }
    found
}

/// Ready is what can serve: tokens are issued without leading.
fn health(store: Arc<RecordStore>, leadership: Leadership) -> admin::Look {
    Arc::new(move || {
        if !store.is_synced() {
            Health::Starting("client records are not read yet")
        } else if store.is_stale() {
            Health::Broken("the watch of client records has been interrupted for too long")
        } else if leadership.claim().is_some() {
            Health::Leading
        } else {
            Health::Standby
        }
    })
}

/// Works while this process leads, again and again, until `shutdown`.
async fn lead(
    client: &Client,
    leadership: &Leadership,
    metrics: &Metrics,
    work: impl AsyncFn(),
    shutdown: &CancellationToken,
) {
    while !shutdown.is_cancelled() {
        let begin = async {
            definitions::served(client).await;
            let claim = leadership.acquired().await;
            metrics.leader.set(1);
            tracing::info!(epoch = claim.epoch, "leading");
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = begin => {}
        }
        tokio::select! {
            biased;
            () = work() => {}
            () = leadership.lost() => tracing::warn!("not leading any more"),
        }
        metrics.leader.set(0);
    }
}

/// A client whose requests are counted, and whose writes wait for leadership where there is a guard.
///
/// # Errors
/// The configuration cannot be used.
pub(crate) fn client(config: Config, metrics: &Arc<Metrics>, guard: Option<WriteGuard>) -> anyhow::Result<Client> {
    // The work queue tries again; a retry below it would hide a call from the lease and from the counts.
    let mut config = config;
    config.default_retry = false;
    let builder = ClientBuilder::try_from(config).context("build the Kubernetes client")?;
    let builder = builder.with_layer(&CountRequests(metrics.clone()));
    Ok(match guard {
        Some(guard) => builder.with_layer(&guard).build(),
        None => builder.build(),
    })
}

async fn uid_of_kube_system(client: &Client, server: &str) -> anyhow::Result<String> {
    let namespace = match Api::<Namespace>::all(client.clone()).get("kube-system").await {
        Ok(namespace) => namespace,
        Err(kube::Error::Api(status)) => bail!(
            "the API server {server} does not let this process read namespace kube-system, whose uid is the cluster's id: {} ({}); allow it, or give --cluster-id",
            status.message,
            status.code
        ),
        Err(error) => bail!(
            "the API server {server} does not answer: {}; see that it runs and that KUBECONFIG names the right cluster",
            anyhow::Error::from(error).root_cause()
        ),
    };
    namespace
        .uid()
        .context("namespace kube-system has no uid: give --cluster-id")
}
