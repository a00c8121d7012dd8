//! Traps of the operator's own login, and of what clients get. Each by its number.

use appkeys::{
    api::{ClientAuthentication, conditions::Say},
    key_manager::{Category, KeyAlgorithm, Properties, TokenAnswer, private_key},
};
use serde_json::json;
use testbed::key_managers::okta::{Bucket, Failure, Okta, Outage, Policy};

use super::trap::{Trap, is_refused, org};
use crate::key_managers::beds::Bed;

/// The org's own token endpoint.
const LOGIN: &str = "POST /oauth2/v1/token";

/// Why it cannot be opened; the operator's credentials are in no text.
async fn refuses(okta: &Okta, bed: &Bed, reason: &str, words: &[&str]) {
    let say: Say = bed.open().await.unwrap_err();
    assert_eq!(
        (say.type_, say.status, say.reason),
        ("Ready", Some(false), reason),
        "{}",
        say.message
    );
    for word in words {
        assert!(say.message.contains(word), "{word:?} is not in {:?}", say.message);
    }
    let operator = okta.operator();
    let key = operator.private_key.lines().nth(1).unwrap();
    for secret in [key, &operator.api_token] {
        assert!(!say.message.contains(secret), "{}", say.message);
    }
}

fn with_token(okta: &Okta, token: &str) -> Bed {
    Bed {
        spec: json!({
            "okta": {"url": okta.url(), "apiTokenSecretRef": {"name": "okta-token"}},
            "caBundleRef": {"name": "okta-ca"},
        }),
        secrets: vec![
            ("okta-token".into(), json!({"token": token})),
            ("okta-ca".into(), json!({"ca.crt": okta.ca()})),
        ],
        ..Bed::okta(okta)
    }
}

#[tokio::test]
async fn o12_a_missing_scope_is_told_from_a_missing_role() {
    let okta = org().await;
    okta.set(|modes| modes.role_missing = true);
    let role = ["E0000006", "error id", "an admin role"];
    refuses(&okta, &Bed::okta(&okta), "MissingPermission", &role).await;
    okta.set(|modes| modes.role_missing = false);
    okta.grant(&["okta.apps.read"]);
    let scope = ["okta.apps.manage", "super administrator"];
    refuses(&okta, &Bed::okta(&okta), "MissingPermission", &scope).await;
    okta.grant(&["okta.apps.manage", "okta.apps.read"]);
    let trap = Trap::at(okta).await.unwrap();
    // Taken away while it runs: the token that it has lasts, the next one is refused with what is missing.
    trap.okta.grant(&[]);
    trap.made().await;
    trap.okta.end_sessions();
    let refused = trap.register(&trap.called("another-client")).await.unwrap_err();
    is_refused(&refused, Category::MissingPermission, &["okta.apps.manage"]);
    // Of a token that has too little, the header says so.
    trap.okta.grant(&["okta.apps.manage"]);
    trap.clean();
}

#[tokio::test]
async fn o13_an_assertion_is_for_the_endpoint_and_good_once() {
    let trap = Trap::new().await;
    for _ in 0..3 {
        trap.okta.end_sessions();
        trap.driver.read_secret(&trap.client).await.unwrap();
    }
    assert_eq!(trap.okta.count(LOGIN), 4, "none was refused and tried again");
    let mut bed = Bed::okta(&trap.okta);
    bed.secrets[0].1["key-id"] = json!("another-key");
    let words = ["Secret okta-operator in namespace appkeys", "invalid_client"];
    refuses(&trap.okta, &bed, "CredentialsRejected", &words).await;
    bed.secrets[0].1["private-key.pem"] = json!("no key");
    refuses(
        &trap.okta,
        &bed,
        "CredentialsRejected",
        &["private-key.pem cannot be used"],
    )
    .await;
    trap.clean();
}

#[tokio::test]
async fn o13_a_clock_that_is_wrong_is_found_out() {
    for seconds in [7200, -7200] {
        let okta = org().await;
        okta.set(|modes| modes.clock_ahead = seconds);
        let trap = Trap::at(okta).await.unwrap();
        let logins = trap.okta.count(LOGIN);
        assert_eq!(logins, 2, "one that tells, and one that is right");
        trap.okta.end_sessions();
        let secret = trap.made().await;
        assert_eq!(trap.okta.count(LOGIN), logins + 1);
        assert!(trap.works(&secret).await);
        trap.clean();
    }
}

#[tokio::test]
async fn o14_proofs_of_possession_are_made_where_they_are_demanded() {
    let trap = Trap::with(|modes| modes.dpop_required = true).await;
    assert_eq!(trap.okta.count(LOGIN), 3, "without a proof, without a nonce, with both");
    let secret = trap.made().await;
    trap.changed(&trap.properties).await;
    assert!(trap.works(&secret).await, "clients themselves need none");
    trap.okta.end_sessions();
    trap.changed(&trap.properties).await;
    assert_eq!(trap.okta.count(LOGIN), 4, "what was learnt stays");
    // The nonce is another one each day; the assertion too, because it was used.
    trap.okta.end_sessions();
    trap.okta.renew_nonce();
    trap.changed(&trap.properties).await;
    assert_eq!(trap.okta.count(LOGIN), 6);
    trap.clean();
    // And with a clock that is wrong.
    let trap = Trap::with(|modes| {
        modes.dpop_required = true;
        modes.clock_ahead = 7200;
    })
    .await;
    trap.made().await;
    trap.clean();
}

#[tokio::test]
async fn o15_an_api_token_stands_for_an_administrator() {
    let okta = org().await;
    let wrong = with_token(&okta, "00-another-token");
    let words = ["Secret okta-token in namespace appkeys"];
    refuses(&okta, &wrong, "CredentialsRejected", &words).await;
    let token = okta.operator().api_token.clone();
    let driver = with_token(&okta, &token).open().await.unwrap().driver;
    let trap = Trap {
        driver,
        ..Trap::at(okta).await.unwrap()
    };
    let logins = trap.okta.count(LOGIN);
    let secret = trap.made().await;
    assert!(trap.works(&secret).await);
    assert_eq!(trap.okta.count(LOGIN), logins, "it needs no other token");
    trap.clean();
}

#[tokio::test]
async fn o16_an_org_without_the_authorization_server_is_told_what_it_lacks() {
    let okta = org().await;
    let mut bed = Bed::okta(&okta);
    bed.spec["okta"]["authorizationServer"] = json!("aus1234567890");
    let words = [
        "authorization server aus1234567890",
        &okta.url(),
        "API Access Management",
    ];
    refuses(&okta, &bed, "InvalidConfiguration", &words).await;
    okta.set(|modes| modes.no_custom_servers = true);
    let words = ["authorization server default", "API Access Management"];
    refuses(&okta, &Bed::okta(&okta), "InvalidConfiguration", &words).await;
    assert_eq!(okta.count(LOGIN), 0, "nobody logs in for that");
}

#[tokio::test]
async fn o17_the_registration_endpoint_of_the_metadata_is_not_used() {
    let trap = Trap::new().await;
    trap.made().await;
    let endpoints = trap.driver.endpoints();
    assert_eq!(endpoints.issuer, trap.okta.issuer());
    assert_eq!(endpoints.token, format!("{}/v1/token", trap.okta.issuer()));
    assert_eq!(trap.okta.count("POST /oauth2/v1/clients"), 0);
    trap.clean();
}

#[tokio::test]
async fn o18_a_scope_that_is_not_there_is_named_before_anything_is_made() {
    let trap = Trap::new().await;
    let scoped = |scope: &str| Properties {
        scopes: vec!["orders:read".into(), scope.into()],
        ..trap.properties.clone()
    };
    let secret = super::trap::fresh();
    let refused = trap
        .driver
        .register(&trap.client, &scoped("orders:all"), &secret, None)
        .await;
    let words = ["authorization server default has no scope orders:all", "Scopes"];
    is_refused(&refused.unwrap_err(), Category::InvalidRequest, &words);
    assert!(trap.okta.apps().is_empty());
    // Once it is there, it is seen.
    trap.okta.server(|server| {
        let mut all = server.scopes[0].clone();
        all.name = "orders:all".into();
        server.scopes.push(all);
    });
    trap.driver
        .register(&trap.client, &scoped("orders:all"), &secret, None)
        .await
        .unwrap();
    let lists = trap
        .okta
        .count("GET /api/v1/authorizationServers/{authServerId}/scopes");
    trap.changed(&scoped("orders:all")).await;
    let again = trap
        .okta
        .count("GET /api/v1/authorizationServers/{authServerId}/scopes");
    assert_eq!(again, lists, "what is known is not read again");
    // An operator that may not see them leaves it to the token endpoint.
    trap.okta.grant(&["okta.apps.manage"]);
    let trap = Trap::at(trap.okta).await.unwrap();
    let unseen = Properties {
        scopes: vec!["orders:none".into()],
        ..trap.properties.clone()
    };
    trap.driver
        .register(&trap.client, &unseen, &secret, None)
        .await
        .unwrap();
    let answer = trap.token(&secret, &["orders:none"]).await;
    assert!(matches!(answer, TokenAnswer::Refused("invalid_scope")), "{answer:?}");
    let answer = trap.token(&secret, &["profile:share"]).await;
    assert!(matches!(answer, TokenAnswer::Refused("consent_required")), "{answer:?}");
    let answer = trap.token(&secret, &[]).await;
    assert!(
        matches!(answer, TokenAnswer::Issued(ref token) if token.scopes == ["basic"]),
        "{answer:?}"
    );
    trap.okta.server(|server| server.scopes.clear());
    let answer = trap.token(&secret, &[]).await;
    assert!(matches!(answer, TokenAnswer::Refused("invalid_scope")), "{answer:?}");
    trap.clean();
}

#[tokio::test]
async fn o19_a_limit_that_is_used_up_is_waited_for_by_the_org_s_own_clock() {
    for (bucket, clock_ahead) in [
        (Bucket::CreateApps, 0),
        (Bucket::CreateApps, 3600),
        (Bucket::CustomServer, 0),
    ] {
        let okta = org().await;
        okta.set(|modes| modes.clock_ahead = clock_ahead);
        let trap = Trap::at(okta).await.unwrap();
        let secret = trap.made().await;
        trap.okta.limit(bucket, 10, 0, 40);
        let error = match bucket {
            Bucket::CreateApps => trap.register(&trap.called("another-client")).await.unwrap_err(),
            _ => trap
                .token_with(&secret, ClientAuthentication::ClientSecretBasic, &[])
                .await
                .unwrap_err(),
        };
        is_refused(&error, Category::Throttled, &["429 (E0000047)"]);
        let wait = error
            .retry_at
            .unwrap()
            .duration_since(appkeys::clock::Clock::system().now());
        assert!((35..=40).contains(&wait.as_secs()), "{wait} with {clock_ahead}");
        trap.clean();
    }
}

#[tokio::test]
async fn o19_where_too_many_requests_run_at_once_the_guess_is_taken() {
    let trap = Trap::new().await;
    trap.okta.set(|modes| modes.concurrency_full = true);
    let error = trap.register(&trap.client).await.unwrap_err();
    is_refused(&error, Category::Throttled, &["429 (E0000047)"]);
    assert!(error.retry_at.is_some());
    trap.okta.set(|modes| modes.concurrency_full = false);
    trap.made().await;
    trap.clean();
}

#[tokio::test]
async fn o20_a_policy_that_refuses_is_no_wrong_credential() {
    let trap = Trap::new().await;
    let secret = trap.made().await;
    let denied = async |policies: Vec<Policy>, scope: &str| {
        trap.okta.server(|server| server.policies = policies);
        let answer = trap.token(&secret, &[scope]).await;
        assert!(matches!(answer, TokenAnswer::Refused("access_denied")), "{answer:?}");
    };
    denied(vec![], "orders:read").await;
    denied(
        vec![Policy::new(&["another-client"], &["client_credentials"], &["*"])],
        "orders:read",
    )
    .await;
    denied(
        vec![Policy::new(&["ALL_CLIENTS"], &["authorization_code"], &["*"])],
        "orders:read",
    )
    .await;
    denied(
        vec![Policy::new(
            &["ALL_CLIENTS"],
            &["client_credentials"],
            &["orders:write"],
        )],
        "orders:read",
    )
    .await;
    let mend = trap.driver.capabilities().reason("access_denied").unwrap();
    assert!(
        mend.contains("authorization server default") && mend.contains("access policy"),
        "{mend}"
    );
    trap.okta.server(|server| {
        let mut policy = Policy::new(&[&trap.client.id], &["client_credentials"], &["orders:read"]);
        policy.rules[0].lifetime_minutes = 5;
        server.policies = vec![policy];
    });
    let answer = trap.token(&secret, &["orders:read"]).await;
    let TokenAnswer::Issued(token) = answer else {
        panic!("{answer:?}");
    };
    assert!((299..=300).contains(&token.life().as_secs()));
    trap.clean();
}

#[tokio::test]
async fn an_org_in_trouble_is_unreachable_and_nothing_is_taken_for_gone() {
    let trap = Trap::new().await;
    let secret = trap.made().await;
    for (outage, code) in [
        (Outage::ReadOnly, "503 (E0000010)"),
        (Outage::InternalError, "500 (E0000009)"),
    ] {
        trap.okta.set(|modes| modes.outage = Some(outage));
        let error = trap.driver.update(&trap.client, &trap.properties).await.unwrap_err();
        is_refused(&error, Category::Unreachable, &[code]);
        let error = trap.driver.delete(&trap.client).await.unwrap_err();
        is_refused(&error, Category::Unreachable, &[code]);
        let basic = ClientAuthentication::ClientSecretBasic;
        let error = trap.token_with(&secret, basic, &[]).await.unwrap_err();
        assert_eq!(error.category, Category::Unreachable);
    }
    trap.okta.set(|modes| modes.outage = None);
    // Story 2: a session that ended is no client that is gone.
    trap.okta.end_sessions();
    trap.okta
        .fail_next(LOGIN, Failure::OAuth(401, "invalid_client", "not now"));
    let error = trap.driver.update(&trap.client, &trap.properties).await.unwrap_err();
    assert_eq!(error.category, Category::CredentialsRejected, "{error}");
    trap.changed(&trap.properties).await;
    assert!(trap.works(&secret).await);
}

#[tokio::test]
async fn a_client_s_assertion_is_for_the_endpoint_too() {
    let mut trap = Trap::new().await;
    trap.properties.authentication = ClientAuthentication::PrivateKeyJwt;
    let key = private_key::generate(KeyAlgorithm::ES256).unwrap();
    trap.driver
        .register(&trap.client, &trap.properties, &key, None)
        .await
        .unwrap();
    assert!(trap.works(&key).await);
    trap.clean();
}
