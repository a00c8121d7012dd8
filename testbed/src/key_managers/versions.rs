//! Which versions of the key managers and of the consumers of Secrets there are. This is the one place for those from Maven Central; npm and pip have files of their
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

/// Spring Cloud Bindings, and what of Spring Boot 3.5 makes an OAuth 2.0 client of its properties: paths in Maven Central, with the
/// SHA-256 of each.
pub(crate) const SPRING: [(&str, &str); 11] = [
    (
        "org/springframework/cloud/spring-cloud-bindings/2.0.4/spring-cloud-bindings-2.0.4.jar",
        "32e47c2139d6379836910f0d1cc253a019ac282f3aeea12237069f00046279ad",
    ),
    (
        "org/springframework/boot/spring-boot/3.5.7/spring-boot-3.5.7.jar",
        "fdb3611f0baaa3a55b59b69c420d3bffac45cfb8868aaec8d6ee64451fb68e08",
    ),
    (
        "org/springframework/boot/spring-boot-autoconfigure/3.5.7/spring-boot-autoconfigure-3.5.7.jar",
        "0f078fa10ab1deaf41f1aeb0133c08661d06592e7e50c7bcaafa9ec0b62b8a19",
    ),
    (
        "org/springframework/spring-core/6.2.12/spring-core-6.2.12.jar",
        "bddc5a5be2d94191ebcfbadc672fa4d81e6ab51e38a9eaf41d5d035cb17548d4",
    ),
    (
        "org/springframework/spring-jcl/6.2.12/spring-jcl-6.2.12.jar",
        "8244ee2a515291f41ed4f99aa89b4cd41fc13961c21d7c271a381210f6075fed",
    ),
    (
        "org/springframework/spring-beans/6.2.12/spring-beans-6.2.12.jar",
        "26ab8ce28a42fe951b0a4ebaf8dbe97478effca833a7b2f51b45d6540fe7179f",
    ),
    (
        "org/springframework/spring-context/6.2.12/spring-context-6.2.12.jar",
        "0439fb9cb09a8b8d04c4e37dcba592e489b690882c56940aa33b58cf3f0b69cb",
    ),
    (
        "org/springframework/security/spring-security-core/6.5.6/spring-security-core-6.5.6.jar",
        "de6e1c73c13e06ece38264519d87f34fde5d4568ab765b9fd595dfe79108f5d2",
    ),
    (
        "org/springframework/security/spring-security-config/6.5.6/spring-security-config-6.5.6.jar",
        "a8d789c4658dc8511af585980fb236fde774c26dcde3d4ce5d225094ac9798a5",
    ),
    (
        "org/springframework/security/spring-security-oauth2-core/6.5.6/spring-security-oauth2-core-6.5.6.jar",
        "cf014ce1d550416e358ca937232367202c85f31214061059b677c07f3dd656c0",
    ),
    (
        "org/springframework/security/spring-security-oauth2-client/6.5.6/spring-security-oauth2-client-6.5.6.jar",
        "cb53c74c1dcf9467cb51ac3a19e16166b26111947ba5a70661501f7587ada08c",
    ),
];

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
