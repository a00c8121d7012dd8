//! Apps themselves.

use serde_json::{Value, json};

use super::{Bed, CREDENTIALS, SETTINGS, machine, with};

#[tokio::test]
async fn o1_an_app_is_made_with_200_and_lifecycle_calls_have_no_body() {
    let bed = Bed::start().await;
    let app = bed.create(machine("shop")).await;
    let path = format!("/api/v1/apps/{}", app["id"].as_str().unwrap());
    assert_eq!(app["status"], "ACTIVE");
    assert_eq!(
        app["credentials"]["oauthClient"]["client_secret"],
        "secret-of-shop-0123456789"
    );
    assert_eq!(app["profile"], json!({"owner": "cluster/team/shop"}));
    let off = bed.call("POST", &format!("{path}/lifecycle/deactivate"), None).await;
    assert_eq!((off.status, off.body), (200, Value::Null));
    let secret = bed
        .call("POST", &format!("{path}/credentials/secrets"), Some(json!({})))
        .await;
    assert_eq!(secret.status, 201);
    assert_eq!(bed.okta.count("POST /api/v1/apps/{appId}/lifecycle/deactivate"), 1);
    bed.clean();
}

#[tokio::test]
async fn o2_a_chosen_client_id_is_not_the_apps_id() {
    let bed = Bed::start().await;
    let app = bed.create(machine("shop")).await;
    assert_eq!(app["credentials"]["oauthClient"]["client_id"], "client-shop");
    assert_ne!(app["id"], "client-shop");
    assert_eq!(
        bed.call("GET", "/api/v1/apps/client-shop", None).await.error(),
        (404, "E0000007")
    );
    let again = bed
        .call(
            "POST",
            "/api/v1/apps",
            Some(with(
                machine("other"),
                "/credentials/oauthClient/client_id",
                json!("client-shop"),
            )),
        )
        .await;
    assert_eq!(again.error(), (400, "E0000001"));
    assert_eq!(bed.okta.apps().len(), 1);
    let mut unnamed = machine("unnamed");
    unnamed["credentials"]["oauthClient"] = json!({"token_endpoint_auth_method": "client_secret_post"});
    let app = bed.create(unnamed).await;
    assert_eq!(app["credentials"]["oauthClient"]["client_id"], app["id"]);
    assert!(
        app["credentials"]["oauthClient"]["client_secret"]
            .as_str()
            .unwrap()
            .len()
            >= 40
    );
    bed.clean();
}

#[tokio::test]
async fn o3_chosen_ids_and_secrets_have_rules() {
    let bed = Bed::start().await;
    let refused = async |member: &str, value: String, method: &str| {
        let body = with(machine("shop"), &format!("{CREDENTIALS}/{member}"), json!(value));
        let body = with(
            body,
            &format!("{CREDENTIALS}/token_endpoint_auth_method"),
            json!(method),
        );
        let got = bed.call("POST", "/api/v1/apps", Some(body)).await;
        got.status == 400
    };
    let basic = "client_secret_basic";
    for id in [
        "short".to_owned(),
        "x".repeat(101),
        "with space".to_owned(),
        "slash/slash".to_owned(),
        "ALL_CLIENTS".to_owned(),
    ] {
        assert!(refused("client_id", id.clone(), basic).await, "{id}");
    }
    for secret in ["x".repeat(13), "x".repeat(101), "\u{e9}".repeat(20)] {
        assert!(refused("client_secret", secret.clone(), basic).await, "{secret}");
    }
    assert!(refused("client_secret", "x".repeat(31), "client_secret_jwt").await);
    assert!(refused("client_secret", "x".repeat(32), "none").await);
    assert!(!refused("client_id", "$-_.+!*'(),".to_owned(), basic).await);
    bed.clean();
}

#[tokio::test]
async fn o4_only_an_inactive_app_can_be_deleted() {
    let bed = Bed::start().await;
    let app = bed.create(machine("shop")).await;
    let path = format!("/api/v1/apps/{}", app["id"].as_str().unwrap());
    assert_eq!(bed.call("DELETE", &path, None).await.error(), (403, "E0000056"));
    bed.call("POST", &format!("{path}/lifecycle/deactivate"), None)
        .await
        .ok(200);
    bed.call("DELETE", &path, None).await.ok(204);
    assert_eq!(bed.call("DELETE", &path, None).await.error(), (404, "E0000007"));
    assert!(bed.okta.apps().is_empty());
    bed.clean();
}

#[tokio::test]
async fn o5_a_label_is_a_lock_of_active_apps() {
    let bed = Bed::start().await;
    let app = bed.create(machine("shop")).await;
    let path = format!("/api/v1/apps/{}/lifecycle", app["id"].as_str().unwrap());
    let twin = with(
        machine("shop"),
        &format!("{CREDENTIALS}/client_id"),
        json!("client-twin"),
    );
    let refused = bed.call("POST", "/api/v1/apps", Some(twin.clone())).await;
    assert_eq!(refused.error(), (400, "E0000001"));
    assert!(
        refused.cause().contains("\"shop\" already exists"),
        "{}",
        refused.cause()
    );
    bed.okta.set(|modes| modes.label_code_40 = true);
    assert_eq!(
        bed.call("POST", "/api/v1/apps", Some(twin.clone())).await.error(),
        (400, "E0000040")
    );
    bed.call("POST", &format!("{path}/deactivate"), None).await.ok(200);
    bed.create(twin).await;
    assert_eq!(
        bed.call("POST", &format!("{path}/activate"), None).await.error(),
        (400, "E0000040")
    );
    bed.clean();
}

#[tokio::test]
async fn o6_lists_leave_out_what_is_inactive_and_q_matches_the_name_of_all() {
    let bed = Bed::start().await;
    for label in ["shop-a", "shop-b", "else"] {
        bed.create(machine(label)).await;
    }
    bed.okta.app("client-shop-b", |app| app.active = false);
    let labels = async |query: &str| {
        let list = bed.call("GET", &format!("/api/v1/apps?{query}"), None).await.ok(200);
        list.as_array()
            .unwrap()
            .iter()
            .map(|app| app["label"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(labels("q=shop").await, ["shop-a"]);
    assert_eq!(labels("q=Shop&includeNonDeleted=true").await, ["shop-a", "shop-b"]);
    assert_eq!(labels("q=hop&includeNonDeleted=true").await, Vec::<String>::new());
    assert_eq!(labels("q=oidc").await.len(), 3, "with the operator's own");
    assert_eq!(labels("filter=status+eq+%22INACTIVE%22").await, ["shop-b"]);
    let refused = bed.call("GET", "/api/v1/apps?filter=label+eq+%22shop-a%22", None).await;
    assert_eq!(refused.error(), (400, "E0000031"));
    let list = bed.call("GET", "/api/v1/apps?q=shop-a", None).await.ok(200);
    assert_eq!(list[0]["credentials"]["oauthClient"].get("client_secret"), None);
    bed.clean();
}

#[tokio::test]
async fn o7_pages_are_linked() {
    let bed = Bed::start().await;
    for number in 0..5 {
        bed.okta.add_app(&format!("shop-{number}"), &format!("client-{number}"));
    }
    let (mut address, mut labels) = ("/api/v1/apps?q=shop&limit=2".to_owned(), vec![]);
    for page in 0.. {
        assert!(page < 3, "no end");
        let got = bed.call("GET", &address, None).await;
        let links: Vec<_> = got
            .headers
            .get_all("link")
            .iter()
            .map(|link| link.to_str().unwrap())
            .collect();
        assert!(links[0].ends_with("; rel=\"self\""), "{links:?}");
        let next = links
            .iter()
            .find_map(|link| link.strip_suffix(">; rel=\"next\"")?.strip_prefix('<'));
        let next = next.map(str::to_owned);
        assert_eq!(links.len(), 1 + usize::from(next.is_some()));
        labels.extend(
            got.ok(200)
                .as_array()
                .unwrap()
                .iter()
                .map(|app| app["label"].as_str().unwrap().to_owned()),
        );
        let Some(next) = next else { break };
        address = next;
    }
    assert_eq!(labels, ["shop-0", "shop-1", "shop-2", "shop-3", "shop-4"]);
    assert_eq!(bed.call("GET", "/api/v1/apps?after=2", None).await.status, 400);
    assert_eq!(bed.call("GET", "/api/v1/apps?limit=201", None).await.status, 400);
    bed.clean();
}

#[tokio::test]
async fn o8_put_replaces() {
    let bed = Bed::start().await;
    let app = bed.create(machine("shop")).await;
    let path = format!("/api/v1/apps/{}", app["id"].as_str().unwrap());
    let refused = async |body: Value| bed.call("PUT", &path, Some(body)).await.error().0 == 400;
    let read = bed.call("GET", &path, None).await.ok(200);
    let mut changed = with(read.clone(), "/label", json!("shop 2"));
    changed["status"] = json!("INACTIVE");
    let put = bed.call("PUT", &path, Some(changed)).await.ok(200);
    assert_eq!(
        (&put["label"], &put["status"], &put["profile"]),
        (&json!("shop 2"), &json!("ACTIVE"), &read["profile"])
    );
    assert_eq!(
        put["credentials"]["oauthClient"]["client_secret"], "secret-of-shop-0123456789",
        "shown on replace"
    );
    let without = |member: &str| {
        let mut body = read.clone();
        body.as_object_mut().unwrap().remove(member);
        body
    };
    for member in ["label", "signOnMode", "settings"] {
        assert!(refused(without(member)).await, "{member}");
    }
    assert!(
        refused(with(
            read.clone(),
            &format!("{CREDENTIALS}/client_id"),
            json!("another-id")
        ))
        .await
    );
    let web = with(read.clone(), &format!("{SETTINGS}/application_type"), json!("web"));
    assert!(refused(web).await);
    let put = bed.call("PUT", &path, Some(without("profile"))).await.ok(200);
    assert_eq!(put.get("profile"), None, "what is left out is lost");
    let secret = with(
        read.clone(),
        &format!("{CREDENTIALS}/client_secret"),
        json!("another-secret-0123456789"),
    );
    bed.call("PUT", &path, Some(secret)).await.ok(200);
    let apps = bed.okta.apps();
    assert_eq!(
        (apps[0].secrets.len(), apps[0].secrets[0].value.as_str()),
        (1, "another-secret-0123456789")
    );
    bed.clean();
}

#[tokio::test]
async fn o21_a_young_app_flaps() {
    let bed = Bed::start().await;
    bed.okta.set(|modes| modes.young_reads = 4);
    let app = bed.create(machine("shop")).await;
    let path = format!("/api/v1/apps/{}", app["id"].as_str().unwrap());
    let mut seen = vec![];
    for _ in 0..6 {
        seen.push(bed.call("GET", &path, None).await.status);
    }
    assert_eq!(seen, [404, 200, 404, 200, 200, 200]);
    bed.create(machine("young")).await;
    let found = async || {
        bed.call("GET", "/api/v1/apps?q=young", None)
            .await
            .ok(200)
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!([found().await, found().await, found().await], [0, 1, 0]);
    let again = bed.call("POST", "/api/v1/apps", Some(machine("young"))).await;
    assert_eq!(again.error(), (400, "E0000001"), "not seen, and there");
    bed.clean();
}

#[tokio::test]
async fn o24_the_application_type_limits_the_grants() {
    let bed = Bed::start().await;
    let status = async |kind: &str, grants: Value, method: &str, pkce: bool| {
        let mut body = machine("shop");
        body["credentials"]["oauthClient"] = json!({"token_endpoint_auth_method": method, "pkce_required": pkce});
        body["settings"]["oauthClient"] = json!({
            "application_type": kind, "grant_types": grants, "redirect_uris": ["https://shop.example.com/callback"],
        });
        let got = bed.call("POST", "/api/v1/apps", Some(body)).await;
        if let Some(id) = got.body["id"].as_str() {
            bed.okta.delete_app(id);
        }
        got.status
    };
    let (basic, user, machine_and_user) = (
        "client_secret_basic",
        json!(["authorization_code", "refresh_token"]),
        json!(["authorization_code", "client_credentials"]),
    );
    assert_eq!(status("web", machine_and_user.clone(), basic, false).await, 200);
    assert_eq!(status("service", machine_and_user.clone(), basic, false).await, 400);
    assert_eq!(
        status("web", json!(["client_credentials"]), basic, false).await,
        400,
        "web must have a user's grant"
    );
    assert_eq!(status("native", machine_and_user.clone(), "none", true).await, 400);
    assert_eq!(status("browser", machine_and_user, "none", true).await, 400);
    assert_eq!(status("native", user.clone(), "none", true).await, 200);
    assert_eq!(
        status("native", user.clone(), "none", false).await,
        400,
        "a public client needs PKCE"
    );
    assert_eq!(status("nonsense", user, basic, false).await, 400);
    let dpop = with(
        machine("dpop"),
        &format!("{SETTINGS}/dpop_bound_access_tokens"),
        json!(true),
    );
    assert_eq!(bed.call("POST", "/api/v1/apps", Some(dpop)).await.status, 400);
    let mut homeless = machine("homeless");
    homeless["settings"]["oauthClient"] = json!({"application_type": "web", "grant_types": ["authorization_code"]});
    assert_eq!(
        bed.call("POST", "/api/v1/apps", Some(homeless.clone())).await.status,
        400
    );
    homeless["settings"]["oauthClient"]["redirect_uris"] = json!(["https://shop.example.com/#part"]);
    assert_eq!(bed.call("POST", "/api/v1/apps", Some(homeless)).await.status, 400);
    bed.clean();
}

#[tokio::test]
async fn o25_errors_have_two_shapes() {
    let bed = Bed::start().await;
    let token = format!("SSWS {}", bed.okta.operator().api_token);
    let send = async |kind: &str, body: &'static str| {
        let request = bed
            .request("POST", "/api/v1/apps")
            .header("authorization", &token)
            .header("content-type", kind);
        Bed::send(request.body(body)).await
    };
    let kind = send("text/plain", "{}").await;
    assert_eq!(kind.error(), (404, "E0000012"));
    assert!(kind.body["errorId"].as_str().unwrap().len() > 10 && kind.body["errorLink"] == "E0000012");
    assert_eq!(send("application/json", "{").await.error(), (400, "E0000003"));
    let oauth = bed.token("nobody", "nothing", &[]).await;
    assert_eq!(oauth.error(), (401, "invalid_client"));
    assert!(oauth.body["error_description"].is_string() && oauth.body["errorCode"].is_null());
    let metadata = "/oauth2/default/.well-known/oauth-authorization-server?client_id=nobody";
    let mixed = Bed::send(bed.request("GET", metadata)).await;
    assert_eq!(
        (mixed.status, &mixed.body["errorCode"]),
        (400, &json!("invalid_client"))
    );
    bed.clean();
}
