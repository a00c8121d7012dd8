//! A way to a server on this machine that can be cut, as a network is: what is on it then neither arrives nor fails.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::AbortHandle,
};

/// A port that leads to another one; nothing leads there any more once it is dropped.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    cut: watch::Sender<bool>,
    task: AbortHandle,
}

impl Relay {
    /// A way to `port`.
    ///
    /// # Errors
    /// No port is free.
    pub async fn to(port: u16) -> anyhow::Result<Self> {
        Self::start(End::Port(port)).await
    }

    /// A way to a socket, which leads into a network that this process is not in.
    ///
    /// # Errors
    /// No port is free.
    pub async fn to_socket(path: &Path) -> anyhow::Result<Self> {
        Self::start(End::Socket(path.to_owned())).await
    }

    async fn start(end: End) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("find a free port")?;
        let own = listener.local_addr().context("find a free port")?.port();
        let (cut, is_cut) = watch::channel(false);
        let task = tokio::spawn(serve(listener, end, is_cut)).abort_handle();
        Ok(Self { port: own, cut, task })
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts it, or mends it: what was on it is lost then.
    pub fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where a way leads.
#[derive(Clone, Debug)]
enum End {
    Port(u16),
    Socket(PathBuf),
}

impl End {
    /// Passes a connection on until both sides have ended it.
    async fn pass(&self, from: &mut TcpStream) -> std::io::Result<()> {
        match self {
            Self::Port(port) => {
                let mut there = TcpStream::connect(("127.0.0.1", *port)).await?;
                copy_bidirectional(from, &mut there).await?;
            }
            Self::Socket(path) => {
                let mut there = UnixStream::connect(path).await?;
                copy_bidirectional(from, &mut there).await?;
            }
        }
        Ok(())
    }
}

async fn serve(listener: TcpListener, to: End, is_cut: watch::Receiver<bool>) {
    while let Ok((mut from, _)) = listener.accept().await {
        let (mut is_cut, to) = (is_cut.clone(), to.clone());
        tokio::spawn(async move {
            // Each wait ends in an error once the way is dropped.
            if is_cut.wait_for(|cut| !cut).await.is_err() {
                return;
            }
            tokio::select! {
                _ = to.pass(&mut from) => return,
                cut = is_cut.wait_for(|cut| *cut) => if cut.is_err() { return },
            }
            drop(is_cut.wait_for(|cut| !cut).await);
        });
    }
}
