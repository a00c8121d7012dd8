//! Where a client's key is: in the application that is the Application's, one for each environment.

use std::sync::PoisonError;

use super::{
    application::Which,
    driver::Wso2Driver,
    key::{Key, State},
};
use crate::key_manager::{Choice, Client, Error, Properties};

/// The key of one environment in an application.
pub(super) struct Slot {
    pub(super) application: String,
    pub(super) key: Key,
}

impl Slot {
    pub(super) fn is_of(&self, client: &Client) -> bool {
        self.key.state() == State::Client(&client.id)
    }
}

impl Wso2Driver {
    pub(super) fn chooses(&self) -> bool {
        self.capabilities.client_id == Choice::Ours
    }

    pub(super) fn remember(&self, which: &Which, application: Option<&str>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match application {
            Some(id) => drop(known.insert(which.hash.clone(), id.to_owned())),
            None => drop(known.remove(&which.hash)),
        }
    }

    pub(super) fn known(&self, which: &Which) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&which.hash).cloned()
    }

    /// The application's id where it is there, by memory or by looking.
    pub(super) async fn application_id(&self, which: &Which) -> Result<Option<String>, Error> {
        if let Some(known) = self.known(which) {
            return Ok(Some(known));
        }
        let found = self.portal.find_application(which).await?;
        self.remember(which, found.as_ref().map(|found| found.id.as_str()));
        Ok(found.map(|found| found.id))
    }

    /// The keys of an application by its id; one that is not there any more is forgotten.
    pub(super) async fn keys(&self, which: &Which, application: &str) -> Result<Option<Vec<Key>>, Error> {
        let keys = self.portal.keys(application).await?;
        if keys.is_none() {
            self.remember(which, None);
        }
        Ok(keys)
    }

    /// The key of the client's environment, whoever's it is.
    pub(super) async fn slot(&self, client: &Client) -> Result<Option<Slot>, Error> {
        let which = Which::of(client)?;
        // What is remembered may have been deleted there.
        for _ in 0..2 {
            let Some(application) = self.application_id(&which).await? else {
                return Ok(None);
            };
            if let Some(keys) = self.keys(&which, &application).await? {
                let key = self.of_environment(keys, client);
                return Ok(key.map(|key| Slot { application, key }));
            }
        }
        Ok(None)
    }

    pub(super) fn of_environment(&self, keys: Vec<Key>, client: &Client) -> Option<Key> {
        let environment = client.place.environment;
        keys.into_iter().find(|key| key.is_of(environment, &self.entry))
    }

    /// The key of exactly this client.
    pub(super) async fn owned(&self, client: &Client) -> Result<Option<Slot>, Error> {
        match self.slot(client).await? {
            Some(slot) if slot.is_of(client) => Ok(Some(slot)),
            Some(slot) => match slot.key.state() {
                State::Client(_) => Err(self.taken(client)),
                State::Waits => Err(Self::waits(client)),
                State::Rejected | State::Leaked => Ok(None),
            },
            None => Ok(None),
        }
    }

    /// The application, ready for keys, with its keys; made where it is not there.
    pub(super) async fn home(&self, which: &Which, properties: &Properties) -> Result<(String, Vec<Key>), Error> {
        if let Some(known) = self.known(which)
            && let Some(keys) = self.keys(which, &known).await?
        {
            return Ok((known, keys));
        }
        let (found, made) = self.portal.application(which, properties, &self.policy).await?;
        self.remember(which, Some(&found.id));
        let keys = if made {
            vec![]
        } else {
            self.keys(which, &found.id).await?.unwrap_or_default()
        };
        Ok((found.id, keys))
    }
}
