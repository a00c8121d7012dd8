//! The program of the image in a root with nothing else in it, with what the chart gives a Pod: how soon a fresh
//! installation is ready, and what memory it takes.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use axum::Router;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{USER, architecture, folder, layout::Image};
use crate::{
    control_plane::ControlPlane, helm::Helm, key_managers::tls_server::TlsServer, operator::Ports, process::Server,
};

/// Where a Pod finds what its ServiceAccount is known by.
const ACCOUNT: &str = "var/run/secrets/kubernetes.io/serviceaccount";
/// The longest that anything here may take.
const LIMIT: Duration = Duration::from_mins(1);
/// How long the installation is left alone before its memory is looked at.
const REST: Duration = Duration::from_secs(15);

/// Installs the chart in a control plane of its own and runs its Pod's command in an empty root. Prints what was measured.
///
/// # Errors
/// There is no image, this is not root, or the program does not work there.
pub async fn run_alone() -> anyhow::Result<()> {
    let archive = folder().join(format!("appkeys-{}.tar", architecture()));
    ensure!(
        archive.exists(),
        "{} is missing: `make image` builds it",
        archive.display()
    );
    let owner = fs::metadata("/proc/self").context("find out who this is")?.uid();
    ensure!(owner == 0, "only root can give a program a root of its own");
    let root = Image::read(&archive)?.unpacked()?;
    // The user of the image goes through it.
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).context("open the root")?;

    let plane = ControlPlane::start().await?;
    let install = [
        "install",
        "appkeys",
        "charts/appkeys",
        "--namespace",
        "appkeys",
        "--create-namespace",
    ];
    Helm::of(&plane)?.run(&install)?;
    let output = tempfile::tempdir().context("make a folder")?;
    let (mut operator, ports, begin) = start(&plane, root.path(), output.path())?;
    let url = format!("http://127.0.0.1:{}/readyz", ports.admin);
    until("the program to be ready", &operator, async || {
        reqwest::get(&url)
            .await
            .is_ok_and(|answer| answer.status().is_success())
    })
    .await?;
    println!("start to ready: {} ms", begin.elapsed().as_millis());
    until("the key manager to be ready", &operator, async || {
        condition(&plane, "resident").is_ok_and(|condition| condition["status"] == "True")
    })
    .await?;
    sleep(REST).await;
    for (what, name) in [("idle memory", "VmRSS"), ("most memory so far", "VmHWM")] {
        println!("{what}: {}", memory(operator.pid(), name)?);
    }

    // There is no file with public CAs: those in the program are asked, and do not know this server's.
    let mut server = TlsServer::new()?;
    server.start(Router::new()).await?;
    let manager = json!({
        "apiVersion": "appkeys.dev/v1alpha1", "kind": "ClusterKeyManager", "metadata": {"name": "elsewhere"},
        "spec": {"oidc": {"issuer": server.url()}},
    });
    let file = tempfile::NamedTempFile::with_suffix(".json").context("make a file")?;
    fs::write(file.path(), manager.to_string()).context("write a key manager")?;
    plane.kubectl(&["apply", "-f", &file.path().to_string_lossy()])?;
    until("public CAs to be asked", &operator, async || {
        condition(&plane, "elsewhere")
            .is_ok_and(|condition| condition["message"].to_string().contains("is not trusted"))
    })
    .await?;
    println!("public CAs: those in the program");

    operator.signal("TERM")?;
    let ended = operator.wait()?;
    ensure!(ended.success(), "the program failed: {}", operator.last_lines());
    Ok(())
}

/// Starts what the chart's Deployment would run, as its user.
fn start(plane: &ControlPlane, root: &Path, output: &Path) -> anyhow::Result<(Server, Ports, Instant)> {
    let deployment = plane.kubectl(&["-n", "appkeys", "get", "deployment", "appkeys", "-o=json"])?;
    let deployment: Value = serde_json::from_str(&deployment).context("read the Deployment")?;
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];

    let account = root.join(ACCOUNT);
    fs::create_dir_all(&account).context("make the account's folder")?;
    let token = plane.kubectl(&["-n", "appkeys", "create", "token", "appkeys"])?;
    for (name, text) in [
        ("token", token.trim()),
        ("ca.crt", &plane.ca()?),
        ("namespace", "appkeys"),
    ] {
        fs::write(account.join(name), text).context("write what the account is known by")?;
    }

    let ports = Ports::free()?;
    let mut command = Command::new("chroot");
    command.arg(format!("--userspec={USER}")).arg(root).arg("/appkeys");
    command.args(texts(&container["args"], |argument| argument));
    command.arg(format!("--resident-address=127.0.0.1:{}", ports.resident));
    command.arg(format!("--admin-address=127.0.0.1:{}", ports.admin));
    // chroot itself is found by its path, and the program needs none.
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let names = texts(&container["env"], |variable| &variable["name"]);
    command.envs(
        names
            .into_iter()
            .zip(texts(&container["env"], |variable| &variable["value"])),
    );
    command.env("KUBERNETES_SERVICE_HOST", "127.0.0.1");
    command.env("KUBERNETES_SERVICE_PORT", plane.port().to_string());
    let begin = Instant::now();
    Ok((Server::start(command, output, "operator")?, ports, begin))
}

/// The texts in a list, empty where there is none.
fn texts(list: &Value, of: impl Fn(&Value) -> &Value) -> Vec<String> {
    let all = list.as_array().into_iter().flatten();
    all.map(|entry| of(entry).as_str().unwrap_or_default().to_owned())
        .collect()
}

/// The condition `Ready` of a key manager.
fn condition(plane: &ControlPlane, name: &str) -> anyhow::Result<Value> {
    let manager = plane.kubectl(&["get", "clusterkeymanager", name, "-o=json"])?;
    let manager: Value = serde_json::from_str(&manager).context("read the key manager")?;
    let conditions = manager["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready");
    ready.cloned().context("no condition yet")
}

fn memory(pid: u32, name: &str) -> anyhow::Result<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read a process's status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.context("a process without memory")?.trim().to_owned())
}

async fn until(what: &str, operator: &Server, mut good: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    let begin = Instant::now();
    while !good().await {
        ensure!(
            begin.elapsed() < LIMIT,
            "waited in vain for {what}: {}",
            operator.last_lines()
        );
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
