//! Which versions of the key managers there are. This is the one place for Keycloak's; npm and pip have files of their
//! own, which are read here.

use anyhow::Context as _;
use serde_json::Value;

/// What npm installs for oidc-provider: the package and all that it needs.
pub(super) const NPM: [(&str, &str); 2] = [
    ("package.json", include_str!("../../oidc_provider/package.json")),
    (
        "package-lock.json",
        include_str!("../../oidc_provider/package-lock.json"),
    ),
];

/// What npm installs for Okta's own client: the package and all that it needs.
pub(super) const OKTA_SDK: [(&str, &str); 2] = [
    ("package.json", include_str!("../../okta_sdk/package.json")),
    ("package-lock.json", include_str!("../../okta_sdk/package-lock.json")),
];

/// What npm installs for the client that checks the resident key manager: its packages and all that they need.
pub(crate) const FOREIGN_CLIENT: [(&str, &str); 2] = [
    ("package.json", include_str!("../../foreign_client/package.json")),
    (
        "package-lock.json",
        include_str!("../../foreign_client/package-lock.json"),
    ),
];

/// Keycloak.
pub const KEYCLOAK: &str = "26.7.3";
/// The SHA-256 of its distribution (tar.gz).
pub const KEYCLOAK_SHA256: &str = "77657f30b7e90d70f727712ce1c967f430fd6a5e9f458d32d8c6df0635345f47";

/// What pip installs for Canaille: the package and all that it needs.
pub(super) const PIP: &str = include_str!("../../canaille/requirements.txt");

/// The version of oidc-provider.
///
/// # Errors
/// `testbed/oidc_provider/package.json` does not name it.
pub fn oidc_provider() -> anyhow::Result<String> {
    dependency(NPM, "oidc-provider")
}

/// The version of Okta's own client.
///
/// # Errors
/// `testbed/okta_sdk/package.json` does not name it.
pub fn okta_sdk() -> anyhow::Result<String> {
    dependency(OKTA_SDK, "@okta/okta-sdk-nodejs")
}

/// The version of the client that checks the resident key manager.
///
/// # Errors
/// `testbed/foreign_client/package.json` does not name it.
pub(crate) fn foreign_client() -> anyhow::Result<String> {
    dependency(FOREIGN_CLIENT, "oauth4webapi")
}

fn dependency([(_, package), _]: [(&str, &str); 2], name: &str) -> anyhow::Result<String> {
    let package: Value = serde_json::from_str(package).with_context(|| format!("read the package.json with {name}"))?;
    let version = package["dependencies"][name].as_str();
    Ok(version
        .with_context(|| format!("package.json names no {name}"))?
        .to_owned())
}

/// The version of Canaille.
///
/// # Errors
/// `testbed/canaille/requirements.txt` does not name it.
pub fn canaille() -> anyhow::Result<&'static str> {
    let version = PIP.lines().find_map(|line| line.strip_prefix("Canaille=="));
    version.context("requirements.txt names no Canaille")
}
