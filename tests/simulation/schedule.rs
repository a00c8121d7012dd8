//! What happens to a process's requests and calls on their way.

use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use appkeys::clock::Clock;
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use testbed::memory_api::{Fault, Faults, Id, MemoryApi, RequestInfo};
use tokio_util::sync::CancellationToken;

use super::{bench::LEASE, invariants::Invariants, record::Witness};

/// What happens at the n-th write of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    DieBefore,
    DieAfter,
    Lose(Fault),
}

/// All writes of a run.
pub(crate) type Trace = Arc<Mutex<Vec<String>>>;

/// Decides over a process's requests, and remembers them.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) writes: AtomicUsize,
    pub(super) at: Mutex<Option<(usize, Mishap)>>,
    pub(super) rate: Mutex<Option<(SmallRng, f64)>>,
    pub(super) trace: Trace,
    pub(super) clock: Option<Clock>,
    /// Whose requests they are, and where it can be seen who leads.
    pub(super) process: Option<(String, MemoryApi, Arc<Invariants>)>,
    /// The lease cannot be reached any more, and everything else is slow.
    pub(crate) cut_off: AtomicBool,
    pub(super) witness: Witness,
    pub(crate) dying: CancellationToken,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plan")
    }
}

impl Faults for Plan {
    fn decide(&self, request: &RequestInfo) -> Fault {
        if let Some(mishap) = self.witness.request(request) {
            return self.ruled(&format!("{:?} {}", request.verb, request.plural), mishap);
        }
        let cut_off = self.cut_off.load(Ordering::SeqCst);
        if request.plural == "leases" && cut_off {
            return Fault::LoseRequest;
        }
        if request.plural == "leases" || request.plural == "events" {
            return Fault::Pass;
        }
        if cut_off && request.verb.writes() {
            // Longer than a lease: it arrives when somebody else leads, unless its sender has given it up.
            self.note(
                &format!("{:?} {} {}, cut off", request.verb, request.plural, request.name),
                Fault::Pass,
            );
            return Fault::Delay(2 * LEASE);
        }
        let write = request.verb.writes();
        let fault = if write { self.at_write() } else { self.random(false) };
        if write || fault != Fault::Pass {
            let RequestInfo {
                verb,
                plural,
                namespace,
                name,
                ..
            } = request;
            self.note(&format!("{verb:?} {plural} {namespace}/{name}"), fault);
        }
        fault
    }

    /// One writer: a process that still waits for a write leads.
    fn arrives(&self, request: &RequestInfo) {
        let Some((identity, api, invariants)) = &self.process else {
            return;
        };
        if !request.verb.writes() || request.plural == "leases" {
            return;
        }
        let store = api.store();
        let lease = store.get(&Id::of("coordination.k8s.io/v1", "leases", "appkeys", "appkeys"));
        let holder = lease
            .map(|lease| lease["spec"]["holderIdentity"].clone())
            .unwrap_or_default();
        if holder != *identity.as_str() {
            let (verb, plural) = (request.verb, &request.plural);
            invariants.break_with(&format!(
                "{verb:?} {plural} {} by {identity} although {holder} leads",
                request.name
            ));
        }
    }
}

impl Plan {
    /// This mishap at that write, and others at random.
    pub(crate) fn with(at: Option<(usize, Mishap)>, rate: Option<(u64, f64)>) -> Self {
        let rate = rate.map(|(seed, probability)| (SmallRng::seed_from_u64(seed), probability));
        Self {
            at: at.into(),
            rate: rate.into(),
            ..Self::default()
        }
    }

    /// What happens to a call to a key manager.
    pub(crate) fn decide_call(&self, what: &str, writes: bool) -> Fault {
        if let Some(mishap) = self.witness.call(what, writes) {
            return self.ruled(what, mishap);
        }
        if writes && self.cut_off.load(Ordering::SeqCst) {
            self.note(&format!("{what}, cut off"), Fault::Pass);
            return Fault::Delay(2 * LEASE);
        }
        let fault = if writes { self.at_write() } else { self.random(false) };
        if writes || fault != Fault::Pass {
            self.note(what, fault);
        }
        fault
    }

    fn at_write(&self) -> Fault {
        let n = self.writes.fetch_add(1, Ordering::SeqCst);
        let at = *self.at.lock().unwrap();
        match at.filter(|(at, _)| *at == n) {
            None => self.random(true),
            Some((_, Mishap::Lose(fault))) => fault,
            Some((_, Mishap::DieBefore)) => {
                self.dying.cancel();
                Fault::Hang
            }
            Some((_, Mishap::DieAfter)) => {
                self.dying.cancel();
                Fault::ApplyAndHang
            }
        }
    }

    /// What a rule of the run wants.
    fn ruled(&self, what: &str, mishap: Mishap) -> Fault {
        let fault = match mishap {
            Mishap::Lose(fault) => fault,
            Mishap::DieBefore => Fault::Hang,
            Mishap::DieAfter => Fault::ApplyAndHang,
        };
        if !matches!(mishap, Mishap::Lose(_)) {
            self.dying.cancel();
        }
        self.note(what, fault);
        fault
    }

    fn note(&self, what: &str, fault: Fault) {
        let now = self.clock.as_ref().map(Clock::now);
        let mut line = format!("{:?} {what}", now.unwrap_or_default());
        if fault != Fault::Pass {
            let _ = write!(line, " {fault:?}");
        }
        self.trace.lock().unwrap().push(line);
    }

    fn random(&self, write: bool) -> Fault {
        let mut rate = self.rate.lock().unwrap();
        let Some((rng, probability)) = &mut *rate else {
            return Fault::Pass;
        };
        if !rng.random_bool(*probability) {
            return Fault::Pass;
        }
        let delay = Duration::from_millis(rng.random_range(1..2500));
        match rng.random_range(0..if write { 9 } else { 4 }) {
            0 => Fault::Refuse([401, 403, 429, 500][rng.random_range(0..4)]),
            1 => Fault::LoseRequest,
            2 => Fault::Delay(delay),
            3 | 4 => Fault::LoseAnswer,
            5 | 6 => Fault::Late(delay),
            7 => {
                self.dying.cancel();
                Fault::Hang
            }
            _ => {
                self.dying.cancel();
                Fault::ApplyAndHang
            }
        }
    }
}
