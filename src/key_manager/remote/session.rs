//! The operator's own session at a key manager: one access token, kept fresh and shared by all calls.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use http::StatusCode;
use jiff::Timestamp;
use reqwest::RequestBuilder;
use secrecy::SecretString;
use tokio::sync::Mutex;

use super::{
    proof::ClientProof,
    reply::Reply,
    token::{RefusesCredential, Wanted},
    way::HttpClient,
};
use crate::{
    api::ClientAuthentication,
    key_manager::{Category, Error, Token, TokenAnswer},
};

/// What a call for the operator's own access token is for, for people.
pub const STEP: &str = "get the operator's own token";

/// The operator's own credential, as it is in a Secret.
#[derive(Clone, Debug)]
pub struct OperatorCredential {
    /// The operator's client id; empty for a plain bearer token.
    pub client_id: String,
    /// Its secret, its private key in PKCS#8 PEM, or the plain bearer token.
    pub secret: SecretString,
    /// The id that the key manager knows the private key by; empty where there is none.
    pub key_id: String,
    /// The Secret's resourceVersion.
    pub version: String,
}

/// Where the operator's own credential is kept.
#[async_trait]
pub trait CredentialSource: Debug + Send + Sync {
    /// For people: "Secret NAMESPACE/NAME".
    fn name(&self) -> String;

    /// Reads it as it is now.
    ///
    /// # Errors
    /// [`Category::CredentialsRejected`] where there is none.
    async fn read(&self) -> Result<OperatorCredential, Error>;
}

/// How the operator logs in.
#[derive(Clone, Debug)]
pub enum Login {
    /// By client_credentials.
    ClientCredentials {
        /// The token endpoint.
        token_endpoint: String,
        /// Scopes to ask for.
        scopes: Vec<String>,
        /// How the operator's client proves itself.
        authentication: ClientAuthentication,
        /// What the server says to a wrong credential.
        refuses_credential: RefusesCredential,
    },
    /// In a way that only this key manager has.
    By(Arc<dyn Granting>),
    /// The credential's secret is the bearer token.
    Bearer,
}

/// A way to the operator's own access token.
#[async_trait]
pub trait Granting: Debug + Send + Sync {
    /// Scopes without which a token is of no use.
    fn scopes(&self) -> &[String];

    /// Asks for one with this credential.
    ///
    /// # Errors
    /// As [`super::TokenEndpoint::ask`].
    async fn token(&self, credential: &OperatorCredential) -> Result<TokenAnswer, Error>;
}

/// The operator's session.
#[derive(Debug)]
pub struct Session {
    http: HttpClient,
    /// `None` where the credential's secret is the bearer token.
    granting: Option<Arc<dyn Granting>>,
    source: Arc<dyn CredentialSource>,
    /// Locked while a token is fetched: all others wait for that one.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    credential: Option<OperatorCredential>,
    held: Option<Held>,
    /// Numbers given so far.
    numbers: u64,
}

#[derive(Clone, Debug)]
struct Held {
    bearer: SecretString,
    /// Names it, so that of many calls which it failed for only the first fetches a new one.
    number: u64,
    /// Two thirds of its life.
    refresh_at: Timestamp,
    expires_at: Timestamp,
}

impl Session {
    /// A session that begins with the first call.
    pub fn new(http: HttpClient, login: Login, source: Arc<dyn CredentialSource>) -> Self {
        let granting = match login {
            Login::ClientCredentials {
                token_endpoint,
                scopes,
                authentication,
                refuses_credential,
            } => Some(Arc::new(BySecret {
                http: http.clone(),
                token_endpoint,
                scopes,
                authentication,
                refuses_credential,
            }) as Arc<dyn Granting>),
            Login::By(granting) => Some(granting),
            Login::Bearer => None,
        };
        Self {
            http,
            granting,
            source,
            state: Mutex::default(),
        }
    }

    /// The client that it calls with.
    pub const fn http(&self) -> &HttpClient {
        &self.http
    }

    /// Sends the request that `build` makes with the operator's bearer token; after a 401 once more with a fresh one.
    ///
    /// # Errors
    /// As [`HttpClient::send`]; [`Category::CredentialsRejected`] where the operator's credential or its fresh token is refused. All
    /// other answers, 403 among them, are the driver's to read.
    pub async fn send_authorized(
        &self,
        step: &str,
        build: impl Fn(&SecretString) -> RequestBuilder + Send + Sync,
    ) -> Result<Reply, Error> {
        self.ask_authorized(step, build).await?.without_outage()
    }

    /// The same, but server errors are answers too: see [`HttpClient::ask`].
    ///
    /// # Errors
    /// As [`Session::send_authorized`].
    pub async fn ask_authorized(
        &self,
        step: &str,
        build: impl Fn(&SecretString) -> RequestBuilder + Send + Sync,
    ) -> Result<Reply, Error> {
        let held = self.held(None).await?;
        let reply = self.http.ask(step, build(&held.bearer)).await?;
        if reply.status != StatusCode::UNAUTHORIZED {
            return Ok(reply);
        }
        let fresh = self.held(Some(held.number)).await?;
        let reply = self.http.ask(step, build(&fresh.bearer)).await?;
        if reply.status != StatusCode::UNAUTHORIZED {
            return Ok(reply);
        }
        self.forget(fresh.number).await;
        let hint = format!("the operator's own credential in {} is refused", self.source.name());
        Err(reply.error(Category::CredentialsRejected, &hint))
    }

    /// A token that is not the `refused` one.
    async fn held(&self, refused: Option<u64>) -> Result<Held, Error> {
        let mut state = self.state.lock().await;
        let now = self.http.clock().now();
        let held = state.held.clone().filter(|held| Some(held.number) != refused);
        if let Some(held) = held.clone().filter(|held| now < held.refresh_at) {
            return Ok(held);
        }
        match self.fetch(&mut state, refused.is_some()).await {
            Ok(fresh) => {
                state.numbers += 1;
                let fresh = Held {
                    number: state.numbers,
                    ..fresh
                };
                state.held = Some(fresh.clone());
                Ok(fresh)
            }
            Err(error) => match held {
                // Early enough that an outage of the token endpoint alone stops nothing.
                Some(held) if error.is_retryable() && now < held.expires_at => Ok(held),
                // The call itself was not made.
                _ => Err(Error { sent: false, ..error }),
            },
        }
    }

    async fn fetch(&self, state: &mut State, refused: bool) -> Result<Held, Error> {
        let known = state.credential.take();
        let before = known.as_ref().map(|known| known.version.clone());
        let Some(granting) = &self.granting else {
            let credential = self.source.read().await?;
            if refused && before.as_ref() == Some(&credential.version) {
                return Err(self.rejected("401"));
            }
            let bearer = credential.secret.clone();
            state.credential = Some(credential);
            return Ok(Held {
                bearer,
                number: 0,
                refresh_at: Timestamp::MAX,
                expires_at: Timestamp::MAX,
            });
        };
        let mut credential = match known {
            Some(known) => known,
            None => self.source.read().await?,
        };
        let mut reread = false;
        loop {
            let word = match granting.token(&credential).await {
                Ok(TokenAnswer::Issued(token)) => {
                    state.credential = Some(credential);
                    let missing = granting.scopes().iter().find(|scope| !token.scopes.contains(scope));
                    return match missing {
                        None => Ok(held(token)),
                        Some(missing) => Err(self.without(missing)),
                    };
                }
                Ok(TokenAnswer::InvalidClient) => "invalid_client",
                Ok(TokenAnswer::Refused(word @ "unauthorized_client")) => word,
                Ok(TokenAnswer::Refused(word)) => return Err(self.refused(word)),
                Err(error) => {
                    state.credential = Some(credential);
                    return Err(error);
                }
            };
            // Somebody may have changed it since it was read.
            let now = self.source.read().await?;
            if reread || now.version == credential.version {
                return Err(self.rejected(word));
            }
            (credential, reread) = (now, true);
        }
    }

    /// The next call reads the credential again, unless another call has a fresher token already.
    async fn forget(&self, number: u64) {
        let mut state = self.state.lock().await;
        if state.held.as_ref().is_some_and(|held| held.number == number) {
            *state = State {
                numbers: state.numbers,
                ..State::default()
            };
        }
    }

    fn rejected(&self, word: &str) -> Error {
        let text = format!(
            "the key manager refuses the operator's own credential in {}: {word}",
            self.source.name()
        );
        Error::new(Category::CredentialsRejected, text)
    }

    /// Some servers drop scopes without a word, and refuse calls later as if the token were old.
    fn without(&self, scope: &str) -> Error {
        let text = format!(
            "the key manager gives the operator's own client in {} a token without scope {scope}: whoever runs it can give its user a role with that scope",
            self.source.name()
        );
        Error::new(Category::MissingPermission, text)
    }

    fn refused(&self, word: &str) -> Error {
        let text = format!(
            "the key manager gives the operator's own client in {} no token: {word}",
            self.source.name()
        );
        Error::new(Category::MissingPermission, text)
    }
}

/// Login by client_credentials with a secret.
#[derive(Debug)]
struct BySecret {
    http: HttpClient,
    token_endpoint: String,
    scopes: Vec<String>,
    authentication: ClientAuthentication,
    refuses_credential: RefusesCredential,
}

#[async_trait]
impl Granting for BySecret {
    fn scopes(&self) -> &[String] {
        &self.scopes
    }

    async fn token(&self, credential: &OperatorCredential) -> Result<TokenAnswer, Error> {
        let wanted = Wanted {
            client_id: &credential.client_id,
            scopes: &self.scopes,
            resource: None,
        };
        let proof = ClientProof::secret(self.authentication, &credential.secret);
        let (endpoint, refuses) = (&self.token_endpoint, self.refuses_credential);
        wanted.get(&self.http, endpoint, proof, refuses, STEP).await
    }
}

fn held(token: Token) -> Held {
    let life = token.life();
    Held {
        bearer: token.value,
        number: 0,
        refresh_at: token.issued_at.checked_add(life * 2 / 3).unwrap_or(token.expires_at),
        expires_at: token.expires_at,
    }
}

#[cfg(test)]
mod tests;
