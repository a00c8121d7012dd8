//! What to do next for a key that is being deleted.

use jiff::Timestamp;

use super::{
    observed::{Observed, Published, SecretView, State},
    secret::Rendered,
    step::Step,
};
use crate::{
    api::{DeletionPolicy, FINALIZER, KeyManagerRef, conditions::Say},
    key_manager::Client,
    plan::identity,
};

/// The next step for a key that is being deleted. `gone` are the clients that this pass has deleted.
pub fn next(o: &Observed, gone: &[String], now: Timestamp) -> Step {
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
    for (key_manager, client) in clients(o) {
        if !gone.contains(&client.id) {
            return Step::DeleteClient { key_manager, client };
        }
    }
    if let Some(published) = [o.tokens.ours(), o.secret.ours(), o.former.as_deref()]
        .into_iter()
        .flatten()
        .next()
    {
        return Step::DeleteSecret(Box::new(published.clone()));
    }
    if !o.state.is_empty() {
        return Step::WriteState(State::default());
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

/// Every client that the key can have: the published one, the one in the state Secret, a derived one that a process may
/// have made and not published, and the old one of a move. All but the state's are derived, never read from an annotation.
fn clients(o: &Observed) -> Vec<(KeyManagerRef, Client)> {
    let mut clients = vec![];
    let published = o
        .secret
        .ours()
        .and_then(|published| published.hints.key_manager.clone());
    let said = o.key.status.as_ref().and_then(|status| status.key_manager.clone());
    let wanted = o.target.as_ref().ok().map(|target| target.reference.clone());
    let chosen = o
        .target
        .as_ref()
        .is_ok_and(|target| target.capabilities.chosen_identity());
    if let Some(key_manager) = published.or(said).or(wanted) {
        let given = o.state.client.clone();
        let client = given.or_else(|| {
            chosen.then(|| Client {
                id: o
                    .spec()
                    .client_id
                    .clone()
                    .unwrap_or_else(|| identity::client_id(&o.mark(), &key_manager, o.replacements())),
                mark: o.mark(),
                management: None,
            })
        });
        clients.extend(client.map(|client| (key_manager, client)));
    }
    if let Some(old) = &o.state.old {
        clients.push((old.key_manager.clone(), old.client.clone()));
    }
    clients
}

/// What a key that cannot be deleted yet says.
pub fn waiting(why: &str) -> Say {
    Say::no("Ready", "Deleting", format!("the client is not deleted yet: {why}"))
}
