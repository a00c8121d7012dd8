//! What a key manager inside WSO2 does when WSO2 asks it: the resident one, and the connectors with their faults.

use serde_json::{Map, Value};

use super::{Client, ClientSecret, KeyManager, Kind, Settings, Trouble, client::random, properties};
use crate::key_managers::double::Answer;

/// A client as a key asks for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wish {
    pub(super) owner: String,
    pub(super) name: String,
    pub(super) grants: Vec<String>,
    pub(super) callback: Option<String>,
    /// Credentials that were chosen.
    pub(super) id: Option<String>,
    pub(super) secret: Option<String>,
    pub(super) properties: Map<String, Value>,
}

/// Why a key manager did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// A failure that the caller handles, and that has no code.
    Checked,
    /// An answer 400 of Okta's, which its connector passes on.
    Okta400,
    /// The Keycloak connector throws what nobody catches.
    Unchecked,
}

impl Failure {
    /// What generate-keys makes of it.
    pub(super) fn of_generation(self) -> Answer {
        match self {
            Self::Okta400 => Answer::error(400, 902_003, "Key Manager responded with a bad request"),
            Self::Checked | Self::Unchecked => Answer::general(),
        }
    }

    /// What other calls make of it.
    pub(super) fn of_call(self) -> Answer {
        match self {
            Self::Unchecked => Answer::internal(),
            other => other.of_generation(),
        }
    }
}

impl KeyManager {
    fn reached(&self) -> Result<(), Failure> {
        let unchecked = self.kind == Kind::Keycloak && !self.has(Trouble::NotLoaded);
        match () {
            () if !self.answers() && unchecked => Err(Failure::Unchecked),
            () if !self.answers() => Err(Failure::Checked),
            () if self.has(Trouble::Refusing) && self.kind == Kind::Okta => Err(Failure::Okta400),
            () if self.has(Trouble::Refusing) => Err(Failure::Checked),
            () => Ok(()),
        }
    }

    /// Reads a client. One that was deleted there is a failure like any other.
    pub(super) fn read(&self, id: &str) -> Result<&Client, Failure> {
        self.reached()?;
        self.clients.get(id).ok_or(self.missing())
    }

    fn missing(&self) -> Failure {
        if self.kind == Kind::Keycloak {
            Failure::Unchecked
        } else {
            Failure::Checked
        }
    }

    /// Makes a client.
    pub(super) fn create(&mut self, wish: &Wish, settings: &Settings, now: i64) -> Result<Client, Failure> {
        self.reached()?;
        let resident = self.kind == Kind::Resident;
        if resident && self.clients.values().any(|client| client.name == wish.name) {
            return Err(Failure::Checked);
        }
        // The other vendors' servers choose id and secret themselves.
        let id = match wish.id.as_ref().filter(|_| resident) {
            Some(id) if !is_good_id(id) || self.clients.contains_key(id) => return Err(Failure::Checked),
            Some(id) => id.clone(),
            None => random(),
        };
        let secret = match wish.secret.as_ref().filter(|_| resident && wish.id.is_some()) {
            Some(secret) => ClientSecret::of(secret),
            None => ClientSecret::random(),
        };
        let mut client = Client::new(id, wish.name.clone(), wish.owner.clone(), secret);
        client.grants.clone_from(&wish.grants);
        client.callback = wish.callback.clone().unwrap_or_default();
        if resident {
            properties::apply(&mut client, &wish.properties, settings);
            properties::first_secret(&mut client, &wish.properties, settings, now);
        } else {
            client.others.clone_from(&wish.properties);
        }
        self.clients.insert(client.id.clone(), client.clone());
        Ok(client)
    }

    /// Changes a client.
    pub(super) fn update(&mut self, id: &str, wish: &Wish, settings: &Settings) -> Result<Client, Failure> {
        self.read(id)?;
        let (kind, missing) = (self.kind, self.missing());
        // Keycloak's registration API wants the id in the body, where the connector does not put it.
        if kind == Kind::Keycloak && wish.properties.get("client_id").and_then(Value::as_str) != Some(id) {
            return Err(Failure::Unchecked);
        }
        let client = self.clients.get_mut(id).ok_or(missing)?;
        match kind {
            Kind::Resident => {
                if !wish.grants.is_empty() {
                    client.grants.clone_from(&wish.grants);
                }
                // It cannot be cleared by leaving it out, and the word "null" is none.
                if let Some(callback) = wish.callback.as_ref().filter(|uri| !uri.is_empty() && *uri != "null") {
                    client.callback.clone_from(callback);
                }
                properties::apply(client, &wish.properties, settings);
            }
            Kind::Okta | Kind::Keycloak => {
                client.grants.clone_from(&wish.grants);
                client.callback = wish.callback.clone().unwrap_or_default();
                client.others.clone_from(&wish.properties);
                // A full replacement: without the secret in the properties Okta makes another one.
                if kind == Kind::Okta {
                    let given = wish.properties.get("client_secret").and_then(Value::as_str);
                    client.secrets = vec![given.map_or_else(ClientSecret::random, ClientSecret::of)];
                }
            }
        }
        Ok(client.clone())
    }

    /// Deletes a client. One that is gone already is a failure.
    pub(super) fn delete(&mut self, id: &str) -> Result<(), Failure> {
        self.read(id)?;
        self.clients.remove(id);
        Ok(())
    }
}

/// The resident key manager's pattern of chosen ids.
fn is_good_id(id: &str) -> bool {
    (15..=30).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
