//! Whether this machine can run Pods.

use std::{fs, path::Path};

use super::cgroups;

/// Debian's folder of them.
pub(super) const NETWORK_PLUGINS: &str = "/usr/lib/cni";
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;

/// Programs, with the Debian package that has each.
const PROGRAMS: [(&str, &str); 8] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("containerd-shim-runc-v2", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
];

/// What stands against Pods on this machine, for people; empty where they can run.
pub fn missing() -> Vec<String> {
    let mut missing = vec![];
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()).unwrap_or_default()
    };
    if value("Uid:") != "0" {
        missing.push("this is not root".to_owned());
    }
    let effective = u64::from_str_radix(value("CapEff:"), 16).unwrap_or_default();
    for (bit, name) in [(CAP_SYS_ADMIN, "CAP_SYS_ADMIN"), (CAP_NET_ADMIN, "CAP_NET_ADMIN")] {
        if effective & (1 << bit) == 0 {
            missing.push(format!("root has no {name} here"));
        }
    }
    if let Err(why) = cgroups::usable() {
        missing.push(format!("{why:#}"));
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&paths).collect();
    for (program, package) in PROGRAMS {
        if !folders.iter().any(|folder| folder.join(program).exists()) {
            missing.push(format!("{program} is missing (Debian: apt-get install {package})"));
        }
    }
    if !Path::new(NETWORK_PLUGINS).join("bridge").exists() {
        missing.push(format!(
            "{NETWORK_PLUGINS}/bridge is missing (Debian: apt-get install containernetworking-plugins)"
        ));
    }
    missing
}
