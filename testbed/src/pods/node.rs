//! The first process inside: it makes the network and the mounts that the servers need, starts them, and leads whoever comes by
//! the socket to the API server. Everything ends with it.

use std::{
    ffi::OsString,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use tokio::{
    io::copy_bidirectional,
    net::{TcpStream, UnixListener},
    time::{Instant, sleep},
};

use super::{
    ENDED, SOCKET,
    configuration::{ADDRESS, NODE, PODS, PORT, SERVICES, SHOWN_SETTINGS},
    images::NAMESPACE,
    run,
};
use crate::process::Server;

/// How long a server may take to do what others wait for.
const START_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Runs the cluster of a folder until standard input is closed.
///
/// # Errors
/// A server cannot be started, or has ended.
pub async fn node(arguments: &[OsString]) -> anyhow::Result<()> {
    let [folder, binaries, images @ ..] = arguments else {
        bail!("name a folder, the folder of the binaries, and images with their archives");
    };
    let folder = PathBuf::from(folder);
    let ended = live(&folder, Path::new(binaries), images).await;
    if let Err(why) = &ended {
        fs::write(folder.join(ENDED), format!("{why:#}")).context("say why it ended")?;
    }
    ended
}

async fn live(folder: &Path, binaries: &Path, images: &[OsString]) -> anyhow::Result<()> {
    let closed = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut vec![]));
    network().context("make the network")?;
    mounts(folder).context("make the mounts")?;
    let listener = UnixListener::bind(folder.join(SOCKET)).context("listen at the socket")?;
    tokio::spawn(lead(listener));
    let mut servers = vec![store(folder)?];
    let (images, command) = images.as_chunks::<2>();
    ensure!(command.is_empty(), "an image without an archive");
    import(folder, images, &mut servers[0]).await?;
    servers.extend(control_plane(folder, binaries)?);
    // Its certificate, which it makes, is read by the others when they start.
    let start = Instant::now();
    while !folder.join("certs/apiserver.crt").exists() {
        look(&mut servers)?;
        ensure!(start.elapsed() < START_LIMIT, "the API server makes no certificate");
        sleep(POLL).await;
    }
    servers.extend(others(folder, binaries)?);
    let mut closed = std::pin::pin!(closed);
    loop {
        tokio::select! {
            _ = &mut closed => return Ok(()),
            () = sleep(POLL) => {}
        }
        look(&mut servers)?;
    }
}

/// All run: those that need another one wait for it by themselves.
fn look(servers: &mut [Server]) -> anyhow::Result<()> {
    let ended = servers
        .iter_mut()
        .find_map(|server| (!server.is_running()).then(|| server.last_lines()));
    ended.map_or(Ok(()), |lines| bail!("a server has ended: {lines}"))
}

fn network() -> anyhow::Result<()> {
    let address = format!("{ADDRESS}/24");
    for words in [
        &["link", "set", "lo", "up"][..],
        &["link", "add", "node0", "type", "bridge"],
        &["address", "add", &address, "dev", "node0"],
        &["link", "set", "node0", "up"],
        // It leads nowhere; without one what is sent to a Service is refused before its rules are asked.
        &["route", "add", "default", "dev", "node0"],
    ] {
        run(Command::new("ip").args(words))?;
    }
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("forward between Pods")?;
    fs::write("/proc/sys/kernel/hostname", NODE).context("name the node")
}

fn mounts(folder: &Path) -> anyhow::Result<()> {
    // What is mounted into Pods must be seen by containerd and kubelet alike.
    run(Command::new("mount").args(["--make-rshared", "/"]))?;
    // Their states are not the machine's.
    for path in ["/run", "/var/lib", "/var/log"] {
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "tmpfs", path]))?;
    }
    fs::create_dir("/run/lock").context("make /run/lock")?;
    for (name, _) in SHOWN_SETTINGS {
        let shown = folder.join("shown").join(name.replace('/', "_"));
        run(Command::new("mount")
            .arg("--bind")
            .arg(shown)
            .arg(Path::new("/proc/sys").join(name)))?;
    }
    // Cgroups as they are seen from ours, which are the root here.
    run(Command::new("umount").args(["--recursive", "/sys/fs/cgroup"]))?;
    run(Command::new("mount").args(["-t", "sysfs", "-o", "ro", "sysfs", "/sys"]))?;
    run(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "tmpfs", "/sys/fs/cgroup"]))?;
    let groups = fs::read_to_string(folder.join("cgroups")).context("read the cgroups")?;
    for (hierarchy, option) in groups.lines().filter_map(|line| line.split_once(' ')) {
        let path = Path::new("/sys/fs/cgroup").join(hierarchy);
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        run(Command::new("mount")
            .args(["-t", "cgroup", "-o", option, "cgroup"])
            .arg(path))?;
    }
    Ok(())
}

fn store(folder: &Path) -> anyhow::Result<Server> {
    let mut command = Command::new("containerd");
    command.arg("--config").arg(folder.join("containerd.toml"));
    Server::start(command, &folder.join("log"), "containerd")
}

fn ctr(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(folder.join("containerd.sock"));
    command.args(["--namespace", "k8s.io"]).args(words);
    command
}

async fn import(folder: &Path, images: &[[OsString; 2]], store: &mut Server) -> anyhow::Result<()> {
    let start = Instant::now();
    while run(&mut ctr(folder, &["version"])).is_err() {
        if !store.is_running() || start.elapsed() > START_LIMIT {
            bail!("containerd does not answer: {}", store.last_lines());
        }
        sleep(POLL).await;
    }
    for [name, archive] in images {
        // An archive of one image may call it by its tag alone.
        let name = name.to_string_lossy();
        let repository = name.rsplit_once(':').map_or(&*name, |(repository, _)| repository);
        let base = format!("{NAMESPACE}{repository}");
        run(ctr(folder, &["images", "import", "--base-name", &base]).arg(archive))?;
    }
    Ok(())
}

/// A program of Kubernetes, and how it is started.
struct Program<'a> {
    folder: &'a Path,
    binaries: &'a Path,
}

impl Program<'_> {
    /// Starts it with flags whose values are files of the folder, and with others.
    fn start(&self, name: &str, files: &[(&str, &str)], others: &[&str]) -> anyhow::Result<Server> {
        let mut command = Command::new(self.binaries.join(name));
        for (flag, file) in files {
            command.arg(format!("--{flag}={}", self.folder.join(file).display()));
        }
        command.args(others);
        Server::start(command, &self.folder.join("log"), name)
    }
}

fn control_plane(folder: &Path, binaries: &Path) -> anyhow::Result<Vec<Server>> {
    let program = Program { folder, binaries };
    let files = [
        ("cert-dir", "certs"),
        ("token-auth-file", "tokens.csv"),
        ("service-account-key-file", "sa.pub"),
        ("service-account-signing-key-file", "sa.key"),
        ("kubelet-client-certificate", "kubelet-client.crt"),
        ("kubelet-client-key", "kubelet-client.key"),
    ];
    let others = [
        "--etcd-servers=http://127.0.0.1:2379",
        "--bind-address=0.0.0.0",
        &format!("--secure-port={PORT}"),
        &format!("--advertise-address={ADDRESS}"),
        &format!("--service-cluster-ip-range={SERVICES}"),
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--kubelet-preferred-address-types=InternalIP",
    ];
    Ok(vec![
        program.start("etcd", &[("data-dir", "etcd")], &["--unsafe-no-fsync"])?,
        program.start("kube-apiserver", &files, &others)?,
    ])
}

fn others(folder: &Path, binaries: &Path) -> anyhow::Result<Vec<Server>> {
    let program = Program { folder, binaries };
    let manager = [
        ("kubeconfig", "controller-manager.conf"),
        ("service-account-private-key-file", "sa.key"),
        ("root-ca-file", "certs/apiserver.crt"),
    ];
    let kubelet = [
        ("config", "kubelet.yaml"),
        ("kubeconfig", "kubelet.conf"),
        ("root-dir", "kubelet"),
    ];
    let name = format!("--hostname-override={NODE}");
    let proxy = [
        &name,
        &format!("--cluster-cidr={PODS}"),
        "--proxy-mode=iptables",
        // Limits of the whole machine: left as they are.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
    ];
    let alone = "--leader-elect=false";
    Ok(vec![
        program.start(
            "kube-controller-manager",
            &manager,
            &[alone, "--use-service-account-credentials"],
        )?,
        program.start("kube-scheduler", &[("kubeconfig", "scheduler.conf")], &[alone])?,
        program.start("kubelet", &kubelet, &[&name, &format!("--node-ip={ADDRESS}")])?,
        program.start("kube-proxy", &[("kubeconfig", "proxy.conf")], &proxy)?,
    ])
}

/// Leads each connection of the socket to the API server.
async fn lead(listener: UnixListener) {
    while let Ok((mut from, _)) = listener.accept().await {
        tokio::spawn(async move {
            if let Ok(mut to) = TcpStream::connect((ADDRESS, PORT)).await {
                drop(copy_bidirectional(&mut from, &mut to).await);
            }
        });
    }
}
