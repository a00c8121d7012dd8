//! What a key costs: writes, reads and calls are counted, and do not depend on the machine.

use std::collections::BTreeMap;

use serde_json::json;
use testbed::counts::{Scrape, Sent};

use crate::support::{Cluster, key, team};

const NEW_KEY: [(&str, u64); 3] = [
    // The Secret, and the record of the resident key manager.
    ("create secrets", 2),
    ("patch applicationkeys", 1),
    ("update applicationkeys/status", 1),
];

fn counts<const N: usize>(all: [(&str, u64); N]) -> BTreeMap<String, u64> {
    all.into_iter().map(|(what, count)| (what.to_owned(), count)).collect()
}

/// An operator that has nothing to do, and a namespace whose Application has a key already: its finalizer and status are
/// the Application's own.
async fn quiet_cluster() -> Cluster {
    let cluster = Cluster::start().await;
    cluster.apply(&json!({
        "apiVersion": "appkeys.dev/v1alpha1", "kind": "ClusterKeyManager", "metadata": {"name": "resident"},
        "spec": {"default": true, "resident": {}, "access": [{"namespaceSelector": {}}]},
    }));
    team(&cluster, "team").await;
    cluster.apply(&key("team", "first", &json!({})));
    cluster.ready("team", "first").await;
    cluster
}

/// Waits until the operator has been without work for a while; what it has sent until then.
async fn at_rest(cluster: &Cluster) -> Scrape {
    let beats = async || {
        let renewals = [("verb", "update"), ("resource", "leases")];
        cluster.scrape().await.sum("appkeys_api_requests_total", &renewals)
    };
    let mut sent = Sent::default();
    let mut since = beats().await;
    cluster
        .until("the operator to come to rest", async || {
            let (scrape, now) = (cluster.scrape().await, beats().await);
            let idle = scrape.sum("appkeys_synced", &[]) == 1 && scrape.sum("appkeys_queue_depth", &[]) == 0;
            let fresh = Sent::of(&scrape);
            if !idle || fresh != sent {
                (sent, since) = (fresh, now);
            }
            // Renewals of its Lease tell the time: it is one second from one to the next.
            now - since >= 3
        })
        .await;
    cluster.scrape().await
}

/// What the API server says that was written, by anybody.
async fn written(cluster: &Cluster) -> Scrape {
    let request = http::Request::get("/metrics").body(vec![]).unwrap();
    Scrape::parse(&cluster.client().await.request_text(request).await.unwrap())
}

/// Whether the API server's own count of writes is the operator's, and those of the person that makes keys.
fn agrees(server: &Scrape, sent: &Sent, made: u64) -> bool {
    let of = |verb: &str, resource: &str, subresource: &str| {
        let labels = [("verb", verb), ("resource", resource), ("subresource", subresource)];
        server.sum("apiserver_request_total", &labels)
    };
    let ours = |request: &str| sent.writes.get(request).copied().unwrap_or_default();
    let expected = [
        (of("POST", "secrets", ""), ours("create secrets")),
        (of("PUT", "secrets", ""), ours("update secrets")),
        (of("POST", "applicationkeys", ""), made),
        (of("PATCH", "applicationkeys", ""), ours("patch applicationkeys")),
        (
            of("PUT", "applicationkeys", "status"),
            ours("update applicationkeys/status"),
        ),
        (of("PUT", "applicationkeys", ""), 0),
    ];
    expected.into_iter().all(|(server, ours)| server == ours)
}

#[tokio::test]
async fn a_new_key_costs_three_writes_and_its_record_and_two_calls() {
    let cluster = quiet_cluster().await;
    for (name, spec, more) in [
        ("plain", json!({}), 0),
        ("tokens", json!({"accessTokens": [{"name": "t"}]}), 1),
    ] {
        let (before, server) = (at_rest(&cluster).await, written(&cluster).await);
        cluster.apply(&key("team", name, &spec));
        cluster.ready("team", name).await;
        let sent = Sent::of(&at_rest(&cluster).await.since(&before));
        let mut writes = counts(NEW_KEY);
        *writes.get_mut("create secrets").unwrap() += more;
        assert_eq!(sent.writes, writes, "{name}\n{}", cluster.operator_output());
        assert_eq!(sent.gets(), 0, "{name}: {:?}", sent.reads);
        // The access token that the key asks for is the one that its secret is tried with.
        assert_eq!(sent.calls, counts([("register Ok", 1), ("token Ok", 1)]), "{name}");
        cluster
            .until("the API server to count the same", async || {
                agrees(&written(&cluster).await.since(&server), &sent, 1)
            })
            .await;
    }
}

#[tokio::test]
async fn a_token_renewal_costs_two_writes_and_a_call() {
    let cluster = quiet_cluster().await;
    // A life of a minute, renewed ten seconds after it was issued.
    let spec = json!({"lifetimes": {"accessToken": "60s"}, "accessTokens": [{"name": "t", "renewBefore": "50s"}]});
    cluster.apply(&key("team", "k", &spec));
    cluster.ready("team", "k").await;
    let before = cluster.scrape().await;
    let mut last = Scrape::default();
    cluster
        .until("a renewal", async || {
            last = cluster.scrape().await;
            let sent = Sent::of(&last.since(&before));
            let idle = last.sum("appkeys_queue_depth", &[]) == 0;
            idle && sent.calls.contains_key("token Ok") && sent.writes.contains_key("update secrets")
        })
        .await;
    let sent = Sent::of(&last.since(&before));
    let renewals = sent.calls["token Ok"];
    assert_eq!(sent.calls, counts([("token Ok", renewals)]));
    let status = sent.writes.get("update applicationkeys/status").copied();
    assert!(status.unwrap_or_default() <= renewals, "{sent:?}");
    let mut writes = counts([("update secrets", renewals)]);
    writes.extend(status.map(|count| ("update applicationkeys/status".to_owned(), count)));
    assert_eq!(sent.writes, writes);
    assert!(sent.gets() <= 4 * renewals, "{sent:?}");
}

#[tokio::test]
async fn rest_and_a_restart_cost_nothing() {
    let cluster = quiet_cluster().await;
    for n in 0..10 {
        let spec = if n % 2 == 0 {
            json!({})
        } else {
            json!({"accessTokens": [{"name": "t"}], "rotation": {"interval": "720h", "trigger": "one"}})
        };
        cluster.apply(&key("team", &format!("k{n}"), &spec));
    }
    for n in 0..10 {
        cluster.ready("team", &format!("k{n}")).await;
    }
    let before = at_rest(&cluster).await;
    let sent = Sent::of(&at_rest(&cluster).await.since(&before));
    assert_eq!((&sent.writes, sent.gets(), sent.calls.len()), (&BTreeMap::new(), 0, 0));

    for orderly in [true, false] {
        if orderly {
            cluster.terminate();
        } else {
            cluster.kill();
        }
        let server = written(&cluster).await;
        cluster.run();
        let sent = Sent::of(&at_rest(&cluster).await);
        assert_eq!(sent.writes, BTreeMap::new(), "a restart writes nothing");
        assert_eq!(sent.calls, BTreeMap::new(), "the resident key manager needs no call");
        assert!(agrees(&written(&cluster).await.since(&server), &Sent::default(), 0));
        let of_keys = |request: &str| matches!(request, "get applicationkeys" | "get secrets");
        let gets: u64 = sent
            .reads
            .iter()
            .filter(|(request, _)| of_keys(request))
            .map(|(_, n)| n)
            .sum();
        assert!(gets <= 3, "no read for each key: {:?}", sent.reads);
    }
}
