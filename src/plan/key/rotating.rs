//! Another secret takes the place of the published one, by the strategy that the spec asks for.

use jiff::Timestamp;

use super::{
    moving::{drained, published_client, replace_client, replaced},
    said_not_ready, templates,
};
use crate::{
    api::{CredentialKind, RotationStrategy, conditions::Say},
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
    if !target.grants.selected {
        return None;
    }
    let must = must_rotate(published, now);
    if !must && templates::problem(o, target).is_some() {
        return None;
    }
    if o.draining_until(now).is_some() {
        if !must {
            return None;
        }
        if let Some(old) = &o.state.old {
            // It ends sooner than asked for: two replacements at once would leave a client behind.
            return Some(drained(o, old));
        }
    }
    let strategy = match unsupported(o, target) {
        None => rotation::strategy(o.spec()),
        Some(_) if must => instead(o, target)?,
        Some(_) => return None,
    };
    Some(match strategy {
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

/// Whether the key manager ends the published secret so soon that it must be replaced, whatever the spec asks for.
fn must_rotate(published: &Published, now: Timestamp) -> bool {
    rotation::deadline(&published.hints).is_some_and(|deadline| deadline <= now)
}

/// How a secret that must be replaced is, where it cannot be as the spec asks.
fn instead(o: &Observed, target: &Target) -> Option<RotationStrategy> {
    if !o.fixed_id() && !target.capabilities.applications {
        return Some(RotationStrategy::ReplaceClient);
    }
    let changes = target.capabilities.secret_at_rotation.is_some();
    changes.then_some(RotationStrategy::InPlace)
}

/// A credential that the key manager ends soon and that nothing can replace.
pub(super) fn expiring(o: &Observed, target: &Target, now: Timestamp) -> Option<Say> {
    let published = o.secret.ours()?;
    let ends = published.hints.secret_ends?;
    let lost = must_rotate(published, now) && unsupported(o, target).is_some() && instead(o, target).is_none();
    let text = format!(
        "{} ends this client's secret at {ends}, and neither can the secret be changed nor a client with a chosen id be replaced: remove spec.clientId",
        target.reference
    );
    lost.then(|| Say::yes("CredentialExpiring", "CannotBeReplaced", text))
}

/// A second secret beside the published one; where one is in the way, only after nobody can publish that.
pub(super) fn new_secret(o: &Observed, target: &Target, published: &Published, client: Client) -> Step {
    if target.capabilities.secret_at_rotation.is_none() {
        return replace_client(o, target, client);
    }
    if target.capabilities.overlap == Overlap::None || o.hand.one_secret {
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
    let text = unsupported(o, target).filter(|_| rotates)?;
    Some(Say::yes("RotationUnsupported", "NotAtThisKeyManager", text))
}

/// What stands against a rotation by the strategy that the spec asks for.
fn unsupported(o: &Observed, target: &Target) -> Option<String> {
    let spec = o.spec();
    let manager = &target.reference;
    let (one_client, changes) = (
        target.capabilities.applications,
        target.capabilities.secret_at_rotation.is_some(),
    );
    if o.kind() == CredentialKind::Nothing {
        return Some("a public client has no secret, so there is nothing to rotate: remove spec.rotation".to_owned());
    }
    Some(match rotation::strategy(spec) {
        RotationStrategy::Overlap if (target.capabilities.overlap == Overlap::None || o.hand.one_secret) && one_client => format!(
            "{manager} keeps one secret for this client and has one client for each environment of an application, so nothing rotates: choose rotation.strategy InPlace (a short cut)"
        ),
        RotationStrategy::Overlap if target.capabilities.overlap == Overlap::None || o.hand.one_secret => format!(
            "{manager} keeps one secret for this client, so nothing rotates: choose rotation.strategy ReplaceClient (a new client id) or InPlace (a short cut)"
        ),
        RotationStrategy::InPlace | RotationStrategy::ReplaceClient if one_client && !changes => format!(
            "{manager} cannot change a client's secret, and has one client for each environment of an application, so nothing rotates: remove spec.rotation"
        ),
        RotationStrategy::InPlace if !changes => {
            format!("{manager} cannot change a client's secret, so nothing rotates: choose rotation.strategy ReplaceClient (a new client id)")
        }
        RotationStrategy::ReplaceClient if one_client => format!(
            "{manager} has one client for each environment of an application, so none can be replaced by another, and nothing rotates: choose another rotation.strategy"
        ),
        RotationStrategy::ReplaceClient if o.fixed_id() => {
            "a client with a chosen or adopted id cannot be replaced, so nothing rotates: remove spec.clientId or choose another rotation.strategy".to_owned()
        }
        _ => return None,
    })
}
