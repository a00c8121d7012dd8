//! Keys of applications: the mapping of (application, key type, key manager) to a client.

use serde_json::{Value, json};

use super::{Client, Kind, Secrets, Settings, Switch, Version, client::masked, connector::Wish, properties};
use crate::key_managers::double::Answer;

/// Production or sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyType {
    /// `PRODUCTION`.
    Production,
    /// `SANDBOX`.
    Sandbox,
}

impl KeyType {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Production => "PRODUCTION",
            Self::Sandbox => "SANDBOX",
        }
    }

    /// What a body says.
    pub(super) fn read(word: &str) -> Result<Self, Answer> {
        match word {
            "PRODUCTION" => Ok(Self::Production),
            "SANDBOX" => Ok(Self::Sandbox),
            _ => Err(Answer::bad(
                "One or more request body parameters contain disallowed values.",
            )),
        }
    }
}

/// How far a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It waits for approval.
    Created,
    /// It is approved, and its client is not there: in flight, or leaked by a failure.
    Approved,
    /// It was refused.
    Rejected,
    /// It has its client.
    Completed,
}

impl KeyState {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
            Self::Completed => "COMPLETED",
        }
    }
}

/// A key.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Its id: `keyMappingId`.
    pub mapping: String,
    /// Its application.
    pub application: String,
    /// Production or sandbox.
    pub key_type: KeyType,
    /// The id of its key manager.
    pub key_manager: String,
    /// The id of its client: none while it is partially created.
    pub client: Option<String>,
    /// How far it is.
    pub state: KeyState,
    /// Whether it was mapped to a client that was there before.
    pub mapped: bool,
    /// What its client is to be, once it is approved.
    pub(super) wish: Wish,
}

/// How a key is shown.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) settings: &'a Settings,
    /// The key manager: its name or its id, as the call has it.
    pub(super) key_manager: &'a str,
    pub(super) kind: Kind,
    /// Its client, where it was read.
    pub(super) client: Option<&'a Client>,
}

impl View<'_> {
    /// The answer that makes the client: with the secret.
    pub(super) fn generated(&self, key: &Key, token: Value) -> Value {
        let mut shown = self.read(key);
        if key.state == KeyState::Completed {
            shown["keyState"] = json!("APPROVED");
        }
        if let Some(client) = self.client {
            shown["consumerSecret"] = json!(client.secret());
            shown["additionalProperties"] = self.properties(client, true);
        }
        shown["token"] = token;
        shown
    }

    /// A read.
    pub(super) fn read(&self, key: &Key) -> Value {
        let client = self.client;
        let mut shown = json!({
            "keyMappingId": key.mapping,
            "keyManager": self.key_manager,
            "consumerKey": key.client,
            "consumerSecret": client.and_then(|client| self.secret(client)),
            "supportedGrantTypes": client.map(|client| &client.grants),
            "callbackUrl": client.and_then(|client| self.callback(client)),
            "keyState": key.state.name(),
            "keyType": key.key_type.name(),
            "mode": if key.mapped { "MAPPED" } else { "CREATED" },
            "groupId": null,
            "token": {"accessToken": "", "tokenScopes": ["default"], "validityTime": 3600},
            "additionalProperties": client.map_or(json!({}), |client| self.properties(client, false)),
        });
        if self.settings.version >= Version::V4_7 {
            // Filled by exports only.
            shown["consumerSecrets"] = json!([]);
        }
        shown
    }

    fn callback(&self, client: &Client) -> Option<String> {
        match self.kind {
            Kind::Resident => client.shown_callback(),
            Kind::Okta | Kind::Keycloak => Some(client.callback.clone()).filter(|uris| !uris.is_empty()),
        }
    }

    fn properties(&self, client: &Client, generated: bool) -> Value {
        match self.kind {
            Kind::Resident => properties::shown(client, self.settings, generated),
            Kind::Okta | Kind::Keycloak => Value::Object(client.others.clone()),
        }
    }

    /// The secret as a read shows it.
    fn secret(&self, client: &Client) -> Option<String> {
        let hashed = self.settings.has(Switch::HashedSecrets);
        match self.settings.secrets {
            // Okta's registration API shows a secret once.
            _ if self.kind == Kind::Okta => None,
            Secrets::Multiple(_) => Some(masked(client.secret(), hashed)),
            Secrets::Single if hashed => None,
            Secrets::Single => Some(client.secret().to_owned()),
        }
    }
}
