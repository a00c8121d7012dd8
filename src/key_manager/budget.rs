//! How many calls may be made in a second: at one key manager, and by one namespace over all its own.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};
use tokio::time::{Instant, sleep};

/// The runtime's own time since a start, so that a simulation whose time stands still has its budget stand still too.
#[derive(Clone, Copy, Debug)]
struct Runtime(Instant);

impl Clock for Runtime {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// So many calls a second on average, and so many at once after a pause.
#[derive(Debug)]
pub struct Budget {
    calls: RateLimiter<NotKeyed, InMemoryState, Runtime, StateInformationMiddleware>,
    clock: Runtime,
    quota: Quota,
    /// When the last call was taken, and how many were left then.
    last: Mutex<(Duration, u32)>,
}

impl Budget {
    /// A budget that nothing was taken from.
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let clock = Runtime(Instant::now());
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Self {
            calls: RateLimiter::direct_with_clock(quota, clock).with_middleware(),
            clock,
            quota,
            last: Mutex::new((Duration::ZERO, burst.get())),
        }
    }

    /// Takes one call, as soon as there is one.
    pub async fn take(&self) {
        loop {
            match self.calls.check() {
                Ok(state) => {
                    *self.last() = (self.clock.now(), state.remaining_burst_capacity());
                    return;
                }
                Err(not_until) => sleep(not_until.wait_time_from(self.clock.now())).await,
            }
        }
    }

    /// How many calls could be taken at once now.
    pub fn left(&self) -> u32 {
        let (at, left) = *self.last();
        let since = self.clock.now().saturating_sub(at).as_nanos();
        let more = since / self.quota.replenish_interval().as_nanos().max(1);
        let left = u32::try_from(more).unwrap_or(u32::MAX).saturating_add(left);
        left.min(self.quota.burst_size().get())
    }

    fn last(&self) -> MutexGuard<'_, (Duration, u32)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The budgets of namespaces. The author of a `KeyManager` may be a tenant, who can make as many as he likes, each with limits
/// of his own.
#[derive(Debug)]
pub struct NamespaceBudgets {
    per_second: NonZeroU32,
    // A budget is there as long as a key manager of the namespace is.
    all: Mutex<BTreeMap<String, Weak<Budget>>>,
}

impl NamespaceBudgets {
    /// So many calls a second for each namespace.
    pub fn new(per_second: NonZeroU32) -> Self {
        Self {
            per_second,
            all: Mutex::default(),
        }
    }

    /// The budget of a namespace.
    pub fn of(&self, namespace: &str) -> Arc<Budget> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = all.get(namespace).and_then(Weak::upgrade) {
            return budget;
        }
        all.retain(|_, budget| budget.strong_count() > 0);
        let budget = Arc::new(Budget::new(self.per_second, self.per_second));
        all.insert(namespace.to_owned(), Arc::downgrade(&budget));
        budget
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    fn number(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).expect("not zero")
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_then_calls_come_at_their_rate() {
        let budget = Budget::new(number(5), number(3));
        let start = Instant::now();
        let mut at = vec![];
        for _ in 0..5 {
            budget.take().await;
            at.push(start.elapsed().as_millis() / 100);
        }
        assert_eq!(at, [0, 0, 0, 2, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_tells_how_many_calls_are_left() {
        let budget = Budget::new(number(5), number(3));
        assert_eq!(budget.left(), 3);
        for left in [2, 1, 0] {
            budget.take().await;
            assert_eq!(budget.left(), left);
        }
        for left in [1, 2, 3, 3] {
            sleep(Duration::from_millis(200)).await;
            assert_eq!(budget.left(), left);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn key_managers_of_one_namespace_share_its_budget_and_nobody_elses() {
        let budgets = NamespaceBudgets::new(number(10));
        let (one, other, foreign) = (budgets.of("team-a"), budgets.of("team-a"), budgets.of("team-b"));
        let start = Instant::now();
        join_all((0..10).map(|_| one.take())).await;
        join_all((0..10).map(|_| foreign.take())).await;
        assert_eq!(start.elapsed().as_millis(), 0);
        join_all((0..10).map(|_| other.take())).await;
        assert_eq!(start.elapsed().as_millis() / 100, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_goes_with_its_last_key_manager() {
        let budgets = NamespaceBudgets::new(number(1));
        drop(budgets.of("team-a"));
        let _kept = budgets.of("team-b");
        assert_eq!(budgets.all.lock().expect("not poisoned").len(), 1);
    }
}
