//! The verbs of a key manager at one key manager inside WSO2.

use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use super::{
    application::Which,
    entry::Entry,
    key::{self, State},
    keys::Made,
    lock::Lock,
    portal::Portal,
    secrets,
    slot::Slot,
};
use crate::{
    entropy::Entropy,
    key_manager::{
        Answer, Capabilities, Category, Changed, Client, Compared, Current, Endpoints, Error, KeyManager, NewSecret,
        Properties, Registered, Room, SecretAdded, TokenAnswer, TokenRequest,
        remote::{self, TokenEndpoint},
    },
};

/// A key manager inside WSO2.
#[derive(Debug)]
pub(super) struct Wso2Driver {
    pub(super) portal: Portal,
    pub(super) entry: Entry,
    /// The throttling policy of applications that name none.
    pub(super) policy: String,
    /// The operator's own client, which is nobody else's; empty where it has none.
    pub(super) operator: String,
    pub(super) capabilities: Capabilities,
    pub(super) endpoints: Endpoints,
    pub(super) entropy: Entropy,
    /// Ids of applications by the hashes in their names, as they were seen last.
    pub(super) known: Mutex<BTreeMap<String, String>>,
}

fn refuses_credential(error: &str, description: &str) -> bool {
    // The second is a Keycloak's behind WSO2.
    error == "invalid_client" || error == "unauthorized_client" && description.contains("client credentials")
}

#[async_trait]
impl KeyManager for Wso2Driver {
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
        let which = Which::of(client)?;
        if self.chooses() && !is_good_id(&client.id) {
            let text = format!(
                "{} is no client id for WSO2: 15 to 30 letters, digits and '_'",
                client.id
            );
            return Err(Error {
                sent: false,
                ..Error::new(Category::InvalidRequest, text)
            });
        }
        let chosen = self.chooses().then_some((client.id.as_str(), secret));
        let body = key::creation(client.place.environment, properties, &self.entry, chosen)?;
        let lock = Lock::of(&self.portal.base, &which.hash).await;
        lock.is_settled()?;
        let (application, keys) = self.home(&which, properties).await?;
        if let Some(key) = self.of_environment(keys, client) {
            match key.state() {
                State::Client(id) if self.chooses() && id == client.id => return Ok(Registered::Exists),
                State::Client(_) => return Err(self.taken(client)),
                State::Waits => return Err(Self::waits(client)),
                State::Rejected => return Err(Self::rejected(client)),
                // Left by a call that failed, or whose process died.
                State::Leaked => self.portal.clean_up(&application, key.id()).await?,
            }
        }
        let Made::Key(key) = self.make(client, &application, &body).await? else {
            return Err(self.hidden(client));
        };
        let answer = match self.answer(client, properties, secret, &key) {
            Ok(answer) if self.chooses() && answer.id != client.id => {
                let (made, id) = (answer.id, &client.id);
                let text = format!("WSO2 made client {made} instead of {id}: it takes no ids that others choose");
                Err(Error::new(Category::InvalidRequest, text))
            }
            other => other,
        };
        if answer
            .as_ref()
            .is_err_and(|error| error.category != Category::PendingApproval)
        {
            // It is of no use to anybody, and would be in the way.
            self.portal.delete_key(&application, key.id()).await?;
        }
        answer.map(Registered::Made)
    }

    async fn find(&self, client: &Client, _attempt: &str) -> Result<Option<Answer>, Error> {
        let Some(slot) = self.slot(client).await? else {
            return Ok(None);
        };
        match (slot.key.state(), slot.key.secret()) {
            (State::Client(id), Some(secret)) => Ok(Some(Answer {
                id: id.to_owned(),
                secret,
                management: None,
                secret_ends: None,
                differences: vec![],
            })),
            (State::Client(_), None) => {
                // The attempt made it, and its secret was in the answer that was lost.
                self.portal.delete_key(&slot.application, slot.key.id()).await?;
                Ok(None)
            }
            (State::Waits, _) => Err(Self::waits(client)),
            (State::Rejected, _) => Err(Self::rejected(client)),
            (State::Leaked, _) => {
                self.portal.clean_up(&slot.application, slot.key.id()).await?;
                Ok(None)
            }
        }
    }

    async fn update(&self, client: &Client, properties: &Properties) -> Result<Changed, Error> {
        if self.entry.is_okta() {
            // Each change would make another secret (W25), which nobody is shown.
            return Ok(Changed::Refused);
        }
        let which = Which::of(client)?;
        match self.owned(client).await? {
            Some(slot) => self.give(&which, &slot, client, properties).await,
            None => Ok(Changed::NotThere),
        }
    }

    async fn compare(&self, client: &Client, properties: &Properties) -> Result<Compared, Error> {
        let which = Which::of(client)?;
        let Some(slot) = self.owned(client).await? else {
            return Ok(if self.chooses() {
                Compared::NotThere
            } else {
                Compared::Refused
            });
        };
        let mut all = slot.key.differences(properties, &self.entry);
        if let Some(found) = self.portal.find_application(&which).await? {
            all.extend(Portal::described_otherwise(&which, &found, properties, &self.policy));
        }
        Ok(Compared::Differs(all, None))
    }

    async fn adopt(&self, client: &Client, properties: &Properties, secret: &SecretString) -> Result<Changed, Error> {
        let foreign = |why: &str| {
            let text = format!("client {} {why}: it is left as it is", client.id);
            Error::new(Category::ClientConflict, text)
        };
        if client.id == self.operator {
            return Err(foreign("is the operator's own"));
        }
        let which = Which::of(client)?;
        let lock = Lock::of(&self.portal.base, &which.hash).await;
        lock.is_settled()?;
        let (application, keys) = self.home(&which, properties).await?;
        let key = match self.of_environment(keys, client) {
            Some(key) if key.state() == State::Client(&client.id) => key,
            Some(key) if key.state() == State::Leaked => {
                self.portal.clean_up(&application, key.id()).await?;
                return Err(Error::new(Category::NotYet, "a key without a client was in the way"));
            }
            Some(_) => return Err(self.taken(client)),
            None => {
                let body = key::mapping(client.place.environment, &self.entry, &client.id, secret);
                match self.portal.make_key(&application, "map-keys", &body).await? {
                    Made::Key(key) => *key,
                    Made::Exists(_) => return Err(foreign("is that of another key in WSO2 already")),
                    Made::Failed(error) if error.category == Category::NotYet => {
                        let text = format!(
                            "{}; where WSO2 keeps digests of client secrets, no client can be adopted",
                            error.message
                        );
                        return Err(Error { message: text, ..error });
                    }
                    Made::Failed(error) => return Err(error),
                }
            }
        };
        let slot = Slot { application, key };
        if self.entry.is_okta() {
            return Ok(Changed::Refused);
        }
        self.give(&which, &slot, client, properties).await
    }

    async fn add_secret(&self, client: &Client, new: NewSecret<'_>) -> Result<SecretAdded, Error> {
        let Some(slot) = self.owned(client).await? else {
            return Ok(SecretAdded::NotThere);
        };
        if self.entry.keeps_several_secrets() {
            return self.rotate_among(&slot, &new).await;
        }
        match new.room {
            Room::Only => self.rotate_one(&slot, client).await,
            Room::Keep | Room::Replace => Ok(SecretAdded::OneSecret),
        }
    }

    async fn read_secret(&self, client: &Client) -> Result<Option<Answer>, Error> {
        let slot = self.owned(client).await?;
        Ok(slot.and_then(|slot| {
            Some(Answer {
                id: client.id.clone(),
                secret: slot.key.secret()?,
                management: None,
                secret_ends: None,
                differences: vec![],
            })
        }))
    }

    async fn retire(&self, client: &Client, current: Current<'_>, _end: Timestamp) -> Result<Changed, Error> {
        let Some(slot) = self.owned(client).await? else {
            return Ok(Changed::NotThere);
        };
        let (application, key) = (&slot.application, slot.key.id());
        let all = self.portal.secrets(application, key).await?;
        let Some(stays) = secrets::published(&all, current.version, current.secret) else {
            let text = format!(
                "client {} has secrets in WSO2 of which it cannot be told which one is published",
                client.id
            );
            return Err(Error::new(Category::NotYet, text));
        };
        for one in all.iter().filter(|one| one.id != stays.id) {
            self.portal.revoke_secret(application, key, one).await?;
        }
        Ok(Changed::done())
    }

    async fn delete(&self, client: &Client) -> Result<Changed, Error> {
        let which = Which::of(client)?;
        let mut lock = Lock::of(&self.portal.base, &which.hash).await;
        let Some(found) = self.portal.find_application(&which).await? else {
            self.remember(&which, None);
            return Ok(Changed::NotThere);
        };
        let Some(keys) = self.keys(&which, &found.id).await? else {
            return Ok(Changed::NotThere);
        };
        let (own, others): (Vec<_>, Vec<_>) = keys
            .into_iter()
            .partition(|key| key.is_of(client.place.environment, &self.entry));
        let left = others.iter().any(|key| !key.is_dead());
        let changed = match own.into_iter().next() {
            None if self.is_free(&found.id, client).await? || self.is_gone(client).await? => Changed::NotThere,
            None => return Err(self.hidden(client)),
            Some(key) => {
                let application = found.id.clone();
                let slot = Slot { application, key };
                match slot.key.state() {
                    State::Client(_) if slot.is_of(client) => self.remove(&slot, client).await?,
                    // Another key's.
                    State::Client(_) => return Ok(Changed::NotThere),
                    State::Waits | State::Rejected => {
                        self.portal.clean_up(&slot.application, slot.key.id()).await?;
                        Changed::NotThere
                    }
                    State::Leaked => {
                        self.portal.clean_up(&slot.application, slot.key.id()).await?;
                        // A server that died half way has left a client that no key leads to (W13).
                        let left = self.chooses() && !self.is_gone(client).await?;
                        if left { Changed::Refused } else { Changed::NotThere }
                    }
                }
            }
        };
        if !left {
            self.delete_empty(&which, &found, &mut lock).await?;
        }
        Ok(changed)
    }

    async fn token(&self, request: TokenRequest<'_>) -> Result<TokenAnswer, Error> {
        let endpoint = TokenEndpoint {
            http: &self.portal.http,
            url: &self.endpoints.token,
            audience: &self.endpoints.issuer,
            refuses_credential,
            entropy: &self.entropy,
        };
        endpoint.ask(request).await
    }

    fn settles(&self) -> SignedDuration {
        remote::SETTLES
    }
}

/// The resident key manager's pattern.
fn is_good_id(id: &str) -> bool {
    let word = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    word && (15..=30).contains(&id.len())
}
