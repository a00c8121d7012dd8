//! Requests: credentials, and bodies as the server's mapper reads them.

use data_encoding::BASE64;
use http::header;
use serde_json::{Map, Value};

use crate::key_managers::double::{Answer, Ask};

/// Who says to be who.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    None,
    Bearer(String),
    Basic(String, String),
}

impl Ask {
    /// A number in the query.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.query(name)?.parse().ok()
    }

    /// The credentials.
    pub(super) fn credentials(&self) -> Credentials {
        let Some((scheme, value)) = self
            .header(header::AUTHORIZATION.as_str())
            .and_then(|value| value.split_once(' '))
        else {
            return Credentials::None;
        };
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Credentials::Bearer(value.to_owned()),
            "basic" => basic(value).unwrap_or(Credentials::None),
            _ => Credentials::None,
        }
    }

    /// The members of a JSON body, of which the server's version knows these.
    pub(super) fn fields(&self, known: &[&str]) -> Result<Fields, Answer> {
        if self.body.is_empty() {
            return Err(Answer::bad("Request payload cannot be empty."));
        }
        let Ok(body) = serde_json::from_slice::<Value>(&self.body) else {
            return Err(Answer::bad("Malformed request body."));
        };
        let Value::Object(members) = body else {
            return Err(disallowed());
        };
        if let Some(unknown) = members.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(Answer::bad(&format!("Unrecognized property '{unknown}'")));
        }
        Ok(Fields(members))
    }
}

/// User and password of HTTP Basic, as RFC 7617 has them.
fn basic(value: &str) -> Option<Credentials> {
    let decoded = String::from_utf8(BASE64.decode(value.as_bytes()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Credentials::Basic(user.to_owned(), password.to_owned()))
}

fn disallowed() -> Answer {
    Answer::bad("One or more request body parameters contain disallowed values.")
}

/// The members of a body. A null is an absent one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A string; numbers and booleans become one, as the server's mapper makes them.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Answer> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Bool(flag)) => Ok(Some(flag.to_string())),
            Some(_) => Err(disallowed()),
        }
    }

    /// A string that has to be there.
    pub(super) fn required(&self, name: &str) -> Result<String, Answer> {
        match self.text(name)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(Answer::bad(&format!("{name}: must not be null"))),
        }
    }

    /// A list of strings.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, Answer> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let list = value.as_array().ok_or_else(disallowed)?;
        let texts = list
            .iter()
            .map(|one| one.as_str().map(str::to_owned).ok_or_else(disallowed));
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// An object, or one as a JSON string.
    pub(super) fn object(&self, name: &str) -> Result<Map<String, Value>, Answer> {
        match self.get(name) {
            None => Ok(Map::new()),
            Some(Value::Object(members)) => Ok(members.clone()),
            Some(Value::String(text)) => serde_json::from_str(text).map_err(|_| disallowed()),
            Some(_) => Err(disallowed()),
        }
    }

    /// A map of strings.
    pub(super) fn map(&self, name: &str) -> Result<Vec<(String, String)>, Answer> {
        let members = self.object(name)?;
        let pair = |(key, value): (String, Value)| Some((key, value.as_str()?.to_owned()));
        members
            .into_iter()
            .map(|member| pair(member).ok_or_else(disallowed))
            .collect()
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Answer> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(disallowed),
        }
    }
}
