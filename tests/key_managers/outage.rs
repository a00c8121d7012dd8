//! A server that is away for a minute: no Secret gets worse, few calls are made meanwhile, and all heal.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use testbed::{
    key_managers::keycloak::{Keycloak, Options, ROTATING},
    process::End,
};

use super::beds::Bed;
use crate::support::{Cluster, kills::Kills, provider};

/// How long the server is away.
const AWAY: Duration = Duration::from_mins(1);
/// So many keys are there before, and so many are made meanwhile.
const KEYS: usize = 20;
/// The most calls that the operator may make while the server is away: a probe a second by keys that wait and one by the key
/// manager itself, and the first three of the circuit; not one for each key.
const MOST_CALLS: u64 = 100;

#[tokio::test]
async fn a_keycloak_that_is_away_for_a_minute_costs_nothing() {
    provider();
    let mut keycloak = Keycloak::start(Options::default()).await.unwrap();
    let cluster = Cluster::start().await;
    Bed::keycloak(&keycloak, ROTATING).install(&cluster);
    let keys = |keys| Kills {
        namespace: "outage",
        keys,
        times: 0,
        specs: vec![json!({"keyManagerRef": {"name": ROTATING}, "lifetimes": {"accessToken": "1m"}})],
        flags: &[],
    };
    // The tokens of these are due for renewal while the server is away, and half of them rotate.
    let before = keys(KEYS);
    crate::support::team(&cluster, "outage").await;
    cluster.apply(&before.list(&(0..KEYS).collect::<Vec<_>>(), "first"));
    before.all_work(&cluster).await;
    let mut published = BTreeMap::new();
    for n in 0..KEYS {
        published.insert(n, cluster.secret("outage", &format!("k-{n}")).await);
    }

    keycloak.stop(End::Crash).await.unwrap();
    let calls = async || cluster.scrape().await.sum("appkeys_key_manager_calls_total", &[]);
    let made_before = calls().await;
    cluster.apply(&before.list(&(0..KEYS / 2).collect::<Vec<_>>(), "second"));
    cluster.apply(&keys(2 * KEYS).list(&(KEYS..2 * KEYS).collect::<Vec<_>>(), "first"));
    tokio::time::sleep(AWAY).await;
    let made = calls().await - made_before;
    eprintln!(
        "{made} calls in {} s without a server, for {} keys",
        AWAY.as_secs(),
        2 * KEYS
    );
    assert!((1..=MOST_CALLS).contains(&made), "{made}");
    for n in 0..KEYS {
        let now = cluster.secret("outage", &format!("k-{n}")).await;
        assert_eq!(now, published[&n], "k-{n} got worse or better without a server");
    }

    keycloak.start_again().await.unwrap();
    // A key whose rotation waits for a server is ready all the same: its Secret works.
    cluster
        .until("half of the keys to rotate", async || {
            for n in 0..KEYS / 2 {
                if cluster.secret("outage", &format!("k-{n}")).await == published[&n] {
                    return false;
                }
            }
            true
        })
        .await;
    keys(2 * KEYS).all_work(&cluster).await;
    for n in KEYS / 2..KEYS {
        let now = cluster.secret("outage", &format!("k-{n}")).await;
        assert_eq!(now, published[&n], "nobody asked k-{n} to rotate");
    }
}
