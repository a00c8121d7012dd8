//! What to do next for a key that is not being deleted: the first step that something observed asks for.
//!
//! The order is the promise. A secret is used before it is published, published before the one before it ends, and
//! nothing is discarded that could still be published. After a step the caller observes what it changed and asks again,
//! so a process that dies goes on from the same question.

use jiff::Timestamp;

use super::{
    observed::{Gone, InHand, Observed, PlacedClient, Published, SecretView, State, Target},
    removal, rotation,
    secret::{self, Entries},
    step::Step,
    tokens, whole_second,
};
use crate::{
    api::{
        FINALIZER, RotationStrategy,
        conditions::{self, Say},
    },
    key_manager::{Choice, Client, Overlap, Room},
};

/// The next step for a key.
pub fn next(o: &Observed, now: Timestamp) -> Step {
    if o.spec().suspend {
        return Step::Done(vec![Say::yes(
            "Suspended",
            "SuspendedBySpec",
            "spec.suspend stops every action but deletion",
        )]);
    }
    match &o.secret {
        SecretView::ForeignCluster(id) => return not_ready("ForeignCluster", foreign_cluster(o, id)),
        SecretView::Foreign(whose) => return not_ready("SecretConflict", whose.clone()),
        SecretView::Wanted(first) => {
            let text = format!(
                "the older key {first} names Secret {} too: choose another secret.name",
                secret::name(&o.key)
            );
            return not_ready("SecretConflict", text);
        }
        SecretView::Absent | SecretView::Ours(_) => {}
    }
    match &o.tokens {
        SecretView::ForeignCluster(id) => return not_ready("ForeignCluster", foreign_cluster(o, id)),
        SecretView::Foreign(whose) => return not_ready("SecretConflict", whose.clone()),
        SecretView::Absent | SecretView::Wanted(_) | SecretView::Ours(_) => {}
    }
    if o.application.is_none() {
        let name = &o.spec().application_ref.name;
        return not_ready(
            "ApplicationNotFound",
            format!("there is no Application {name} in this namespace: create it"),
        );
    }
    let target = match &o.target {
        Ok(target) => target,
        Err(say) => return Step::Done(super::status::failed(o, say.reason, &say.message)),
    };
    if let Some(step) = refusal(o, target) {
        return step;
    }
    if !has_finalizer(o) {
        return Step::Begin(chosen(o, target));
    }
    if let Some(step) = taken_by_a_deleted_key(o, target).or_else(|| left_behind(o, target)) {
        return step;
    }
    let step = match &o.secret {
        SecretView::Ours(published) => keep(o, target, published, now),
        _ => Some(
            o.former
                .as_deref()
                .and_then(|former| rename(o, target, former, now))
                .unwrap_or_else(|| make(o, target, None, now)),
        ),
    };
    step.or_else(|| tokens::next(o, target, now))
        .or_else(|| removal::clean(o))
        .unwrap_or_else(|| done(o, target))
}

/// The client that this key should have was that of a deleted key of the same name, and is still to be deleted.
fn taken_by_a_deleted_key(o: &Observed, target: &Target) -> Option<Step> {
    let tombstone = o.state.tombstone.as_ref()?;
    let wanted = chosen(o, target).filter(|wanted| tombstone.names(wanted))?;
    Some(removal::clean(o).unwrap_or_else(|| {
        not_ready(
            "CleanupPending",
            format!(
                "client {} of the deleted key of this name goes first: {}",
                wanted.client.id,
                o.hand.uncleaned.as_deref().unwrap_or_default()
            ),
        )
    }))
}

/// The client that is to be made at `target`, where its id is our choice.
fn chosen(o: &Observed, target: &Target) -> Option<PlacedClient> {
    o.chosen_client(target, o.replacements()).map(|client| PlacedClient {
        key_manager: target.reference.clone(),
        client,
    })
}

/// A client that was made, or may have been, and that nobody wants since the spec changed before it was published: it goes first.
fn left_behind(o: &Observed, target: &Target) -> Option<Step> {
    let published = o.secret.ours().or(o.former.as_deref());
    let is_published = |placed: &PlacedClient| published.is_some_and(|published| published.is_of(placed));
    if let Some(attempt) = o.state.attempt.as_ref().filter(|a| a.key_manager != target.reference) {
        return Some(if o.hand.not_found.contains(&attempt.id) {
            Step::write_state(State {
                attempt: None,
                ..o.state.clone()
            })
        } else {
            Step::Find(attempt.clone())
        });
    }
    let elsewhere = |placed: &&PlacedClient| placed.key_manager != target.reference && !is_published(placed);
    if let Some(placed) = o.state.client.as_ref().filter(elsewhere) {
        return Some(if o.has_deleted(placed) {
            Step::write_state(State {
                client: None,
                answer: None,
                ..o.state.clone()
            })
        } else {
            Step::DeleteClient(placed.clone())
        });
    }
    let none = published.is_none() && o.state.old.is_none() && o.state.client.is_none();
    let first = || none.then(|| o.first_client()).flatten();
    let wanted = chosen(o, target);
    let Some(made) = o.state.making.clone().or_else(first) else {
        // It began where ids are not our choice: the key says where its first client is made before that is made elsewhere.
        return wanted.filter(|_| none).map(|wanted| Step::Begin(Some(wanted)));
    };
    let is_wanted = wanted
        .as_ref()
        .is_some_and(|wanted| wanted.key_manager == made.key_manager && wanted.client.id == made.client.id);
    if is_wanted || is_published(&made) {
        return None;
    }
    Some(if !o.has_deleted(&made) {
        Step::DeleteClient(made)
    } else if o.state.making.is_some() {
        Step::write_state(State {
            making: wanted,
            ..o.state.clone()
        })
    } else {
        Step::Begin(wanted)
    })
}

/// What stands against a key that has no client yet; a client that is there is kept, with what is granted.
fn refusal(o: &Observed, target: &Target) -> Option<Step> {
    let spec = o.spec();
    let manager = &target.reference;
    let capabilities = &target.capabilities;
    if let Some(grant) = super::access::grant_types(spec).find(|g| !capabilities.grant_types.contains(g)) {
        let text = format!(
            "key manager {manager} does not serve the grant type {grant}: it does no user login; choose another key manager"
        );
        return Some(not_ready("UnsupportedGrantType", text));
    }
    if spec.client_id.is_some() && !capabilities.chosen_identity() {
        return Some(not_ready(
            "UnsupportedClientId",
            format!("key manager {manager} chooses client ids itself: remove spec.clientId"),
        ));
    }
    let known =
        o.secret.ours().is_some() || has_finalizer(o) && o.key.status.as_ref().is_some_and(|s| s.client_id.is_some());
    if known {
        None
    } else {
        access_denied(o, target).map(|say| Step::Done(vec![say]))
    }
}

/// What the access rules refuse.
fn access_denied(o: &Observed, target: &Target) -> Option<Say> {
    let manager = &target.reference;
    if !target.grants.selected {
        let text = format!(
            "no access rule of {manager} selects namespace {}: ask its owner",
            o.namespace()
        );
        return Some(Say::no("Ready", "AccessDenied", text));
    }
    let refused = target.grants.refused(o.spec());
    let text = format!(
        "no access rule of {manager} grants {}: ask its owner, or ask for less",
        refused.join(", ")
    );
    (!refused.is_empty()).then(|| Say::no("Ready", "AccessDenied", text))
}

/// The end of a pass in which nothing is left to do.
fn done(o: &Observed, target: &Target) -> Step {
    let mut says = vec![];
    if let Some(say) = access_denied(o, target) {
        says.push(say);
    } else {
        let text = format!("Secret {} has a working credential", secret::name(&o.key));
        says.push(Say::yes("Ready", "Published", text));
    }
    let verified = o.secret.ours().is_some_and(|published| published.hints.verified);
    says.push(if verified {
        Say::yes("Verified", "UsedOnce", "the secret was used before it was published")
    } else {
        Say {
            type_: "Verified",
            status: None,
            reason: "Undecidable",
            message: "this secret cannot be tried".to_owned(),
        }
    });
    if let Some(say) = rotation_unsupported(o, target) {
        says.push(say);
    }
    says.extend(type_kept(o));
    says.extend(tokens::says(o));
    if let Some(why) = &o.hand.uncleaned {
        let text = format!("a deleted key of this name has left a client that is still to be deleted: {why}");
        says.push(Say::yes("CleanupPending", "ClientLeft", text));
    }
    if rotation::overlap(o.spec()) < jiff::SignedDuration::from_mins(2) {
        let text =
            "rotation.overlap is under two minutes: some nodes show a changed Secret to their Pods later than that";
        says.push(Say::yes("ShortOverlap", "ShorterThanKubelets", text));
    }
    Step::Done(says)
}

/// Kubernetes changes no Secret's type.
fn type_kept(o: &Observed) -> Option<Say> {
    let published = o.secret.ours()?;
    let wanted = o
        .spec()
        .secret
        .as_ref()
        .and_then(|secret| secret.type_)
        .unwrap_or_default();
    let (has, wanted) = (&published.type_, wanted.as_str());
    let text = format!(
        "Secret {} has type {has}, which cannot be changed: choose a new secret.name for one of type {wanted}",
        published.name
    );
    (!has.is_empty() && has != wanted).then(|| Say::yes("SecretTypeKept", "TypeCannotBeChanged", text))
}

/// A client and Secret where nothing is published: for a new key, or (`moving`) a replacement beside the published one.
fn make(o: &Observed, target: &Target, moving: Option<&Published>, now: Timestamp) -> Step {
    if let Some(credential) = &o.hand.credential {
        return use_credential(o, target, credential, now);
    }
    if !target.grants.selected || !target.grants.refused(o.spec()).is_empty() {
        return Step::Done(access_denied(o, target).into_iter().collect());
    }
    let Some(client) = o.desired_client(target) else {
        return make_given(o, target);
    };
    if target.capabilities.chosen_identity() && !o.hand.exists {
        return Step::Register {
            client,
            properties: o.properties(target),
            secret: None,
        };
    }
    if !o.hand.looked {
        return Step::Look;
    }
    // The client is there and nobody here knows its secret: a process died before publishing it, or the Secret was deleted.
    if target.capabilities.read_secret && !o.hand.occupied {
        return Step::ReadSecret(client);
    }
    if let Some(step) = before_discarding(o, moving) {
        return step;
    }
    match (target.capabilities.secret_at_rotation, target.capabilities.overlap) {
        (None, _) => replace_client(o, target, client),
        (Some(_), Overlap::None) => Step::AddSecret {
            client,
            published: None,
            room: Room::Only,
        },
        (Some(_), _) if moving.is_some() => Step::AddSecret {
            client,
            published: None,
            room: Room::Only,
        },
        (Some(_), _) => Step::AddSecret {
            client,
            published: None,
            room: room(o),
        },
    }
}

/// The credential of a Secret that had another name: published under the new name first; the former one stays through the overlap.
fn rename(o: &Observed, target: &Target, former: &Published, now: Timestamp) -> Option<Step> {
    let secret = former.client_secret()?;
    let until = whole_second(now.checked_add(rotation::overlap(o.spec())).unwrap_or(now));
    let hints = super::hints::Hints {
        former: Some(super::hints::Former {
            name: former.name.clone(),
            until,
        }),
        ..former.hints.clone()
    };
    let manager = former.hints.key_manager.clone();
    let mut step = publish(o, target, hints, &secret, &former.hints.applied, Some(former));
    if let Step::Publish { rendered, .. } = &mut step {
        // A move that is due at the same time is seen from the key manager that the credential is at now.
        let annotation = super::hints::Hints {
            key_manager: manager,
            ..super::hints::Hints::read(&rendered.annotations)
        };
        rendered.annotations.extend(annotation.write());
    }
    Some(step)
}

/// A client of given identity: an answer that was stored, an attempt to look for, or a new attempt.
fn make_given(o: &Observed, target: &Target) -> Step {
    match &o.state.attempt {
        Some(attempt) if !o.hand.not_found.contains(&attempt.id) => Step::Find(attempt.clone()),
        // A second client would not be recognised as the same one.
        _ if !o.hand.looked => Step::Look,
        _ => Step::RegisterGiven(o.properties(target)),
    }
}

/// What must come before an unpublished secret is discarded: nobody may publish it any more, or status must say that the key is not ready.
fn before_discarding(o: &Observed, published: Option<&Published>) -> Option<Step> {
    match published {
        Some(published) => (!o.hand.fenced).then(|| Step::Fence(Box::new(published.clone()))),
        None => (!o.hand.announced && !said_not_ready(o)).then(|| {
            let text = format!("Secret {} is missing and is made anew", secret::name(&o.key));
            Step::Announce(Say::no("Ready", "SecretMissing", text))
        }),
    }
}

/// A published credential: keep it good.
fn keep(o: &Observed, target: &Target, published: &Published, now: Timestamp) -> Option<Step> {
    if let Some(credential) = &o.hand.credential {
        return Some(use_credential(o, target, credential, now));
    }
    if let Some(former) = &published.released_by {
        if o.state.client.is_none() {
            return Some(take_over(o, target, published, former));
        }
        let left = o.hand.released.as_ref();
        if left.is_some_and(|left| left.client.is_some() || left.old.is_some() || left.making.is_some()) {
            // A later key of that name must not find this client as its own.
            return Some(Step::HandOver(former.clone()));
        }
    }
    let Some(secret) = published.client_secret() else {
        // Somebody took the entry away: as if the Secret were not there, save that the write replaces it.
        return Some(make(o, target, None, now));
    };
    let desired = o.desired_client(target);
    let at_home = published
        .hints
        .key_manager
        .as_ref()
        .is_none_or(|manager| *manager == target.reference);
    let client = match desired {
        Some(client) if at_home && client.id == published.hints.client_id => client,
        Some(_) | None if at_home && !target.capabilities.chosen_identity() && o.state.old.is_none() => {
            o.client(published.hints.client_id.clone())
        }
        _ => return Some(move_client(o, target, published, now)),
    };
    let hash = o.properties_hash(target);
    if published.hints.applied != hash && !o.hand.updated {
        return Some(Step::Update {
            client,
            properties: o.properties(target),
        });
    }
    if let Some(taken) = o.state.client.as_ref().filter(|taken| taken.client.mark != o.mark()) {
        let client = Client {
            mark: o.mark(),
            ..taken.client.clone()
        };
        return Some(Step::write_state(State {
            client: Some(PlacedClient {
                client,
                ..taken.clone()
            }),
            ..o.state.clone()
        }));
    }
    // Somebody else may have written it, an announced cut may have happened, or a process died after it fenced: it is used
    // once before the key is ready again.
    let doubtful = published.tampered || said_not_ready(o) || !published.hints.attempt.is_empty();
    if doubtful && !o.hand.checked && !o.hand.refused && !o.hand.exists {
        let client_id = client.id;
        return Some(Step::Check { client_id, secret });
    }
    if o.hand.unmanageable {
        return Some(unmanageable(o, target, published, client, secret));
    }
    if o.hand.refused && !target.capabilities.chosen_identity() {
        if !o.hand.updated {
            // Managing it is the probe: whether the client is gone, or only its secret.
            let properties = o.properties(target);
            return Some(Step::Update { client, properties });
        }
        return Some(replace_client(o, target, client));
    }
    if o.hand.exists || o.hand.refused {
        if !o.hand.exists {
            // The create is the probe: it makes the client again with the secret that workloads hold, unless somebody else chose that.
            let secret = (!published.tampered).then_some(secret);
            return Some(Step::Register {
                client,
                properties: o.properties(target),
                secret,
            });
        }
        return Some(new_secret(o, target, published, client));
    }
    retire(o, target, published, &client, &secret, now)
        .or_else(|| rotate(o, target, published, &client, now))
        .or_else(|| tokens::before_publication(o, target, &published.hints.client_id, &secret, now))
        .or_else(|| publish_if_changed(o, target, published, &secret, &hash))
}

/// A client of given identity that cannot be managed any more: out of reach, or gone. Either way another one takes its
/// place; but a key manager that lost its data, or that just starts, must not cost every key its client.
fn unmanageable(
    o: &Observed,
    target: &Target,
    published: &Published,
    client: Client,
    secret: secrecy::SecretString,
) -> Step {
    if o.hand.checked {
        return replace_client(o, target, client);
    }
    if !o.hand.refused {
        return Step::Check {
            client_id: client.id,
            secret,
        };
    }
    let manager = &target.reference;
    match o.hand.gone {
        None => Step::NoteGone,
        Some(Gone::Surely) => replace_client(o, target, client),
        Some(Gone::Perhaps) => not_ready(
            "ClientGone",
            format!(
                "{manager} does not know client {} any more: it is replaced if that stays so",
                published.hints.client_id
            ),
        ),
        Some(Gone::TooMany) => not_ready(
            "SuspectedDataLoss",
            format!(
                "{manager} does not know many of its clients any more, so none is replaced: see the condition SuspectedDataLoss there"
            ),
        ),
    }
}

/// A Secret of a deleted key of another name: the client is marked as ours, by the state that the deleted key left or by its
/// derived identity only.
fn take_over(o: &Observed, target: &Target, published: &Published, former: &str) -> Step {
    let left = o.hand.released.clone().unwrap_or_default();
    let mark = crate::key_manager::Mark {
        name: former.to_owned(),
        ..o.mark()
    };
    let derived = || {
        let id = super::identity::client_id(&mark, &target.reference, published.hints.replacements);
        let ours = target.capabilities.chosen_identity() && id == published.hints.client_id;
        ours.then(|| PlacedClient {
            key_manager: target.reference.clone(),
            client: Client {
                id,
                mark: mark.clone(),
                management: None,
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
fn move_client(o: &Observed, target: &Target, published: &Published, now: Timestamp) -> Step {
    let in_progress = o.state.old.as_ref().is_some_and(|old| published.is_of(old));
    if in_progress {
        return make(o, target, Some(published), now);
    }
    if let Some(old) = &o.state.old {
        // Two moves at once would leave a client behind: the one that drains goes first.
        if o.draining_until(now).is_some() {
            let text = format!(
                "client {} drains first: the change to {} waits",
                old.client.id, target.reference
            );
            return Step::Done(vec![
                Say::yes("Ready", "Published", text.clone()),
                Say::yes("Draining", "OldClientDrains", text),
            ]);
        }
        return drained(o, old);
    }
    let old = PlacedClient {
        key_manager: published_at(o, target, published),
        client: published_client(o, published),
    };
    replaced(o, target, old)
}

/// The old client goes; then there is none.
fn drained(o: &Observed, old: &PlacedClient) -> Step {
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
fn replaced(o: &Observed, target: &Target, old: PlacedClient) -> Step {
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
fn replace_client(o: &Observed, target: &Target, client: Client) -> Step {
    let key_manager = target.reference.clone();
    let old = o.state.old.clone().unwrap_or(PlacedClient { key_manager, client });
    replaced(o, target, old)
}

fn published_at(o: &Observed, target: &Target, published: &Published) -> crate::api::KeyManagerRef {
    let said = o.key.status.as_ref().and_then(|status| status.key_manager.clone());
    published
        .hints
        .key_manager
        .clone()
        .or(said)
        .unwrap_or_else(|| target.reference.clone())
}

fn published_client(o: &Observed, published: &Published) -> Client {
    let id = &published.hints.client_id;
    let known = o.state.client.as_ref().filter(|known| published.is_of(known));
    known.map_or_else(|| o.client(id.clone()), |known| known.client.clone())
}

/// The old secret's end, once the new one is published; the old client's end, once its overlap is over.
fn retire(
    o: &Observed,
    target: &Target,
    published: &Published,
    client: &Client,
    current: &secrecy::SecretString,
    now: Timestamp,
) -> Option<Step> {
    let end = published.hints.previous_valid_until;
    if let Some(old) = &o.state.old {
        let over = end.is_none_or(|end| end <= now);
        return over.then(|| drained(o, old));
    }
    if let Some(former) = &published.hints.former
        && former.until <= now
    {
        return Some(Step::DeleteFormer(former.name.clone()));
    }
    let end = end.filter(|_| !o.hand.retired)?;
    let status = o.key.status.as_ref().and_then(|status| status.credential.as_ref());
    let told = status.is_some_and(|c| {
        c.version == published.hints.version && c.phase != crate::api::application_key::Phase::Published
    });
    let idle = told && status.is_some_and(|c| c.phase == crate::api::application_key::Phase::Idle);
    let due = match target.capabilities.overlap {
        Overlap::None => false,
        Overlap::ServerEnds => !told,
        Overlap::WeEnd => end <= now && !idle,
    };
    if due && o.hand.in_doubt && !o.hand.fenced {
        // A secret that would end here may be on its way into the Secret.
        return Some(Step::Fence(Box::new(published.clone())));
    }
    due.then(|| Step::Retire {
        client: client.clone(),
        current: current.clone(),
        end,
    })
}

/// A rotation, where one is due and the one before it is over.
fn rotate(o: &Observed, target: &Target, published: &Published, client: &Client, now: Timestamp) -> Option<Step> {
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
fn new_secret(o: &Observed, target: &Target, published: &Published, client: Client) -> Step {
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
fn in_place(o: &Observed, published: &Published, client: Client) -> Step {
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

const fn room(o: &Observed) -> Room {
    if o.hand.occupied { Room::Replace } else { Room::Keep }
}

/// Where the key manager cannot rotate as the spec asks: nothing rotates, and the condition says what can be chosen.
fn rotation_unsupported(o: &Observed, target: &Target) -> Option<Say> {
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

/// A secret in hand: use it once, then publish it.
fn use_credential(o: &Observed, target: &Target, credential: &InHand, now: Timestamp) -> Step {
    let Some(verified) = credential.verified else {
        return Step::Verify;
    };
    if let Some(step) = tokens::before_publication(o, target, &credential.client_id, &credential.secret, now) {
        return step;
    }
    let published = o.secret.ours();
    let before = published.map(|published| published.hints.clone()).unwrap_or_default();
    let said = o
        .key
        .status
        .as_ref()
        .and_then(|status| status.credential.as_ref())
        .map_or(0, |c| c.version);
    let overlap = now.checked_add(rotation::overlap(o.spec())).ok().map(whole_second);
    let hints = super::hints::Hints {
        version: before.version.max(said) + 1,
        issued_at: Some(whole_second(now)),
        client_id: credential.client_id.clone(),
        replacements: o.replacements(),
        previous_valid_until: overlap.filter(|_| credential.previous_works || o.state.old.is_some()),
        attempt: String::new(),
        verified,
        ..before
    };
    publish(
        o,
        target,
        hints,
        &credential.secret,
        &o.properties_hash(target),
        published,
    )
}

/// The published Secret again, where what it should say has changed.
fn publish_if_changed(
    o: &Observed,
    target: &Target,
    published: &Published,
    secret: &secrecy::SecretString,
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
            .all(|key| !super::hints::is_ours(key) || rendered.annotations.contains_key(key));
    (!same).then_some(step)
}

fn publish(
    o: &Observed,
    target: &Target,
    mut hints: super::hints::Hints,
    secret: &secrecy::SecretString,
    hash: &str,
    published: Option<&Published>,
) -> Step {
    let new = published.is_none_or(|p| p.hints.version < hints.version);
    hints.cluster_id.clone_from(&o.cluster_id);
    hints.key_manager = Some(target.reference.clone());
    hash.clone_into(&mut hints.applied);
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
    let rendered = secret::render(&o.key, &target.endpoints, hints, secret, &entries);
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

fn said_not_ready(o: &Observed) -> bool {
    let conditions = o.key.status.as_ref().map_or(&[][..], |status| &status.conditions);
    conditions::reason(conditions, "Ready").is_some() && !conditions::is_true(conditions, "Ready")
}

fn has_finalizer(o: &Observed) -> bool {
    o.key
        .metadata
        .finalizers
        .iter()
        .flatten()
        .any(|finalizer| finalizer == FINALIZER)
}

fn foreign_cluster(o: &Observed, id: &str) -> String {
    format!(
        "Secret {} was written by the operator of cluster {id}, this one is {}: start the operator with --cluster-id={id} if it is meant to take over",
        secret::name(&o.key),
        o.cluster_id
    )
}

fn not_ready(reason: &'static str, message: String) -> Step {
    Step::Done(vec![Say::no("Ready", reason, message)])
}

/// Whether the key manager takes our secret at creation; where it does not, the answer's is the one to use.
pub const fn secret_is_ours(target: &Target) -> bool {
    matches!(target.capabilities.secret_at_creation, Choice::Ours)
}
