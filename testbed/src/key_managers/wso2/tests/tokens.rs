//! Client registration and tokens: W28, and what a token is.

use jsonwebtoken::jwk::JwkSet;
use serde_json::{Value, json};

use super::{Bed, code, read, text};
use crate::{
    key_managers::wso2::{Settings, Switch, User, Version},
    protected_api::TrustedIssuer,
};

#[tokio::test]
async fn w28_registering_again_changes_nothing() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let (user, password) = (bed.wso2.user(), bed.wso2.password());
    let mut body = json!({"clientName": "operator", "owner": user, "grantType": "password"});
    let (_, again) = bed.register(user, password, &body).await;
    assert_eq!(text(&again["clientSecret"]), bed.registered.1);
    assert!(
        text(&again["jsonString"]).contains("refresh_token"),
        "the old grants: {again}"
    );
    body["owner"] = json!(format!("{user}@carbon.super"));
    assert_eq!(bed.register(user, password, &body).await.0, 403);
    bed.wso2.state().settings.turn(Switch::HashedSecrets, true);
    body["owner"] = json!(user);
    let digest = text(&bed.register(user, password, &body).await.1["clientSecret"]);
    assert_eq!(bed.proves(&bed.registered.0, &digest).await, 401);

    bed.wso2
        .state()
        .users
        .insert("other".to_owned(), User::new("x", &["Internal/subscriber"]));
    body["owner"] = json!("other");
    assert_eq!(bed.register("other", "x", &body).await.0, 403);
    bed.wso2.state().settings.turn(Switch::HashedSecrets, false);
    bed.wso2.state().settings.turn(Switch::RegistrationHandsOut, true);
    assert_eq!(
        text(&bed.register("other", "x", &body).await.1["clientSecret"]),
        bed.registered.1
    );
    bed.clean();
}

#[tokio::test]
async fn registration_is_refused_in_many_ways() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let (user, password) = (bed.wso2.user(), bed.wso2.password());
    let body = |owner: &str| json!({"clientName": "c", "owner": owner, "grantType": "password"});
    assert_eq!(bed.register(user, "wrong", &body(user)).await.0, 401);
    assert_eq!(code(&bed.register(user, password, &body("")).await), (400, 400));
    assert_eq!(code(&bed.register(user, password, &body("admin")).await), (400, 500));
    assert_eq!(bed.register(user, password, &body("nobody")).await.0, 403);
    assert_eq!(
        bed.register(user, password, &json!({"clientName": "c", "owner": user}))
            .await
            .0,
        500
    );
    bed.wso2.state().settings.turn(Switch::RegistrationStarting, true);
    assert_eq!(bed.register(user, password, &body(user)).await.0, 500);
    bed.wso2.state().settings.turn(Switch::RegistrationStarting, false);
    bed.wso2.state().users.get_mut(user).unwrap().locked = true;
    assert_eq!(bed.register(user, password, &body(user)).await.0, 401);
    let (status, answer) = bed.log_in("apim:subscribe").await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")));
    bed.clean();
}

#[tokio::test]
async fn tokens_are_signed_and_say_whose_they_are() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let (_, key) = bed.key("a").await;
    let (id, secret) = (text(&key["consumerKey"]), text(&key["consumerSecret"]));
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", "orders:read apim:admin"),
    ];
    let (_, answer) = bed.token(&id, &secret, &form).await;
    assert_eq!(
        (&answer["scope"], &answer["token_type"]),
        (&json!("orders:read"), &json!("Bearer"))
    );
    let (_, keys) = read(bed.http.get(format!("{}/oauth2/jwks", bed.wso2.url()))).await;
    let issuer = TrustedIssuer {
        issuer: format!("{}/oauth2/token", bed.wso2.url()),
        audience: id.clone(),
        token_type: "at+jwt",
        keys: serde_json::from_value::<JwkSet>(keys).unwrap(),
    };
    let token = text(&answer["access_token"]);
    let claims = issuer.check(&token).unwrap();
    assert_eq!((&claims["azp"], &claims["aut"]), (&json!(id), &json!("APPLICATION")));
    let again = text(&bed.token(&id, &secret, &form).await.1["access_token"]);
    assert_ne!(again, token);

    let introspect = |user: &str, password: &str| {
        let request = bed.http.post(format!("{}/oauth2/introspect", bed.wso2.url()));
        read(
            request
                .basic_auth(user, Some(password))
                .form(&[("token", token.as_str())]),
        )
    };
    assert_eq!(introspect(&id, &secret).await.0, 401);
    assert_eq!(introspect("admin", "admin").await.1["active"], true);
    let revoke = bed.http.post(format!("{}/oauth2/revoke", bed.wso2.url()));
    assert_eq!(
        read(revoke.basic_auth(&id, Some(&secret)).form(&[("token", token.as_str())]))
            .await
            .0,
        200
    );
    assert_eq!(introspect("admin", "admin").await.1["active"], false);
    bed.clean();
}

#[tokio::test]
async fn a_code_that_cannot_exist_proves_a_secret() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let application = bed.application("a").await;
    let body = json!({"grantTypesToBeSupported": ["authorization_code"], "callbackUrl": "https://a.example/cb"});
    let (_, key) = bed.generate(&application, body).await;
    let (id, secret) = (text(&key["consumerKey"]), text(&key["consumerSecret"]));
    let form = [
        ("grant_type", "authorization_code"),
        ("code", "none"),
        ("redirect_uri", "https://a.example/cb"),
    ];
    let error = |answer: &(u16, Value)| (answer.0, text(&answer.1["error"]));
    assert_eq!(
        error(&bed.token(&id, &secret, &form).await),
        (400, "invalid_grant".to_owned())
    );
    assert_eq!(
        error(&bed.token(&id, "wrong", &form).await),
        (401, "invalid_client".to_owned())
    );
    let refused = bed.token(&id, &secret, &[("grant_type", "client_credentials")]).await;
    assert_eq!(error(&refused), (400, "unauthorized_client".to_owned()));
    assert_eq!(
        error(&bed.token(&id, &secret, &[("grant_type", "other")]).await),
        (400, "invalid_request".to_owned())
    );
    bed.wso2.state().resident().clients.get_mut(&id).unwrap().active = false;
    assert_eq!(
        error(&bed.token(&id, &secret, &form).await),
        (401, "invalid_client".to_owned())
    );
    bed.clean();
}

#[tokio::test]
async fn a_public_client_needs_no_secret_and_posted_secrets_work() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let (application, key) = bed.key("a").await;
    let (id, secret) = (text(&key["consumerKey"]), text(&key["consumerSecret"]));
    let ask =
        |form: Vec<(&'static str, String)>| read(bed.http.post(format!("{}/oauth2/token", bed.wso2.url())).form(&form));
    let form = vec![
        ("grant_type", "client_credentials".to_owned()),
        ("client_id", id.clone()),
    ];
    let mut posted = form.clone();
    posted.push(("client_secret", secret));
    assert_eq!([ask(form.clone()).await.0, ask(posted).await.0], [401, 200]);
    let body = json!({"additionalProperties": {"bypassClientCredentials": "true"}});
    bed.good("PUT", &super::of_key(&application, &key), body).await;
    assert_eq!(ask(form).await.0, 200);
    bed.clean();
}

#[tokio::test]
async fn opaque_tokens_are_given_again_and_refresh_tokens_once() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let (_, first) = bed.log_in(super::SCOPES).await;
    let (_, second) = bed.log_in(super::SCOPES).await;
    assert_eq!(first["access_token"], second["access_token"]);
    assert!(!text(&first["access_token"]).contains('.'));
    let (id, secret) = bed.registered.clone();
    let token = text(&first["refresh_token"]);
    let form = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
    assert_eq!(bed.token(&id, &secret, &form).await.0, 200);
    assert_eq!(bed.token(&id, &secret, &form).await.1["error"], "invalid_grant");
    bed.clean();
}
