//! Which versions of the key managers there are.

/// Keycloak.
pub const KEYCLOAK: &str = "26.7.3";
/// The SHA-256 of its distribution (tar.gz).
pub const KEYCLOAK_SHA256: &str = "77657f30b7e90d70f727712ce1c967f430fd6a5e9f458d32d8c6df0635345f47";
