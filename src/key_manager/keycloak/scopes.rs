//! Which client scopes of the realm a client has, and how: those that apps ask for, and those of every token.

use crate::key_manager::Properties;

/// Scope with the claim `sub` and the like, which every client gets where the realm has it.
pub(super) const BASIC: &str = "basic";

/// How a client has a client scope. One that it has in one way is not given in the other: the server says yes and does nothing (K13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Assignment {
    /// Its tokens have it without being asked.
    Default,
    /// Its tokens have it when they are asked for it.
    Optional,
}

/// The client scopes that a client has at the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scopes<'a> {
    pub(super) optional: &'a [String],
    pub(super) default: &'a [String],
    /// The default ones among them that we gave it, with spaces between them: the others, which are the realm's or somebody's, are not ours to take away.
    pub(super) given: &'a str,
}

/// Client scopes that a client has too many and too few.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) gone: Vec<(Assignment, String)>,
    pub(super) new: Vec<(Assignment, String)>,
}

/// The default client scopes that a client with these properties has.
pub(super) fn default(properties: &Properties) -> &[String] {
    let keycloak = properties.vendor.keycloak.as_ref();
    keycloak.map_or(&[], |keycloak| &keycloak.default_client_scopes)
}

/// All client scopes that it has.
pub(super) fn all(properties: &Properties) -> Vec<String> {
    [&properties.scopes, default(properties)].concat()
}

/// What has to change for a client that has these so that it has those of `properties`.
pub(super) fn changes(has: Scopes<'_>, properties: &Properties) -> Changes {
    let (optional, default) = (&properties.scopes, default(properties));
    let given = |scope: &str| scope != BASIC && has.given.split(' ').any(|given| given == scope);
    let mut changes = Changes::default();
    for scope in has.optional.iter().filter(|scope| !optional.contains(scope)) {
        changes.gone.push((Assignment::Optional, scope.clone()));
    }
    for scope in has.default.iter().filter(|scope| !default.contains(scope)) {
        // One that is to be asked for must not be a default one, whoever made it one.
        if given(scope) || optional.contains(scope) {
            changes.gone.push((Assignment::Default, scope.clone()));
        }
    }
    for (how, wanted, has) in [
        (Assignment::Optional, &optional[..], has.optional),
        (Assignment::Default, default, has.default),
    ] {
        let new = wanted.iter().filter(|scope| !has.contains(scope));
        changes.new.extend(new.map(|scope| (how, scope.clone())));
    }
    changes
}
