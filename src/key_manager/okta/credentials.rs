//! What an app's client proves itself with: up to two secrets, or up to fifty public keys. Inactive ones count (O9), and only
//! inactive ones can be deleted (O11).
//!
//! A person can add and remove them too. What Appkeys neither made nor adopted stays: a secret of ours has the form that all of ours
//! have and none of Okta's own, a key of ours is named by its thumbprint (RFC 7638).

use http::Method;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    api::Api,
    app::{App, public_key},
    young::not_shown,
};
use crate::{
    api::CredentialKind,
    entropy::Entropy,
    key_manager::{Category, Current, Error, NewSecret, Room, remote::Reply},
};

/// The credentials of one app.
#[derive(Clone, Copy, Debug)]
pub(super) struct Credentials<'a> {
    pub(super) api: &'a Api,
    pub(super) app: &'a App,
    pub(super) kind: CredentialKind,
}

/// A secret or key as the server lists it.
#[derive(Clone, Debug)]
struct Listed {
    id: String,
    active: bool,
    /// The secret, or the key's id.
    value: SecretString,
    created: String,
    ours: bool,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    created: String,
    client_secret: Option<SecretString>,
    kid: Option<SecretString>,
    #[serde(flatten)]
    other: serde_json::Map<String, Value>,
}

impl Listed {
    fn is(&self, value: &SecretString) -> bool {
        self.value.expose_secret() == value.expose_secret()
    }
}

/// The list of an app's keys has three forms, one in each of Okta's texts (O28); that of secrets is plain.
fn items(mut list: Value) -> Value {
    for member in ["jwks", "keys"] {
        if list[member].is_object() || list[member].is_array() {
            list = list[member].take();
        }
    }
    list
}

impl Credentials<'_> {
    fn path(&self) -> &'static str {
        match self.kind {
            CredentialKind::PrivateKey => "/credentials/jwks",
            CredentialKind::Secret | CredentialKind::Nothing => "/credentials/secrets",
        }
    }

    const fn most(&self) -> usize {
        match self.kind {
            CredentialKind::PrivateKey => 50,
            CredentialKind::Secret | CredentialKind::Nothing => 2,
        }
    }

    const fn noun(&self) -> &'static str {
        match self.kind {
            CredentialKind::PrivateKey => "public keys",
            CredentialKind::Secret | CredentialKind::Nothing => "client secrets",
        }
    }

    /// All of them.
    ///
    /// # Errors
    /// [`Category::MissingPermission`] where the secrets themselves are not shown: which is which cannot be told then.
    async fn list(&self) -> Result<Vec<Listed>, Error> {
        let step = format!("list an app's {}", self.noun());
        let reply = self.below(&step, Method::GET, self.path(), None).await?;
        let all = items(reply.json()?);
        let all: Vec<Item> = serde_json::from_value(all).map_err(|_| {
            let text = format!("{step}: the list has a form that is not known");
            Error::new(Category::Unreachable, text)
        })?;
        let adopted = self.app.adopted();
        let one = |item: Item| {
            let (value, ours) = match self.kind {
                CredentialKind::PrivateKey => {
                    let ours = is_named_by_thumbprint(&item);
                    (item.kid, ours)
                }
                CredentialKind::Secret | CredentialKind::Nothing => {
                    let made = item.client_secret.as_ref().is_some_and(Entropy::is_client_secret);
                    (item.client_secret, made || adopted.contains(&item.id.as_str()))
                }
            };
            let value = value.ok_or_else(|| {
                let text = format!(
                    "{step}: the operator's role does not show them, so that nobody can tell which is which: give it the permission okta.apps.clientCredentials.read"
                );
                Error::new(Category::MissingPermission, text)
            })?;
            Ok(Listed {
                id: item.id,
                active: item.status == "ACTIVE",
                value,
                created: item.created,
                ours,
            })
        };
        all.into_iter().map(one).collect()
    }

    /// Calls what is below the app, which was there a moment ago.
    ///
    /// # Errors
    /// [`Category::NotYet`] where it, or what is meant of it, is not seen now.
    async fn below(&self, step: &str, method: Method, path: &str, body: Option<&Value>) -> Result<Reply, Error> {
        let reply = self.api.below(step, method, self.app.id(), path, body).await?;
        reply.ok_or_else(|| not_shown(self.app.client_id()))
    }

    /// What tells a credential from others, and what Okta is given of it.
    fn told(&self, credential: &SecretString) -> Result<(SecretString, Value), Error> {
        Ok(match self.kind {
            CredentialKind::PrivateKey => {
                let (id, jwk) = public_key(credential)?;
                (id.into(), jwk)
            }
            CredentialKind::Secret | CredentialKind::Nothing => (
                credential.clone(),
                json!({"client_secret": credential.expose_secret(), "status": "ACTIVE"}),
            ),
        })
    }

    /// The newest one of ours that works, where secrets are shown.
    pub(super) async fn newest(&self) -> Result<Option<SecretString>, Error> {
        let all = match self.list().await {
            Ok(all) => all,
            Err(error) if error.category == Category::MissingPermission => return Ok(None),
            Err(error) => return Err(error),
        };
        let ours = all.into_iter().filter(|one| one.active && one.ours);
        // Of one second the later in the list (O27).
        Ok(ours.max_by(|a, b| a.created.cmp(&b.created)).map(|one| one.value))
    }

    /// The id of this one.
    pub(super) async fn id_of(&self, credential: &SecretString) -> Result<Option<String>, Error> {
        let (value, _) = self.told(credential)?;
        let all = self.list().await?;
        Ok(all.into_iter().find(|one| one.is(&value)).map(|one| one.id))
    }

    /// Adds one. Repeatable: what an earlier try left is ours, and unpublished. False where such a one is in the way.
    pub(super) async fn add(&self, new: &NewSecret<'_>) -> Result<bool, Error> {
        let mut all = self.list().await?;
        let published = new.published.map(|secret| self.told(secret)).transpose()?;
        let is_published = |one: &Listed| published.as_ref().is_some_and(|(value, _)| one.is(value));
        let mut going: Vec<_> = all
            .iter()
            .filter(|one| one.ours && (new.room == Room::Only || !is_published(one)))
            .cloned()
            .collect();
        if new.room == Room::Keep && going.iter().any(|one| one.active) {
            return Ok(false);
        }
        // What does not work goes first: nobody is cut off by that.
        going.sort_by_key(|one| one.active);
        while all.len() >= self.most() {
            let others = |one: &Listed| !one.active || all.iter().any(|other| other.active && other.id != one.id);
            let Some(place) = going.iter().position(others) else {
                return Err(self.full());
            };
            let one = going.remove(place);
            self.drop(&one).await?;
            all.retain(|other| other.id != one.id);
        }
        let (_, body) = self.told(new.secret)?;
        let step = format!("add to an app's {}", self.noun());
        self.below(&step, Method::POST, self.path(), Some(&body)).await?;
        for one in &going {
            self.drop(one).await?;
        }
        Ok(true)
    }

    /// Ends all of ours but `current`.
    pub(super) async fn keep_only(&self, current: &Current<'_>) -> Result<(), Error> {
        let all = self.list().await?;
        let (value, _) = self.told(current.secret)?;
        if !all.iter().any(|one| one.active && one.is(&value)) {
            let text = format!(
                "client {} has other {} than the published one",
                self.app.client_id(),
                self.noun()
            );
            return Err(Error::new(Category::NotYet, text));
        }
        for one in all.iter().filter(|one| one.ours && !one.is(&value)) {
            self.drop(one).await?;
        }
        Ok(())
    }

    /// Deactivates one and deletes it.
    async fn drop(&self, one: &Listed) -> Result<(), Error> {
        let step = format!("end one of an app's {}", self.noun());
        let path = format!("{}/{}", self.path(), one.id);
        if one.active {
            let deactivate = format!("{path}/lifecycle/deactivate");
            self.below(&step, Method::POST, &deactivate, None).await?;
        }
        self.below(&step, Method::DELETE, &path, None).await.map(drop)
    }

    fn full(&self) -> Error {
        let text = format!(
            "app {} has all the {} that Okta allows ({}), and one that somebody else made is not taken away: delete one in the Admin Console (Applications, {}, General)",
            self.app.id(),
            self.noun(),
            self.most(),
            self.app.label()
        );
        Error::new(Category::InvalidRequest, text)
    }
}

fn is_named_by_thumbprint(item: &Item) -> bool {
    let jwk = serde_json::from_value::<Jwk>(Value::Object(item.other.clone())).ok();
    let thumbprint = jwk.and_then(|jwk| jwk.thumbprint(ThumbprintHash::SHA256).ok());
    let kid = item.kid.as_ref().map(|kid| kid.expose_secret().to_owned());
    thumbprint.is_some() && thumbprint == kid
}
