//! Key managers, each on free loopback ports: Keycloak, oidc-provider and Canaille are real, Okta and WSO2 API
//! Manager are doubles.
//!
//! What the real ones need is downloaded from the public package registries once, into the cache folder.

pub mod canaille;
mod certificate;
mod double;
mod http;
pub(crate) mod install;
pub mod keycloak;
pub mod oidc_provider;
pub mod okta;
pub(crate) mod tls_server;
pub mod versions;
pub mod wso2;
