//! Many faults at random: thousands of seeds, each a life of a few keys.

use std::time::Duration;

use appkeys::api::{ClientAuthentication, CredentialKind};
use jiff::SignedDuration;
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use serde_json::{Value, json};
use testbed::memory_api::Id;

use super::{
    bench::{Bench, ready},
    profile::with_applications,
    runs::{run, side_by_side},
};

const KEYS: [&str; 3] = ["a", "b", "c"];
/// Their Applications and environments; some key managers have one client for each.
const PLACES: [(&str, &str); 3] = [("shop", "Production"), ("shop", "Sandbox"), ("mobile", "Production")];

/// The spec of the n-th key: what its client holds, where it is, and how it is rotated.
fn spec(n: usize, authentication: ClientAuthentication, more: &Value) -> Value {
    let (application, environment) = PLACES[n];
    let mut spec = json!({
        "applicationRef": {"name": application}, "environment": environment, "rotation": {"overlap": "1m"},
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    if authentication != ClientAuthentication::None {
        spec["clientAuthentication"] = json!(authentication);
    }
    spec
}

/// One life: edits, rotations, tampering, restarts and faults; then peace, in which all must heal.
async fn life(seed: u64) -> Result<(), String> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let profiles: Vec<_> = with_applications().collect();
    let mut profile = || profiles[rng.random_range(0..profiles.len())];
    let (first, second) = (profile(), profile());
    // A public client has what the bench gives it; the others say what they have, and may say something else later.
    let mut bench = Bench::of_kind(seed, first, second, CredentialKind::Nothing);
    let (here, there) = (first.facts(), second.facts());
    let works: Vec<_> = here
        .works
        .iter()
        .filter(|one| there.works.contains(one))
        .copied()
        .collect();
    let provable: Vec<_> = works
        .iter()
        .filter(|one| **one != ClientAuthentication::None)
        .copied()
        .collect();
    let mut kinds = KEYS.map(|_| works[rng.random_range(0..works.len())]);
    bench.note(&format!("key managers: {first:?}, {second:?}; keys: {kinds:?}"));
    if rng.random_bool(0.5) {
        bench.servers.0.values().for_each(|server| server.live_as_recorded());
    }
    bench.invariants.expect_overlap(SignedDuration::ZERO);
    let mobile = Id::ours("applications", "team", "mobile");
    bench.api.edit(|store| store.put(&mobile, json!({"spec": {}})));
    for (n, kind) in kinds.into_iter().enumerate() {
        bench.put_key(KEYS[n], &spec(n, kind, &json!({"accessTokens": [{"name": "t"}]})));
    }
    bench.start_with(None, Some((rng.random(), 0.15)));
    for round in 0..rng.random_range(3..8) {
        let n = rng.random_range(0..KEYS.len());
        let (key, trigger) = (KEYS[n], format!("round-{round}"));
        let put = |bench: &Bench, kind, more: Value| bench.put_key(key, &spec(n, kind, &more));
        match rng.random_range(0..10) {
            0 => put(
                &bench,
                kinds[n],
                json!({"rotation": {"overlap": "1m", "trigger": trigger}}),
            ),
            1 | 2 => {
                let strategy = ["ReplaceClient", "InPlace"][rng.random_range(0..2)];
                let rotation = json!({"overlap": "1m", "trigger": trigger, "strategy": strategy});
                put(&bench, kinds[n], json!({"rotation": rotation}));
            }
            3 => {
                let manager = ["first", "second"][rng.random_range(0..2)];
                put(&bench, kinds[n], json!({"keyManagerRef": {"name": manager}}));
            }
            4 => bench.api.edit(|store| store.delete(&Id::secret("team", key))),
            5 => bench.tamper(key),
            6 => bench.api.drop_watches(),
            7 => bench.cut_off(),
            8 if kinds[n] != ClientAuthentication::None => {
                kinds[n] = provable[rng.random_range(0..provable.len())];
                put(&bench, kinds[n], json!({}));
            }
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
    if !bench.servers.have_applications() {
        return Ok(());
    }
    end(&mut bench).await
}

/// All keys are deleted; with their last keys applications go.
async fn end(bench: &mut Bench) -> Result<(), String> {
    for key in KEYS {
        bench.delete_key(key);
    }
    let gone = |bench: &Bench| KEYS.iter().all(|key| bench.key(key).is_null());
    let ended = bench.until(Duration::from_hours(1), gone).await;
    let left = bench.servers.applications();
    if ended && left == 0 {
        return Ok(());
    }
    let text = format!("all keys are gone: {ended}, and {left} applications are left");
    Err(format!("{text}\n{}", bench.trace()))
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
