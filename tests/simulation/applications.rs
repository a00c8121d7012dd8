//! Applications of a simulated server that keeps clients in them: one client for each environment of an Application.

use std::{collections::BTreeSet, sync::MutexGuard};

use appkeys::{
    api::Environment,
    key_manager::{Category, Client, Error, IdForm},
};

use super::server::Server;

/// Which application: the cluster, the namespace, and the Application there.
pub(super) type Application = (String, String, String);

/// The application of a client.
fn of(client: &Client) -> Result<Application, Error> {
    if client.place.is_unknown() {
        return Err(Error::new(
            Category::InvalidRequest,
            "it is not known to which Application it belongs",
        ));
    }
    let mark = &client.mark;
    Ok((
        mark.cluster_id.clone(),
        mark.namespace.clone(),
        client.place.application.clone(),
    ))
}

/// What a server has of them.
pub(super) type Applications = BTreeSet<Application>;

impl Server {
    /// The applications in which it keeps clients, where it does.
    pub(super) fn applications(&self) -> MutexGuard<'_, Applications> {
        self.applications.lock().unwrap()
    }

    /// Makes the application of a client, where it is not there.
    pub(super) fn make_application(&self, client: &Client) -> Result<(), Error> {
        let application = of(client)?;
        self.applications().insert(application);
        Ok(())
    }

    /// Where a new client would be, once its application is there; `None` where clients are in none.
    pub(super) fn home(&self, client: &Client) -> Result<Option<(Application, Environment)>, Error> {
        let can = &self.facts.capabilities;
        let word = client
            .id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if can.client_ids == IdForm::Word && (!word || !(15..=30).contains(&client.id.len())) {
            return Err(Error::new(
                Category::InvalidRequest,
                "an id is 15 to 30 letters, digits and '_'",
            ));
        }
        if !can.applications {
            return Ok(None);
        }
        let application = of(client)?;
        if !self.applications().contains(&application) {
            return Err(Error::new(Category::NotYet, "the application is not there any more"));
        }
        Ok(Some((application, client.place.environment)))
    }

    /// Deletes the application of a client, where it is the last one's. A server would delete what is in it too: to look first, and
    /// to let nobody make one meanwhile, is the real driver's part.
    pub(super) fn delete_empty_application(&self, client: &Client) -> Result<(), Error> {
        let application = of(client)?;
        let clients = self.clients();
        let mut homes = clients.values().filter_map(|client| client.home.as_ref());
        if !homes.any(|(home, _)| *home == application) {
            self.applications().remove(&application);
        }
        Ok(())
    }
}
