//! Another client takes the place of the published one: recorded first, published next, and then the old one goes.

use jiff::Timestamp;

use super::{keeping::cannot_change, making::make, not_ready};
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

/// What is recorded before a client takes the place of `old`.
pub(super) fn replaced(o: &Observed, target: &Target, old: PlacedClient) -> Step {
    let replacements = o.replacements() + 1;
    let making = o.chosen_client(target, replacements).map(|client| PlacedClient {
        key_manager: target.reference.clone(),
        client,
    });
    Step::write_state(State {
        replacements,
        client: None,
        answer: None,
        old: Some(old),
        making,
        attempt: None,
        tombstone: o.state.tombstone.clone(),
    })
}

/// A new client instead of this one: its secret can neither be read nor changed.
pub(super) fn replace_client(o: &Observed, target: &Target, client: Client) -> Step {
    let key_manager = target.reference.clone();
    let old = o.state.old.clone().unwrap_or(PlacedClient { key_manager, client });
    replaced(o, target, old)
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
