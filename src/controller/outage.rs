//! Keys that wait for a key manager that does not answer: one of them probes, and when it answers all go within a second.

use jiff::SignedDuration;

use super::{
    Context,
    queue::{Cause, Item, Name},
};
use crate::{api::KeyManagerKind, plan::identity};

/// The time over which waiting keys are spread when a key manager answers again.
const SPREAD: SignedDuration = SignedDuration::from_secs(1);
/// How long after a probe is due it is looked whether it was made.
const SLACK: SignedDuration = SignedDuration::from_millis(50);

/// After a pass over a key: releases who waits where a key manager answers. Whether the key itself waits for one, and need
/// not be looked at before.
pub fn waits(ctx: &Context, key: &Name, failed: bool) -> bool {
    let (gates, deleting) = {
        let world = ctx.world.lock();
        (world.gates(key), world.deleting.contains_key(key))
    };
    let mut waits = false;
    for ((kind, name), gate) in gates {
        if gate.newly_closed() {
            ctx.add(Item::KeyManager(kind, name.clone()), Cause::Change);
        }
        for released in gate.released() {
            let after = identity::share(&["released", &released.namespace, &released.name], SPREAD);
            ctx.add_after(Item::Key(released), Cause::Retry, after);
        }
        let Some(probe) = gate.probe_in().filter(|_| failed) else {
            gate.forget(key);
            continue;
        };
        gate.wait(key.clone());
        ctx.add_after(Item::Probe(kind, name), Cause::Time, probe + SLACK);
        waits = true;
    }
    // A deletion counts its attempts.
    waits && !deleting
}

/// Tries a key manager with one of the keys that wait for it.
pub fn probe(ctx: &Context, kind: KeyManagerKind, name: &Name) {
    let gate = {
        let world = ctx.world.lock();
        world
            .key_managers
            .get(&(kind, name.clone()))
            .map(|entry| entry.gate.clone())
    };
    let Some((gate, key)) = gate.and_then(|gate| Some((gate.clone(), gate.one_waiting()?))) else {
        return;
    };
    let wait = gate.probe_in().unwrap_or_default();
    if wait.is_zero() {
        ctx.add(Item::Key(key), Cause::Retry);
    }
    // Where that key needs no call, another look; where it does, its pass says when.
    ctx.add_after(Item::Probe(kind, name.clone()), Cause::Time, wait.max(SPREAD));
}
