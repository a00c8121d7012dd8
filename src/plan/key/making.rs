//! A client and Secret where nothing is published, and a secret in hand until it is.

use jiff::Timestamp;

use super::{access_denied, moving::replace_client, not_ready, publishing::publish, rotating::room, said_not_ready};
use crate::{
    api::{Adopt, CredentialKind, conditions::Say},
    key_manager::{Client, Overlap, Room},
    plan::{
        hand::{InHand, Proof},
        hints::Hints,
        observed::{Observed, PlacedClient, Published, Target},
        rotation, secret,
        step::Step,
        tokens, whole_second,
    },
};

/// A client and Secret where nothing is published: for a new key, or (`moving`) a replacement beside the published one.
pub(super) fn make(o: &Observed, target: &Target, moving: Option<&Published>, now: Timestamp) -> Step {
    if let Some(credential) = &o.hand.credential {
        return use_credential(o, target, credential, now);
    }
    if !target.grants.selected || !target.grants.refused(o.spec()).is_empty() {
        return Step::Done(access_denied(o, target).into_iter().collect());
    }
    if let Some(old) = stands_in_place(o, target) {
        return Step::DeleteClient(old);
    }
    if let Some(adopt) = o.spec().adopt.as_ref().filter(|_| !o.hand.exists)
        && let Some(step) = adopting(o, target, adopt)
    {
        return step;
    }
    let Some(client) = o.desired_client(target) else {
        return make_given(o, target);
    };
    if let Some(why) = o.hand.needs_another(&client.id) {
        // Nobody has it: it goes, and one that can be so takes its place.
        return if o.fixed_id() || target.capabilities.applications {
            let text = format!("{why}: delete this key and make it again, or change it back");
            not_ready("CannotChangeInPlace", text)
        } else {
            replace_client(o, target, client)
        };
    }
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
    if o.hand.exists && !o.hand.updated {
        // It was made for a spec that may have changed since.
        return Step::Update {
            client,
            properties: o.properties(target),
        };
    }
    if o.kind() == CredentialKind::Nothing {
        return Step::HoldPublic(client);
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

/// A client that was replaced and is where the next one is to be: it goes first. Its secret is lost, or the key manager ends it.
fn stands_in_place(o: &Observed, target: &Target) -> Option<PlacedClient> {
    let old = o.state.old.as_ref().filter(|_| target.capabilities.applications)?;
    let here = old.key_manager == target.reference && !o.has_deleted(old);
    here.then(|| old.clone())
}

/// A client that is there already: proved to be the team's, then marked, then published. None where it was adopted before and
/// its secret is another one now: it is ours, by its mark.
fn adopting(o: &Observed, target: &Target, adopt: &Adopt) -> Option<Step> {
    if !target.capabilities.adopt {
        let text = format!(
            "key manager {} has no clients that could be adopted: remove spec.adopt",
            target.reference
        );
        return Some(not_ready("UnsupportedAdoption", text));
    }
    let client = || {
        o.desired_client(target)
            .unwrap_or_else(|| o.client(adopt.client_id.clone()))
    };
    match &o.hand.proof {
        None => Some(Step::Prove(adopt.clone())),
        Some(Proof::Good { secret, management }) => Some(Step::Adopt {
            client: Client {
                management: management.clone().or(client().management),
                ..client()
            },
            properties: o.properties(target),
            secret: secret.clone(),
        }),
        Some(Proof::Refused(why)) => {
            let said = o.key.status.as_ref().and_then(|status| status.client_id.as_ref());
            (said != Some(&adopt.client_id)).then(|| not_ready("AdoptionRefused", why.clone()))
        }
    }
}

/// A client of given identity: an answer that was stored, an attempt to look for, or a new attempt.
pub(super) fn make_given(o: &Observed, target: &Target) -> Step {
    match &o.state.attempt {
        Some(attempt) if !o.hand.not_found.contains(&attempt.id) => Step::Find(attempt.clone()),
        // A second client would not be recognised as the same one.
        _ if !o.hand.looked => Step::Look,
        _ => Step::RegisterGiven(o.properties(target)),
    }
}

/// What must come before an unpublished secret is discarded: nobody may publish it any more, or status must say that the key is not ready.
pub(super) fn before_discarding(o: &Observed, published: Option<&Published>) -> Option<Step> {
    match published {
        Some(published) => (!o.hand.fenced).then(|| Step::Fence(Box::new(published.clone()))),
        None => (!o.hand.announced && !said_not_ready(o)).then(|| {
            let text = format!("Secret {} is missing and is made anew", secret::name(&o.key));
            Step::Announce(Say::no("Ready", "SecretMissing", text))
        }),
    }
}

/// A secret in hand: use it once, then publish it.
pub(super) fn use_credential(o: &Observed, target: &Target, credential: &InHand, now: Timestamp) -> Step {
    // A public client has nothing that could be tried.
    let verified = match (credential.verified, o.kind()) {
        (Some(verified), _) => verified,
        (None, CredentialKind::Nothing) => false,
        (None, _) => return Step::Verify,
    };
    if let Some(step) = tokens::before_publication(o, target, &credential.client_id, &credential.secret, now) {
        return step;
    }
    let published = o.secret.ours();
    let before = published.map(|published| published.hints.clone()).unwrap_or_default();
    let overlap = now.checked_add(rotation::overlap(o.spec())).ok().map(whole_second);
    let hints = Hints {
        version: o.next_version(),
        issued_at: Some(whole_second(now)),
        client_id: credential.client_id.clone(),
        kind: o.kind(),
        replacements: o.replacements(),
        previous_valid_until: overlap.filter(|_| credential.previous_works || o.state.old.is_some()),
        secret_ends: credential.secret_ends.map(whole_second),
        attempt: String::new(),
        verified,
        ..before
    };
    let applied = credential.applied.clone();
    let applied = applied.unwrap_or_else(|| o.properties_hash(target));
    publish(o, target, hints, &credential.secret, &applied, published)
}
