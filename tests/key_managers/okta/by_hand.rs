//! What somebody does in the Admin Console, or an administrator has not done yet, and what keys say of it until it is mended.

use serde_json::{Value, json};
use testbed::key_managers::okta::{Bucket, Policy, Scope};

use super::team::{Team, version, works};

/// Tokens of five minutes that are renewed as soon as they are five seconds old: nothing else makes the operator look.
fn renewed(team: &Team) -> Value {
    team.okta.server(|server| {
        let mut policy = Policy::open();
        policy.rules[0].lifetime_minutes = 5;
        server.policies = vec![policy];
    });
    json!({"accessTokens": [{"name": "t", "renewBefore": "295s"}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_was_deleted_is_made_again_as_workloads_have_it() {
    let team = Team::new("okta-deleted").await;
    let before = team.made("k", &renewed(&team)).await;
    assert!(team.okta.delete_app(&before["client-id"]));
    let back = async || team.app(&before).is_some();
    team.cluster.until("the app to be back", back).await;
    team.is_well("k", "UpToDate").await;
    assert_eq!(team.secret("k").await, before);
    assert!(works(&before).await);
    team.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_was_deactivated_is_named_and_comes_back_with_its_secret() {
    let team = Team::new("okta-inactive").await;
    let before = team.made("k", &renewed(&team)).await;
    team.by_hand(&before, |app| app.active = false);
    let id = team.app(&before).unwrap().id;
    let words = ["somebody deactivated app", &id, "activate it there"];
    team.says("k", "Ready", "InvalidRequest", &words).await;
    assert!(!team.app(&before).unwrap().active);
    assert_eq!(team.secret("k").await, before);
    team.by_hand(&before, |app| app.active = true);
    let ready = team.is_well("k", "UpToDate").await;
    assert_eq!(version(&ready), 1);
    assert_eq!(team.secret("k").await, before);
    assert!(works(&before).await);
    team.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_that_is_taken_is_named_until_it_is_free() {
    let team = Team::new("okta-label").await;
    team.okta.add_app("wanted-label", "somebody-elses-client");
    team.apply("k", &json!({"clientId": "wanted-label"}));
    let words = ["has the label wanted-label", "E0000001", "error id", "rename it"];
    team.says("k", "Ready", "ClientConflict", &words).await;
    assert_eq!(team.okta.apps().len(), 1, "nothing half-made");
    team.okta
        .app("somebody-elses-client", |app| app.label = "Another label".into());
    team.is_well("k", "UpToDate").await;
    let entries = team.secret("k").await;
    assert_eq!(entries["client-id"], "wanted-label");
    assert!(works(&entries).await);
    team.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_somebody_added_stays_and_holds_up_a_rotation_by_name() {
    let team = Team::new("okta-slots").await;
    let rotated = |trigger: &str| json!({"rotation": {"overlap": "3s", "trigger": trigger}});
    let before = team.made("k", &rotated("first")).await;
    assert!(
        team.okta
            .add_secret(&before["client-id"], "made-by-hand-in-the-console-0123", true)
    );
    team.apply("k", &rotated("second"));
    let id = team.app(&before).unwrap().id;
    let words = [
        &id,
        "all the client secrets that Okta allows (2)",
        "delete one in the Admin Console",
    ];
    let said = team.says("k", "UpToDate", "InvalidRequest", &words).await;
    assert_eq!(version(&said), 1);
    assert_eq!(team.secret("k").await, before);
    assert!(works(&before).await, "what is published goes on working");
    team.by_hand(&before, |app| {
        app.secrets.retain(|one| one.value == before["client-secret"]);
    });
    let rotated = async || team.secret("k").await["client-secret"] != before["client-secret"];
    team.cluster.until("the rotation", rotated).await;
    team.is_well("k", "UpToDate").await;
    team.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_refuses_is_said_with_what_its_administrator_must_do() {
    let team = Team::new("okta-policy").await;
    team.okta.server(|server| server.policies.clear());
    let spec = json!({"scopes": ["orders:read"], "accessTokens": [{"name": "orders", "scopes": ["orders:read"]}]});
    let entries = team.made("k", &spec).await;
    let words = [
        "the credential works",
        "orders (access_denied)",
        "access policy of authorization server default",
        "its administrator adds the client to a policy",
    ];
    let said = team.says("k", "TokensIssued", "TokenRefused", &words).await;
    assert_eq!(version(&said), 1, "a refused token is no wrong secret");
    team.okta.server(|server| {
        server.policies = vec![Policy::new(&[&entries["client-id"]], &["client_credentials"], &["*"])];
    });
    team.is_well("k", "TokensIssued").await;
    assert!(team.secret("k-tokens").await.contains_key("orders.access-token"));
    team.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_that_is_not_there_is_said_before_an_app_is_made() {
    let team = Team::new("okta-scope").await;
    team.apply("k", &json!({"scopes": ["orders:delete"]}));
    let words = [
        "authorization server default has no scope orders:delete",
        "its administrator can add it",
    ];
    team.says("k", "Ready", "InvalidRequest", &words).await;
    assert!(team.okta.apps().is_empty());
    team.okta
        .server(|server| server.scopes.push(Scope::new("orders:delete")));
    team.is_well("k", "UpToDate").await;
    team.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_the_org_that_is_used_up_is_said_with_its_end_and_waited_for() {
    let team = Team::new("okta-limit").await;
    team.made("first", &json!({})).await;
    team.okta.limit(Bucket::CreateApps, 600, 0, 8);
    team.apply("k", &json!({}));
    team.says("k", "Ready", "Throttled", &["429 (E0000047)", "no call before "])
        .await;
    assert_eq!(team.okta.apps().len(), 1);
    team.is_well("k", "UpToDate").await;
    // One call that found it out, and perhaps one that was under way.
    let refused = team.okta.calls().into_iter().filter(|call| call.status == Some(429));
    assert!(refused.count() <= 2);
    team.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_whose_grants_need_another_kind_of_app_gets_another_client() {
    let team = Team::new("okta-type").await;
    let overlap = json!({"overlap": "1h"});
    let before = team.made("k", &json!({"rotation": overlap})).await;
    let login = json!({
        "rotation": overlap, "grantTypes": ["ClientCredentials", "AuthorizationCode"],
        "redirectUris": ["https://shop.example.com/callback"],
    });
    team.apply("k", &login);
    let replaced = async || team.secret("k").await["client-id"] != before["client-id"];
    team.cluster.until("another client", replaced).await;
    let after = team.secret("k").await;
    assert!(works(&after).await && works(&before).await, "the old one drains");
    assert_eq!(team.app(&after).unwrap().settings["application_type"], "web");
    // Where the id is the team's choice, it is theirs to say what goes.
    let mut chosen = json!({"clientId": "chosen-id"});
    let before = team.made("chosen", &chosen).await;
    chosen["grantTypes"] = login["grantTypes"].clone();
    chosen["redirectUris"] = login["redirectUris"].clone();
    team.apply("chosen", &chosen);
    let words = ["is of type service for good", "spec.clientId"];
    team.says("chosen", "UpToDate", "CannotChangeInPlace", &words).await;
    assert_eq!(team.secret("chosen").await, before);
    assert!(works(&before).await);
    team.end();
}
