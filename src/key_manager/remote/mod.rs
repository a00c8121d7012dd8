//! What the drivers of remote key managers share: the way there, discovery, the token endpoint and the operator's own session.

mod address;
pub mod discovery;
pub mod dpop;
mod failure;
pub mod proof;
pub mod reply;
mod roots;
pub mod session;
#[cfg(test)]
pub(super) mod testing;
pub mod token;
pub mod way;

pub use discovery::{Metadata, discover};
pub use dpop::DpopKey;
pub use proof::{AssertionKey, ClientProof};
pub use reply::Reply;
pub(crate) use roots::built_in;
pub use session::{CredentialSource, Granting, Login, OperatorCredential, Session};
pub use token::{TokenEndpoint, invalid_client, use_code_that_cannot_exist};
pub use way::{Bounds, HttpClient, Way};

/// How long a call that was given up may still have its effect: by then its connection is closed at the server too.
pub const SETTLES: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);
