//! What is written into the published Secret, and whether that is anything new.

use jiff::Timestamp;
use secrecy::SecretString;

use crate::plan::{
    hints::{self, Former, Hints},
    observed::{Observed, Published, Target},
    rotation,
    secret::{self, Entries},
    step::Step,
    tokens, whole_second,
};

/// The credential of a Secret that had another name: published under the new name first; the former one stays through the overlap.
pub(super) fn rename(o: &Observed, target: &Target, former: &Published, now: Timestamp) -> Option<Step> {
    let secret = former.client_secret()?;
    let until = whole_second(now.checked_add(rotation::overlap(o.spec())).unwrap_or(now));
    let hints = Hints {
        former: Some(Former {
            name: former.name.clone(),
            until,
        }),
        ..former.hints.clone()
    };
    let manager = former.hints.key_manager.clone();
    let mut step = publish(o, target, hints, &secret, &former.hints.applied, Some(former));
    if let Step::Publish { rendered, .. } = &mut step {
        // A move that is due at the same time is seen from the key manager that the credential is at now.
        let annotation = Hints {
            key_manager: manager,
            ..Hints::read(&rendered.annotations)
        };
        rendered.annotations.extend(annotation.write());
    }
    Some(step)
}

/// The published Secret again, where what it should say has changed.
pub(super) fn publish_if_changed(
    o: &Observed,
    target: &Target,
    published: &Published,
    secret: &SecretString,
    hash: &str,
) -> Option<Step> {
    let mut hints = published.hints.clone();
    hints.released = None;
    if o.hand.checked {
        hints.attempt.clear();
    }
    hints.version = hints.version.max(1);
    let step = publish(o, target, hints, secret, hash, Some(published));
    let Step::Publish { rendered, .. } = &step else {
        return Some(step);
    };
    let same = published.name == rendered.name
        && published.entries == rendered.entries
        && rendered
            .labels
            .iter()
            .all(|(key, value)| published.labels.get(key) == Some(value))
        && rendered
            .annotations
            .iter()
            .all(|(key, value)| published.annotations.get(key) == Some(value))
        && published
            .annotations
            .keys()
            .all(|key| !hints::is_ours(key) || rendered.annotations.contains_key(key));
    (!same).then_some(step)
}

pub(super) fn publish(
    o: &Observed,
    target: &Target,
    mut hints: Hints,
    secret: &SecretString,
    hash: &str,
    published: Option<&Published>,
) -> Step {
    let new = published.is_none_or(|p| p.hints.version < hints.version);
    hints.cluster_id.clone_from(&o.cluster_id);
    hints.key_manager = Some(target.reference.clone());
    hash.clone_into(&mut hints.applied);
    if let Some(differs) = &o.hand.differs {
        hints.differs.clone_from(differs);
    }
    if new {
        // What was asked for until now is handled by the write that publishes; so is what was found at the first publication.
        rotation::trigger(o.spec()).clone_into(&mut hints.handled_trigger);
        rotation::rotate_annotation(&o.key).clone_into(&mut hints.handled_rotate);
    }
    let kept = published.map(|published| &published.entries);
    let entries = if secret::same_secret(o.spec()) {
        tokens::entries(o, kept, &mut hints.tokens)
    } else {
        Entries::default()
    };
    if !secret::same_secret(o.spec()) {
        hints.tokens.clear();
    }
    let rendered = secret::render(&o.key, &target.endpoints, hints, secret, &entries, kept);
    let replaces = published
        .filter(|published| published.name == rendered.name)
        .cloned()
        .map(Box::new);
    Step::Publish {
        rendered: Box::new(rendered),
        replaces,
        tokens: false,
    }
}
