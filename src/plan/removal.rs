//! What to do next for a key that is being deleted.

use jiff::Timestamp;

use super::{
    observed::{Observed, PlacedClient, Published, SecretView, State},
    secret::Rendered,
    step::Step,
};
use crate::api::{DeletionPolicy, FINALIZER, conditions::Say};

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
    if o.spec().deletion_policy == Some(DeletionPolicy::Retain) {
        return retain(o, now);
    }
    if let Some(attempt) = o.state.attempt.as_ref().filter(|a| !o.hand.not_found.contains(&a.id)) {
        return Step::Find(attempt.clone());
    }
    if let Some(placed) = clients(o).into_iter().find(|placed| !o.has_deleted(placed)) {
        return Step::DeleteClient(placed);
    }
    if let Some(published) = [o.tokens.ours(), o.secret.ours(), o.former.as_deref()]
        .into_iter()
        .flatten()
        .next()
    {
        return Step::DeleteSecret(Box::new(published.clone()));
    }
    if !o.state.is_empty() {
        return Step::write_state(State::default());
    }
    Step::RemoveFinalizer
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
    let said = o.key.status.as_ref().and_then(|status| status.key_manager.clone());
    let target = o.target.as_ref().ok().filter(|t| t.capabilities.chosen_identity());
    let wanted = target.map(|target| target.reference.clone());
    // A key manager that chooses ids itself knows no derived one; those in the state are all there are.
    for key_manager in said.filter(|_| target.is_some()).into_iter().chain(wanted) {
        let client = o.derived_client(&key_manager, o.replacements());
        clients.push(PlacedClient { key_manager, client });
    }
    clients
}

/// What a key that cannot be deleted yet says.
pub fn waiting(why: &str) -> Say {
    Say::no("Ready", "Deleting", format!("the client is not deleted yet: {why}"))
}
