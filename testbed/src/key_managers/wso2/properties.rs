//! `additionalProperties` of a key of the resident key manager: sent as strings, read back as numbers and booleans.

use serde_json::{Map, Value, json};

use super::{Client, Secrets, Settings, Switch, Version};
use crate::key_managers::double::Answer;

/// What "never" reads back as.
const NEVER: i64 = 2_147_483_646;

/// The lifetimes that must not be negative.
const CHECKED: [&str; 2] = ["application_access_token_expiry_time", "user_access_token_expiry_time"];

/// A number or a numeric string. What is neither is ignored, without a word.
fn seconds(sent: &Value) -> Option<i64> {
    match sent {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Refuses negative lifetimes of access tokens.
pub(super) fn check(sent: &Map<String, Value>) -> Result<(), Answer> {
    let negative = |name: &&&str| sent.get(**name).and_then(seconds).is_some_and(|time| time < 0);
    match CHECKED.iter().find(negative) {
        None => Ok(()),
        Some(name) => Err(Answer::described(
            400,
            901_410,
            "Invalid additional properties",
            &format!("Invalid application access token expiry time given for {name}"),
        )),
    }
}

/// Takes over what was sent; what was not keeps its value.
pub(super) fn apply(client: &mut Client, sent: &Map<String, Value>, settings: &Settings) {
    let lifetimes = &mut client.lifetimes;
    for (name, kept) in [
        ("application_access_token_expiry_time", &mut lifetimes.application),
        ("user_access_token_expiry_time", &mut lifetimes.user),
        ("refresh_token_expiry_time", &mut lifetimes.refresh),
        ("id_token_expiry_time", &mut lifetimes.id),
    ] {
        match sent.get(name) {
            Some(Value::String(text)) if text == "N/A" => *kept = None,
            Some(value) => *kept = seconds(value).or(*kept),
            None => {}
        }
    }
    if settings.version >= Version::V4_1 {
        let flags = &mut client.flags;
        for (name, kept) in [
            ("pkceMandatory", &mut flags.pkce_mandatory),
            ("pkceSupportPlain", &mut flags.pkce_plain),
            ("bypassClientCredentials", &mut flags.public),
        ] {
            // A JSON boolean is no string, and so it is ignored.
            if let Some(Value::String(text)) = sent.get(name) {
                *kept = text.eq_ignore_ascii_case("true");
            }
        }
    }
    if let Some(Value::Array(scopes)) = sent.get("application_scopes")
        && settings.has(Switch::ApplicationScopes)
    {
        client.scopes = scopes.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    }
}

/// What the first secret was given, where a client can have several.
pub(super) fn first_secret(client: &mut Client, sent: &Map<String, Value>, settings: &Settings, now: i64) {
    let (Secrets::Multiple(_), Some(secret)) = (settings.secrets, client.secrets.last_mut()) else {
        return;
    };
    secret.description = sent
        .get("client_secret_description")
        .and_then(Value::as_str)
        .map(str::to_owned);
    if let Some(life) = sent
        .get("client_secret_expires_in")
        .and_then(seconds)
        .filter(|life| *life > 0)
    {
        secret.expires_at = now + life;
    }
}

/// As they are read back.
pub(super) fn shown(client: &Client, settings: &Settings, generated: bool) -> Value {
    let default = i64::try_from(settings.token_lifetime.as_secs()).unwrap_or(NEVER);
    let time = |set: Option<i64>, default: i64| match set {
        None => default,
        Some(time) if time < 0 => NEVER,
        Some(time) => time,
    };
    let lifetimes = client.lifetimes;
    let mut shown = json!({
        "application_access_token_expiry_time": time(lifetimes.application, default),
        "user_access_token_expiry_time": time(lifetimes.user, default),
        "refresh_token_expiry_time": time(lifetimes.refresh, 86_400),
        "id_token_expiry_time": time(lifetimes.id, 3600),
    });
    if settings.version >= Version::V4_1 {
        shown["pkceMandatory"] = json!(client.flags.pkce_mandatory);
        shown["pkceSupportPlain"] = json!(client.flags.pkce_plain);
        shown["bypassClientCredentials"] = json!(client.flags.public);
    }
    if settings.has(Switch::ApplicationScopes) {
        shown["application_scopes"] = json!(client.scopes);
    }
    if let (true, Secrets::Multiple(_), Some(secret)) = (generated, settings.secrets, client.secrets.last()) {
        shown["client_secret_expires_at"] = json!(secret.expires_at);
        if let Some(description) = &secret.description {
            shown["client_secret_description"] = json!(description);
        }
    }
    shown
}
