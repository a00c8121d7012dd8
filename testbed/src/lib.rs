//! Servers for people, tests and benchmarks: a real Kubernetes control plane, started in seconds and stopped without
//! leftovers, key managers, and an API server in memory with faults to order, for simulation.

pub mod binaries;
pub mod process;
pub mod access;
pub mod control_plane;
pub mod operator;
pub mod helm;
pub mod relay;
pub mod promtool;
pub mod collector;
pub mod nodes;
pub mod pods;
pub mod workload;
pub mod prometheus_operator;
pub mod counts;
mod node;
pub mod foreign_client;
pub mod oauth2_proxy;
pub mod reloader;
pub mod spring;
pub mod memory_api;
pub mod openapi;
pub mod cargo_tools;
pub mod image;
pub mod reference;
pub mod key_managers;

pub mod protected_api;
pub mod demo;
