//! Traps of apps. Each by its number.

use appkeys::{
    api::{ClientAuthentication, GrantType, Pkce},
    key_manager::{Category, Changed, Client, Compared, Mark, Properties, Registered, Room, SecretAdded},
};
use serde_json::json;
use testbed::key_managers::okta::Failure;

use super::trap::{Trap, fresh, is_refused, org, text};

fn login(trap: &Trap, authentication: ClientAuthentication) -> Properties {
    Properties {
        authentication,
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        redirect_uris: vec!["https://shop.example.com/callback".into()],
        ..trap.properties.clone()
    }
}

#[tokio::test]
async fn o1_what_is_made_or_turned_is_told_by_success_whatever_its_status() {
    let trap = Trap::new().await;
    let first = trap.made().await;
    let second = fresh();
    let added = trap.add(Room::Keep, Some(&first), &second).await.unwrap();
    assert!(matches!(added, SecretAdded::Added(_)), "{added:?}");
    let deleted = trap.driver.delete(&trap.client).await.unwrap();
    assert!(matches!(deleted, Changed::Done(_)), "{deleted:?}");
    let calls = trap.okta.calls();
    let status = |operation: &str| calls.iter().find(|call| call.operation == operation).unwrap().status;
    assert_eq!(status("POST /api/v1/apps"), Some(200));
    assert_eq!(status("POST /api/v1/apps/{appId}/credentials/secrets"), Some(201));
    assert_eq!(status("POST /api/v1/apps/{appId}/lifecycle/deactivate"), Some(200));
    trap.clean();
}

#[tokio::test]
async fn o2_an_app_is_found_by_its_client_id_although_paths_take_another_one() {
    let trap = Trap::new().await;
    let secret = trap.made().await;
    assert_ne!(trap.app().id, trap.client.id);
    assert_eq!(trap.app().label, trap.client.id);
    // A create is not repeatable there; here it is.
    for _ in 0..2 {
        assert!(matches!(trap.register(&trap.client).await.unwrap(), Registered::Exists));
    }
    assert_eq!(trap.okta.apps().len(), 1);
    // Another process knows no app's id.
    let other = Trap::at(trap.okta).await.unwrap();
    let trap = Trap {
        client: trap.client,
        ..other
    };
    assert!(matches!(trap.register(&trap.client).await.unwrap(), Registered::Exists));
    trap.changed(&trap.properties).await;
    assert!(trap.works(&secret).await);
    trap.clean();
}

#[tokio::test]
async fn o3_an_id_that_okta_would_not_take_is_refused_before() {
    let trap = Trap::new().await;
    for id in ["shop", "ALL_CLIENTS"] {
        let refused = trap.register(&trap.called(id)).await.unwrap_err();
        is_refused(&refused, Category::InvalidRequest, &[id, "6 to 100 characters"]);
    }
    assert_eq!(trap.okta.count("POST /api/v1/apps"), 0);
    // What we derive and make has the right form and length.
    trap.made().await;
    trap.clean();
}

#[tokio::test]
async fn o4_an_app_is_deactivated_before_it_is_deleted_and_whoever_died_in_between_is_followed() {
    let trap = Trap::new().await;
    trap.made().await;
    trap.okta.fail_next("DELETE /api/v1/apps/{appId}", Failure::RequestLost);
    trap.driver.delete(&trap.client).await.unwrap_err();
    assert!(!trap.app().active);
    let deleted = trap.driver.delete(&trap.client).await.unwrap();
    assert!(matches!(deleted, Changed::Done(_)), "{deleted:?}");
    assert!(trap.okta.apps().is_empty());
    assert_eq!(trap.okta.count("POST /api/v1/apps/{appId}/lifecycle/deactivate"), 1);
    trap.clean();
}

#[tokio::test]
async fn o5_a_label_that_another_app_has_is_a_conflict_and_that_app_stays() {
    for code_40 in [false, true] {
        let trap = Trap::with(|modes| modes.label_code_40 = code_40).await;
        trap.okta.add_app(&trap.client.id, "somebody-elses-client");
        let refused = trap.register(&trap.client).await.unwrap_err();
        let code = if code_40 { "E0000040" } else { "E0000001" };
        let words = ["has the label", &trap.client.id, code, "error id", "rename it"];
        is_refused(&refused, Category::ClientConflict, &words);
        let there = trap.look("somebody-elses-client").unwrap();
        assert!(there.active && there.profile.is_none());
        assert_eq!(trap.okta.apps().len(), 1);
        trap.clean();
    }
}

#[tokio::test]
async fn o5_two_keys_that_want_one_client_id_do_not_touch_each_other() {
    let trap = Trap::new().await;
    let secret = trap.made().await;
    let mark = Mark {
        name: "another".into(),
        ..trap.client.mark.clone()
    };
    let other = Client {
        mark: mark.clone(),
        ..trap.client.clone()
    };
    let properties = Properties {
        mark,
        ..trap.properties.clone()
    };
    let refused = trap
        .driver
        .register(&other, &properties, &fresh(), None)
        .await
        .unwrap_err();
    is_refused(&refused, Category::ClientConflict, &[&trap.client.id, "not this key's"]);
    let left = trap.driver.delete(&other).await.unwrap();
    assert!(matches!(left, Changed::NotThere), "{left:?}");
    assert!(trap.works(&secret).await);
}

#[tokio::test]
async fn o6_an_inactive_app_is_seen_and_an_app_that_only_begins_alike_is_not_ours() {
    let trap = Trap::new().await;
    trap.made().await;
    let longer = format!("{}-2", trap.client.id);
    trap.okta.add_app(&longer, &longer);
    trap.by_hand(|app| app.active = false);
    let deleted = trap.driver.delete(&trap.client).await.unwrap();
    assert!(matches!(deleted, Changed::Done(_)), "{deleted:?}");
    assert_eq!(trap.okta.apps().len(), 1, "only ours is gone");
    trap.clean();
}

#[tokio::test]
async fn o6_o7_story_20_a_client_is_found_on_whatever_page() {
    let okta = org().await;
    // The beginning of the name that all apps have: it finds every one.
    for n in 0..450 {
        okta.add_app(&format!("app {n}"), &format!("foreign-client-{n}"));
    }
    let trap = Trap::at(okta).await.unwrap();
    let client = trap.called("oidc_c");
    let Registered::Made(answer) = trap.register(&client).await.unwrap() else {
        panic!("it exists already");
    };
    let lists = trap.okta.count("GET /api/v1/apps");
    // Another process, which has to look.
    let other = Trap::at(trap.okta).await.unwrap();
    let trap = Trap { client, ..other };
    let again = trap.register(&trap.client).await.unwrap();
    assert!(matches!(again, Registered::Exists), "{again:?}");
    let pages = trap.okta.count("GET /api/v1/apps") - lists;
    assert_eq!(pages, 4, "one to see whether it may, and three pages");
    assert!(trap.works(&answer.secret).await);
    let deleted = trap.driver.delete(&trap.client).await.unwrap();
    assert!(matches!(deleted, Changed::Done(_)), "{deleted:?}");
    let left = trap.okta.apps();
    assert_eq!(left.len(), 450);
    assert!(left.iter().all(|app| app.active && app.profile.is_none()));
    trap.clean();
}

#[tokio::test]
async fn o8_a_change_keeps_what_is_not_ours_and_sends_no_secret() {
    let trap = Trap::new().await;
    let secret = trap.made().await;
    trap.by_hand(|app| {
        app.profile.as_mut().unwrap()["of"] = json!("theirs");
        app.settings
            .insert("client_uri".into(), json!("https://shop.example.com"));
    });
    let renamed = Properties {
        display_name: "Renamed".into(),
        ..trap.properties.clone()
    };
    trap.changed(&renamed).await;
    let app = trap.app();
    assert_eq!(app.profile.as_ref().unwrap()["of"], "theirs");
    assert_eq!(app.profile.unwrap()["appkeys"]["owner"], "trap-cluster/team/trap");
    assert_eq!(app.settings["client_uri"], "https://shop.example.com");
    assert_eq!(trap.active(), [text(&secret)]);
    let bodies = trap.bodies("PUT", "/api/v1/apps/");
    assert_eq!(bodies.len(), 1);
    assert!(bodies[0]["credentials"]["oauthClient"]["client_secret"].is_null());
    assert!(
        bodies[0]["settings"]["notes"]["admin"]
            .as_str()
            .unwrap()
            .contains("Renamed")
    );
    trap.clean();
}

#[tokio::test]
async fn o8_an_app_that_somebody_renamed_is_found_and_gets_its_label_back() {
    let trap = Trap::new().await;
    let secret = trap.made().await;
    let trap = Trap {
        client: trap.client,
        ..Trap::at(trap.okta).await.unwrap()
    };
    trap.by_hand(|app| app.label = "My favourite app".into());
    let changed = trap.driver.update(&trap.client, &trap.properties).await.unwrap();
    assert!(
        matches!(changed, Changed::NotThere),
        "the create is to tell: {changed:?}"
    );
    let there = trap.register(&trap.client).await.unwrap();
    assert!(matches!(there, Registered::Exists), "{there:?}");
    assert_eq!(trap.okta.apps().len(), 1);
    assert!(trap.works(&secret).await);
    trap.clean();
}

#[tokio::test]
async fn o21_what_is_not_seen_of_a_young_app_is_not_taken_for_gone() {
    // Of the first reads every other one does not see it.
    let trap = Trap::with(|modes| modes.young_reads = 3).await;
    let secret = trap.made().await;
    for _ in 0..2 {
        // Not seen by the look at it, and not by the change after a look that saw it.
        let late = trap.driver.update(&trap.client, &trap.properties).await.unwrap_err();
        is_refused(&late, Category::NotYet, &[&trap.client.id]);
    }
    trap.changed(&trap.properties).await;
    assert_eq!(trap.okta.apps().len(), 1);
    assert!(trap.works(&secret).await);
    // Of another process, which never saw it made.
    let again = trap.called(format!("{}-again", trap.client.id));
    trap.register(&again).await.unwrap();
    let trap = Trap {
        client: again,
        ..Trap::at(trap.okta).await.unwrap()
    };
    let unsure = trap.driver.delete(&trap.client).await.unwrap_err();
    is_refused(&unsure, Category::NotYet, &[&trap.client.id]);
    let deleted = trap.driver.delete(&trap.client).await.unwrap();
    assert!(matches!(deleted, Changed::Done(_)), "{deleted:?}");
    assert!(trap.look(&trap.client.id).is_none());
    trap.clean();
}

#[tokio::test]
async fn o24_the_kind_of_app_follows_the_grants() {
    use ClientAuthentication::{ClientSecretBasic, None, PrivateKeyJwt};
    let trap = Trap::new().await;
    let both = Properties {
        grant_types: vec![GrantType::ClientCredentials, GrantType::AuthorizationCode],
        ..login(&trap, ClientSecretBasic)
    };
    let s256 = Pkce {
        required: true,
        allow_plain: false,
    };
    let with_pkce = Properties {
        pkce: Some(s256),
        ..login(&trap, ClientSecretBasic)
    };
    for (properties, type_, pkce) in [
        (trap.properties.clone(), "service", false),
        (login(&trap, ClientSecretBasic), "web", false),
        (with_pkce, "web", true),
        (both, "web", false),
        (login(&trap, None), "native", true),
    ] {
        let client = trap.called(format!("client-{}-{}", type_, trap.okta.apps().len()));
        let made = trap.driver.register(&client, &properties, &fresh(), Option::None).await;
        assert!(matches!(made.unwrap(), Registered::Made(_)));
        let app = trap.look(&client.id).unwrap();
        assert_eq!(
            (app.settings["application_type"].as_str(), app.pkce_required),
            (Some(type_), pkce)
        );
        let same = trap.driver.compare(&client, &properties).await.unwrap();
        let Compared::Differs(differ, _) = same else {
            panic!("{same:?}");
        };
        assert_eq!(differ, [""; 0]);
    }
    // Refresh tokens without logins, and machines without a credential, there are none.
    let refreshing = Properties {
        grant_types: vec![GrantType::ClientCredentials, GrantType::RefreshToken],
        authentication: PrivateKeyJwt,
        ..trap.properties.clone()
    };
    let refused = trap
        .driver
        .register(&trap.client, &refreshing, &fresh(), Option::None)
        .await;
    is_refused(&refused.unwrap_err(), Category::InvalidRequest, &["AuthorizationCode"]);
    trap.clean();
}

#[tokio::test]
async fn o25_a_refusal_is_told_by_its_code_and_id_and_not_by_its_text() {
    let trap = Trap::new().await;
    let summary = "Api validation failed: my-secret-text";
    for (failure, category, words) in [
        (
            Failure::Okta(400, "E0000003", summary),
            Category::InvalidRequest,
            ["make an app: Okta refuses it (E0000003", "error id"],
        ),
        (
            Failure::Okta(404, "E0000012", summary),
            Category::InvalidRequest,
            ["there is no Okta API at this URL (E0000012", "error id"],
        ),
        (
            Failure::Okta(409, "E0000195", summary),
            Category::NotYet,
            ["(E0000195", "error id"],
        ),
        (
            // The shape of OAuth at the management API.
            Failure::OAuth(400, "invalid_client_metadata", summary),
            Category::InvalidRequest,
            ["make an app", "(invalid_client_metadata)"],
        ),
        (
            Failure::Okta(500, "E0000009", summary),
            Category::Unreachable,
            ["make an app", "500 (E0000009)"],
        ),
    ] {
        trap.okta.fail_next("POST /api/v1/apps", failure);
        let refused = trap.register(&trap.client).await.unwrap_err();
        is_refused(&refused, category, &words);
        assert!(!refused.message.contains("my-secret-text"), "{refused}");
    }
}

#[tokio::test]
async fn an_app_that_somebody_deactivated_stays_so_and_is_named() {
    let trap = Trap::new().await;
    let secret = trap.made().await;
    trap.by_hand(|app| app.active = false);
    assert!(!trap.works(&secret).await);
    let app = trap.app();
    let words = ["somebody deactivated app", &app.id, "activate it there"];
    let refused = trap.register(&trap.client).await.unwrap_err();
    is_refused(&refused, Category::InvalidRequest, &words);
    let refused = trap.driver.update(&trap.client, &trap.properties).await.unwrap_err();
    is_refused(&refused, Category::InvalidRequest, &words);
    let refused = trap.add(Room::Replace, None, &fresh()).await.unwrap_err();
    is_refused(&refused, Category::InvalidRequest, &words);
    let differs = trap.driver.compare(&trap.client, &trap.properties).await.unwrap();
    assert!(
        matches!(differs, Compared::Differs(ref all, _) if *all == ["status"]),
        "{differs:?}"
    );
    assert_eq!(trap.active(), [text(&secret)], "nothing was changed");
    trap.by_hand(|app| app.active = true);
    assert!(trap.works(&secret).await);
    // What we took away ourselves we give back.
    let frozen = Properties {
        frozen: true,
        ..trap.properties.clone()
    };
    trap.changed(&frozen).await;
    assert!(!trap.app().active);
    trap.changed(&trap.properties).await;
    assert!(trap.works(&secret).await);
    trap.clean();
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_found() {
    let trap = Trap::new().await;
    trap.okta.fail_next("POST /api/v1/apps", Failure::AnswerLost);
    let lost = trap.register(&trap.client).await.unwrap_err();
    assert_eq!(lost.category, Category::Unreachable);
    let there = trap.register(&trap.client).await.unwrap();
    assert!(matches!(there, Registered::Exists), "{there:?}");
    let secret = trap.driver.read_secret(&trap.client).await.unwrap().unwrap().secret;
    assert!(trap.works(&secret).await);
    assert_eq!(trap.okta.apps().len(), 1);
    trap.clean();
}
