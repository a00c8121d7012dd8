//! What the API server itself accepts and refuses of WSO2: its key managers, and what only it has for keys and applications.

use serde_json::{Value, json};

use crate::{
    support::{Cluster, key},
    validation::Table,
    validation_key_managers::{URL, keycloak, managers},
};

fn wso2(more: &Value) -> Value {
    let mut spec = json!({"url": "https://apim.example.com:9443", "credentialsSecretRef": {"name": "operator"}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"wso2": spec})
}

#[tokio::test]
async fn a_wso2_is_a_server_and_a_login() {
    let cluster = Cluster::shared().await;
    let mut table = Table::of(&cluster).await;
    let full = json!({
        "devPortalPath": "/api/am/devportal/v2", "login": "Registration", "keyManager": "Okta behind", "issuer": URL,
        "tenant": "team.example", "throttlingPolicy": "10PerMin",
    });
    let mut two = wso2(&json!({}));
    two["keycloak"] = keycloak(URL, "shop");
    for (case, spec, wanted) in [
        ("the least", wso2(&json!({})), Ok(())),
        ("all of it", wso2(&full), Ok(())),
        ("two kinds", two, Err("exactly one kind of key manager must be given")),
        (
            "no credentials",
            json!({"wso2": {"url": URL}}),
            Err("spec.wso2.credentialsSecretRef: Required value"),
        ),
        (
            "another login",
            wso2(&json!({"login": "Cookie"})),
            Err("Unsupported value"),
        ),
        (
            "a query",
            wso2(&json!({"url": "https://apim.example.com/?a=b"})),
            Err("spec.wso2.url in body should match"),
        ),
        (
            "a path without a slash",
            wso2(&json!({"devPortalPath": "api/am"})),
            Err("spec.wso2.devPortalPath in body should match"),
        ),
        (
            "a path with a slash at the end",
            wso2(&json!({"devPortalPath": "/api/am/"})),
            Err("spec.wso2.devPortalPath in body should match"),
        ),
        (
            "a tenant that is a path",
            wso2(&json!({"tenant": "a/b"})),
            Err("spec.wso2.tenant in body should match"),
        ),
    ] {
        for manager in managers(&spec) {
            table.create(case, manager, wanted).await;
        }
    }
    table.finish();
}

#[tokio::test]
async fn what_only_wso2_has_for_keys_and_applications() {
    let cluster = Cluster::shared().await;
    let mut table = Table::of(&cluster).await;
    let properties = |properties: Value| json!({"wso2": {"properties": properties}});
    let own = Err("that property has a field of its own: pkce, clientAuthentication, lifetimes, scopes or clientId");
    for (case, spec, wanted) in [
        ("an empty block", json!({"wso2": {}}), Ok(())),
        (
            "a connector's property",
            properties(json!({"application_type": "web"})),
            Ok(()),
        ),
        (
            "a life of its own for users",
            properties(json!({"user_access_token_expiry_time": "600"})),
            Ok(()),
        ),
        ("a flag", properties(json!({"pkceMandatory": "true"})), own),
        ("a life", properties(json!({"id_token_expiry_time": "60"})), own),
        ("a secret", properties(json!({"client_secret": "x"})), own),
        (
            "no text",
            properties(json!({"application_type": true})),
            Err("must be of type string"),
        ),
        (
            "a life of ID tokens",
            json!({
                "grantTypes": ["AuthorizationCode"], "redirectUris": ["https://shop.example.com/callback"],
                "lifetimes": {"idToken": "5m"},
            }),
            Ok(()),
        ),
        (
            "a life of a machine's ID tokens",
            json!({"lifetimes": {"idToken": "5m"}}),
            Err("lifetimes.idToken is for clients with logins"),
        ),
    ] {
        table.create(case, key("default", "k", &spec), wanted).await;
    }
    let application = |spec: Value| {
        json!({
            "apiVersion": "appkeys.dev/v1alpha1", "kind": "Application",
            "metadata": {"name": "a", "namespace": "default"}, "spec": spec,
        })
    };
    for (case, spec, wanted) in [
        ("attributes", json!({"attributes": {"Cost Center": "42"}}), Ok(())),
        (
            "a policy and groups",
            json!({"wso2": {"throttlingPolicy": "10PerMin", "groups": ["a", "b"]}}),
            Ok(()),
        ),
        (
            "a group twice",
            json!({"wso2": {"groups": ["a", "a"]}}),
            Err("Duplicate value"),
        ),
        (
            "an empty policy",
            json!({"wso2": {"throttlingPolicy": ""}}),
            Err("should be at least 1 chars long"),
        ),
        (
            "an attribute that is no text",
            json!({"attributes": {"a": 1}}),
            Err("must be of type string"),
        ),
    ] {
        table.create(case, application(spec), wanted).await;
    }
    table.finish();
}
