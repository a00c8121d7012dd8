//! `additionalProperties` of a key: sent as strings, read back as numbers and booleans (W10).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::entry::{Entry, Setting};
use crate::{
    api::{ClientAuthentication, CredentialKind},
    key_manager::{Category, Error, Properties},
};

/// The server's own value.
const DEFAULT: &str = "N/A";
/// A life that any administrator is likely to allow, in seconds.
const USUAL: i64 = 3600;

/// The description of a client's first secret, where it can have several.
pub(super) const FIRST_SECRET: &str = "appkeys, first";

/// What properties are sent for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sent<'a> {
    /// A new key.
    New,
    /// A change of the key with this client.
    Change(&'a str),
}

/// Lives of tokens by the property's name; asked for or not.
fn lives(properties: &Properties) -> [(&'static str, Option<i64>); 4] {
    let access = properties.access_token_lifetime;
    [
        ("application_access_token_expiry_time", access),
        ("user_access_token_expiry_time", access),
        ("refresh_token_expiry_time", properties.refresh_token_lifetime),
        ("id_token_expiry_time", properties.id_token_lifetime),
    ]
}

/// What apps need to log in with, by the property's name.
fn flags(properties: &Properties) -> [(&'static str, bool); 3] {
    let pkce = properties.pkce.unwrap_or_default();
    let public = properties.authentication.credential() == CredentialKind::Nothing;
    [
        ("pkceMandatory", pkce.required),
        ("pkceSupportPlain", pkce.allow_plain),
        ("bypassClientCredentials", public),
    ]
}

/// The properties of a key, as its key manager inside WSO2 knows them: others are refused or dropped.
///
/// # Errors
/// `InvalidRequest` names what is asked for and cannot be had, or the other way round.
pub(super) fn sent(properties: &Properties, entry: &Entry, sent: Sent<'_>) -> Result<Map<String, Value>, Error> {
    let mut all = if entry.is_resident() {
        of_resident(properties, entry)?
    } else {
        of_connector(properties, entry)?
    };
    match sent {
        Sent::New if entry.is_resident() && entry.keeps_several_secrets() => {
            all.insert("client_secret_description".to_owned(), FIRST_SECRET.into());
        }
        // Without it the Keycloak connector's change is refused there (W37).
        Sent::Change(id) if !entry.is_resident() => {
            all.insert("client_id".to_owned(), id.into());
        }
        Sent::New | Sent::Change(_) => {}
    }
    Ok(all)
}

/// What WSO2 refuses for no property.
pub(super) fn any(entry: &Entry) -> Map<String, Value> {
    let constrained = entry
        .settings()
        .filter_map(|setting| Some((setting.name.clone(), allowed(setting)?.to_string().into())));
    let required = entry
        .settings()
        .filter(|setting| setting.required == Some(true) && !entry.is_resident());
    let required = required.map(|setting| {
        let default = setting.default.as_str().filter(|text| !text.is_empty());
        (setting.name.clone(), default.unwrap_or("any").into())
    });
    constrained.chain(required).collect()
}

/// What the team asks for by WSO2's own names.
fn by_hand(properties: &Properties) -> BTreeMap<String, String> {
    let block = properties.vendor.wso2.as_ref();
    block.map(|block| block.properties.clone()).unwrap_or_default()
}

fn of_resident(properties: &Properties, entry: &Entry) -> Result<Map<String, Value>, Error> {
    let mut all = Map::new();
    for (name, life) in lives(properties) {
        if let Some(setting) = entry.setting(name) {
            // What is left out keeps its value, so that each is said.
            let text = life
                .or_else(|| allowed(setting))
                .map_or_else(|| DEFAULT.to_owned(), |life| life.to_string());
            all.insert(name.to_owned(), text.into());
        }
    }
    for (name, flag) in flags(properties) {
        if entry.setting(name).is_some() {
            // A JSON boolean would be ignored without a word.
            all.insert(name.to_owned(), flag.to_string().into());
        } else if flag {
            let text = format!("this version of WSO2 does not know the property {name}");
            return Err(Error::new(Category::InvalidRequest, text));
        }
    }
    if !properties.scopes.is_empty() {
        all.insert("application_scopes".to_owned(), properties.scopes.clone().into());
    }
    all.extend(
        by_hand(properties)
            .into_iter()
            .map(|(name, value)| (name, value.into())),
    );
    Ok(all)
}

/// A life that the administrator's condition allows, where there is one: the property must be there then (W35).
fn allowed(setting: &Setting) -> Option<i64> {
    let value = &setting.constraint.as_ref()?.value;
    let bound = |name: &str| value[name].as_i64().or_else(|| value[name].as_str()?.parse().ok());
    let (min, max) = (bound("min"), bound("max"));
    Some(USUAL.min(max.unwrap_or(i64::MAX)).max(min.unwrap_or(i64::MIN)))
}

fn of_connector(properties: &Properties, entry: &Entry) -> Result<Map<String, Value>, Error> {
    let given = by_hand(properties);
    let method = match properties.authentication {
        ClientAuthentication::ClientSecretPost => "client_secret_post",
        _ => "client_secret_basic",
    };
    let mut all = Map::new();
    for setting in entry.settings() {
        let ours = (setting.name == "token_endpoint_auth_method").then_some(method);
        let default = setting.default.as_str();
        let value = given.get(&setting.name).map(String::as_str).or(ours).or(default);
        let value = value.filter(|value| !value.is_empty());
        match value {
            Some(value) if setting.multiple == Some(true) => {
                let values: Vec<_> = value.split([',', ' ']).filter(|value| !value.is_empty()).collect();
                all.insert(setting.name.clone(), values.into());
            }
            Some(value) => drop(all.insert(setting.name.clone(), value.into())),
            None if setting.required == Some(true) => {
                let text = format!(
                    "key manager {} inside WSO2 needs the property {}: give it in spec.wso2.properties of the key",
                    entry.name, setting.name
                );
                return Err(Error::new(Category::InvalidRequest, text));
            }
            None => {}
        }
    }
    let more = given.into_iter().map(|(name, value)| (name, value.into()));
    let more: Vec<_> = more.filter(|(name, _)| !all.contains_key(name)).collect();
    all.extend(more);
    Ok(all)
}

/// What was read back otherwise than asked for, a sentence for each. What was not asked for is the server's own.
pub(super) fn differences(read: &Map<String, Value>, properties: &Properties, entry: &Entry) -> Vec<String> {
    let mut all = vec![];
    let given = by_hand(properties);
    if entry.is_resident() {
        for (name, life) in lives(properties)
            .into_iter()
            .filter(|(name, _)| !given.contains_key(*name))
        {
            if let (Some(life), Some(read)) = (life, read.get(name))
                && number(read) != Some(life)
            {
                all.push(format!("{name}: asked for {life}, got {}", short(read)));
            }
        }
        for (name, flag) in flags(properties) {
            if let Some(read) = read.get(name)
                && boolean(read) != Some(flag)
            {
                all.push(format!("{name}: asked for {flag}, got {}", short(read)));
            }
        }
    }
    for (name, value) in given {
        let same = read
            .get(&name)
            .is_some_and(|read| short(read) == value || is_list_of(read, &value));
        if !same {
            all.push(format!("{name}: it is not as spec.wso2.properties says"));
        }
    }
    all
}

fn is_list_of(read: &Value, value: &str) -> bool {
    let read = read
        .as_array()
        .map(|all| all.iter().filter_map(Value::as_str).collect::<Vec<_>>());
    let wanted: Vec<_> = value.split([',', ' ']).filter(|value| !value.is_empty()).collect();
    read.is_some_and(|read| read == wanted)
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn boolean(value: &Value) -> Option<bool> {
    value.as_bool().or_else(|| value.as_str()?.parse().ok())
}

/// A value as people write it; no property here is secret.
fn short(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.chars().take(64).collect()
}
