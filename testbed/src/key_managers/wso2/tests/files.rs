//! The OpenAPI files: checking is on for every schema that is used, and each declared deviation occurs.

use serde_json::{Value, json};

use super::{Bed, of_key, read};
use crate::{
    key_managers::wso2::{Attribute, Settings, Switch, Trouble, Version},
    openapi::{Deviation, OpenApi, contracts},
};

/// Method, path, body, and where it is wrong: one for each schema of a request.
const REQUESTS: [(&str, &str, &str, &str); 11] = [
    ("POST", "/applications", r#"{"throttlingPolicy": "x"}"#, "/name"),
    (
        "PUT",
        "/applications/a",
        r#"{"name": "", "throttlingPolicy": "x"}"#,
        "/name",
    ),
    (
        "POST",
        "/applications/a/generate-keys",
        r#"{"keyType": "X"}"#,
        "/keyType",
    ),
    (
        "POST",
        "/applications/a/map-keys",
        r#"{"keyType": "SANDBOX"}"#,
        "/consumerKey",
    ),
    (
        "PUT",
        "/applications/a/oauth-keys/k",
        r#"{"supportedGrantTypes": "x"}"#,
        "/supportedGrantTypes",
    ),
    (
        "POST",
        "/applications/a/oauth-keys/k/generate-secret",
        r#"{"additionalProperties": 1}"#,
        "/additionalProperties",
    ),
    (
        "POST",
        "/applications/a/oauth-keys/k/revoke-secret",
        r#"{"secretId": 1}"#,
        "/secretId",
    ),
    (
        "POST",
        "/applications/a/oauth-keys/k/generate-token",
        r#"{"validityPeriod": "1"}"#,
        "/validityPeriod",
    ),
    (
        "POST",
        "/applications/a/api-keys/SANDBOX/generate",
        r#"{"keyName": 1}"#,
        "/keyName",
    ),
    ("POST", "/applications/a/api-keys/SANDBOX/revoke", "{}", ""),
    ("POST", "/register", r#"{"clientName": 1}"#, "/clientName"),
];

/// Method, path, status, body, and where it is wrong: one for each schema of an answer.
const ANSWERS: [(&str, &str, u16, &str, &str); 19] = [
    (
        "GET",
        "/applications",
        200,
        r#"{"list": [{"name": 1}]}"#,
        "/list/0/name",
    ),
    ("GET", "/applications", 400, r#"{"code": 400}"#, "/message"),
    ("POST", "/applications", 201, r#"{"name": "a"}"#, "/throttlingPolicy"),
    (
        "GET",
        "/applications/a",
        200,
        r#"{"name": 1, "throttlingPolicy": "x"}"#,
        "/name",
    ),
    (
        "POST",
        "/applications/a/generate-keys",
        200,
        r#"{"token": {"validityTime": "x"}}"#,
        "/token/validityTime",
    ),
    (
        "GET",
        "/applications/a/oauth-keys",
        200,
        r#"{"list": [{"mode": "X"}]}"#,
        "/list/0/mode",
    ),
    (
        "GET",
        "/applications/a/oauth-keys/k",
        200,
        r#"{"keyType": "X"}"#,
        "/keyType",
    ),
    (
        "POST",
        "/applications/a/oauth-keys/k/regenerate-secret",
        200,
        r#"{"consumerKey": 1}"#,
        "/consumerKey",
    ),
    (
        "POST",
        "/applications/a/oauth-keys/k/generate-secret",
        201,
        r#"{"secretId": 1}"#,
        "/secretId",
    ),
    (
        "GET",
        "/applications/a/oauth-keys/k/secrets",
        200,
        r#"{"count": "1"}"#,
        "/count",
    ),
    (
        "POST",
        "/applications/a/oauth-keys/k/generate-token",
        200,
        r#"{"tokenScopes": ""}"#,
        "/tokenScopes",
    ),
    (
        "GET",
        "/key-managers",
        200,
        r#"{"list": [{"name": "a"}]}"#,
        "/list/0/type",
    ),
    (
        "GET",
        "/throttling-policies/application",
        200,
        r#"{"list": [{}]}"#,
        "/list/0/name",
    ),
    ("GET", "/settings", 200, r#"{"grantTypes": 1}"#, "/grantTypes"),
    (
        "GET",
        "/settings/application-attributes",
        200,
        r#"{"count": "1"}"#,
        "/count",
    ),
    (
        "POST",
        "/applications/a/api-keys/SANDBOX/generate",
        200,
        r#"{"apikey": 1}"#,
        "/apikey",
    ),
    (
        "GET",
        "/applications/a/api-keys/SANDBOX",
        200,
        r#"{"list": [{"keyUUID": 1}]}"#,
        "/list/0/keyUUID",
    ),
    ("POST", "/register", 200, r#"{"clientId": 1}"#, "/clientId"),
    ("POST", "/register", 401, r#"{"code": "401", "message": ""}"#, "/code"),
];

#[test]
fn a_bad_body_of_each_schema_is_seen() {
    let portal = OpenApi::read(contracts::WSO2_DEVPORTAL).unwrap().with_base("");
    let registration = OpenApi::read(contracts::WSO2_DCR).unwrap().with_base("");
    let file = |path: &str| if path == "/register" { &registration } else { &portal };
    let json = Some("application/json");
    for (method, path, body, place) in REQUESTS {
        let found = file(path).check_request(method, path, json, body.as_bytes());
        assert!(
            found.iter().any(|one| one.place == place),
            "{method} {path} {body}: {found:?}"
        );
    }
    for (method, path, status, body, place) in ANSWERS {
        let found = file(path).check_response(method, path, status, json, body.as_bytes());
        assert!(
            found.iter().any(|one| one.place == place),
            "{method} {path} {status} {body}: {found:?}"
        );
    }
}

#[tokio::test]
async fn what_a_client_does_wrong_is_seen_although_it_is_answered() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    bed.good(
        "POST",
        "/applications",
        json!({"name": "a", "throttlingPolicy": "Unlimited", "description": 5}),
    )
    .await;
    bed.get("/applikations").await;
    let found = bed.wso2.audit().violations();
    let places: Vec<_> = found.iter().map(|one| one.place.as_str()).collect();
    assert_eq!(places, ["/description", "path"], "{found:?}");
}

/// A declaration that nothing needs any more would hide what it names.
#[tokio::test]
async fn each_declared_deviation_occurs() {
    let mut unseen: Option<Vec<Deviation>> = None;
    for version in [Version::V4_2, Version::V4_6, Version::V4_7] {
        let bed = Bed::start(Settings::of(version)).await;
        walk(&bed).await;
        bed.clean();
        let here = bed.wso2.audit().unseen();
        let both = unseen.map_or_else(
            || here.clone(),
            |before| before.into_iter().filter(|one| here.contains(one)).collect(),
        );
        unseen = Some(both);
    }
    assert_eq!(unseen, Some(vec![]));
}

/// Once through everything that differs.
async fn walk(bed: &Bed) {
    let user = bed.wso2.user();
    bed.register(user, bed.wso2.password(), &json!({"clientName": "c"}))
        .await;
    let application = bed.application("a").await;
    let path = format!("/applications/{application}");
    bed.wso2.state().settings.attributes.push(Attribute::Required("cost"));
    bed.call(
        "POST",
        "/applications",
        json!({"name": "b", "throttlingPolicy": "Unlimited"}),
    )
    .await;
    bed.wso2.state().settings.attributes.clear();
    for list in ["/applications", "/key-managers", "/throttling-policies/application"] {
        bed.good("GET", list, Value::Null).await;
    }
    let (_, theirs) = bed.wso2.by_hand(
        "admin",
        "POST",
        "/applications",
        &json!({"name": "x", "throttlingPolicy": "Unlimited"}),
    );
    bed.get(&format!("/applications/{}", super::text(&theirs["applicationId"])))
        .await;
    read(bed.http.get(format!("{}/applications", bed.wso2.portal()))).await;

    let (_, key) = bed.generate(&application, json!({"validityTime": 60})).await;
    let of = of_key(&application, &key);
    bed.generate(&application, json!({})).await;
    bed.get(&of).await;
    bed.good("GET", &format!("{path}/oauth-keys"), Value::Null).await;
    bed.good("PUT", &of, json!({"supportedGrantTypes": ["client_credentials"]}))
        .await;
    let body = json!({"additionalProperties": {"description": "d", "expiresIn": 60}});
    bed.call("POST", &format!("{of}/generate-secret"), body).await;
    let (_, secrets) = bed.get(&format!("{of}/secrets")).await;
    bed.call(
        "POST",
        &format!("{of}/revoke-secret"),
        json!({"secretId": secrets["list"][1]["secretId"]}),
    )
    .await;
    bed.wso2.state().settings.turn(Switch::HashedSecrets, true);
    bed.get(&format!("{path}/oauth-keys")).await;
    bed.get(&of).await;
    bed.wso2.state().settings.turn(Switch::HashedSecrets, false);
    bed.wso2.state().resident().troubles.insert(Trouble::Unreachable);
    bed.get(&of).await;
    bed.call("POST", &format!("{of}/regenerate-secret"), Value::Null).await;
    bed.wso2.state().resident().troubles.clear();

    bed.wso2.state().settings.turn(Switch::ApproveKeys, true);
    bed.generate(&application, json!({"keyType": "SANDBOX"})).await;
    bed.good("GET", &format!("{path}/oauth-keys"), Value::Null).await;
    bed.call("DELETE", &of, Value::Null).await;
    bed.good("POST", &format!("{of}/clean-up"), Value::Null).await;

    let keys = format!("{path}/api-keys/PRODUCTION");
    let made = bed
        .good("POST", &format!("{keys}/generate"), json!({"keyName": "k"}))
        .await;
    bed.get(&keys).await;
    bed.good("POST", &format!("{keys}/revoke"), json!({"apikey": made["apikey"]}))
        .await;
    bed.wso2.state().settings.turn(Switch::ApproveDeletions, true);
    bed.call("DELETE", &path, Value::Null).await;
    bed.call("DELETE", &path, Value::Null).await;
    bed.wso2.state().settings.turn(Switch::ApproveDeletions, false);
    let other = bed.application("c").await;
    bed.good("DELETE", &format!("/applications/{other}"), Value::Null).await;
}
