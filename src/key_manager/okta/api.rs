//! Okta's management API: a few calls, their answers as values.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use http::{Method, StatusCode, header};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::Value;

use super::{app::App, login::AppLogin, refusal};
use crate::key_manager::{
    Category, Error,
    remote::{HttpClient, Reply, Session},
};

/// Most objects of a page.
const PAGE: &str = "200";
const LOOK_UP: &str = "look up an app";

/// The management API of one org, as the operator.
#[derive(Debug)]
pub(super) struct Api {
    http: HttpClient,
    session: Session,
    /// Its service app; without one it has an API token.
    app: Option<Arc<AppLogin>>,
    /// The org's URL.
    org: String,
    /// The custom authorization server's id.
    server: String,
    /// Names of that server's scopes. Read when one is asked for that is not among them.
    scopes: Mutex<BTreeSet<String>>,
}

/// Answer to the making of an app.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Created {
    /// It was made, with this id.
    Made(String),
    /// Its label or client id is taken, as the refusal of this code and id says.
    Taken(String),
}

/// Where an app is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Among {
    /// Those with its label.
    Labelled,
    /// All there are: somebody may have given it another label.
    All,
}

#[derive(Deserialize)]
struct Scope {
    name: String,
}

impl Api {
    pub(super) fn new(
        http: HttpClient,
        session: Session,
        app: Option<Arc<AppLogin>>,
        org: String,
        server: String,
    ) -> Self {
        Self {
            http,
            session,
            app,
            org,
            server,
            scopes: Mutex::default(),
        }
    }

    /// Whether apps can be managed; it keeps an API token alive too, which ends after a month without use.
    pub(super) async fn probe(&self) -> Result<(), Error> {
        let step = "see whether apps can be managed";
        let url = self.url("/api/v1/apps");
        let reply = self.send(step, Method::GET, &url, &[("limit", "1")], None).await?;
        self.good(step, reply).map(drop)
    }

    /// The app with exactly this client id; of those that only have its label none.
    pub(super) async fn find(&self, client_id: &str, among: Among) -> Result<Option<App>, Error> {
        let mut query = vec![("limit", PAGE), ("includeNonDeleted", "true")];
        if among == Among::Labelled {
            query.push(("q", client_id));
        }
        let found = |app: &App| app.client_id() == client_id;
        let app = self.first("/api/v1/apps", &query, found).await?;
        // An app that was made by hand has its own id as client id, and any label.
        match app {
            None if is_app_id(client_id) => Ok(self.get(client_id).await?.filter(found)),
            app => Ok(app),
        }
    }

    /// The app of another client that has this label, where there is one.
    pub(super) async fn labelled(&self, label: &str) -> Result<Option<App>, Error> {
        let query = [("limit", PAGE), ("q", label)];
        self.first("/api/v1/apps", &query, |app| app.label() == label).await
    }

    /// The first app of a list for which `good` holds, on whatever page.
    async fn first(
        &self,
        path: &str,
        query: &[(&str, &str)],
        good: impl Fn(&App) -> bool,
    ) -> Result<Option<App>, Error> {
        let mut reply = self.send(LOOK_UP, Method::GET, &self.url(path), query, None).await?;
        loop {
            reply = self.good(LOOK_UP, reply)?;
            let page: Vec<Value> = reply.json()?;
            if let Some(found) = page.into_iter().filter_map(App::read).find(&good) {
                return Ok(Some(found));
            }
            let Some(next) = self.next_page(&reply)? else {
                return Ok(None);
            };
            reply = self.send(LOOK_UP, Method::GET, &next, &[], None).await?;
        }
    }

    /// The app of this id.
    pub(super) async fn get(&self, id: &str) -> Result<Option<App>, Error> {
        let url = self.url(&format!("/api/v1/apps/{id}"));
        let reply = self.send(LOOK_UP, Method::GET, &url, &[], None).await?;
        match self.there(LOOK_UP, reply)? {
            Some(reply) => Ok(App::read(reply.json()?)),
            None => Ok(None),
        }
    }

    /// Makes an app.
    pub(super) async fn create(&self, body: &Value, active: bool) -> Result<Created, Error> {
        let step = "make an app";
        let query = [("activate", if active { "true" } else { "false" })];
        let reply = self
            .send(step, Method::POST, &self.url("/api/v1/apps"), &query, Some(body))
            .await?;
        if refusal::is_taken(&reply) {
            return Ok(Created::Taken(refusal::id(&reply)));
        }
        let reply = self.good(step, reply)?;
        let made: Made = reply.json()?;
        Ok(Created::Made(made.id))
    }

    /// Replaces an app. False where it is not there.
    pub(super) async fn put(&self, id: &str, body: &Value) -> Result<bool, Error> {
        let step = "change an app";
        let url = self.url(&format!("/api/v1/apps/{id}"));
        let reply = self.send(step, Method::PUT, &url, &[], Some(body)).await?;
        if refusal::is_taken(&reply) {
            let text = format!(
                "{step}: another app has the label that this one needs ({}): rename it",
                refusal::id(&reply)
            );
            return Err(Error::new(Category::ClientConflict, text));
        }
        Ok(self.there(step, reply)?.is_some())
    }

    /// Calls something below an app; the answer, or `None` where the app, or what is meant of it, is not there.
    pub(super) async fn below(
        &self,
        step: &str,
        method: Method,
        id: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Option<Reply>, Error> {
        let url = self.url(&format!("/api/v1/apps/{id}{path}"));
        let reply = self.send(step, method, &url, &[], body).await?;
        self.there(step, reply)
    }

    /// Makes sure that the authorization server has scopes of these names, where the operator may see which it has.
    ///
    /// # Errors
    /// `InvalidRequest` names the first that is missing.
    pub(super) async fn has_scopes(&self, names: &[String]) -> Result<(), Error> {
        let missing = |known: &BTreeSet<String>| names.iter().find(|name| !known.contains(*name)).cloned();
        let known = self.scopes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if missing(&known).is_none() {
            return Ok(());
        }
        let Some(known) = self.read_scopes().await? else {
            return Ok(());
        };
        let absent = missing(&known);
        *self.scopes.lock().unwrap_or_else(PoisonError::into_inner) = known;
        match absent {
            None => Ok(()),
            Some(name) => {
                let text = format!(
                    "authorization server {} has no scope {name}: its administrator can add it (Security, API, Authorization Servers, {}, Scopes), and let the rules of its access policies give it",
                    self.server, self.server
                );
                Err(Error::new(Category::InvalidRequest, text))
            }
        }
    }

    async fn read_scopes(&self) -> Result<Option<BTreeSet<String>>, Error> {
        let step = "list the scopes of the authorization server";
        let url = self.url(&format!("/api/v1/authorizationServers/{}/scopes", self.server));
        let mut reply = self.send(step, Method::GET, &url, &[("limit", PAGE)], None).await?;
        let mut all = BTreeSet::new();
        loop {
            if reply.status == StatusCode::FORBIDDEN {
                return Ok(None);
            }
            reply = self.good(step, reply)?;
            all.extend(reply.json::<Vec<Scope>>()?.into_iter().map(|scope| scope.name));
            let Some(next) = self.next_page(&reply)? else {
                return Ok(Some(all));
            };
            reply = self.send(step, Method::GET, &next, &[], None).await?;
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.org)
    }

    async fn send(
        &self,
        step: &str,
        method: Method,
        url: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Reply, Error> {
        let build = |token: &secrecy::SecretString| {
            let mut request = self
                .http
                .request(method.clone(), url)
                .header(header::ACCEPT, "application/json");
            if !query.is_empty() {
                request = request.query(query);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            match &self.app {
                Some(app) => {
                    let bare = url.split('?').next().unwrap_or(url);
                    app.authorize(request, &method, bare, token)
                }
                None => request.header(header::AUTHORIZATION, format!("SSWS {}", token.expose_secret())),
            }
        };
        self.session.send_authorized(step, build).await
    }

    /// The answer, where it is a success.
    #[expect(clippy::unused_self, reason = "reads as the rest does")]
    fn good(&self, step: &str, reply: Reply) -> Result<Reply, Error> {
        if reply.status.is_success() {
            Ok(reply)
        } else {
            Err(refusal::error(step, &reply))
        }
    }

    /// The same for something that may not be there.
    fn there(&self, step: &str, reply: Reply) -> Result<Option<Reply>, Error> {
        if refusal::is_absent(&reply) {
            return Ok(None);
        }
        self.good(step, reply).map(Some)
    }

    /// Where the next page is (RFC 8288). The cursor means nothing, and there are several such headers (O7).
    fn next_page(&self, reply: &Reply) -> Result<Option<String>, Error> {
        let links = reply.headers.get_all(header::LINK).iter();
        let links = links
            .filter_map(|link| link.to_str().ok())
            .flat_map(|link| link.split(','));
        let next = links.filter(|link| link.contains("rel=\"next\"")).find_map(|link| {
            let (_, rest) = link.split_once('<')?;
            Some(rest.split_once('>')?.0.to_owned())
        });
        match next {
            // The operator's token goes nowhere else.
            Some(next) if next.starts_with(&self.url("/api/v1/")) => Ok(Some(next)),
            Some(_) => Err(reply.error(
                Category::InvalidRequest,
                "the next page of the list is at another address: give the URL that Okta itself uses in spec.okta.url",
            )),
            None => Ok(None),
        }
    }
}

#[derive(Deserialize)]
struct Made {
    id: String,
}

/// Whether an app made by hand may have it as its id: anything else has no place in a path.
fn is_app_id(client_id: &str) -> bool {
    client_id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
