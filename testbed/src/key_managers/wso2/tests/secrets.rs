//! Secrets: W9, W16, W20 to W23, W27, W36, W39.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Bed, code, of_key, text};
use crate::key_managers::wso2::{KeyManager, Kind, Secrets, Settings, Switch, Trouble, Version};

#[tokio::test]
async fn w9_reads_show_masks() {
    let bed = Bed::start(Settings::of(Version::V4_7)).await;
    let (application, key) = bed.key("a").await;
    let secret = text(&key["consumerSecret"]);
    let mask = format!("{}*************", &secret[..3]);
    assert_eq!(bed.keys(&application).await[0]["consumerSecret"], json!(mask));
    let path = of_key(&application, &key);
    assert_eq!(bed.get(&path).await.1["consumerSecret"], json!(mask));
    let put = bed
        .good("PUT", &path, json!({"supportedGrantTypes": ["client_credentials"]}))
        .await;
    assert_eq!(put["consumerSecret"], json!(mask));
    assert_eq!(
        bed.good("GET", &format!("{path}/secrets"), Value::Null).await["list"][0]["secretValue"],
        json!(mask)
    );
    bed.wso2.state().settings.turn(Switch::HashedSecrets, true);
    assert_eq!(bed.keys(&application).await[0]["consumerSecret"], "****************");
    let single = Bed::start(Settings::of(Version::V4_7).with_secrets(Secrets::Single)).await;
    let (application, key) = single.key("a").await;
    assert_eq!(
        single.keys(&application).await[0]["consumerSecret"],
        key["consumerSecret"]
    );
    bed.clean();
    single.clean();
}

#[tokio::test]
async fn w16_a_hashed_secret_is_shown_once() {
    let bed = Bed::start(Settings::of(Version::V4_2).with(Switch::HashedSecrets)).await;
    let (application, key) = bed.key("a").await;
    assert_eq!(
        bed.proves(&text(&key["consumerKey"]), &text(&key["consumerSecret"]))
            .await,
        200
    );
    assert_eq!(bed.keys(&application).await[0]["consumerSecret"], Value::Null);
    assert_eq!(
        bed.get(&format!("/applications/{application}")).await.1["hashEnabled"],
        true
    );
    bed.clean();
}

#[tokio::test]
async fn w20_the_latest_secret_cannot_be_revoked_and_older_ones_can() {
    let bed = Bed::start(Settings::of(Version::V4_7)).await;
    let (application, key) = bed.key("a").await;
    let (path, id) = (of_key(&application, &key), text(&key["consumerKey"]));
    let body = json!({"additionalProperties": {"description": "second", "expiresIn": 60}});
    let second = bed.good("POST", &format!("{path}/generate-secret"), body).await;
    let (first_value, second_value) = (text(&key["consumerSecret"]), text(&second["secretValue"]));
    assert_eq!(
        [
            bed.proves(&id, &first_value).await,
            bed.proves(&id, &second_value).await
        ],
        [200, 200]
    );
    let list = bed.good("GET", &format!("{path}/secrets"), Value::Null).await;
    assert_eq!(
        (&list["count"], &list["list"][0]["secretId"]),
        (&json!(2), &second["secretId"])
    );
    let revoke = format!("{path}/revoke-secret");
    let latest = json!({"secretId": second["secretId"]});
    assert_eq!(code(&bed.call("POST", &revoke, latest.clone()).await), (500, 900_919));
    bed.wso2.state().settings.turn(Switch::ProposedCodes, true);
    assert_eq!(code(&bed.call("POST", &revoke, latest).await), (400, 900_921));
    let older = json!({"secretId": list["list"][1]["secretId"]});
    assert_eq!(bed.call("POST", &revoke, older).await.0, 204);
    assert_eq!(
        [
            bed.proves(&id, &first_value).await,
            bed.proves(&id, &second_value).await
        ],
        [401, 200]
    );
    bed.wso2.state().pass(Duration::from_secs(61));
    assert_eq!(bed.proves(&id, &second_value).await, 401);
    bed.clean();
}

#[tokio::test]
async fn secrets_have_a_cap_and_a_single_secret_server_has_none_of_this() {
    let mut bed = Bed::start(Settings::of(Version::V4_7).with_secrets(Secrets::Multiple(2))).await;
    let (application, key) = bed.key("a").await;
    let path = format!("{}/generate-secret", of_key(&application, &key));
    bed.good("POST", &path, json!({"additionalProperties": {}})).await;
    assert_eq!(code(&bed.call("POST", &path, json!({})).await), (500, 900_918));
    bed.clean();
    bed = Bed::start(Settings::of(Version::V4_7).with_secrets(Secrets::Single)).await;
    let (application, key) = bed.key("a").await;
    let path = of_key(&application, &key);
    assert_eq!(code(&bed.get(&format!("{path}/secrets")).await), (400, 900_916));
    bed.clean();
    bed = Bed::start(Settings::of(Version::V4_6)).await;
    let (application, key) = bed.key("a").await;
    assert_eq!(bed.get(&format!("{}/secrets", of_key(&application, &key))).await.0, 404);
    bed.clean();
}

#[tokio::test]
async fn w21_regeneration_cuts_and_has_no_place_beside_several_secrets() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let (application, key) = bed.key("a").await;
    let (path, id) = (
        format!("{}/regenerate-secret", of_key(&application, &key)),
        text(&key["consumerKey"]),
    );
    let token = text(&key["token"]["accessToken"]);
    assert!(bed.wso2.state().tokens.contains_key(&token));
    let new = bed.good("POST", &path, Value::Null).await;
    assert!(!bed.wso2.state().tokens.contains_key(&token));
    assert_eq!(bed.proves(&id, &text(&key["consumerSecret"])).await, 401);
    assert_eq!(bed.proves(&id, &text(&new["consumerSecret"])).await, 200);
    bed.wso2.state().settings.secrets = Secrets::Multiple(5);
    assert_eq!(code(&bed.call("POST", &path, Value::Null).await), (500, 900_967));
    bed.wso2.state().settings.turn(Switch::ProposedCodes, true);
    assert_eq!(code(&bed.call("POST", &path, Value::Null).await), (400, 900_917));
    bed.clean();
}

#[tokio::test]
async fn w22_w25_connectors_cannot_rotate() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    bed.wso2
        .state()
        .key_managers
        .push(KeyManager::new("Keycloak", Kind::Keycloak));
    bed.wso2.state().key_managers.push(KeyManager::new("Okta", Kind::Okta));
    let application = bed.application("a").await;
    let keycloak = json!({
        "subject_type": "public", "token_endpoint_auth_method": "client_secret_basic",
        "tls_client_certificate_bound_access_tokens": "false",
    });
    let (_, key) = bed
        .generate(
            &application,
            json!({"keyManager": "Keycloak", "additionalProperties": keycloak}),
        )
        .await;
    let path = format!("{}/regenerate-secret", of_key(&application, &key));
    let (status, answer) = bed.call("POST", &path, Value::Null).await;
    assert_eq!((status, &answer["consumerSecret"]), (200, &Value::Null));
    let kept = bed.stored_key();
    let stored = bed.wso2.state().client_of(&kept).unwrap().secret().to_owned();
    assert_eq!(stored, text(&key["consumerSecret"]));

    let mut okta = json!({"response_types": "token", "token_endpoint_auth_method": "client_secret_basic"});
    let (_, key) = bed
        .generate(
            &application,
            json!({"keyManager": "Okta", "additionalProperties": okta}),
        )
        .await;
    let (path, id) = (of_key(&application, &key), text(&key["consumerKey"]));
    assert_eq!(
        code(
            &bed.call("POST", &format!("{path}/regenerate-secret"), Value::Null)
                .await
        ),
        (500, 902_004)
    );
    let secret = |bed: &Bed| {
        bed.wso2.state().key_manager("Okta").unwrap().clients[&id]
            .secret()
            .to_owned()
    };
    okta["client_secret"] = key["consumerSecret"].clone();
    let update =
        |properties: &Value| json!({"supportedGrantTypes": ["client_credentials"], "additionalProperties": properties});
    bed.good("PUT", &path, update(&okta)).await;
    assert_eq!(secret(&bed), text(&key["consumerSecret"]));
    okta.as_object_mut().unwrap().remove("client_secret");
    bed.good("PUT", &path, update(&okta)).await;
    assert_ne!(secret(&bed), text(&key["consumerSecret"]));
    bed.clean();
}

#[tokio::test]
async fn w23_regeneration_without_the_key_manager_is_an_empty_204() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let (application, key) = bed.key("a").await;
    bed.wso2.state().resident().troubles.insert(Trouble::Unreachable);
    let path = format!("{}/regenerate-secret", of_key(&application, &key));
    assert_eq!(bed.call("POST", &path, Value::Null).await, (204, Value::Null));
    assert_eq!(
        bed.proves(&text(&key["consumerKey"]), &text(&key["consumerSecret"]))
            .await,
        200
    );
    bed.clean();
}

#[tokio::test]
async fn w27_a_secret_with_its_life_as_a_string_never_ends() {
    let bed = Bed::start(Settings::of(Version::V4_7)).await;
    let (application, key) = bed.key("a").await;
    let path = format!("{}/generate-secret", of_key(&application, &key));
    let made = bed
        .good("POST", &path, json!({"additionalProperties": {"expiresIn": "60"}}))
        .await;
    assert_eq!(made["additionalProperties"]["expiresAt"], 0);
    let made = bed
        .good(
            "POST",
            &path,
            json!({"additionalProperties": {"expiresIn": 4_294_967_296_u64}}),
        )
        .await;
    assert_eq!(made["additionalProperties"]["expiresAt"], 0);
    let application = bed.application("b").await;
    let first =
        json!({"additionalProperties": {"client_secret_description": "first", "client_secret_expires_in": "60"}});
    let (_, key) = bed.generate(&application, first).await;
    assert!(
        key["additionalProperties"]["client_secret_expires_at"]
            .as_i64()
            .unwrap()
            > 0
    );
    bed.clean();
}

#[tokio::test]
async fn w36_4_0_shows_no_secret_and_makes_no_new_one() {
    let bed = Bed::start(Settings::of(Version::V4_0)).await;
    let (application, key) = bed.key("a").await;
    let path = of_key(&application, &key);
    assert_eq!(bed.get(&path).await.1["consumerSecret"], Value::Null);
    assert_eq!(bed.keys(&application).await[0]["consumerSecret"], key["consumerSecret"]);
    assert_eq!(
        code(
            &bed.call("POST", &format!("{path}/regenerate-secret"), Value::Null)
                .await
        ),
        (500, 500)
    );
    bed.clean();
}

#[tokio::test]
async fn w39_a_secret_is_revoked_by_its_id_alone() {
    let bed = Bed::start(Settings::of(Version::V4_7)).await;
    let (application, mine) = bed.key("a").await;
    let (other, theirs) = bed.key("b").await;
    bed.good(
        "POST",
        &format!("{}/generate-secret", of_key(&other, &theirs)),
        json!({}),
    )
    .await;
    let list = bed
        .good("GET", &format!("{}/secrets", of_key(&other, &theirs)), Value::Null)
        .await;
    let body = json!({"secretId": list["list"][1]["secretId"]});
    assert_eq!(
        bed.call("POST", &format!("{}/revoke-secret", of_key(&application, &mine)), body)
            .await
            .0,
        204
    );
    assert_eq!(
        bed.proves(&text(&theirs["consumerKey"]), &text(&theirs["consumerSecret"]))
            .await,
        401
    );
    bed.clean();
}
