//! The verbs of a key manager at a server with dynamic client registration.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use super::{
    metadata,
    registrar::{Managed, Registrar},
};
use crate::key_manager::{
    Answer, Capabilities, Category, Changed, Client, Endpoints, Error, KeyManager, Management, Mark, NewSecret,
    Outcome, Properties, Registered, SecretAdded, TokenAnswer, TokenRequest,
    remote::{self, Dialect, HttpClient},
};

/// A server with dynamic client registration.
#[derive(Debug)]
pub(super) struct OidcDriver {
    pub(super) registrar: Registrar,
    pub(super) http: HttpClient,
    pub(super) capabilities: Capabilities,
    pub(super) endpoints: Endpoints,
}

#[async_trait]
impl KeyManager for OidcDriver {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    async fn register(
        &self,
        _client: &Client,
        properties: &Properties,
        _secret: &SecretString,
        attempt: Option<&str>,
    ) -> Result<Registered, Error> {
        let asked = metadata::asked(properties, attempt);
        let (id, registered) = self.registrar.register(&asked).await?;
        let (management, why) = self.registrar.management(&registered);
        let mut differences = asked.differences(&registered);
        differences.extend(why);
        let Some(secret) = registered.client_secret.clone() else {
            return Err(self.without_a_secret(&id, management.as_ref()).await);
        };
        Ok(Registered::Made(Answer {
            secret_ends: registered.secret_ends(),
            id,
            secret,
            management,
            differences,
        }))
    }

    async fn find(&self, _mark: &Mark, _attempt: &str) -> Result<Option<Answer>, Error> {
        Ok(None)
    }

    async fn update(&self, client: &Client, properties: &Properties) -> Result<Changed, Error> {
        let asked = metadata::asked(properties, None);
        let Some(management) = &client.management else {
            return Ok(Changed::Refused);
        };
        match self.registrar.update(&client.id, management, &asked).await? {
            Managed::Done { answer, management } => {
                let differences = answer.as_ref().map(|answer| asked.differences(answer));
                Ok(Changed::Done(Outcome {
                    management,
                    secret_ends: answer.as_ref().and_then(|answer| answer.secret_ends()),
                    secret: answer.and_then(|answer| answer.client_secret),
                    differences: differences.unwrap_or_default(),
                }))
            }
            Managed::Refused | Managed::Unsupported => Ok(Changed::Refused),
        }
    }

    async fn add_secret(&self, _client: &Client, _new: NewSecret<'_>) -> Result<SecretAdded, Error> {
        Err(never("change a client's secret"))
    }

    async fn read_secret(&self, client: &Client) -> Result<Option<Answer>, Error> {
        let Some(management) = &client.management else {
            return Ok(None);
        };
        let Managed::Done { answer, management } = self.registrar.read(management).await? else {
            return Ok(None);
        };
        Ok(answer.and_then(|answer| {
            Some(Answer {
                id: client.id.clone(),
                secret_ends: answer.secret_ends(),
                secret: answer.client_secret?,
                management,
                differences: vec![],
            })
        }))
    }

    async fn retire(&self, _client: &Client, _current: &SecretString, _end: Timestamp) -> Result<Changed, Error> {
        Err(never("end a client's secret"))
    }

    async fn delete(&self, client: &Client) -> Result<Changed, Error> {
        let Some(management) = &client.management else {
            return Ok(Changed::Refused);
        };
        Ok(match self.registrar.delete(management).await? {
            Managed::Done { .. } => Changed::done(),
            Managed::Refused | Managed::Unsupported => Changed::Refused,
        })
    }

    async fn token(&self, request: TokenRequest<'_>) -> Result<TokenAnswer, Error> {
        remote::client_credentials(&self.http, &self.endpoints.token, request, Dialect::Standard).await
    }

    fn settles(&self) -> SignedDuration {
        remote::SETTLES
    }
}

impl OidcDriver {
    /// A client that was made without a secret is of no use: it goes again, where it can.
    async fn without_a_secret(&self, id: &str, management: Option<&Management>) -> Error {
        let deleted = match management {
            Some(management) => matches!(self.registrar.delete(management).await, Ok(Managed::Done { .. })),
            None => false,
        };
        let left = if deleted {
            String::new()
        } else {
            format!("; client {id} is left there and cannot be deleted from here")
        };
        let text = format!(
            "register a client: the server made one without a secret, so it does not serve this clientAuthentication: choose another{left}"
        );
        Error::new(Category::InvalidRequest, text)
    }
}

/// A call that no plan makes at a key manager of these capabilities.
fn never(what: &str) -> Error {
    Error {
        sent: false,
        ..Error::new(
            Category::InvalidRequest,
            format!("dynamic client registration cannot {what}"),
        )
    }
}
