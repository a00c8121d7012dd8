//! The steps of a plan: each says everything that its execution needs, so that execution decides nothing.

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    observed::{Attempt, PlacedClient, Published, State},
    secret::Rendered,
};
use crate::{
    api::{AccessTokenSpec, Adopt, conditions::Say},
    key_manager::{Client, Properties, Room},
};

/// One effect, or the end of a pass.
#[derive(Clone, Debug)]
pub enum Step {
    /// Put our finalizer on the key, and a note where its first client is made.
    Begin(Option<PlacedClient>),
    /// Write status now: what follows must not be a surprise.
    Announce(Say),
    /// Replace the content of the state Secret; empty deletes it.
    WriteState(Box<State>),
    /// Read Secret and state of a new key live: a watch may have missed them.
    Look,
    /// Clear the state Secret of the deleted key of this name, but for its count of replacements: what it held is this
    /// key's now.
    HandOver(String),
    /// Put a new attempt id into the published Secret, so that a write from before it must conflict.
    Fence(Box<Published>),
    /// Note an attempt in the state Secret, make a client of given identity and store the answer at once.
    RegisterGiven(Properties),
    /// Look for the client that an attempt without an answer made.
    Find(Attempt),
    /// Make a client of chosen identity, with a fresh secret or the one given.
    Register {
        /// Which.
        client: Client,
        /// What it is given.
        properties: Properties,
        /// The published secret, where the client is made again.
        secret: Option<SecretString>,
    },
    /// Give a client its properties.
    Update {
        /// Which.
        client: Client,
        /// What it is given.
        properties: Properties,
    },
    /// Compare a client with what it should be.
    Compare {
        /// Which.
        client: Client,
        /// What it was given.
        properties: Properties,
        /// Whether it is made again where it is gone.
        correct: bool,
    },
    /// Give a client a fresh secret.
    AddSecret {
        /// Which.
        client: Client,
        /// The secret that is published.
        published: Option<SecretString>,
        /// Which secrets may go for it.
        room: Room,
    },
    /// Read the secret of a client.
    ReadSecret(Client),
    /// A public client is there and has no secret to be known: hold its id.
    HoldPublic(Client),
    /// Use what the team says is the secret of the client that is to be adopted.
    Prove(Adopt),
    /// Put our mark on a client that is proved to be the team's, and give it its properties.
    Adopt {
        /// Which.
        client: Client,
        /// What it is given.
        properties: Properties,
        /// Its secret.
        secret: SecretString,
    },
    /// Use the secret in hand once.
    Verify,
    /// Use the published secret once: somebody else may have written it.
    Check {
        /// The client's id.
        client_id: String,
        /// The secret in the published Secret.
        secret: SecretString,
    },
    /// Remember that the client is gone, and find out for how long and how many others are.
    NoteGone,
    /// Write a Secret: create it, or replace the one given.
    Publish {
        /// What to write.
        rendered: Box<Rendered>,
        /// What to replace, guarded by its resource version.
        replaces: Option<Box<Published>>,
        /// Whether it is the Secret of the access tokens.
        tokens: bool,
    },
    /// End all secrets of a client but the current one.
    Retire {
        /// Which.
        client: Client,
        /// The one that stays.
        current: SecretString,
        /// When the others end.
        end: Timestamp,
    },
    /// Ask for an access token with the published secret, or the one in hand.
    FetchToken {
        /// The client's id.
        client_id: String,
        /// Its secret.
        secret: SecretString,
        /// What to ask for.
        token: AccessTokenSpec,
    },
    /// Delete a client.
    DeleteClient(PlacedClient),
    /// Say what a key that goes now leaves behind, and note it in the state Secret.
    Entomb(Box<State>),
    /// Look for the client that an attempt of a deleted key made.
    FindLeft(Attempt),
    /// Delete a client of a deleted key; where that cannot be done now, only later.
    DeleteLeft(PlacedClient),
    /// Delete a Secret of ours, guarded by its uid and resource version.
    DeleteSecret(Box<Published>),
    /// Delete the Secret that had the credential under a former name, if it is this key's.
    DeleteFormer(String),
    /// Take our finalizer off the key.
    RemoveFinalizer,
    /// Nothing more to do now.
    Done(Vec<Say>),
}

impl Step {
    /// [`Self::WriteState`].
    pub fn write_state(state: State) -> Self {
        Self::WriteState(Box::new(state))
    }

    /// Whether it is to change something, rather than only to look.
    pub const fn changes(&self) -> bool {
        !matches!(
            self,
            Self::Look
                | Self::Compare { .. }
                | Self::ReadSecret(_)
                | Self::HoldPublic(_)
                | Self::Prove(_)
                | Self::Verify
                | Self::Check { .. }
                | Self::NoteGone
                | Self::FetchToken { .. }
                | Self::Done(_)
        )
    }

    /// The step's name, for logs and traces.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Begin(_) => "Begin",
            Self::Announce(_) => "Announce",
            Self::WriteState(_) => "WriteState",
            Self::Look => "Look",
            Self::HandOver(_) => "HandOver",
            Self::Fence(_) => "Fence",
            Self::RegisterGiven(_) => "RegisterGiven",
            Self::Find(_) => "Find",
            Self::Register { .. } => "Register",
            Self::Update { .. } => "Update",
            Self::Compare { .. } => "Compare",
            Self::AddSecret { .. } => "AddSecret",
            Self::ReadSecret(_) => "ReadSecret",
            Self::HoldPublic(_) => "HoldPublic",
            Self::Prove(_) => "Prove",
            Self::Adopt { .. } => "Adopt",
            Self::Verify => "Verify",
            Self::Check { .. } => "Check",
            Self::NoteGone => "NoteGone",
            Self::Publish { .. } => "Publish",
            Self::Retire { .. } => "Retire",
            Self::FetchToken { .. } => "FetchToken",
            Self::DeleteClient(_) => "DeleteClient",
            Self::Entomb(_) => "Entomb",
            Self::FindLeft(_) => "FindLeft",
            Self::DeleteLeft(_) => "DeleteLeft",
            Self::DeleteSecret(_) => "DeleteSecret",
            Self::DeleteFormer(_) => "DeleteFormer",
            Self::RemoveFinalizer => "RemoveFinalizer",
            Self::Done(_) => "Done",
        }
    }
}
