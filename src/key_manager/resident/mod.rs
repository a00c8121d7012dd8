//! The resident key manager: an OAuth 2.0 authorization server for machine clients inside the operator.
//!
//! Its state is in Secrets of the operator's namespace: a record for each client, a set of signing keys for each key
//! manager, one certificate for the server. Every replica serves from them; only the leader writes them.

pub mod assertion;
pub mod attempts;
pub mod certificate;
pub mod driver;
pub mod http;
pub mod issuer;
pub mod keys;
pub mod record;
pub mod replays;
pub mod revocations;
pub mod server;
pub mod signer;
pub mod store;

mod follow;
mod open;
mod request;

pub use open::{CERTIFICATE_COMPONENT, ResidentKeyManagers, SIGNING_KEYS};
