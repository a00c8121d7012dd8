//! A client as a simulated server has it.

use std::{cell::RefCell, collections::HashMap};

use appkeys::{
    api::{CredentialKind, Environment},
    key_manager::{Category, Error, Mark, NewSecret, Overlap, Room, private_key::PrivateKey},
};
use jiff::Timestamp;
use jsonwebtoken::jwk::Jwk;
use secrecy::{ExposeSecret as _, SecretString};

use super::{applications::Application, recorded::Recorded};

/// What a client proves itself with, as much of it as a server has.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Proof {
    /// A secret.
    Secret(String),
    /// The public part of a private key (RFC 7517).
    Key(Box<Jwk>),
}

impl Proof {
    /// That of `secret`, which is a private key in PEM where `kind` says so; none where it is neither.
    pub(super) fn of(kind: CredentialKind, secret: &str) -> Option<Self> {
        match kind {
            CredentialKind::Secret => Some(Self::Secret(secret.to_owned())),
            CredentialKind::PrivateKey => public(secret).map(|key| Self::Key(Box::new(key))),
            CredentialKind::Nothing => None,
        }
    }
}

/// The public part of a private key in PEM. Remembered, since it is asked for after each write.
pub(super) fn public(pem: &str) -> Option<Jwk> {
    if !pem.starts_with("-----BEGIN") {
        return None;
    }
    thread_local! {
        static KNOWN: RefCell<HashMap<String, Option<Jwk>>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        let read = || Some(PrivateKey::from_pem(&pem.to_owned().into()).ok()?.public().clone());
        known.entry(pem.to_owned()).or_insert_with(read).clone()
    })
}

/// Something that a client can prove itself with for a while.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) proof: Proof,
    pub(super) ends: Option<Timestamp>,
}

/// A client.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) mark: Option<Mark>,
    /// Its application and environment, where clients are in applications.
    pub(super) home: Option<(Application, Environment)>,
    /// What it proves itself with.
    pub(super) kind: CredentialKind,
    /// The newest last.
    pub(super) held: Vec<Held>,
    /// The number of its registration access token.
    pub(super) token: u32,
    /// Somebody changed it by hand.
    pub(super) changed: bool,
}

/// What became of a new secret.
pub(super) enum Added {
    Done,
    /// Another one is in the way.
    Occupied,
    /// It can have no second one.
    OneSecret,
}

impl Stored {
    /// Whether it proves itself with `secret`; a public client does with anything.
    pub(super) fn accepts(&self, secret: &str, now: Timestamp) -> bool {
        if self.kind == CredentialKind::Nothing {
            return true;
        }
        let proof = Proof::of(self.kind, secret);
        let live = self.held.iter().filter(|held| held.ends.is_none_or(|end| now < end));
        proof.is_some_and(|proof| live.into_iter().any(|held| held.proof == proof))
    }

    /// Its newest secret.
    pub(super) fn newest(&self) -> Option<(SecretString, Option<Timestamp>)> {
        match self.held.last()? {
            Held {
                proof: Proof::Secret(secret),
                ends,
            } => Some((secret.clone().into(), *ends)),
            Held {
                proof: Proof::Key(_), ..
            } => None,
        }
    }

    /// Gives it a new secret or key, as servers of this profile do it.
    pub(super) fn add(&mut self, facts: &Recorded, new: &NewSecret<'_>, now: Timestamp) -> Result<Added, Error> {
        let proof = |secret: &SecretString| Proof::of(new.kind, secret.expose_secret());
        let added = proof(new.secret).ok_or_else(|| Error::new(Category::InvalidRequest, "a damaged key"))?;
        let added = Held {
            proof: added,
            ends: None,
        };
        let published = new.published.and_then(proof);
        self.held.retain(|held| held.ends.is_none_or(|end| now < end));
        let is_published = |held: &Held| Some(&held.proof) == published.as_ref();
        let kept = match (facts.capabilities.with(new.kind).overlap, new.room) {
            (_, Room::Only) => None,
            (Overlap::None, _) => return Err(Error::new(Category::InvalidRequest, "a client has one secret")),
            // As Keycloak has it: the current secret moves aside, where a policy says so.
            (Overlap::ServerEnds, Room::Replace) if published.is_none() => None,
            (Overlap::ServerEnds, Room::Keep) if !self.held.last().is_some_and(is_published) => {
                return Ok(Added::Occupied);
            }
            (Overlap::ServerEnds, _) if !facts.two_secrets => return Ok(Added::OneSecret),
            (Overlap::ServerEnds, _) => published,
            // What is published stays; where that is not known, the oldest, which workloads may still hold.
            (Overlap::WeEnd, Room::Replace) if new.kind == CredentialKind::PrivateKey => published,
            (Overlap::WeEnd, Room::Replace) => {
                let known = self.held.iter().find(|held| is_published(held)).or(self.held.first());
                known.map(|held| held.proof.clone())
            }
            (Overlap::WeEnd, Room::Keep) => {
                let unknown = match (&published, new.kind) {
                    (None, CredentialKind::PrivateKey) => true,
                    (None, _) => false,
                    (Some(_), _) => !self.held.iter().any(is_published),
                };
                if unknown || self.held.len() == 2 {
                    return Ok(Added::Occupied);
                }
                self.held.first().map(|held| held.proof.clone())
            }
        };
        self.held = kept
            .map(|proof| Held { proof, ends: None })
            .into_iter()
            .chain([added])
            .collect();
        Ok(Added::Done)
    }

    /// Ends all secrets or keys but `current`.
    pub(super) fn retire(&mut self, facts: &Recorded, current: &str, end: Timestamp) -> Result<(), Error> {
        let current = Proof::of(self.kind, current);
        let is_current = |held: &Held| Some(&held.proof) == current.as_ref();
        let another = || Error::new(Category::NotYet, "it has another one than the published one");
        match (facts.capabilities.with(self.kind).overlap, self.kind) {
            // The published one may be the one that would end.
            (Overlap::ServerEnds, _) if self.held.len() < 2 || !self.held.last().is_some_and(is_current) => {}
            (Overlap::ServerEnds, _) => {
                for held in self.held.iter_mut().filter(|held| !is_current(held)) {
                    held.ends = Some(held.ends.map_or(end, |earlier| earlier.min(end)));
                }
            }
            (Overlap::WeEnd | Overlap::None, CredentialKind::PrivateKey) if !self.held.iter().any(is_current) => {
                return Err(another());
            }
            (Overlap::WeEnd | Overlap::None, _) => self.held.retain(is_current),
        }
        Ok(())
    }
}
