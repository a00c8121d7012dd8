//! Token requests are answered while Pods come and go.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::installed::Installed;
use crate::support::{repository, token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_request_fails_while_an_upgrade_replaces_every_pod() {
    let installed = Installed::nothing().await;
    installed.install(&[]);
    let cluster = &installed.cluster;
    cluster.kubectl(&["apply", "-f", &repository("examples/quickstart.yaml")]);
    cluster.ready("team-a", "shop-production").await;
    let entries = cluster.secret("team-a", "shop-production").await;

    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let asking = {
        let (stop, answered) = (stop.clone(), answered.clone());
        // Each request has a connection of its own, so each is passed on anew.
        tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let (status, answer) = token(&entries, &[]).await;
                assert_eq!(status, 200, "{answer}");
                answered.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    let before = installed.nodes().pods();
    let again = ["--set", "podAnnotations.again=yes"];
    installed.helm("upgrade appkeys charts/appkeys", &again).unwrap();
    let replaced = async || {
        let now = installed.nodes().pods();
        now.len() == 2 && now.keys().all(|name| !before.contains_key(name))
    };
    cluster.until("every Pod to be replaced", replaced).await;
    let then = answered.load(Ordering::SeqCst);
    let more = async || answered.load(Ordering::SeqCst) >= then + 20 || asking.is_finished();
    cluster.until("tokens from the new Pods", more).await;
    stop.store(true, Ordering::SeqCst);
    if let Err(failed) = asking.await {
        panic!("{failed}\n{}", installed.nodes().output());
    }
    assert!(then > 20, "only {then} tokens were asked for during the upgrade");
}
