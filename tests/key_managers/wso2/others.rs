//! Traps of key managers behind WSO2, an Okta and a Keycloak, by their numbers: ids and secrets are theirs to choose.

use appkeys::key_manager::{Category, Changed, Choice, Client};
use serde_json::json;
use testbed::key_managers::wso2::{Call, Fault, KeyManager as Inside, Kind, Settings, Trouble, Version, Wso2};

use super::bench::{Bench, is_refused, made, works};

const OKTA: &str = "Okta behind";
const KEYCLOAK: &str = "Keycloak behind";

/// A client at a key manager behind WSO2, with the properties that it asks for.
async fn behind(version: Version, name: &str, kind: Kind) -> Bench {
    let server = Wso2::start(Settings::of(version)).await.unwrap();
    server.state().key_managers.push(Inside::new(name, kind));
    let mut bench = Bench::at(server, &json!({"keyManager": name})).await;
    bench.client.id = String::new();
    match kind {
        Kind::Okta => bench.with_property("response_types", "token"),
        _ => bench
            .with_property("subject_type", "public")
            .with_property("tls_client_certificate_bound_access_tokens", "false"),
    }
}

#[tokio::test]
async fn what_a_connector_asks_for_is_asked_of_the_team() {
    let server = Wso2::start(Settings::of(Version::V4_6)).await.unwrap();
    server.state().key_managers.push(Inside::new(OKTA, Kind::Okta));
    let bench = Bench::at(server, &json!({"keyManager": OKTA})).await;
    let words = ["needs the property response_types", "spec.wso2.properties"];
    is_refused(bench.register().await, Category::InvalidRequest, &words);
    let can = bench.driver.capabilities();
    assert_eq!(
        (can.client_id, can.secret_at_rotation),
        (Choice::Theirs, None),
        "W22: it replaces no secret"
    );
    assert!(can.applications && can.find && !can.read_secret);
    assert_eq!(bench.count(Call::GenerateKeys), 0);
}

#[tokio::test]
async fn w24_one_client_that_cannot_be_read_makes_nothing_gone() {
    let mut bench = behind(Version::V4_6, KEYCLOAK, Kind::Keycloak).await;
    let secret = bench.made().await;
    bench
        .server
        .state()
        .key_manager(KEYCLOAK)
        .unwrap()
        .troubles
        .insert(Trouble::Unreachable);
    for refused in [
        bench.delete().await.map(drop),
        bench.update().await.map(drop),
        bench.register().await.map(drop),
    ] {
        is_refused(refused, Category::NotYet, &["500"]);
    }
    bench.server.state().key_manager(KEYCLOAK).unwrap().troubles.clear();
    assert!(works(&*bench.driver, &bench.client.id, &bench.properties, &secret).await);
    bench.leaves_nothing().await;
}

#[tokio::test]
async fn w25_a_change_that_would_cost_the_secret_is_not_made() {
    let mut bench = behind(Version::V4_6, OKTA, Kind::Okta).await;
    let secret = bench.made().await;
    bench.properties.display_name = "Another".into();
    let update = bench.update().await.unwrap();
    assert!(matches!(update, Changed::Refused), "{update:?}");
    assert_eq!(bench.count(Call::UpdateKey), 0);
    assert!(works(&*bench.driver, &bench.client.id, &bench.properties, &secret).await);
    bench.leaves_nothing().await;
}

#[tokio::test]
async fn w37_a_change_at_a_keycloak_names_the_client() {
    let mut bench = behind(Version::V4_6, KEYCLOAK, Kind::Keycloak).await;
    let secret = bench.made().await;
    bench.properties.display_name = "Another".into();
    let update = bench.update().await.unwrap();
    assert!(
        matches!(&update, Changed::Done(outcome) if outcome.differences.is_empty()),
        "{update:?}"
    );
    assert!(works(&*bench.driver, &bench.client.id, &bench.properties, &secret).await);
    bench.leaves_nothing().await;
}

#[tokio::test]
async fn w38_an_application_whose_deletion_failed_half_way_is_deleted_again() {
    // This version deletes a key with its application only.
    let mut bench = behind(Version::V4_2, KEYCLOAK, Kind::Keycloak).await;
    bench.made().await;
    bench
        .server
        .state()
        .fail_next(Call::DeleteApplication, Fault::LoseAnswer);
    is_refused(bench.delete().await, Category::Unreachable, &[]);
    bench.leaves_nothing().await;
}

/// The answer that had the secret is lost: the attempt is looked for, and its client found again or made again.
#[tokio::test]
async fn w12_a_client_whose_secret_was_in_a_lost_answer_is_read_or_goes() {
    for (name, kind) in [(OKTA, Kind::Okta), (KEYCLOAK, Kind::Keycloak)] {
        let bench = behind(Version::V4_6, name, kind).await;
        bench.server.state().fail_next(Call::GenerateKeys, Fault::LoseAnswer);
        is_refused(bench.register().await, Category::Unreachable, &[]);
        let found = bench.driver.find(&bench.client, "attempt").await.unwrap();
        assert_eq!(found.is_some(), kind == Kind::Keycloak, "only it shows a secret again");
        let answer = if let Some(answer) = found {
            answer
        } else {
            assert!(bench.server.state().keys.is_empty(), "it is gone");
            made(bench.register().await)
        };
        assert!(works(&*bench.driver, &answer.id, &bench.properties, &answer.secret).await);
        let client = Client {
            id: answer.id,
            ..bench.client.clone()
        };
        assert!(matches!(bench.driver.delete(&client).await.unwrap(), Changed::Done(_)));
        bench.is_empty();
    }
}
