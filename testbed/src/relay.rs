//! A way to a server on this machine that can be cut, as a network is: what is on it then neither arrives nor fails.

use anyhow::Context as _;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
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
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("find a free port")?;
        let own = listener.local_addr().context("find a free port")?.port();
        let (cut, is_cut) = watch::channel(false);
        let task = tokio::spawn(serve(listener, port, is_cut)).abort_handle();
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

async fn serve(listener: TcpListener, to: u16, is_cut: watch::Receiver<bool>) {
    while let Ok((mut from, _)) = listener.accept().await {
        let mut is_cut = is_cut.clone();
        tokio::spawn(async move {
            // Each wait ends in an error once the way is dropped.
            if is_cut.wait_for(|cut| !cut).await.is_err() {
                return;
            }
            let Ok(mut there) = TcpStream::connect(("127.0.0.1", to)).await else {
                return;
            };
            tokio::select! {
                _ = copy_bidirectional(&mut from, &mut there) => return,
                cut = is_cut.wait_for(|cut| *cut) => if cut.is_err() { return },
            }
            drop(is_cut.wait_for(|cut| !cut).await);
        });
    }
}
