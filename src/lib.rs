//! Appkeys keeps application credentials in Kubernetes Secrets good.
pub mod api;
pub mod cli;
