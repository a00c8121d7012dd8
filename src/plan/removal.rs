//! What to do next for a key that is being deleted, and after one that is gone.

use jiff::{SignedDuration, Timestamp};

use super::{
    observed::{Observed, PlacedClient, Published, SecretView, State, Tombstone},
    secret::Rendered,
    step::Step,
};
use crate::{
    api::{DeletionPolicy, FINALIZER, conditions::Say},
    key_manager::IdForm,
};

/// The next step for a key that is being deleted.
pub fn next(o: &Observed, now: Timestamp) -> Step {
    if !o
        .key
        .metadata
        .finalizers
        .iter()
        .flatten()
        .any(|finalizer| finalizer == FINALIZER)
    {
        return Step::Done(vec![]);
    }
    if matches!(o.secret, SecretView::ForeignCluster(_)) {
        return Step::RemoveFinalizer;
    }
    if policy(o) == DeletionPolicy::Retain {
        return retain(o, now);
    }
    if let Some(step) = clients_go(o) {
        return step;
    }
    if let Some(published) = [o.tokens.ours(), o.secret.ours(), o.former.as_deref()]
        .into_iter()
        .flatten()
        // A Secret that this key names and has not taken over is for whoever does.
        .find(|published| {
            let taken = |placed: &PlacedClient| published.is_of(placed);
            published.released_by.is_none() || o.state.client.as_ref().is_some_and(taken)
        })
    {
        return Step::DeleteSecret(Box::new(published.clone()));
    }
    let left = left(o);
    if !o.state.is_empty() && (left.is_empty() || has_client(&o.state)) {
        return Step::write_state(left);
    }
    Step::RemoveFinalizer
}

/// An adopted client was there before the key, and stays unless somebody says otherwise.
fn policy(o: &Observed) -> DeletionPolicy {
    let default = if o.spec().adopt.is_some() {
        DeletionPolicy::Retain
    } else {
        DeletionPolicy::Delete
    };
    o.spec().deletion_policy.unwrap_or(default)
}

/// Deletes every client, or notes those that could not be deleted for too long.
fn clients_go(o: &Observed) -> Option<Step> {
    let mut clients = clients(o).into_iter().filter(|placed| !o.has_deleted(placed));
    let attempt = o.state.attempt.as_ref().filter(|a| !o.hand.not_found.contains(&a.id));
    if !o.hand.overdue {
        return attempt
            .map(|attempt| Step::Find(attempt.clone()))
            .or_else(|| clients.next().map(Step::DeleteClient));
    }
    let mut tombstone = o.state.tombstone.clone().unwrap_or_default();
    let before = tombstone.clients.len() + tombstone.attempts.len();
    for placed in clients {
        if !tombstone.names(&placed) {
            tombstone.clients.push(placed);
        }
    }
    tombstone.attempts.extend(attempt.cloned());
    let more = tombstone.clients.len() + tombstone.attempts.len() > before;
    more.then(|| {
        Step::Entomb(Box::new(State {
            replacements: o.replacements() + 1,
            tombstone: Some(tombstone),
            ..State::default()
        }))
    })
}

/// What stays of the state when the key is gone: the tombstone, and the count from which a new key of this name goes on.
fn left(o: &Observed) -> State {
    o.state
        .tombstone
        .clone()
        .map_or_else(State::default, |tombstone| State {
            replacements: o.state.replacements,
            tombstone: Some(tombstone),
            ..State::default()
        })
}

/// Whether the state speaks of clients of the key itself.
const fn has_client(state: &State) -> bool {
    state.client.is_some()
        || state.attempt.is_some()
        || state.answer.is_some()
        || state.old.is_some()
        || state.making.is_some()
}

/// The least number of attempts before a deletion is given up, and the least time that they take.
const ATTEMPTS: (u32, SignedDuration) = (5, SignedDuration::from_mins(10));

/// Whether a deletion has been tried for long enough: the key goes, and a tombstone stays. `attempts` failed in this
/// process, the first so long ago. After three deadlines their number does not matter: a namespace must not wait for ever.
pub fn overdue(
    deleted: Timestamp,
    attempts: Option<(u32, SignedDuration)>,
    deadline: SignedDuration,
    now: Timestamp,
) -> bool {
    let age = now.duration_since(deleted);
    let tried = attempts.is_some_and(|(count, over)| count >= ATTEMPTS.0 && over >= ATTEMPTS.1);
    age >= deadline && tried || age >= deadline.saturating_mul(3)
}

/// The next step of the clean-up after deleted keys of this name; none where nothing is left, or it cannot go on now.
pub fn clean(o: &Observed) -> Option<Step> {
    let tombstone = o.state.tombstone.as_ref()?;
    if o.hand.uncleaned.is_some() {
        return None;
    }
    if let Some(attempt) = tombstone.attempts.first() {
        return Some(Step::FindLeft(attempt.clone()));
    }
    let next = tombstone.clients.iter().find(|placed| !o.has_deleted(placed));
    Some(match next {
        Some(placed) => Step::DeleteLeft(placed.clone()),
        // A key that lives goes on counting from where it is.
        None if o.lives() => Step::write_state(State {
            tombstone: None,
            ..o.state.clone()
        }),
        None => Step::write_state(State::default()),
    })
}

/// The tombstone without an attempt, and with the client that it made where that was found.
pub fn without_attempt(tombstone: &Tombstone, attempt: &str, found: Option<PlacedClient>) -> Tombstone {
    let mut tombstone = tombstone.clone();
    tombstone.attempts.retain(|other| other.id != attempt);
    tombstone.clients.extend(found);
    tombstone
}

/// Nothing remote is touched: the Secret is marked, the tokens go.
fn retain(o: &Observed, now: Timestamp) -> Step {
    if let Some(tokens) = o.tokens.ours() {
        return Step::DeleteSecret(Box::new(tokens.clone()));
    }
    match o.secret.ours() {
        Some(published) if published.hints.released.is_none() => release(published, now),
        _ => Step::RemoveFinalizer,
    }
}

fn release(published: &Published, now: Timestamp) -> Step {
    let mut hints = published.hints.clone();
    hints.released = Some(now);
    let mut annotations = published.annotations.clone();
    annotations.extend(hints.write());
    let rendered = Rendered {
        name: published.name.clone(),
        type_: "",
        labels: published.labels.clone(),
        annotations,
        entries: published.entries.clone(),
    };
    Step::Publish {
        rendered: Box::new(rendered),
        replaces: Some(Box::new(published.clone())),
        tokens: false,
    }
}

/// Every client that the key can have: those in the state Secret, the published one, the one that was to be made first, and
/// the derived one that a process may have made and not published. The key manager checks the mark of each.
fn clients(o: &Observed) -> Vec<PlacedClient> {
    let mut clients = vec![];
    clients.extend(o.state.client.clone());
    clients.extend(o.state.old.clone());
    clients.extend(o.state.making.clone());
    clients.extend(o.first_client());
    let published = o.secret.ours().or(o.former.as_deref());
    if let Some(hints) = published.map(|published| &published.hints)
        && let Some(key_manager) = hints.key_manager.clone()
    {
        let client = o.client(hints.client_id.clone());
        clients.push(PlacedClient { key_manager, client });
    }
    if o.state.tombstone.is_some() {
        // A tombstone has raised the count: what is derived from it was not made yet.
        return clients;
    }
    let said = o.key.status.as_ref().and_then(|status| status.key_manager.clone());
    let target = o.target.as_ref().ok().filter(|t| t.capabilities.chosen_identity());
    let wanted = target.map(|target| target.reference.clone());
    // A key manager that chooses ids itself knows no derived one; those in the state are all there are.
    for key_manager in said.filter(|_| target.is_some()).into_iter().chain(wanted) {
        let form = target.filter(|target| target.reference == key_manager);
        let form = form.map_or(IdForm::Readable, |target| target.capabilities.client_ids);
        let client = o.derived_client(&key_manager, form, o.replacements());
        clients.push(PlacedClient { key_manager, client });
    }
    clients
}

/// What a key that cannot be deleted yet says.
pub fn waiting(why: &str) -> Say {
    Say::no("Ready", "Deleting", format!("the client is not deleted yet: {why}"))
}
