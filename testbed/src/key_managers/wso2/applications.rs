//! Calls on applications.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Application, Attribute, State, Switch, Version,
    access::Caller,
    answer::Outcome,
    application::{Described, Waiting},
    client::uuid,
    request::Fields,
};
use crate::key_managers::double::{Answer, Ask};

const FIELDS: &[&str] = &[
    "applicationId",
    "name",
    "throttlingPolicy",
    "description",
    "tokenType",
    "status",
    "groups",
    "subscriptionCount",
    "keys",
    "attributes",
    "subscriptionScopes",
    "owner",
    "hashEnabled",
    "createdTime",
    "updatedTime",
    // The last one is new in 4.5.
    "visibility",
];

impl State {
    /// The applications that a user sees. `query` is part of the name, whatever the documentation says.
    pub(super) fn list_applications(&self, caller: &Caller, ask: &Ask) -> Answer {
        let part = ask.query("query").unwrap_or_default().to_lowercase();
        let mut all: Vec<_> = self
            .applications
            .values()
            .filter(|one| self.sees(&caller.user, one))
            .collect();
        all.retain(|one| one.described.name.to_lowercase().contains(&part));
        match ask.query("sortBy") {
            Some("throttlingPolicy") => all.sort_by_key(|one| one.described.policy.clone()),
            Some("status") => all.sort_by_key(|one| one.status),
            _ => all.sort_by_key(|one| one.described.name.to_lowercase()),
        }
        if ask.query("sortOrder") == Some("desc") {
            all.reverse();
        }
        let (offset, limit) = (ask.number("offset").unwrap_or(0), ask.number("limit").unwrap_or(25));
        let page: Vec<_> = all
            .iter()
            .skip(offset)
            .take(limit)
            .map(|one| one.info(&self.settings))
            .collect();
        let link = |offset: usize| json!(format!("/applications?limit={limit}&offset={offset}&query={part}"));
        let next = if offset + limit < all.len() {
            link(offset + limit)
        } else {
            json!("")
        };
        let previous = if offset > 0 {
            link(offset.saturating_sub(limit))
        } else {
            json!("")
        };
        let pagination =
            json!({"offset": offset, "limit": limit, "total": all.len(), "next": next, "previous": previous});
        Answer::json(
            200,
            json!({"count": page.len(), "list": page, "pagination": pagination}),
        )
    }

    /// Makes an application: 201, also where it waits for approval.
    pub(super) fn create_application(&mut self, caller: &Caller, ask: &Ask) -> Outcome {
        let described = self.described(ask)?;
        let namesake = |one: &&Application| {
            one.described.name == described.name
                && (one.owner == caller.user
                    || one
                        .described
                        .groups
                        .iter()
                        .any(|group| described.groups.contains(group)))
        };
        if self.applications.values().find(namesake).is_some() {
            return Err(conflict(&described.name));
        }
        let waits = self.settings.has(Switch::ApproveApplications);
        let application = self.new_application(&caller.user, described, waits);
        let (shown, id) = (application.shown(&self.settings), application.id.clone());
        self.applications.insert(id.clone(), application);
        Ok(Answer::json(201, shown).with("location", format!("/applications/{id}")))
    }

    fn new_application(&self, owner: &str, described: Described, waits: bool) -> Application {
        let now = self.millis();
        Application {
            id: uuid(),
            owner: owner.to_owned(),
            described,
            status: if waits { "CREATED" } else { "APPROVED" },
            waiting: waits.then_some(Waiting::Creation),
            created: now,
            updated: now,
        }
    }

    pub(super) fn add_default_application(&mut self, user: &str) {
        let described = Described {
            name: "DefaultApplication".to_owned(),
            policy: "Unlimited".to_owned(),
            description: Some("This is the default application".to_owned()),
            ..Described::default()
        };
        let application = self.new_application(user, described, false);
        self.applications.insert(application.id.clone(), application);
    }

    /// Reads an application.
    pub(super) fn get_application(&self, caller: &Caller, id: &str) -> Outcome {
        Ok(Answer::json(200, self.visible(&caller.user, id)?.shown(&self.settings)))
    }

    /// Replaces what is described.
    pub(super) fn update_application(&mut self, caller: &Caller, id: &str, ask: &Ask) -> Outcome {
        let old = self.owned(&caller.user, id)?.clone();
        let mut described = self.described(ask)?;
        if described.visibility.is_none() {
            described.visibility.clone_from(&old.described.visibility);
        }
        match old.status {
            "UPDATE_PENDING" => return Err(Answer::error(409, 900_553, "Workflow is in pending state")),
            "CREATED" | "REJECTED" => return Err(Answer::bad("Application is not active")),
            _ => {}
        }
        let name = described.name.to_lowercase();
        let namesake =
            |one: &Application| one.id != id && one.owner == caller.user && one.described.name.to_lowercase() == name;
        if self.applications.values().any(namesake) {
            return Err(conflict(&described.name));
        }
        let (now, waits) = (self.millis(), self.settings.has(Switch::ApproveUpdates));
        let application = self
            .applications
            .get_mut(id)
            .ok_or_else(|| Answer::no_application(id))?;
        if waits {
            application.status = "UPDATE_PENDING";
            application.waiting = Some(Waiting::Update(Box::new(described)));
        } else {
            application.described = described;
            application.updated = now;
        }
        Ok(Answer::json(200, application.shown(&self.settings)))
    }

    /// Deletes an application with its keys, or asks for that.
    pub(super) fn delete_application(&mut self, caller: &Caller, id: &str) -> Outcome {
        let application = self.owned(&caller.user, id)?;
        match (application.status, &application.waiting) {
            ("DELETE_PENDING", Some(_)) => return Err(Answer::empty(400)),
            ("UPDATE_PENDING", _) => return Err(Answer::error(409, 900_553, "Workflow is in pending state")),
            _ => {}
        }
        if self.settings.has(Switch::ApproveDeletions) {
            if let Some(application) = self.applications.get_mut(id) {
                application.status = "DELETE_PENDING";
                application.waiting = Some(Waiting::Deletion);
            }
            return Ok(Answer::empty(201));
        }
        self.remove_application(id)?;
        Ok(Answer::empty(200))
    }

    /// Removes an application. What a key manager fails to delete stays there, and nobody says so.
    ///
    /// # Errors
    /// The Keycloak connector's failures, which end it half way.
    pub(super) fn remove_application(&mut self, id: &str) -> Result<(), Answer> {
        let keys: Vec<_> = self
            .keys
            .values()
            .filter(|key| key.application == id)
            .cloned()
            .collect();
        for key in keys.iter().filter(|key| !key.mapped) {
            if let (Some(client), Some(place)) = (&key.client, self.place_of(key)) {
                let key_manager = &mut self.key_managers[place];
                if key_manager.has(super::Trouble::Disabled) {
                    continue;
                }
                if key_manager.delete(client) == Err(super::connector::Failure::Unchecked) {
                    if let Some(application) = self.applications.get_mut(id) {
                        application.status = "DELETE_PENDING";
                        application.waiting = None;
                    }
                    return Err(Answer::internal());
                }
                self.end_tokens(client);
            }
        }
        self.keys.retain(|_, key| key.application != id);
        self.api_keys.retain(|_, key| key.application != id);
        self.applications.remove(id);
        Ok(())
    }

    /// The body of a create or an update, checked.
    fn described(&self, ask: &Ask) -> Result<Described, Answer> {
        let known = if self.settings.version < Version::V4_5 {
            &FIELDS[..FIELDS.len() - 1]
        } else {
            FIELDS
        };
        let fields = ask.fields(known)?;
        let name = name(&fields)?;
        let policy = fields.required("throttlingPolicy")?;
        let description = fields.text("description")?;
        if description.as_ref().is_some_and(|text| text.chars().count() > 512) {
            return Err(Answer::bad("description: size must be between 0 and 512"));
        }
        if fields
            .text("tokenType")?
            .is_some_and(|kind| kind != "JWT" && kind != "OAUTH")
        {
            return Err(Answer::bad(
                "One or more request body parameters contain disallowed values.",
            ));
        }
        if !self.settings.policies.contains(&policy) {
            return Err(Answer::described(
                400,
                900_305,
                "The tier name is invalid",
                &format!("The tier name {policy} is invalid"),
            ));
        }
        let groups = fields.texts("groups")?.unwrap_or_default();
        let shared = self.settings.has(Switch::Sharing);
        Ok(Described {
            name,
            policy,
            description,
            attributes: self.attributes(fields.map("attributes")?)?,
            groups: if shared { groups } else { vec![] },
            visibility: fields.text("visibility")?,
        })
    }

    /// Those that are configured; the others are dropped.
    fn attributes(&self, sent: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Answer> {
        let configured = &self.settings.attributes;
        let kept = sent
            .into_iter()
            .filter(|(name, _)| configured.iter().any(|one| one.name() == name));
        let kept: BTreeMap<_, _> = kept.collect();
        let missing = |one: &Attribute| matches!(one, Attribute::Required(name) if !kept.contains_key(*name));
        if configured.iter().any(missing) {
            Err(Answer::internal())
        } else {
            Ok(kept)
        }
    }

    /// The key managers of a tenant, disabled ones included. Asking makes the row of the resident one.
    pub(super) fn list_key_managers(&mut self, caller: &Caller) -> Answer {
        let (settings, origin) = (&self.settings, &self.origin);
        let own = self.key_managers.iter_mut().filter(|one| one.tenant == caller.tenant);
        let shown = own.map(|one| {
            one.row = true;
            one.shown(settings, origin)
        });
        let list: Vec<Value> = shown.collect();
        Answer::json(200, json!({"count": list.len(), "list": list}))
    }

    /// The throttling policies of applications.
    pub(super) fn list_policies(&self, level: &str) -> Outcome {
        if level != "application" {
            return Err(Answer::bad("Invalid policy level"));
        }
        let policy = |name: &String| {
            let count = name.strip_suffix("PerMin").and_then(|count| count.parse::<i64>().ok());
            json!({
                "name": name, "description": format!("Allows {name}"), "policyLevel": "application", "attributes": {},
                "requestCount": count.unwrap_or(i64::from(i32::MAX)), "dataUnit": null, "unitTime": 1,
                "timeUnit": "min", "rateLimitCount": 0, "rateLimitTimeUnit": null, "quotaPolicyType": "REQUESTCOUNT",
                "tierPlan": "FREE", "stopOnQuotaReach": true,
            })
        };
        let list: Vec<Value> = self.settings.policies.iter().map(policy).collect();
        let pagination = json!({"offset": 0, "limit": 25, "total": list.len(), "next": "", "previous": ""});
        Ok(Answer::json(
            200,
            json!({"count": list.len(), "list": list, "pagination": pagination}),
        ))
    }

    /// The attributes that are configured.
    pub(super) fn list_attributes(&self) -> Answer {
        let attribute = |one: &Attribute| {
            json!({
                "attribute": one.name(), "description": one.name(), "type": "text", "tooltip": one.name(),
                "required": matches!(one, Attribute::Required(_)).to_string(),
                "hidden": matches!(one, Attribute::Hidden(_)).to_string(),
            })
        };
        let list: Vec<Value> = self.settings.attributes.iter().map(attribute).collect();
        Answer::json(200, json!({"count": list.len(), "list": list}))
    }

    /// What the portal asks for first.
    pub(super) fn get_settings(&self) -> Answer {
        Answer::json(
            200,
            json!({
                "grantTypes": ["refresh_token", "password", "client_credentials", "authorization_code"],
                "scopes": ["apim:api_key", "apim:app_manage", "apim:store_settings", "apim:subscribe", "openid"],
                "applicationSharingEnabled": self.settings.has(Switch::Sharing),
                "mapExistingAuthApps": true,
            }),
        )
    }
}

fn name(fields: &Fields) -> Result<String, Answer> {
    let name = fields.required("name")?;
    if name.chars().count() > 100 {
        return Err(Answer::bad("name: size must be between 1 and 100"));
    }
    if name.trim() != name {
        return Err(Answer::bad(
            "Application name cannot contain leading or trailing white spaces",
        ));
    }
    if !name
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || " ._-".contains(letter))
    {
        return Err(Answer::bad("Application name contains invalid characters"));
    }
    Ok(name)
}

fn conflict(name: &str) -> Answer {
    Answer::described(
        409,
        409,
        "Resource Already Exists",
        &format!("An application already exists with name {name}"),
    )
}
