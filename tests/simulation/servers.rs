//! The simulated servers of a run.

use std::{collections::BTreeMap, sync::Arc};

use super::server::Server;

/// The servers by the name of their key manager.
#[derive(Clone, Default)]
pub(crate) struct Servers(pub(crate) BTreeMap<String, Arc<Server>>);

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Servers {
    /// Whether a client authenticates anywhere with this secret or private key.
    pub(crate) fn accept(&self, id: &str, secret: &str) -> bool {
        self.0.values().any(|server| server.accepts(id, secret))
    }

    /// Whether a client of one of them has this secret or private key and never used it.
    pub(crate) fn never_used(&self, id: &str, secret: &str) -> bool {
        let credential = (id.to_owned(), secret.to_owned());
        let knows = |server: &&Arc<Server>| server.accepts(id, secret);
        let at = self.0.values().find(knows);
        at.is_some_and(|server| !server.has_seen(&credential))
    }

    /// The ids of all clients.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.0.values().flat_map(|server| server.ids()).collect()
    }

    /// How many applications there are in which clients are kept.
    pub(crate) fn applications(&self) -> usize {
        self.0.values().map(|server| server.applications().len()).sum()
    }

    /// Whether clients of one of them are in applications.
    pub(crate) fn have_applications(&self) -> bool {
        self.0.values().any(|server| server.facts.capabilities.applications)
    }
}
