//! The double against Okta's OpenAPI files: that checking is on, and that every deviation is one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    super::{KeyList, Outage, org::Signer},
    Bed, machine,
};
use crate::openapi::{Exchange, OpenApi, contracts};

/// Asks for everything once, so that every schema that the double serves is used.
async fn everything(bed: &Bed) {
    bed.okta.set(|modes| modes.key_list = KeyList::Array);
    let app = bed.create(machine("shop")).await;
    let path = format!("/api/v1/apps/{}", app["id"].as_str().unwrap());
    let read = bed.call("GET", &path, None).await.ok(200);
    bed.call("PUT", &path, Some(read)).await.ok(200);
    bed.call("GET", "/api/v1/apps?q=shop", None).await.ok(200);

    let secrets = format!("{path}/credentials/secrets");
    let second = bed
        .call(
            "POST",
            &secrets,
            Some(json!({"client_secret": "second-secret-0123456789"})),
        )
        .await
        .ok(201);
    let one = format!("{secrets}/{}", second["id"].as_str().unwrap());
    for (method, address) in [("GET", &secrets), ("GET", &one)] {
        bed.call(method, address, None).await.ok(200);
    }
    for verb in ["deactivate", "activate", "deactivate"] {
        bed.call("POST", &format!("{one}/lifecycle/{verb}"), None).await.ok(200);
    }
    bed.call("DELETE", &one, None).await.ok(204);

    let jwks = format!("{path}/credentials/jwks");
    let key = serde_json::to_value(&Signer::generate().unwrap().0.public).unwrap();
    let key = bed.call("POST", &jwks, Some(key)).await.ok(201);
    let one = format!("{jwks}/{}", key["id"].as_str().unwrap());
    for (method, address) in [("GET", &jwks), ("GET", &one)] {
        bed.call(method, address, None).await.ok(200);
    }
    for verb in ["deactivate", "activate", "deactivate"] {
        bed.call("POST", &format!("{one}/lifecycle/{verb}"), None).await.ok(200);
    }
    bed.call("DELETE", &one, None).await.ok(204);

    let servers = "/api/v1/authorizationServers";
    let policies = bed
        .call("GET", &format!("{servers}/default/policies"), None)
        .await
        .ok(200);
    let policy = policies[0]["id"].as_str().unwrap();
    for rest in [
        "",
        "/default",
        "/default/scopes",
        &format!("/default/policies/{policy}"),
        &format!("/default/policies/{policy}/rules"),
    ] {
        bed.call("GET", &format!("{servers}{rest}"), None).await.ok(200);
    }
    for path in [
        "/.well-known/openid-configuration",
        "/oauth2/v1/keys",
        "/oauth2/default/v1/keys",
        "/oauth2/default/.well-known/oauth-authorization-server",
        "/oauth2/default/.well-known/openid-configuration",
    ] {
        Bed::send(bed.request("GET", path)).await.ok(200);
    }
    let form = bed.org_form("okta.apps.read", |_| {});
    bed.org_token(&form).await.ok(200);
    let secret = "secret-of-shop-0123456789";
    let token = bed
        .token("client-shop", secret, &[("scope", "orders:read")])
        .await
        .ok(200);
    for what in ["introspect", "revoke"] {
        let request = bed
            .request("POST", &format!("/oauth2/default/v1/{what}"))
            .basic_auth("client-shop", Some(secret));
        Bed::send(request.form(&[("token", token["access_token"].as_str().unwrap())]))
            .await
            .ok(200);
    }
    bed.call("POST", &format!("{path}/lifecycle/deactivate"), None)
        .await
        .ok(200);
    bed.call("POST", &format!("{path}/lifecycle/activate"), None)
        .await
        .ok(200);
    // Errors have schemas too.
    bed.call("DELETE", &path, None).await;
    bed.call("GET", "/api/v1/apps/nobody", None).await;
    bed.call("POST", "/api/v1/apps", Some(json!({}))).await;
    bed.token("client-shop", "wrong", &[]).await;
}

/// The body with one member, at any depth, of another type. One body for each member.
fn spoiled(body: &Value) -> Vec<Value> {
    let wrong = |value: &Value| {
        if value.is_number() {
            json!("wrong")
        } else {
            json!(12345)
        }
    };
    let mut all = vec![wrong(body)];
    let keys: Vec<String> = match body {
        Value::Object(members) => members.keys().cloned().collect(),
        Value::Array(list) => (0..list.len().min(1)).map(|number| number.to_string()).collect(),
        _ => vec![],
    };
    for key in keys {
        let pointer = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
        for inner in spoiled(body.pointer(&pointer).unwrap()) {
            let mut copy = body.clone();
            *copy.pointer_mut(&pointer).unwrap() = inner;
            all.push(copy);
        }
    }
    all
}

fn is_json(kind: Option<&str>) -> bool {
    kind.is_some_and(|kind| kind.starts_with("application/json"))
}

#[tokio::test]
async fn a_bad_body_of_every_schema_is_found() {
    let bed = Bed::start().await;
    everything(&bed).await;
    bed.clean();
    let files = [contracts::OKTA_MANAGEMENT, contracts::OKTA_OAUTH].map(|file| OpenApi::read(file).unwrap());
    let file = |exchange: &Exchange| {
        files
            .iter()
            .find(|file| file.template(&exchange.path).is_some())
            .unwrap()
    };
    // How many spoiled bodies of each schema were found, and of how many.
    let mut found: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for exchange in bed.okta.audit().exchanges() {
        let name = bed.okta.audit().operation(&exchange.method, &exchange.path).unwrap();
        let file = file(&exchange);
        let Exchange {
            method,
            path,
            request_type,
            response_type,
            status,
            ..
        } = &exchange;
        if *status < 400 && is_json(request_type.as_deref()) {
            let body = serde_json::from_slice(&exchange.request).unwrap();
            let count = found.entry(format!("{name}, request")).or_default();
            for body in spoiled(&body) {
                let body = serde_json::to_vec(&body).unwrap();
                count.0 += usize::from(
                    !file
                        .check_request(method, path, request_type.as_deref(), &body)
                        .is_empty(),
                );
                count.1 += 1;
            }
        }
        if is_json(response_type.as_deref()) {
            let body = serde_json::from_slice(&exchange.response).unwrap();
            let count = found.entry(format!("{name}, {status}")).or_default();
            for body in spoiled(&body) {
                let body = serde_json::to_vec(&body).unwrap();
                count.0 += usize::from(
                    !file
                        .check_response(method, path, *status, response_type.as_deref(), &body)
                        .is_empty(),
                );
                count.1 += 1;
            }
        }
    }
    assert!(found.len() >= 36, "{}", found.len());
    for (name, (found, of)) in &found {
        // Each schema but an empty one says something of half of what the double puts there.
        assert!(found * 2 >= *of, "{name}: {found} of {of}");
    }
}

#[tokio::test]
async fn bad_forms_and_parameters_are_found() {
    let oauth = OpenApi::read(contracts::OKTA_OAUTH).unwrap();
    let check = |form: &str| {
        let kind = Some("application/x-www-form-urlencoded");
        let found = oauth.check_request("POST", "/oauth2/default/v1/token", kind, form.as_bytes());
        found
            .into_iter()
            .map(|found| found.place + " " + &found.rule)
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_eq!(check("grant_type=client_credentials&scope=orders%3Aread"), "");
    assert_eq!(check("scope=orders%3Aread"), "/grant_type required");
    assert_eq!(check("grant_type=nonsense"), "/grant_type enum");
    assert_eq!(check("grant_type=authorization_code"), "/code required");
    let management = OpenApi::read(contracts::OKTA_MANAGEMENT).unwrap();
    let list = |query: &str| {
        let found = management.check_request("GET", &format!("/api/v1/apps?{query}"), None, b"");
        found
            .into_iter()
            .map(|found| found.place + " " + &found.rule)
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_eq!(list("q=shop&limit=200&includeNonDeleted=true"), "");
    assert_eq!(
        list("limit=201&label=shop&includeNonDeleted=perhaps"),
        "query/limit maximum, query/label undocumented, query/includeNonDeleted type"
    );
}

#[tokio::test]
async fn an_app_that_okta_would_not_take_is_found() {
    let management = OpenApi::read(contracts::OKTA_MANAGEMENT).unwrap();
    let check = |pointer: &str, value: Value| {
        let body = super::with(machine("shop"), pointer, value);
        let found = management.check_request(
            "POST",
            "/api/v1/apps",
            Some("application/json"),
            &serde_json::to_vec(&body).unwrap(),
        );
        found
            .into_iter()
            .map(|found| found.place + " " + &found.rule)
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_eq!(check("/label", json!("shop")), "");
    assert_eq!(check("/label", json!(5)), "/label type");
    assert_eq!(check("/signOnMode", json!("NOPE")), "/signOnMode enum");
    assert_eq!(
        check("/settings/oauthClient/grant_types", json!(["nope"])),
        "/settings/oauthClient/grant_types/0 enum"
    );
    assert_eq!(
        check("/credentials/oauthClient/client_secret", json!("short")),
        "/credentials/oauthClient/client_secret minLength"
    );
    assert_eq!(
        check("/settings/oauthClient/client_uri", Value::Null),
        "/settings/oauthClient/client_uri type"
    );
}

#[tokio::test]
async fn every_deviation_is_one() {
    let bed = Bed::start().await;
    let app = bed.create(machine("shop")).await;
    let path = format!("/api/v1/apps/{}", app["id"].as_str().unwrap());
    for outage in [Outage::ReadOnly, Outage::InternalError] {
        bed.okta.set(|modes| modes.outage = Some(outage));
        bed.call("GET", &path, None).await;
    }
    bed.okta.set(|modes| modes.outage = None);
    Bed::send(bed.request("GET", &path)).await;
    bed.call("GET", "/api/v1/apps?limit=0", None).await;
    // A label that is taken in the meantime.
    bed.okta.app("client-shop", |app| app.active = false);
    bed.okta.add_app("shop", "another-shop");
    bed.call("POST", &format!("{path}/lifecycle/activate"), None).await;
    let token = format!("SSWS {}", bed.okta.operator().api_token);
    Bed::send(
        bed.request("POST", "/api/v1/apps")
            .header("authorization", token)
            .body("x"),
    )
    .await;
    for kind in ["secrets", "jwks"] {
        bed.call(
            "POST",
            &format!("/api/v1/apps/nobody/credentials/{kind}"),
            Some(json!({})),
        )
        .await;
    }
    Bed::send(
        bed.request("POST", "/oauth2/other/v1/token")
            .form(&[("grant_type", "client_credentials")]),
    )
    .await;
    bed.call("GET", &format!("{path}/credentials/jwks"), None).await;
    bed.okta.app("client-shop", |app| app.active = true);
    bed.token("client-shop", "secret-of-shop-0123456789", &[]).await;
    super::login::dpop_session(&bed).await;
    Bed::send(bed.request("GET", "/.well-known/oauth-authorization-server/oauth2/default")).await;
    bed.clean();
    assert_eq!(bed.okta.audit().unseen(), []);
}
