//! Servers that choose what clients are, and change it.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;
use testbed::memory_api::Id;

use super::{
    super::{
        bench::{Bench, ready},
        profile::Profile,
        runs::run,
    },
    outside,
};

#[test]
fn a_change_that_gives_the_client_another_secret_publishes_that_one_at_once() {
    run(async {
        let mut bench = Bench::with_key(Profile::OidcOpen, &json!({})).await;
        let before = bench.credential("k");
        bench.servers.0["first"].renews.store(true, Ordering::SeqCst);
        bench.put_key("k", &json!({"clientAuthentication": "ClientSecretPost"}));
        bench
            .becomes("published", |bench| bench.credential("k").1 != before.1)
            .await;
        bench.pass(Duration::from_mins(1)).await;
        let after = bench.credential("k");
        assert!(bench.works(&after) && !bench.works(&before), "{}", bench.trace());
        assert!(ready(&bench.key("k")));
        assert_eq!(after.0, before.0, "the same client");
        // What the state holds is that secret too: a Secret that is deleted comes back with it.
        bench.servers.0["first"].renews.store(false, Ordering::SeqCst);
        bench.api.edit(|store| store.delete(&Id::secret("team", "k")));
        bench.becomes("back", |bench| bench.credential("k") == after).await;
        assert_eq!((bench.clients().len(), bench.named_orphans()), (1, 0));
    });
}

#[test]
fn clients_that_a_server_lets_nobody_delete_are_named_and_hold_nothing_up() {
    run(async {
        let mut bench = Bench::with_key(Profile::OidcUnmanaged, &json!({})).await;
        let before = bench.credential("k");
        let rotation = json!({"overlap": "1m", "trigger": "now", "strategy": "ReplaceClient"});
        bench.put_key("k", &json!({"rotation": rotation}));
        bench
            .becomes("replaced", |bench| {
                ready(&bench.key("k")) && bench.credential("k") != before
            })
            .await;
        bench.pass(Duration::from_mins(5)).await;
        assert_eq!(
            (bench.clients().len(), bench.named_orphans()),
            (2, 1),
            "{}",
            bench.trace()
        );
        bench.delete_key("k");
        bench.becomes("gone", |bench| bench.key("k").is_null()).await;
        assert_eq!(
            (bench.clients().len(), bench.named_orphans()),
            (2, 2),
            "{}",
            bench.trace()
        );
        bench.is_sound();
    });
}

#[test]
fn changes_one_after_another_cost_no_client_whatever_they_are_made_with() {
    for profile in outside() {
        run(async {
            let mut bench = Bench::with_key(profile, &json!({})).await;
            let before = (bench.credential("k"), bench.clients());
            for n in 0..3 {
                let spec = json!({"spec": {"displayName": format!("Shop {n}")}});
                let asked = bench.record.len();
                bench
                    .api
                    .edit(|store| store.put(&Id::ours("applications", "team", "shop"), spec));
                bench.pass(Duration::from_mins(1)).await;
                let updates = bench.record.since(asked);
                let updates = updates.iter().filter(|asked| asked.what.starts_with("update "));
                assert_eq!(updates.count(), 1, "{profile:?}: it is told");
                // What it takes to make the next change is kept elsewhere than in memory.
                bench.kill();
                bench.pass_alone(Duration::from_secs(20)).await;
                bench.start();
            }
            assert!(
                (bench.credential("k"), bench.clients()) == before,
                "{profile:?}\n{}",
                bench.trace()
            );
            bench.delete_key("k");
            bench.becomes("gone", |bench| bench.key("k").is_null()).await;
            let left = (bench.clients().len(), bench.named_orphans());
            assert_eq!(left, (0, 0), "{profile:?}\n{}", bench.trace());
        });
    }
}
