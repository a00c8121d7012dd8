//! How a key is made and changed, and what became of that where it failed.

use secrecy::SecretString;
use serde_json::Value;

use super::{
    application::Which,
    driver::Wso2Driver,
    key::{self, Key, State},
    keys::Made,
    slot::Slot,
    words,
};
use crate::{
    api::CredentialKind,
    key_manager::{Answer, Category, Changed, Client, Error, Outcome, Properties},
};

impl Wso2Driver {
    /// Makes the key of a client's environment where none is; or finds out what a call that failed has made. The caller holds the
    /// application's lock.
    pub(super) async fn make(&self, client: &Client, application: &str, body: &Value) -> Result<Made, Error> {
        let made = self.portal.make_key(application, "generate-keys", body).await?;
        let (Made::Failed(error) | Made::Exists(error)) = &made else {
            return Ok(made);
        };
        // It may have left a row (W6), or all that was asked for (W33).
        let keys = self.portal.keys(application).await?.unwrap_or_default();
        let Some(key) = self.of_environment(keys, client) else {
            return Err(match &made {
                Made::Exists(_) => self.hidden(client),
                _ => self.explained(client, error).await?,
            });
        };
        match key.state() {
            State::Client(id) if self.chooses() && id != client.id => Err(self.taken(client)),
            State::Client(_) if matches!(made, Made::Exists(_)) && !self.chooses() => Err(self.taken(client)),
            State::Client(_) => Ok(Made::Key(Box::new(key))),
            State::Waits => Err(Self::waits(client)),
            State::Rejected => Err(Self::rejected(client)),
            State::Leaked => {
                self.portal.clean_up(application, key.id()).await?;
                Err(self.explained(client, error).await?)
            }
        }
    }

    /// Why no client was made: one of this id may be there, where no key of the application has it.
    pub(super) async fn explained(&self, client: &Client, error: &Error) -> Result<Error, Error> {
        if error.category != Category::NotYet || !self.chooses() || self.is_gone(client).await? {
            return Ok(error.clone());
        }
        let text = format!(
            "there is a client {} in WSO2 already, and no key of application {} has it: it is another's, or a call that failed half way has left it; whoever runs WSO2 can delete it, or choose another spec.clientId",
            client.id, client.place.application
        );
        Ok(Error::new(Category::ClientConflict, text))
    }

    /// A client that was made: its id, and its secret as far as that is known.
    pub(super) fn answer(
        &self,
        client: &Client,
        properties: &Properties,
        secret: &SecretString,
        key: &Key,
    ) -> Result<Answer, Error> {
        let id = match key.state() {
            State::Client(id) => id.to_owned(),
            State::Waits => return Err(Self::waits(client)),
            State::Rejected | State::Leaked => {
                return Err(Error::new(Category::NotYet, "WSO2 made a key without a client"));
            }
        };
        let shown = key.secret();
        let none = properties.authentication.credential() == CredentialKind::Nothing;
        let secret = match shown {
            _ if none => SecretString::default(),
            Some(shown) => shown,
            None if self.chooses() => secret.clone(),
            None => return Err(words::unreadable(client)),
        };
        Ok(Answer {
            id,
            secret,
            management: None,
            secret_ends: None,
            differences: key.differences(properties, &self.entry),
        })
    }

    /// Gives a client that is ours these properties, and its application its own.
    pub(super) async fn give(
        &self,
        which: &Which,
        slot: &Slot,
        client: &Client,
        properties: &Properties,
    ) -> Result<Changed, Error> {
        if let Some(found) = self.portal.find_application(which).await? {
            self.portal.describe(which, &found, properties, &self.policy).await?;
        }
        let body = key::change(&slot.key, &client.id, properties, &self.entry)?;
        let now = self.portal.change_key(&slot.application, slot.key.id(), &body).await?;
        Ok(Changed::Done(Outcome {
            differences: now.differences(properties, &self.entry),
            ..Outcome::default()
        }))
    }
}
