//! Real key managers, each on free loopback ports: Keycloak, oidc-provider and Canaille.
//!
//! What they need is downloaded from the public package registries once, into the cache folder.

pub mod canaille;
mod certificate;
mod http;
mod install;
pub mod keycloak;
pub mod oidc_provider;
pub mod versions;
