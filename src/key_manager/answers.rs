//! What the verbs of a driver are asked with and answer, but for tokens.

use jiff::Timestamp;
use secrecy::SecretString;

use super::Management;
use crate::api::CredentialKind;

/// Answer to a registration.
#[derive(Clone, Debug)]
pub enum Registered {
    /// A client was made.
    Made(Answer),
    /// A client of this id and with our mark was there already; its secret is unknown.
    Exists,
}

/// What a key manager says of a client that it made, or that it is asked for.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The client's id.
    pub id: String,
    /// Its secret.
    pub secret: SecretString,
    /// What manages it.
    pub management: Option<Management>,
    /// When the key manager ends the secret by itself, where it does.
    pub secret_ends: Option<Timestamp>,
    /// What was registered otherwise than asked, a sentence for each property; without secrets.
    pub differences: Vec<String>,
}

/// Answer to a new secret.
#[derive(Clone, Debug)]
pub enum SecretAdded {
    /// The secret works, and so does the published one where that was to go on working.
    Added(SecretString),
    /// The secret works, and the published one does not any more although it was to: workloads must get the new one at once.
    Alone(SecretString),
    /// This client has only one secret, whatever others at this key manager have; nothing was changed.
    OneSecret,
    /// Another secret, which is not the published one and has no end, is in the way: find out whether it was published, then ask to replace it.
    Occupied,
    /// There is no such client.
    NotThere,
}

/// Which secrets may go for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// None: say `Occupied`.
    Keep,
    /// Any that is not the published one.
    Replace,
    /// All: the new one is the only one from now on.
    Only,
}

/// A secret to add to a client; where it proves itself by a private key, that in PKCS#8 PEM.
#[derive(Clone, Debug)]
pub struct NewSecret<'a> {
    /// What the client proves itself with.
    pub kind: CredentialKind,
    /// The secret in the published Secret, where there is one.
    pub published: Option<&'a SecretString>,
    /// The version of the published one.
    pub published_version: i64,
    /// Our choice; the key manager's own where it chooses.
    pub secret: &'a SecretString,
    /// The version of the credential that it is to be: key managers that show no secret can keep that with it.
    pub version: i64,
    /// Which secrets may go for it.
    pub room: Room,
}

/// The secret that a client goes on with.
#[derive(Clone, Copy, Debug)]
pub struct Current<'a> {
    /// What the client proves itself with.
    pub kind: CredentialKind,
    /// It; a private key in PKCS#8 PEM.
    pub secret: &'a SecretString,
    /// The version of the credential that it is.
    pub version: i64,
}

/// Answer to a change or deletion.
#[derive(Clone, Debug)]
pub enum Changed {
    /// Done.
    Done(Outcome),
    /// There is no such client.
    NotThere,
    /// What manages this client (RFC 7592 section 3) is refused, or nothing does: the client is gone, or out of our reach.
    Refused,
    /// No client becomes this one that was made otherwise, for the reason given; another one can be made so. Nothing was changed.
    NeedsAnother(String),
}

impl Changed {
    /// Done, and nothing more to say.
    pub fn done() -> Self {
        Self::Done(Outcome::default())
    }
}

/// What a key manager says of a change.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// New management data, where the key manager changed them: the ones before may not work any more.
    pub management: Option<Management>,
    /// The client's secret, where the key manager tells it: another one than before if a change replaces it (RFC 7592 section 2.2).
    pub secret: Option<SecretString>,
    /// When the key manager ends that secret by itself, where it does.
    pub secret_ends: Option<Timestamp>,
    /// What is otherwise than asked, as in [`Answer::differences`].
    pub differences: Vec<String>,
}

/// Answer to a comparison.
#[derive(Clone, Debug)]
pub enum Compared {
    /// The fields that differ, and what manages the client from now on where that changed.
    Differs(Vec<String>, Option<Management>),
    /// There is no such client.
    NotThere,
    /// What manages this client is refused or missing.
    Refused,
}
