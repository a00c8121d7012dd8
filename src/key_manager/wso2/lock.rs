//! One at a time for each application of WSO2: a key that is being made must not be in an application that is being deleted
//! because its last key went.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex as StdMutex, PoisonError},
};

use jiff::SignedDuration;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::Instant,
};

use crate::key_manager::{Category, Error, remote::SETTLES};

/// The longest that a call takes which nobody waits for any more.
const CALL: SignedDuration = SignedDuration::from_secs(30);

/// Until when the deletion of an application may still come, where its answer was lost.
type Deletion = Option<Instant>;

/// The applications that somebody works on, or whose deletion may still come, by server and hash. They are the process's: a driver
/// that is opened anew has the applications of the one before it.
static ALL: StdMutex<BTreeMap<String, Arc<Mutex<Deletion>>>> = StdMutex::new(BTreeMap::new());

/// Held while something is made in an application, or while that is deleted.
#[derive(Debug)]
pub(super) struct Lock {
    name: String,
    deletion: OwnedMutexGuard<Deletion>,
}

impl Lock {
    /// Waits for the lock of the application with this hash at a server.
    pub(super) async fn of(server: &str, hash: &str) -> Self {
        let name = format!("{server} {hash}");
        let lock = {
            let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(name.clone()).or_default().clone()
        };
        Self {
            name,
            deletion: lock.lock_owned().await,
        }
    }

    fn is_pending(&self) -> bool {
        self.deletion.is_some_and(|until| Instant::now() < until)
    }

    /// Before anything is made: no deletion whose answer was lost may still come.
    pub(super) fn is_settled(&self) -> Result<(), Error> {
        if !self.is_pending() {
            return Ok(());
        }
        let text = "the deletion of the application before may still be under way";
        Err(Error {
            sent: false,
            ..Error::new(Category::NotYet, text)
        })
    }

    /// From now on a deletion may be under way; also where nobody waits for its answer any more.
    pub(super) fn deletion_begins(&mut self) {
        *self.deletion = Instant::now().checked_add((SETTLES + CALL).unsigned_abs());
    }

    /// It was answered.
    pub(super) fn deletion_ended(&mut self) {
        *self.deletion = None;
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        // The map and this one.
        let alone = all.get(&self.name).is_some_and(|lock| Arc::strong_count(lock) == 2);
        if alone && !self.is_pending() {
            all.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn known(name: &str) -> bool {
        ALL.lock().unwrap().contains_key(name)
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_made_in_an_application_whose_deletion_may_still_come() {
        let mut lock = Lock::of("one", "a").await;
        lock.is_settled().unwrap();
        lock.deletion_begins();
        drop(lock);
        let lock = Lock::of("one", "a").await;
        assert_eq!(lock.is_settled().unwrap_err().category, Category::NotYet);
        Lock::of("one", "b").await.is_settled().unwrap();
        Lock::of("two", "a").await.is_settled().unwrap();
        drop(lock);
        tokio::time::advance(Duration::from_secs(41)).await;
        let lock = Lock::of("one", "a").await;
        lock.is_settled().unwrap();
        drop(lock);
        assert!(!known("one a") && !known("one b"), "nothing is remembered for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_works_on_an_application() {
        let first = Lock::of("three", "a").await;
        let second = Lock::of("three", "a");
        let mut second = std::pin::pin!(second);
        assert!(tokio::time::timeout(Duration::from_mins(1), &mut second).await.is_err());
        drop(first);
        let mut second = second.await;
        second.deletion_begins();
        second.deletion_ended();
        drop(second);
        assert!(!known("three a"));
    }
}
