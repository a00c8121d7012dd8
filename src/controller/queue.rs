//! The work queue: which objects are to be looked at, and when.
//!
//! An object is worked on by one worker at a time. Work that a change asked for goes before work that only time asked
//! for. An item that is asked for while it is being worked on is done once more afterwards.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::SignedDuration;
use tokio::{sync::Notify, time::Instant};

use crate::api::KeyManagerKind;

/// An object by namespace and name; the namespace is empty for cluster-scoped kinds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Name {
    /// A name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// What is worked on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// A key manager of either kind.
    KeyManager(KeyManagerKind, Name),
    /// An Application.
    Application(Name),
    /// An `ApplicationKey`.
    Key(Name),
}

/// Why something is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody changed something.
    Change,
    /// Its time has come.
    Time,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    changed: VecDeque<Item>,
    due: VecDeque<Item>,
    waiting: BTreeSet<Item>,
    running: BTreeSet<Item>,
    again: BTreeSet<Item>,
    later: BTreeSet<(Instant, Item)>,
    times: BTreeMap<Item, Instant>,
}

impl Queue {
    /// Asks for work on an item now.
    pub fn add(&self, item: Item, cause: Cause) {
        self.lock().add(item, cause);
        self.wake.notify_one();
    }

    /// Asks for work on an item after a while, unless it is asked for earlier. At most one such time is kept.
    pub fn add_after(&self, item: Item, after: SignedDuration) {
        let at = Instant::now() + after.max(SignedDuration::ZERO).unsigned_abs();
        let mut inner = self.lock();
        if let Some(old) = inner.times.insert(item.clone(), at) {
            inner.later.remove(&(old, item.clone()));
        }
        inner.later.insert((at, item));
        drop(inner);
        self.wake.notify_one();
    }

    /// Forgets an item that is gone.
    pub fn forget(&self, item: &Item) {
        let mut inner = self.lock();
        if let Some(at) = inner.times.remove(item) {
            inner.later.remove(&(at, item.clone()));
        }
    }

    /// The next item; it counts as being worked on until [`Queue::done`].
    pub async fn next(&self) -> Item {
        loop {
            let notified = self.wake.notified();
            let next_time = {
                let mut inner = self.lock();
                inner.promote(Instant::now());
                if let Some(item) = inner.take() {
                    return item;
                }
                inner.later.first().map(|(at, _)| *at)
            };
            match next_time {
                Some(at) => tokio::select! {
                    biased;
                    () = notified => {}
                    () = tokio::time::sleep_until(at) => {}
                },
                None => notified.await,
            }
        }
    }

    /// Work on an item has ended.
    pub fn done(&self, item: &Item) {
        let mut inner = self.lock();
        inner.running.remove(item);
        if inner.again.remove(item) {
            inner.add(item.clone(), Cause::Change);
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// How many items wait or are worked on, those of later times not counted.
    pub fn depth(&self) -> usize {
        let inner = self.lock();
        inner.waiting.len() + inner.running.len()
    }

    /// The items that wait or are worked on.
    pub fn waiting(&self) -> Vec<Item> {
        let inner = self.lock();
        inner.waiting.union(&inner.running).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, item: Item, cause: Cause) {
        if self.running.contains(&item) {
            self.again.insert(item);
        } else if self.waiting.insert(item.clone()) {
            match cause {
                Cause::Change => self.changed.push_back(item),
                Cause::Time => self.due.push_back(item),
            }
        }
    }

    fn promote(&mut self, now: Instant) {
        while let Some((at, _)) = self.later.first()
            && *at <= now
        {
            if let Some((_, item)) = self.later.pop_first() {
                self.times.remove(&item);
                self.add(item, Cause::Time);
            }
        }
    }

    fn take(&mut self) -> Option<Item> {
        let item = self.changed.pop_front().or_else(|| self.due.pop_front())?;
        self.waiting.remove(&item);
        self.running.insert(item.clone());
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Item {
        Item::Key(Name::new("ns", name))
    }

    #[tokio::test(start_paused = true)]
    async fn changes_go_before_what_only_time_asked_for() {
        let queue = Queue::default();
        queue.add(key("renewal"), Cause::Time);
        queue.add(key("edited"), Cause::Change);
        assert_eq!(queue.next().await, key("edited"));
        assert_eq!(queue.next().await, key("renewal"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_item_is_worked_on_by_one_worker_and_once_more_if_asked_meanwhile() {
        let queue = Queue::default();
        queue.add(key("a"), Cause::Change);
        let item = queue.next().await;
        queue.add(key("a"), Cause::Change);
        queue.add(key("a"), Cause::Change);
        assert!(futures::FutureExt::now_or_never(queue.next()).is_none());
        queue.done(&item);
        assert_eq!(queue.next().await, key("a"));
        queue.done(&item);
        assert_eq!(queue.depth(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn later_comes_later_and_the_last_time_counts() {
        let queue = Queue::default();
        queue.add_after(key("a"), SignedDuration::from_secs(10));
        queue.add_after(key("a"), SignedDuration::from_secs(60));
        let start = Instant::now();
        assert_eq!(queue.next().await, key("a"));
        assert_eq!(start.elapsed().as_secs(), 60);
    }
}
