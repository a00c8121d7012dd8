//! The process that a cluster with Pods has outside: it makes the cgroups, starts the first process inside, and cleans up when
//! whoever asked for it is gone.

use std::{
    ffi::OsString,
    fs,
    io::Read as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::Context as _;

use super::cgroups::{self, Group};

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Keeps a cluster until standard input is closed, which whoever asked for it does by ending, or until it has ended.
///
/// # Errors
/// It cannot be started, or something is left.
pub fn keep(arguments: &[OsString]) -> anyhow::Result<()> {
    let folder = Path::new(arguments.first().context("name a folder")?);
    let groups = cgroups::make()?;
    let kept = start(folder, &groups, arguments).map(until_told);
    for group in &groups {
        cgroups::remove(&group.path)?;
    }
    if !kept? {
        // It ended by itself: whoever asked for it wants to know why. They close our input when they do.
        std::io::stdin().read_to_end(&mut vec![]).context("wait for the end")?;
    }
    fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))
}

fn start(folder: &Path, groups: &[Group], arguments: &[OsString]) -> anyhow::Result<Child> {
    let log = fs::File::create(folder.join("node.log")).context("make the log")?;
    // The shell enters the cgroups; then it becomes what makes the namespaces, whose root these cgroups are.
    let enter =
        "n=$1; shift; while [ $n -gt 0 ]; do echo $$ > \"$1/cgroup.procs\"; shift; n=$((n - 1)); done; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", enter, "sh", &groups.len().to_string()]);
    command.args(groups.iter().map(|group| &group.path));
    command.args(["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup"]);
    command.args(["--fork", "--mount-proc", "--kill-child", "--propagation", "private"]);
    command.arg(std::env::current_exe().context("find this program")?);
    command.arg("pods-node").args(arguments);
    let list = groups
        .iter()
        .map(|group| format!("{} {}\n", group.hierarchy, group.option()));
    fs::write(folder.join("cgroups"), list.collect::<Vec<_>>().concat()).context("note the cgroups")?;
    command
        // Nothing is said there: it is closed when this process ends, however.
        .stdin(Stdio::piped())
        .stdout(log.try_clone().context("share the log")?)
        .stderr(log)
        .spawn()
        .context("start the first process inside")
}

/// Waits for the end of standard input or of the cluster, and ends that. Whether the former came first.
fn until_told(mut inside: Child) -> bool {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        drop(std::io::stdin().read_to_end(&mut vec![]));
        // Nobody listens where the cluster has ended by itself.
        let _ = tell.send(());
    });
    let was_told = loop {
        match told.recv_timeout(LOOK_EVERY) {
            Err(mpsc::RecvTimeoutError::Timeout) => {
                if !matches!(inside.try_wait(), Ok(None)) {
                    break false;
                }
            }
            _ => break true,
        }
    };
    drop(inside.kill());
    drop(inside.wait());
    was_told
}
