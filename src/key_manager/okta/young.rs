//! What was made or deleted a moment ago: Okta's reads lag behind its writes, and what they do not show may be there all the same.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::digest::{SHA256, digest};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};

use crate::key_manager::{Category, Error};

/// Reads lag behind writes: a look a little later tells.
pub(super) fn not_shown(client_id: &str) -> Error {
    let text = format!("Okta does not show client {client_id} now, which says nothing within a minute of its making");
    Error::new(Category::NotYet, text)
}

/// How long reads may lag.
const LAG: SignedDuration = SignedDuration::from_mins(1);

/// What this process did in the last minute.
#[derive(Debug)]
pub(super) struct Young {
    /// Since when it sees all that is done here.
    since: Timestamp,
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    /// By client id.
    apps: BTreeMap<String, (App, Timestamp)>,
    /// The newest secret or private key of a client, as a digest: what it is is nobody's business here.
    credentials: BTreeMap<String, ([u8; 32], Timestamp)>,
}

/// An app of the last minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum App {
    /// It was made, with this id.
    Made(String),
    /// It was deleted.
    Deleted,
}

impl Young {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            since: now,
            all: Mutex::default(),
        }
    }

    /// An app was made or deleted.
    pub(super) fn app(&self, client_id: &str, app: App, now: Timestamp) {
        self.with(now, |all| {
            all.credentials.remove(client_id);
            all.apps.insert(client_id.to_owned(), (app, now));
        });
    }

    /// What was done to the app of this client id in the last minute.
    pub(super) fn of(&self, client_id: &str, now: Timestamp) -> Option<App> {
        self.with(now, |all| all.apps.get(client_id).map(|(app, _)| app.clone()))
    }

    /// Whether an app that reads do not show is not there: an earlier process may have made one just before this one began.
    pub(super) fn is_gone(&self, client_id: &str, now: Timestamp) -> bool {
        self.of(client_id, now) == Some(App::Deleted) || now.duration_since(self.since) >= LAG
    }

    /// A client was given this credential.
    pub(super) fn credential(&self, client_id: &str, credential: &SecretString, now: Timestamp) {
        let young = (hash(credential), now);
        self.with(now, |all| all.credentials.insert(client_id.to_owned(), young));
    }

    /// Whether a client was given this credential in the last minute.
    pub(super) fn is_young(&self, client_id: &str, credential: &SecretString, now: Timestamp) -> bool {
        let is = |(young, _): &([u8; 32], Timestamp)| *young == hash(credential);
        self.with(now, |all| all.credentials.get(client_id).is_some_and(is))
    }

    fn with<T>(&self, now: Timestamp, what: impl FnOnce(&mut All) -> T) -> T {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let young = |since: Timestamp| now.duration_since(since) < LAG;
        all.apps.retain(|_, (_, since)| young(*since));
        all.credentials.retain(|_, (_, since)| young(*since));
        what(&mut all)
    }
}

fn hash(credential: &SecretString) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, credential.expose_secret().as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_young_is_forgotten_after_a_minute_and_absence_is_believed_then() {
        let start = Timestamp::UNIX_EPOCH;
        let (soon, late) = (start + LAG / 2, start + LAG);
        let young = Young::new(start);
        let secret = SecretString::from("s");
        young.app("a", App::Made("0oa".to_owned()), start);
        young.app("b", App::Deleted, start);
        young.credential("a", &secret, start);
        assert_eq!(young.of("a", soon), Some(App::Made("0oa".to_owned())));
        assert!(young.is_young("a", &secret, soon) && !young.is_young("b", &secret, soon));
        assert!(!young.is_young("a", &"t".to_owned().into(), soon));
        assert!(young.is_gone("b", soon) && !young.is_gone("c", soon) && !young.is_gone("a", soon));
        assert_eq!((young.of("a", late), young.of("b", late)), (None, None));
        assert!(!young.is_young("a", &secret, late));
        assert!(young.is_gone("c", late));
    }
}
