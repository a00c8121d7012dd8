//! The vendors' files. Where they are from, and what was cut: `testbed/contracts/README.md`.

/// Okta's management API: apps and their credentials, authorization servers.
pub const OKTA_MANAGEMENT: &str = include_str!("../../contracts/okta-management.openapi.yaml");
/// Okta's OAuth endpoints: tokens, keys, metadata.
pub const OKTA_OAUTH: &str = include_str!("../../contracts/okta-oauth.openapi.yaml");
/// The API of WSO2 API Manager's developer portal.
pub const WSO2_DEVPORTAL: &str = include_str!("../../contracts/wso2-devportal.openapi.yaml");
/// WSO2 API Manager's registration of clients that call its APIs.
pub const WSO2_DCR: &str = include_str!("../../contracts/wso2-dcr.openapi.yaml");
