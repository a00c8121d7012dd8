//! Traps of WSO2's Developer Portal API that concern applications and keys, by their numbers.

use std::time::Duration;

use appkeys::{
    api::{ClientAuthentication, Environment, Pkce},
    key_manager::{Category, Changed, Compared, Registered},
};
use serde_json::json;
use testbed::key_managers::wso2::{
    Call, Fault, KeyManager as Inside, Kind, Settings, Switch, Trouble, User, Version, Wso2,
};

use super::bench::{Bench, REDIRECT, is_refused, made, open, register, works};

#[tokio::test]
async fn w1_w36_no_version_is_sent_what_it_does_not_know_and_each_is_managed() {
    for version in Version::ALL {
        let mut bench = Bench::new(Settings::of(version)).await;
        let secret = bench.made().await;
        assert!(bench.works(&secret).await, "{version:?}");
        bench.properties.display_name = "Another name".into();
        let update = bench.update().await.unwrap();
        assert!(
            matches!(&update, Changed::Done(outcome) if outcome.differences.is_empty()),
            "{update:?}"
        );
        let can = bench.driver.capabilities().clone();
        assert_eq!(can.secret_at_rotation.is_some(), version != Version::V4_0, "W36");
        assert_eq!(
            bench.count(Call::GetKey),
            0,
            "W14: a read of one key says nothing for sure"
        );
        assert_eq!(bench.count(Call::CleanUp), 0, "W8: no key with a client is cleaned up");
        assert_eq!(bench.count(Call::ListApiKeys), 0, "W29: API keys are none of ours");
        bench.leaves_nothing().await;
        assert!(!bench.works(&secret).await, "{version:?}");
    }
}

#[tokio::test]
async fn w2_w11_a_missing_scope_is_told_from_an_old_token() {
    let bench = Bench::new(Settings::of(Version::V4_7)).await;
    let logins = bench.count(Call::Token);
    bench.server.state().pass(Duration::from_hours(2));
    made(bench.register().await);
    assert_eq!(
        bench.count(Call::Token),
        logins + 1,
        "an old token is replaced by another one"
    );
    bench.server.state().users.get_mut("appkeys").unwrap().roles = vec!["Internal/everyone".into()];
    bench.server.state().pass(Duration::from_hours(2));
    is_refused(
        bench.update().await,
        Category::MissingPermission,
        &["without scope apim:subscribe", "a role with that scope"],
    );
    let say = open(&bench.server, &json!({})).await.unwrap_err();
    assert_eq!(say.reason, "MissingPermission", "{}", say.message);
}

#[tokio::test]
async fn w4_applications_of_others_are_not_ours_whatever_they_are_called() {
    let settings = Settings::of(Version::V4_7).with(Switch::Sharing);
    let mut bench = Bench::new(settings).await;
    bench.made().await;
    let (name, description) = {
        let state = bench.server.state();
        let ours = state.applications.values().next().unwrap();
        (ours.described.name.clone(), ours.described.description.clone())
    };
    bench.leaves_nothing().await;
    {
        let mut state = bench.server.state();
        let mut neighbour = User::new("n", &["Internal/subscriber"]);
        neighbour.groups = vec!["both".into()];
        state.users.insert("neighbour".into(), neighbour);
        state.users.get_mut("appkeys").unwrap().groups = vec!["both".into()];
    }
    // More than one page of names with ours in them, and one with our very name.
    for n in 0..120 {
        let body = json!({"name": format!("{name}-{n}"), "throttlingPolicy": "Unlimited", "groups": ["both"]});
        assert_eq!(bench.server.by_hand("neighbour", "POST", "/applications", &body).0, 201);
    }
    let before = bench.server.state().applications.clone();
    let secret = bench.made().await;
    assert!(bench.works(&secret).await);
    let again = bench.register().await.unwrap();
    assert!(matches!(again, Registered::Exists), "{again:?}");
    bench.delete().await.unwrap();
    assert_eq!(bench.server.state().applications, before);
    assert!(description.is_some());
}

#[tokio::test]
async fn w5_w7_w8_a_key_that_is_hidden_is_not_gone_and_not_cleaned_up() {
    for version in [Version::V4_2, Version::V4_7] {
        let mut bench = Bench::new(Settings::of(version)).await;
        let secret = bench.made().await;
        for trouble in [Trouble::Unreachable, Trouble::NotLoaded] {
            bench.server.state().resident().troubles.insert(trouble);
            is_refused(bench.delete().await, Category::NotYet, &["does not show it"]);
            is_refused(bench.register().await, Category::NotYet, &["does not show it"]);
            bench.server.state().resident().troubles.clear();
        }
        bench.server.state().resident().troubles.insert(Trouble::Disabled);
        let disabled = bench.delete().await;
        assert!(disabled.is_err(), "{disabled:?}");
        bench.server.state().resident().troubles.clear();
        assert!(bench.works(&secret).await, "{version:?}");
        assert_eq!(bench.count(Call::DeleteApplication), 0);
        assert_eq!(bench.count(Call::CleanUp), 0, "W8");
        bench.leaves_nothing().await;
    }
}

#[tokio::test]
async fn w3_w6_a_row_that_a_failure_left_is_cleaned_up_before_the_next_try() {
    for trouble in [Trouble::Unreachable, Trouble::NotLoaded, Trouble::Refusing] {
        let mut bench = Bench::new(Settings::of(Version::V4_7)).await;
        bench.server.state().resident().troubles.insert(trouble);
        is_refused(bench.register().await, Category::NotYet, &["500 (900967)"]);
        // Of a key manager that is not there yet WSO2 shows nothing, so that its row stays until then.
        let left = usize::from(trouble == Trouble::NotLoaded);
        assert_eq!(bench.server.state().keys.len(), left, "{trouble:?}");
        bench.server.state().resident().troubles.clear();
        let secret = bench.made().await;
        assert!(bench.works(&secret).await);
        bench.leaves_nothing().await;
    }
    // Left by a process that died: 409, and no key of anybody.
    let mut bench = Bench::new(Settings::of(Version::V4_7)).await;
    bench.server.state().resident().troubles.insert(Trouble::Unreachable);
    bench.server.state().fail_next(Call::GenerateKeys, Fault::LoseAnswer);
    is_refused(bench.register().await, Category::Unreachable, &["make a key"]);
    assert_eq!(bench.server.state().keys.len(), 1);
    bench.server.state().resident().troubles.clear();
    bench.made().await;
    bench.leaves_nothing().await;
}

#[tokio::test]
async fn w10_flags_hold_and_are_read_back() {
    let bench = Bench::new(Settings::of(Version::V4_7)).await;
    let mut bench = bench.with_logins(ClientAuthentication::None);
    bench.properties.pkce = Some(Pkce {
        required: true,
        allow_plain: false,
    });
    bench.made().await;
    let flags = |bench: &Bench| {
        let mut state = bench.server.state();
        let flags = state.resident().clients[&bench.client.id].flags;
        (flags.pkce_mandatory, flags.pkce_plain, flags.public)
    };
    assert_eq!(flags(&bench), (true, false, true));
    bench.properties.pkce = Some(Pkce {
        required: true,
        allow_plain: true,
    });
    bench.update().await.unwrap();
    assert_eq!(flags(&bench), (true, true, true));
    bench.properties.pkce = None;
    bench.properties.authentication = ClientAuthentication::ClientSecretPost;
    bench.update().await.unwrap();
    assert_eq!(
        flags(&bench),
        (false, false, false),
        "what is not asked for is taken back"
    );
    // Somebody changes it.
    bench
        .server
        .state()
        .resident()
        .clients
        .get_mut(&bench.client.id)
        .unwrap()
        .flags
        .public = true;
    let compared = bench.driver.compare(&bench.client, &bench.properties).await.unwrap();
    let Compared::Differs(all, None) = compared else {
        panic!("{compared:?}");
    };
    assert_eq!(all, ["bypassClientCredentials: asked for false, got true"]);
    bench.leaves_nothing().await;
}

#[tokio::test]
async fn w13_a_client_that_a_dying_server_left_is_named_and_not_taken_for_ours() {
    let bench = Bench::new(Settings::of(Version::V4_7)).await;
    bench
        .server
        .state()
        .fail_next(Call::GenerateKeys, Fault::DieBeforeRecording);
    is_refused(bench.register().await, Category::Unreachable, &[]);
    assert_eq!(bench.server.state().orphans().len(), 1);
    let words = [
        "there is a client",
        &bench.client.id,
        "a call that failed half way has left it",
    ];
    for _ in 0..2 {
        is_refused(bench.register().await, Category::ClientConflict, &words);
        assert!(bench.server.state().keys.is_empty(), "no row is left");
    }
    // Its key's end is not held up, and cannot reach it.
    assert!(matches!(bench.delete().await.unwrap(), Changed::NotThere));
    assert!(bench.server.state().applications.is_empty());
    assert_eq!(bench.server.state().orphans().len(), 1);
}

#[tokio::test]
async fn w15_two_key_managers_share_an_application_and_not_their_keys() {
    let server = Wso2::start(Settings::of(Version::V4_6)).await.unwrap();
    server
        .state()
        .key_managers
        .push(Inside::new("Keycloak behind", Kind::Keycloak));
    let mut resident = Bench::at(server, &json!({})).await;
    let behind = open(&resident.server, &json!({"keyManager": "Keycloak behind"}))
        .await
        .unwrap();
    let first = resident.made().await;
    let (client, mut properties) = resident.beside(resident.client.place.environment);
    let block = properties.vendor.wso2.get_or_insert_default();
    for (name, value) in [
        ("subject_type", "public"),
        ("tls_client_certificate_bound_access_tokens", "false"),
    ] {
        block.properties.insert(name.into(), value.into());
    }
    let second = made(register(&*behind, &client, &properties).await);
    let client = appkeys::key_manager::Client {
        id: second.id.clone(),
        ..client
    };
    assert_eq!(resident.server.state().applications.len(), 1);
    assert!(resident.works(&first).await && works(&*behind, &client.id, &properties, &second.secret).await);
    assert!(matches!(resident.delete().await.unwrap(), Changed::Done(_)));
    assert!(
        works(&*behind, &client.id, &properties, &second.secret).await,
        "the other key goes on"
    );
    assert!(matches!(behind.delete(&client).await.unwrap(), Changed::Done(_)));
    resident.is_empty();
}

#[tokio::test]
async fn w19_a_client_that_was_deleted_by_hand_holds_nothing_up() {
    for version in [Version::V4_2, Version::V4_7] {
        let mut bench = Bench::new(Settings::of(version)).await;
        bench.made().await;
        bench.server.state().resident().clients.remove(&bench.client.id);
        assert!(matches!(bench.delete().await.unwrap(), Changed::NotThere));
        bench.is_empty();
    }
}

#[tokio::test]
async fn w26_several_redirect_uris_are_a_set_and_one_that_cannot_be_taken_away_is_said() {
    let mut bench = Bench::new(Settings::of(Version::V4_7))
        .await
        .with_logins(ClientAuthentication::ClientSecretBasic);
    bench
        .properties
        .redirect_uris
        .push("https://shop.example.com/other".into());
    bench.made().await;
    let drifted = async |bench: &Bench| match bench.driver.compare(&bench.client, &bench.properties).await.unwrap() {
        Compared::Differs(all, None) => all,
        other => panic!("{other:?}"),
    };
    assert_eq!(drifted(&bench).await, [""; 0]);
    bench.properties.redirect_uris = vec![REDIRECT.into()];
    bench.update().await.unwrap();
    assert_eq!(drifted(&bench).await, [""; 0]);
    bench.properties.redirect_uris.clear();
    bench.properties.grant_types = vec![appkeys::api::GrantType::ClientCredentials];
    let Changed::Done(outcome) = bench.update().await.unwrap() else {
        panic!("it is not changed");
    };
    assert_eq!(
        outcome.differences,
        [format!("redirect URIs: asked for none, got {REDIRECT}")]
    );
    bench.leaves_nothing().await;
}

#[tokio::test]
async fn w30_a_key_that_cannot_be_deleted_may_do_nothing_until_its_application_goes() {
    let mut bench = Bench::new(Settings::of(Version::V4_2)).await;
    let first = bench.made().await;
    let (client, properties) = bench.beside(Environment::Production);
    let second = made(register(&*bench.driver, &client, &properties).await);
    assert!(matches!(bench.delete().await.unwrap(), Changed::Done(_)));
    assert!(!bench.works(&first).await);
    let there = bench.server.state().resident().clients.get(&bench.client.id).cloned();
    assert_eq!(there.unwrap().grants, ["refresh_token"]);
    assert!(works(&*bench.driver, &client.id, &properties, &second.secret).await);
    // A key of the same name begins with it.
    assert!(matches!(bench.register().await.unwrap(), Registered::Exists));
    assert!(matches!(bench.update().await.unwrap(), Changed::Done(_)));
    let again = bench.driver.read_secret(&bench.client).await.unwrap().unwrap().secret;
    assert!(bench.works(&again).await);
    bench.delete().await.unwrap();
    assert!(matches!(bench.driver.delete(&client).await.unwrap(), Changed::Done(_)));
    bench.is_empty();
}

#[tokio::test]
async fn w32_the_resident_key_manager_is_there_from_the_first_key_on() {
    let mut bench = Bench::new(Settings::of(Version::V4_6).with(Switch::LazyResident)).await;
    bench.made().await;
    bench.leaves_nothing().await;
}

#[tokio::test]
async fn w33_a_client_that_was_made_by_a_call_that_failed_is_taken() {
    for version in [Version::V4_2, Version::V4_7] {
        let mut bench = Bench::new(Settings::of(version).with(Switch::TestTokenFails)).await;
        let secret = bench.made().await;
        assert!(bench.works(&secret).await, "{version:?}");
        bench.leaves_nothing().await;
    }
}
