//! Custom authorization servers.

use serde_json::{Value, json};

use super::{
    super::{Policy, Scope},
    Bed, machine,
};
use crate::protected_api::TrustedIssuer;

const SECRET: &str = "secret-of-shop-0123456789";

/// A bed with one client.
async fn with_client() -> Bed {
    let bed = Bed::start().await;
    bed.create(machine("shop")).await;
    bed
}

#[tokio::test]
async fn tokens_are_signed_and_can_be_looked_up_and_revoked() {
    let bed = with_client().await;
    let got = bed
        .token("client-shop", SECRET, &[("scope", "orders:read orders:write")])
        .await
        .ok(200);
    assert_eq!(
        (&got["expires_in"], &got["scope"]),
        (&json!(3600), &json!("orders:read orders:write"))
    );
    let keys = Bed::send(bed.request("GET", "/oauth2/default/v1/keys")).await.ok(200);
    let token = got["access_token"].as_str().unwrap();
    let mut trusted = TrustedIssuer {
        issuer: bed.okta.issuer(),
        audience: "api://default".to_owned(),
        token_type: "",
        keys: serde_json::from_value(keys).unwrap(),
    };
    let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(trusted.keys.find(&kid).unwrap()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.set_issuer(&[&trusted.issuer]);
    validation.set_audience(&[&trusted.audience]);
    let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims;
    assert_eq!(
        (&claims["cid"], &claims["scp"]),
        (&json!("client-shop"), &json!(["orders:read", "orders:write"]))
    );
    trusted.keys.keys.clear();
    assert!(trusted.check(token).is_err());

    let post = async |path: &str| {
        let request = bed
            .request("POST", &format!("/oauth2/default/v1/{path}"))
            .basic_auth("client-shop", Some(SECRET));
        Bed::send(request.form(&[("token", token)])).await.ok(200)
    };
    assert_eq!(post("introspect").await["active"], true);
    post("revoke").await;
    assert_eq!(post("introspect").await, json!({"active": false}));
    bed.clean();
}

#[tokio::test]
async fn o16_custom_servers_may_not_be_there() {
    let bed = with_client().await;
    let form = [("grant_type", "client_credentials"), ("scope", "orders:read")];
    let request = bed
        .request("POST", "/oauth2/v1/token")
        .basic_auth("client-shop", Some(SECRET));
    assert_eq!(
        Bed::send(request.form(&form)).await.error(),
        (400, "unsupported_grant_type")
    );
    let request = bed
        .request("POST", "/oauth2/other/v1/token")
        .basic_auth("client-shop", Some(SECRET));
    assert_eq!(Bed::send(request.form(&form)).await.error(), (404, "E0000007"));
    bed.okta.set(|modes| modes.no_custom_servers = true);
    assert_eq!(
        bed.token("client-shop", SECRET, &[("scope", "orders:read")])
            .await
            .error(),
        (404, "E0000007")
    );
    assert_eq!(
        bed.call("GET", "/api/v1/authorizationServers", None).await.error(),
        (401, "E0000015")
    );
    bed.clean();
}

#[tokio::test]
async fn o17_metadata_are_beside_the_issuer() {
    let bed = Bed::start().await;
    let get = async |path: &str| Bed::send(bed.request("GET", path)).await.ok(200);
    let metadata = get("/oauth2/default/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata, get("/oauth2/default/.well-known/openid-configuration").await);
    assert_eq!(
        metadata,
        get("/.well-known/oauth-authorization-server/oauth2/default").await
    );
    assert_eq!(metadata["issuer"], bed.okta.issuer());
    assert_eq!(metadata["token_endpoint"], format!("{}/v1/token", bed.okta.issuer()));
    assert_eq!(
        metadata["registration_endpoint"],
        format!("{}/oauth2/v1/clients", bed.okta.url())
    );
    assert_eq!(metadata["code_challenge_methods_supported"], json!(["S256"]));
    let org = get("/.well-known/openid-configuration").await;
    assert_eq!(
        (&org["issuer"], &org["token_endpoint"]),
        (
            &json!(bed.okta.url()),
            &json!(format!("{}/oauth2/v1/token", bed.okta.url()))
        )
    );
    let unknown = Bed::send(bed.request("GET", "/oauth2/other/.well-known/oauth-authorization-server")).await;
    assert_eq!(unknown.error(), (404, "E0000007"));
    bed.clean();
}

#[tokio::test]
async fn o18_scopes_are_those_of_the_server() {
    let bed = with_client().await;
    let ask = async |scope: &str| bed.token("client-shop", SECRET, &[("scope", scope)]).await;
    assert_eq!(
        bed.token("client-shop", SECRET, &[]).await.ok(200)["scope"],
        "basic",
        "the default ones"
    );
    assert_eq!(ask("nonsense").await.error(), (400, "invalid_scope"));
    assert_eq!(ask("orders:read nonsense").await.error(), (400, "invalid_scope"));
    assert_eq!(ask("openid").await.error(), (400, "invalid_scope"));
    assert_eq!(ask("profile:share").await.error(), (400, "consent_required"));
    bed.okta
        .server(|server| server.scopes = vec![Scope::new("orders:read")]);
    let none = bed.token("client-shop", SECRET, &[]).await;
    assert_eq!(none.error(), (400, "invalid_scope"));
    assert!(
        none.body["error_description"]
            .as_str()
            .unwrap()
            .contains("default scopes")
    );
    bed.clean();
}

#[tokio::test]
async fn o20_a_policy_decides() {
    let bed = with_client().await;
    let ask = async |scope: &str| bed.token("client-shop", SECRET, &[("scope", scope)]).await;
    let machines = ["client_credentials"];
    let policies = |list: Vec<Policy>| bed.okta.server(|server| server.policies = list);
    policies(vec![]);
    assert_eq!(ask("orders:read").await.error(), (401, "access_denied"));
    policies(vec![Policy::new(&["another"], &machines, &["*"])]);
    assert_eq!(ask("orders:read").await.error(), (401, "access_denied"));
    policies(vec![Policy::new(&["ALL_CLIENTS"], &["authorization_code"], &["*"])]);
    assert_eq!(ask("orders:read").await.error(), (401, "access_denied"));
    policies(vec![Policy {
        active: false,
        ..Policy::open()
    }]);
    assert_eq!(ask("orders:read").await.error(), (401, "access_denied"));
    let mut short = Policy::new(&["client-shop"], &machines, &["orders:read"]);
    short.rules[0].lifetime_minutes = 5;
    policies(vec![short, Policy::open()]);
    assert_eq!(
        ask("orders:read").await.ok(200)["expires_in"],
        300,
        "the first that fits counts"
    );
    let all = ask("orders:write").await;
    assert_eq!(all.error(), (400, "access_denied"));
    let some = ask("orders:read orders:write").await;
    assert_eq!(some.error(), (400, "access_denied"));
    assert!(
        some.body["error_description"]
            .as_str()
            .unwrap()
            .contains("[orders:write]")
    );
    assert_eq!(
        bed.token("client-shop", "wrong", &[]).await.error(),
        (401, "invalid_client"),
        "before any policy"
    );
    bed.clean();
}

#[tokio::test]
async fn a_code_that_cannot_be_proves_the_client() {
    let bed = Bed::start().await;
    let mut web = machine("shop");
    web["settings"]["oauthClient"] = json!({
        "application_type": "web", "grant_types": ["authorization_code", "refresh_token"],
        "redirect_uris": ["https://shop.example.com/callback"],
    });
    bed.create(web).await;
    let code = [
        ("grant_type", "authorization_code"),
        ("code", "none"),
        ("redirect_uri", "https://shop.example.com/callback"),
    ];
    assert_eq!(
        bed.token("client-shop", SECRET, &code).await.error(),
        (400, "invalid_grant")
    );
    assert_eq!(
        bed.token("client-shop", "wrong", &code).await.error(),
        (401, "invalid_client")
    );
    let other = bed.token("client-shop", SECRET, &[("scope", "orders:read")]).await;
    assert_eq!(other.error(), (400, "unauthorized_client"));
    bed.clean();
}

#[tokio::test]
async fn scopes_and_policies_can_be_read() {
    let bed = Bed::start().await;
    let get = async |path: &str| {
        bed.call("GET", &format!("/api/v1/authorizationServers{path}"), None)
            .await
            .ok(200)
    };
    assert_eq!(get("").await[0], get("/default").await);
    let scopes = get("/default/scopes").await;
    let named = |name: &str| {
        scopes
            .as_array()
            .unwrap()
            .iter()
            .find(|scope| scope["name"] == name)
            .cloned()
    };
    assert_eq!(named("profile:share").unwrap()["consent"], "REQUIRED");
    assert_eq!(named("basic").unwrap()["default"], true);
    assert_eq!(named("openid").unwrap()["system"], true);
    let policies = get("/default/policies").await;
    assert_eq!(policies[0]["conditions"]["clients"]["include"], json!(["ALL_CLIENTS"]));
    let policy = policies[0]["id"].as_str().unwrap();
    assert_eq!(get(&format!("/default/policies/{policy}")).await, policies[0]);
    let rules = get(&format!("/default/policies/{policy}/rules")).await;
    assert_eq!(rules[0]["actions"]["token"]["accessTokenLifetimeMinutes"], 60);
    assert_eq!(
        bed.call("GET", "/api/v1/authorizationServers/other/scopes", None)
            .await
            .error(),
        (404, "E0000007")
    );
    bed.clean();
}
