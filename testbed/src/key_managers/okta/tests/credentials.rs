//! Secrets and keys of an app.

use jsonwebtoken::{Algorithm, Header};
use serde_json::{Value, json};

use super::{
    super::{KeyList, org::Signer},
    Bed, CREDENTIALS, Got, SETTINGS, assertion_form, claims, machine, with,
};

/// The path of an app's secrets, of which it has one.
async fn secrets_of(bed: &Bed, label: &str) -> String {
    let app = bed.create(machine(label)).await;
    format!("/api/v1/apps/{}/credentials/secrets", app["id"].as_str().unwrap())
}

async fn list(bed: &Bed, path: &str) -> Vec<Value> {
    let got = bed.call("GET", path, None).await.ok(200);
    got.as_array().or(got["keys"].as_array()).unwrap().clone()
}

async fn turn(bed: &Bed, path: &str, secret: &Value, verb: &str) -> Got {
    let id = secret["id"].as_str().unwrap();
    bed.call("POST", &format!("{path}/{id}/lifecycle/{verb}"), None).await
}

#[tokio::test]
async fn o9_an_app_has_two_secrets_and_inactive_ones_count() {
    let bed = Bed::start().await;
    let path = secrets_of(&bed, "shop").await;
    let chosen = json!({"client_secret": "another-secret-0123456789"});
    let second = bed.call("POST", &path, Some(chosen)).await.ok(201);
    assert_eq!(
        (&second["status"], &second["client_secret"]),
        (&json!("ACTIVE"), &json!("another-secret-0123456789"))
    );
    let third = async || bed.call("POST", &path, Some(json!({}))).await;
    assert_eq!(
        third().await.cause(),
        "You've reached the maximum number of client secrets per client."
    );
    turn(&bed, &path, &second, "deactivate").await.ok(200);
    assert_eq!(third().await.error(), (400, "E0000001"), "an inactive one counts");
    let id = second["id"].as_str().unwrap();
    bed.call("DELETE", &format!("{path}/{id}"), None).await.ok(204);
    assert_eq!(
        bed.call("GET", &format!("{path}/{id}"), None).await.error(),
        (404, "E0000007")
    );
    third().await.ok(201);
    assert!(bed.okta.app("client-shop", |app| app.secrets.truncate(1)));
    assert!(bed.okta.add_secret("client-shop", "made-by-hand-0123456789", false));
    assert_eq!(third().await.error(), (400, "E0000001"), "somebody else's counts too");
    bed.okta.app("client-shop", |app| app.secrets.truncate(1));
    let short = bed.call("POST", &path, Some(json!({"client_secret": "short"}))).await;
    assert_eq!(
        short.cause(),
        "client_secret: 'client_secret' must be at least '14' characters long."
    );
    bed.clean();
}

#[tokio::test]
async fn o10_secrets_are_readable_in_their_list_only() {
    let bed = Bed::start().await;
    let path = secrets_of(&bed, "shop").await;
    assert_eq!(list(&bed, &path).await[0]["client_secret"], "secret-of-shop-0123456789");
    let app = bed
        .call("GET", path.strip_suffix("/credentials/secrets").unwrap(), None)
        .await
        .ok(200);
    assert_eq!(app["credentials"]["oauthClient"].get("client_secret"), None);
    bed.okta.set(|modes| modes.secrets_hidden = true);
    let hidden = &list(&bed, &path).await[0];
    assert!(hidden.get("client_secret").is_none() && hidden["secret_hash"].is_string());
    bed.clean();
}

#[tokio::test]
async fn o11_the_last_active_secret_stays() {
    let bed = Bed::start().await;
    let path = secrets_of(&bed, "shop").await;
    let first = list(&bed, &path).await.remove(0);
    let refused = turn(&bed, &path, &first, "deactivate").await;
    assert_eq!(refused.cause(), "You can't deactivate the only active client secret.");
    bed.call("POST", &path, Some(json!({}))).await.ok(201);
    let delete = format!("{path}/{}", first["id"].as_str().unwrap());
    let refused = bed.call("DELETE", &delete, None).await;
    assert!(refused.cause().contains("Deactivate the secret before deleting it."));
    let logs_in = async || bed.token("client-shop", "secret-of-shop-0123456789", &[]).await.status == 200;
    assert!(logs_in().await);
    assert_eq!(
        turn(&bed, &path, &first, "deactivate").await.ok(200)["status"],
        "INACTIVE"
    );
    assert!(!logs_in().await);
    turn(&bed, &path, &first, "activate").await.ok(200);
    assert!(logs_in().await, "it can be undone");
    bed.clean();
}

#[tokio::test]
async fn o22_a_new_secret_may_not_work_at_once() {
    let bed = Bed::start().await;
    bed.okta.set(|modes| modes.late_credentials = 2);
    bed.create(machine("shop")).await;
    let mut seen = vec![];
    for _ in 0..3 {
        seen.push(bed.token("client-shop", "secret-of-shop-0123456789", &[]).await.status);
    }
    assert_eq!(seen, [401, 401, 200]);
    bed.clean();
}

#[tokio::test]
async fn o23_keys_and_secrets_exclude_each_other() {
    let bed = Bed::start().await;
    let (signer, _) = Signer::generate().unwrap();
    let key = serde_json::to_value(&signer.public).unwrap();
    let app = bed.create(machine("shop")).await;
    let path = format!("/api/v1/apps/{}", app["id"].as_str().unwrap());
    let jwks = format!("{path}/credentials/jwks");
    // The app takes keys in place of its secret.
    let mut by_key = bed.call("GET", &path, None).await.ok(200);
    by_key["credentials"]["oauthClient"]["token_endpoint_auth_method"] = json!("private_key_jwt");
    assert_eq!(
        bed.call("PUT", &path, Some(by_key.clone())).await.status,
        400,
        "without a key"
    );
    by_key["settings"]["oauthClient"]["jwks"] = json!({"keys": [key]});
    bed.call("PUT", &path, Some(by_key.clone())).await.ok(200);
    assert!(bed.okta.apps()[0].secrets.is_empty());
    let secret = bed
        .call("POST", &format!("{path}/credentials/secrets"), Some(json!({})))
        .await;
    assert_eq!(secret.error(), (400, "E0000001"));
    // It logs in with the key.
    let logs_in = async |signer: &Signer| {
        let address = format!("{}/oauth2/default/v1/token", bed.okta.url());
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(signer.kid.clone());
        let assertion = jsonwebtoken::encode(&header, &claims("client-shop", &address), &signer.key).unwrap();
        let form = assertion_form("orders:read", &assertion);
        Bed::send(bed.request("POST", "/oauth2/default/v1/token").form(&form))
            .await
            .status
    };
    assert_eq!(logs_in(&signer).await, 200);
    // A second key, and the first one goes.
    let first = list(&bed, &jwks).await.remove(0);
    assert!(
        turn(&bed, &jwks, &first, "deactivate")
            .await
            .cause()
            .contains("only active JSON Web Key")
    );
    assert_eq!(
        bed.call("POST", &jwks, Some(key.clone())).await.error(),
        (400, "E0000001"),
        "the same kid"
    );
    let (next, _) = Signer::generate().unwrap();
    bed.call("POST", &jwks, Some(serde_json::to_value(&next.public).unwrap()))
        .await
        .ok(201);
    let delete = format!("{jwks}/{}", first["id"].as_str().unwrap());
    assert!(
        bed.call("DELETE", &delete, None)
            .await
            .cause()
            .contains("Deactivate the key")
    );
    turn(&bed, &jwks, &first, "deactivate").await.ok(200);
    assert_eq!((logs_in(&signer).await, logs_in(&next).await), (401, 200));
    bed.call("DELETE", &delete, None).await.ok(204);
    // A private key is no public key.
    let private = with(key, "/d", json!("AAAA"));
    assert_eq!(bed.call("POST", &jwks, Some(private)).await.status, 400);
    // An address in place of the keys deletes them.
    by_key["settings"]["oauthClient"]
        .as_object_mut()
        .unwrap()
        .remove("jwks");
    by_key["settings"]["oauthClient"]["jwks_uri"] = json!("https://shop.example.com/keys");
    bed.call("PUT", &path, Some(by_key)).await.ok(200);
    assert!(list(&bed, &jwks).await.is_empty());
    bed.clean();
}

#[tokio::test]
async fn o23_there_are_at_most_fifty_keys() {
    let bed = Bed::start().await;
    let (signer, _) = Signer::generate().unwrap();
    let key = |number: usize| {
        with(
            serde_json::to_value(&signer.public).unwrap(),
            "/kid",
            json!(format!("key-{number}")),
        )
    };
    let mut body = machine("shop");
    body["credentials"]["oauthClient"] = json!({"token_endpoint_auth_method": "private_key_jwt"});
    body["settings"]["oauthClient"]["jwks"] = json!({"keys": (0..50).map(key).collect::<Vec<_>>()});
    let app = bed.create(body).await;
    let jwks = format!("/api/v1/apps/{}/credentials/jwks", app["id"].as_str().unwrap());
    assert_eq!(bed.call("POST", &jwks, Some(key(50))).await.error(), (400, "E0000001"));
    bed.clean();
}

#[tokio::test]
async fn o26_what_cannot_log_in_is_an_invalid_client() {
    let bed = Bed::start().await;
    bed.create(machine("shop")).await;
    let secret = "secret-of-shop-0123456789";
    assert_eq!(bed.token("client-shop", secret, &[]).await.status, 200);
    assert_eq!(
        bed.token("client-shop", "wrong", &[]).await.error(),
        (401, "invalid_client")
    );
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "client-shop"),
        ("client_secret", secret),
    ];
    let posted = Bed::send(bed.request("POST", "/oauth2/default/v1/token").form(&form)).await;
    assert_eq!(posted.error(), (401, "invalid_client"), "registered for the header");
    let both = bed.token("client-shop", secret, &form).await;
    assert_eq!(both.error(), (401, "invalid_request"));
    bed.okta.app("client-shop", |app| app.active = false);
    assert_eq!(
        bed.token("client-shop", secret, &[]).await.error(),
        (401, "invalid_client")
    );
    bed.okta.delete_app("client-shop");
    assert_eq!(
        bed.token("client-shop", secret, &[]).await.error(),
        (401, "invalid_client")
    );
    bed.clean();
}

#[tokio::test]
async fn a_secret_is_percent_decoded_in_the_header() {
    let bed = Bed::start().await;
    let secret = "a+b%c:d&e=f g-0123456789";
    let body = with(machine("shop"), &format!("{CREDENTIALS}/client_secret"), json!(secret));
    bed.create(with(
        body,
        &format!("{SETTINGS}/client_uri"),
        json!("https://shop.example.com"),
    ))
    .await;
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    assert_eq!(bed.token("client-shop", &encoded, &[]).await.status, 200);
    bed.clean();
}

#[tokio::test]
async fn o27_times_have_whole_seconds() {
    let bed = Bed::start().await;
    let path = secrets_of(&bed, "shop").await;
    // Rather than race the clock, look at how times are written.
    for secret in list(&bed, &path).await {
        let created: jiff::Timestamp = secret["created"].as_str().unwrap().parse().unwrap();
        assert_eq!(created.subsec_nanosecond(), 0);
    }
    bed.clean();
}

#[tokio::test]
async fn o28_the_list_of_keys_has_three_forms() {
    let bed = Bed::start().await;
    let mut body = machine("shop");
    let (signer, _) = Signer::generate().unwrap();
    body["credentials"]["oauthClient"] = json!({"token_endpoint_auth_method": "private_key_jwt"});
    body["settings"]["oauthClient"]["jwks"] = json!({"keys": [signer.public]});
    let app = bed.create(body).await;
    let path = format!("/api/v1/apps/{}/credentials/jwks", app["id"].as_str().unwrap());
    for (form, pointer) in [
        (KeyList::Keys, "/keys/0"),
        (KeyList::Array, "/0"),
        (KeyList::Wrapped, "/jwks/keys/0"),
    ] {
        bed.okta.set(|modes| modes.key_list = form);
        let got = bed.call("GET", &path, None).await.ok(200);
        assert_eq!(got.pointer(pointer).unwrap()["kid"], json!(signer.kid), "{form:?}");
    }
    bed.clean();
}
