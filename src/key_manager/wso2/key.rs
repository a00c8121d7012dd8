//! A key of an application, as WSO2 has it: what is read of it, and what is written.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{entry::Entry, properties};
use crate::{
    api::{Environment, GrantType},
    key_manager::{Category, Error, Properties},
};

/// The grant of a client that may do nothing: where a key cannot be deleted (W30) it gets this one alone.
const DEAD: &str = "refresh_token";

/// A key.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Key {
    #[serde(rename = "keyMappingId")]
    id: Option<String>,
    /// A name, or an id (W15).
    #[serde(rename = "keyManager")]
    manager: Option<String>,
    /// The client's id; none while the key waits, or was leaked by a failure (W6).
    #[serde(rename = "consumerKey")]
    client: Option<String>,
    #[serde(rename = "consumerSecret")]
    secret: Option<SecretString>,
    #[serde(rename = "supportedGrantTypes")]
    grants: Option<Vec<String>>,
    #[serde(rename = "callbackUrl")]
    callback: Option<String>,
    #[serde(rename = "keyState")]
    state: Option<String>,
    #[serde(rename = "keyType")]
    kind: Option<String>,
    mode: Option<String>,
    #[serde(rename = "additionalProperties")]
    properties: Option<Value>,
}

/// How far a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State<'a> {
    /// It has this client.
    Client(&'a str),
    /// An administrator has to approve it.
    Waits,
    /// An administrator has refused it.
    Rejected,
    /// A failure has left it without a client, or it is being made just now.
    Leaked,
}

impl Key {
    /// Its own id.
    pub(super) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    pub(super) fn state(&self) -> State<'_> {
        match (self.client.as_deref(), self.state.as_deref()) {
            (Some(id), _) if !id.is_empty() => State::Client(id),
            (_, Some("CREATED")) => State::Waits,
            (_, Some("REJECTED")) => State::Rejected,
            _ => State::Leaked,
        }
    }

    /// Whether it is that of an environment at a key manager.
    pub(super) fn is_of(&self, environment: Environment, entry: &Entry) -> bool {
        self.kind.as_deref() == Some(key_type(environment))
            && self.manager.as_deref().is_some_and(|name| entry.is_called(name))
    }

    /// Whether its client was there before it: WSO2 never deletes such a one.
    pub(super) fn is_mapped(&self) -> bool {
        self.mode.as_deref() == Some("MAPPED")
    }

    /// Its secret, where WSO2 shows it: of several secrets there are masks only (W9), of digests nothing (W16).
    pub(super) fn secret(&self) -> Option<SecretString> {
        let secret = self.secret.as_ref()?.expose_secret();
        (!secret.is_empty() && !is_mask(secret)).then(|| secret.to_owned().into())
    }

    /// Whether it stands for a key that is deleted and that WSO2 could not delete.
    pub(super) fn is_dead(&self) -> bool {
        self.grants.as_deref() == Some(&[DEAD.to_owned()])
    }

    /// What of it is otherwise than `properties` say, a sentence for each.
    pub(super) fn differences(&self, properties: &Properties, entry: &Entry) -> Vec<String> {
        let mut all = vec![];
        let has: BTreeSet<_> = self.grants.iter().flatten().cloned().collect();
        let wanted: BTreeSet<_> = grants(properties).into_iter().collect();
        if has != wanted {
            all.push(format!("grant types: asked for {}, got {}", list(&wanted), list(&has)));
        }
        let has = self.callbacks();
        let wanted: BTreeSet<_> = properties.redirect_uris.iter().cloned().collect();
        if has != wanted {
            all.push(format!(
                "redirect URIs: asked for {}, got {}",
                list(&wanted),
                list(&has)
            ));
        }
        let read = match &self.properties {
            Some(Value::Object(all)) => all.clone(),
            _ => Map::new(),
        };
        all.extend(properties::differences(&read, properties, entry));
        all
    }

    /// Redirect URIs: several are read back as a pattern (W26), and the word `null` is none.
    fn callbacks(&self) -> BTreeSet<String> {
        let text = self.callback.as_deref().unwrap_or_default();
        let pattern = text.strip_prefix("regexp=(").and_then(|rest| rest.strip_suffix(')'));
        let (text, between) = pattern.map_or((text, ','), |text| (text, '|'));
        let uris = text.split(between).map(str::trim);
        uris.filter(|uri| !uri.is_empty() && *uri != "null")
            .map(str::to_owned)
            .collect()
    }
}

/// Some characters of a secret and then asterisks.
fn is_mask(secret: &str) -> bool {
    let stars = secret.trim_start_matches(|c| c != '*');
    let shown = secret.len() - stars.len();
    !stars.is_empty() && shown <= 3 && stars.chars().all(|c| c == '*')
}

fn list(all: &BTreeSet<String>) -> String {
    if all.is_empty() {
        return "none".to_owned();
    }
    all.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// WSO2's word for an environment.
pub(super) const fn key_type(environment: Environment) -> &'static str {
    match environment {
        Environment::Production => "PRODUCTION",
        Environment::Sandbox => "SANDBOX",
    }
}

fn grants(properties: &Properties) -> Vec<String> {
    let name = |grant: &GrantType| match grant {
        GrantType::ClientCredentials => "client_credentials",
        GrantType::AuthorizationCode => "authorization_code",
        GrantType::RefreshToken => "refresh_token",
    };
    properties
        .grant_types
        .iter()
        .map(|grant| name(grant).to_owned())
        .collect()
}

/// Redirect URIs as they are sent: WSO2 takes several with commas between them.
fn callback(properties: &Properties) -> Result<Option<String>, Error> {
    if let Some(uri) = properties.redirect_uris.iter().find(|uri| uri.contains(',')) {
        let text = format!("redirect URI {uri} has a comma, with which WSO2 separates several: choose another one");
        return Err(Error::new(Category::InvalidRequest, text));
    }
    let all = properties.redirect_uris.join(",");
    Ok((!all.is_empty()).then_some(all))
}

/// What makes a key. `chosen`: its client's id and secret, where we choose them.
pub(super) fn creation(
    environment: Environment,
    properties: &Properties,
    entry: &Entry,
    chosen: Option<(&str, &SecretString)>,
) -> Result<Value, Error> {
    let mut body = json!({
        "keyType": key_type(environment),
        "keyManager": entry.id,
        "grantTypesToBeSupported": grants(properties),
        "scopes": [],
        "validityTime": "3600",
        "additionalProperties": properties::sent(properties, entry, properties::Sent::New)?,
    });
    if let Some(callback) = callback(properties)? {
        body["callbackUrl"] = callback.into();
    }
    if let Some((id, secret)) = chosen {
        body["clientId"] = id.into();
        if !secret.expose_secret().is_empty() {
            body["clientSecret"] = secret.expose_secret().into();
        }
    }
    Ok(body)
}

/// A key that WSO2 refuses, once it has looked whether there is one: one with logins that return nowhere.
pub(super) fn impossible(environment: Environment, entry: &Entry) -> Value {
    json!({
        "keyType": key_type(environment), "keyManager": entry.id, "grantTypesToBeSupported": ["authorization_code"],
        "additionalProperties": properties::any(entry),
    })
}

/// What makes a key for a client that is there.
pub(super) fn mapping(environment: Environment, entry: &Entry, id: &str, secret: &SecretString) -> Value {
    json!({
        "keyType": key_type(environment), "keyManager": entry.id, "consumerKey": id,
        "consumerSecret": secret.expose_secret(),
    })
}

/// What changes a key.
pub(super) fn change(key: &Key, id: &str, properties: &Properties, entry: &Entry) -> Result<Value, Error> {
    let mut body = json!({
        "keyMappingId": key.id(), "keyManager": entry.id,
        "supportedGrantTypes": grants(properties),
        "additionalProperties": properties::sent(properties, entry, properties::Sent::Change(id))?,
    });
    if let Some(callback) = callback(properties)? {
        body["callbackUrl"] = callback.into();
    }
    Ok(body)
}

/// What takes everything from a client that cannot be deleted.
pub(super) fn death(key: &Key, id: &str, entry: &Entry) -> Value {
    let properties = if entry.is_resident() {
        json!({})
    } else {
        json!({"client_id": id})
    };
    json!({"keyMappingId": key.id(), "keyManager": entry.id, "supportedGrantTypes": [DEAD], "additionalProperties": properties})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w9_a_mask_is_no_secret() {
        for (shown, secret) in [
            ("abc*************", false),
            ("****************", false),
            ("a*", false),
            ("*", false),
            ("", false),
            ("a*bcdefgh", true),
            ("abcd************", true),
            ("GfP3yQk0", true),
        ] {
            let key = Key {
                secret: Some(shown.to_owned().into()),
                ..Key::default()
            };
            assert_eq!(key.secret().is_some(), secret, "{shown}");
        }
    }

    #[test]
    fn w26_callbacks_are_a_set_however_they_are_read_back() {
        let two = ["https://a.example/x", "https://b.example/y"];
        for (text, uris) in [
            (None, &[][..]),
            (Some(""), &[]),
            (Some("null"), &[]),
            (Some("https://a.example/x"), &two[..1]),
            (Some("https://b.example/y,https://a.example/x"), &two),
            (Some("regexp=(https://a.example/x|https://b.example/y)"), &two),
        ] {
            let key = Key {
                callback: text.map(str::to_owned),
                ..Key::default()
            };
            assert_eq!(
                key.callbacks(),
                uris.iter().map(|uri| (*uri).to_owned()).collect(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_key_without_a_client_waits_or_was_refused_or_leaked() {
        for (state, expected) in [
            (Some("CREATED"), State::Waits),
            (Some("REJECTED"), State::Rejected),
            (Some("APPROVED"), State::Leaked),
            (None, State::Leaked),
        ] {
            let key = Key {
                client: Some(String::new()),
                state: state.map(str::to_owned),
                ..Key::default()
            };
            assert_eq!(key.state(), expected);
        }
        let key = Key {
            client: Some("id".to_owned()),
            state: Some("CREATED".to_owned()),
            ..Key::default()
        };
        assert_eq!(key.state(), State::Client("id"));
    }
}
