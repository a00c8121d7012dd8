//! What the API server itself accepts and refuses of key managers elsewhere.

use serde_json::{Value, json};

use crate::{support::Cluster, validation::Table};

pub(crate) const URL: &str = "https://keys.example.com:8443/auth";
const ONE_OF_ALL: &str = "exactly one kind of key manager must be given: resident, okta, keycloak, wso2 or oidc";
const ONE_OF_REMOTE: &str = "exactly one kind of key manager must be given: okta, keycloak, wso2 or oidc";

pub(crate) fn keycloak(url: &str, realm: &str) -> Value {
    json!({"url": url, "realm": realm, "credentialsSecretRef": {"name": "operator"}})
}

/// A `ClusterKeyManager`, and a `KeyManager` of the same spec.
pub(crate) fn managers(spec: &Value) -> [Value; 2] {
    let object = |kind: &str, meta: Value| json!({"apiVersion": "appkeys.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec});
    [
        object("ClusterKeyManager", json!({"name": "m"})),
        object("KeyManager", json!({"name": "m", "namespace": "default"})),
    ]
}

#[tokio::test]
async fn a_key_manager_is_of_exactly_one_kind() {
    let cluster = Cluster::shared().await;
    let mut table = Table::of(&cluster).await;
    let (realm, oidc) = (keycloak(URL, "shop"), json!({ "issuer": URL }));
    let org = json!({"url": "https://example.okta.com", "credentialsSecretRef": {"name": "operator"}});
    let (three, two) = (Err(ONE_OF_ALL), Err(ONE_OF_REMOTE));
    for (case, spec, of_cluster, of_namespace) in [
        ("Keycloak", json!({ "keycloak": realm }), Ok(()), Ok(())),
        ("registration", json!({ "oidc": oidc }), Ok(()), Ok(())),
        ("Okta", json!({ "okta": org }), Ok(()), Ok(())),
        ("Okta and Keycloak", json!({"okta": org, "keycloak": realm}), three, two),
        ("resident", json!({"resident": {}}), Ok(()), two),
        ("none", json!({}), three, two),
        ("both", json!({"keycloak": realm, "oidc": oidc}), three, two),
        (
            "resident and Keycloak",
            json!({"resident": {}, "keycloak": realm}),
            three,
            // It knows no resident one.
            Ok(()),
        ),
        (
            "all",
            json!({"resident": {}, "keycloak": realm, "oidc": oidc}),
            three,
            two,
        ),
        (
            "a CA with Keycloak",
            json!({"keycloak": realm, "caBundleRef": {"name": "ca"}}),
            Ok(()),
            Ok(()),
        ),
        (
            "a CA with registration",
            json!({"oidc": oidc, "caBundleRef": {"name": "ca"}}),
            Ok(()),
            Ok(()),
        ),
        (
            "a CA with the resident one",
            json!({"resident": {}, "caBundleRef": {"name": "ca"}}),
            Err("caBundleRef is for key managers elsewhere"),
            two,
        ),
    ] {
        let [cluster_wide, namespaced] = managers(&spec);
        table
            .create(&format!("{case}, of the cluster"), cluster_wide, of_cluster)
            .await;
        table
            .create(&format!("{case}, of a namespace"), namespaced, of_namespace)
            .await;
    }
    table.finish();
}

#[tokio::test]
async fn where_a_key_manager_is() {
    let cluster = Cluster::shared().await;
    let mut table = Table::of(&cluster).await;
    for (case, url, good) in [
        ("with port and path", URL, true),
        ("plain http", "http://keys.example.com", true),
        ("an IPv6 address", "https://[::1]:8443", true),
        ("with a slash at the end", "https://keys.example.com/auth/", true),
        ("a query", "https://keys.example.com/?a=b", false),
        ("a query at once", "https://keys.example.com?a=b", false),
        ("a fragment", "https://keys.example.com/#top", false),
        ("a user", "https://me@keys.example.com", false),
        ("a password", "https://me:pw@keys.example.com", false),
        ("a space", "https://keys.example.com/a b", false),
        ("a space in the host", "https://keys example.com", false),
        ("a line end", "https://keys.example.com/\n", false),
        ("no host", "https:///realms", false),
        ("no scheme", "keys.example.com", false),
        ("another scheme", "ldap://keys.example.com", false),
    ] {
        let wanted = |place| if good { Ok(()) } else { Err(place) };
        let open = json!({"oidc": {"issuer": URL, "registrationEndpoint": url}});
        for (place, spec) in [
            (
                "spec.keycloak.url in body should match",
                json!({"keycloak": keycloak(url, "shop")}),
            ),
            (
                "spec.oidc.issuer in body should match",
                json!({"oidc": {"issuer": url}}),
            ),
            ("spec.oidc.registrationEndpoint in body should match", open),
        ] {
            for manager in managers(&spec) {
                table.create(&format!("{case}: {place}"), manager, wanted(place)).await;
            }
        }
    }
    for (case, realm, good) in [
        ("a name", "shop", true),
        ("dots and upper case", "Shop.EU_1", true),
        ("another alphabet", "büro", true),
        ("a folder", "shop/clients", false),
        ("a way out", "../master/x", false),
        ("a query", "shop?x", false),
        ("a fragment", "shop#x", false),
        ("encoded", "shop%2Fx", false),
        ("a space", "web shop", false),
    ] {
        let wanted = if good {
            Ok(())
        } else {
            Err("spec.keycloak.realm in body should match")
        };
        for manager in managers(&json!({"keycloak": keycloak(URL, realm)})) {
            table.create(&format!("realm: {case}"), manager, wanted).await;
        }
    }
    for (case, spec, wanted) in [
        (
            "no realm",
            json!({"keycloak": {"url": URL, "credentialsSecretRef": {"name": "operator"}}}),
            "spec.keycloak.realm: Required value",
        ),
        (
            "an empty realm",
            json!({"keycloak": keycloak(URL, "")}),
            "should be at least 1 chars long",
        ),
        (
            "no credentials",
            json!({"keycloak": {"url": URL, "realm": "shop"}}),
            "spec.keycloak.credentialsSecretRef: Required value",
        ),
        ("no issuer", json!({"oidc": {}}), "spec.oidc.issuer: Required value"),
    ] {
        for manager in managers(&spec) {
            table.create(case, manager, Err(wanted)).await;
        }
    }
    table.finish();
}

#[tokio::test]
async fn where_an_okta_org_is_and_how_the_operator_logs_in_there() {
    let cluster = Cluster::shared().await;
    let mut table = Table::of(&cluster).await;
    let org = |more: Value| {
        let mut org = json!({"url": "https://example.okta.com", "credentialsSecretRef": {"name": "operator"}});
        org.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "okta": org })
    };
    let url = |url: &str| org(json!({ "url": url }));
    let server = |id: &str| org(json!({ "authorizationServer": id }));
    let (no_url, no_id) = (
        Err("spec.okta.url in body should match"),
        Err("spec.okta.authorizationServer in body should match"),
    );
    let one_way = Err("the operator logs in in one way");
    for (case, spec, wanted) in [
        ("an org", url("https://example.okta.com"), Ok(())),
        ("a slash at the end", url("https://example.okta.com/"), Ok(())),
        ("a port", url("https://127.0.0.1:8443"), Ok(())),
        ("a path", url("https://example.okta.com/oauth2/default"), no_url),
        ("a query", url("https://example.okta.com?x"), no_url),
        ("a user", url("https://me@example.okta.com"), no_url),
        ("no scheme", url("example.okta.com"), no_url),
        ("a server of one's own", server("aus9o8zjqr7aNtVTN0h7"), Ok(())),
        ("a folder as server", server("default/v1"), no_id),
        ("a way out as server", server(".."), no_id),
        (
            "an API token",
            json!({"okta": {"url": "https://example.okta.com", "apiTokenSecretRef": {"name": "operator"}}}),
            Ok(()),
        ),
        ("both", org(json!({"apiTokenSecretRef": {"name": "operator"}})), one_way),
        ("neither", json!({"okta": {"url": "https://example.okta.com"}}), one_way),
    ] {
        for manager in managers(&spec) {
            table.create(case, manager, wanted).await;
        }
    }
    table.finish();
}
