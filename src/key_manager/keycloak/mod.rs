//! Keycloak, by its Admin API: client ids and secrets are our choice, and a client carries its owner's mark.

mod admin;
mod driver;
mod open;
mod representation;
mod scopes;
mod words;

pub(super) use open::open;

#[cfg(test)]
mod tests;
