//! Calls on keys that are there: list, read, change, delete, clean up.

use serde_json::json;

use super::{
    Key, Kind, State, Trouble, Version,
    access::Caller,
    answer::Outcome,
    connector::{Failure, Wish},
    generation::needs_callback,
    key::View,
    properties,
};
use crate::key_managers::double::{Answer, Ask};

const FIELDS: &[&str] = &[
    "keyMappingId",
    "keyManager",
    "consumerKey",
    "consumerSecret",
    "supportedGrantTypes",
    "callbackUrl",
    "keyState",
    "keyType",
    "mode",
    "groupId",
    "token",
    "additionalProperties",
    // The last one is new in 4.7.
    "consumerSecrets",
];

impl State {
    /// The keys of an application that can be shown. What cannot is left out without a word.
    pub(super) fn list_keys(&self, caller: &Caller, application: &str) -> Outcome {
        self.visible(&caller.user, application)?;
        let mut list = vec![];
        for key in self.keys.values().filter(|key| key.application == application) {
            let Some(key_manager) = self.place_of(key).map(|place| &self.key_managers[place]) else {
                continue;
            };
            if key_manager.tenant != caller.tenant
                || key_manager.has(Trouble::Disabled)
                || key_manager.has(Trouble::NotLoaded)
            {
                continue;
            }
            let client = match key.client.as_ref().map(|id| key_manager.read(id)) {
                None => None,
                Some(Ok(client)) => Some(client),
                // Nobody catches it, and the whole list is lost.
                Some(Err(Failure::Unchecked)) => return Err(Answer::internal()),
                Some(Err(_)) => continue,
            };
            let view = View {
                settings: &self.settings,
                key_manager: &key_manager.name,
                kind: key_manager.kind,
                client,
            };
            list.push(view.read(key));
        }
        Ok(Answer::json(200, json!({"count": list.len(), "list": list})))
    }

    /// Reads one key, whoever asks. A failure is an empty 200.
    pub(super) fn get_key(&self, application: &str, mapping: &str) -> Outcome {
        if !self.applications.contains_key(application) {
            return Ok(Answer::empty(200));
        }
        let key = self.key(application, mapping).ok_or_else(Answer::internal)?;
        let id = key.client.as_ref().ok_or_else(Answer::internal)?;
        let Some(key_manager) = self.place_of(key).map(|place| &self.key_managers[place]) else {
            return Ok(Answer::empty(200));
        };
        let client = match key_manager.read(id) {
            Ok(client) => client,
            Err(Failure::Unchecked) => return Err(Answer::internal()),
            Err(_) => return Ok(Answer::empty(200)),
        };
        let view = View {
            settings: &self.settings,
            key_manager: &key_manager.id,
            kind: key_manager.kind,
            client: Some(client),
        };
        let mut shown = view.read(key);
        if self.settings.version < Version::V4_1 {
            shown["consumerSecret"] = json!(null);
        }
        Ok(Answer::json(200, shown))
    }

    /// Changes the client of a key.
    pub(super) fn update_key(&mut self, caller: &Caller, application: &str, mapping: &str, ask: &Ask) -> Outcome {
        let known = if self.settings.version < Version::V4_7 {
            &FIELDS[..FIELDS.len() - 1]
        } else {
            FIELDS
        };
        let fields = ask.fields(known)?;
        let found = self
            .applications
            .get(application)
            .ok_or_else(|| Answer::no_application(application))?;
        let (owner, status) = (found.owner.clone(), found.status);
        let foreign = || Answer::foreign(application);
        let key = self
            .key(application, mapping)
            .filter(|_| owner == caller.user)
            .ok_or_else(foreign)?
            .clone();
        let (Some(id), Some(place)) = (&key.client, self.place_of(&key)) else {
            return Err(foreign());
        };
        let key_manager = &self.key_managers[place];
        match () {
            () if matches!(status, "CREATED" | "REJECTED") => {
                return Err(Answer::error(400, 900_309, "Application is not active"));
            }
            () if key_manager.has(Trouble::Disabled) => {
                return Err(Answer::error(400, 901_406, "Key Manager is not enabled"));
            }
            () if key_manager.has(Trouble::ExchangeOnly) => {
                return Err(Answer::error(
                    400,
                    901_405,
                    "Key Manager doesn't support token generation",
                ));
            }
            () => {}
        }
        // What cannot be read is somebody else's.
        if let Err(failure) = key_manager.read(id) {
            return Err(if failure == Failure::Unchecked {
                Answer::internal()
            } else {
                foreign()
            });
        }
        let wish = Wish {
            grants: fields.texts("supportedGrantTypes")?.unwrap_or_default(),
            callback: fields.text("callbackUrl")?,
            properties: fields.object("additionalProperties")?,
            ..Wish::default()
        };
        self.constrained(key_manager, &wish.properties)?;
        if key_manager.kind == Kind::Resident {
            properties::check(&wish.properties)?;
        }
        if needs_callback(&wish.grants) && wish.callback.as_ref().is_none_or(String::is_empty) {
            return Err(Answer::general());
        }
        let updated = self.key_managers[place].update(id, &wish, &self.settings);
        let client = updated.map_err(Failure::of_call)?;
        let view = View {
            settings: &self.settings,
            key_manager: &fields.text("keyManager")?.unwrap_or_default(),
            kind: self.key_managers[place].kind,
            client: Some(&client),
        };
        let mut shown = view.read(&key);
        // Both are echoed, not looked up.
        shown["keyMappingId"] = json!(fields.text("keyMappingId")?);
        shown["keyManager"] = json!(fields.text("keyManager")?);
        Ok(Answer::json(200, shown))
    }

    /// Deletes a key and, unless it was mapped, its client.
    pub(super) fn delete_key(&mut self, caller: &Caller, application: &str, mapping: &str) -> Outcome {
        self.owned(&caller.user, application)?;
        let key = self.key(application, mapping).ok_or_else(Answer::internal)?.clone();
        let (Some(id), Some(place)) = (&key.client, self.place_of(&key)) else {
            return Err(Answer::internal());
        };
        let key_manager = &mut self.key_managers[place];
        if key_manager.has(Trouble::Disabled) || key_manager.tenant != caller.tenant {
            return Err(Answer::internal());
        }
        if !key.mapped {
            key_manager.delete(id).map_err(|_| Answer::internal())?;
            self.end_tokens(id);
        }
        self.keys.remove(mapping);
        Ok(Answer::empty(200))
    }

    /// Forgets a key, whoever asks, and whatever it has. The client stays where it is.
    pub(super) fn clean_up(&mut self, application: &str, mapping: &str) -> Outcome {
        if !self.applications.contains_key(application) {
            return Err(Answer::internal());
        }
        let own = |key: &Key| key.application == application;
        if self.keys.get(mapping).is_some_and(own) {
            self.keys.remove(mapping);
        }
        Ok(Answer::empty(200))
    }
}
