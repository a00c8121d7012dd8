//! Decisions of the administrator over what waits for approval.

use super::{KeyState, State, application::Waiting};

/// What the administrator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Approve,
    /// No.
    Reject,
}

impl State {
    /// Decides over everything that waits.
    pub fn decide(&mut self, decision: Decision) {
        let applications: Vec<_> = self.applications.keys().cloned().collect();
        for id in applications {
            self.decide_application(&id, decision);
        }
        let keys: Vec<_> = self.keys.keys().cloned().collect();
        for mapping in keys {
            self.decide_key(&mapping, decision);
        }
    }

    /// Decides over what an application waits for.
    pub fn decide_application(&mut self, id: &str, decision: Decision) {
        let Some(application) = self.applications.get_mut(id) else {
            return;
        };
        let yes = decision == Decision::Approve;
        match application.waiting.take() {
            None => {}
            Some(Waiting::Creation) => application.status = if yes { "APPROVED" } else { "REJECTED" },
            Some(Waiting::Update(described)) => {
                if yes {
                    application.described = *described;
                }
                application.status = if yes { "APPROVED" } else { "UPDATE_REJECTED" };
            }
            Some(Waiting::Deletion) if yes => drop(self.remove_application(id)),
            Some(Waiting::Deletion) => application.status = "APPROVED",
        }
    }

    /// Decides over a key. Its client is made then, and its secret is shown to nobody.
    pub fn decide_key(&mut self, mapping: &str, decision: Decision) {
        let waits = |state: &KeyState| *state == KeyState::Created;
        let Some(key) = self.keys.get_mut(mapping).filter(|key| waits(&key.state)) else {
            return;
        };
        if decision == Decision::Reject {
            key.state = KeyState::Rejected;
            return;
        }
        key.state = KeyState::Approved;
        // A failure leaves the row as it is, approved and without a client.
        drop(self.make_client(mapping));
    }
}
