//! When clients are compared with what they should be, where their key manager's spec asks for that.

use jiff::Timestamp;

use super::{Context, queue::Name};
use crate::plan::drift;

/// When the client of `key` is compared next; one that is not later than now is due. None where nobody asks for it.
pub(super) fn next(ctx: &Context, key: &Name) -> Option<Timestamp> {
    let now = ctx.clock.now();
    let mut world = ctx.world.lock();
    let Some(drift) = world.drift(key) else {
        world.compared.remove(key);
        return None;
    };
    // What was due before this process began is done at the next time.
    let since = *world.compared.entry(key.clone()).or_insert(now);
    Some(drift::next_time(
        &key.namespace,
        &key.name,
        drift.interval.into(),
        since,
    ))
}

/// Whether it is due.
pub(super) fn is_due(ctx: &Context, key: &Name) -> bool {
    next(ctx, key).is_some_and(|at| at <= ctx.clock.now())
}

/// It was compared.
pub(super) fn done(ctx: &Context, key: &Name) {
    let now = ctx.clock.now();
    ctx.world.lock().compared.insert(key.clone(), now);
}
