//! Servers that choose what clients are, and change it.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;
use testbed::memory_api::Id;

use super::super::{
    bench::{Bench, ready, run},
    key_manager::Profile,
};

#[test]
fn a_change_that_gives_the_client_another_secret_publishes_that_one_at_once() {
    run(async {
        let mut bench = Bench::with_key(Profile::GivenIdentity, &json!({})).await;
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
