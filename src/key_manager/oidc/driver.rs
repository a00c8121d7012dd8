//! The verbs of a key manager at a server with dynamic client registration.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use super::{
    metadata,
    registrar::{Managed, Registrar},
};
use crate::{
    api::CredentialKind,
    entropy::Entropy,
    key_manager::{
        Answer, Capabilities, Category, Changed, Client, Compared, Current, Endpoints, Error, KeyManager, Management,
        NewSecret, Outcome, Properties, Registered, SecretAdded, TokenAnswer, TokenRequest,
        remote::{self, HttpClient, TokenEndpoint},
    },
};

/// A server with dynamic client registration.
#[derive(Debug)]
pub(super) struct OidcDriver {
    pub(super) registrar: Registrar,
    pub(super) http: HttpClient,
    pub(super) capabilities: Capabilities,
    pub(super) endpoints: Endpoints,
    pub(super) entropy: Entropy,
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
        secret: &SecretString,
        attempt: Option<&str>,
    ) -> Result<Registered, Error> {
        let kind = properties.authentication.credential();
        let keys = match kind {
            CredentialKind::PrivateKey => Some(metadata::key_set(secret)?),
            CredentialKind::Secret | CredentialKind::Nothing => None,
        };
        let asked = metadata::asked(properties, attempt, keys);
        let (id, registered) = self.registrar.register(&asked).await?;
        let (management, why) = self.registrar.management(&registered);
        let mut differences = asked.differences(&registered);
        differences.extend(why);
        let given = match kind {
            CredentialKind::Secret => registered.client_secret.clone(),
            // The key is ours, and a public client has nothing.
            CredentialKind::PrivateKey | CredentialKind::Nothing => Some(secret.clone()),
        };
        let Some(secret) = given else {
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

    async fn find(&self, _client: &Client, _attempt: &str) -> Result<Option<Answer>, Error> {
        Ok(None)
    }

    async fn update(&self, client: &Client, properties: &Properties) -> Result<Changed, Error> {
        let Some(management) = &client.management else {
            return Ok(Changed::Refused);
        };
        let mut management = management.clone();
        let mut keys = None;
        if properties.authentication.credential() == CredentialKind::PrivateKey {
            // An update takes the place of all metadata: the keys are sent as they are there.
            let Managed::Done {
                answer,
                management: new,
            } = self.registrar.read(&management).await?
            else {
                return Ok(Changed::Refused);
            };
            keys = answer.and_then(|answer| answer.keys());
            management = new.unwrap_or(management);
        }
        let asked = metadata::asked(properties, None, keys);
        match self.registrar.update(&client.id, &management, &asked).await? {
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

    async fn compare(&self, client: &Client, properties: &Properties) -> Result<Compared, Error> {
        let Some(management) = &client.management else {
            return Ok(Compared::Refused);
        };
        Ok(match self.registrar.read(management).await? {
            Managed::Done { answer, management } => {
                let asked = metadata::asked(properties, None, None);
                let differences = answer.map(|answer| asked.differences(&answer.without_attempt(&asked)));
                Compared::Differs(differences.unwrap_or_default(), management)
            }
            Managed::Refused | Managed::Unsupported => Compared::Refused,
        })
    }

    async fn adopt(&self, client: &Client, properties: &Properties, _secret: &SecretString) -> Result<Changed, Error> {
        // Who has its registration access token may change it: there is no mark to look at.
        if let Some(management) = &client.management {
            self.registrar.is_here(management)?;
        }
        self.update(client, properties).await
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

    async fn retire(&self, _client: &Client, _current: Current<'_>, _end: Timestamp) -> Result<Changed, Error> {
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
        let endpoint = TokenEndpoint {
            http: &self.http,
            url: &self.endpoints.token,
            // RFC 7523 section 3 names it; some servers know no other.
            audience: &self.endpoints.token,
            refuses_credential: remote::invalid_client,
            entropy: &self.entropy,
        };
        endpoint.ask(request).await
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
