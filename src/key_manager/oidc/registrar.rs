//! The registration endpoint (RFC 7591 section 3) and the clients' own configuration endpoints (RFC 7592 section 2).

use http::{Method, StatusCode, header};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{
    initial_token::InitialToken,
    metadata::{Asked, ClientInformation, Update},
};
use crate::key_manager::{
    Category, Error, Management,
    remote::{HttpClient, Reply},
};

/// Registers clients and manages them with the tokens that they come with.
#[derive(Debug)]
pub(super) struct Registrar {
    http: HttpClient,
    endpoint: Url,
    token: Option<InitialToken>,
}

/// Answer of a client configuration endpoint.
#[derive(Debug)]
pub(super) enum Managed {
    /// Done.
    Done {
        /// The client as it is now, where the answer says it.
        answer: Option<Box<ClientInformation>>,
        /// What manages it from now on, where that changed.
        management: Option<Management>,
    },
    /// The registration access token is refused, or there is no such client: many servers say the same of both.
    Refused,
    /// The server has no such call.
    Unsupported,
}

/// What a refusal says for people. It is looked at and not shown.
#[derive(Deserialize)]
struct Described {
    error_description: Option<String>,
}

impl Registrar {
    pub(super) const fn new(http: HttpClient, endpoint: Url, token: Option<InitialToken>) -> Self {
        Self { http, endpoint, token }
    }

    /// Makes a client.
    ///
    /// # Errors
    /// - `CredentialsRejected`: the initial access token, also as the Secret has it now.
    /// - `MissingPermission`: a policy of the server, whatever the token.
    /// - `InvalidRequest`: metadata that it does not take, or no registration there.
    /// - `Unreachable`: also a success that cannot be read: what it made is unknown.
    pub(super) async fn register(&self, asked: &Asked) -> Result<(String, ClientInformation), Error> {
        let step = "register a client";
        let (token, version) = match &self.token {
            Some(initial) => {
                let (token, version) = initial.get().await?;
                (Some(token), version)
            }
            None => (None, String::new()),
        };
        let mut reply = self.post(step, token.as_ref(), asked).await?;
        if let Some(initial) = &self.token
            && is_token_refused(&reply)
        {
            // A refused registration makes nothing, so it may be repeated.
            let Some(newer) = initial.newer_than(&version).await? else {
                return Err(initial.rejected());
            };
            reply = self.post(step, Some(&newer), asked).await?;
            if is_token_refused(&reply) {
                return Err(initial.rejected());
            }
        }
        if !reply.status.is_success() {
            return Err(self.refused(&reply, asked));
        }
        let registered: ClientInformation = reply.json()?;
        let Some(id) = registered.client_id.clone() else {
            return Err(reply.error(Category::Unreachable, "without a client id"));
        };
        Ok((id, registered))
    }

    async fn post(&self, step: &str, token: Option<&SecretString>, asked: &Asked) -> Result<Reply, Error> {
        let mut request = self
            .http
            .request(Method::POST, self.endpoint.as_str())
            .header(header::ACCEPT, "application/json")
            .json(asked);
        if let Some(token) = token {
            request = request.bearer_auth(token.expose_secret());
        }
        self.http.send(step, request).await
    }

    /// What manages a client that was just made; or nothing, and why that is worth a word.
    pub(super) fn management(&self, registered: &ClientInformation) -> (Option<Management>, Option<String>) {
        let (Some(uri), Some(token)) = (
            &registered.registration_client_uri,
            &registered.registration_access_token,
        ) else {
            return (None, None);
        };
        match self.configuration_uri(uri) {
            Some(uri) => {
                let management = Management {
                    uri: uri.into(),
                    token: token.clone(),
                    previous: None,
                };
                (Some(management), None)
            }
            None => (
                None,
                Some(
                    "registration_client_uri: not at the registration endpoint's own host, so this client can neither be changed nor deleted from here"
                        .to_owned(),
                ),
            ),
        }
    }

    /// Whether this is where the server's own clients are managed: what a tenant says of his client may lead anywhere.
    ///
    /// # Errors
    /// It is elsewhere.
    pub(super) fn is_here(&self, management: &Management) -> Result<(), Error> {
        let here = self.configuration_uri(&management.uri).map(drop);
        here.ok_or_else(|| {
            let text = format!(
                "registration-client-uri is not at {}, where this key manager registers clients: a registration access token is sent nowhere else",
                self.endpoint.origin().ascii_serialization()
            );
            Error::new(Category::InvalidRequest, text)
        })
    }

    /// The URI of a client configuration endpoint: a registration access token goes to nobody but the server that gave it.
    fn configuration_uri(&self, uri: &str) -> Option<Url> {
        let uri = self.endpoint.join(uri).ok()?;
        (uri.origin() == self.endpoint.origin()).then_some(uri)
    }

    /// Gives a client these metadata.
    ///
    /// # Errors
    /// As [`Registrar::register`], but for the initial access token.
    pub(super) async fn update(&self, id: &str, by: &Management, asked: &Asked) -> Result<Managed, Error> {
        let update = Update { client_id: id, asked };
        self.manage("change a client", Method::PUT, by, Some(&update)).await
    }

    /// Reads a client.
    ///
    /// # Errors
    /// As [`Registrar::update`].
    pub(super) async fn read(&self, by: &Management) -> Result<Managed, Error> {
        self.manage("read a client", Method::GET, by, None).await
    }

    /// Deletes a client.
    ///
    /// # Errors
    /// As [`Registrar::update`].
    pub(super) async fn delete(&self, by: &Management) -> Result<Managed, Error> {
        self.manage("delete a client", Method::DELETE, by, None).await
    }

    async fn manage(
        &self,
        step: &str,
        method: Method,
        by: &Management,
        update: Option<&Update<'_>>,
    ) -> Result<Managed, Error> {
        let Some(uri) = self.configuration_uri(&by.uri) else {
            return Ok(Managed::Refused);
        };
        // The one before is tried too: a process can die between an answer and the write that keeps its token.
        for token in [Some(&by.token), by.previous.as_ref()].into_iter().flatten() {
            let mut request = self
                .http
                .request(method.clone(), uri.as_str())
                .header(header::ACCEPT, "application/json")
                .bearer_auth(token.expose_secret());
            if let Some(update) = update {
                request = request.json(update);
            }
            let reply = self.http.send(step, request).await?;
            match reply.status {
                status if status.is_success() => return self.managed(&method, &reply, by, token),
                StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => return Ok(Managed::Unsupported),
                _ if is_gone(&reply) => {}
                _ => return Err(self.unmanaged(step, &reply, update)),
            }
        }
        Ok(Managed::Refused)
    }

    /// What manages a client after a call that `worked` did: the answer may have taken another token's place.
    fn managed(
        &self,
        method: &Method,
        reply: &Reply,
        by: &Management,
        worked: &SecretString,
    ) -> Result<Managed, Error> {
        if *method == Method::DELETE || reply.body().is_empty() {
            return Ok(Managed::Done {
                answer: None,
                management: None,
            });
        }
        let answer: ClientInformation = reply.json()?;
        let token = answer.registration_access_token.as_ref().unwrap_or(worked);
        let uri = answer.registration_client_uri.as_deref();
        let uri = uri.and_then(|uri| self.configuration_uri(uri)).map(String::from);
        let same = |one: &SecretString, other: &SecretString| one.expose_secret() == other.expose_secret();
        let now = Management {
            uri: uri.unwrap_or_else(|| by.uri.clone()),
            token: token.clone(),
            previous: (!same(token, worked)).then(|| worked.clone()),
        };
        let as_before = now.uri == by.uri && same(&now.token, &by.token) && by.previous.is_none();
        Ok(Managed::Done {
            answer: Some(Box::new(answer)),
            management: (!as_before).then_some(now),
        })
    }

    fn unmanaged(&self, step: &str, reply: &Reply, update: Option<&Update<'_>>) -> Error {
        match (reply.status, update) {
            (StatusCode::FORBIDDEN, _) => reply.error(
                Category::MissingPermission,
                "a policy of the server stands against it: ask whoever runs it",
            ),
            (_, Some(update)) => self.refused(reply, update.asked),
            _ => reply.error(Category::InvalidRequest, &format!("it does not let us {step}")),
        }
    }

    /// What a refusal of metadata means.
    fn refused(&self, reply: &Reply, asked: &Asked) -> Error {
        let word = reply.error_word().unwrap_or_default();
        let said = reply.try_json::<Described>().and_then(|body| body.error_description);
        let of_scope = said.is_some_and(|text| text.to_ascii_lowercase().contains("scope"));
        let scopes = format!(
            "clients cannot register with scope {} there: ask whoever runs it to allow that, or take it out of spec.scopes",
            asked.scopes()
        );
        let asks = !asked.scopes().is_empty();
        let (category, hint) = match (reply.status, word.as_str()) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) if self.token.is_none() && !(of_scope && asks) => (
                Category::MissingPermission,
                "registration is not open: put an initial access token into a Secret and name it in oidc.initialAccessTokenSecretRef"
                    .to_owned(),
            ),
            (StatusCode::FORBIDDEN, _) if asks => (Category::MissingPermission, scopes),
            (StatusCode::FORBIDDEN, _) => (
                Category::MissingPermission,
                "a policy of the server stands against this client: ask whoever runs it".to_owned(),
            ),
            (_, "invalid_redirect_uri") => (
                Category::InvalidRequest,
                "it refuses the redirect URIs, or wants one".to_owned(),
            ),
            (_, "invalid_scope") => (Category::InvalidRequest, scopes),
            (_, "invalid_client_metadata") if of_scope && asks => (Category::InvalidRequest, scopes),
            (StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED, _) => (
                Category::InvalidRequest,
                "no client can be registered there: is dynamic client registration on, and the endpoint right?".to_owned(),
            ),
            _ => (
                Category::InvalidRequest,
                "it does not take what this key asks for: grant types, client authentication or scopes".to_owned(),
            ),
        };
        reply.error(category, &hint)
    }
}

/// Whether the initial access token is what is refused: `insufficient_scope` is a policy, which no other token changes.
fn is_token_refused(reply: &Reply) -> bool {
    let word = reply.error_word();
    match (reply.status, word.as_deref()) {
        (StatusCode::UNAUTHORIZED, _) | (StatusCode::FORBIDDEN, None) => true,
        (StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN, Some(word)) => {
            matches!(word, "access_denied" | "invalid_token")
        }
        _ => false,
    }
}

/// Whether a client is gone, or its registration access token refused. A 403 is neither: it may be a permission.
fn is_gone(reply: &Reply) -> bool {
    let word = reply.error_word();
    match reply.status {
        StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND | StatusCode::GONE => true,
        StatusCode::BAD_REQUEST => matches!(word.as_deref(), Some("access_denied" | "invalid_token")),
        _ => false,
    }
}
