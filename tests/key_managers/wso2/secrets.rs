//! Traps of WSO2's Developer Portal API that concern secrets, by their numbers.

use appkeys::key_manager::{Category, Changed, Registered, Room, SecretAdded};
use serde_json::json;
use testbed::key_managers::wso2::{Call, ClientSecret, Secrets, Settings, Switch, Trouble, Version, Wso2};

use super::bench::{Bench, is_refused, made, open, same};

/// How many secrets the client has there.
fn secrets(bench: &Bench) -> Vec<ClientSecret> {
    bench.server.state().resident().clients[&bench.client.id]
        .secrets
        .clone()
}

#[tokio::test]
async fn w9_what_a_server_with_several_secrets_shows_is_no_secret() {
    let mut bench = Bench::new(Settings::of(Version::V4_7)).await;
    let secret = bench.made().await;
    assert!(!bench.driver.capabilities().read_secret);
    assert!(bench.driver.read_secret(&bench.client).await.unwrap().is_none());
    assert!(bench.works(&secret).await);
    // The same where an older version was updated.
    let settings = Settings::of(Version::V4_5).with_secrets(Secrets::Multiple(3));
    let mut bench = Bench::new(settings).await;
    bench.made().await;
    assert!(bench.driver.read_secret(&bench.client).await.unwrap().is_none());
    bench.leaves_nothing().await;
}

#[tokio::test]
async fn w16_a_secret_that_is_kept_as_a_digest_is_replaced_and_not_read() {
    for version in [Version::V4_2, Version::V4_7] {
        let server = Wso2::start(Settings::of(version)).await.unwrap();
        // Registered by hand, before digests: what the answer said is in the Secret.
        let mut bench = Bench::at(server, &json!({"login": "Password"})).await;
        bench.server.state().settings.turn(Switch::HashedSecrets, true);
        let secret = bench.made().await;
        assert!(bench.works(&secret).await);
        assert!(bench.driver.read_secret(&bench.client).await.unwrap().is_none());
        if version == Version::V4_7 {
            let next = bench.added(&secret, 2, Room::Keep).await;
            assert!(bench.works(&secret).await && bench.works(&next).await);
            assert!(matches!(bench.retire(&next, 2).await.unwrap(), Changed::Done(_)));
            assert!(!bench.works(&secret).await && bench.works(&next).await);
        } else {
            let next = bench.added(&secret, 2, Room::Only).await;
            assert!(!bench.works(&secret).await && bench.works(&next).await);
        }
        bench.leaves_nothing().await;
    }
}

#[tokio::test]
async fn w20_the_latest_secret_stays_and_what_was_published_before_goes() {
    let mut bench = Bench::new(Settings::of(Version::V4_7)).await;
    let first = bench.made().await;
    let second = bench.added(&first, 2, Room::Keep).await;
    // Somebody adds one by hand.
    let path = {
        let state = bench.server.state();
        let key = state.keys.values().next().unwrap();
        format!(
            "/applications/{}/oauth-keys/{}/generate-secret",
            key.application, key.mapping
        )
    };
    let (status, by_hand) = bench
        .server
        .by_hand("appkeys", "POST", &path, &json!({"additionalProperties": {}}));
    assert_eq!(status, 201);
    assert!(matches!(bench.retire(&second, 2).await.unwrap(), Changed::Done(_)));
    assert!(!bench.works(&first).await && bench.works(&second).await);
    let by_hand = by_hand["secretValue"].as_str().unwrap().to_owned().into();
    assert!(bench.works(&by_hand).await, "WSO2 keeps it");
    // It is in the way of the next, and goes once nobody can have published it.
    let occupied = bench.add(Some(&second), 3, Room::Keep).await.unwrap();
    assert!(matches!(occupied, SecretAdded::Occupied), "{occupied:?}");
    let third = bench.added(&second, 3, Room::Replace).await;
    assert!(bench.works(&second).await && bench.works(&third).await && !bench.works(&by_hand).await);
    bench.leaves_nothing().await;
}

#[tokio::test]
async fn w21_where_there_is_one_secret_the_next_ends_it_and_several_are_never_replaced_so() {
    let mut single = Bench::new(Settings::of(Version::V4_6)).await;
    let first = single.made().await;
    for room in [Room::Keep, Room::Replace] {
        let one = single.add(Some(&first), 2, room).await.unwrap();
        assert!(matches!(one, SecretAdded::OneSecret), "{one:?}");
    }
    assert!(single.works(&first).await, "nothing was changed");
    let second = single.added(&first, 2, Room::Only).await;
    assert!(!single.works(&first).await && single.works(&second).await);
    single.leaves_nothing().await;
    let mut several = Bench::new(Settings::of(Version::V4_7)).await;
    let first = several.made().await;
    let second = several.added(&first, 2, Room::Only).await;
    assert!(!several.works(&first).await && several.works(&second).await);
    assert_eq!(several.count(Call::RegenerateSecret), 0);
    several.leaves_nothing().await;
}

#[tokio::test]
async fn w23_no_secret_is_taken_for_replaced_where_the_key_manager_cannot_be_reached() {
    let mut bench = Bench::new(Settings::of(Version::V4_6)).await;
    let secret = bench.made().await;
    bench.server.state().resident().troubles.insert(Trouble::Unreachable);
    let hidden = bench.add(None, 2, Room::Only).await.unwrap();
    // The repeated create tells: WSO2 has the key and does not show it.
    assert!(matches!(hidden, SecretAdded::NotThere), "{hidden:?}");
    is_refused(bench.register().await, Category::NotYet, &["does not show it"]);
    bench.server.state().resident().troubles.clear();
    assert!(bench.works(&secret).await);
    bench.leaves_nothing().await;
}

#[tokio::test]
async fn w27_no_secret_gets_an_end_by_accident() {
    let mut bench = Bench::new(Settings::of(Version::V4_7)).await;
    let first = bench.made().await;
    bench.added(&first, 2, Room::Keep).await;
    let all = secrets(&bench);
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|secret| secret.expires_at == 0), "{all:?}");
    bench.leaves_nothing().await;
}

#[tokio::test]
async fn w39_only_secrets_of_the_key_s_own_client_are_ended() {
    let mut bench = Bench::new(Settings::of(Version::V4_7)).await;
    let first = bench.made().await;
    let (client, properties) = bench.beside(appkeys::api::Environment::Production);
    let other = made(super::bench::register(&*bench.driver, &client, &properties).await);
    let before = bench.server.state().resident().clients[&client.id].clone();
    let second = bench.added(&first, 2, Room::Keep).await;
    let third = bench.added(&first, 2, Room::Replace).await;
    assert!(!bench.works(&second).await);
    bench.retire(&third, 2).await.unwrap();
    bench.added(&third, 3, Room::Only).await;
    assert_eq!(bench.server.state().resident().clients[&client.id], before);
    assert!(same(&other.secret, &before.secrets[0].value.clone().into()));
    bench.driver.delete(&client).await.unwrap();
    bench.leaves_nothing().await;
}

#[tokio::test]
async fn a_client_with_as_many_secrets_as_it_can_have_is_rotated_by_a_cut_only() {
    let mut bench = Bench::new(Settings::of(Version::V4_7).with_secrets(Secrets::Multiple(2))).await;
    let first = bench.made().await;
    let second = bench.added(&first, 2, Room::Keep).await;
    // The latest one cannot be ended, and there is no room beside it.
    let full = bench.add(Some(&first), 2, Room::Replace).await.unwrap();
    assert!(matches!(full, SecretAdded::OneSecret), "{full:?}");
    assert!(
        bench.works(&first).await && bench.works(&second).await,
        "nothing was changed"
    );
    let third = bench.added(&first, 2, Room::Only).await;
    assert!(!bench.works(&first).await && !bench.works(&second).await && bench.works(&third).await);
    bench.leaves_nothing().await;
}

#[tokio::test]
async fn a_secret_that_nobody_can_tell_from_another_is_not_ended() {
    let mut bench = Bench::new(Settings::of(Version::V4_7)).await;
    let first = bench.made().await;
    let second = bench.added(&first, 2, Room::Keep).await;
    {
        let mut state = bench.server.state();
        let client = state.resident().clients.get_mut(&bench.client.id).unwrap();
        for secret in &mut client.secrets {
            // As if somebody had made them, alike in what is shown of them.
            secret.description = None;
            secret.value = format!("same{}", secret.value);
        }
    }
    let published = |secret: &secrecy::SecretString| {
        use secrecy::ExposeSecret as _;
        secrecy::SecretString::from(format!("same{}", secret.expose_secret()))
    };
    let (first, second) = (published(&first), published(&second));
    is_refused(
        bench.retire(&second, 2).await,
        Category::NotYet,
        &["which one is published"],
    );
    let kept = bench.add(Some(&second), 3, Room::Replace).await.unwrap();
    assert!(matches!(kept, SecretAdded::OneSecret), "{kept:?}");
    assert!(bench.works(&first).await && bench.works(&second).await);
    bench.leaves_nothing().await;
}

#[tokio::test]
async fn a_client_that_was_made_by_hand_can_be_taken_over_where_it_is_in_no_application() {
    for version in [Version::V4_6, Version::V4_7] {
        let mut bench = Bench::new(Settings::of(version)).await;
        let other = open(&bench.server, &json!({})).await.unwrap();
        // The operator's own is nobody's to adopt.
        let own = bench.server.state().resident().clients.keys().next().unwrap().clone();
        let ours = appkeys::key_manager::Client {
            id: own,
            ..bench.client.clone()
        };
        let nothing = secrecy::SecretString::default();
        is_refused(
            other.adopt(&ours, &bench.properties, &nothing).await,
            Category::ClientConflict,
            &["the operator's own"],
        );
        // One of another application is not either.
        let secret = bench.made().await;
        let (elsewhere, properties) = bench.beside(appkeys::api::Environment::Production);
        let theirs = appkeys::key_manager::Client {
            id: bench.client.id.clone(),
            ..elsewhere
        };
        is_refused(
            bench.driver.adopt(&theirs, &properties, &secret).await,
            Category::ClientConflict,
            &["another key in WSO2 already"],
        );
        // One that no key has: its key was cleaned up by hand (W8).
        {
            let mut state = bench.server.state();
            state.keys.clear();
            state.applications.clear();
        }
        let wrong = secrecy::SecretString::from("wrong".to_owned());
        is_refused(
            bench.driver.adopt(&bench.client, &bench.properties, &wrong).await,
            Category::NotYet,
            &["digests"],
        );
        bench.driver.delete(&bench.client).await.unwrap();
        let adopted = bench
            .driver
            .adopt(&bench.client, &bench.properties, &secret)
            .await
            .unwrap();
        assert!(matches!(adopted, Changed::Done(_)), "{adopted:?}");
        let again = bench
            .driver
            .adopt(&bench.client, &bench.properties, &secret)
            .await
            .unwrap();
        assert!(matches!(again, Changed::Done(_)), "{again:?}");
        assert!(bench.works(&secret).await);
        assert!(matches!(bench.register().await.unwrap(), Registered::Exists));
        // WSO2 deletes no client that it did not make: whoever deletes the key is told.
        let deleted = bench.delete().await.unwrap();
        assert!(matches!(deleted, Changed::Refused), "{deleted:?}");
        assert!(bench.works(&secret).await);
        assert!(bench.server.state().applications.is_empty());
    }
}
