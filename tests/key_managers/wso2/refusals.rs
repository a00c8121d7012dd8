//! What wrong input gets at WSO2: plain words with WSO2's own number, nothing lost, and nothing of others changed.

use appkeys::{
    api::{ApplicationBlocks, Pkce, Wso2Application},
    key_manager::{ApplicationProperties, Category, Registered},
};
use serde_json::json;
use testbed::key_managers::wso2::{Call, Reach, Settings, Switch, User, Version, Wso2};

use super::bench::{Bench, is_refused, open};

/// The text with which a key manager is refused.
async fn refused(server: &Wso2, change: &serde_json::Value, reason: &str) -> String {
    let say = open(server, change).await.unwrap_err();
    assert_eq!(say.reason, reason, "{}", say.message);
    say.message
}

#[tokio::test]
async fn a_wrong_or_locked_user_is_named_by_where_it_is_given() {
    let server = Wso2::start(Settings::of(Version::V4_7)).await.unwrap();
    for login in ["Registration", "Password"] {
        let spec = json!({"login": login});
        assert!(open(&server, &spec).await.is_ok(), "{login}");
        server.state().users.get_mut("appkeys").unwrap().locked = true;
        let text = refused(&server, &spec, "CredentialsRejected").await;
        assert!(
            text.contains("Secret wso2-operator in namespace appkeys") && text.contains("locked"),
            "{text}"
        );
        server.state().users.get_mut("appkeys").unwrap().locked = false;
        server.state().users.get_mut("appkeys").unwrap().password = "changed".into();
        let text = refused(&server, &spec, "CredentialsRejected").await;
        assert!(!text.contains("appkeys-password"), "{text}");
        server.state().users.get_mut("appkeys").unwrap().password = server.password().into();
    }
    server.state().settings.turn(Switch::BasicOff, true);
    let text = refused(&server, &json!({"login": "Password"}), "CredentialsRejected").await;
    assert!(text.contains("WSO2 takes no passwords here"), "{text}");
}

#[tokio::test]
async fn a_user_without_the_role_is_told_which_scope_is_missing() {
    let server = Wso2::start(Settings::of(Version::V4_7)).await.unwrap();
    server.state().users.get_mut("appkeys").unwrap().roles = vec!["Internal/everyone".into()];
    let text = refused(&server, &json!({}), "MissingPermission").await;
    assert!(text.contains("apim:subscribe"), "{text}");
    refused(&server, &json!({"login": "Password"}), "CredentialsRejected").await;
}

#[tokio::test]
async fn a_path_of_another_version_and_a_server_that_is_away_are_told_apart() {
    let server = Wso2::start(Settings::of(Version::V4_1)).await.unwrap();
    let text = refused(
        &server,
        &json!({"devPortalPath": "/api/am/devportal/v3"}),
        "InvalidConfiguration",
    )
    .await;
    assert!(text.contains("spec.wso2.devPortalPath"), "{text}");
    server.state().settings.reach = Reach::Unavailable;
    refused(&server, &json!({}), "Unreachable").await;
    server.state().settings.reach = Reach::Down;
    refused(&server, &json!({}), "Unreachable").await;
    server.state().settings.reach = Reach::Up;
    server.state().settings.turn(Switch::RegistrationStarting, true);
    refused(&server, &json!({}), "Unreachable").await;
}

#[tokio::test]
async fn an_unknown_throttling_policy_is_named_and_nothing_is_made() {
    let mut bench = Bench::new(Settings::of(Version::V4_7)).await;
    let policy = |name: &str| ApplicationProperties {
        vendor: ApplicationBlocks {
            wso2: Some(Wso2Application {
                throttling_policy: Some(name.into()),
                groups: vec![],
            }),
        },
        ..ApplicationProperties::default()
    };
    bench.properties.application_properties = Some(policy("Gold"));
    let words = ["400 (900305)", "throttling policy", "spec.wso2.throttlingPolicy"];
    is_refused(bench.register().await, Category::InvalidRequest, &words);
    assert!(bench.server.state().applications.is_empty());
    bench.properties.application_properties = Some(policy("10PerMin"));
    let secret = bench.made().await;
    let policies = || {
        let state = bench.server.state();
        state
            .applications
            .values()
            .map(|one| one.described.policy.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(policies(), ["10PerMin"]);
    let unknown = appkeys::key_manager::Properties {
        application_properties: Some(policy("Gold")),
        ..bench.properties.clone()
    };
    is_refused(
        bench.driver.update(&bench.client, &unknown).await,
        Category::InvalidRequest,
        &words,
    );
    assert_eq!(policies(), ["10PerMin"]);
    assert!(bench.works(&secret).await);
    bench.leaves_nothing().await;
}

#[tokio::test]
async fn an_application_without_our_mark_is_left_as_it_is() {
    let mut bench = Bench::new(Settings::of(Version::V4_7)).await;
    bench.made().await;
    let name = bench
        .server
        .state()
        .applications
        .values()
        .next()
        .unwrap()
        .described
        .name
        .clone();
    bench.leaves_nothing().await;
    let body = json!({"name": name, "throttlingPolicy": "Unlimited", "description": "made by hand"});
    assert_eq!(bench.server.by_hand("appkeys", "POST", "/applications", &body).0, 201);
    let before = bench.server.state().applications.clone();
    let words = [name.as_str(), "not that of Application shop", "left as it is"];
    is_refused(bench.register().await, Category::ClientConflict, &words);
    bench.delete().await.unwrap();
    assert_eq!(bench.server.state().applications, before);
    // Of another user there can be one of the same name.
    bench.server.state().applications.clear();
    bench
        .server
        .state()
        .users
        .insert("other".into(), User::new("o", &["Internal/subscriber"]));
    assert_eq!(bench.server.by_hand("other", "POST", "/applications", &body).0, 201);
    bench.made().await;
    bench.delete().await.unwrap();
    assert_eq!(bench.server.state().applications.len(), 1);
}

#[tokio::test]
async fn a_key_that_was_made_by_hand_takes_the_environment() {
    let mut bench = Bench::new(Settings::of(Version::V4_7)).await;
    let secret = bench.made().await;
    let (_, mut properties) = bench.beside(appkeys::api::Environment::Production);
    let application = bench.server.state().applications.keys().next().unwrap().clone();
    let by_hand = json!({"keyType": "PRODUCTION", "grantTypesToBeSupported": ["client_credentials"]});
    let path = format!("/applications/{application}/generate-keys");
    assert_eq!(bench.server.by_hand("appkeys", "POST", &path, &by_hand).0, 200);
    let before = bench.server.state().keys.clone();
    let (client, _) = bench.beside(appkeys::api::Environment::Production);
    properties.display_name = "Web shop".into();
    let refused = super::bench::register(&*bench.driver, &client, &properties).await;
    let words = [
        "application shop has another Production key of Resident Key Manager",
        "left as it is",
    ];
    is_refused(refused, Category::EnvironmentTaken, &words);
    let deleted = bench.driver.delete(&client).await.unwrap();
    assert!(
        matches!(deleted, appkeys::key_manager::Changed::NotThere),
        "{deleted:?}"
    );
    assert_eq!(bench.server.state().keys, before);
    assert!(bench.works(&secret).await);
    bench.delete().await.unwrap();
    assert_eq!(bench.server.state().applications.len(), 1, "somebody's key is in it");
}

#[tokio::test]
async fn a_client_id_that_wso2_takes_from_nobody_is_refused_before_it_is_sent() {
    let mut bench = Bench::new(Settings::of(Version::V4_7)).await;
    for id in ["too_short", "with-a-dash-in-it", &"x".repeat(31)] {
        bench.client.id = (*id).into();
        is_refused(
            bench.register().await,
            Category::InvalidRequest,
            &["15 to 30 letters, digits and '_'"],
        );
    }
    assert_eq!(bench.count(Call::ListApplications), 0);
}

#[tokio::test]
async fn a_version_that_does_not_know_a_property_is_named_as_the_reason() {
    let mut bench = Bench::new(Settings::of(Version::V4_0)).await;
    let mut logins = bench.driver.capabilities().grant_types.clone();
    logins.retain(|grant| *grant != appkeys::api::GrantType::ClientCredentials);
    bench.properties.grant_types = logins;
    bench.properties.redirect_uris = vec![super::bench::REDIRECT.into()];
    bench.properties.pkce = Some(Pkce {
        required: true,
        allow_plain: false,
    });
    is_refused(
        bench.register().await,
        Category::InvalidRequest,
        &["does not know the property pkceMandatory"],
    );
    assert!(bench.server.state().keys.is_empty());
    bench.properties.pkce = None;
    assert!(matches!(bench.register().await.unwrap(), Registered::Made(_)));
    bench.leaves_nothing().await;
}
