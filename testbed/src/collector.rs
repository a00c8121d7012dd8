//! The OpenTelemetry collector, with what tests need of it; built once from Go modules into the cache folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use tokio::{
    net::TcpStream,
    time::{Duration, Instant, sleep},
};

use crate::{
    binaries::go_command,
    process::{Server, free_ports},
};

/// The version that is built.
pub const VERSION: &str = "v0.165.0";

/// How long it may take until it listens.
const LIMIT: Duration = Duration::from_secs(30);

/// The collector's binary; builds it where it is missing (one to two minutes on two cores).
///
/// # Errors
/// Go is missing or the build fails.
pub fn installed() -> anyhow::Result<PathBuf> {
    go_command("collector", VERSION, ".", &["-ldflags", "-s -w"])
}

/// A collector that takes OTLP by HTTP and prints each span that it got.
#[derive(Debug)]
pub struct Collector {
    port: u16,
    server: Server,
}

impl Collector {
    /// Starts one, with its files in `folder`, and waits until it listens.
    ///
    /// # Errors
    /// It cannot be built or started; the text has its last lines.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let binary = installed()?;
        let [port] = free_ports()?;
        let config = folder.join("collector.yaml");
        fs::write(&config, configuration(port)).context("write the collector's configuration")?;
        let mut command = Command::new(binary);
        command.arg("--config").arg(&config);
        let mut server = Server::start(command, folder, "collector")?;
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            ensure!(
                server.is_running() && start.elapsed() < LIMIT,
                "the collector does not listen: {}",
                server.last_lines()
            );
            sleep(Duration::from_millis(50)).await;
        }
        Ok(Self { port, server })
    }

    /// Where it takes OTLP.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it printed so far.
    pub fn output(&self) -> String {
        self.server.output()
    }
}

fn configuration(port: u16) -> String {
    format!(
        "receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}
exporters: {{debug: {{verbosity: detailed}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}
"
    )
}
