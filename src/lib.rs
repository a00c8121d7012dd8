//! Appkeys keeps application credentials in Kubernetes Secrets good.
pub mod api;
pub mod cli;
pub mod clock;
pub mod controller;
pub mod entropy;
pub mod key_manager;
pub mod plan;
