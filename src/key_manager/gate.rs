//! How a key manager is called: within its budget, not while it is down, never longer than a bound, and only by the leader.

use std::{
    collections::BTreeSet,
    num::NonZeroU32,
    ops::Bound,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use super::{
    Answer, Capabilities, Category, Changed, Client, Compared, Current, Endpoints, Error, KeyManager, NewSecret,
    Properties, Registered, SecretAdded, TokenAnswer, TokenRequest, budget::Budget, circuit::Circuit,
};
use crate::{
    api::Limits,
    clock::Clock,
    controller::queue::Name,
    leader::Leadership,
    metrics::{KeyManagerNow, Metrics},
    spans,
};

/// The longest that one call may take.
const CALL: Duration = Duration::from_secs(30);
/// Calls a second at a key manager elsewhere whose spec gives no limit.
const DEFAULT_RATE: NonZeroU32 = match NonZeroU32::new(10) {
    Some(rate) => rate,
    None => NonZeroU32::MIN,
};

/// The gate to one key manager. It outlives drivers that are opened anew for the same spec.
pub struct Gate {
    /// What its metrics are called.
    label: String,
    /// Its own, and that of the namespace whose it is.
    budgets: Vec<Arc<Budget>>,
    circuit: Mutex<Circuit>,
    waiting: Mutex<BTreeSet<Name>>,
    /// The key that probed last.
    probed: Mutex<Option<Name>>,
    /// Whether somebody was told that there is no way.
    told: AtomicBool,
    clock: Clock,
    leadership: Leadership,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("circuit", &self.circuit())
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// A gate with these limits; its metrics are called `label`. Without `requestsPerSecond` calls at the resident key manager are not counted; others are
    /// spared as the documentation says. `namespace` is the budget of the namespace whose key manager it is.
    pub fn new(
        label: String,
        limits: Option<&Limits>,
        resident: bool,
        namespace: Option<Arc<Budget>>,
        clock: Clock,
        leadership: Leadership,
        metrics: Arc<Metrics>,
    ) -> Self {
        let positive = |value: i32| u32::try_from(value).ok().and_then(NonZeroU32::new);
        let given = |of: fn(&Limits) -> Option<i32>| limits.and_then(of).and_then(positive);
        let rate = given(|limits| limits.requests_per_second).or((!resident).then_some(DEFAULT_RATE));
        let own = rate.map(|rate| {
            let burst = given(|limits| limits.burst).unwrap_or(rate);
            Arc::new(Budget::new(rate, burst))
        });
        Self {
            label,
            budgets: own.into_iter().chain(namespace).collect(),
            circuit: Mutex::default(),
            waiting: Mutex::default(),
            probed: Mutex::default(),
            told: AtomicBool::default(),
            clock,
            leadership,
            metrics,
        }
    }

    /// A key waits until the key manager answers again.
    pub fn wait(&self, key: Name) {
        self.waiting().insert(key);
    }

    /// A key that waits, to probe with; it goes on waiting. They take turns: the probe of one may hang.
    pub fn one_waiting(&self) -> Option<Name> {
        let mut probed = self.probed.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = self.waiting();
        let next = probed.as_ref().and_then(|probed| {
            let after = (Bound::Excluded(probed), Bound::Unbounded);
            waiting.range::<Name, _>(after).next()
        });
        let next = next.or(waiting.first()).cloned();
        probed.clone_from(&next);
        next
    }

    /// A key does not wait any more.
    pub fn forget(&self, key: &Name) {
        self.waiting().remove(key);
    }

    /// All keys that waited, where the key manager answers again.
    pub fn released(&self) -> Vec<Name> {
        if self.probe_in().is_some() {
            return vec![];
        }
        std::mem::take(&mut *self.waiting()).into_iter().collect()
    }

    /// Whether there is no way any more, since the last time that somebody asked: the key manager itself is to be looked at.
    /// One that only asks for fewer calls is not.
    pub fn newly_closed(&self) -> bool {
        let down = self
            .circuit()
            .error()
            .is_some_and(|error| error.category != Category::Throttled);
        let told = self.told.swap(down, Ordering::SeqCst);
        down && !told
    }

    /// What its metrics are called, and say of now.
    pub fn now(&self) -> (&str, KeyManagerNow) {
        let now = KeyManagerNow {
            circuits_open: usize::from(self.circuit().error().is_some()),
            budget_left: self.budgets.iter().map(|budget| budget.left()).min(),
            waiting: self.waiting().len(),
            ..KeyManagerNow::default()
        };
        (&self.label, now)
    }

    /// How long until the next probe; `None` while the key manager answers.
    pub fn probe_in(&self) -> Option<SignedDuration> {
        let at = self.circuit().probe_at()?;
        SignedDuration::try_from(at.saturating_duration_since(Instant::now())).ok()
    }

    async fn call<T>(
        &self,
        verb: &'static str,
        call: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        self.call_within(|_| Ok(CALL), verb, call).await
    }

    /// A call that changes something: none before those of an earlier process have ended.
    async fn change<T>(
        &self,
        verb: &'static str,
        call: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        self.leadership.settled().await;
        self.call_within(|_| Ok(CALL), verb, call).await
    }

    /// A call that takes no longer than `limit` says when its turn has come.
    async fn call_within<T>(
        &self,
        limit: impl FnOnce(&Self) -> Result<Duration, Error> + Send,
        verb: &'static str,
        call: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let span = spans::call(verb, &self.label);
        let result = self.counted(limit, verb, call).instrument(span.clone()).await;
        spans::called(&span, result.as_ref().map_or_else(Error::reason, |_| "Ok"));
        result
    }

    async fn counted<T>(
        &self,
        limit: impl FnOnce(&Self) -> Result<Duration, Error> + Send,
        verb: &'static str,
        call: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        self.turn().await?;
        let limit = limit(self).inspect_err(|_| self.circuit().given_up())?;
        let start = Instant::now();
        let Ok(result) = self.leadership.bounded(timeout(limit, call)).await else {
            self.circuit().given_up();
            let label = &self.label;
            self.metrics
                .key_manager_call(label, verb, "NotLeading", start.elapsed());
            return Err(Error::new(Category::Unreachable, "this process does not lead any more"));
        };
        let result = result.unwrap_or_else(|_| {
            let text = format!("no answer within {} seconds", limit.as_secs());
            Err(Error::new(Category::Unreachable, text))
        });
        let outcome = result.as_ref().map_or_else(Error::reason, |_| "Ok");
        let label = &self.label;
        self.metrics.key_manager_call(label, verb, outcome, start.elapsed());
        match &result {
            Ok(_) => self.circuit().answered(),
            Err(error) => {
                let after = error.retry_at.map(|at| at.duration_since(self.clock.now()));
                let after = after.map(|after| after.max(SignedDuration::ZERO).unsigned_abs());
                self.circuit().failed(error, after, Instant::now());
            }
        }
        result
    }

    /// Waits until the budget has a call. What happened meanwhile counts: of many that waited only one tries a key manager that
    /// has stopped to answer.
    async fn turn(&self) -> Result<(), Error> {
        self.circuit().lets_in(Instant::now())?;
        let budgets = async {
            for budget in &self.budgets {
                budget.take().await;
            }
        };
        spans::waiting("wait for the call budget", budgets).await;
        self.circuit().enter(Instant::now())
    }

    /// The longest that the registration of a client of given identity may take: leadership must cover it and the write of
    /// its answer.
    fn registration(&self) -> Result<Duration, Error> {
        let refused = || Error {
            sent: false,
            ..Error::new(Category::NotYet, "leadership ends too soon to register a client now")
        };
        let claim = self.leadership.claim().ok_or_else(refused)?;
        let write = claim.ends.saturating_duration_since(claim.writes_end);
        let left = claim.writes_end.saturating_duration_since(Instant::now());
        left.checked_sub(write)
            .filter(|limit| *limit >= write)
            .map(|limit| limit.min(CALL))
            .ok_or_else(refused)
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeSet<Name>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key manager behind its gate.
#[derive(Debug)]
pub struct Gated {
    /// The driver.
    pub driver: Arc<dyn KeyManager>,
    /// Its gate.
    pub gate: Arc<Gate>,
}

#[async_trait]
impl KeyManager for Gated {
    fn capabilities(&self) -> &Capabilities {
        self.driver.capabilities()
    }

    fn endpoints(&self) -> &Endpoints {
        self.driver.endpoints()
    }

    async fn register(
        &self,
        client: &Client,
        properties: &Properties,
        secret: &SecretString,
        attempt: Option<&str>,
    ) -> Result<Registered, Error> {
        self.gate.leadership.settled().await;
        let limit = |gate: &Gate| match attempt {
            Some(_) => gate.registration(),
            None => Ok(CALL),
        };
        let call = self.driver.register(client, properties, secret, attempt);
        self.gate.call_within(limit, "register", call).await
    }

    async fn find(&self, client: &Client, attempt: &str) -> Result<Option<Answer>, Error> {
        if !self.driver.capabilities().find {
            // Nobody is asked, so that is no answer which would close the circuit.
            return Ok(None);
        }
        self.gate.call("find", self.driver.find(client, attempt)).await
    }

    async fn update(&self, client: &Client, properties: &Properties) -> Result<Changed, Error> {
        self.gate.change("update", self.driver.update(client, properties)).await
    }

    async fn compare(&self, client: &Client, properties: &Properties) -> Result<Compared, Error> {
        self.gate.call("compare", self.driver.compare(client, properties)).await
    }

    async fn adopt(&self, client: &Client, properties: &Properties, secret: &SecretString) -> Result<Changed, Error> {
        self.gate
            .change("adopt", self.driver.adopt(client, properties, secret))
            .await
    }

    async fn add_secret(&self, client: &Client, new: NewSecret<'_>) -> Result<SecretAdded, Error> {
        self.gate
            .change("add_secret", self.driver.add_secret(client, new))
            .await
    }

    async fn read_secret(&self, client: &Client) -> Result<Option<Answer>, Error> {
        self.gate.call("read_secret", self.driver.read_secret(client)).await
    }

    async fn retire(&self, client: &Client, current: Current<'_>, end: Timestamp) -> Result<Changed, Error> {
        self.gate
            .change("retire", self.driver.retire(client, current, end))
            .await
    }

    async fn delete(&self, client: &Client) -> Result<Changed, Error> {
        self.gate.change("delete", self.driver.delete(client)).await
    }

    async fn token(&self, request: TokenRequest<'_>) -> Result<TokenAnswer, Error> {
        self.gate.call("token", self.driver.token(request)).await
    }

    fn settles(&self) -> SignedDuration {
        self.driver.settles()
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;
    use crate::leader::Claim;

    /// A gate that lets so many calls a second pass, one by one, of a process whose claim ends in four seconds, and its writes in three.
    fn gate(per_second: i32) -> Gate {
        let limits = Limits {
            requests_per_second: Some(per_second),
            burst: Some(1),
            ..Limits::default()
        };
        let now = Instant::now();
        let leadership = Leadership::holding(Claim {
            epoch: 0,
            changes_from: now,
            ends: now + Duration::from_secs(4),
            writes_end: now + Duration::from_secs(3),
        });
        let clock = Clock::system();
        Gate::new(
            "main".to_owned(),
            Some(&limits),
            false,
            None,
            clock,
            leadership,
            Arc::default(),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_that_a_registration_has_is_what_is_left_after_it_waited_for_the_budget() {
        let gate = gate(1);
        gate.call("token", async { Ok(()) }).await.unwrap();
        let start = Instant::now();
        let hangs = std::future::pending::<Result<(), Error>>();
        let ended = gate.call_within(Gate::registration, "register", hangs).await;
        assert_eq!(ended.unwrap_err().category, Category::Unreachable);
        // A second in the budget and one at the key manager: its answer could still be written for a second.
        assert_eq!(start.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn of_those_that_wait_for_the_budget_none_goes_to_a_key_manager_that_stopped_to_answer() {
        let gate = gate(10);
        let no_answer = async || Err::<(), _>(Error::new(Category::Unreachable, "no answer"));
        let ended = join_all((0..6).map(|_| gate.call("token", no_answer()))).await;
        let sent = ended
            .into_iter()
            .filter(|ended| ended.as_ref().unwrap_err().sent)
            .count();
        assert_eq!(sent, 3);
    }
}
