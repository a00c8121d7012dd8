//! Runs: each on a runtime of its own, as many at once as there are cores.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
};

use appkeys::entropy::Entropy;
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

/// Runs a future on a runtime of its own, with the clock paused.
pub(crate) fn run<T>(run: impl Future<Output = T>) -> T {
    crate::support::provider();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(run)
}

/// Plays all of `runs`, as many at once as there are cores. What failed, in the order of the runs.
pub(crate) fn side_by_side<R: Send>(runs: Vec<R>, play: impl Fn(R) -> Option<String> + Sync) -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runs = Mutex::new(runs.into_iter().enumerate());
    let failures = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some((n, run)) = { runs.lock().unwrap().next() } {
                    let played = catch_unwind(AssertUnwindSafe(|| play(run)));
                    let failure = played.unwrap_or_else(|_| Some(format!("run {n} panicked")));
                    if let Some(failure) = failure {
                        failures.lock().unwrap().insert(n, failure);
                    }
                }
            });
        }
    });
    failures.into_inner().unwrap().into_values().collect()
}

/// Random values of a run.
pub(crate) fn entropy(seed: u64) -> Entropy {
    let mut rng = SmallRng::seed_from_u64(seed);
    Entropy::new(move |bytes| {
        rng.fill(bytes);
        true
    })
}
