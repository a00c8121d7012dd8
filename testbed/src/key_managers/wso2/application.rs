//! Applications of the Developer Portal, as they are kept and shown.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Attribute, Settings, Switch, Version};

/// What an application waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Waiting {
    /// Its creation.
    Creation,
    /// A change to this.
    Update(Box<Described>),
    /// Its deletion.
    Deletion,
}

/// The part of an application that a client writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Described {
    /// The name.
    pub name: String,
    /// The throttling policy.
    pub policy: String,
    /// The description.
    pub description: Option<String>,
    /// Attributes that are configured.
    pub attributes: BTreeMap<String, String>,
    /// Groups that it is shared with.
    pub groups: Vec<String>,
    /// Its visibility, from 4.5.
    pub visibility: Option<String>,
}

/// An application.
#[derive(Clone, Debug, PartialEq)]
pub struct Application {
    /// Its id.
    pub id: String,
    /// Its owner: the user who made it.
    pub owner: String,
    /// What is described.
    pub described: Described,
    /// `APPROVED`, `CREATED`, `REJECTED`, `UPDATE_PENDING`, `UPDATE_REJECTED`, `DELETE_PENDING`.
    pub status: &'static str,
    /// What it waits for, if anything.
    pub waiting: Option<Waiting>,
    /// When it was made, in milliseconds.
    pub created: i64,
    /// When it was changed last, in milliseconds.
    pub updated: i64,
}

impl Application {
    /// The full form.
    pub(super) fn shown(&self, settings: &Settings) -> Value {
        let mut shown = self.info(settings);
        shown["hashEnabled"] = json!(settings.has(Switch::HashedSecrets));
        // Declared, and always empty: the keys have a list of their own.
        shown["keys"] = json!([]);
        shown["subscriptionScopes"] = json!([]);
        if settings.version >= Version::V4_5 {
            shown["visibility"] = json!(self.described.visibility.as_deref().unwrap_or("PRIVATE"));
        }
        shown
    }

    /// The form in lists.
    pub(super) fn info(&self, settings: &Settings) -> Value {
        let described = &self.described;
        json!({
            "applicationId": self.id,
            "name": described.name,
            "throttlingPolicy": described.policy,
            "description": described.description,
            "tokenType": "JWT",
            "status": self.status,
            "groups": described.groups,
            "subscriptionCount": 0,
            "attributes": self.attributes(settings),
            "owner": self.owner,
            "createdTime": self.created.to_string(),
            "updatedTime": self.updated.to_string(),
        })
    }

    /// All that are configured, "" where none is set, without the hidden ones.
    fn attributes(&self, settings: &Settings) -> Value {
        let shown = settings
            .attributes
            .iter()
            .filter(|one| !matches!(one, Attribute::Hidden(_)));
        let pair = |one: &Attribute| {
            let value = self.described.attributes.get(one.name()).cloned().unwrap_or_default();
            (one.name().to_owned(), Value::String(value))
        };
        Value::Object(shown.map(pair).collect())
    }
}
