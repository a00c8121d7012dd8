//! Whether a key manager may be called: closed while it answers, open after it did not, with one probe after each pause.

use std::time::Duration;

use tokio::time::Instant;

use super::{Category, Error};

/// Failures in a row after which nobody calls any more.
const FAILURES: u32 = 3;
/// The first and the longest pause while there is no answer: the return must be seen within seconds.
const UNREACHABLE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));
/// The same while the operator's credential is refused: each try counts against an account.
const REJECTED: (Duration, Duration) = (Duration::from_mins(1), Duration::from_mins(10));
/// The same while there are too many calls, where the key manager names no time.
const THROTTLED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// The state of the way to one key manager.
#[derive(Clone, Debug, Default)]
pub struct Circuit {
    /// Failures in a row.
    failures: u32,
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    /// What the last call said.
    error: Error,
    /// Pauses so far.
    pauses: u32,
    probe_at: Instant,
    /// Whether a probe is under way.
    probing: bool,
}

/// The pause after so many others; `None` for an answer about one request, which says nothing of the others.
fn pause(category: Category, pauses: u32) -> Option<Duration> {
    let (first, most) = match category {
        Category::Unreachable => UNREACHABLE,
        Category::CredentialsRejected => REJECTED,
        Category::Throttled => THROTTLED,
        Category::MissingPermission
        | Category::InvalidRequest
        | Category::ClientConflict
        | Category::EnvironmentTaken
        | Category::PendingApproval
        | Category::NotYet => {
            return None;
        }
    };
    Some((first * 2_u32.saturating_pow(pauses.min(16))).min(most))
}

impl Circuit {
    /// What the last call said, where it is open.
    pub fn error(&self) -> Option<&Error> {
        self.open.as_ref().map(|open| &open.error)
    }

    /// Whether a call could be made now, without making it.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub fn lets_in(&self, now: Instant) -> Result<(), Error> {
        match &self.open {
            Some(open) if now < open.probe_at => Err(Error {
                sent: false,
                ..open.error.clone()
            }),
            _ => Ok(()),
        }
    }

    /// Whether a call may be made now; the one that is let through an open circuit is the probe.
    ///
    /// # Errors
    /// What the last call said, as not sent.
    pub fn enter(&mut self, now: Instant) -> Result<(), Error> {
        self.lets_in(now)?;
        let Some(open) = &mut self.open else { return Ok(()) };
        open.probing = true;
        // Nobody waits for a probe that gets no answer: the next one follows after a pause all the same.
        open.probe_at = now + pause(open.error.category, open.pauses).unwrap_or_default();
        Ok(())
    }

    /// A call was answered.
    pub fn answered(&mut self) {
        *self = Self::default();
    }

    /// A call failed; `retry_after` is what the key manager asked for.
    pub fn failed(&mut self, error: &Error, retry_after: Option<Duration>, now: Instant) {
        let pauses = self.open.as_ref().map_or(0, |open| open.pauses);
        let Some(pause) = pause(error.category, pauses) else {
            return self.answered();
        };
        self.failures += 1;
        let at_once = error.category != Category::Unreachable;
        if !at_once && self.failures < FAILURES && self.open.is_none() {
            return;
        }
        // Calls that were under way when it opened say nothing new.
        let late = self.open.as_ref().is_some_and(|open| !open.probing);
        if late {
            return;
        }
        self.open = Some(Open {
            error: error.clone(),
            pauses: pauses + 1,
            probe_at: now + retry_after.unwrap_or(pause),
            probing: false,
        });
    }

    /// A call ended without telling anything, because its process may not call any more.
    pub fn given_up(&mut self) {
        if let Some(open) = &mut self.open {
            open.probing = false;
        }
    }

    /// When the next probe may be made; `None` while the circuit is closed.
    pub fn probe_at(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.probe_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_answer() -> Error {
        Error::new(Category::Unreachable, "no answer")
    }

    #[tokio::test(start_paused = true)]
    async fn three_failures_in_a_row_open_it_and_one_probe_at_a_time_tries() {
        let mut circuit = Circuit::default();
        let now = Instant::now();
        circuit.failed(&no_answer(), None, now);
        circuit.failed(&no_answer(), None, now);
        circuit.answered();
        for _ in 0..FAILURES {
            assert!(circuit.enter(now).is_ok());
            circuit.failed(&no_answer(), None, now);
        }
        assert!(!circuit.enter(now).unwrap_err().sent);
        let later = circuit.probe_at().unwrap();
        assert!(circuit.enter(later).is_ok(), "the probe");
        assert!(circuit.enter(later).is_err(), "not a second one beside it");
        let next = circuit.probe_at().unwrap();
        assert_eq!(
            next,
            later + UNREACHABLE.1,
            "a probe that hangs holds up the next no longer than that"
        );
        circuit.failed(&no_answer(), None, later);
        assert!(circuit.probe_at().unwrap() > later + UNREACHABLE.0);
        let later = circuit.probe_at().unwrap();
        assert!(circuit.enter(later).is_ok());
        circuit.answered();
        assert!(circuit.enter(later).is_ok() && circuit.probe_at().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_credential_opens_it_at_once_and_a_retry_after_is_obeyed() {
        let now = Instant::now();
        let mut circuit = Circuit::default();
        circuit.failed(&Error::new(Category::CredentialsRejected, "401"), None, now);
        assert_eq!(circuit.probe_at(), Some(now + REJECTED.0));
        let mut circuit = Circuit::default();
        circuit.failed(
            &Error::new(Category::Throttled, "429"),
            Some(Duration::from_secs(90)),
            now,
        );
        assert_eq!(circuit.probe_at(), Some(now + Duration::from_secs(90)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wrong_with_one_request_leaves_it_closed() {
        let mut circuit = Circuit::default();
        for _ in 0..10 {
            circuit.failed(&Error::new(Category::InvalidRequest, "400"), None, Instant::now());
        }
        assert!(circuit.probe_at().is_none());
    }
}
