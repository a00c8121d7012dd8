//! A key that moves from one server to another and back, with an operator that dies on the way: no workload notices.

use std::{sync::Arc, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use serde_json::json;
use testbed::key_managers::{
    keycloak::BED,
    oidc_provider::{OidcProvider, Options},
};

use super::{
    beds::{self, Bed},
    life::at_rest,
    prober::Prober,
};
use crate::support::{Cluster, key, provider, team};

const SEED: u64 = 1;
const FLAGS: [&str; 1] = ["--identity=the-only-one"];

#[tokio::test]
async fn a_key_moves_from_keycloak_to_a_registration_server_and_back() {
    provider();
    let keycloak = beds::keycloak().await;
    let server = OidcProvider::start(Options::default()).await.unwrap();
    let cluster = Arc::new(Cluster::start_with(&FLAGS).await);
    Bed::keycloak(&keycloak, BED).install(&cluster);
    Bed::oidc_provider(&server, Some(server.initial_access_token())).install(&cluster);
    team(&cluster, "moves").await;
    let place = |key_manager: &str| {
        let spec = json!({"keyManagerRef": {"name": key_manager}, "rotation": {"overlap": "5s"}});
        cluster.apply(&key("moves", "k", &spec));
    };
    place(BED);
    cluster.ready("moves", "k").await;
    let first = cluster.secret("moves", "k").await;
    let prober = Prober::start(cluster.clone(), "moves", "k").await;
    let mut rng = SmallRng::seed_from_u64(SEED);
    for (n, to) in ["oidc-provider", BED].into_iter().enumerate() {
        place(to);
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..1500))).await;
            cluster.kill();
            cluster.run_with(&FLAGS);
        }
        let moved = at_rest(i64::try_from(n).unwrap() + 2);
        cluster.key_until("moves", "k", moved).await;
    }
    let seen = prober.has_used(3).await.stop().await;
    assert_eq!(seen.failures, [""; 0], "seed {SEED}: {seen:?}");
    let last = cluster.secret("moves", "k").await;
    assert_ne!(first["client-id"], last["client-id"], "no id is derived twice");
    assert_eq!(last["issuer-uri"], first["issuer-uri"]);
    let there = keycloak.admin().client(BED, &last["client-id"]).await.unwrap();
    assert!(there.is_some());
    let gone = keycloak.admin().client(BED, &first["client-id"]).await.unwrap();
    assert!(gone.is_none(), "the first client goes");
    let events = cluster.kubectl(&["get", "events", "--all-namespaces", "-o", "json"]);
    for client in server.clients().await.unwrap() {
        let name = client["client_name"].as_str().unwrap_or_default();
        let attempt = name.rsplit(' ').next().unwrap_or_default();
        assert!(events.contains(attempt), "{name} is left and named nowhere");
    }
}
