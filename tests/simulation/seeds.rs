//! Many faults at random: thousands of seeds, each a life of a few keys.

use std::time::Duration;

use jiff::SignedDuration;
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use serde_json::json;
use testbed::memory_api::Id;

use super::{
    bench::{Bench, ready, run, side_by_side},
    key_manager::PROFILES,
};

const KEYS: [&str; 3] = ["a", "b", "c"];

/// One life: edits, rotations, tampering, restarts and faults; then peace, in which all must heal.
async fn life(seed: u64) -> Result<(), String> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut profile = || PROFILES[rng.random_range(0..PROFILES.len())];
    let (first, second) = (profile(), profile());
    let mut bench = Bench::new(seed, first, second);
    bench.note(&format!("key managers: {first:?}, {second:?}"));
    bench.invariants.expect_overlap(SignedDuration::ZERO);
    for key in KEYS {
        bench.put_key(
            key,
            &json!({"accessTokens": [{"name": "t"}], "rotation": {"overlap": "1m"}}),
        );
    }
    bench.start_with(None, Some((rng.random(), 0.15)));
    for round in 0..rng.random_range(3..8) {
        let key = KEYS[rng.random_range(0..KEYS.len())];
        let trigger = format!("round-{round}");
        match rng.random_range(0..9) {
            0 => bench.put_key(key, &json!({"rotation": {"overlap": "1m", "trigger": trigger}})),
            1 => bench.put_key(
                key,
                &json!({"rotation": {"overlap": "1m", "trigger": trigger, "strategy": "ReplaceClient"}}),
            ),
            2 => bench.put_key(
                key,
                &json!({"rotation": {"overlap": "1m", "trigger": trigger, "strategy": "InPlace"}}),
            ),
            3 => {
                let manager = ["first", "second"][rng.random_range(0..2)];
                bench.put_key(
                    key,
                    &json!({"keyManagerRef": {"name": manager}, "rotation": {"overlap": "1m"}}),
                );
            }
            4 => bench.api.edit(|store| store.delete(&Id::secret("team", key))),
            5 => bench.api.edit(|store| {
                let id = Id::secret("team", key);
                if store.get(&id).is_some() {
                    store.put(&id, json!({"data": {"client-secret": "dGFtcGVyZWQ="}}));
                }
            }),
            6 => bench.api.drop_watches(),
            7 => bench.cut_off(),
            _ => bench.kill(),
        }
        let time = Duration::from_secs(rng.random_range(1..90));
        if bench.is_running() {
            bench.until_dead(time).await;
        } else {
            bench.pass_alone(time).await;
        }
        if !bench.is_running() {
            bench.start_with(None, Some((rng.random(), 0.15)));
        }
    }
    bench.kill();
    bench.start();
    let all_ready = |bench: &Bench| KEYS.iter().all(|key| ready(&bench.key(key)));
    let healed = bench.until(Duration::from_hours(1), all_ready).await;
    bench.pass(Duration::from_mins(15)).await;
    let report = |what: String| Err(format!("{what}\n{}", bench.trace()));
    if !healed || !all_ready(&bench) {
        return report("not all keys healed".into());
    }
    let broken = bench.invariants.broken();
    if !broken.is_empty() {
        return report(broken.join("\n"));
    }
    let (clients, named) = (bench.clients(), bench.named_orphans());
    if clients.len() < KEYS.len() || clients.len() > KEYS.len() + named {
        return report(format!("clients {clients:?}, {named} orphans are named"));
    }
    Ok(())
}

/// `SEEDS=n` runs so many, `SEED=s` just that one.
#[test]
fn any_seed_heals() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds: Vec<u64> = match number("SEED") {
        Some(seed) => vec![seed],
        None => (0..number("SEEDS").unwrap_or(2000)).collect(),
    };
    let failures = side_by_side(seeds, |seed| {
        let failure = run(life(seed)).err()?;
        Some(format!(
            "seed {seed} (again with SEED={seed} cargo test any_seed_heals): {failure}"
        ))
    });
    assert!(
        failures.is_empty(),
        "{} seeds failed; the first: {}",
        failures.len(),
        failures[0]
    );
}
