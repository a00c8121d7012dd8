//! The work queue: which objects are to be looked at, and when.
//!
//! An object is worked on by one worker at a time. Work that a change asked for goes before work that only time asked
//! for. An item that is asked for while it is being worked on is done once more afterwards. Each key manager has a lane of
//! its own, so that a slow one holds up nobody else's keys; within a lane namespaces take turns.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::SignedDuration;
use tokio::{sync::Notify, time::Instant};
use tracing::Span;

use crate::{api::KeyManagerKind, spans::Asked};

/// Items of one lane that are worked on at the same time.
pub const IN_FLIGHT: usize = 32;

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
    /// A key manager that gave no answer, to be tried with one of the keys that wait for it.
    Probe(KeyManagerKind, Name),
    /// An Application.
    Application(Name),
    /// An `ApplicationKey`.
    Key(Name),
}

impl Item {
    /// The kind of object, for metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::KeyManager(..) | Self::Probe(..) => "KeyManager",
            Self::Application(_) => "Application",
            Self::Key(_) => "ApplicationKey",
        }
    }

    /// Its object's name.
    pub const fn name(&self) -> &Name {
        match self {
            Self::KeyManager(_, name) | Self::Probe(_, name) | Self::Application(name) | Self::Key(name) => name,
        }
    }
}

/// Work that is done side by side with that of other lanes: who waits for a slow key manager is in its lane only.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// What needs no key manager, as far as is known.
    #[default]
    Own,
    /// Cleaning up after deleted keys.
    CleanUp,
    /// Opening a key manager.
    Opening(KeyManagerKind, Name),
    /// Keys of a key manager.
    Keys(KeyManagerKind, Name),
}

/// Why something is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody changed something.
    Change,
    /// Its time has come.
    Time,
    /// The pass before failed.
    Retry,
}

impl Cause {
    /// Its word in traces.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Time => "time",
            Self::Retry => "retry",
        }
    }
}

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Lanes with something in them.
    lanes: BTreeMap<Lane, Waiting>,
    /// The lane that an item was taken from last.
    last: Lane,
    limits: BTreeMap<Lane, usize>,
    /// What waits in them, and since when.
    waiting: BTreeMap<Item, (Instant, Asked)>,
    running: BTreeMap<Item, (Lane, Span)>,
    again: BTreeMap<Item, Asked>,
    later: BTreeSet<(Instant, Item)>,
    times: BTreeMap<Item, (Instant, Lane, Cause)>,
}

/// What waits in a lane.
#[derive(Debug, Default)]
struct Waiting {
    changed: Turns,
    due: Turns,
    running: usize,
}

/// Items by namespace, which take turns: many keys of one namespace do not hold up the few of another.
#[derive(Debug, Default)]
struct Turns {
    by_namespace: BTreeMap<String, VecDeque<Item>>,
    order: VecDeque<String>,
}

impl Turns {
    fn push(&mut self, item: Item) {
        let namespace = item.name().namespace.clone();
        let items = self.by_namespace.entry(namespace.clone()).or_default();
        if items.is_empty() {
            self.order.push_back(namespace);
        }
        items.push_back(item);
    }

    fn pop(&mut self) -> Option<Item> {
        let namespace = self.order.pop_front()?;
        let items = self.by_namespace.get_mut(&namespace)?;
        let item = items.pop_front();
        if items.is_empty() {
            self.by_namespace.remove(&namespace);
        } else {
            self.order.push_back(namespace);
        }
        item
    }
}

impl Queue {
    /// Asks for work on an item now.
    pub fn add(&self, item: Item, lane: Lane, cause: Cause) {
        let asked = Asked::for_pass(&item, cause);
        self.lock().add(item, lane, cause, asked);
        self.wake.notify_one();
    }

    /// Asks for work on an item after a while, unless it is asked for earlier. At most one such time is kept.
    pub fn add_after(&self, item: Item, lane: Lane, cause: Cause, after: SignedDuration) {
        let at = Instant::now() + after.max(SignedDuration::ZERO).unsigned_abs();
        let mut inner = self.lock();
        if let Some((old, ..)) = inner.times.insert(item.clone(), (at, lane, cause)) {
            inner.later.remove(&(old, item.clone()));
        }
        inner.later.insert((at, item));
        drop(inner);
        self.wake.notify_one();
    }

    /// How many items of a lane are worked on at the same time, where it is not [`IN_FLIGHT`].
    pub fn set_limit(&self, lane: Lane, limit: usize) {
        let mut inner = self.lock();
        if limit == IN_FLIGHT {
            inner.limits.remove(&lane);
        } else {
            inner.limits.insert(lane, limit);
        }
    }

    /// Forgets an item that is gone.
    pub fn forget(&self, item: &Item) {
        let mut inner = self.lock();
        if let Some((at, ..)) = inner.times.remove(item) {
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
        if let Some((lane, _)) = inner.running.remove(item) {
            inner.left(&lane);
            if let Some(asked) = inner.again.remove(item) {
                inner.add(item.clone(), lane, Cause::Change, asked);
            }
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// The span of the pass over an item that is worked on.
    pub fn pass(&self, item: &Item) -> Span {
        let inner = self.lock();
        inner
            .running
            .get(item)
            .map_or_else(Span::none, |(_, pass)| pass.clone())
    }

    /// How many items wait or are worked on, those of later times not counted.
    pub fn depth(&self) -> usize {
        let inner = self.lock();
        inner.waiting.len() + inner.running.len()
    }

    /// How long the item has waited for its turn that waits longest.
    pub fn age(&self) -> SignedDuration {
        let since = self.lock().waiting.values().map(|(since, _)| *since).min();
        let age = since.map(|since| since.elapsed()).unwrap_or_default();
        SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX)
    }

    /// The items that wait or are worked on.
    pub fn waiting(&self) -> Vec<Item> {
        let inner = self.lock();
        inner.waiting.keys().chain(inner.running.keys()).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, item: Item, lane: Lane, cause: Cause, asked: Asked) {
        if self.running.contains_key(&item) {
            self.again.entry(item).or_insert(asked);
        } else if let Entry::Vacant(free) = self.waiting.entry(item.clone()) {
            free.insert((Instant::now(), asked));
            let lane = self.lanes.entry(lane).or_default();
            match cause {
                Cause::Change => lane.changed.push(item),
                Cause::Time | Cause::Retry => lane.due.push(item),
            }
        }
    }

    fn promote(&mut self, now: Instant) {
        while let Some((at, _)) = self.later.first()
            && *at <= now
        {
            if let Some((_, item)) = self.later.pop_first() {
                let time = self.times.remove(&item);
                let (lane, cause) = time.map_or((Lane::Own, Cause::Time), |(_, lane, cause)| (lane, cause));
                let asked = Asked::for_pass(&item, cause);
                self.add(item, lane, cause, asked);
            }
        }
    }

    /// The next item of the next lane that has room.
    fn take(&mut self) -> Option<Item> {
        let limits = &self.limits;
        let room = |(lane, waiting): &(&Lane, &mut Waiting)| {
            let some = !waiting.changed.order.is_empty() || !waiting.due.order.is_empty();
            some && waiting.running < limits.get(*lane).copied().unwrap_or(IN_FLIGHT)
        };
        let after = (Bound::Excluded(self.last.clone()), Bound::Unbounded);
        let found = match self.lanes.range_mut(after).find(room) {
            Some((lane, _)) => lane.clone(),
            None => self.lanes.iter_mut().find(room)?.0.clone(),
        };
        let lane = self.lanes.get_mut(&found)?;
        let item = lane.changed.pop().or_else(|| lane.due.pop())?;
        lane.running += 1;
        self.last = found.clone();
        let asked = self.waiting.remove(&item).map(|(_, asked)| asked).unwrap_or_default();
        self.running.insert(item.clone(), (found, asked.begins()));
        Some(item)
    }

    fn left(&mut self, lane: &Lane) {
        if let Some(waiting) = self.lanes.get_mut(lane) {
            waiting.running -= 1;
            if waiting.running == 0 && waiting.changed.order.is_empty() && waiting.due.order.is_empty() {
                self.lanes.remove(lane);
            }
        }
    }
}

#[cfg(test)]
mod tests;
