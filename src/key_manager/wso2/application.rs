//! Applications in WSO2: one for each Application, found by the hash in its name and by its mark, shared by its keys.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    portal::{Call, Portal},
    refusal,
};
use crate::{
    key_manager::{Category, Client, Error, Properties},
    plan::identity,
};

/// The longest name and description, in characters.
const LIMITS: (usize, usize) = (100, 512);

/// Which application of WSO2 is meant, whatever it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Which {
    /// Ends its name.
    pub(super) hash: String,
    /// The last line of its description: whose it is.
    mark: String,
    /// The name of the Application, for people.
    application: String,
}

/// An application as WSO2's list has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Found {
    #[serde(rename = "applicationId")]
    pub(super) id: String,
    name: String,
    throttling_policy: Option<String>,
    description: Option<String>,
    status: Option<String>,
    groups: Option<Vec<String>>,
    attributes: Option<BTreeMap<String, Option<String>>>,
}

impl Which {
    /// That of a client.
    ///
    /// # Errors
    /// It is not known which.
    pub(super) fn of(client: &Client) -> Result<Self, Error> {
        let (mark, application) = (&client.mark, &client.place.application);
        if client.place.is_unknown() {
            let text = format!("it is not known to which Application client {} belongs", client.id);
            return Err(Error::new(Category::InvalidRequest, text));
        }
        Ok(Self {
            hash: identity::short_hash(&["application", &mark.cluster_id, &mark.namespace, application]),
            mark: format!(
                "appkeys.dev/owner: {}/{}/{application}",
                mark.cluster_id, mark.namespace
            ),
            application: application.clone(),
        })
    }

    /// Its name: that for people as far as WSO2 takes it, and the hash.
    fn name(&self, display_name: &str) -> String {
        let allowed = |c: char| {
            if c.is_ascii_alphanumeric() || " ._-".contains(c) {
                c
            } else {
                '-'
            }
        };
        let room = LIMITS.0 - self.hash.len() - 1;
        let readable: String = display_name.trim().chars().map(allowed).take(room).collect();
        format!("{}-{}", readable.trim(), self.hash)
    }

    fn description(&self, properties: &Properties) -> String {
        let described = properties.application_properties.as_ref();
        let text = described.and_then(|described| described.description.as_deref());
        let room = LIMITS.1.saturating_sub(self.mark.chars().count() + 1);
        let text: String = text.unwrap_or_default().chars().take(room).collect();
        if text.is_empty() {
            return self.mark.clone();
        }
        format!("{text}\n{}", self.mark)
    }

    /// It as it should be.
    fn wanted(&self, properties: &Properties, policy: &str) -> Wanted {
        let described = properties.application_properties.clone().unwrap_or_default();
        let block = described.vendor.wso2.clone().unwrap_or_default();
        Wanted {
            name: self.name(&properties.display_name),
            description: self.description(properties),
            policy: block.throttling_policy.unwrap_or_else(|| policy.to_owned()),
            groups: block.groups,
            attributes: described.attributes,
        }
    }

    /// Whether an application of the list is this one. The list has parts of names, and applications of others (W4).
    fn is(&self, found: &Found) -> bool {
        let named = found
            .name
            .strip_suffix(&self.hash)
            .is_some_and(|rest| rest.ends_with('-'));
        let last = found.description.as_deref().unwrap_or_default().lines().last();
        named && last.is_some_and(|last| last.trim() == self.mark)
    }

    fn taken(&self, name: &str) -> Error {
        let text = format!(
            "there is an application {name} in WSO2 already that is not that of Application {}: it is left as it is; rename or delete it there",
            self.application
        );
        Error::new(Category::ClientConflict, text)
    }
}

/// An application as it should be.
#[derive(Debug)]
struct Wanted {
    name: String,
    description: String,
    policy: String,
    groups: Vec<String>,
    attributes: BTreeMap<String, String>,
}

impl Wanted {
    fn body(&self) -> Value {
        json!({
            "name": self.name, "throttlingPolicy": self.policy, "description": self.description,
            "groups": self.groups, "attributes": self.attributes,
        })
    }

    /// What of it is otherwise. Groups are dropped where WSO2 shares nothing, and attributes that nobody configured.
    fn differences(&self, found: &Found) -> Vec<&'static str> {
        let attributes = found.attributes.clone().unwrap_or_default();
        let attribute = |name: &String| attributes.get(name).cloned().flatten();
        let stale = self
            .attributes
            .iter()
            .any(|(name, value)| attribute(name).is_some_and(|has| has != *value));
        let groups = found.groups.clone().unwrap_or_default();
        let grouped = !groups.is_empty() && groups != self.groups;
        let all = [
            ("name", found.name != self.name),
            ("description", found.description.as_deref() != Some(&self.description)),
            (
                "throttling policy",
                found.throttling_policy.as_deref() != Some(&self.policy),
            ),
            ("groups", grouped),
            ("attributes", stale),
        ];
        all.into_iter()
            .filter_map(|(what, differs)| differs.then_some(what))
            .collect()
    }
}

impl Found {
    /// Whether keys can be made in it.
    pub(super) fn is_approved(&self) -> Result<(), Error> {
        let name = &self.name;
        let (category, text) = match self.status.as_deref() {
            Some("CREATED") => (
                Category::PendingApproval,
                format!("application {name} waits in WSO2 until an administrator approves it"),
            ),
            Some("REJECTED") => (
                Category::InvalidRequest,
                format!(
                    "an administrator of WSO2 has rejected application {name}: delete it there, and it is asked for again"
                ),
            ),
            Some("DELETE_PENDING") => (
                Category::PendingApproval,
                format!("application {name} is being deleted in WSO2, which an administrator has to approve first"),
            ),
            _ => return Ok(()),
        };
        Err(Error::new(category, text))
    }
}

impl Portal {
    /// The application, where it is there.
    pub(super) async fn find_application(&self, which: &Which) -> Result<Option<Found>, Error> {
        const STEP: &str = "look for the application";
        // The hash is a part of its name, which may have changed; what is found is compared in full.
        let found: Vec<Found> = self.list(STEP, "/applications", &which.hash).await?;
        let mut ours = found.into_iter().filter(|found| which.is(found));
        match (ours.next(), ours.next()) {
            (found, None) => Ok(found),
            (Some(one), Some(_)) => Err(which.taken(&one.name)),
            (None, Some(_)) => Ok(None),
        }
    }

    /// The application, made where it is not there; and whether it was made.
    pub(super) async fn application(
        &self,
        which: &Which,
        properties: &Properties,
        policy: &str,
    ) -> Result<(Found, bool), Error> {
        const STEP: &str = "make the application";
        if let Some(found) = self.find_application(which).await? {
            found.is_approved()?;
            return Ok((found, false));
        }
        let wanted = which.wanted(properties, policy);
        let body = wanted.body();
        let reply = self.ask(Call::post(STEP, "/applications", Some(&body))).await?;
        if reply.status == StatusCode::CONFLICT {
            return Err(self.taken(which, &wanted.name).await?);
        }
        if !reply.status.is_success() {
            return Err(refusal::explain(STEP, &reply));
        }
        let made: Found = reply.json()?;
        // One that waits for approval is answered like any other (W18).
        made.is_approved()?;
        Ok((made, true))
    }

    /// Why there is an application of this name and not ours: it is another's, or was made just now.
    async fn taken(&self, which: &Which, name: &str) -> Result<Error, Error> {
        let all: Vec<Found> = self.list("look for the application", "/applications", name).await?;
        let ours = all.iter().any(|found| which.is(found));
        Ok(if ours {
            Error::new(Category::NotYet, format!("application {name} was made a moment ago"))
        } else {
            which.taken(name)
        })
    }

    /// Gives the application its name and the rest; what it does not say of itself is left as it is.
    pub(super) async fn describe(
        &self,
        which: &Which,
        found: &Found,
        properties: &Properties,
        policy: &str,
    ) -> Result<(), Error> {
        const STEP: &str = "change the application";
        let wanted = which.wanted(properties, policy);
        if wanted.differences(found).is_empty() {
            return Ok(());
        }
        let path = format!("/applications/{}", found.id);
        let body = wanted.body();
        let reply = self.ask(Call::put(STEP, &path, &body)).await?;
        match reply.status {
            StatusCode::CONFLICT if refusal::is(&reply, 409, 409) => Err(which.taken(&wanted.name)),
            status if status.is_success() => {
                let now: Found = reply.json()?;
                if now.status.as_deref() == Some("UPDATE_PENDING") {
                    let text = format!(
                        "a change of application {} waits in WSO2 until an administrator approves it",
                        found.name
                    );
                    return Err(Error::new(Category::PendingApproval, text));
                }
                Ok(())
            }
            _ => Err(refusal::explain(STEP, &reply)),
        }
    }

    /// What of the application is otherwise than it should be.
    pub(super) fn described_otherwise(
        which: &Which,
        found: &Found,
        properties: &Properties,
        policy: &str,
    ) -> Vec<String> {
        let wanted = which.wanted(properties, policy);
        let all = wanted.differences(found).into_iter();
        all.map(|what| format!("the application's {what}")).collect()
    }

    /// Deletes an application with all that is in it. Repeatable.
    pub(super) async fn delete_application(&self, found: &Found) -> Result<(), Error> {
        const STEP: &str = "delete the application";
        let path = format!("/applications/{}", found.id);
        let reply = self.ask(Call::delete(STEP, &path)).await?;
        let waits = || {
            let text = format!(
                "the deletion of application {} waits in WSO2 until an administrator approves it",
                found.name
            );
            Error::new(Category::PendingApproval, text)
        };
        match reply.status.as_u16() {
            // 201 has begun to wait, and so has an empty 400 (W18).
            201 | 202 => Err(waits()),
            400 if reply.body().is_empty() => Err(waits()),
            404 => Ok(()),
            _ if reply.status.is_success() => Ok(()),
            _ => Err(refusal::explain(STEP, &reply)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::Environment,
        key_manager::{ApplicationProperties, Mark, Place, testing},
    };

    fn which() -> Which {
        Which::of(&Client {
            id: "id".into(),
            mark: Mark {
                cluster_id: "c".into(),
                namespace: "team".into(),
                name: "k".into(),
            },
            place: Place {
                application: "shop".into(),
                environment: Environment::Sandbox,
            },
            management: None,
        })
        .unwrap()
    }

    #[test]
    fn a_name_is_what_wso2_takes_of_it_and_the_hash() {
        let which = which();
        for (display, name) in [
            ("Web shop", "Web shop-"),
            ("  Caf\u{e9} & Co. ", "Caf- - Co.-"),
            ("", "-"),
        ] {
            assert_eq!(which.name(display), format!("{name}{}", which.hash));
        }
        let long = which.name(&"x".repeat(300));
        assert_eq!(long.len(), 100);
        assert!(long.ends_with(&which.hash));
    }

    #[test]
    fn the_mark_is_the_last_line_whatever_is_described() {
        let which = which();
        let described = |text: Option<&str>| Properties {
            application_properties: Some(ApplicationProperties {
                description: text.map(str::to_owned),
                ..ApplicationProperties::default()
            }),
            ..testing::properties()
        };
        for text in [
            None,
            Some(""),
            Some("For the web shop.\nTwo lines"),
            Some(&*"\u{e9}".repeat(600)),
        ] {
            let description = which.description(&described(text));
            assert!(description.chars().count() <= 512);
            assert_eq!(description.lines().last(), Some(which.mark.as_str()));
        }
    }

    #[test]
    fn w4_what_only_looks_alike_is_another_s() {
        let which = which();
        let found = |name: &str, description: &str| Found {
            name: name.into(),
            description: Some(description.into()),
            ..Found::default()
        };
        let (hash, mark) = (&which.hash, &which.mark);
        let name = format!("Web shop-{hash}");
        for (name, description, ours) in [
            (&*name, mark.clone(), true),
            (&*name, format!("text\n{mark}\n"), true),
            (&*format!("Another name-{hash}"), mark.clone(), true),
            (&*name, format!("{mark}\nmore"), false),
            (&*name, String::new(), false),
            (&*format!("{name}-2"), mark.clone(), false),
            (&*format!("x{hash}"), mark.clone(), false),
            (&*name, mark.replace("shop", "shop2"), false),
        ] {
            assert_eq!(which.is(&found(name, &description)), ours, "{name}: {description}");
        }
    }
}
