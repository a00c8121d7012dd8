//! Client metadata (RFC 7591 section 2): as we ask for them, as a server answers, and how the two differ.

use std::collections::BTreeSet;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{
    api::GrantType,
    key_manager::{
        Category, Error, Mark, Properties,
        private_key::PrivateKey,
        remote::discovery::{list, text},
    },
};

/// The longest name in characters: longer ones are server errors at some.
const LONGEST: usize = 255;
/// How much of an answer is shown: values, and characters of each.
const SHOWN: (usize, usize) = (8, 64);

/// What is asked for. Never with nulls, nor with members that are the server's (RFC 7592 section 2.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Asked {
    client_name: String,
    token_endpoint_auth_method: &'static str,
    // Left out they are code and authorization_code, also in an update, where that can switch them on.
    grant_types: Vec<&'static str>,
    response_types: Vec<&'static str>,
    redirect_uris: Vec<String>,
    /// Divided by spaces. Some servers refuse to be asked for any, so it is left out where none is wanted.
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    /// The public keys of a client that signs assertions (RFC 7517), and what it signs with.
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_endpoint_auth_signing_alg: Option<String>,
    /// The owner's mark, where it is kept.
    software_id: String,
}

/// An update: the client, and all of its metadata again (RFC 7592 section 2.2). Without the secret, which some servers refuse
/// even if it is the right one.
#[derive(Debug, Serialize)]
pub(super) struct Update<'a> {
    pub(super) client_id: &'a str,
    #[serde(flatten)]
    pub(super) asked: &'a Asked,
}

/// What is asked for a client with these properties; the attempt is in its name, for whoever looks for an orphan.
pub(super) fn asked(properties: &Properties, attempt: Option<&str>, keys: Option<Value>) -> Asked {
    let has = |grant| properties.grant_types.contains(&grant);
    let mut name = format!("{} ({})", properties.display_name, properties.environment);
    let attempt = attempt.map(|attempt| format!(" {attempt}")).unwrap_or_default();
    name = name
        .chars()
        .take(LONGEST.saturating_sub(attempt.chars().count()))
        .collect();
    Asked {
        client_name: name + &attempt,
        token_endpoint_auth_method: properties.authentication.registered_name(),
        grant_types: properties
            .grant_types
            .iter()
            .map(|grant| grant.registered_name())
            .collect(),
        response_types: if has(GrantType::AuthorizationCode) {
            vec!["code"]
        } else {
            vec![]
        },
        redirect_uris: properties.redirect_uris.clone(),
        token_endpoint_auth_signing_alg: keys
            .as_ref()
            .and_then(|keys| keys["keys"][0]["alg"].as_str().map(str::to_owned)),
        jwks: keys,
        scope: properties.scopes.join(" "),
        software_id: software_id(&properties.mark),
    }
}

/// The `jwks` of a client with this private key in PEM.
///
/// # Errors
/// `InvalidRequest`: it cannot be read.
pub(super) fn key_set(pem: &SecretString) -> Result<Value, Error> {
    let invalid = |error: &dyn std::fmt::Display| Error::new(Category::InvalidRequest, error.to_string());
    let key = PrivateKey::from_pem(pem).map_err(|error| invalid(&error))?;
    Ok(serde_json::json!({ "keys": [key.public()] }))
}

/// Neither namespaces nor names have a slash.
fn software_id(mark: &Mark) -> String {
    format!("appkeys:{}/{}/{}", mark.cluster_id, mark.namespace, mark.name)
}

/// What a server answers (RFC 7591 section 3.2.1, RFC 7592 section 3). Nulls and members of another shape count as not said.
#[derive(Debug, Deserialize)]
pub(super) struct ClientInformation {
    #[serde(default, deserialize_with = "text")]
    pub(super) client_id: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    pub(super) client_secret: Option<SecretString>,
    #[serde(default)]
    client_secret_expires_at: Value,
    #[serde(default, deserialize_with = "text")]
    pub(super) registration_client_uri: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    pub(super) registration_access_token: Option<SecretString>,
    #[serde(default, deserialize_with = "text")]
    client_name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    token_endpoint_auth_method: Option<String>,
    #[serde(default, deserialize_with = "list")]
    grant_types: Option<Vec<String>>,
    #[serde(default, deserialize_with = "list")]
    response_types: Option<Vec<String>>,
    #[serde(default, deserialize_with = "list")]
    redirect_uris: Option<Vec<String>>,
    #[serde(default)]
    jwks: Value,
    #[serde(default, deserialize_with = "list")]
    scope: Option<Vec<String>>,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    // Some servers show a mask where the secret was.
    let text = text(deserializer)?.filter(|text| !text.contains("***"));
    Ok(text.map(SecretString::from))
}

impl ClientInformation {
    /// The same without the attempt that its name ends with until its first update.
    pub(super) fn without_attempt(mut self, asked: &Asked) -> Self {
        let name = self.client_name.as_deref().and_then(|name| name.rsplit_once(' '));
        if let Some((name, _)) = name.filter(|(name, _)| asked.client_name == *name) {
            self.client_name = Some(name.to_owned());
        }
        self
    }

    /// The public keys that it has.
    pub(super) fn keys(self) -> Option<Value> {
        Some(self.jwks).filter(|keys| keys["keys"].is_array())
    }

    /// When the server ends the secret; zero, or nothing said, is never.
    pub(super) fn secret_ends(&self) -> Option<Timestamp> {
        let seconds = match &self.client_secret_expires_at {
            Value::Number(number) => number
                .as_i64()
                .or_else(|| number.as_f64().and_then(|n| format!("{n:.0}").parse().ok())),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        Timestamp::from_second(seconds.filter(|seconds| *seconds > 0)?).ok()
    }
}

impl Asked {
    /// The scopes that are asked for, for texts.
    pub(super) fn scopes(&self) -> &str {
        &self.scope
    }

    /// What was registered otherwise, a sentence for each member. What an answer does not speak of is not compared, save scopes:
    /// a server that drops all of them leaves the member out.
    pub(super) fn differences(&self, now: &ClientInformation) -> Vec<String> {
        let one = |value: &Option<String>| value.clone().map(|value| vec![value]);
        let words = |values: &[String]| {
            let words = values.iter().flat_map(|value| value.split_whitespace());
            words.map(str::to_owned).collect::<Vec<_>>()
        };
        let members = [
            ("client_name", vec![&*self.client_name], one(&now.client_name)),
            (
                "token_endpoint_auth_method",
                vec![self.token_endpoint_auth_method],
                one(&now.token_endpoint_auth_method),
            ),
            ("grant_types", self.grant_types.clone(), now.grant_types.clone()),
            (
                "response_types",
                self.response_types.clone(),
                now.response_types.clone(),
            ),
            (
                "redirect_uris",
                self.redirect_uris.iter().map(String::as_str).collect(),
                now.redirect_uris.clone(),
            ),
            (
                "scope",
                self.scope.split_whitespace().collect(),
                Some(now.scope.as_deref().map(words).unwrap_or_default()),
            ),
        ];
        members
            .into_iter()
            .filter_map(|(name, asked, registered)| {
                let registered = registered?;
                let registered: BTreeSet<_> = registered.iter().map(String::as_str).collect();
                let asked: BTreeSet<_> = asked.into_iter().collect();
                (asked != registered)
                    .then(|| format!("{name}: asked for {}, got {}", shown(&asked), shown(&registered)))
            })
            .collect()
    }
}

/// Values for a text: what a server writes is cut, and no control characters.
fn shown(values: &BTreeSet<&str>) -> String {
    if values.is_empty() {
        return "none".to_owned();
    }
    let show = |value: &&str| {
        let safe = value.chars().filter(|c| !c.is_control()).take(SHOWN.1);
        safe.collect::<String>()
    };
    let mut shown: Vec<_> = values.iter().take(SHOWN.0).map(show).collect();
    if values.len() > SHOWN.0 {
        shown.push(format!("{} more", values.len() - SHOWN.0));
    }
    shown.join(" ")
}
