//! The verbs of a key manager at one Keycloak realm.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use super::{
    admin::{Admin, Created},
    representation::{self, Representation},
    scopes, words,
};
use crate::{
    api::CredentialKind,
    clock::Clock,
    entropy::Entropy,
    key_manager::{
        Answer, Capabilities, Category, Changed, Client, Compared, Current, Endpoints, Error, KeyManager, Mark,
        NewSecret, Properties, Registered, Room, SecretAdded, TokenAnswer, TokenRequest,
        remote::{self, HttpClient, TokenEndpoint},
    },
};

/// A realm.
#[derive(Debug)]
pub(super) struct KeycloakDriver {
    pub(super) admin: Admin,
    /// The operator's own client, which is nobody else's.
    pub(super) operator: String,
    pub(super) http: HttpClient,
    pub(super) capabilities: Capabilities,
    pub(super) endpoints: Endpoints,
    pub(super) clock: Clock,
    pub(super) entropy: Entropy,
    /// Whether the realm can have policies that give secrets an end.
    pub(super) rotation: bool,
}

impl KeycloakDriver {
    /// The client of this id, where it carries one of these marks.
    async fn owned(&self, id: &str, marks: &[&Mark]) -> Result<Option<Representation>, Error> {
        let Some(found) = self.admin.find(id).await? else {
            return Ok(None);
        };
        if marks.iter().any(|mark| found.is_marked(mark)) {
            return Ok(Some(found));
        }
        Err(foreign(id))
    }

    /// Gives a client that is ours these properties.
    async fn give(&self, now: Representation, properties: &Properties) -> Result<Changed, Error> {
        self.admin.scope_ids(&scopes::all(properties)).await?;
        let changes = now.scope_changes(properties);
        // What is withdrawn goes first: a process that dies in between leaves less, not more.
        for (how, scope) in &changes.gone {
            self.admin.assign(&now.id, *how, scope, false).await?;
        }
        let body = representation::change(&now, properties)?;
        if !self.admin.put(&now.id, &body).await? {
            return Ok(Changed::NotThere);
        }
        for (how, scope) in &changes.new {
            self.admin.assign(&now.id, *how, scope, true).await?;
        }
        Ok(Changed::done())
    }

    /// Another key beside the published one: both are in the client's `jwks` until the old one is taken out.
    async fn add_key(&self, now: &Representation, new: NewSecret<'_>) -> Result<SecretAdded, Error> {
        let published = new.published.map(representation::public_key).transpose()?;
        let added = representation::public_key(new.secret)?;
        let known = |id: &str| published.as_ref().is_some_and(|key| key.id == id);
        let occupied = published.is_none() || now.keys().iter().any(|key| !known(&key.id));
        let keys = match new.room {
            Room::Keep if occupied => return Ok(SecretAdded::Occupied),
            Room::Only => vec![added],
            Room::Keep | Room::Replace => published.into_iter().chain([added]).collect(),
        };
        let there = self.admin.put(&now.id, &representation::with_keys(now, &keys)).await?;
        Ok(if there {
            SecretAdded::Added(new.secret.clone())
        } else {
            SecretAdded::NotThere
        })
    }

    /// No key but this one.
    async fn keep_key(&self, now: &Representation, current: &SecretString) -> Result<Changed, Error> {
        let current = representation::public_key(current)?;
        let keys = now.keys();
        if keys.iter().all(|key| key.id != current.id) {
            let text = format!("client {} has other keys than the published one", now.client_id);
            return Err(Error::new(Category::NotYet, text));
        }
        if keys.len() == 1 {
            return Ok(Changed::done());
        }
        let there = self
            .admin
            .put(&now.id, &representation::with_keys(now, &[current]))
            .await?;
        Ok(if there { Changed::done() } else { Changed::NotThere })
    }

    /// Whether the secret before the new one still works: workloads hold it until they see the new one.
    async fn still_works(&self, client: &Representation, published: &SecretString) -> Result<bool, Error> {
        if !client.has_client_credentials() {
            // Nothing but a read can tell.
            let again = self.admin.find(&client.client_id).await?;
            return Ok(again.is_some_and(|again| again.rotated_ends().is_some()));
        }
        let request = TokenRequest {
            client_id: &client.client_id,
            code_for: None,
            secret: published,
            authentication: crate::api::ClientAuthentication::ClientSecretBasic,
            scopes: &[],
            resource: None,
        };
        Ok(!matches!(self.token(request).await?, TokenAnswer::InvalidClient))
    }
}

fn foreign(id: &str) -> Error {
    let text = format!(
        "there is a client {id} already that is not this key's: it is left as it is; choose another spec.clientId"
    );
    Error::new(Category::ClientConflict, text)
}

#[async_trait]
impl KeyManager for KeycloakDriver {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    async fn register(
        &self,
        client: &Client,
        properties: &Properties,
        secret: &SecretString,
        _attempt: Option<&str>,
    ) -> Result<Registered, Error> {
        self.admin.scope_ids(&scopes::all(properties)).await?;
        let body = representation::creation(&client.id, properties, secret)?;
        if self.admin.create(&body).await? == Created::Exists {
            let ours = self.owned(&client.id, &[&client.mark, &properties.mark]).await?;
            return match ours {
                Some(_) => Ok(Registered::Exists),
                None => Err(Error::new(
                    Category::NotYet,
                    format!(
                        "the server says that there is a client {} and does not show it: it was deleted a moment ago, or another one, whose id differs in upper and lower case only, has the service account that this one needs",
                        client.id
                    ),
                )),
            };
        }
        // Only secrets end by a policy, and only a read tells when.
        let may_end = self.rotation && properties.authentication.credential() == CredentialKind::Secret;
        let made = if may_end {
            self.admin.find(&client.id).await?
        } else {
            None
        };
        Ok(Registered::Made(Answer {
            id: client.id.clone(),
            secret: secret.clone(),
            management: None,
            secret_ends: made.and_then(|made| made.secret_ends()),
            differences: vec![],
        }))
    }

    async fn find(&self, _client: &Client, _attempt: &str) -> Result<Option<Answer>, Error> {
        Ok(None)
    }

    async fn update(&self, client: &Client, properties: &Properties) -> Result<Changed, Error> {
        match self.owned(&client.id, &[&client.mark, &properties.mark]).await? {
            Some(now) => self.give(now, properties).await,
            None => Ok(Changed::NotThere),
        }
    }

    async fn compare(&self, client: &Client, properties: &Properties) -> Result<Compared, Error> {
        Ok(match self.owned(&client.id, &[&client.mark, &properties.mark]).await? {
            Some(now) => Compared::Differs(representation::differences(&now, properties)?, None),
            None => Compared::NotThere,
        })
    }

    async fn adopt(&self, client: &Client, properties: &Properties, _secret: &SecretString) -> Result<Changed, Error> {
        let Some(now) = self.admin.find(&client.id).await? else {
            return Ok(Changed::NotThere);
        };
        if client.id == self.operator || now.is_others(&properties.mark) {
            return Err(foreign(&client.id));
        }
        if now.public_client {
            // The server lets it pass with any secret, so that nothing was proved.
            let text = format!(
                "client {} is public and has nothing that proves whose it is: it cannot be adopted",
                client.id
            );
            return Err(Error::new(Category::InvalidRequest, text));
        }
        self.give(now, properties).await
    }

    async fn add_secret(&self, client: &Client, new: NewSecret<'_>) -> Result<SecretAdded, Error> {
        let Some(now) = self.owned(&client.id, &[&client.mark]).await? else {
            return Ok(SecretAdded::NotThere);
        };
        if new.kind == CredentialKind::PrivateKey {
            return self.add_key(&now, new).await;
        }
        let published = match (new.room, new.published) {
            (Room::Only, _) | (Room::Replace, None) => {
                let body = representation::only_secret(&now, new.secret, self.clock.now());
                let there = self.admin.put(&now.id, &body).await?;
                return Ok(if there {
                    SecretAdded::Added(new.secret.clone())
                } else {
                    SecretAdded::NotThere
                });
            }
            (Room::Keep, None) => return Ok(SecretAdded::Occupied),
            (Room::Keep, Some(published)) if !now.has_secret(published) => return Ok(SecretAdded::Occupied),
            (_, Some(published)) => published,
        };
        if !now.keeps_two() {
            // The same change would end the published secret at once.
            return Ok(SecretAdded::OneSecret);
        }
        let body = representation::second_secret(&now, new.secret, published, self.clock.now());
        if !self.admin.put(&now.id, &body).await? {
            return Ok(SecretAdded::NotThere);
        }
        Ok(if self.still_works(&now, published).await? {
            SecretAdded::Added(new.secret.clone())
        } else {
            SecretAdded::Alone(new.secret.clone())
        })
    }

    async fn read_secret(&self, client: &Client) -> Result<Option<Answer>, Error> {
        let now = self.owned(&client.id, &[&client.mark]).await?;
        Ok(now.and_then(|now| {
            Some(Answer {
                id: now.client_id.clone(),
                secret_ends: now.secret_ends(),
                secret: now.secret?,
                management: None,
                differences: vec![],
            })
        }))
    }

    async fn retire(&self, client: &Client, current: Current<'_>, end: Timestamp) -> Result<Changed, Error> {
        let Some(now) = self.owned(&client.id, &[&client.mark]).await? else {
            return Ok(Changed::NotThere);
        };
        if current.kind == CredentialKind::PrivateKey {
            return self.keep_key(&now, current.secret).await;
        }
        let Some(ends) = now.rotated_ends() else {
            return Ok(Changed::done());
        };
        if !now.has_secret(current.secret) {
            // A process died between a new secret and its publication, or somebody gave it another one: the published secret is
            // the one that would end here, and the one before it is gone.
            return Ok(Changed::done());
        }
        let there = if end <= self.clock.now() {
            self.admin.end_rotated(&now.id).await?
        } else if end < ends {
            self.admin.put(&now.id, &representation::rotated_end(&now, end)).await?
        } else {
            true
        };
        Ok(if there { Changed::done() } else { Changed::NotThere })
    }

    async fn delete(&self, client: &Client) -> Result<Changed, Error> {
        let now = match self.owned(&client.id, &[&client.mark]).await {
            Ok(Some(now)) => now,
            Ok(None) => return Ok(Changed::NotThere),
            Err(error) if error.category == Category::ClientConflict => return Ok(Changed::NotThere),
            Err(error) => return Err(error),
        };
        let there = self.admin.delete(&now.id).await?;
        Ok(if there { Changed::done() } else { Changed::NotThere })
    }

    async fn token(&self, request: TokenRequest<'_>) -> Result<TokenAnswer, Error> {
        // It has no resource indicators (RFC 8707): the client's audience mappers do that.
        let request = TokenRequest {
            resource: None,
            ..request
        };
        let endpoint = TokenEndpoint {
            http: &self.http,
            url: &self.endpoints.token,
            audience: &self.endpoints.issuer,
            refuses_credential: words::refuse_credential,
            entropy: &self.entropy,
        };
        endpoint.ask(request).await
    }

    fn settles(&self) -> SignedDuration {
        remote::SETTLES
    }
}
