//! Templates that cannot be filled: a new key waits for better ones, a published credential is kept, and nothing that the spec asks
//! for changes it meanwhile. What has to change (a lost secret, one that ends) does, and the entry stays as it was.

use super::said_not_ready;
use crate::{
    api::conditions::Say,
    plan::{
        observed::{Observed, Target},
        secret::template,
        step::Step,
    },
};

/// The reason of the conditions that speak of it.
pub(super) const REASON: &str = "InvalidTemplate";

/// What stands against the templates.
pub(super) fn problem(o: &Observed, target: &Target) -> Option<String> {
    let problem = template::problem(o.spec(), &target.endpoints)?;
    Some(format!("spec.secret.templates: {problem}"))
}

/// What a published key says of it.
pub(super) fn say(o: &Observed, target: &Target) -> Option<Say> {
    let text = format!(
        "{}; the entry is as it was before, and nothing rotates until this is mended",
        problem(o, target)?
    );
    Some(Say::no("UpToDate", REASON, text))
}

/// The end of a pass that would otherwise begin to take another client for a credential that works.
pub(super) fn held(o: &Observed, target: &Target) -> Option<Step> {
    let begun = o.state.old.is_some() || o.state.making.is_some();
    if begun || said_not_ready(o) || o.hand.refused || o.hand.exists || o.hand.unmanageable {
        return None;
    }
    let published = Say::yes("Ready", "Published", "the Secret has the credential of before");
    Some(Step::Done(vec![published, say(o, target)?]))
}
