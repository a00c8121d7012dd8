//! Another client takes the place of the published one: recorded first, published next, and then the old one goes.

use jiff::Timestamp;

use super::{chosen, keeping::cannot_change, making::make, not_ready};
use crate::{
    api::{KeyManagerRef, conditions::Say},
    key_manager::{Client, Mark},
    plan::{
        identity,
        observed::{Observed, PlacedClient, Published, State, Target},
        step::Step,
    },
};

/// A Secret of a deleted key of another name: the client is marked as ours, by the state that the deleted key left or by its
/// derived identity only.
pub(super) fn take_over(o: &Observed, target: &Target, published: &Published, former: &str) -> Step {
    let left = o.hand.released.clone().unwrap_or_default();
    let mark = Mark {
        name: former.to_owned(),
        ..o.mark()
    };
    let derived = || {
        let form = target.capabilities.client_ids;
        let id = identity::client_id(&mark, &target.reference, form, published.hints.replacements);
        let ours = target.capabilities.chosen_identity() && id == published.hints.client_id;
        ours.then(|| PlacedClient {
            key_manager: target.reference.clone(),
            client: Client {
                mark: mark.clone(),
                ..o.client(id)
            },
        })
    };
    let known = left.client.clone().filter(|placed| published.is_of(placed));
    let Some(client) = known.or_else(derived) else {
        let text = format!(
            "Secret {} was released by key {former}, but its client is not the one of that key",
            published.name
        );
        return not_ready("SecretConflict", text);
    };
    Step::write_state(State {
        client: Some(client),
        replacements: published.hints.replacements.max(left.replacements),
        answer: None,
        ..left
    })
}

/// The published client is not the one that the key should have: record the old one, make the new one, publish it.
pub(super) fn move_client(o: &Observed, target: &Target, published: &Published, now: Timestamp) -> Step {
    let in_progress = o.state.old.as_ref().is_some_and(|old| published.is_of(old));
    if in_progress {
        return make(o, target, Some(published), now);
    }
    if let Some(step) = drains_first(o, &format!("the change to {}", target.reference), now) {
        return step;
    }
    let old = PlacedClient {
        key_manager: published_at(o, target, published),
        client: published_client(o, published),
    };
    if target.capabilities.applications && old.key_manager == target.reference {
        let text = format!(
            "{} has one client for each environment of an application, so another client id needs another key: change spec.clientId back, or delete this key and make a new one",
            target.reference
        );
        return cannot_change(text);
    }
    replaced(o, target, old)
}

/// Two changes at once would leave a client behind: the one that drains goes before another one drains.
pub(super) fn drains_first(o: &Observed, change: &str, now: Timestamp) -> Option<Step> {
    let old = o.state.old.as_ref()?;
    if o.draining_until(now).is_none() {
        return Some(drained(o, old));
    }
    let text = format!("client {} drains first: {change} waits", old.client.id);
    Some(Step::Done(vec![
        Say::yes("Ready", "Published", text.clone()),
        Say::yes("Draining", "OldClientDrains", text),
    ]))
}

/// The old client goes; then there is none.
pub(super) fn drained(o: &Observed, old: &PlacedClient) -> Step {
    if !o.has_deleted(old) {
        return Step::DeleteClient(old.clone());
    }
    Step::write_state(State {
        old: None,
        making: None,
        ..o.state.clone()
    })
}

/// What is recorded before a client takes the place of `old`. One that was begun here for this key, and that nobody has, takes it:
/// forgotten it would be left behind.
pub(super) fn replaced(o: &Observed, target: &Target, old: PlacedClient) -> Step {
    let nobody_has = |placed: &PlacedClient| {
        let is_published = o.secret.ours().is_some_and(|published| published.is_of(placed));
        placed.key_manager == target.reference && !old.is_same(placed) && !is_published && !o.has_deleted(placed)
    };
    let begun = o.state.making.clone().or_else(|| o.first_client());
    let wanted = chosen(o, target, o.replacements());
    let begun = begun.filter(|begun| nobody_has(begun) && wanted.is_some_and(|wanted| wanted.is_same(begun)));
    let replacements = o.replacements() + u32::from(begun.is_none());
    let client = o.state.client.clone().filter(nobody_has);
    Step::write_state(State {
        replacements,
        answer: o.state.answer.clone().filter(|_| client.is_some()),
        client,
        old: Some(old),
        making: begun.or_else(|| chosen(o, target, replacements)),
        attempt: o.state.attempt.clone(),
        tombstone: o.state.tombstone.clone(),
    })
}

/// A new client instead of this one: its secret can neither be read nor changed, or it cannot become what is asked for. While
/// another one drains it goes at once: only one of them can be remembered.
pub(super) fn replace_client(o: &Observed, target: &Target, client: Client) -> Step {
    let lost = PlacedClient {
        key_manager: target.reference.clone(),
        client,
    };
    match &o.state.old {
        None => replaced(o, target, lost),
        Some(old) if old.is_same(&lost) || o.has_deleted(&lost) => replaced(o, target, old.clone()),
        Some(_) => Step::DeleteClient(lost),
    }
}

pub(super) fn published_at(o: &Observed, target: &Target, published: &Published) -> KeyManagerRef {
    let said = o.key.status.as_ref().and_then(|status| status.key_manager.clone());
    published
        .hints
        .key_manager
        .clone()
        .or(said)
        .unwrap_or_else(|| target.reference.clone())
}

pub(super) fn published_client(o: &Observed, published: &Published) -> Client {
    let id = &published.hints.client_id;
    let known = o.state.client.as_ref().filter(|known| published.is_of(known));
    known.map_or_else(|| o.client(id.clone()), |known| known.client.clone())
}
