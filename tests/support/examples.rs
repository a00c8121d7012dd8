//! Examples as a reader uses them: with values of their own where they say so.

use testbed::key_managers::keycloak::{Keycloak, OPERATOR};

use super::{Cluster, repository};

/// Applies an example whose text is changed: each of `values` is what it says, and what a reader puts there.
pub(crate) fn apply(cluster: &Cluster, example: &str, values: &[(&str, &str)]) {
    let mut text = std::fs::read_to_string(repository(example)).unwrap();
    for (placeholder, value) in values {
        assert!(text.contains(placeholder), "{example} does not say {placeholder}");
        text = text.replace(placeholder, value);
    }
    assert!(
        !text.contains("REPLACE-ME"),
        "{example} still has a placeholder:\n{text}"
    );
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), text).unwrap();
    cluster.kubectl(&["apply", "-f", file.path().to_str().unwrap()]);
}

/// Applies the key manager of the examples for Keycloak, with this server's values.
pub(crate) fn keycloak(cluster: &Cluster, keycloak: &Keycloak, realm: &str, secret: &str) {
    let ca = keycloak.ca().trim().replace('\n', "\n    ");
    let placeholder = "-----BEGIN CERTIFICATE-----\n    REPLACE-ME\n    -----END CERTIFICATE-----";
    let credentials = [
        (placeholder, ca.as_str()),
        ("client-id: appkeys-operator", &format!("client-id: {OPERATOR}")),
        ("client-secret: REPLACE-ME", &format!("client-secret: {secret}")),
    ];
    apply(cluster, "examples/keycloak/credentials.yaml", &credentials);
    let server = [
        ("https://keycloak.example.com", keycloak.https_url()),
        ("realm: example", format!("realm: {realm}")),
    ];
    let server = server
        .each_ref()
        .map(|(placeholder, value)| (*placeholder, value.as_str()));
    apply(cluster, "examples/keycloak/key-manager.yaml", &server);
}
