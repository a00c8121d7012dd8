//! The command line: `run`, `crds` and `release`; raw flags become settings once, here.

use std::{
    io::{IsTerminal as _, Write as _},
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use kube::ResourceExt as _;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    api,
    entropy::Entropy,
    operator::{self, OperatorConfig},
    release::{self, ReleaseConfig},
    scope::Scope,
    telemetry::{self, LogFormat, Traces},
};

const EXAMPLES: &str = "\
Install the custom resources, then run the operator against the current kubeconfig:

  appkeys crds | kubectl apply --server-side -f -
  kubectl create namespace appkeys
  appkeys run --resident-url=https://localhost:8443

Then apply an Application and an ApplicationKey: `kubectl explain akey.spec` says what can be asked for.";

const VARIABLES: &str = "\
Further environment variables:
  HTTPS_PROXY, NO_PROXY        The proxy to key managers, and what is called without it
  OTEL_EXPORTER_OTLP_ENDPOINT  Where traces go: an OpenTelemetry collector that takes OTLP by HTTP, as http://collector:4318.
                               Without it, or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, there are none. OTEL_SERVICE_NAME,
                               OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS, OTEL_BSP_* and so on mean what OpenTelemetry
                               says of them.";

/// Keeps application credentials in Kubernetes Secrets good.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator until it is told to stop (SIGTERM or Ctrl-C). It finds its cluster by KUBECONFIG, or is inside one.
    #[command(after_help = VARIABLES)]
    Run(Box<RunArgs>),
    /// Print the custom resource definitions as YAML, or write them into a folder.
    Crds {
        /// Write one file for each kind into this folder instead of printing all.
        #[arg(long, value_name = "FOLDER")]
        write: Option<PathBuf>,
    },
    /// Before an uninstallation: stop the operator and take its finalizers away, so that nothing waits for it. Clients and
    /// Secrets stay, and a new installation goes on with them.
    Release(ReleaseArgs),
}

/// Flags that tell which operator it is.
#[derive(Debug, Args)]
pub struct OperatorArgs {
    /// The operator's own namespace, where its records and keys are.
    #[arg(long, env = "APPKEYS_NAMESPACE", default_value = "appkeys")]
    namespace: String,
    /// The operator's own Deployment in it, which events are about that have no other place.
    #[arg(long, env = "APPKEYS_DEPLOYMENT", default_value = "appkeys")]
    deployment: String,
    /// Limited mode: these namespaces only, with permissions in them alone. `appkeys run` then needs --cluster-id, and there are no ClusterKeyManagers, save the one of its --resident-file.
    #[arg(
        long,
        env = "APPKEYS_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMESPACE,..."
    )]
    namespaces: Vec<String>,
    /// How long a leader's claim lasts without renewal, in seconds.
    #[arg(long, env = "APPKEYS_LEASE_SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(5..=600))]
    lease_seconds: u64,
}

/// Flags of `appkeys release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    #[command(flatten)]
    operator: OperatorArgs,
    /// How long the operator may take to stop.
    #[arg(long, env = "APPKEYS_PATIENCE", default_value = "3m")]
    patience: api::Duration,
}

/// Flags of `appkeys run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Id of this cluster, part of every client's identity. Default: the uid of namespace kube-system. Give the old cluster's id to take its clients over.
    #[arg(long, env = "APPKEYS_CLUSTER_ID")]
    cluster_id: Option<String>,
    #[command(flatten)]
    operator: OperatorArgs,
    /// In limited mode: the spec of a resident key manager (YAML), which keys name `{kind: ClusterKeyManager, name: resident}` and which is their default.
    #[arg(long, env = "APPKEYS_RESIDENT_FILE", value_name = "FILE")]
    resident_file: Option<PathBuf>,
    /// Name of this process in the Lease. Default: the host's name.
    #[arg(long, env = "APPKEYS_IDENTITY")]
    identity: Option<String>,
    /// Where the resident key manager listens (TLS).
    #[arg(long, env = "APPKEYS_RESIDENT_ADDRESS", default_value = "0.0.0.0:8443")]
    resident_address: SocketAddr,
    /// Where workloads reach the resident key manager. Default: the Service `appkeys` of the operator's namespace.
    #[arg(long, env = "APPKEYS_RESIDENT_URL")]
    resident_url: Option<Url>,
    /// Where /livez, /readyz and /metrics listen, and /log on which a person of this host or Pod changes what is logged.
    #[arg(long, env = "APPKEYS_ADMIN_ADDRESS", default_value = "0.0.0.0:8080")]
    admin_address: SocketAddr,
    /// How long the deletion of a key may wait for its key manager, as `1h` or `30m`. Then the key goes, and its client is deleted when the key manager answers again.
    #[arg(long, env = "APPKEYS_DELETION_DEADLINE", default_value = "1h")]
    deletion_deadline: api::Duration,
    /// Calls a second that the operator makes for one namespace at all the KeyManagers in it together. Those of the cluster have `spec.limits` of their own.
    #[arg(long, env = "APPKEYS_NAMESPACE_REQUESTS_PER_SECOND", default_value = "10")]
    namespace_requests_per_second: NonZeroU32,
    /// For development: key managers may be on this machine and speak plain HTTP.
    #[arg(long, env = "APPKEYS_ALLOW_LOCAL_KEY_MANAGERS")]
    allow_local_key_managers: bool,
    /// Bring custom resource definitions that are older than this program up to date when it begins to lead.
    #[arg(long, env = "APPKEYS_UPDATE_CRDS")]
    update_crds: bool,
    /// What to log, for example `info` or `appkeys=debug`.
    #[arg(long, env = "APPKEYS_LOG", default_value = "info")]
    log: String,
    /// How logs look. Default: text on a terminal, else json.
    #[arg(long, env = "APPKEYS_LOG_FORMAT")]
    log_format: Option<LogFormat>,
}

/// Does what the command line asks for.
pub fn main(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Run(args) => run(*args),
        Command::Crds { write } => crds(write.as_deref()),
        Command::Release(args) => release(&args),
    }
}

fn run(args: RunArgs) -> anyhow::Result<()> {
    let format = args.log_format.unwrap_or(if std::io::stderr().is_terminal() {
        LogFormat::Text
    } else {
        LogFormat::Json
    });
    provider()?;
    let runtime = runtime()?;
    let traces = Traces::from_environment(runtime.handle()).context("set up traces")?;
    let (subscriber, log) =
        telemetry::subscriber(&args.log, format, std::io::stderr, traces.as_ref()).context("read --log")?;
    tracing::subscriber::set_global_default(subscriber).context("set up logs")?;
    let scope = Scope::of(&args.operator.namespaces, args.resident_file.as_deref())?;
    // A variable that is there and empty is as if it were not there.
    let cluster_id = args.cluster_id.filter(|id| !id.is_empty());
    if scope.limited().is_some() && cluster_id.is_none() {
        bail!("--namespaces needs --cluster-id: namespace kube-system, whose uid it would be, is not one of them");
    }
    if scope.limited().is_some() && args.update_crds {
        bail!("--update-crds is not for limited mode (--namespaces), which changes nothing of the cluster");
    }
    let service = format!("https://appkeys.{}.svc:8443", args.operator.namespace);
    let config = OperatorConfig {
        resident_url: args
            .resident_url
            .map_or_else(|| Url::parse(&service), Ok)
            .context("read --namespace")?,
        cluster_id,
        scope,
        deployment: args.operator.deployment,
        identity: args.identity.filter(|name| !name.is_empty()).unwrap_or_else(identity),
        namespace: args.operator.namespace,
        resident_address: args.resident_address,
        admin_address: args.admin_address,
        lease_duration: Duration::from_secs(args.operator.lease_seconds),
        deletion_deadline: args.deletion_deadline,
        namespace_calls: args.namespace_requests_per_second,
        allow_local_key_managers: args.allow_local_key_managers,
        update_crds: args.update_crds,
    };
    runtime.block_on(async {
        let kube = cluster().await?;
        let shutdown = CancellationToken::new();
        tokio::spawn(stop_on_signal(shutdown.clone()));
        let ran = Box::pin(operator::run(kube, config, log, shutdown)).await;
        if let Some(traces) = traces {
            traces.flush().await;
        }
        ran
    })
}

fn release(args: &ReleaseArgs) -> anyhow::Result<()> {
    let (subscriber, _) =
        telemetry::subscriber("info", LogFormat::Text, std::io::stderr, None).context("set up logs")?;
    tracing::subscriber::set_global_default(subscriber).context("set up logs")?;
    provider()?;
    let config = ReleaseConfig {
        namespace: args.operator.namespace.clone(),
        deployment: args.operator.deployment.clone(),
        identity: identity(),
        scope: Scope::of(&args.operator.namespaces, None)?,
        lease_duration: Duration::from_secs(args.operator.lease_seconds),
        patience: args.patience.0.try_into().context("read --patience")?,
    };
    runtime()?.block_on(async { Box::pin(release::run(cluster().await?, config)).await })
}

fn provider() -> anyhow::Result<()> {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        bail!("another crypto provider is installed already");
    }
    Ok(())
}

fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")
}

async fn cluster() -> anyhow::Result<kube::Config> {
    kube::Config::infer()
        .await
        .context("no cluster was found: set KUBECONFIG to a kubeconfig file, or run inside a cluster")
}

/// The host's name and a random part: two processes on one host differ.
fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "appkeys".to_owned());
    let random = Entropy::system()
        .attempt_id()
        .unwrap_or_else(|_| std::process::id().to_string());
    format!("{host}-{random}")
}

/// The first signal stops in order, the second at once.
async fn stop_on_signal(shutdown: CancellationToken) {
    for stop in [false, true] {
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            return;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        shutdown.cancel();
        if stop {
            #[expect(clippy::exit, reason = "the second signal asks not to wait")]
            std::process::exit(130);
        }
    }
}

fn crds(folder: Option<&Path>) -> anyhow::Result<()> {
    for crd in api::all_crds() {
        let yaml = serde_saphyr::to_string(&crd).context("print a definition as YAML")?;
        match folder {
            Some(folder) => {
                let file = folder.join(format!("{}.yaml", crd.name_any()));
                std::fs::create_dir_all(folder)
                    .and_then(|()| std::fs::write(&file, yaml))
                    .with_context(|| format!("write {}", file.display()))?;
            }
            None => write!(std::io::stdout(), "---\n{yaml}").context("print")?,
        }
    }
    Ok(())
}
