//! Appkeys keeps application credentials in Kubernetes Secrets good: clients registered at key managers, secrets that
//! work, access tokens that are fresh.
//!
//! In reading order; data flows one way: watch → observe → plan → execute → report.

pub mod api;
pub mod plan;
pub mod controller;
pub mod key_manager;

pub mod cli;
pub mod operator;
pub mod scope;
pub mod definitions;
pub mod release;
pub mod leader;
pub mod guard;
pub mod api_requests;
pub mod admin;
pub mod metrics;
pub mod spans;
pub mod telemetry;
pub mod clock;
pub mod entropy;
