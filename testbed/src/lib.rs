//! Servers for people, tests and benchmarks: a real Kubernetes control plane, started in seconds and stopped without leftovers.

pub mod binaries;
pub mod control_plane;
pub mod process;
