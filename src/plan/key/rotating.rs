//! Another secret takes the place of the published one, by the strategy that the spec asks for.

use jiff::Timestamp;

use super::{
    moving::{published_client, replace_client, replaced},
    said_not_ready,
};
use crate::{
    api::{RotationStrategy, conditions::Say},
    key_manager::{Client, Overlap, Room},
    plan::{
        observed::{Observed, PlacedClient, Published, Target},
        rotation,
        step::Step,
    },
};

/// A rotation, where one is due and the one before it is over.
pub(super) fn rotate(
    o: &Observed,
    target: &Target,
    published: &Published,
    client: &Client,
    now: Timestamp,
) -> Option<Step> {
    let by_time = rotation::next_time(o, now).is_some_and(|due| due <= now);
    if !by_time && !rotation::asked_for(&o.key, &published.hints) {
        return None;
    }
    if !target.grants.selected || o.draining_until(now).is_some() || rotation_unsupported(o, target).is_some() {
        return None;
    }
    Some(match rotation::strategy(o.spec()) {
        RotationStrategy::Overlap => new_secret(o, target, published, client.clone()),
        RotationStrategy::InPlace => in_place(o, published, client.clone()),
        RotationStrategy::ReplaceClient => {
            let old = PlacedClient {
                key_manager: target.reference.clone(),
                client: published_client(o, published),
            };
            replaced(o, target, old)
        }
    })
}

/// A second secret beside the published one; where one is in the way, only after nobody can publish that.
pub(super) fn new_secret(o: &Observed, target: &Target, published: &Published, client: Client) -> Step {
    if target.capabilities.secret_at_rotation.is_none() {
        return replace_client(o, target, client);
    }
    if target.capabilities.overlap == Overlap::None {
        return in_place(o, published, client);
    }
    if o.hand.occupied && !o.hand.fenced {
        return Step::Fence(Box::new(published.clone()));
    }
    let secret = if o.hand.exists { None } else { published.client_secret() };
    Step::AddSecret {
        client,
        published: secret,
        room: room(o),
    }
}

/// A secret instead of the published one: said before it is done, and fenced where a process may have died doing it.
pub(super) fn in_place(o: &Observed, published: &Published, client: Client) -> Step {
    if said_not_ready(o) && !o.hand.announced && !o.hand.fenced {
        return Step::Fence(Box::new(published.clone()));
    }
    if !o.hand.announced && !said_not_ready(o) {
        let text = "the secret is replaced in place: consumers are cut off until they read the new one".to_owned();
        return Step::Announce(Say::no("Ready", "RotationCut", text));
    }
    Step::AddSecret {
        client,
        published: None,
        room: Room::Only,
    }
}

pub(super) const fn room(o: &Observed) -> Room {
    if o.hand.occupied { Room::Replace } else { Room::Keep }
}

/// Where the key manager cannot rotate as the spec asks: nothing rotates, and the condition says what can be chosen.
pub(super) fn rotation_unsupported(o: &Observed, target: &Target) -> Option<Say> {
    let spec = o.spec();
    let rotates = spec
        .rotation
        .as_ref()
        .is_some_and(|r| r.interval.is_some() || r.trigger.is_some())
        || !rotation::rotate_annotation(&o.key).is_empty();
    if !rotates {
        return None;
    }
    let manager = &target.reference;
    let text = match rotation::strategy(spec) {
        RotationStrategy::Overlap if target.capabilities.overlap == Overlap::None => format!(
            "{manager} keeps one secret for each client, so nothing rotates: choose rotation.strategy ReplaceClient (a new client id) or InPlace (a short cut)"
        ),
        RotationStrategy::InPlace if target.capabilities.secret_at_rotation.is_none() => {
            format!("{manager} cannot change a client's secret, so nothing rotates: choose rotation.strategy ReplaceClient (a new client id)")
        }
        RotationStrategy::ReplaceClient if spec.client_id.is_some() => {
            "a client with a chosen id cannot be replaced, so nothing rotates: remove spec.clientId or choose another rotation.strategy".to_owned()
        }
        _ => return None,
    };
    Some(Say::yes("RotationUnsupported", "NotAtThisKeyManager", text))
}
