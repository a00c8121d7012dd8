//! Clients that are changed, read and deleted with the tokens that they came with (RFC 7592).

use http::Method;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::{asked, body, client, driver, properties, refusal, register, registered, server, update};
use crate::key_manager::{
    Category, Changed, Client, Management,
    remote::testing::{answer, json as reply},
};

#[tokio::test]
async fn r1_an_update_s_new_registration_token_is_returned_with_the_one_before() {
    let server = server(|seen, before, base| {
        let token = format!("token-{}", before + 2);
        assert_eq!(seen.header("authorization"), format!("Bearer token-{}", before + 1));
        registered(seen, base, &json!({"registration_access_token": token}))
    })
    .await;
    let driver = driver(&server).await;
    let first = client(&server, "token-1", None);
    let management = update(&*driver, &first).await.management.unwrap();
    assert_eq!(management.token.expose_secret(), "token-2");
    assert_eq!(management.previous.as_ref().unwrap().expose_secret(), "token-1");
    let second = Client {
        management: Some(management),
        ..first
    };
    let management = update(&*driver, &second).await.management.unwrap();
    assert_eq!(management.token.expose_secret(), "token-3");
    // And in the state Secret.
    let stored: Management = serde_json::from_value(serde_json::to_value(&management).unwrap()).unwrap();
    assert_eq!(stored.previous.unwrap().expose_secret(), "token-2");
    assert!(!format!("{management:?}").contains("token-"), "{management:?}");
}

#[tokio::test]
async fn r7_what_a_tenant_says_of_his_client_leads_nowhere_but_to_the_key_manager() {
    let elsewhere = server(|_, _, _| answer(200, &[], "")).await;
    let here = server(|seen, _, base| registered(seen, base, &json!({}))).await;
    let driver = driver(&here).await;
    let his = client(&elsewhere, "token-1", None);
    let secret = "s".to_owned().into();
    let error = driver.adopt(&his, &properties(), &secret).await.unwrap_err();
    assert_eq!(error.category, Category::InvalidRequest);
    assert!(error.message.contains(&format!("is not at {}", here.url)), "{error:?}");
    // Nor is one called that was kept.
    let updated = driver.update(&his, &properties()).await.unwrap();
    let deleted = driver.delete(&his).await.unwrap();
    assert!(matches!((updated, deleted), (Changed::Refused, Changed::Refused)));
    assert!(elsewhere.seen().is_empty() && asked(&here).is_empty());
}

#[tokio::test]
async fn r2_the_registration_token_before_is_tried_once_and_dropped_when_the_current_one_works() {
    for (works, status, word) in [
        ("old", 401, "invalid_token"),
        ("old", 400, "access_denied"),
        ("old", 404, ""),
        ("new", 0, ""),
        ("none", 401, "invalid_token"),
    ] {
        let server = server(move |seen, _, base| {
            if seen.header("authorization") != format!("Bearer {works}") {
                return refusal(status, word, "");
            }
            registered(seen, base, &json!({"registration_access_token": works}))
        })
        .await;
        let driver = driver(&server).await;
        let both = client(&server, "new", Some("old"));
        let changed = driver.update(&both, &properties()).await.unwrap();
        let tries = asked(&server).len();
        if works == "none" {
            assert!(matches!(changed, Changed::Refused), "{changed:?}");
            assert_eq!(tries, 2);
            continue;
        }
        let Changed::Done(outcome) = changed else {
            panic!("{changed:?}");
        };
        assert_eq!(tries, if works == "new" { 1 } else { 2 });
        let management = outcome.management.unwrap();
        assert_eq!(management.token.expose_secret(), works);
        assert!(management.previous.is_none());
    }
}

#[tokio::test]
async fn r3_what_is_deleted_is_refused_the_next_time_and_a_permission_that_is_missing_is_not_gone() {
    for (status, word) in [
        (401, "invalid_token"),
        (400, "access_denied"),
        (404, "invalid_request"),
        (410, ""),
    ] {
        let server = server(move |_, before, _| {
            if before == 0 {
                answer(204, &[], "")
            } else {
                refusal(status, word, "")
            }
        })
        .await;
        let driver = driver(&server).await;
        let client = client(&server, "token", None);
        assert!(matches!(driver.delete(&client).await.unwrap(), Changed::Done(_)));
        assert!(matches!(driver.delete(&client).await.unwrap(), Changed::Refused));
        assert!(matches!(
            driver.update(&client, &properties()).await.unwrap(),
            Changed::Refused
        ));
        assert!(driver.read_secret(&client).await.unwrap().is_none());
        let seen = asked(&server);
        assert_eq!((&seen[0].method, seen[0].path.as_str()), (&Method::DELETE, "/reg/id"));
    }
    let server = server(|_, _, _| refusal(403, "access_denied", "")).await;
    let driver = driver(&server).await;
    let error = driver.delete(&client(&server, "token", None)).await.unwrap_err();
    assert_eq!(error.category, Category::MissingPermission);
}

#[tokio::test]
async fn r4_an_update_is_what_we_ask_for_and_nothing_of_what_the_server_said_before() {
    let server = server(|seen, _, base| {
        if seen.method == Method::PUT {
            return registered(seen, base, &json!({}));
        }
        let read = json!({
            "client_id": "id", "client_secret": "theirs", "jwks": null, "contacts": [], "logo_uri": null,
            "scope": null, "grant_types": null, "client_secret_expires_at": null,
        });
        reply(200, &read)
    })
    .await;
    let driver = driver(&server).await;
    let client = client(&server, "token-1", None);
    let read = driver.read_secret(&client).await.unwrap().unwrap();
    assert_eq!((read.secret.expose_secret(), read.secret_ends), ("theirs", None));
    update(&*driver, &client).await;
    let put = body(&asked(&server)[1]);
    let members: Vec<_> = put.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "client_id",
        "client_name",
        "grant_types",
        "redirect_uris",
        "response_types",
        "scope",
        "software_id",
        "token_endpoint_auth_method",
    ];
    assert_eq!(members, expected);
    assert_eq!(put["client_id"], "id");
}

#[tokio::test]
async fn r11_a_server_without_management_leaves_a_client_as_it_is() {
    let server = server(|seen, _, base| {
        if seen.method == Method::POST {
            let none = json!({"registration_access_token": null, "registration_client_uri": null});
            return registered(seen, base, &none);
        }
        answer(if seen.method == Method::PUT { 405 } else { 501 }, &[], "")
    })
    .await;
    let driver = driver(&server).await;
    let made = register(&*driver).await.unwrap();
    assert!(made.management.is_none() && made.differences.is_empty());
    let unmanaged = Client {
        management: None,
        ..client(&server, "", None)
    };
    for client in [unmanaged, client(&server, "token-1", Some("token-0"))] {
        assert!(matches!(
            driver.update(&client, &properties()).await.unwrap(),
            Changed::Refused
        ));
        assert!(matches!(driver.delete(&client).await.unwrap(), Changed::Refused));
        assert!(driver.read_secret(&client).await.unwrap().is_none());
    }
    assert_eq!(asked(&server).len(), 4, "nothing is tried with another token");
}
