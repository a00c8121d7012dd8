//! Traps of secrets, and of what clients with them get. Each by its number.

use appkeys::{
    api::CredentialKind,
    clock::Clock,
    entropy::Entropy,
    key_manager::{Category, Changed, Current, NewSecret, Properties, Room, SecretAdded, TokenAnswer},
};
use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use testbed::key_managers::keycloak::{BED, OPERATOR, OPERATOR_SECRET, ROTATING};

use super::trap::{EXPIRES, ROTATED, ROTATED_EXPIRES, Trap, attribute, seconds, secret};

#[tokio::test]
async fn k10_the_operator_s_own_client_is_left_alone() {
    let trap = Trap::at(BED).await;
    let own = trap.called(OPERATOR);
    let before = trap.look(OPERATOR).await.unwrap();
    let given = SecretString::from(OPERATOR_SECRET);
    let conflicts = [
        trap.driver
            .adopt(&own, &trap.properties, &SecretString::default())
            .await
            .err(),
        trap.driver.register(&own, &trap.properties, &given, None).await.err(),
        trap.driver.update(&own, &trap.properties).await.err(),
        trap.driver.add_secret(&own, secret(Room::Only, &given)).await.err(),
        trap.driver.read_secret(&own).await.err(),
    ];
    for conflict in conflicts {
        assert_eq!(conflict.unwrap().category, Category::ClientConflict);
    }
    let deleted = trap.driver.delete(&own).await.unwrap();
    assert!(matches!(deleted, Changed::NotThere), "{deleted:?}");
    assert_eq!(trap.look(OPERATOR).await.unwrap(), before);
}

#[tokio::test]
async fn k11_the_end_of_a_rotated_secret_is_ours() {
    let trap = Trap::at(ROTATING).await;
    let old = trap.made().await;
    assert!(
        attribute(&trap.seen().await, EXPIRES).is_some(),
        "the policy holds for it"
    );
    let new = Entropy::system().client_secret().unwrap();
    let wanted = NewSecret {
        published: Some(&old),
        ..secret(Room::Keep, &new)
    };
    let added = trap.driver.add_secret(&trap.client, wanted).await.unwrap();
    assert!(matches!(added, SecretAdded::Added(_)), "{added:?}");
    let now = Clock::system().now();
    let current = Current {
        kind: CredentialKind::Secret,
        secret: &new,
        version: 2,
    };
    let end = now + SignedDuration::from_mins(5);
    // The first end counts, whatever is asked for later.
    for end in [end, end + SignedDuration::from_mins(5)] {
        let retired = trap.driver.retire(&trap.client, current, end).await.unwrap();
        assert!(matches!(retired, Changed::Done(_)), "{retired:?}");
    }
    let client = trap.seen().await;
    assert_eq!(attribute(&client, ROTATED), Some(old.expose_secret()));
    assert_eq!(seconds(&client, ROTATED_EXPIRES), end.as_second());
    let far = now + SignedDuration::from_hours(50 * 365 * 24);
    assert!(
        seconds(&client, EXPIRES) > far.as_second(),
        "the policy's own end is gone"
    );
    assert_eq!(
        trap.admin().secret(ROTATING, trap.id()).await.unwrap(),
        new.expose_secret()
    );
    assert!(trap.works(&old).await && trap.works(&new).await);
}

#[tokio::test]
async fn k11_a_secret_that_was_never_published_is_in_nobody_s_way() {
    let trap = Trap::at(ROTATING).await;
    let published = trap.made().await;
    let lost = Entropy::system().client_secret().unwrap();
    let wanted = NewSecret {
        published: Some(&published),
        ..secret(Room::Keep, &lost)
    };
    let added = trap.driver.add_secret(&trap.client, wanted).await.unwrap();
    assert!(matches!(added, SecretAdded::Added(_)), "{added:?}");
    let before = trap.seen().await;
    // The process died here. What it had not done yet about the secret before the published one is done: the server has ended it.
    let current = Current {
        kind: CredentialKind::Secret,
        secret: &published,
        version: 1,
    };
    let now = Clock::system().now();
    for end in [now, now + SignedDuration::from_mins(5)] {
        let retired = trap.driver.retire(&trap.client, current, end).await.unwrap();
        assert!(matches!(retired, Changed::Done(_)), "{retired:?}");
    }
    assert_eq!(trap.seen().await, before);
    // The next secret takes the place of the lost one.
    let new = Entropy::system().client_secret().unwrap();
    let wanted = NewSecret {
        published: Some(&published),
        ..secret(Room::Replace, &new)
    };
    let added = trap.driver.add_secret(&trap.client, wanted).await.unwrap();
    assert!(matches!(added, SecretAdded::Added(_)), "{added:?}");
    assert!(trap.works(&published).await && trap.works(&new).await && !trap.works(&lost).await);
}

#[tokio::test]
async fn k11_a_client_outside_the_policy_has_one_secret() {
    let trap = Trap::at(BED).await;
    let old = trap.made().await;
    let before = trap.seen().await;
    let new = Entropy::system().client_secret().unwrap();
    let wanted = NewSecret {
        published: Some(&old),
        ..secret(Room::Keep, &new)
    };
    let added = trap.driver.add_secret(&trap.client, wanted).await.unwrap();
    assert!(matches!(added, SecretAdded::OneSecret), "{added:?}");
    assert_eq!(trap.seen().await, before);
    assert!(trap.works(&old).await && !trap.works(&new).await);
}

#[tokio::test]
async fn k12_what_the_token_endpoint_says_of_a_client() {
    let trap = Trap::at(BED).await;
    let given = trap.made().await;
    let wrong = Entropy::system().client_secret().unwrap();
    assert!(matches!(trap.token(&given).await, TokenAnswer::Issued(_)));
    let answer = trap.token(&wrong).await;
    assert!(matches!(answer, TokenAnswer::InvalidClient), "wrong: {answer:?}");
    let frozen = Properties {
        frozen: true,
        ..trap.properties.clone()
    };
    trap.changed(&frozen).await;
    let answer = trap.token(&given).await;
    assert!(matches!(answer, TokenAnswer::InvalidClient), "disabled: {answer:?}");
    trap.changed(&trap.properties).await;
    assert!(matches!(trap.token(&given).await, TokenAnswer::Issued(_)));
    let off = json!({"serviceAccountsEnabled": false});
    trap.admin().update(BED, trap.id(), &off).await.unwrap();
    let answer = trap.token(&given).await;
    let off = matches!(answer, TokenAnswer::Refused("unauthorized_client"));
    assert!(off, "without a service account: {answer:?}");
    let answer = trap.token(&wrong).await;
    assert!(
        matches!(answer, TokenAnswer::InvalidClient),
        "wrong and off: {answer:?}"
    );
    trap.admin().delete(BED, trap.id()).await.unwrap();
    let answer = trap.token(&given).await;
    assert!(matches!(answer, TokenAnswer::InvalidClient), "deleted: {answer:?}");
}

#[tokio::test]
async fn the_life_of_tokens_is_the_realm_s_again_when_nobody_asks_for_another() {
    const LIFESPAN: &str = "access.token.lifespan";
    let mut trap = Trap::at(BED).await;
    let by_itself = trap.properties.clone();
    trap.properties.access_token_lifetime = Some(120);
    let given = trap.made().await;
    assert_eq!(attribute(&trap.seen().await, LIFESPAN), Some("120"));
    let lives = async |wanted: i64| match trap.token(&given).await {
        // The server's clock may have gone on by a second between the end of the token and its answer.
        TokenAnswer::Issued(token) => assert!((wanted - 1..=wanted).contains(&token.life().as_secs()), "{token:?}"),
        other => panic!("no token: {other:?}"),
    };
    lives(120).await;
    let longer = Properties {
        access_token_lifetime: Some(180),
        ..by_itself.clone()
    };
    trap.changed(&longer).await;
    lives(180).await;
    trap.changed(&by_itself).await;
    assert_eq!(attribute(&trap.seen().await, LIFESPAN), None);
    lives(300).await;
}

#[tokio::test]
async fn a_public_client_is_not_adopted_because_any_secret_passes() {
    let trap = Trap::at(BED).await;
    let public = json!({
        "publicClient": true, "serviceAccountsEnabled": false, "standardFlowEnabled": true,
        "redirectUris": ["https://app.example.com/*"],
    });
    trap.by_hand(trap.id(), public).await;
    let before = trap.seen().await;
    // That is the trap: it looks as if this secret were right.
    let answer = trap.token(&SecretString::from("any")).await;
    assert!(!matches!(answer, TokenAnswer::InvalidClient), "{answer:?}");
    let nothing = SecretString::default();
    let refused = trap.driver.adopt(&trap.client, &trap.properties, &nothing);
    let refused = refused.await.unwrap_err();
    assert_eq!(refused.category, Category::InvalidRequest);
    assert!(refused.message.contains("it cannot be adopted"), "{refused}");
    assert_eq!(trap.seen().await, before);
}
