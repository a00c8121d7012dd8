//! W1 to W15: calls on applications and keys.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Bed, code, of_key, text};
use crate::key_managers::wso2::{Call, Fault, KeyManager, KeyState, Kind, Settings, Switch, Trouble, User, Version};

#[tokio::test]
async fn w1_an_unknown_property_refuses_the_whole_body() {
    let bed = Bed::start(Settings::of(Version::V4_2)).await;
    let body = json!({"name": "a", "throttlingPolicy": "Unlimited", "visibility": "PRIVATE"});
    let answer = bed.call("POST", "/applications", body).await;
    assert_eq!(code(&answer), (400, 400));
    assert_eq!(answer.1["description"], "Unrecognized property 'visibility'");
    let newer = Bed::start(Settings::of(Version::V4_6)).await;
    let body = json!({"name": "a", "throttlingPolicy": "Unlimited", "visibility": "PRIVATE"});
    newer.good("POST", "/applications", body).await;
    bed.clean();
    newer.clean();
}

#[tokio::test]
async fn w2_scopes_without_a_role_are_dropped_with_200() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let (status, answer) = bed.log_in("apim:subscribe apim:app_import_export orders:read").await;
    assert_eq!((status, &answer["scope"]), (200, &json!("apim:subscribe orders:read")));
    let (status, answer) = bed.log_in("apim:admin").await;
    assert_eq!((status, &answer["scope"]), (200, &json!("default")));
    bed.clean();
}

#[tokio::test]
async fn w3_one_code_has_several_meanings() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let (application, _) = bed.key("a").await;
    let taken = bed.generate(&application, json!({})).await;
    let leaked = bed.application("b").await;
    bed.wso2.state().resident().troubles.insert(Trouble::Unreachable);
    let down = bed.generate(&leaked, json!({})).await;
    let again = bed.generate(&leaked, json!({})).await;
    bed.wso2.state().resident().troubles.clear();
    let bad_id = bed
        .generate(&application, json!({"keyType": "SANDBOX", "clientId": "short"}))
        .await;
    assert_eq!([code(&taken), code(&again)], [(409, 901_409); 2]);
    assert_eq!([code(&down), code(&bad_id)], [(500, 900_967); 2]);
    bed.clean();
}

#[tokio::test]
async fn w4_the_query_finds_parts_of_names_and_applications_of_others() {
    let bed = Bed::start(Settings::of(Version::V4_6).with(Switch::Sharing)).await;
    {
        let mut state = bed.wso2.state();
        let mut other = User::new("x", &["Internal/subscriber"]);
        other.groups = vec!["team".to_owned()];
        state.users.insert("other".to_owned(), other);
        let name = bed.wso2.user();
        state.users.get_mut(name).unwrap().groups = vec!["team".to_owned()];
    }
    let shared = json!({"name": "my-shop-2", "throttlingPolicy": "Unlimited", "groups": ["team"]});
    bed.wso2.by_hand("other", "POST", "/applications", &shared);
    bed.application("shop").await;
    bed.application("Shop-1").await;
    let (_, answer) = bed.get("/applications?query=shop&limit=2").await;
    let (_, rest) = bed.get("/applications?query=shop&limit=2&offset=2").await;
    assert_eq!(
        (&answer["count"], &answer["pagination"]["total"]),
        (&json!(2), &json!(3))
    );
    let all =
        [&answer["list"][0], &answer["list"][1], &rest["list"][0]].map(|one| (text(&one["name"]), text(&one["owner"])));
    assert!(all.contains(&("my-shop-2".to_owned(), "other".to_owned())), "{all:?}");
    let (_, past) = bed.get("/applications?offset=9").await;
    assert_eq!(past["count"], 0);
    bed.clean();
}

#[tokio::test]
async fn w5_deleting_an_application_leaves_clients_behind() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let (application, key) = bed.key("a").await;
    bed.wso2.state().resident().troubles.insert(Trouble::Unreachable);
    assert_eq!(
        bed.call("DELETE", &format!("/applications/{application}"), Value::Null)
            .await
            .0,
        200
    );
    assert_eq!(bed.wso2.state().orphans().len(), 1);
    assert_eq!(
        bed.proves(&text(&key["consumerKey"]), &text(&key["consumerSecret"]))
            .await,
        200
    );
    bed.clean();
}

#[tokio::test]
async fn w6_a_failed_generation_leaks_a_row_until_it_is_cleaned_up() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let application = bed.application("a").await;
    bed.wso2.state().resident().troubles.insert(Trouble::NotLoaded);
    assert_eq!(code(&bed.generate(&application, json!({})).await), (500, 900_967));
    bed.wso2.state().resident().troubles.clear();
    assert_eq!(code(&bed.generate(&application, json!({})).await), (409, 901_409));
    let keys = bed.keys(&application).await;
    assert_eq!(
        (&keys[0]["consumerKey"], &keys[0]["keyState"]),
        (&Value::Null, &json!("APPROVED"))
    );
    bed.good(
        "POST",
        &format!("{}/clean-up", of_key(&application, &keys[0])),
        Value::Null,
    )
    .await;
    assert_eq!(bed.generate(&application, json!({})).await.0, 200);
    bed.clean();
}

#[tokio::test]
async fn w7_a_key_that_is_not_listed_is_not_gone() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let (application, key) = bed.key("a").await;
    for trouble in [Trouble::Disabled, Trouble::Unreachable, Trouble::NotLoaded] {
        bed.wso2.state().resident().troubles.insert(trouble);
        assert_eq!(bed.keys(&application).await.len(), 0, "{trouble:?}");
        bed.wso2.state().resident().troubles.clear();
    }
    assert_eq!(bed.keys(&application).await.len(), 1);
    bed.wso2.state().resident().clients.remove(&text(&key["consumerKey"]));
    assert_eq!(bed.keys(&application).await.len(), 0);
    assert_eq!(code(&bed.generate(&application, json!({})).await), (409, 901_409));
    bed.clean();
}

#[tokio::test]
async fn w8_clean_up_of_a_key_with_a_client_leaves_the_client() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let (application, key) = bed.key("a").await;
    bed.good("POST", &format!("{}/clean-up", of_key(&application, &key)), Value::Null)
        .await;
    assert_eq!(bed.wso2.state().orphans().len(), 1);
    assert_eq!(
        bed.proves(&text(&key["consumerKey"]), &text(&key["consumerSecret"]))
            .await,
        200
    );
    assert_eq!(code(&bed.generate(&application, json!({})).await), (500, 900_967));
    assert_eq!(code(&bed.generate(&application, json!({})).await), (409, 901_409));
    let unknown = format!("/applications/{application}/oauth-keys/none/clean-up");
    assert_eq!(bed.call("POST", &unknown, Value::Null).await.0, 200);
    assert_eq!(
        code(
            &bed.call("POST", "/applications/none/oauth-keys/none/clean-up", Value::Null)
                .await
        ),
        (500, 500)
    );
    bed.clean();
}

#[tokio::test]
async fn w11_a_missing_scope_is_a_401_like_an_old_token() {
    let mut bed = Bed::start(Settings::of(Version::V4_6)).await;
    let narrow = text(&bed.log_in("apim:app_manage").await.1["access_token"]);
    let wide = std::mem::replace(&mut bed.token, narrow);
    let no_scope = bed.get("/key-managers").await;
    assert_eq!(bed.get("/applications").await.0, 200);
    bed.token = wide;
    assert_eq!(bed.get("/key-managers").await.0, 200);
    bed.wso2.state().pass(Duration::from_secs(3601));
    assert_eq!(bed.get("/key-managers").await, no_scope);
    assert_eq!(
        (code(&no_scope), &no_scope.1["description"]),
        ((401, 401), &json!("Unauthenticated request"))
    );
    bed.clean();
}

#[tokio::test]
async fn w12_an_answer_is_lost_after_the_effect() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let application = bed.application("a").await;
    bed.wso2.state().fail_next(Call::GenerateKeys, Fault::LoseAnswer);
    let body = json!({"keyType": "PRODUCTION", "grantTypesToBeSupported": ["client_credentials"]});
    let request = bed.request("POST", &format!("/applications/{application}/generate-keys"), &body);
    assert!(request.send().await.is_err());
    assert_eq!(bed.stored_key().state, KeyState::Completed);
    assert_eq!(code(&bed.generate(&application, json!({})).await), (409, 901_409));
    assert_eq!(bed.keys(&application).await[0]["keyState"], "COMPLETED");
    bed.clean();
}

#[tokio::test]
async fn w13_a_death_between_client_and_row_blocks_the_name() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let application = bed.application("a").await;
    bed.wso2
        .state()
        .fail_next(Call::GenerateKeys, Fault::DieBeforeRecording);
    let body = json!({"keyType": "PRODUCTION", "grantTypesToBeSupported": ["client_credentials"]});
    let path = format!("/applications/{application}/generate-keys");
    assert!(bed.request("POST", &path, &body).send().await.is_err());
    assert_eq!(bed.stored_key().state, KeyState::Approved);
    assert_eq!(
        bed.wso2.state().orphans()[0].name,
        format!("{}_{application}_PRODUCTION", bed.wso2.user())
    );
    let keys = bed.keys(&application).await;
    bed.good(
        "POST",
        &format!("{}/clean-up", of_key(&application, &keys[0])),
        Value::Null,
    )
    .await;
    assert_eq!(code(&bed.generate(&application, json!({})).await), (500, 900_967));
    bed.clean();
}

#[tokio::test]
async fn w14_reading_one_key_fails_as_an_empty_200() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let (application, key) = bed.key("a").await;
    bed.wso2.state().resident().troubles.insert(Trouble::Unreachable);
    assert_eq!(bed.get(&of_key(&application, &key)).await, (200, Value::Null));
    let mapping = text(&key["keyMappingId"]);
    assert_eq!(
        bed.get(&format!("/applications/none/oauth-keys/{mapping}")).await,
        (200, Value::Null)
    );
    assert_eq!(
        code(&bed.get(&format!("/applications/{application}/oauth-keys/none")).await),
        (500, 500)
    );
    bed.clean();
}

#[tokio::test]
async fn w15_the_key_manager_is_named_in_three_ways() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let (application, key) = bed.key("a").await;
    let id = bed.wso2.state().resident().id.clone();
    let (_, by_id) = bed
        .generate(&application, json!({"keyType": "SANDBOX", "keyManager": id}))
        .await;
    assert_eq!(
        (text(&key["keyManager"]), text(&by_id["keyManager"])),
        ("Resident Key Manager".to_owned(), id.clone())
    );
    assert!(
        bed.keys(&application)
            .await
            .iter()
            .all(|one| one["keyManager"] == "Resident Key Manager")
    );
    assert_eq!(bed.get(&of_key(&application, &key)).await.1["keyManager"], json!(id));
    let unknown = bed.generate(&application, json!({"keyManager": "Other"})).await;
    bed.wso2.state().key_managers.push(KeyManager::new("Other", Kind::Okta));
    bed.wso2
        .state()
        .key_manager("Other")
        .unwrap()
        .troubles
        .insert(Trouble::Disabled);
    let disabled = bed.generate(&application, json!({"keyManager": "Other"})).await;
    assert_eq!([code(&unknown), code(&disabled)], [(400, 901_403); 2]);
    bed.clean();
}
