//! Traps of WSO2's Developer Portal API that come from what its administrators set: approvals, users, tenants, key managers, demands.

use appkeys::key_manager::{Category, Changed, Registered};
use serde_json::json;
use testbed::key_managers::wso2::{Call, Constraint, Decision, Settings, Switch, Trouble, Version, Wso2};

use super::bench::{Bench, is_refused, open};

#[tokio::test]
async fn w17_a_key_waits_for_approval_and_is_made_once() {
    let mut bench = Bench::new(Settings::of(Version::V4_6).with(Switch::ApproveKeys)).await;
    for _ in 0..2 {
        is_refused(
            bench.register().await,
            Category::PendingApproval,
            &["waits in WSO2 until an administrator approves it"],
        );
    }
    assert_eq!(bench.count(Call::GenerateKeys), 1, "it is asked for once");
    bench.server.state().decide(Decision::Approve);
    let there = bench.register().await.unwrap();
    assert!(matches!(there, Registered::Exists), "{there:?}");
    assert!(matches!(bench.update().await.unwrap(), Changed::Done(_)));
    let secret = bench.driver.read_secret(&bench.client).await.unwrap().unwrap().secret;
    assert!(bench.works(&secret).await);
    bench.leaves_nothing().await;
    // One that was never approved goes with its key.
    is_refused(bench.register().await, Category::PendingApproval, &[]);
    bench.leaves_nothing().await;
    // One that was rejected is not asked for again by itself.
    is_refused(bench.register().await, Category::PendingApproval, &[]);
    bench.server.state().decide(Decision::Reject);
    let asked = bench.count(Call::GenerateKeys);
    is_refused(
        bench.register().await,
        Category::InvalidRequest,
        &["rejected", "clean it up"],
    );
    assert_eq!(bench.count(Call::GenerateKeys), asked);
    bench.server.state().settings.turn(Switch::ApproveKeys, false);
    bench.leaves_nothing().await;
    bench.made().await;
    bench.leaves_nothing().await;
}

#[tokio::test]
async fn w18_an_application_waits_for_approval_when_it_is_made_and_when_it_goes() {
    let mut bench = Bench::new(Settings::of(Version::V4_7).with(Switch::ApproveApplications)).await;
    for _ in 0..2 {
        is_refused(bench.register().await, Category::PendingApproval, &["waits in WSO2"]);
    }
    assert_eq!(bench.count(Call::CreateApplication), 1);
    bench.server.state().decide(Decision::Reject);
    is_refused(
        bench.register().await,
        Category::InvalidRequest,
        &["rejected application", "delete it there"],
    );
    bench.leaves_nothing().await;
    is_refused(bench.register().await, Category::PendingApproval, &[]);
    bench.server.state().decide(Decision::Approve);
    let secret = bench.made().await;
    bench.server.state().settings.turn(Switch::ApproveDeletions, true);
    for _ in 0..3 {
        is_refused(
            bench.delete().await,
            Category::PendingApproval,
            &["deletion", "approves it"],
        );
    }
    assert!(!bench.works(&secret).await, "the client goes at once");
    is_refused(bench.register().await, Category::PendingApproval, &["is being deleted"]);
    bench.server.state().decide(Decision::Approve);
    bench.leaves_nothing().await;
}

#[tokio::test]
async fn w28_the_operator_registers_itself_once_however_its_user_is_written() {
    let server = Wso2::start(Settings::of(Version::V4_7)).await.unwrap();
    for _ in 0..2 {
        open(&server, &json!({})).await.unwrap();
    }
    assert_eq!(server.state().resident().clients.len(), 1);
    let digests = Wso2::start(Settings::of(Version::V4_7).with(Switch::HashedSecrets))
        .await
        .unwrap();
    let say = open(&digests, &json!({})).await.unwrap_err();
    assert_eq!(say.reason, "InvalidConfiguration");
    assert!(say.message.contains("choose spec.wso2.login Client"), "{}", say.message);
    server.audit().assert_clean();
}

#[tokio::test]
async fn w31_a_key_manager_that_is_disabled_or_restricted_is_named() {
    let bench = Bench::new(Settings::of(Version::V4_7)).await;
    let troubled = |trouble| {
        let mut state = bench.server.state();
        state.resident().troubles.clear();
        state.resident().troubles.insert(trouble);
    };
    for (trouble, words) in [
        (Trouble::Disabled, "is disabled"),
        (Trouble::NoCreation, "makes no clients"),
        (Trouble::ExchangeOnly, "makes no clients"),
    ] {
        troubled(trouble);
        let say = open(&bench.server, &json!({})).await.unwrap_err();
        assert_eq!(say.reason, "InvalidConfiguration");
        assert!(say.message.contains(words), "{}", say.message);
    }
    troubled(Trouble::Restricted);
    is_refused(
        bench.register().await,
        Category::MissingPermission,
        &["403 (902013)", "roles keep"],
    );
    troubled(Trouble::Disabled);
    is_refused(
        bench.register().await,
        Category::InvalidRequest,
        &["400 (901403)", "unknown there or disabled"],
    );
    let say = open(&bench.server, &json!({"keyManager": "Nobody"})).await.unwrap_err();
    assert!(
        say.message.contains("no key manager Nobody inside WSO2") && say.message.contains("Resident Key Manager"),
        "{}",
        say.message
    );
    bench.server.state().resident().troubles.clear();
    bench.leaves_nothing().await;
}

#[tokio::test]
async fn w34_another_tenant_s_key_managers_are_asked_for_by_name() {
    let bench = Bench::new(Settings::of(Version::V4_6)).await;
    let say = open(&bench.server, &json!({"tenant": "nowhere.example"}))
        .await
        .unwrap_err();
    assert_eq!(say.reason, "InvalidConfiguration");
    assert!(
        say.message.contains("400 (901300)") && say.message.contains("no such tenant"),
        "{}",
        say.message
    );
}

#[tokio::test]
async fn w35_what_an_administrator_demands_of_each_key_is_given() {
    let mut bench = Bench::new(Settings::of(Version::V4_7)).await;
    let demand = |value| Constraint {
        property: "application_access_token_expiry_time",
        kind: "RANGE",
        value,
    };
    bench.server.state().resident().constraints = vec![demand(json!({"min": 60, "max": 900}))];
    bench.driver = open(&bench.server, &json!({})).await.unwrap();
    bench.made().await;
    let life = |bench: &Bench| {
        bench.server.state().resident().clients[&bench.client.id]
            .lifetimes
            .application
    };
    assert_eq!(life(&bench), Some(900));
    bench.properties.access_token_lifetime = Some(120);
    bench.update().await.unwrap();
    assert_eq!(life(&bench), Some(120));
    bench.properties.access_token_lifetime = Some(86_400);
    is_refused(
        bench.update().await,
        Category::InvalidRequest,
        &["400 (900970)", "spec.lifetimes"],
    );
    assert_eq!(life(&bench), Some(120));
    bench.leaves_nothing().await;
}
