//! What a pass holds in memory since it began.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use secrecy::SecretString;

use super::observed::State;
use crate::{
    api::KeyManagerRef,
    key_manager::{Management, Token},
};

/// What a pass holds in memory: facts about calls that it made itself.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each learnt by one step"
)]
#[derive(Clone, Debug, Default)]
pub struct Hand {
    /// A secret that is registered and not published.
    pub credential: Option<InHand>,
    /// What a registration or change has made otherwise than asked; empty where all is as asked.
    pub differs: Option<String>,
    /// A client of our identity exists, with a secret that we do not know.
    pub exists: bool,
    /// The Secret and the state were read live in this pass; those of a new key are known from the watch alone.
    pub looked: bool,
    /// What the state Secret of the deleted key holds whose Secret this key takes over.
    pub released: Option<State>,
    /// An unpublished secret is in the way.
    pub occupied: bool,
    /// The client can have no second secret although others at its key manager can.
    pub one_secret: bool,
    /// The published Secret was fenced: a secret that is in the way cannot be published any more.
    pub fenced: bool,
    /// The pass before this one had a write without an answer: a publication may be on its way still.
    pub in_doubt: bool,
    /// Status says already that the key is not ready.
    pub announced: bool,
    /// The client was given its properties.
    pub updated: bool,
    /// A client that cannot become what is asked for, and why; another one can.
    pub needs_another: Option<(String, String)>,
    /// The old secret was given its end.
    pub retired: bool,
    /// What manages the client is refused, or the client is not found.
    pub unmanageable: bool,
    /// The client is gone by all that can be told.
    pub gone: Option<Gone>,
    /// The published secret was refused as `invalid_client`.
    pub refused: bool,
    /// The published secret, which somebody else may have written, works.
    pub checked: bool,
    /// The client is to be compared with what it should be.
    pub compare: bool,
    /// What of the client is not as it should be, where it was compared.
    pub compared: Option<Vec<String>>,
    /// Whether the client that is to be adopted is the team's.
    pub proof: Option<Proof>,
    /// Access tokens that are not published.
    pub tokens: BTreeMap<String, Token>,
    /// Access tokens that were refused, with the key manager's word.
    pub refused_tokens: BTreeMap<String, &'static str>,
    /// Attempts that were looked for in vain.
    pub not_found: BTreeSet<String>,
    /// Clients that this pass has deleted.
    pub deleted: BTreeSet<(KeyManagerRef, String)>,
    /// The deletion of the key has been tried for so long that the key goes and a tombstone stays.
    pub overdue: bool,
    /// Why cleaning up after a deleted key does not go on now.
    pub uncleaned: Option<String>,
}

/// Whether a client that is to be adopted is the team's.
#[derive(Clone, Debug)]
pub enum Proof {
    /// Its secret works.
    Good {
        /// The secret.
        secret: SecretString,
        /// What manages it, where it was registered dynamically.
        management: Option<Management>,
    },
    /// It does not, or it is missing.
    Refused(String),
}

/// Whether a client that was given `applied` and cannot be changed serves as well where it should have `wanted`: both are
/// [`properties_hash`](crate::plan::observed::Observed::properties_hash), and differ in names, or in where the key manager is.
pub fn may_stay(applied: &str, wanted: &str) -> bool {
    let nameless = |hash: &str| hash.split_once('.').map(|(_, nameless)| nameless.to_owned());
    nameless(applied).is_some_and(|applied| Some(applied) == nameless(wanted))
}

/// Whether a refusal is one that a key manager makes only after the client has proved itself. `unauthorized_client` is none: some
/// say it of every public client, whatever the secret.
pub fn proves(refusal: &str) -> bool {
    matches!(
        refusal,
        "access_denied" | "consent_required" | "invalid_grant" | "invalid_scope" | "invalid_target"
    )
}

/// How sure it is that a client is gone: both its management and its secret were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Seen for less than a minute: a server that just starts says the same.
    Perhaps,
    /// Seen again a minute later.
    Surely,
    /// Too many clients of the key manager are gone: it lost its data, and a person has to say what is meant.
    TooMany,
}

/// A secret that is registered and not published.
#[derive(Clone, Debug)]
pub struct InHand {
    /// The client's id.
    pub client_id: String,
    /// The secret.
    pub secret: SecretString,
    /// Whether it was used: `None` not yet, `Some(false)` could not be decided.
    pub verified: Option<bool>,
    /// Whether the secret before it goes on working.
    pub previous_works: bool,
    /// When the key manager ends the secret.
    pub secret_ends: Option<Timestamp>,
    /// Hash of the properties that an earlier pass gave the client; `None` where this one did.
    pub applied: Option<String>,
}

impl Hand {
    /// Why this client cannot become what is asked for.
    pub fn needs_another(&self, client_id: &str) -> Option<&str> {
        let (id, why) = self.needs_another.as_ref()?;
        (id == client_id).then_some(why)
    }
}
