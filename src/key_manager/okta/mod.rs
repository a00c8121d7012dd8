//! Okta, by its Apps API: client ids and secrets are our choice, a client has two secrets, and its app carries its owner's mark.
//!
//! An app has an id of its own, by which all paths name it. It is found by its label, which is the client id: no two active apps
//! have the same one, so that the label is the lock too. What scopes a client may have is no part of its app: access policies of
//! the custom authorization server decide.

mod api;
mod app;
mod credentials;
mod driver;
mod login;
mod open;
mod refusal;
mod young;

pub(super) use open::{Operator, open};

#[cfg(test)]
mod tests;
