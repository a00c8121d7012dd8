//! generate-keys and map-keys: rows first, the client after them. A failure in between leaves the rows.

use serde_json::{Map, Value, json};

use super::{
    Client, Key, KeyManager, KeyState, KeyType, Kind, RESIDENT, State, Switch, Trouble, Version,
    access::Caller,
    answer::Outcome,
    client::uuid,
    connector::{Failure, Wish},
    key::View,
    properties,
    request::Fields,
    users::{local, tenant},
};
use crate::key_managers::double::{Answer, Ask};

const GENERATE: &[&str] = &[
    "keyType",
    "keyManager",
    "grantTypesToBeSupported",
    "callbackUrl",
    "scopes",
    "validityTime",
    "clientId",
    "clientSecret",
    "additionalProperties",
];
const MAP: &[&str] = &["consumerKey", "consumerSecret", "keyManager", "keyType"];

/// A key that is asked for.
struct Wanted {
    application: String,
    key_type: KeyType,
    /// The key manager as the body has it.
    key_manager: String,
    /// Its place in the list.
    place: usize,
}

impl State {
    /// Makes a key and its client.
    pub(super) fn generate_keys(&mut self, caller: &Caller, application: &str, ask: &Ask) -> Outcome {
        let fields = ask.fields(GENERATE)?;
        let wish = wish(&fields)?;
        let wanted = self.wanted(caller, application, &fields)?;
        self.allowed(&wanted, &wish)?;
        let wish = self.named(&wanted, wish);
        let scopes = fields.texts("scopes")?.unwrap_or_default().join(" ");

        // From here on there are rows, whatever becomes of the client.
        let waits = self.settings.has(Switch::ApproveKeys);
        let state = if waits { KeyState::Created } else { KeyState::Approved };
        let key = self.row(&wanted, wish, state, false);
        if waits {
            return Ok(Answer::json(200, self.view(&wanted, None).read(&key)));
        }
        let client = self.make_client(&key.mapping)?;
        if self.settings.has(Switch::TestTokenFails) {
            return Err(Answer::general());
        }
        let token = self.test_token(&self.key_managers[wanted.place].clone(), &client, &scopes);
        let key = self.keys.get(&key.mapping).cloned().unwrap_or(key);
        Ok(Answer::json(
            200,
            self.view(&wanted, Some(&client)).generated(&key, token),
        ))
    }

    /// Takes over a client that is there.
    pub(super) fn map_keys(&mut self, caller: &Caller, application: &str, ask: &Ask) -> Outcome {
        let fields = ask.fields(MAP)?;
        let id = fields.required("consumerKey")?;
        let wanted = self.wanted(caller, application, &fields)?;
        if self.keys.values().any(|key| key.client.as_ref() == Some(&id)) {
            return Err(mapped_already());
        }
        let key_manager = &self.key_managers[wanted.place];
        let secret = fields.text("consumerSecret")?;
        let client = match key_manager.kind {
            // Its connector checks nothing.
            Kind::Okta => key_manager.clients.get(&id).cloned(),
            Kind::Resident | Kind::Keycloak => {
                let client = key_manager.read(&id).map_err(Failure::of_call)?;
                let hashed = self.settings.has(Switch::HashedSecrets) && key_manager.kind == Kind::Resident;
                let checked = key_manager.kind == Kind::Resident || secret.is_some();
                let good = !hashed && secret.is_some_and(|secret| client.proves(&secret, self.now()));
                if checked && !good {
                    return Err(Answer::general());
                }
                Some(client.clone())
            }
        };
        let mut key = self.row(&wanted, Wish::default(), KeyState::Completed, true);
        key.client = Some(id);
        self.keys.insert(key.mapping.clone(), key.clone());
        Ok(Answer::json(200, self.view(&wanted, client.as_ref()).read(&key)))
    }

    /// What both have to pass, in this order.
    fn wanted(&self, caller: &Caller, application: &str, fields: &Fields) -> Result<Wanted, Answer> {
        let key_type = KeyType::read(&fields.required("keyType")?)?;
        let name = fields
            .text("keyManager")?
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| RESIDENT.to_owned());
        // Restrictions are looked up by id: one that is named by its name escapes them.
        let restricted = |one: &KeyManager| one.id == name && one.has(Trouble::Restricted);
        if self.settings.version >= Version::V4_3 && self.key_managers.iter().any(restricted) {
            return Err(Answer::error(403, 902_013, "Key Manager is restricted for this user"));
        }
        let owned = self.owned(&caller.user, application)?;
        if matches!(owned.status, "CREATED" | "REJECTED") {
            return Err(Answer::bad("Application is not approved"));
        }
        let place = self.place(&caller.tenant, &name);
        let Some(place) = place.filter(|place| !self.key_managers[*place].has(Trouble::Disabled)) else {
            let text = format!("Key Manager {name} is not registered");
            return Err(Answer::described(400, 901_403, "Key Manager not registered", &text));
        };
        let wanted = Wanted {
            application: application.to_owned(),
            key_type,
            key_manager: name,
            place,
        };
        let id = &self.key_managers[place].id;
        let taken = |key: &Key| key.application == application && key.key_type == key_type && key.key_manager == *id;
        if self.keys.values().any(taken) {
            Err(mapped_already())
        } else {
            Ok(wanted)
        }
    }

    /// What generate-keys refuses without a trace.
    fn allowed(&self, wanted: &Wanted, wish: &Wish) -> Result<(), Answer> {
        let key_manager = &self.key_managers[wanted.place];
        self.constrained(key_manager, &wish.properties)?;
        if key_manager.kind == Kind::Resident {
            properties::check(&wish.properties)?;
        }
        let absent = |name: &&&str| {
            wish.properties
                .get(**name)
                .is_none_or(|value| value.is_null() || *value == "")
        };
        if let Some(name) = key_manager.required().iter().find(absent) {
            let text = format!("Required properties are not provided: {name}");
            return Err(Answer::described(
                400,
                901_407,
                "Required application properties are missing",
                &text,
            ));
        }
        if key_manager.has(Trouble::ExchangeOnly) || key_manager.has(Trouble::NoCreation) {
            return Err(Answer::error(
                400,
                901_405,
                "Key Manager doesn't support OAuth application creation",
            ));
        }
        if needs_callback(&wish.grants) && wish.callback.as_ref().is_none_or(String::is_empty) {
            return Err(Answer::bad(
                "Callback URL must have at least one URI value when using Authorization code or implicit grant types.",
            ));
        }
        // The client of another tenant belongs to a user of the same name there.
        let owner = self
            .applications
            .get(&wanted.application)
            .map_or("", |one| one.owner.as_str());
        if tenant(owner) != key_manager.tenant && key_manager.kind == Kind::Resident {
            let there = |user: &&String| local(user) == local(owner) && tenant(user) == key_manager.tenant;
            if self.users.keys().find(there).is_none() {
                return Err(Answer::internal());
            }
        }
        Ok(())
    }

    /// Conditions of the administrator: a property that has one has to be there, also in an update.
    pub(super) fn constrained(&self, key_manager: &KeyManager, sent: &Map<String, Value>) -> Result<(), Answer> {
        let broken = key_manager
            .constraints
            .iter()
            .find(|one| !one.allows(sent.get(one.property)));
        match broken.filter(|_| self.settings.version >= Version::V4_7) {
            None => Ok(()),
            Some(one) => {
                let text = format!("Invalid additional properties. {}", one.property);
                Err(Answer::described(
                    400,
                    900_970,
                    "Invalid application additional properties",
                    &text,
                ))
            }
        }
    }

    /// The name of the client at its key manager.
    fn named(&self, wanted: &Wanted, mut wish: Wish) -> Wish {
        let Some(application) = self.applications.get(&wanted.application) else {
            return wish;
        };
        let (owner, key_type) = (local(&application.owner), wanted.key_type.name());
        wish.name = match self.key_managers[wanted.place].kind {
            Kind::Resident => format!("{}_{}_{key_type}", owner.replace(['@', '/'], "_"), application.id),
            Kind::Okta | Kind::Keycloak => format!("{owner}{}_{key_type}", application.described.name),
        };
        wish.owner.clone_from(&application.owner);
        wish
    }

    fn row(&mut self, wanted: &Wanted, wish: Wish, state: KeyState, mapped: bool) -> Key {
        let key = Key {
            mapping: uuid(),
            application: wanted.application.clone(),
            key_type: wanted.key_type,
            key_manager: self.key_managers[wanted.place].id.clone(),
            client: None,
            state,
            mapped,
            wish,
        };
        self.keys.insert(key.mapping.clone(), key.clone());
        key
    }

    /// Makes the client of a key that has its rows, and records it.
    pub(super) fn make_client(&mut self, mapping: &str) -> Result<Client, Answer> {
        let key = self.keys.get(mapping).cloned().ok_or_else(Answer::internal)?;
        let place = self.place_of(&key).ok_or_else(Answer::general)?;
        let now = self.now();
        let made = self.key_managers[place].create(&key.wish, &self.settings, now);
        let client = made.map_err(Failure::of_generation)?;
        if std::mem::take(&mut self.dying) {
            return Err(Answer::internal());
        }
        if let Some(key) = self.keys.get_mut(mapping) {
            key.client = Some(client.id.clone());
            key.state = KeyState::Completed;
        }
        Ok(client)
    }

    /// The token that comes with a new key, where there is one.
    fn test_token(&mut self, key_manager: &KeyManager, client: &Client, scopes: &str) -> Value {
        let possible = client.grants.iter().any(|grant| grant == "client_credentials");
        if !possible || key_manager.has(Trouble::NoTokens) {
            return json!({"accessToken": "", "tokenScopes": ["N/A"], "validityTime": 0});
        }
        let scopes = self
            .users
            .get(&client.owner)
            .map_or_else(|| "default".to_owned(), |user| user.left_of(scopes));
        let (token, life) = self.issue(client, &client.owner, &scopes, false);
        let list: Vec<_> = scopes.split(' ').collect();
        json!({"accessToken": token, "tokenScopes": list, "validityTime": life})
    }

    /// These answers echo the key manager as it was named.
    fn view<'a>(&'a self, wanted: &'a Wanted, client: Option<&'a Client>) -> View<'a> {
        View {
            settings: &self.settings,
            key_manager: &wanted.key_manager,
            kind: self.key_managers[wanted.place].kind,
            client,
        }
    }
}

fn wish(fields: &Fields) -> Result<Wish, Answer> {
    let Some(grants) = fields.texts("grantTypesToBeSupported")? else {
        return Err(Answer::bad("grantTypesToBeSupported: must not be null"));
    };
    if fields
        .text("validityTime")?
        .is_some_and(|time| time.parse::<i64>().is_err())
    {
        return Err(Answer::general());
    }
    Ok(Wish {
        grants,
        callback: fields.text("callbackUrl")?,
        id: fields.text("clientId")?,
        secret: fields.text("clientSecret")?,
        properties: fields.object("additionalProperties")?,
        ..Wish::default()
    })
}

/// Whether a grant needs a redirect URI.
pub(super) fn needs_callback(grants: &[String]) -> bool {
    grants
        .iter()
        .any(|grant| grant == "authorization_code" || grant == "implicit")
}

fn mapped_already() -> Answer {
    Answer::error(409, 901_409, "Key Mappings already exists")
}
