//! The steps that a pass takes, as people see them afterwards: in a line of the log, and in a trace.

use std::cell::RefCell;

use tokio::task_local;
use tracing::Instrument as _;

use super::execute::Failure;
use crate::{api::conditions::Say, spans};

task_local! {
    static TAKEN: RefCell<Steps>;
}

/// What can be said in one word of why a step failed.
pub trait Reason {
    /// That word.
    fn word(&self) -> &'static str;
}

impl Reason for Failure {
    fn word(&self) -> &'static str {
        self.reason()
    }
}

impl Reason for kube::Error {
    fn word(&self) -> &'static str {
        "ApiServerError"
    }
}

impl Reason for Say {
    fn word(&self) -> &'static str {
        self.reason
    }
}

/// What a pass did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Their names, in order.
    pub names: Vec<&'static str>,
    /// Whether one of them was to change something.
    pub changes: bool,
}

/// The step that puts our finalizer on an object or takes it off.
pub const fn finalizer(add: bool) -> &'static str {
    if add { "AddFinalizer" } else { "RemoveFinalizer" }
}

/// A pass, and the steps that it took.
pub async fn noted<T>(pass: impl Future<Output = T>) -> (T, Steps) {
    TAKEN
        .scope(RefCell::default(), async {
            let result = pass.await;
            (result, TAKEN.with(RefCell::take))
        })
        .await
}

/// Takes a step that changes something.
///
/// # Errors
/// The step's own.
pub async fn change<T, E: Reason>(name: &'static str, effect: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    take(name, true, effect).await
}

/// Takes a step that only looks.
///
/// # Errors
/// The step's own.
pub async fn look<T, E: Reason>(name: &'static str, effect: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    take(name, false, effect).await
}

/// Takes a step; `changes` says whether it is to change something.
///
/// # Errors
/// The step's own.
pub async fn take<T, E: Reason>(
    name: &'static str,
    changes: bool,
    effect: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    // Whoever looks at a pass from outside of the queue notes nothing.
    let _ = TAKEN.try_with(|taken| {
        let mut taken = taken.borrow_mut();
        taken.names.push(name);
        taken.changes |= changes;
    });
    let span = spans::step(name);
    let result = effect.instrument(span.clone()).await;
    if let Err(failure) = &result {
        spans::failed(&span, failure.word());
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn steps_are_noted_in_order_with_those_below_them() {
        let pass = async {
            look("Look", async { Ok::<_, Failure>(()) }).await?;
            let inner = change("WriteStatus", async { Err::<(), _>(Failure::Changed) });
            change("Announce", inner).await
        };
        let (result, steps) = noted(pass).await;
        assert!(matches!(result, Err(Failure::Changed)));
        assert_eq!(steps.names, ["Look", "Announce", "WriteStatus"]);
        assert!(steps.changes);
        let (_, steps) = noted(look("Look", async { Ok::<_, Failure>(()) })).await;
        assert!(!steps.changes);
    }
}
