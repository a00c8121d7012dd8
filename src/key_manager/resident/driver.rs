//! The driver: clients of the resident key manager are records that it writes at the API server.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt as _,
    api::{DeleteParams, PostParams, Preconditions},
};
use secrecy::SecretString;

use super::{
    issuer::{Issuer, Refusal, Wanted},
    record::{self, ClientRecord, Credential},
    store::{self, RecordStore, Stored},
};
use crate::{
    api::{ClientAuthentication, CredentialKind, FIELD_MANAGER, GrantType},
    clock::Clock,
    key_manager::{
        Answer, Capabilities, Category, Changed, Choice, Client, Compared, Current, Endpoints, Error, IdForm,
        KeyAlgorithm, KeyManager, Mark, NewSecret, Overlap, PkceMethods, Properties, Registered, SecretAdded,
        TokenAnswer, TokenRequest,
    },
};

/// A resident key manager as the reconciler uses it.
#[derive(Debug)]
pub struct ResidentDriver {
    issuer: Arc<Issuer>,
    store: Arc<RecordStore>,
    capabilities: Capabilities,
    clock: Clock,
}

impl ResidentDriver {
    /// A driver of the clients of `issuer`.
    pub fn new(issuer: Arc<Issuer>, store: Arc<RecordStore>, clock: Clock) -> Self {
        let capabilities = Capabilities {
            client_id: Choice::Ours,
            client_ids: IdForm::Readable,
            applications: false,
            secret_at_creation: Choice::Ours,
            secret_at_rotation: Some(Choice::Ours),
            read_secret: false,
            overlap: Overlap::ServerEnds,
            adopt: false,
            find: false,
            grant_types: vec![GrantType::ClientCredentials],
            access_token_lifetime: true,
            refresh_token_lifetime: false,
            id_token_lifetime: false,
            authentication: vec![
                ClientAuthentication::ClientSecretBasic,
                ClientAuthentication::ClientSecretPost,
                ClientAuthentication::PrivateKeyJwt,
            ],
            key_algorithm: KeyAlgorithm::ES256,
            key_overlap: Overlap::ServerEnds,
            pkce: PkceMethods::Nothing,
            scopes: true,
            resources: true,
            vendors: vec![],
            reasons: vec![],
        };
        Self {
            issuer,
            store,
            capabilities,
            clock,
        }
    }

    fn name(&self) -> &str {
        &self.issuer.settings.name
    }

    /// The record of `client`, live. Another's is a conflict, also where `also` is not its owner.
    async fn own(&self, client: &Client, also: Option<&Mark>) -> Result<Option<Stored>, Error> {
        let stored = self
            .store
            .get_live(self.name(), &client.id)
            .await
            .map_err(|error| unreachable("read", &error))?;
        match stored {
            Some(stored) if stored.record.mark != client.mark && Some(&stored.record.mark) != also => {
                Err(conflict(&client.id))
            }
            other => Ok(other),
        }
    }

    /// Replaces a record, guarded by what was read.
    async fn replace(&self, before: &Stored, record: &ClientRecord) -> Result<(), Error> {
        let mut secret = record.to_secret(self.store.namespace()).map_err(|_| malformed())?;
        secret.metadata.resource_version = Some(before.resource_version.clone());
        secret.metadata.uid = Some(before.uid.clone());
        let written = self.store.api().replace(&secret.name_any(), &params(), &secret).await;
        self.keep(&written.map_err(|error| unreachable("write", &error))?);
        Ok(())
    }

    fn keep(&self, secret: &Secret) {
        if let Some(stored) = store::stored(secret) {
            self.store.put(stored);
        }
    }
}

#[async_trait]
impl KeyManager for ResidentDriver {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn endpoints(&self) -> &Endpoints {
        &self.issuer.settings.endpoints
    }

    async fn register(
        &self,
        client: &Client,
        properties: &Properties,
        secret: &SecretString,
        _attempt: Option<&str>,
    ) -> Result<Registered, Error> {
        let first = credential(properties.authentication.credential(), secret)?;
        let record = ClientRecord::new(self.name(), &client.id, properties, first);
        let object = record.to_secret(self.store.namespace()).map_err(|_| malformed())?;
        match self.store.api().create(&params(), &object).await {
            Ok(created) => {
                self.keep(&created);
                Ok(Registered::Made(Answer {
                    id: client.id.clone(),
                    secret: secret.clone(),
                    management: None,
                    secret_ends: None,
                    differences: vec![],
                }))
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => self
                .own(client, Some(&properties.mark))
                .await
                .map(|_| Registered::Exists),
            Err(error) => Err(unreachable("create", &error)),
        }
    }

    async fn find(&self, _client: &Client, _attempt: &str) -> Result<Option<Answer>, Error> {
        Ok(None)
    }

    async fn update(&self, client: &Client, properties: &Properties) -> Result<Changed, Error> {
        let Some(stored) = self.own(client, Some(&properties.mark)).await? else {
            return Ok(Changed::NotThere);
        };
        let mut record = (*stored.record).clone();
        record.set(properties);
        if record != *stored.record {
            self.replace(&stored, &record).await?;
        }
        Ok(Changed::done())
    }

    async fn compare(&self, _client: &Client, _properties: &Properties) -> Result<Compared, Error> {
        // Nobody else writes its records; a damaged one is named by whoever reads it.
        Ok(Compared::Differs(vec![], None))
    }

    async fn adopt(&self, client: &Client, _properties: &Properties, _secret: &SecretString) -> Result<Changed, Error> {
        // All its clients are ours.
        Err(conflict(&client.id))
    }

    async fn add_secret(&self, client: &Client, new: NewSecret<'_>) -> Result<SecretAdded, Error> {
        let Some(stored) = self.own(client, None).await? else {
            return Ok(SecretAdded::NotThere);
        };
        let added = credential(new.kind, new.secret)?;
        // A published key that somebody damaged is in no record; a new one must come all the same.
        let published = new.published.and_then(|secret| credential(new.kind, secret).ok());
        let mut record = (*stored.record).clone();
        if !record.add_secret(published.as_ref(), added, new.room, self.clock.now()) {
            return Ok(SecretAdded::Occupied);
        }
        self.replace(&stored, &record).await?;
        Ok(SecretAdded::Added(new.secret.clone()))
    }

    async fn read_secret(&self, _client: &Client) -> Result<Option<Answer>, Error> {
        Ok(None)
    }

    async fn retire(&self, client: &Client, current: Current<'_>, end: Timestamp) -> Result<Changed, Error> {
        let Some(stored) = self.own(client, None).await? else {
            return Ok(Changed::NotThere);
        };
        let current = credential(current.kind, current.secret)?;
        let mut record = (*stored.record).clone();
        if record.retire(&current, end) {
            self.replace(&stored, &record).await?;
        }
        Ok(Changed::done())
    }

    async fn delete(&self, client: &Client) -> Result<Changed, Error> {
        let stored = match self.own(client, None).await {
            Ok(Some(stored)) => stored,
            Ok(None) => return Ok(Changed::NotThere),
            Err(error) if error.category == Category::ClientConflict => return Ok(Changed::NotThere),
            Err(error) => return Err(error),
        };
        let preconditions = Preconditions {
            uid: Some(stored.uid),
            resource_version: Some(stored.resource_version),
        };
        let params = DeleteParams {
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        match self
            .store
            .api()
            .delete(&record::secret_name(self.name(), &client.id), &params)
            .await
        {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(unreachable("delete", &error)),
        }
        self.store.remove(self.name(), &client.id);
        Ok(Changed::done())
    }

    async fn token(&self, request: TokenRequest<'_>) -> Result<TokenAnswer, Error> {
        let wanted = Wanted {
            scopes: request.scopes.iter().map(String::as_str).collect(),
            resources: request.resource.into_iter().collect(),
        };
        let (id, secret) = (request.client_id, request.secret);
        let client = match request.authentication.credential() {
            CredentialKind::PrivateKey => self.issuer.authenticate_key(id, secret).await,
            _ => self.issuer.authenticate(id, secret, request.authentication).await,
        };
        match client.and_then(|client| self.issuer.issue_to(&client, &wanted)) {
            Ok(token) => Ok(TokenAnswer::Issued(token)),
            Err(Refusal::InvalidClient) => Ok(TokenAnswer::InvalidClient),
            Err(Refusal::TemporarilyUnavailable) => Err(Error::new(
                Category::NotYet,
                Refusal::TemporarilyUnavailable.to_string(),
            )),
            Err(refusal) => Ok(TokenAnswer::Refused(refusal.into())),
        }
    }

    /// Every write names the version that it replaces, so one that comes late is refused.
    fn settles(&self) -> SignedDuration {
        SignedDuration::ZERO
    }
}

fn params() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

fn conflict(id: &str) -> Error {
    let text = format!("a client {id} exists that belongs to somebody else: choose another spec.clientId");
    Error::new(Category::ClientConflict, text)
}

fn credential(kind: CredentialKind, secret: &SecretString) -> Result<Credential, Error> {
    Credential::of(kind, secret).map_err(|error| Error::new(Category::InvalidRequest, error.to_string()))
}

fn malformed() -> Error {
    Error::new(
        Category::InvalidRequest,
        "the client's record cannot be written as JSON",
    )
}

/// A failure of the API server, which holds the records.
fn unreachable(verb: &str, error: &kube::Error) -> Error {
    let why = match error {
        kube::Error::Api(status) if status.is_conflict() => {
            return Error::new(Category::NotYet, format!("{verb} client record: it changed meanwhile"));
        }
        kube::Error::Api(status) if status.is_forbidden() => {
            return Error::new(
                Category::MissingPermission,
                format!("{verb} client record: {}", status.message),
            );
        }
        kube::Error::Api(status) => status.message.clone(),
        _ => "no answer from the API server".to_owned(),
    };
    Error::new(Category::Unreachable, format!("{verb} client record: {why}"))
}
