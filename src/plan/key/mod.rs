//! What to do next for a key that is not being deleted: the first step that something observed asks for.
//!
//! The order is the promise. A secret is used before it is published, published before the one before it ends, and
//! nothing is discarded that could still be published. After a step the caller observes what it changed and asks again,
//! so a process that dies goes on from the same question.

mod making;
mod keeping;
mod rotating;
mod moving;
mod publishing;
mod meanwhile;
mod templates;

use jiff::Timestamp;

use self::{
    keeping::keep,
    making::make,
    meanwhile::meanwhile,
    publishing::rename,
    rotating::{expiring, rotation_unsupported},
};
use super::{
    observed::{Observed, PlacedClient, SecretView, State, Target},
    removal, rotation, secret,
    step::Step,
    tokens,
};
use crate::{
    api::{
        FINALIZER, SecretSpec,
        conditions::{self, Say},
    },
    key_manager::PkceMethods,
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
        return meanwhile(o, now).unwrap_or(step);
    }
    if !has_finalizer(o) {
        return Step::Begin(chosen(o, target, o.replacements()));
    }
    if let Some(step) = taken_by_a_deleted_key(o, target).or_else(|| left_behind(o, target)) {
        return step;
    }
    let step = match &o.secret {
        SecretView::Ours(published) => match keep(o, target, published, now) {
            Some(waits @ Step::Done(_)) => Some(meanwhile(o, now).unwrap_or(waits)),
            step => step,
        },
        _ => Some(
            o.former
                .as_deref()
                .and_then(|former| rename(o, target, former, now))
                .unwrap_or_else(|| make(o, target, None, now)),
        ),
    };
    step.or_else(|| tokens::next(o, target, now))
        .or_else(|| removal::clean(o))
        .unwrap_or_else(|| done(o, target, now))
}

/// The client that this key should have was that of a deleted key of the same name, and is still to be deleted.
fn taken_by_a_deleted_key(o: &Observed, target: &Target) -> Option<Step> {
    let tombstone = o.state.tombstone.as_ref()?;
    let wanted = chosen(o, target, o.replacements()).filter(|wanted| tombstone.names(wanted))?;
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

/// The client that is to be made at `target` after so many replacements, where its id is our choice.
fn chosen(o: &Observed, target: &Target, replacements: u32) -> Option<PlacedClient> {
    o.chosen_client(target, replacements).map(|client| PlacedClient {
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
    let other_kind = o.state.answer.as_ref().is_some_and(|answer| answer.kind != o.kind());
    let unwanted = |placed: &&PlacedClient| {
        let fits = placed.key_manager == target.reference && !other_kind;
        !fits && !is_published(placed)
    };
    if let Some(placed) = o.state.client.as_ref().filter(unwanted) {
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
    let wanted = chosen(o, target, o.replacements());
    let Some(made) = o.state.making.clone().or_else(first) else {
        // It began where ids are not our choice: the key says where its first client is made before that is made elsewhere.
        return wanted.filter(|_| none).map(|wanted| Step::Begin(Some(wanted)));
    };
    let is_wanted = wanted.as_ref().is_some_and(|wanted| wanted.is_same(&made));
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
    let authentication = spec.client_authentication.unwrap_or_default();
    if !capabilities.authentication.contains(&authentication) {
        let can: Vec<_> = capabilities.authentication.iter().map(ToString::to_string).collect();
        let text = format!(
            "key manager {manager} has no client authentication {authentication}: choose one of {}",
            can.join(", ")
        );
        return Some(not_ready("UnsupportedClientAuthentication", text));
    }
    let vendor = spec.vendor_blocks();
    if let Some(vendor) = vendor.vendors().find(|vendor| !capabilities.vendors.contains(vendor)) {
        let text = format!(
            "spec.{vendor} says what only a key manager of this kind can do, and {manager} is none: remove it, or choose another key manager"
        );
        return Some(not_ready("UnsupportedVendorBlock", text));
    }
    if let Some(text) = unsupported_pkce(o, target) {
        return Some(not_ready("UnsupportedPkce", text));
    }
    if let Some(text) = unsupported_lifetime(o, target) {
        return Some(not_ready("UnsupportedLifetime", text));
    }
    if let Some(resource) = super::access::resources(spec)
        .next()
        .filter(|_| !capabilities.resources)
    {
        let why = capabilities.reason("Resources").unwrap_or_default();
        let text = format!(
            "key manager {manager} gives no token for a resource that is asked for ({why}): remove resource {resource} from spec.accessTokens, or choose another key manager"
        );
        return Some(not_ready("UnsupportedResource", text));
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
        return None;
    }
    if let Some(first) = o.first_in_environment.as_ref().filter(|_| capabilities.applications) {
        let text = format!(
            "{manager} has one client for each environment of an application, and key {first} comes first in {} of Application {}: delete one of the two, or name another Application or environment in a new key",
            spec.environment, spec.application_ref.name
        );
        return Some(not_ready("EnvironmentTaken", text));
    }
    if let Some(text) = templates::problem(o, target) {
        return Some(not_ready(templates::REASON, text));
    }
    access_denied(o, target).map(|say| Step::Done(vec![say]))
}

/// Why the key manager cannot demand the code challenge that is asked for.
fn unsupported_pkce(o: &Observed, target: &Target) -> Option<String> {
    let pkce = super::observed::pkce(o.spec()).filter(|pkce| pkce.required)?;
    let manager = &target.reference;
    match (target.capabilities.pkce, pkce.allow_plain) {
        (PkceMethods::S256 | PkceMethods::One | PkceMethods::Both, false) | (PkceMethods::Both, true) => None,
        (PkceMethods::Nothing, _) => Some(format!(
            "key manager {manager} cannot demand PKCE of a client: set spec.pkce.required to false, and have the app use it all the same"
        )),
        (PkceMethods::S256, true) => Some(format!(
            "key manager {manager} knows only the method S256: set spec.pkce.allowPlain to false"
        )),
        (PkceMethods::One, true) if o.spec().vendor_blocks().pkce_method().is_some() => None,
        (PkceMethods::One, true) => {
            let which = target.capabilities.reason("PkcePlain").unwrap_or_default();
            Some(format!(
                "key manager {manager} can demand one method of PKCE and not either of two: set spec.pkce.allowPlain to false (only S256), or choose ({which})"
            ))
        }
    }
}

/// Which life the key manager cannot set for one client.
fn unsupported_lifetime(o: &Observed, target: &Target) -> Option<String> {
    let lifetimes = o.spec().lifetimes.as_ref()?;
    let capabilities = &target.capabilities;
    let (field, name) = if lifetimes.access_token.is_some() && !capabilities.access_token_lifetime {
        ("accessToken", "AccessTokenLifetime")
    } else if lifetimes.refresh_token.is_some() && !capabilities.refresh_token_lifetime {
        ("refreshToken", "RefreshTokenLifetime")
    } else if lifetimes.id_token.is_some() && !capabilities.id_token_lifetime {
        ("idToken", "IdTokenLifetime")
    } else {
        return None;
    };
    let why = capabilities
        .reason(name)
        .map(|why| format!(" ({why})"))
        .unwrap_or_default();
    Some(format!(
        "key manager {} cannot set this life for one client{why}: remove spec.lifetimes.{field}, or choose another key manager",
        target.reference
    ))
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
fn done(o: &Observed, target: &Target, now: Timestamp) -> Step {
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
    says.extend(templates::say(o, target));
    says.extend(expiring(o, target, now));
    says.extend(drifted(o, target));
    says.extend(type_kept(o));
    says.extend(differs(o, target));
    says.extend(tokens::says(o, target));
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

/// Servers drop and replace what they are asked for, and say so in their answers only.
fn differs(o: &Observed, target: &Target) -> Option<Say> {
    let differs = &o.secret.ours()?.hints.differs;
    let text = format!("{} has this client otherwise than asked: {differs}", target.reference);
    (!differs.is_empty()).then(|| Say::yes("RegistrationDiffers", "ServerChangedFields", text))
}

/// What somebody changed at the key manager, where that is only said; what was said holds until the next comparison.
fn drifted(o: &Observed, target: &Target) -> Option<Say> {
    const DRIFTED: &str = "Drifted";
    match &o.hand.compared {
        Some(drifted) if drifted.is_empty() || target.corrects => None,
        Some(drifted) => {
            let text = format!("changed at {}: {}", target.reference, drifted.join("; "));
            Some(Say::yes(DRIFTED, "ChangedElsewhere", text))
        }
        None => {
            let conditions = o.key.status.as_ref().map_or(&[][..], |status| &status.conditions);
            let said = conditions.iter().find(|c| c.type_ == DRIFTED && c.status == "True")?;
            (!o.hand.updated).then(|| Say::yes(DRIFTED, "ChangedElsewhere", said.message.clone()))
        }
    }
}

/// Kubernetes changes no Secret's type.
fn type_kept(o: &Observed) -> Option<Say> {
    let published = o.secret.ours()?;
    let wanted = o
        .spec()
        .secret
        .as_ref()
        .map(SecretSpec::secret_type)
        .unwrap_or_default();
    let (has, wanted) = (&published.type_, wanted.as_str());
    let text = format!(
        "Secret {} has type {has}, which cannot be changed: choose a new secret.name for one of type {wanted}",
        published.name
    );
    (!has.is_empty() && has != wanted).then(|| Say::yes("SecretTypeKept", "TypeCannotBeChanged", text))
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
