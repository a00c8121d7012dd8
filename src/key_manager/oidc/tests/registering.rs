//! What comes of a registration.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::Method;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::{super::open, asked, body, client, driver, driver_with, refusal, register, registered, server, update};
use crate::{
    api::{GrantType, OidcSpec},
    entropy::Entropy,
    key_manager::{
        Category,
        remote::testing::{Seen, Server, answer, client as http, json as reply, nobody},
    },
};

#[tokio::test]
async fn a_registration_asks_for_everything_that_servers_would_choose_otherwise() {
    let server = server(|seen, _, base| registered(seen, base, &json!({"unknown": {"a": null}}))).await;
    let driver = driver(&server).await;
    let made = register(&*driver).await.unwrap();
    assert_eq!((made.id.as_str(), made.secret.expose_secret()), ("id", "theirs"));
    assert_eq!((made.secret_ends, made.differences), (None, vec![]));
    let management = made.management.unwrap();
    assert_eq!(management.uri, format!("{}/reg/id", server.url));
    assert_eq!(management.token.expose_secret(), "token-1");
    let seen = asked(&server).remove(0);
    assert_eq!((&seen.method, seen.path.as_str()), (&Method::POST, "/reg"));
    assert_eq!(seen.header("authorization"), "");
    let expected = json!({
        "client_name": "Web shop (Sandbox) attempt-1", "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["client_credentials"], "response_types": [], "redirect_uris": [],
        "scope": "orders:read orders:write", "software_id": "appkeys:c/n/k",
    });
    assert_eq!(body(&seen), expected);
}

#[tokio::test]
async fn r5_what_is_dropped_or_replaced_silently_is_told_member_by_member() {
    let long = "x".repeat(100);
    let cases = [
        (json!({}), ""),
        (json!({"scope": "orders:write  orders:read"}), ""),
        (json!({"scope": ["orders:read", "orders:write"]}), ""),
        (
            json!({"scope": null}),
            "scope: asked for orders:read orders:write, got none",
        ),
        (
            json!({"scope": "orders:read"}),
            "scope: asked for orders:read orders:write, got orders:read",
        ),
        (
            json!({"grant_types": ["authorization_code", "client_credentials"], "response_types": "code"}),
            "grant_types: asked for client_credentials, got authorization_code client_credentials; response_types: asked for none, got code",
        ),
        (
            json!({"token_endpoint_auth_method": "none"}),
            "token_endpoint_auth_method: asked for client_secret_basic, got none",
        ),
        (json!({"grant_types": null, "redirect_uris": null}), ""),
        (
            json!({"client_name": format!("a\u{7}{long}")}),
            "client_name: asked for Web shop (Sandbox) attempt-1, got a",
        ),
    ];
    for (changes, text) in cases {
        let server = server(move |seen, _, base| registered(seen, base, &changes)).await;
        let made = register(&*driver(&server).await).await.unwrap();
        let told = made.differences.join("; ");
        assert!(told.starts_with(text) && told.is_empty() == text.is_empty(), "{told}");
        assert!(!told.contains(&long) && !told.contains('\u{7}'), "{told}");
    }
}

#[tokio::test]
async fn r6_a_secret_that_expires_has_an_end_and_an_update_can_give_another_one() {
    let ends: Timestamp = "2033-05-18T03:33:20Z".parse().unwrap();
    for (said, expected) in [
        (json!(2_000_000_000), Some(ends)),
        (json!("2000000000"), Some(ends)),
        (json!(2_000_000_000.0), Some(ends)),
        (json!(0), None),
        (json!(null), None),
        (json!("never"), None),
        (json!(-5), None),
        (json!(9e99), None),
    ] {
        let more = json!({"client_secret_expires_at": said, "client_secret": "another"});
        let server = server(move |seen, _, base| registered(seen, base, &more)).await;
        let driver = driver(&server).await;
        assert_eq!(register(&*driver).await.unwrap().secret_ends, expected, "{said}");
        let outcome = update(&*driver, &client(&server, "token-1", None)).await;
        assert_eq!(outcome.secret.unwrap().expose_secret(), "another");
        assert_eq!(outcome.secret_ends, expected);
    }
}

#[tokio::test]
async fn r7_a_registration_token_goes_to_nobody_but_the_server_that_gave_it() {
    let elsewhere = nobody().await;
    let cases = [
        (format!("http://{elsewhere}/reg/id"), None),
        ("https://{host}/reg/id".to_owned(), None),
        ("http://[".to_owned(), None),
        ("/reg/id".to_owned(), Some("/reg/id")),
        (
            "http://{host}/elsewhere?client_id=id".to_owned(),
            Some("/elsewhere?client_id=id"),
        ),
    ];
    for (uri, path) in cases {
        let told = uri.clone();
        let server = server(move |seen, _, base| {
            let host = base.trim_start_matches("http://");
            registered(
                seen,
                base,
                &json!({"registration_client_uri": told.replace("{host}", host)}),
            )
        })
        .await;
        let driver = driver(&server).await;
        let made = register(&*driver).await.unwrap();
        let management = made.management.map(|management| management.uri);
        assert_eq!(management, path.map(|path| format!("{}{path}", server.url)), "{uri}");
        let told = made.differences.join("");
        assert_eq!(told.starts_with("registration_client_uri"), path.is_none(), "{told}");
        // Nor does a later answer lead it away.
        let first = client(&server, "token-0", None);
        let later = update(&*driver, &first).await.management.unwrap();
        let expected = path.unwrap_or("/reg/id");
        assert_eq!(later.uri, format!("{}{expected}", server.url));
    }
}

#[tokio::test]
async fn r8_an_initial_token_that_is_refused_is_read_again_once() {
    for (status, word) in [
        (401, "invalid_token"),
        (401, ""),
        (403, ""),
        (403, "access_denied"),
        (400, "access_denied"),
        (400, "invalid_token"),
    ] {
        let server = server(move |seen, _, base| {
            if seen.header("authorization") == "Bearer initial-1" {
                registered(seen, base, &json!({}))
            } else {
                refusal(status, word, "No remaining count on initial access token s3cret")
            }
        })
        .await;
        let versions = Arc::new(AtomicUsize::new(0));
        let driver = driver_with(&server, Some(versions.clone())).await;
        let used_up = register(&*driver).await.unwrap_err();
        assert_eq!(used_up.category, Category::CredentialsRejected, "{status} {word}");
        assert!(used_up.made_nothing());
        let text = "refuses the initial access token of Secret iat in namespace n (used up, expired or revoked): put a new one there";
        assert!(used_up.message.contains(text), "{used_up}");
        assert_eq!(asked(&server).len(), 1, "the same token is not tried again");
        versions.store(1, Ordering::SeqCst);
        register(&*driver).await.unwrap();
        register(&*driver).await.unwrap();
        // Refused, refused and again with the new one, and at once with that.
        assert_eq!(asked(&server).len(), 4, "{status} {word}");
    }
}

#[tokio::test]
async fn r8_a_new_initial_token_is_found_in_the_middle_of_a_registration() {
    let versions = Arc::new(AtomicUsize::new(0));
    let changed = versions.clone();
    let server = server(move |seen, _, base| {
        if seen.header("authorization") == "Bearer initial-0" {
            changed.store(1, Ordering::SeqCst);
            return refusal(401, "invalid_token", "");
        }
        registered(seen, base, &json!({}))
    })
    .await;
    let driver = driver_with(&server, Some(versions)).await;
    register(&*driver).await.unwrap();
    assert_eq!(asked(&server).len(), 2);
}

#[tokio::test]
async fn r9_policies_bad_metadata_and_closed_registrations_are_told_apart() {
    use Category::{InvalidRequest, MissingPermission};
    let cases = [
        (
            true,
            403,
            "insufficient_scope",
            "Not permitted to use specified clientScope",
            MissingPermission,
            "with scope orders:read orders:write there",
        ),
        (
            false,
            403,
            "insufficient_scope",
            "Policy 'Trusted Hosts' rejected",
            MissingPermission,
            "not open: put an initial access token",
        ),
        (
            false,
            401,
            "invalid_token",
            "",
            MissingPermission,
            "not open: put an initial access token",
        ),
        (
            true,
            400,
            "invalid_client_metadata",
            "Invalid claim: 'scope'",
            InvalidRequest,
            "(invalid_client_metadata): clients cannot register with scope orders:read orders:write there",
        ),
        (
            true,
            400,
            "invalid_client_metadata",
            "s3cret",
            InvalidRequest,
            "(invalid_client_metadata): it does not take",
        ),
        (true, 400, "invalid_redirect_uri", "", InvalidRequest, "redirect URIs"),
        (true, 404, "", "", InvalidRequest, "is dynamic client registration on"),
        (true, 501, "", "", InvalidRequest, "is dynamic client registration on"),
    ];
    for (token, status, word, description, category, text) in cases {
        let server = server(move |_, _, _| refusal(status, word, description)).await;
        let token = token.then(Arc::default);
        let error = register(&*driver_with(&server, token).await).await.unwrap_err();
        assert_eq!(error.category, category, "{status} {word}: {error}");
        assert!(
            error.message.contains(text) && !error.message.contains("s3cret"),
            "{error}"
        );
        assert!(error.made_nothing(), "{error}");
        assert_eq!(asked(&server).len(), 1);
    }
}

#[tokio::test]
async fn r10_a_registration_without_an_answer_or_with_an_unreadable_one_may_have_made_a_client() {
    for (status, body) in [
        (500, "{}"),
        (201, "<html>"),
        (201, "{}"),
        (201, r#"{"client_id": null, "client_secret": "s3cret"}"#),
    ] {
        let server = server(move |_, _, _| answer(status, &[], body)).await;
        let error = register(&*driver(&server).await).await.unwrap_err();
        assert!(!error.made_nothing(), "{status} {body}: {error}");
        assert!(!error.message.contains("s3cret"), "{error}");
        assert_eq!(asked(&server).len(), 1, "never blindly again");
    }
}

#[tokio::test]
async fn r12_a_client_that_is_made_without_a_secret_goes_again() {
    for deleted in [true, false] {
        let server = server(move |seen, _, base| {
            if seen.method == Method::POST {
                return registered(seen, base, &json!({"client_secret": null}));
            }
            answer(if deleted { 204 } else { 405 }, &[], "")
        })
        .await;
        let error = register(&*driver(&server).await).await.unwrap_err();
        assert_eq!(error.category, Category::InvalidRequest);
        assert_eq!(error.message.contains("client id is left there"), !deleted, "{error}");
        let seen = asked(&server);
        assert_eq!((seen.len(), &seen[1].method), (2, &Method::DELETE));
    }
}

#[tokio::test]
async fn a_server_that_names_no_registration_endpoint_is_refused_unless_the_spec_does() {
    let server = Server::new(|seen: &Seen, _| {
        let base = format!("http://{}", seen.header("host"));
        reply(200, &json!({"issuer": base, "token_endpoint": format!("{base}/token")}))
    })
    .await;
    let mut spec = OidcSpec {
        issuer: server.url.clone(),
        ..OidcSpec::default()
    };
    let error = open(&spec, http(), None, None, &Entropy::system()).await.unwrap_err();
    assert_eq!(error.category, Category::InvalidRequest);
    assert!(error.message.contains("give oidc.registrationEndpoint"), "{error}");
    spec.registration_endpoint = Some(format!("{}/register", server.url));
    let driver = open(&spec, http(), None, None, &Entropy::system()).await.unwrap();
    let missing = driver.capabilities().status();
    assert!(
        missing.iter().all(|capability| !capability.reason.is_empty()),
        "{missing:?}"
    );
    assert!(
        driver
            .capabilities()
            .grant_types
            .contains(&GrantType::AuthorizationCode)
    );
}
