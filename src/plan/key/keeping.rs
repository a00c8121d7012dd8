//! A published credential: it is kept good, and what it took the place of ends.

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    making::{make, use_credential},
    moving::{drained, drains_first, move_client, replace_client, take_over},
    not_ready,
    publishing::publish_if_changed,
    rotating::{new_secret, rotate},
    said_not_ready, templates,
};
use crate::{
    api::{CredentialKind, application_key::Phase, conditions::Say},
    key_manager::{Client, Overlap},
    plan::{
        hand::{Gone, may_stay},
        observed::{Observed, PlacedClient, Published, State, Target},
        rotation,
        step::Step,
        tokens,
    },
};

/// A published credential: keep it good.
pub(super) fn keep(o: &Observed, target: &Target, published: &Published, now: Timestamp) -> Option<Step> {
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
        _ if o.spec().adopt.is_some() => {
            let text = format!(
                "an adopted client cannot move to {}: change spec.keyManagerRef back, or make a new key",
                target.reference
            );
            return Some(cannot_change(text));
        }
        _ => return Some(templates::held(o, target).unwrap_or_else(|| move_client(o, target, published, now))),
    };
    if published.hints.kind != o.kind() {
        return Some(templates::held(o, target).unwrap_or_else(|| change_kind(o, target, client, now)));
    }
    let hash = o.properties_hash(target);
    if published.hints.applied != hash && !o.hand.updated {
        return Some(Step::Update {
            client,
            properties: o.properties(target),
        });
    }
    if let Some(why) = o.hand.needs_another(&client.id) {
        return Some(templates::held(o, target).unwrap_or_else(|| replace_by_another(o, target, client, why, now)));
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
    if let Some(step) = compare(o, target, &client) {
        return Some(step);
    }
    // Somebody else may have written it, an announced cut may have happened, or a process died after it fenced: it is used
    // once before the key is ready again.
    let provable = published.hints.kind != CredentialKind::Nothing;
    let doubtful = published.tampered || said_not_ready(o) || !published.hints.attempt.is_empty();
    if provable && doubtful && !o.hand.checked && !o.hand.refused && !o.hand.exists {
        let client_id = client.id;
        return Some(Step::Check { client_id, secret });
    }
    // A new name is not worth a new client, nor its workloads' trouble.
    let stays = o.hand.checked && may_stay(&published.hints.applied, &hash);
    if o.hand.unmanageable && !stays {
        return Some(unmanageable(o, target, published, client, secret, now));
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
            // The create is the probe: it makes the client again with the secret that workloads hold, unless somebody else chose
            // that, or wants another one.
            let kept = !published.tampered && !rotation::asked_for(&o.key, &published.hints);
            let secret = kept.then_some(secret);
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

/// The client is compared with what it should be when that is due, and put right where the key manager's spec asks for it.
fn compare(o: &Observed, target: &Target, client: &Client) -> Option<Step> {
    let (client, properties) = (client.clone(), o.properties(target));
    if o.hand.compare && o.hand.compared.is_none() {
        return Some(Step::Compare {
            client,
            properties,
            correct: target.corrects,
        });
    }
    let drifted = o.hand.compared.as_ref().is_some_and(|drifted| !drifted.is_empty());
    let done = o.hand.updated || o.hand.unmanageable || o.hand.refused;
    (drifted && target.corrects && !done).then_some(Step::Update { client, properties })
}

/// Another kind of credential is another client: workloads that hold the old one need it for the time of the overlap.
fn change_kind(o: &Observed, target: &Target, client: Client, now: Timestamp) -> Step {
    if o.fixed_id() {
        let text = "clientAuthentication of a client with a chosen or adopted id cannot be changed to another kind of credential: change it back, or choose another spec.clientId";
        return cannot_change(text.to_owned());
    }
    if target.capabilities.applications {
        let text = format!(
            "{} has one client for each environment of an application, so clientAuthentication cannot be changed to another kind of credential: change it back, or delete this key and make a new one",
            target.reference
        );
        return cannot_change(text);
    }
    drains_first(o, "the change to another kind of credential", now)
        .unwrap_or_else(|| replace_client(o, target, client))
}

/// No client becomes what is asked for that was made otherwise: workloads that use it need it for the time of the overlap.
fn replace_by_another(o: &Observed, target: &Target, client: Client, why: &str, now: Timestamp) -> Step {
    if o.fixed_id() {
        let text = format!("{why}: change it back, or choose another spec.clientId");
        return cannot_change(text);
    }
    if target.capabilities.applications {
        let text = format!("{why}: change it back, or delete this key and make a new one");
        return cannot_change(text);
    }
    drains_first(o, "the change that needs another client", now).unwrap_or_else(|| replace_client(o, target, client))
}

pub(super) fn cannot_change(text: String) -> Step {
    Step::Done(vec![
        Say::yes("Ready", "Published", "the Secret has the credential of before"),
        Say::no("UpToDate", "CannotChangeInPlace", text),
    ])
}

/// A client of given identity that cannot be managed (any more): out of reach, or gone. Either way another one takes its
/// place; but where nothing manages clients a refusal to do so says nothing of this one, and a key manager that lost its data, or that just starts, must not cost every key its client.
pub(super) fn unmanageable(
    o: &Observed,
    target: &Target,
    published: &Published,
    client: Client,
    secret: SecretString,
    now: Timestamp,
) -> Step {
    if o.hand.checked && target.capabilities.applications {
        let text = format!(
            "{} does not let this client be changed, and has no second one for this environment: change the spec back, or delete this key and make a new one",
            target.reference
        );
        return cannot_change(text);
    }
    if o.hand.checked {
        // It works: workloads may hold it and the one before.
        return drains_first(o, "the change that needs another client", now)
            .unwrap_or_else(|| replace_client(o, target, client));
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

/// The old secret's end, once the new one is published; the old client's end, once its overlap is over.
pub(super) fn retire(
    o: &Observed,
    target: &Target,
    published: &Published,
    client: &Client,
    current: &SecretString,
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
    let told = status.is_some_and(|c| c.version == published.hints.version && c.phase != Phase::Published);
    let idle = told && status.is_some_and(|c| c.phase == Phase::Idle);
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
