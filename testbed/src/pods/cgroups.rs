//! A cgroup of its own in each hierarchy, below the one of whoever asks, with everything in it that Pods make.

use std::{
    fs,
    path::{Path, PathBuf},
    process::id,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

const MOUNTED: &str = "/sys/fs/cgroup";
const PREFIX: &str = "appkeys-pods-";
/// What a kubelet needs to find.
const NEEDED: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];
/// How long processes may take to be gone from one.
const EMPTY_LIMIT: Duration = Duration::from_secs(10);

/// A cgroup, and what is mounted to see it.
#[derive(Debug)]
pub(super) struct Group {
    /// The hierarchy's folder name: `cpu,cpuacct` for instance.
    pub(super) hierarchy: String,
    pub(super) path: PathBuf,
}

impl Group {
    /// The option of its mount.
    pub(super) fn option(&self) -> String {
        match self.hierarchy.as_str() {
            "systemd" => "none,name=systemd".to_owned(),
            controllers => controllers.to_owned(),
        }
    }
}

/// Whether there is what is needed.
pub(super) fn usable() -> anyhow::Result<()> {
    let hierarchies = hierarchies()?;
    for controller in NEEDED {
        let has = |(hierarchy, _): &(String, PathBuf)| hierarchy.split(',').any(|name| name == controller);
        ensure!(
            hierarchies.iter().any(has),
            "there is no cgroup of version 1 for {controller} here: cgroups of version 2 alone are not supported"
        );
    }
    Ok(())
}

/// The hierarchies of version 1 by their folders' names, with the cgroup of this process in each.
fn hierarchies() -> anyhow::Result<Vec<(String, PathBuf)>> {
    let own = fs::read_to_string("/proc/self/cgroup").context("read the cgroups of this process")?;
    let lines = own.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let name = controllers.trim_start_matches("name=");
        let folder = Path::new(MOUNTED).join(name);
        let here = folder.join(path.trim_start_matches('/'));
        (!name.is_empty() && folder.is_dir()).then(|| (name.to_owned(), here))
    });
    Ok(lines.collect())
}

/// Makes them; those of a keeper that was killed go.
pub(super) fn make() -> anyhow::Result<Vec<Group>> {
    let mut groups = vec![];
    for (hierarchy, here) in hierarchies()? {
        for entry in fs::read_dir(&here).with_context(|| format!("read {}", here.display()))? {
            let name = entry.context("read a cgroup")?.file_name();
            let keeper = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            if let Some(keeper) = keeper
                && !Path::new("/proc").join(keeper).exists()
            {
                remove(&here.join(&name))?;
            }
        }
        let path = here.join(format!("{PREFIX}{}", id()));
        fs::create_dir(&path).with_context(|| format!("make cgroup {}", path.display()))?;
        // In a new one no process may run before this is said.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(text) = fs::read(here.join(file)) {
                fs::write(path.join(file), text).with_context(|| format!("write {file}"))?;
            }
        }
        groups.push(Group { hierarchy, path });
    }
    Ok(groups)
}

/// Removes one and those in it, once their processes are gone.
pub(super) fn remove(group: &Path) -> anyhow::Result<()> {
    let start = Instant::now();
    while group.exists() {
        if start.elapsed() > EMPTY_LIMIT {
            bail!("cgroup {} is still in use", group.display());
        }
        remove_below(group);
        sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn remove_below(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path());
        }
    }
    // Refused while a process is in it: the next round.
    drop(fs::remove_dir(group));
}
