//! What processes ask of the servers, in order, and rules that decide over it beside the schedule of faults.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use appkeys::clock::Clock;
use jiff::Timestamp;
use testbed::memory_api::{RequestInfo, Verb};

use super::schedule::Mishap;

/// One request to the API server, or one call to a key manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) at: Timestamp,
    /// Counts the processes from one.
    pub(crate) process: usize,
    /// `Update applicationkeys/status team/k`, or `add secret ID`. A create has no name.
    pub(crate) what: String,
    pub(crate) writes: bool,
    /// Whether a key manager is asked.
    pub(crate) call: bool,
}

impl Asked {
    /// Whether the API server is asked to change anything but a Lease.
    pub(crate) fn is_write(&self) -> bool {
        !self.call && self.writes && !self.what.contains(" leases ")
    }

    /// Whether the API server is asked for one object other than a Lease.
    pub(crate) fn is_read(&self) -> bool {
        !self.call && self.what.starts_with("Get ") && !self.what.contains(" leases ")
    }
}

/// More than any run asks for; without a limit a loop without a pause would stop the clock, and never end.
const LIMIT: usize = 100_000;

type Rule = Box<dyn Fn(&Asked) -> Option<Mishap> + Send>;

/// All that was asked in a run.
#[derive(Default)]
pub(crate) struct Record {
    asked: Mutex<Vec<Asked>>,
    rule: Mutex<Option<Rule>>,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Record")
    }
}

impl Record {
    /// From now on this happens to what is asked.
    pub(crate) fn rule(&self, rule: impl Fn(&Asked) -> Option<Mishap> + Send + 'static) {
        *self.rule.lock().unwrap() = Some(Box::new(rule));
    }

    /// This happens to the first that fits.
    pub(crate) fn once(&self, fits: impl Fn(&Asked) -> bool + Send + 'static, mishap: Mishap) {
        let done = AtomicBool::new(false);
        self.rule(move |asked| (fits(asked) && !done.swap(true, Ordering::SeqCst)).then_some(mishap));
    }

    /// From now on nothing happens.
    pub(crate) fn no_rule(&self) {
        *self.rule.lock().unwrap() = None;
    }

    /// How much was asked so far.
    pub(crate) fn len(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// What was asked since [`Record::len`] was this.
    pub(crate) fn since(&self, len: usize) -> Vec<Asked> {
        self.asked.lock().unwrap()[len..].to_vec()
    }

    fn ask(&self, asked: Asked) -> Option<Mishap> {
        let mishap = self.rule.lock().unwrap().as_ref().and_then(|rule| rule(&asked));
        let mut all = self.asked.lock().unwrap();
        assert!(all.len() < LIMIT, "asked again and again: {asked:?}");
        all.push(asked);
        mishap
    }
}

/// A process's way into the record.
#[derive(Debug, Default)]
pub(crate) struct Witness(Option<(Arc<Record>, usize, Clock)>);

impl Witness {
    pub(crate) fn new(record: &Arc<Record>, process: usize, clock: &Clock) -> Self {
        Self(Some((record.clone(), process, clock.clone())))
    }

    /// A request to the API server.
    pub(crate) fn request(&self, request: &RequestInfo) -> Option<Mishap> {
        let RequestInfo {
            verb,
            plural,
            namespace,
            name,
            subresource,
            ..
        } = request;
        // A watch that goes on is nothing that somebody asks for.
        if *verb == Verb::Watch {
            return None;
        }
        let part = if subresource.is_empty() { "" } else { "/" };
        let what = format!("{verb:?} {plural}{part}{subresource} {namespace}/{name}");
        self.ask(what, verb.writes(), false)
    }

    /// A call to a key manager.
    pub(crate) fn call(&self, what: &str, writes: bool) -> Option<Mishap> {
        self.ask(what.to_owned(), writes, true)
    }

    fn ask(&self, what: String, writes: bool, call: bool) -> Option<Mishap> {
        let (record, process, clock) = self.0.as_ref()?;
        record.ask(Asked {
            at: clock.now(),
            process: *process,
            what,
            writes,
            call,
        })
    }
}
