//! Secrets of a key: one at a time, or several.

use serde_json::{Value, json};

use super::{
    Client, ClientSecret, Key, Kind, Secrets, State, Switch, Version, access::Caller, answer::Outcome, client::masked,
    connector::Failure,
};
use crate::key_managers::double::{Answer, Ask};

impl State {
    /// A new secret instead of the old one, which ends at once with all tokens.
    pub(super) fn regenerate_secret(&mut self, caller: &Caller, application: &str, mapping: &str) -> Outcome {
        self.owned(&caller.user, application)?;
        let (key, place) = self.keyed(application, mapping)?;
        if self.settings.version < Version::V4_1 {
            return Err(Answer::internal());
        }
        if matches!(self.settings.secrets, Secrets::Multiple(_)) {
            let proposed = self.settings.has(Switch::ProposedCodes);
            return Err(if proposed {
                Answer::error(400, 900_917, "Not supported in multiple client secret mode")
            } else {
                Answer::general()
            });
        }
        let key_manager = &mut self.key_managers[place];
        let Some(id) = key.client else {
            return Ok(Answer::empty(204));
        };
        match key_manager.read(&id) {
            Ok(_) => {}
            Err(Failure::Unchecked) => return Err(Answer::internal()),
            Err(_) => return Ok(Answer::empty(204)),
        }
        match key_manager.kind {
            // Its connector cannot, and says so with a null.
            Kind::Keycloak => return Ok(Answer::json(200, json!({"consumerKey": id, "consumerSecret": null}))),
            // Its connector asks with a method that Okta does not have.
            Kind::Okta => {
                return Err(Answer::error(
                    500,
                    902_004,
                    "Error occurred while calling the key manager",
                ));
            }
            Kind::Resident => {}
        }
        let secret = ClientSecret::random();
        let value = secret.value.clone();
        if let Some(client) = key_manager.clients.get_mut(&id) {
            client.secrets = vec![secret];
        }
        self.end_tokens(&id);
        Ok(Answer::json(200, json!({"consumerKey": id, "consumerSecret": value})))
    }

    /// One more secret.
    pub(super) fn generate_secret(&mut self, caller: &Caller, application: &str, mapping: &str, ask: &Ask) -> Outcome {
        let fields = ask.fields(&["additionalProperties"])?;
        let sent = fields.object("additionalProperties")?;
        let cap = self.several(caller, application)?;
        let failed = || Answer::error(500, 900_918, "Error while generating client secret");
        let now = self.now();
        let client = self.secrets_of(application, mapping, failed)?;
        if client.secrets.len() >= cap {
            return Err(failed());
        }
        let mut secret = ClientSecret::random();
        secret.description = sent.get("description").and_then(Value::as_str).map(str::to_owned);
        // A string, or a number of more than 32 bits, is ignored.
        let life = sent
            .get("expiresIn")
            .and_then(Value::as_i64)
            .filter(|life| i32::try_from(*life).is_ok());
        if let Some(life) = life.filter(|life| *life > 0) {
            secret.expires_at = now + life;
        }
        let shown = shown(&secret, &secret.value);
        client.secrets.push(secret);
        Ok(Answer::json(201, shown))
    }

    /// The secrets, masked, the latest first.
    pub(super) fn list_secrets(&mut self, caller: &Caller, application: &str, mapping: &str) -> Outcome {
        self.several(caller, application)?;
        let hashed = self.settings.has(Switch::HashedSecrets);
        let failed = || Answer::error(500, 900_920, "Error while retrieving client secrets");
        let client = self.secrets_of(application, mapping, failed)?;
        let secrets = client
            .secrets
            .iter()
            .rev()
            .map(|one| shown(one, &masked(&one.value, hashed)));
        let list: Vec<Value> = secrets.collect();
        Ok(Answer::json(200, json!({"count": list.len(), "list": list})))
    }

    /// Ends a secret, unless it is the latest of its client. Whose it is nobody checks.
    pub(super) fn revoke_secret(&mut self, caller: &Caller, application: &str, mapping: &str, ask: &Ask) -> Outcome {
        let fields = ask.fields(&["secretId", "additionalProperties"])?;
        let id = fields.required("secretId")?;
        self.several(caller, application)?;
        let proposed = self.settings.has(Switch::ProposedCodes);
        let failed = || Answer::error(500, 900_919, "Error while deleting client secret");
        let place = self.place_of(&self.keyed(application, mapping)?.0).ok_or_else(failed)?;
        self.secrets_of(application, mapping, failed)?;
        let mut clients = self.key_managers[place].clients.values_mut();
        let client = clients
            .find(|one| one.secrets.iter().any(|secret| secret.id == id))
            .ok_or_else(failed)?;
        if client.secrets.last().is_some_and(|latest| latest.id == id) {
            return Err(if proposed {
                Answer::error(400, 900_921, "The latest client secret cannot be revoked")
            } else {
                failed()
            });
        }
        client.secrets.retain(|one| one.id != id);
        Ok(Answer::empty(204))
    }

    /// A test token.
    pub(super) fn generate_token(&mut self, application: &str, mapping: &str, ask: &Ask) -> Outcome {
        const FIELDS: &[&str] = &[
            "consumerSecret",
            "validityPeriod",
            "scopes",
            "revokeToken",
            "grantType",
            "additionalProperties",
        ];
        let fields = ask.fields(FIELDS)?;
        if fields.number("validityPeriod")?.is_none() {
            return Err(Answer::internal());
        }
        let (key, place) = self.keyed(application, mapping)?;
        let key_manager = &self.key_managers[place];
        let refused = || Answer::error(400, 900_967, "General Error");
        let id = key.client.ok_or_else(refused)?;
        if key_manager.has(super::Trouble::Disabled) {
            return Err(Answer::error(400, 901_406, "Key Manager is not enabled"));
        }
        if key_manager.has(super::Trouble::NoTokens) || key_manager.has(super::Trouble::ExchangeOnly) {
            return Err(Answer::error(
                400,
                901_405,
                "Key Manager doesn't support token generation",
            ));
        }
        let client = key_manager.read(&id).map_err(|_| refused())?.clone();
        let single = self.settings.secrets == Secrets::Single && !self.settings.has(Switch::HashedSecrets);
        let good = match fields.text("consumerSecret")? {
            Some(secret) => client.proves(&secret, self.now()),
            None => single,
        };
        if !good {
            return Err(refused());
        }
        let asked = fields.texts("scopes")?.unwrap_or_default().join(" ");
        let scopes = self
            .users
            .get(&client.owner)
            .map_or_else(|| "default".to_owned(), |user| user.left_of(&asked));
        let (token, life) = self.issue(&client, &client.owner, &scopes, false);
        let list: Vec<_> = scopes.split(' ').collect();
        Ok(Answer::json(
            200,
            json!({"accessToken": token, "tokenScopes": list, "validityTime": life}),
        ))
    }

    fn keyed(&self, application: &str, mapping: &str) -> Result<(Key, usize), Answer> {
        let key = self.key(application, mapping).ok_or_else(Answer::internal)?;
        let place = self
            .place_of(key)
            .ok_or_else(|| Answer::error(404, 901_411, "Key Manager not found"))?;
        Ok((key.clone(), place))
    }

    /// How many secrets a client can have, if it can have several.
    fn several(&self, caller: &Caller, application: &str) -> Result<usize, Answer> {
        self.owned(&caller.user, application)?;
        match self.settings.secrets {
            Secrets::Multiple(count) => Ok(count),
            Secrets::Single => Err(Answer::error(
                400,
                900_916,
                "Not supported in single client secret mode",
            )),
        }
    }

    /// The client of a key, for changes of its secrets: the resident key manager only.
    fn secrets_of(
        &mut self,
        application: &str,
        mapping: &str,
        failed: impl Fn() -> Answer,
    ) -> Result<&mut Client, Answer> {
        let (key, place) = self.keyed(application, mapping)?;
        let key_manager = &mut self.key_managers[place];
        if key_manager.kind != Kind::Resident {
            return Err(Answer::general());
        }
        let id = key.client.ok_or_else(&failed)?;
        key_manager.read(&id).map_err(|_| failed())?;
        key_manager.clients.get_mut(&id).ok_or_else(failed)
    }
}

fn shown(secret: &ClientSecret, value: &str) -> Value {
    json!({
        "secretId": secret.id,
        "secretValue": value,
        "additionalProperties": {"description": secret.description, "expiresAt": secret.expires_at},
    })
}
