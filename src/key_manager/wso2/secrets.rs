//! Several secrets of one client (4.7): they are told apart by their descriptions, since WSO2 shows none again.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    portal::{Call, Portal},
    properties::FIRST_SECRET,
    refusal,
};
use crate::key_manager::Error;

/// One secret of a client.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Secret {
    #[serde(rename = "secretId")]
    pub(super) id: String,
    /// Masked, but in the answer that makes it (W9).
    #[serde(rename = "secretValue")]
    value: Option<SecretString>,
    #[serde(rename = "additionalProperties")]
    more: Value,
}

/// A new secret.
#[derive(Debug)]
pub(super) enum Added {
    /// It.
    Secret(SecretString),
    /// The client has as many as it can.
    Full(Error),
}

/// The description of the secret of a credential's version.
fn description(version: i64) -> String {
    format!("appkeys, version {version}")
}

impl Secret {
    fn is_described(&self, text: &str) -> bool {
        self.more["description"] == text
    }

    /// Whether its mask is that of `secret`.
    fn looks_like(&self, secret: &SecretString) -> bool {
        let mask = self
            .value
            .as_ref()
            .map(|value| value.expose_secret().trim_end_matches('*').to_owned());
        mask.is_some_and(|shown| !shown.is_empty() && secret.expose_secret().starts_with(&shown))
    }
}

/// Which of them a published secret is: by its version, or because it is the first one; one that was not made here by what is
/// shown of it. `None` where that cannot be told.
pub(super) fn published<'a>(all: &'a [Secret], version: i64, secret: &SecretString) -> Option<&'a Secret> {
    let only = |fits: &dyn Fn(&&Secret) -> bool| {
        let mut fitting = all.iter().filter(fits);
        fitting.next().filter(|_| fitting.next().is_none())
    };
    let version = description(version);
    if all.iter().any(|one| one.is_described(&version)) {
        return only(&|one| one.is_described(&version));
    }
    if all.iter().any(|one| one.is_described(FIRST_SECRET)) {
        return only(&|one| one.is_described(FIRST_SECRET));
    }
    only(&|one| one.looks_like(secret)).or_else(|| only(&|_| true))
}

impl Portal {
    /// A client's secrets, without what they are.
    pub(super) async fn secrets(&self, application: &str, key: &str) -> Result<Vec<Secret>, Error> {
        #[derive(Deserialize)]
        struct List {
            list: Vec<Secret>,
        }
        let path = format!("/applications/{application}/oauth-keys/{key}/secrets");
        let list: List = self.fetch(Call::get("list a client's secrets", &path)).await?;
        Ok(list.list)
    }

    /// Another secret beside those that the client has.
    pub(super) async fn generate_secret(&self, application: &str, key: &str, version: i64) -> Result<Added, Error> {
        const STEP: &str = "make another secret";
        let path = format!("/applications/{application}/oauth-keys/{key}/generate-secret");
        // Without an end: `expiresIn` is not given.
        let body = json!({"additionalProperties": {"description": description(version)}});
        let reply = self.ask(Call::post(STEP, &path, Some(&body))).await?;
        if refusal::is(&reply, 500, 900_918) {
            return Ok(Added::Full(refusal::explain(STEP, &reply)));
        }
        if !reply.status.is_success() {
            return Err(refusal::explain(STEP, &reply));
        }
        let made: Secret = reply.json()?;
        let value = made.value.filter(|value| !value.expose_secret().is_empty());
        match value {
            Some(value) => Ok(Added::Secret(value)),
            None => Err(refusal::explain(STEP, &reply)),
        }
    }

    /// Ends a secret of this key's client: one that this key's list has, since WSO2 asks not whose it is (W39). False where it is
    /// the latest one, which WSO2 keeps (W20).
    pub(super) async fn revoke_secret(&self, application: &str, key: &str, secret: &Secret) -> Result<bool, Error> {
        const STEP: &str = "end a client's secret";
        let path = format!("/applications/{application}/oauth-keys/{key}/revoke-secret");
        let body = json!({"secretId": secret.id});
        let reply = self.ask(Call::post(STEP, &path, Some(&body))).await?;
        if refusal::is(&reply, 500, 900_919) || refusal::is(&reply, 400, 900_921) {
            return Ok(false);
        }
        if reply.status.is_success() {
            return Ok(true);
        }
        Err(refusal::explain(STEP, &reply))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(id: &str, mask: &str, description: Option<&str>) -> Secret {
        serde_json::from_value(json!({
            "secretId": id, "secretValue": mask, "additionalProperties": {"description": description, "expiresAt": 0},
        }))
        .unwrap()
    }

    #[test]
    fn the_published_secret_is_known_by_its_version_or_as_the_first_one_or_not_at_all() {
        let first = || secret("1", "abc*************", Some(FIRST_SECRET));
        let two = || secret("2", "abc*************", Some("appkeys, version 2"));
        let stale = || secret("3", "xyz*************", Some("appkeys, version 2"));
        let foreign = || secret("4", "def*************", None);
        let hashed = || secret("5", "****************", None);
        let ours = SecretString::from("abcdefgh".to_owned());
        let theirs = SecretString::from("defabcgh".to_owned());
        for (all, version, value, expected) in [
            (vec![first()], 1, &ours, Some("1")),
            (vec![two(), first()], 1, &ours, Some("1")),
            (vec![two(), first()], 2, &ours, Some("2")),
            (vec![stale(), two(), first()], 2, &ours, None),
            // Made anew after a loss: its version is not one.
            (vec![first()], 7, &ours, Some("1")),
            // Adopted.
            (vec![foreign()], 1, &theirs, Some("4")),
            (
                vec![foreign(), secret("6", "abc*************", None)],
                1,
                &theirs,
                Some("4"),
            ),
            (vec![hashed(), hashed()], 1, &theirs, None),
            (vec![hashed()], 1, &theirs, Some("5")),
        ] {
            let found = published(&all, version, value).map(|one| one.id.as_str());
            assert_eq!(found, expected, "{all:?}");
        }
    }
}
