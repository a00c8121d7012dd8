//! A server as a child process: its output in a file, killed when it is dropped.

use std::{
    fs::File,
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, bail};
use tokio::time::{Duration, Instant, sleep};

/// How long a server may take to end when it is asked to.
const END_LIMIT: Duration = Duration::from_mins(2);

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is asked to, and finishes what it is at (SIGTERM).
    Orderly,
    /// In the middle of everything (SIGKILL).
    Crash,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `command`; its output goes to `NAME.log` in `folder`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(mut command: Command, folder: &Path, name: &str) -> anyhow::Result<Self> {
        command.stdin(Stdio::null());
        Self::spawn(command, folder, name)
    }

    /// Starts one that is told to end by the end of its input, which comes when this process ends, however it does. Signals of
    /// a terminal do not reach it.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with_sign(mut command: Command, folder: &Path, name: &str) -> anyhow::Result<(Self, ChildStdin)> {
        command.stdin(Stdio::piped()).process_group(0);
        let mut server = Self::spawn(command, folder, name)?;
        let sign = server.child.stdin.take().context("a server without input")?;
        Ok((server, sign))
    }

    fn spawn(mut command: Command, folder: &Path, name: &str) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("make {}", log.display()))?;
        let child = command
            .stdout(file.try_clone().context("share the log")?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(Self { child, log })
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it ended; `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The last lines of its output.
    pub fn last_lines(&self) -> String {
        let text = std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(15).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// All of its output.
    pub fn output(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal by name, `TERM` for instance.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status()
            .context("run kill")?;
        anyhow::ensure!(status.success(), "kill -{name} {}", self.pid());
        Ok(())
    }

    /// Ends it, and waits until it has ended.
    ///
    /// # Errors
    /// It was asked to end and did not; the text has its last lines.
    pub async fn end(&mut self, how: End) -> anyhow::Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        self.signal(match how {
            End::Orderly => "TERM",
            End::Crash => "KILL",
        })?;
        let start = Instant::now();
        while self.is_running() {
            if start.elapsed() > END_LIMIT {
                bail!(
                    "a server did not end in {} s: {}",
                    END_LIMIT.as_secs(),
                    self.last_lines()
                );
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// Waiting failed.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        self.child.wait().context("wait for a server")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Free loopback ports, all different.
///
/// # Errors
/// None are free.
pub fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let mut listeners = vec![];
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
        *port = listener.local_addr().context("find a free port")?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

/// Free loopback ports, all different, that stay free while their server is away: below the range from which outgoing
/// connections take theirs.
///
/// # Errors
/// None are free.
pub fn steady_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let mut listeners: Vec<TcpListener> = vec![];
    for _ in 0..1000 {
        let [first, second, ..] = *uuid::Uuid::new_v4().as_bytes();
        let port = 16_384 + u16::from_be_bytes([first, second]) % 16_000;
        // One that was chosen already is taken by its listener.
        listeners.extend(TcpListener::bind(("127.0.0.1", port)));
        if listeners.len() == N {
            let mut ports = [0; N];
            for (port, listener) in ports.iter_mut().zip(&listeners) {
                *port = listener.local_addr().context("find a free port")?.port();
            }
            return Ok(ports);
        }
    }
    bail!("no free port between 16384 and 32383")
}
