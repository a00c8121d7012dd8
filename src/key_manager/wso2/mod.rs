//! WSO2 API Manager, by its Developer Portal API: an Application is an application there, and each of its environments one key
//! (consumer key and consumer secret) of one of the key managers inside WSO2.
//!
//! The traps of that API have numbers, W1 to W39: the test bed's double lists them.

mod application;
mod driver;
mod entry;
mod gone;
mod key;
mod keys;
mod lock;
mod login;
mod making;
mod open;
mod portal;
mod properties;
mod refusal;
mod removing;
mod rotating;
mod secrets;
mod slot;
mod words;

pub(super) use login::USER;
pub(super) use open::open;
