//! What went wrong elsewhere, tried at a real Keycloak: the numbers are those of the list of failure stories.

use std::collections::BTreeMap;

use appkeys::api::{ApplicationKey, conditions};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use testbed::key_managers::keycloak::{Admin, BED, ROTATING};

use super::{
    beds::{self, Bed},
    life::at_rest,
};
use crate::support::{Cluster, is_ready, key, kills::Kills, team, token};

/// Clients of others in the realm: more than two pages of any list.
const FOREIGN: usize = 250;
/// Calls of the administrator at the same time.
const PARALLEL: usize = 8;

fn reason(key: &ApplicationKey) -> Option<&str> {
    conditions::reason(&key.status.as_ref()?.conditions, "Ready")
}

async fn works(entries: &BTreeMap<String, String>) -> bool {
    token(entries, &[]).await.0 == 200
}

#[tokio::test]
async fn story_8_two_keys_that_choose_one_client_do_not_touch_each_other() {
    let keycloak = beds::keycloak().await;
    let cluster = beds::cluster().await;
    Bed::keycloak(&keycloak, BED).install(&cluster);
    let spec = json!({"keyManagerRef": {"name": BED}, "clientId": "chosen-by-two"});
    for namespace in ["story-8-first", "story-8-second"] {
        team(&cluster, namespace).await;
    }
    cluster.apply(&key("story-8-first", "k", &spec));
    cluster.ready("story-8-first", "k").await;
    let entries = cluster.secret("story-8-first", "k").await;
    assert_eq!(entries["client-id"], "chosen-by-two");
    let there = async || {
        keycloak
            .admin()
            .client(BED, "chosen-by-two")
            .await
            .unwrap()
            .map(in_order)
    };
    let before = there().await;

    cluster.apply(&key("story-8-second", "k", &spec));
    let refused = cluster
        .key_until("story-8-second", "k", |key| reason(key) == Some("ClientConflict"))
        .await;
    assert!(!conditions::is_true(&refused.status.unwrap().conditions, "Ready"));
    let secrets = cluster.kubectl(&["-n", "story-8-second", "get", "secrets", "-o", "name"]);
    assert_eq!(secrets, "", "nothing is published");
    assert_eq!(there().await, before, "the first key's client is as it was");

    cluster.kubectl(&["-n", "story-8-second", "delete", "akey", "k", "--timeout=60s"]);
    assert_eq!(there().await, before, "nor does the second key's end change it");
    assert!(works(&entries).await);
    cluster.kubectl(&["-n", "story-8-first", "delete", "akey", "k", "--timeout=60s"]);
    assert!(!works(&entries).await);
}

/// All clients of the realm whose ids begin with `prefix`.
async fn clients(admin: &Admin, prefix: &str) -> Vec<Value> {
    let all = admin.clients(BED).await.unwrap();
    let id = |client: &Value| client["clientId"].as_str().unwrap_or_default().to_owned();
    let mut some: Vec<_> = all
        .into_iter()
        .filter(|client| id(client).starts_with(prefix))
        .collect();
    some.sort_by_key(id);
    some.into_iter().map(in_order).collect()
}

/// Keycloak writes its sets in any order.
fn in_order(value: Value) -> Value {
    match value {
        Value::Array(all) => {
            let mut all: Vec<_> = all.into_iter().map(in_order).collect();
            all.sort_by_key(Value::to_string);
            all.into()
        }
        Value::Object(all) => all.into_iter().map(|(name, value)| (name, in_order(value))).collect(),
        other => other,
    }
}

async fn make(admin: &Admin, id: &str) {
    let client = json!({"clientId": id, "publicClient": false, "serviceAccountsEnabled": true});
    admin.create(BED, &client).await.unwrap();
}

#[tokio::test]
async fn story_20_and_29_among_many_clients_a_key_concerns_its_own() {
    let keycloak = beds::keycloak().await;
    let admin = keycloak.admin();
    let cluster = beds::cluster().await;
    Bed::keycloak(&keycloak, BED).install(&cluster);
    team(&cluster, "story-20").await;
    // Before ours in any order by name.
    let made =
        stream::iter(0..FOREIGN).for_each_concurrent(PARALLEL, async |n| make(admin, &format!("a-{n:03}")).await);
    made.await;

    let spec = json!({"keyManagerRef": {"name": BED}, "clientId": "chosen-among-many"});
    cluster.apply(&key("story-20", "k", &spec));
    cluster.ready("story-20", "k").await;
    let first = cluster.secret("story-20", "k").await;
    assert!(works(&first).await);
    // What a search for ours would find too.
    for id in ["a-chosen-among-many", "chosen-among-many-2", "chosen-among-man"] {
        make(admin, id).await;
    }
    let foreign = async || {
        let mut all = clients(admin, "a-").await;
        all.extend(clients(admin, "chosen-among-man").await);
        all.retain(|client| client["clientId"] != "chosen-among-many");
        all
    };
    let before = foreign().await;
    assert_eq!(before.len(), FOREIGN + 3);

    // It is looked up, and its secret is read.
    cluster.kubectl(&["-n", "story-20", "delete", "secret", "k"]);
    let back = async || {
        let listed = cluster.kubectl(&["-n", "story-20", "get", "secrets", "-o", "name"]);
        !listed.is_empty()
    };
    cluster.until("the Secret to be back", back).await;
    let again = cluster.secret("story-20", "k").await;
    assert_eq!(again["client-id"], first["client-id"]);
    assert!(works(&again).await);
    cluster.ready("story-20", "k").await;

    cluster.kubectl(&["-n", "story-20", "delete", "akey", "k", "--timeout=60s"]);
    assert!(!works(&again).await, "its client is gone");
    let ours = admin.client(BED, "chosen-among-many").await.unwrap();
    assert_eq!(ours, None);
    let after = foreign().await;
    assert_eq!(after.len(), before.len(), "none is missing");
    for (after, before) in after.iter().zip(&before) {
        assert_eq!(after, before, "it is as it was");
    }
}

#[tokio::test]
async fn story_22_changes_at_the_same_time_are_tried_again() {
    let keycloak = beds::keycloak().await;
    let admin = keycloak.admin();
    let cluster = beds::cluster().await;
    Bed::keycloak(&keycloak, ROTATING).install(&cluster);
    let keys = Kills {
        namespace: "story-22",
        keys: 20,
        times: 0,
        specs: vec![json!({"keyManagerRef": {"name": ROTATING}})],
        flags: &[],
    };
    team(&cluster, "story-22").await;
    let all: Vec<_> = (0..keys.keys).collect();
    cluster.apply(&keys.list(&all, "first"));
    let ids = keys.all_work(&cluster).await;
    let mut published = vec![];
    for n in &all {
        published.push(cluster.secret("story-22", &format!("k-{n}")).await);
    }

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let disturb = stream::iter(&ids).for_each_concurrent(PARALLEL, async |id| {
        let mut round = 0;
        // Each is disturbed until all are well again; this one's turn may be over when it comes to be.
        while round == 0 || round < 5 && !*stopped.borrow() {
            let change = json!({"description": format!("somebody was here {round}"), "attributes": {}});
            // It may be refused itself: both change one client.
            let _ = admin.update(ROTATING, id, &change).await;
            round += 1;
        }
    });
    let rotate = async {
        cluster.apply(&keys.list(&all, "second"));
        let rotated = async || {
            for (n, old) in published.iter().enumerate() {
                let now = cluster.secret("story-22", &format!("k-{n}")).await;
                if now["client-secret"] == old["client-secret"] {
                    return false;
                }
            }
            true
        };
        cluster.until("all keys to be rotated", rotated).await;
        stop.send_replace(true);
    };
    tokio::join!(disturb, rotate);
    assert_eq!(
        keys.all_work(&cluster).await,
        ids,
        "each has a working Secret and its client"
    );
    cluster.kubectl(&["-n", "story-22", "delete", "akey", "--all", "--timeout=90s"]);
}

/// A key at `realm`, ready, and its Secret.
async fn made(cluster: &Cluster, realm: &str, name: &str, spec: &Value) -> BTreeMap<String, String> {
    let mut spec = spec.clone();
    spec["keyManagerRef"] = json!({"name": realm});
    cluster.apply(&key("story-27", name, &spec));
    cluster.ready("story-27", name).await;
    cluster.secret("story-27", name).await
}

async fn heals(cluster: &Cluster, name: &str) -> BTreeMap<String, String> {
    let well = async || works(&cluster.secret("story-27", name).await).await;
    cluster.until(&format!("{name} to be well"), well).await;
    cluster.key_until("story-27", name, is_ready).await;
    cluster.secret("story-27", name).await
}

#[tokio::test]
async fn story_27_what_was_changed_by_hand_heals() {
    let keycloak = beds::keycloak().await;
    let admin = keycloak.admin();
    let cluster = beds::cluster().await;
    team(&cluster, "story-27").await;
    // Renewed as soon as they are five seconds old: nothing else makes the operator look.
    let renewed = json!({
        "lifetimes": {"accessToken": "1m"}, "accessTokens": [{"name": "t", "renewBefore": "55s"}],
        "rotation": {"overlap": "3s"},
    });
    for realm in [BED, ROTATING] {
        Bed::keycloak(&keycloak, realm).install(&cluster);
        let deleted = format!("deleted-{realm}");
        let gone = made(&cluster, realm, &deleted, &renewed).await;
        let changed = format!("changed-{realm}");
        let stale = made(&cluster, realm, &changed, &renewed).await;
        admin.delete(realm, &gone["client-id"]).await.unwrap();
        let by_hand = json!({"secret": "chosen-by-hand-and-told-to-nobody", "attributes": {}});
        admin.update(realm, &stale["client-id"], &by_hand).await.unwrap();
        let back = heals(&cluster, &deleted).await;
        assert_eq!(back, gone, "the client is made again with what workloads hold");
        let now = heals(&cluster, &changed).await;
        assert_eq!(now["client-id"], stale["client-id"]);
        assert_ne!(now["client-secret"], "chosen-by-hand-and-told-to-nobody");
    }

    // Without tokens nobody notices, until something is to be changed.
    let edited = made(&cluster, BED, "edited", &json!({})).await;
    admin.delete(BED, &edited["client-id"]).await.unwrap();
    made(&cluster, BED, "edited", &json!({"lifetimes": {"accessToken": "2m"}})).await;
    assert_eq!(heals(&cluster, "edited").await["client-id"], edited["client-id"]);
    // A person who deletes a client and then asks for a rotation does not want its secret back.
    let asked = made(&cluster, ROTATING, "asked", &json!({"rotation": {"overlap": "3s"}})).await;
    admin.delete(ROTATING, &asked["client-id"]).await.unwrap();
    cluster.kubectl(&["-n", "story-27", "annotate", "akey", "asked", "appkeys.dev/rotate=now"]);
    cluster.key_until("story-27", "asked", at_rest(2)).await;
    let again = heals(&cluster, "asked").await;
    assert_eq!(again["client-id"], asked["client-id"]);
    assert_ne!(again["client-secret"], asked["client-secret"]);
    cluster.kubectl(&["-n", "story-27", "delete", "akey", "--all", "--timeout=90s"]);
}
