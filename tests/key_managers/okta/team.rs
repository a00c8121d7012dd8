//! Keys of a namespace with an Okta org of its own, and the org.

use std::ops::Deref;

use testbed::key_managers::okta::{App, Okta};

use super::trap::org;
pub(super) use crate::key_managers::team::{Entries, version, works};
use crate::key_managers::{beds::Bed, team};

/// A namespace with its own KeyManager.
pub(super) struct Team {
    pub(super) okta: Okta,
    team: team::Team,
}

impl Deref for Team {
    type Target = team::Team;

    fn deref(&self) -> &team::Team {
        &self.team
    }
}

impl Team {
    pub(super) async fn new(namespace: &'static str) -> Self {
        let okta = org().await;
        let team = team::Team::new(namespace, &Bed::okta(&okta)).await;
        Self { okta, team }
    }

    pub(super) fn app(&self, entries: &Entries) -> Option<App> {
        let all = self.okta.apps();
        all.into_iter().find(|app| app.client_id == entries["client-id"])
    }

    pub(super) fn by_hand(&self, entries: &Entries, change: impl FnOnce(&mut App)) {
        assert!(self.okta.app(&entries["client-id"], change));
    }

    /// For the end of a test: nothing of ours is left, and nothing passed that Okta's files do not have.
    pub(super) fn end(&self) {
        let all = ["-n", self.namespace, "delete", "akey", "--all", "--timeout=80s"];
        self.cluster.kubectl(&all);
        let left = self.okta.apps();
        assert!(left.iter().all(|app| app.profile.is_none()), "{left:?}");
        self.okta.audit().assert_clean();
    }
}
