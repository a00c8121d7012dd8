//! API keys, which are no OAuth: made once, listed as a bare array.

use serde_json::{Value, json};

use super::{
    KeyType, State, Version,
    access::Caller,
    answer::Outcome,
    client::{random, uuid},
};
use crate::key_managers::double::{Answer, Ask};

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiKey {
    pub(super) application: String,
    key_type: KeyType,
    name: String,
    value: String,
    issued: i64,
    validity: i64,
}

impl State {
    /// Makes an API key. Its id is not in the answer.
    pub(super) fn generate_api_key(
        &mut self,
        caller: &Caller,
        application: &str,
        key_type: &str,
        ask: &Ask,
    ) -> Outcome {
        let key_type = KeyType::read(&key_type.to_uppercase())?;
        self.visible(&caller.user, application)?;
        let fields = ask.fields(&["keyName", "validityPeriod", "additionalProperties"])?;
        let named = fields.text("keyName")?;
        if named.is_none() && self.settings.version >= Version::V4_7 {
            return Err(Answer::internal());
        }
        let validity = fields.number("validityPeriod")?.filter(|time| *time > 0).unwrap_or(-1);
        let value = if self.settings.version >= Version::V4_7 {
            random()
        } else {
            let claims = json!({"sub": caller.user, "iat": self.now(), "jti": uuid(), "keytype": key_type.name()});
            self.signer.sign(&claims).unwrap_or_default()
        };
        let key = ApiKey {
            application: application.to_owned(),
            key_type,
            name: named.unwrap_or_default(),
            value,
            issued: self.millis(),
            validity,
        };
        let shown = json!({"keyName": key.name, "apikey": key.value, "validityPeriod": key.validity});
        self.api_keys.insert(uuid(), key);
        Ok(Answer::json(200, shown))
    }

    /// The API keys: a bare array, whatever the documentation says.
    pub(super) fn list_api_keys(&self, caller: &Caller, application: &str, key_type: &str) -> Outcome {
        let key_type = KeyType::read(&key_type.to_uppercase())?;
        self.visible(&caller.user, application)?;
        let own = self
            .api_keys
            .iter()
            .filter(|(_, key)| key.application == application && key.key_type == key_type);
        let shown = own.map(|(id, key)| {
            json!({
                "keyUUID": id, "keyName": key.name, "issuedOn": key.issued, "validityPeriod": key.validity, "lastUsed": 0,
            })
        });
        Ok(Answer::json(200, Value::Array(shown.collect())))
    }

    /// Ends an API key, by its value or, in 4.7, by its id.
    pub(super) fn revoke_api_key(&mut self, caller: &Caller, application: &str, ask: &Ask) -> Outcome {
        self.visible(&caller.user, application)?;
        let known: &[&str] = if self.settings.version >= Version::V4_7 {
            &["apikey", "keyUUID"]
        } else {
            &["apikey"]
        };
        let fields = ask.fields(known)?;
        let (value, id) = (fields.text("apikey")?, fields.text("keyUUID")?);
        if value.is_none() && id.is_none() {
            return Err(Answer::bad("apikey: must not be null"));
        }
        self.api_keys.retain(|own, key| {
            key.application != application || (Some(own) != id.as_ref() && Some(&key.value) != value.as_ref())
        });
        Ok(Answer::empty(200))
    }
}
