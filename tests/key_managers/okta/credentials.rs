//! Traps of secrets and keys. Each by its number.

use appkeys::{
    api::{ClientAuthentication, CredentialKind},
    clock::Clock,
    key_manager::{
        Category, Changed, Current, KeyAlgorithm, NewSecret, Properties, Registered, Room, SecretAdded, TokenAnswer,
        private_key,
    },
};
use secrecy::SecretString;
use serde_json::json;
use testbed::key_managers::okta::KeyList;

use super::trap::{Trap, fresh, is_refused, org, text};

/// Of the form that Okta makes, which ours never have.
const BY_HAND: &str = "made-by-hand-in-the-admin-console-0123456789";

fn current(secret: &SecretString) -> Current<'_> {
    Current {
        kind: CredentialKind::Secret,
        secret,
        version: 2,
    }
}

async fn retire(trap: &Trap, secret: &SecretString) {
    let now = Clock::system().now();
    let retired = trap.driver.retire(&trap.client, current(secret), now).await.unwrap();
    assert!(matches!(retired, Changed::Done(_)), "{retired:?}");
}

fn is_added(added: &SecretAdded) {
    assert!(matches!(added, SecretAdded::Added(_)), "{added:?}");
}

#[tokio::test]
async fn o9_where_both_places_are_full_with_secrets_of_others_they_stay() {
    let trap = Trap::new().await;
    let published = trap.made().await;
    assert!(trap.okta.add_secret(&trap.client.id, BY_HAND, true));
    let id = trap.app().id;
    let words = [&id, "all the client secrets", "delete one in the Admin Console"];
    for room in [Room::Keep, Room::Replace] {
        let full = trap.add(room, Some(&published), &fresh()).await.unwrap_err();
        is_refused(&full, Category::InvalidRequest, &words);
    }
    assert_eq!(trap.active(), [text(&published), BY_HAND.to_owned()]);
    // Somebody took ours away: nothing that is left is ours to take.
    trap.by_hand(|app| app.secrets.retain(|one| one.value == BY_HAND));
    assert!(
        trap.okta
            .add_secret(&trap.client.id, "another-one-made-by-hand-0123456789", true)
    );
    for room in [Room::Keep, Room::Replace, Room::Only] {
        let full = trap.add(room, None, &fresh()).await.unwrap_err();
        is_refused(&full, Category::InvalidRequest, &words);
    }
    assert_eq!(trap.app().secrets.len(), 2);
    // Once there is room, there is no need to touch the other one.
    trap.by_hand(|app| app.secrets.truncate(1));
    let ours = fresh();
    is_added(&trap.add(Room::Only, None, &ours).await.unwrap());
    retire(&trap, &ours).await;
    assert_eq!(trap.active(), [BY_HAND.to_owned(), text(&ours)]);
    trap.clean();
}

#[tokio::test]
async fn o9_an_inactive_secret_of_ours_makes_room() {
    let trap = Trap::new().await;
    let published = trap.made().await;
    let left = fresh();
    assert!(trap.okta.add_secret(&trap.client.id, &text(&left), false));
    let new = fresh();
    is_added(&trap.add(Room::Keep, Some(&published), &new).await.unwrap());
    assert_eq!(trap.active(), [text(&published), text(&new)]);
    // Two of ours, of which nobody knows which was published: the new one takes the place of both.
    let only = fresh();
    is_added(&trap.add(Room::Only, None, &only).await.unwrap());
    assert_eq!(trap.active(), [text(&only)]);
    assert_eq!(trap.app().secrets.len(), 1);
    trap.clean();
}

#[tokio::test]
async fn o10_secrets_that_the_role_hides_are_not_guessed() {
    let trap = Trap::with(|modes| modes.secrets_hidden = true).await;
    let published = trap.made().await;
    assert!(trap.works(&published).await, "a new client needs nothing to be shown");
    assert!(trap.driver.read_secret(&trap.client).await.unwrap().is_none());
    let refused = trap.add(Room::Keep, Some(&published), &fresh()).await.unwrap_err();
    is_refused(
        &refused,
        Category::MissingPermission,
        &["okta.apps.clientCredentials.read"],
    );
    assert_eq!(trap.active(), [text(&published)], "no rotation begins that cannot end");
    trap.okta.set(|modes| modes.secrets_hidden = false);
    let read = trap.driver.read_secret(&trap.client).await.unwrap().unwrap();
    assert_eq!(text(&read.secret), text(&published));
    trap.clean();
}

#[tokio::test]
async fn o11_the_only_secret_that_works_is_never_taken_away() {
    let trap = Trap::new().await;
    let ours = trap.made().await;
    // The new one comes first, where there is room; where there is none, nothing goes.
    let new = fresh();
    is_added(&trap.add(Room::Replace, None, &new).await.unwrap());
    assert_eq!(trap.active(), [text(&new)]);
    assert!(trap.okta.add_secret(&trap.client.id, BY_HAND, false));
    let full = trap.add(Room::Replace, None, &fresh()).await.unwrap_err();
    is_refused(&full, Category::InvalidRequest, &["all the client secrets"]);
    assert_eq!(trap.active(), [text(&new)]);
    // What is not the published one is not ended by it.
    let now = Clock::system().now();
    let refused = trap.driver.retire(&trap.client, current(&ours), now).await.unwrap_err();
    is_refused(&refused, Category::NotYet, &[&trap.client.id]);
    assert_eq!(trap.active(), [text(&new)]);
    trap.clean();
}

#[tokio::test]
async fn o22_story_22_a_secret_or_key_that_comes_late_is_waited_for() {
    let trap = Trap::with(|modes| modes.late_credentials = 2).await;
    let secret = trap.made().await;
    assert!(trap.works(&secret).await);
    let new = fresh();
    is_added(&trap.add(Room::Keep, Some(&secret), &new).await.unwrap());
    assert!(trap.works(&new).await);
    // A wrong one is told at once: it is not one that was just made.
    let tokens = trap.okta.count("POST /oauth2/{authorizationServerId}/v1/token");
    assert!(!trap.works(&fresh()).await);
    assert_eq!(
        trap.okta.count("POST /oauth2/{authorizationServerId}/v1/token"),
        tokens + 1
    );
    trap.clean();
}

#[tokio::test]
async fn o23_a_client_of_another_kind_from_now_on_has_nothing_of_the_kind_before() {
    let trap = Trap::new().await;
    trap.made().await;
    let by_key = Properties {
        authentication: ClientAuthentication::PrivateKeyJwt,
        ..trap.properties.clone()
    };
    trap.changed(&by_key).await;
    let app = trap.app();
    assert!(app.secrets.is_empty() && app.keys.len() == 1);
    let key = private_key::generate(KeyAlgorithm::ES256).unwrap();
    let new = NewSecret {
        kind: CredentialKind::PrivateKey,
        published: None,
        secret: &key,
        room: Room::Replace,
        published_version: 1,
        version: 2,
    };
    is_added(&trap.driver.add_secret(&trap.client, new).await.unwrap());
    assert_eq!(trap.app().keys.len(), 1, "what held its place is gone");
    let answer = trap
        .token_with(&key, ClientAuthentication::PrivateKeyJwt, &[])
        .await
        .unwrap();
    assert!(matches!(answer, TokenAnswer::Issued(_)), "{answer:?}");
    trap.changed(&trap.properties).await;
    let secret = fresh();
    is_added(&trap.add(Room::Replace, None, &secret).await.unwrap());
    let app = trap.app();
    assert!(app.keys.is_empty() && app.secrets.len() == 1);
    assert!(trap.works(&secret).await);
    trap.clean();
}

#[tokio::test]
async fn o26_whatever_stands_against_a_login_is_told_as_a_wrong_credential() {
    let trap = Trap::new().await;
    let secret = trap.made().await;
    let refused = async |secret: &SecretString, authentication| {
        let answer = trap.token_with(secret, authentication, &[]).await.unwrap();
        assert!(matches!(answer, TokenAnswer::InvalidClient), "{answer:?}");
    };
    refused(&secret, ClientAuthentication::ClientSecretPost).await;
    refused(&fresh(), ClientAuthentication::ClientSecretBasic).await;
    trap.by_hand(|app| app.secrets[0].active = false);
    refused(&secret, ClientAuthentication::ClientSecretBasic).await;
    trap.by_hand(|app| app.secrets[0].active = true);
    trap.by_hand(|app| app.active = false);
    refused(&secret, ClientAuthentication::ClientSecretBasic).await;
    assert!(trap.okta.delete_app(&trap.client.id));
    refused(&secret, ClientAuthentication::ClientSecretBasic).await;
    // Nobody's decision but the create's, which makes it again as workloads have it.
    let again = trap
        .driver
        .register(&trap.client, &trap.properties, &secret, None)
        .await;
    assert!(matches!(again.unwrap(), Registered::Made(_)));
    assert!(trap.works(&secret).await);
    trap.clean();
}

#[tokio::test]
async fn o27_of_two_secrets_of_one_second_the_later_in_the_list_is_the_newer() {
    let trap = Trap::new().await;
    let first = trap.made().await;
    let second = fresh();
    is_added(&trap.add(Room::Keep, Some(&first), &second).await.unwrap());
    let read = trap.driver.read_secret(&trap.client).await.unwrap().unwrap();
    assert_eq!(text(&read.secret), text(&second));
    // Which is which is told by the values, not by their times.
    retire(&trap, &first).await;
    assert_eq!(trap.active(), [text(&first)]);
    trap.clean();
}

#[tokio::test]
async fn o28_the_list_of_keys_is_read_in_all_its_forms() {
    for form in [KeyList::Keys, KeyList::Array, KeyList::Wrapped] {
        let okta = org().await;
        okta.set(|modes| modes.key_list = form);
        let mut trap = Trap::at(okta).await.unwrap();
        trap.properties.authentication = ClientAuthentication::PrivateKeyJwt;
        let generate = || private_key::generate(KeyAlgorithm::ES256).unwrap();
        let (old, new) = (generate(), generate());
        let made = trap.driver.register(&trap.client, &trap.properties, &old, None).await;
        assert!(matches!(made.unwrap(), Registered::Made(_)));
        // One that somebody put there stays, whatever becomes of ours.
        let by_hand = json!({"kty": "EC", "crv": "P-256", "kid": "by-hand", "use": "sig",
            "x": trap.app().keys[0].jwk["x"], "y": trap.app().keys[0].jwk["y"]});
        trap.by_hand(|app| {
            let mut key = app.keys[0].clone();
            key.id = "pks-by-hand".into();
            key.jwk = by_hand;
            app.keys.push(key);
        });
        let wanted = NewSecret {
            kind: CredentialKind::PrivateKey,
            published: Some(&old),
            secret: &new,
            room: Room::Keep,
            published_version: 1,
            version: 2,
        };
        is_added(&trap.driver.add_secret(&trap.client, wanted).await.unwrap());
        assert!(trap.works(&old).await && trap.works(&new).await, "{form:?}");
        let current = Current {
            kind: CredentialKind::PrivateKey,
            secret: &new,
            version: 2,
        };
        let now = Clock::system().now();
        let retired = trap.driver.retire(&trap.client, current, now).await.unwrap();
        assert!(matches!(retired, Changed::Done(_)), "{retired:?}");
        assert!(!trap.works(&old).await && trap.works(&new).await, "{form:?}");
        let keys = trap.app().keys;
        let ids: Vec<_> = keys.iter().map(|key| key.jwk["kid"].as_str().unwrap()).collect();
        assert!(keys.len() == 2 && ids.contains(&"by-hand"), "{form:?}: {ids:?}");
        assert!(
            keys.iter()
                .all(|key| key.jwk["use"] == "sig" && key.jwk.get("d").is_none())
        );
        trap.clean();
    }
}

#[tokio::test]
async fn the_secret_that_a_client_was_adopted_with_is_ours_and_one_beside_it_is_not() {
    let mut trap = Trap::new().await;
    // An app that was made by hand has its own id as client id, and any label.
    trap.client = trap.called("0oalegacy0shop000000");
    trap.okta.add_app("Legacy shop", &trap.client.id);
    assert!(trap.okta.add_secret(&trap.client.id, BY_HAND, true));
    let proof = SecretString::from(trap.active()[0].clone());
    let adopted = trap.driver.adopt(&trap.client, &trap.properties, &proof).await.unwrap();
    assert!(matches!(adopted, Changed::Done(_)), "{adopted:?}");
    let full = trap.add(Room::Keep, Some(&proof), &fresh()).await.unwrap_err();
    is_refused(&full, Category::InvalidRequest, &["all the client secrets"]);
    trap.by_hand(|app| app.secrets.truncate(1));
    let new = fresh();
    is_added(&trap.add(Room::Keep, Some(&proof), &new).await.unwrap());
    retire(&trap, &new).await;
    assert_eq!(trap.active(), [text(&new)], "the adopted one ended");
    assert_eq!(trap.app().label, "Legacy shop");
    trap.clean();
}
