//! The key managers inside WSO2, as its list of them has each.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    portal::{Call, Portal},
    refusal,
};
use crate::key_manager::{Category, Error};

/// The key manager that a key is at where nothing else is said.
pub(super) const RESIDENT: &str = "Resident Key Manager";

/// A key manager inside WSO2.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) name: String,
    /// `default` is WSO2's own; others have a connector.
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    /// Disabled ones are in the list too (W31).
    pub(super) enabled: Option<bool>,
    #[serde(rename = "enableOAuthAppCreation")]
    pub(super) creates: Option<bool>,
    /// `DIRECT`, `EXCHANGED` or `BOTH`.
    pub(super) token_type: Option<String>,
    pub(super) token_endpoint: Option<String>,
    pub(super) revoke_endpoint: Option<String>,
    pub(super) available_grant_types: Option<Vec<String>>,
    /// The properties that a key can have there.
    pub(super) application_configuration: Option<Vec<Setting>>,
    pub(super) additional_properties: Option<Map<String, Value>>,
}

/// A property that a key can have.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) required: Option<bool>,
    pub(super) multiple: Option<bool>,
    pub(super) default: Value,
    pub(super) constraint: Option<Constraint>,
}

/// What the administrator demands of a property: a key has to have it, and so (W35).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Constraint {
    pub(super) value: Value,
}

impl Entry {
    /// Whether it is WSO2's own, and not behind a connector.
    pub(super) fn is_resident(&self) -> bool {
        self.kind.as_deref().is_none_or(|kind| kind == "default")
    }

    /// Whether it is an Okta behind WSO2: each change of a client makes another secret there (W25).
    pub(super) fn is_okta(&self) -> bool {
        self.kind
            .as_deref()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("okta"))
    }

    /// Whether a client can have several secrets.
    pub(super) fn keeps_several_secrets(&self) -> bool {
        let property = self.additional_properties.as_ref();
        let said = property.and_then(|all| all.get("enable_multiple_client_secrets"));
        said.is_some_and(|said| said == "true" || *said == true)
    }

    /// The property of this name, where a key can have it.
    pub(super) fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings().find(|setting| setting.name == name)
    }

    pub(super) fn settings(&self) -> impl Iterator<Item = &Setting> {
        self.application_configuration.iter().flatten()
    }

    /// Whether calls name it so.
    pub(super) fn is_called(&self, name: &str) -> bool {
        // The list of keys has the name, a single read the id, and other answers what was sent (W15).
        self.name == name || self.id == name
    }

    /// What stands against its use, for whoever runs WSO2.
    fn refuse(&self) -> Result<(), Error> {
        let name = &self.name;
        let text = if self.enabled == Some(false) {
            format!("key manager {name} inside WSO2 is disabled: whoever runs WSO2 can enable it")
        } else if self.creates == Some(false) || self.token_type.as_deref() == Some("EXCHANGED") {
            format!(
                "key manager {name} inside WSO2 makes no clients: choose another in spec.wso2.keyManager, or ask whoever runs WSO2 to switch that on"
            )
        } else {
            return Ok(());
        };
        Err(Error::new(Category::InvalidRequest, text))
    }
}

impl Portal {
    /// The key managers inside WSO2. The resident one is made there when they are asked for first (W32).
    pub(super) async fn entries(&self) -> Result<Vec<Entry>, Error> {
        const STEP: &str = "list the key managers inside WSO2";
        #[derive(Deserialize)]
        struct List {
            list: Vec<Entry>,
        }
        let reply = self.ask(Call::get(STEP, "/key-managers")).await?;
        match reply.status.as_u16() {
            404 | 405 => {
                let text = format!(
                    "{STEP}: there is no Developer Portal API at {}: 4.0 and 4.1 have another spec.wso2.devPortalPath than later versions",
                    self.base
                );
                Err(Error::new(Category::InvalidRequest, text))
            }
            _ if reply.status.is_success() => Ok(reply.json::<List>()?.list),
            _ => Err(refusal::explain(STEP, &reply)),
        }
    }

    /// The one of this name, where clients can be made there.
    pub(super) async fn entry(&self, name: &str) -> Result<Entry, Error> {
        let all = self.entries().await?;
        let found = all.iter().find(|entry| entry.is_called(name)).cloned();
        let Some(found) = found else {
            let names: Vec<_> = all.iter().map(|entry| entry.name.as_str()).collect();
            let text = format!(
                "there is no key manager {name} inside WSO2 (spec.wso2.keyManager): there are {}",
                names.join(", ")
            );
            return Err(Error::new(Category::InvalidRequest, text));
        };
        found.refuse()?;
        Ok(found)
    }
}
