//! What is asked for cannot be done, or not yet: what is published is kept as good as it is until then.

use jiff::Timestamp;

use super::publishing::publish_if_changed;
use crate::plan::{observed::Observed, secret, step::Step, tokens};

/// What keeps the access tokens of the published client fresh although the spec asks for another client: workloads still use
/// this one. A client at another key manager, or of another kind of credential, is used as this spec does not say.
pub(super) fn meanwhile(o: &Observed, now: Timestamp) -> Option<Step> {
    let target = o.target.as_ref().ok()?;
    let published = o.secret.ours()?;
    let hints = &published.hints;
    let at_home = hints
        .key_manager
        .as_ref()
        .is_none_or(|manager| *manager == target.reference);
    if !at_home || hints.kind != o.kind() || published.released_by.is_some() || o.hand.refused {
        return None;
    }
    let client_secret = published.client_secret()?;
    if secret::same_secret(o.spec()) {
        // What was asked for is not what is there: it stays noted as not done.
        return tokens::before_publication(o, target, &hints.client_id, &client_secret, now)
            .or_else(|| publish_if_changed(o, target, published, &client_secret, &hints.applied));
    }
    tokens::next(o, target, now)
}
