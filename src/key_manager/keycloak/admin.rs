//! The Admin API of one realm: a few calls, their answers as values, their refusals in plain words.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use http::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::Value;

use super::{representation::Representation, scopes::Assignment};
use crate::key_manager::{
    Category, Error,
    remote::{HttpClient, Reply, Session},
};

/// The Admin API of one realm, as the operator's own client.
#[derive(Debug)]
pub(super) struct Admin {
    http: HttpClient,
    session: Session,
    /// `URL/admin/realms/REALM`.
    base: String,
    server: String,
    realm: String,
    /// The client scopes of the realm: names to ids. Read when a name is asked for that is not among them.
    scopes: Mutex<BTreeMap<String, String>>,
}

/// Answer to the making of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Created {
    /// It was made.
    Made,
    /// There is a client of this id.
    Exists,
}

/// A client scope of the realm.
#[derive(Deserialize)]
struct ClientScope {
    id: String,
    name: String,
    /// `openid-connect`, or `saml`: such a one is dropped without a word when it is given to a client of ours (K14).
    #[serde(default)]
    protocol: String,
}

/// What the server says of itself (`/admin/serverinfo`).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServerInfo {
    /// Features with whether they are on.
    pub(super) features: Vec<Feature>,
}

/// A feature of the server.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Feature {
    pub(super) name: String,
    pub(super) enabled: bool,
}

impl Admin {
    /// The Admin API of `realm` at the server with this base URL.
    pub(super) fn new(http: HttpClient, session: Session, server: &str, realm: &str) -> Self {
        Self {
            http,
            session,
            base: format!("{server}/admin/realms/{realm}"),
            server: server.to_owned(),
            realm: realm.to_owned(),
            scopes: Mutex::default(),
        }
    }

    /// The client with exactly this id.
    pub(super) async fn find(&self, client_id: &str) -> Result<Option<Representation>, Error> {
        let query = [("clientId", client_id)];
        let url = format!("{}/clients", self.base);
        let reply = self
            .session
            .send_authorized("look up a client", |bearer| {
                self.http
                    .request(Method::GET, &url)
                    .query(&query)
                    .bearer_auth(bearer.expose_secret())
            })
            .await?;
        if !reply.status.is_success() {
            return Err(self.refused("look up a client", &reply));
        }
        let found: Vec<Representation> = reply.json()?;
        // A server that takes the query for a search must not make another client ours.
        Ok(found.into_iter().find(|client| client.client_id == client_id))
    }

    /// Makes a client.
    pub(super) async fn create(&self, body: &Value) -> Result<Created, Error> {
        let step = "make a client";
        let reply = self.send(step, Method::POST, "/clients", Some(body)).await?;
        match reply.status {
            StatusCode::CREATED => Ok(Created::Made),
            StatusCode::CONFLICT if !is_concurrent(&reply) => Ok(Created::Exists),
            _ => Err(self.refused(step, &reply)),
        }
    }

    /// Changes a client. False where it is not there.
    pub(super) async fn put(&self, id: &str, body: &Value) -> Result<bool, Error> {
        let step = "change a client";
        let reply = self
            .send(step, Method::PUT, &format!("/clients/{id}"), Some(body))
            .await?;
        self.there(step, &reply)
    }

    /// Deletes a client. False where it is not there.
    pub(super) async fn delete(&self, id: &str) -> Result<bool, Error> {
        let step = "delete a client";
        let reply = self.send(step, Method::DELETE, &format!("/clients/{id}"), None).await?;
        self.there(step, &reply)
    }

    /// Ends the secret before the current one. Repeatable: there need not be one.
    pub(super) async fn end_rotated(&self, id: &str) -> Result<bool, Error> {
        let step = "end an old secret";
        let path = format!("/clients/{id}/client-secret/rotated");
        let reply = self.send(step, Method::DELETE, &path, None).await?;
        self.there(step, &reply)
    }

    /// Gives a client a client scope, or takes it away.
    pub(super) async fn assign(&self, id: &str, how: Assignment, scope: &str, add: bool) -> Result<(), Error> {
        let step = "assign a client scope";
        let Some(scope) = self.scope_ids(&[scope.to_owned()]).await?.pop() else {
            return Ok(());
        };
        let path = format!("/clients/{id}/{how}-client-scopes/{scope}");
        let method = if add { Method::PUT } else { Method::DELETE };
        let reply = self.send(step, method, &path, None).await?;
        self.there(step, &reply).map(drop)
    }

    /// Makes sure that the realm has client scopes of these names: a create drops others without a word.
    ///
    /// # Errors
    /// `InvalidRequest` names the first that is missing.
    pub(super) async fn scope_ids(&self, names: &[String]) -> Result<Vec<String>, Error> {
        if names.is_empty() {
            return Ok(vec![]);
        }
        for read in [false, true] {
            if read {
                self.read_scopes().await?;
            }
            let known = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
            let ids: Option<Vec<_>> = names.iter().map(|name| known.get(name).cloned()).collect();
            match ids {
                Some(ids) => return Ok(ids),
                None if read => {
                    let missing = names.iter().find(|name| !known.contains_key(*name));
                    let text = format!(
                        "realm {} has no client scope {}: whoever runs it can add one of this name, of protocol OpenID Connect",
                        self.realm,
                        missing.map(String::as_str).unwrap_or_default()
                    );
                    return Err(Error::new(Category::InvalidRequest, text));
                }
                None => {}
            }
        }
        Ok(vec![])
    }

    async fn read_scopes(&self) -> Result<(), Error> {
        let step = "list client scopes";
        let reply = self.send(step, Method::GET, "/client-scopes", None).await?;
        if !reply.status.is_success() {
            return Err(self.refused(step, &reply));
        }
        let scopes: Vec<ClientScope> = reply.json()?;
        let ours = scopes.into_iter().filter(|scope| scope.protocol == "openid-connect");
        let scopes = ours.map(|scope| (scope.name, scope.id)).collect();
        *self.scopes.lock().unwrap_or_else(PoisonError::into_inner) = scopes;
        Ok(())
    }

    /// What the server says of itself; nothing where that is not for us to see.
    pub(super) async fn server_info(&self) -> Result<Option<ServerInfo>, Error> {
        let url = format!("{}/admin/serverinfo", self.server);
        let reply = self
            .session
            .send_authorized("ask for the server's features", |bearer| {
                self.http.request(Method::GET, &url).bearer_auth(bearer.expose_secret())
            })
            .await?;
        if !reply.status.is_success() {
            return Ok(None);
        }
        reply.json().map(Some)
    }

    async fn send(&self, step: &str, method: Method, path: &str, body: Option<&Value>) -> Result<Reply, Error> {
        let url = format!("{}{path}", self.base);
        self.session
            .send_authorized(step, |bearer| {
                let request = self
                    .http
                    .request(method.clone(), &url)
                    .bearer_auth(bearer.expose_secret());
                match body {
                    Some(body) => request.json(body),
                    None => request,
                }
            })
            .await
    }

    /// Whether a change found its object.
    fn there(&self, step: &str, reply: &Reply) -> Result<bool, Error> {
        match reply.status {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND if !is_realm(reply) => Ok(false),
            _ => Err(self.refused(step, reply)),
        }
    }

    /// What an answer that is no success means.
    fn refused(&self, step: &str, reply: &Reply) -> Error {
        let realm = &self.realm;
        let (category, text) = match reply.status {
            StatusCode::FORBIDDEN => (
                Category::MissingPermission,
                format!(
                    "{step}: the operator's own client may not: give its service account the role manage-clients of client realm-management in realm {realm}"
                ),
            ),
            StatusCode::NOT_FOUND => (
                Category::InvalidRequest,
                format!("{step}: there is no realm {realm} at this server, or no Admin API: see spec.keycloak"),
            ),
            StatusCode::BAD_REQUEST if is_idle_too_long(reply) => (
                Category::InvalidRequest,
                format!(
                    "{step}: spec.lifetimes.refreshToken is longer than realm {realm} lets a session idle: shorten it, or ask whoever runs the realm for a longer SSO Session Idle"
                ),
            ),
            StatusCode::CONFLICT => (
                Category::NotYet,
                format!("{step}: somebody else changed the client at the same time"),
            ),
            status => (
                Category::InvalidRequest,
                format!("{step}: realm {realm} refuses with status {}", status.as_u16()),
            ),
        };
        Error::new(category, text)
    }
}

/// What a refusal says; there are two shapes of it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Refusal {
    error: String,
    #[serde(rename = "error_description")]
    description: String,
    error_message: String,
}

fn refusal(reply: &Reply) -> Refusal {
    reply.json().unwrap_or_default()
}

/// A 409 that means "at the same time" and not "exists": only the latter has an `errorMessage` (K5).
fn is_concurrent(reply: &Reply) -> bool {
    refusal(reply).error_message.is_empty()
}

/// A 400 to every change of a client that has a longer idle time than its realm, whatever the change is (K15).
fn is_idle_too_long(reply: &Reply) -> bool {
    refusal(reply).description.contains("idle timeout cannot exceed realm")
}

/// A 404 that speaks of the realm and not of the client.
fn is_realm(reply: &Reply) -> bool {
    let error = refusal(reply).error;
    error.is_empty() || error.starts_with("Realm")
}
