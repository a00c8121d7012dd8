//! W17 to W19 and others of approval, deletion, versions and tenants.

use serde_json::{Value, json};

use super::{Bed, SCOPES, code, of_key, read, text};
use crate::key_managers::wso2::{
    Constraint, Decision, KeyManager, KeyState, Kind, Settings, Switch, Trouble, User, Version,
};

#[tokio::test]
async fn w17_a_key_waits_for_approval_and_its_secret_is_shown_to_nobody() {
    let bed = Bed::start(Settings::of(Version::V4_7).with(Switch::ApproveKeys)).await;
    let (application, key) = bed.key("a").await;
    assert_eq!(
        (&key["keyState"], &key["consumerKey"]),
        (&json!("CREATED"), &Value::Null)
    );
    assert_eq!(code(&bed.generate(&application, json!({})).await), (409, 901_409));
    assert_eq!(code(&bed.get(&of_key(&application, &key)).await), (500, 500));
    bed.wso2.state().decide(Decision::Approve);
    let keys = bed.keys(&application).await;
    assert_eq!(
        (&keys[0]["keyState"], keys[0]["consumerSecret"].as_str().unwrap().len()),
        (&json!("COMPLETED"), 16)
    );
    let secret = bed
        .good(
            "POST",
            &format!("{}/generate-secret", of_key(&application, &key)),
            json!({}),
        )
        .await;
    assert_eq!(
        bed.proves(&text(&keys[0]["consumerKey"]), &text(&secret["secretValue"]))
            .await,
        200
    );

    let (application, key) = bed.key("b").await;
    bed.wso2.state().decide(Decision::Reject);
    assert_eq!(bed.keys(&application).await[0]["keyState"], "REJECTED");
    assert_eq!(code(&bed.generate(&application, json!({})).await), (409, 901_409));
    bed.good("POST", &format!("{}/clean-up", of_key(&application, &key)), Value::Null)
        .await;
    assert_eq!(bed.generate(&application, json!({})).await.0, 200);
    bed.clean();
}

#[tokio::test]
async fn w18_an_application_waits_behind_a_201() {
    let approvals = [
        Switch::ApproveApplications,
        Switch::ApproveDeletions,
        Switch::ApproveUpdates,
    ];
    let settings = approvals.into_iter().fold(Settings::of(Version::V4_6), Settings::with);
    let bed = Bed::start(settings).await;
    let body = json!({"name": "a", "throttlingPolicy": "Unlimited"});
    let (status, answer) = bed.call("POST", "/applications", body.clone()).await;
    assert_eq!((status, &answer["status"]), (201, &json!("CREATED")));
    let path = format!("/applications/{}", text(&answer["applicationId"]));
    assert_eq!(
        code(&bed.generate(&text(&answer["applicationId"]), json!({})).await),
        (400, 400)
    );
    bed.wso2.state().decide(Decision::Approve);
    let changed = json!({"name": "a", "throttlingPolicy": "10PerMin"});
    let (_, waiting) = bed.call("PUT", &path, changed.clone()).await;
    assert_eq!(
        (&waiting["status"], &waiting["throttlingPolicy"]),
        (&json!("UPDATE_PENDING"), &json!("Unlimited"))
    );
    assert_eq!(code(&bed.call("PUT", &path, changed).await), (409, 900_553));
    bed.wso2.state().decide(Decision::Approve);
    assert_eq!(bed.get(&path).await.1["throttlingPolicy"], "10PerMin");
    assert_eq!(bed.call("DELETE", &path, Value::Null).await, (201, Value::Null));
    assert_eq!(bed.get(&path).await.1["status"], "DELETE_PENDING");
    assert_eq!(bed.call("DELETE", &path, Value::Null).await, (400, Value::Null));
    bed.wso2.state().decide(Decision::Approve);
    assert_eq!(bed.get(&path).await.0, 404);
    let (_, refused) = bed.call("POST", "/applications", body).await;
    bed.wso2.state().decide(Decision::Reject);
    assert_eq!(
        bed.stored_application(&text(&refused["applicationId"])).status,
        "REJECTED"
    );
    bed.clean();
}

#[tokio::test]
async fn w19_a_key_without_its_client_cannot_be_deleted() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let (application, key) = bed.key("a").await;
    let path = of_key(&application, &key);
    bed.wso2.state().resident().clients.remove(&text(&key["consumerKey"]));
    assert_eq!(code(&bed.call("DELETE", &path, Value::Null).await), (500, 500));
    bed.good("POST", &format!("{path}/clean-up"), Value::Null).await;
    assert_eq!(code(&bed.call("DELETE", &path, Value::Null).await), (500, 500));
    let (_, key) = bed.generate(&application, json!({})).await;
    let path = of_key(&application, &key);
    assert_eq!(bed.call("DELETE", &path, Value::Null).await.0, 200);
    assert_eq!(
        bed.proves(&text(&key["consumerKey"]), &text(&key["consumerSecret"]))
            .await,
        401
    );
    bed.clean();
}

#[tokio::test]
async fn w30_keys_cannot_be_deleted_before_4_3() {
    let bed = Bed::start(Settings::of(Version::V4_2)).await;
    let (application, key) = bed.key("a").await;
    assert_eq!(
        bed.call("DELETE", &of_key(&application, &key), Value::Null).await.0,
        405
    );
    assert_eq!(
        bed.call("DELETE", &format!("/applications/{application}"), Value::Null)
            .await
            .0,
        200
    );
    assert_eq!(bed.wso2.state().resident().clients.len(), 1, "the operator's own");
    bed.clean();
}

#[tokio::test]
async fn w31_restricted_and_disabled_key_managers_are_listed() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let id = bed.wso2.state().resident().id.clone();
    bed.wso2.state().resident().troubles.insert(Trouble::Restricted);
    let application = bed.application("a").await;
    assert_eq!(
        code(&bed.generate(&application, json!({"keyManager": id})).await),
        (403, 902_013)
    );
    // By name it escapes.
    assert_eq!(bed.generate(&application, json!({})).await.0, 200);
    bed.wso2.state().resident().troubles.insert(Trouble::Disabled);
    let (_, list) = bed.get("/key-managers").await;
    assert_eq!(
        (&list["count"], &list["list"][0]["enabled"]),
        (&json!(1), &json!(false))
    );
    bed.clean();
}

#[tokio::test]
async fn w32_the_resident_key_manager_comes_with_the_first_list() {
    let bed = Bed::start(Settings::of(Version::V4_6).with(Switch::LazyResident)).await;
    let application = bed.application("a").await;
    assert_eq!(code(&bed.generate(&application, json!({})).await), (400, 901_403));
    bed.good("GET", "/key-managers", Value::Null).await;
    assert_eq!(bed.generate(&application, json!({})).await.0, 200);
    bed.clean();
}

#[tokio::test]
async fn w33_a_complete_key_behind_an_error() {
    let bed = Bed::start(Settings::of(Version::V4_6).with(Switch::TestTokenFails)).await;
    let application = bed.application("a").await;
    assert_eq!(code(&bed.generate(&application, json!({})).await), (500, 900_967));
    assert_eq!(bed.stored_key().state, KeyState::Completed);
    assert_eq!(bed.keys(&application).await[0]["keyState"], "COMPLETED");
    bed.clean();
}

#[tokio::test]
async fn w34_keys_of_another_tenant() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    bed.wso2.state().add_tenant("team.example");
    let application = bed.application("a").await;
    let body = json!({"keyType": "PRODUCTION", "grantTypesToBeSupported": ["client_credentials"]});
    let generate = format!("/applications/{application}/generate-keys");
    let across = |path: &str, method: &str, body: &Value, tenant: &str| {
        bed.request(method, path, body).header("X-WSO2-Tenant", tenant)
    };
    assert_eq!(
        code(&read(across(&generate, "POST", &body, "nobody.example")).await),
        (400, 901_300)
    );
    assert_eq!(
        code(&read(across(&generate, "POST", &body, "team.example")).await),
        (500, 500)
    );
    let twin = format!("{}@team.example", bed.wso2.user());
    bed.wso2
        .state()
        .users
        .insert(twin, User::new("x", &["Internal/subscriber"]));
    assert_eq!(read(across(&generate, "POST", &body, "team.example")).await.0, 200);
    assert_eq!(bed.keys(&application).await.len(), 0);
    let list = format!("/applications/{application}/oauth-keys");
    assert_eq!(
        read(across(&list, "GET", &Value::Null, "team.example")).await.1["count"],
        1
    );
    bed.clean();
}

#[tokio::test]
async fn w35_a_constrained_property_must_be_there() {
    let bed = Bed::start(Settings::of(Version::V4_7)).await;
    let range = Constraint {
        property: "application_access_token_expiry_time",
        kind: "RANGE",
        value: json!({"min": 60, "max": 3600}),
    };
    bed.wso2.state().resident().constraints.push(range);
    let application = bed.application("a").await;
    let with = |time: &str| json!({"additionalProperties": {"application_access_token_expiry_time": time}});
    assert_eq!(code(&bed.generate(&application, json!({})).await), (400, 900_970));
    assert_eq!(code(&bed.generate(&application, with("9999")).await), (400, 900_970));
    let (status, key) = bed.generate(&application, with("600")).await;
    assert_eq!(status, 200);
    let update = json!({"supportedGrantTypes": ["client_credentials"]});
    assert_eq!(
        code(&bed.call("PUT", &of_key(&application, &key), update).await),
        (400, 900_970)
    );
    let (_, list) = bed.get("/key-managers").await;
    assert_eq!(
        list["list"][0]["applicationConfiguration"][0]["constraint"]["type"],
        "RANGE"
    );
    bed.clean();
}

#[tokio::test]
async fn w24_w37_w38_what_the_keycloak_connector_breaks() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    bed.wso2
        .state()
        .key_managers
        .push(KeyManager::new("Keycloak", Kind::Keycloak));
    let (application, _) = bed.key("a").await;
    let missing = bed.generate(&application, json!({"keyManager": "Keycloak"})).await;
    assert_eq!(code(&missing), (400, 901_407));
    let properties = json!({
        "subject_type": "public", "token_endpoint_auth_method": "client_secret_basic",
        "tls_client_certificate_bound_access_tokens": "false",
    });
    let (status, key) = bed
        .generate(
            &application,
            json!({"keyManager": "Keycloak", "additionalProperties": properties}),
        )
        .await;
    assert_eq!(status, 200, "{key}");
    let path = of_key(&application, &key);
    let mut update = json!({"supportedGrantTypes": ["client_credentials"], "additionalProperties": properties});
    assert_eq!(code(&bed.call("PUT", &path, update.clone()).await), (500, 500));
    update["additionalProperties"]["client_id"] = key["consumerKey"].clone();
    bed.good("PUT", &path, update).await;

    bed.wso2
        .state()
        .key_manager("Keycloak")
        .unwrap()
        .troubles
        .insert(Trouble::Unreachable);
    assert_eq!(
        code(&bed.get(&format!("/applications/{application}/oauth-keys")).await),
        (500, 500)
    );
    let application = format!("/applications/{application}");
    assert_eq!(code(&bed.call("DELETE", &application, Value::Null).await), (500, 500));
    assert_eq!(bed.get(&application).await.1["status"], "DELETE_PENDING");
    bed.wso2.state().key_manager("Keycloak").unwrap().troubles.clear();
    assert_eq!(bed.call("DELETE", &application, Value::Null).await.0, 200);
    bed.clean();
}

#[tokio::test]
async fn a_client_that_is_there_is_mapped_and_not_deleted() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let (id, secret) = bed.registered.clone();
    let application = bed.application("a").await;
    let path = format!("/applications/{application}/map-keys");
    let body = |secret: &str| json!({"consumerKey": id, "consumerSecret": secret, "keyType": "PRODUCTION"});
    assert_eq!(code(&bed.call("POST", &path, body("wrong")).await), (500, 900_967));
    let key = bed.good("POST", &path, body(&secret)).await;
    assert_eq!(
        (&key["mode"], &key["keyState"]),
        (&json!("MAPPED"), &json!("COMPLETED"))
    );
    assert_eq!(code(&bed.call("POST", &path, body(&secret)).await), (409, 901_409));
    bed.good("DELETE", &of_key(&application, &key), Value::Null).await;
    assert_eq!(bed.log_in(SCOPES).await.0, 200);
    bed.clean();
}

#[tokio::test]
async fn what_others_own_is_a_403_and_what_a_person_made_is_taken() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let body = json!({"name": "a", "throttlingPolicy": "Unlimited"});
    let (_, theirs) = bed.wso2.by_hand("admin", "POST", "/applications", &body);
    let id = text(&theirs["applicationId"]);
    for (method, body) in [("GET", Value::Null), ("PUT", body.clone()), ("DELETE", Value::Null)] {
        assert_eq!(
            code(&bed.call(method, &format!("/applications/{id}"), body).await),
            (403, 403),
            "{method}"
        );
    }
    assert_eq!(code(&bed.generate(&id, json!({})).await), (403, 403));
    // The same name is free for another owner, and once only.
    let own = bed.application("a").await;
    assert_eq!(code(&bed.call("POST", "/applications", body).await), (409, 409));
    let generate = json!({"keyType": "PRODUCTION", "grantTypesToBeSupported": ["client_credentials"]});
    let path = format!("/applications/{own}/generate-keys");
    let user = bed.wso2.user();
    assert_eq!(bed.wso2.by_hand(user, "POST", &path, &generate).0, 200);
    assert_eq!(code(&bed.generate(&own, json!({})).await), (409, 901_409));
    let unknown = json!({"name": "b", "throttlingPolicy": "Gold"});
    assert_eq!(code(&bed.call("POST", "/applications", unknown).await), (400, 900_305));
    bed.clean();
}

#[tokio::test]
async fn what_a_key_manager_does_not_do() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    bed.wso2.state().key_managers.push(KeyManager::new("Okta", Kind::Okta));
    let application = bed.application("a").await;
    let properties = json!({"response_types": "token", "token_endpoint_auth_method": "client_secret_basic"});
    let body = json!({"keyManager": "Okta", "additionalProperties": properties});
    let turn = |trouble: Trouble| {
        let mut state = bed.wso2.state();
        let troubles = &mut state.key_manager("Okta").unwrap().troubles;
        troubles.clear();
        troubles.insert(trouble);
    };
    for trouble in [Trouble::ExchangeOnly, Trouble::NoCreation] {
        turn(trouble);
        assert_eq!(
            code(&bed.generate(&application, body.clone()).await),
            (400, 901_405),
            "{trouble:?}"
        );
    }
    turn(Trouble::Refusing);
    assert_eq!(code(&bed.generate(&application, body.clone()).await), (400, 902_003));
    let leaked = bed.keys(&application).await;
    bed.good(
        "POST",
        &format!("{}/clean-up", of_key(&application, &leaked[0])),
        Value::Null,
    )
    .await;
    turn(Trouble::NoTokens);
    let (status, key) = bed.generate(&application, body).await;
    assert_eq!((status, &key["token"]["validityTime"]), (200, &json!(0)));
    // Its tokens are its own.
    let (_, list) = bed.get("/key-managers").await;
    let endpoint = text(&list["list"][1]["tokenEndpoint"]);
    let (id, secret) = (text(&key["consumerKey"]), text(&key["consumerSecret"]));
    let form = [("grant_type", "client_credentials")];
    assert_eq!(
        read(bed.http.post(endpoint).basic_auth(&id, Some(&secret)).form(&form))
            .await
            .0,
        200
    );
    assert_eq!(bed.proves(&id, &secret).await, 401);
    bed.clean();
}
