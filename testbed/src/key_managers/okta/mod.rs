//! A double of Okta: the Apps API, the org's own token endpoint and custom authorization servers, over HTTPS.
//!
//! No Okta can be run here. The double is built from Okta's OpenAPI files, error catalogues and guides; every exchange is
//! held to the OpenAPI files ([`crate::openapi`]), and a client of Okta's own making works with it
//! ([`sdk`]).
//!
//! # In a test
//!
//! ```no_run
//! # async fn test() -> anyhow::Result<()> {
//! use testbed::key_managers::okta::{Failure, Modes, Okta, Policy};
//!
//! let okta = Okta::start().await?;
//! // What the operator needs: the org's URL and its CA, and a way to log in.
//! let (url, ca, operator) = (okta.url(), okta.ca(), okta.operator());
//! // Switch modes while it runs.
//! okta.set(|modes| modes.dpop_required = true);
//! okta.server(|server| server.policies = vec![Policy::new(&["other-client"], &["client_credentials"], &["*"])]);
//! okta.fail_next("POST /api/v1/apps", Failure::AnswerLost);
//! // What a person does in the Admin Console.
//! okta.app("0oa...", |app| app.active = false);
//! // What there is, and what was asked for.
//! let (apps, creations) = (okta.apps(), okta.count("POST /api/v1/apps"));
//! // At the end of every test:
//! okta.audit().assert_clean();
//! # Ok(()) }
//! ```
//!
//! The org has one app that is the operator's own (with scopes `okta.apps.manage`, `okta.apps.read` and
//! `okta.authorizationServers.read`), and one custom server, `default`, with scopes `orders:read`, `orders:write`, `basic`
//! (default) and `profile:share` (needs consent). Its policy lets all clients in for an hour. `stop` refuses connections
//! until `start_again`; state is kept.
//!
//! # Traps
//!
//! What Okta does that a client may not expect. `tests` has a test of each number.
//!
//! | | |
//! | --- | --- |
//! | O1 | An app is made with 200, a secret or key with 201; a lifecycle call answers 200 without a body. |
//! | O2 | With a chosen client id the app's id is another one, and paths take the app's id only. Nothing is idempotent: a second create is refused. |
//! | O3 | A chosen client id has 6 to 100 characters of a small set, a chosen secret 14 to 100, printable, and 32 for `client_secret_jwt`. |
//! | O4 | Only an inactive app can be deleted; else 403 E0000056. |
//! | O5 | A label is unique among active apps: 400 E0000001 or E0000040, also when an app is activated. |
//! | O6 | A list leaves inactive apps out unless `includeNonDeleted=true`. `q` matches the start of the label *or of the name*, which is `oidc_client` for all. |
//! | O7 | A page names the next one in a `Link` header; there are two such headers, and the cursor means nothing. |
//! | O8 | PUT replaces: a `profile` that is left out is lost. What is required is required again; client id and application type cannot change; id, name, status and times are ignored. A `client_secret` in it replaces the newest one in place (assumed). |
//! | O9 | An app has at most two secrets, inactive ones included. |
//! | O10 | Secrets are readable in their list, unless the caller's role forbids it; a read of the app shows none. |
//! | O11 | The only active secret cannot be deactivated, an active one cannot be deleted; deactivation can be undone. |
//! | O12 | The operator needs scope *and* role: 403 E0000006 either way; `insufficient_scope` is in `WWW-Authenticate` only. |
//! | O13 | The org's server takes `private_key_jwt` of service apps only. `aud` is the endpoint's URL, `exp` at most an hour ahead, a `jti` works once. Of the scopes asked for it grants some, with 200. |
//! | O14 | Where DPoP is demanded: 400 `invalid_dpop_proof` without a proof, then `use_dpop_nonce` with a `dpop-nonce`; the repeat needs a new assertion. API calls need scheme `DPoP` and a proof with `ath`. |
//! | O15 | An SSWS token stands for an administrator and has no scopes; a wrong one is 401 E0000011. |
//! | O16 | Ordinary clients get nothing at the org's server. Custom servers may not be there: 401 E0000015 in the management API, 404 at their endpoints. |
//! | O17 | Metadata have the path appended (and the form of RFC 8414); their `registration_endpoint` is the whole org's. |
//! | O18 | Without `scope` a client gets the default scopes. None there, an unknown one, or one of OpenID: 400 `invalid_scope`; one that needs consent: `consent_required`. |
//! | O19 | Each bucket has its own limit, in headers on every answer. 429 E0000047 has the shape of the management API at OAuth endpoints too. The reset is in seconds of the org's clock, which `Date` tells; there is no `Retry-After`. Where too many requests run at once, limit and remaining are 0. |
//! | O20 | A policy decides: 401 `access_denied` where none fits, 400 `access_denied` where scopes are denied; the rule sets how long a token lives. |
//! | O21 | A new app may be not found for some reads, and may be left out of lists. |
//! | O22 | A new secret or key may fail with `invalid_client` for some uses. |
//! | O23 | An app that changes to `private_key_jwt` loses its secrets, one that changes to `jwks_uri` its keys. There are at most 50 keys, each with its own `kid`; the last active one stays. |
//! | O24 | The application type limits the grants: `service` for machines alone, `web` for users and machines. A public client needs PKCE; DPoP-bound tokens exclude `client_credentials`. |
//! | O25 | Errors have two shapes, and metadata for an unknown `client_id` have a code of the one in the shape of the other. An unsupported media type is 404 E0000012, a broken body 400 E0000003. |
//! | O26 | An inactive app, an inactive secret and the wrong way to log in are all 401 `invalid_client`. |
//! | O27 | Times have whole seconds, so two secrets may be of the same time. |
//! | O28 | The list of an app's keys has three forms, one in each of Okta's texts. |

mod admission;
mod answer;
mod app;
mod apps;
mod credentials;
mod deviations;
mod draft;
mod http;
mod limits;
mod modes;
mod org;
mod proof;
mod router;
pub mod sdk;
mod servers;
#[cfg(test)]
mod tests;
mod token;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;

pub use self::{
    app::{App, Key, Secret},
    deviations::DEVIATIONS,
    limits::Bucket,
    modes::{Failure, KeyList, Modes, Outage},
    servers::{AuthorizationServer, Policy, Rule, Scope},
};
use self::{
    http::Shared,
    org::{Org, Signer},
};
use super::tls_server::TlsServer;
use crate::openapi::{Audit, OpenApi, contracts};

/// A running double. It ends, and its connections with it, when it is dropped.
#[derive(Debug)]
pub struct Okta {
    server: TlsServer,
    shared: Arc<Shared>,
    operator: Operator,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Method and path template, or the path itself where Okta's files have none that fits.
    pub operation: String,
    /// The status of the answer, if the client got one.
    pub status: Option<u16>,
}

/// How the operator logs in.
#[derive(Clone)]
pub struct Operator {
    /// Client id of its own app.
    pub client_id: String,
    /// `kid` of its key.
    pub key_id: String,
    /// Its private RSA key, PKCS 8 in PEM.
    pub private_key: String,
    /// The other way: an API token, after `SSWS` in `Authorization`.
    pub api_token: String,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operator({})", self.client_id)
    }
}

/// Keys that all doubles of a process share: RSA keys take long to make.
static KEYS: Mutex<Option<(Signer, Signer, String)>> = Mutex::new(None);

impl Okta {
    /// Starts one with nothing but the operator's app.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> anyhow::Result<Self> {
        let (signer, key, private_key) = keys()?;
        let server = TlsServer::new()?;
        let operator = Operator {
            client_id: app::new_id("0oa"),
            key_id: key.kid.clone(),
            private_key,
            api_token: app::new_id("00"),
        };
        let org = Org::new(server.url(), signer, &operator, &key);
        let documents = [contracts::OKTA_MANAGEMENT, contracts::OKTA_OAUTH].map(OpenApi::read);
        let documents = documents
            .into_iter()
            .collect::<Result<_, _>>()
            .context("Okta's OpenAPI files")?;
        let audit = Audit::new(documents, DEVIATIONS.to_vec());
        let mut this = Self {
            server,
            shared: Arc::new(Shared::new(org, audit)),
            operator,
        };
        this.start_again().await?;
        Ok(this)
    }

    /// The org's URL. HTTPS only.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The CA that its certificate is from, in PEM.
    pub fn ca(&self) -> &str {
        self.server.ca()
    }

    /// The issuer of the custom server `default`.
    pub fn issuer(&self) -> String {
        format!("{}/oauth2/default", self.url())
    }

    /// How the operator logs in.
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// Refuses connections from now on. Nothing is forgotten.
    pub async fn stop(&mut self) {
        self.server.stop().await;
    }

    /// Listens again after `stop`, at the same address.
    ///
    /// # Errors
    /// Somebody else has taken the port.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let router = http::router(Arc::clone(&self.shared));
        self.server.start(router).await
    }

    /// Changes how the org behaves from now on.
    pub fn set(&self, change: impl FnOnce(&mut Modes)) {
        change(&mut self.org().modes);
    }

    /// From now on a bucket has `remaining` requests for `seconds`, and then `limit` in each minute.
    pub fn limit(&self, bucket: Bucket, limit: u32, remaining: u32, seconds: i64) {
        let mut org = self.org();
        let reset = org.now() + seconds;
        org.limits.set(bucket, limit, remaining, reset);
    }

    /// The next request for an operation (method and path template, `POST /api/v1/apps`) fails, and further ones as
    /// often as this is called.
    pub fn fail_next(&self, operation: &str, failure: Failure) {
        self.org().failures.push((operation.to_owned(), failure));
    }

    /// Changes the custom server `default`: its scopes and policies.
    pub fn server(&self, change: impl FnOnce(&mut AuthorizationServer)) {
        if let Some(server) = self.org().servers.first_mut() {
            change(server);
        }
    }

    /// Which scopes of Okta's own APIs the operator's app has, from the next access token on.
    pub fn grant(&self, scopes: &[&str]) {
        let id = self.operator.client_id.clone();
        self.app(&id, |app| {
            app.grants = scopes.iter().map(|&scope| scope.to_owned()).collect();
        });
    }

    /// All access tokens that the operator has become invalid.
    pub fn end_sessions(&self) {
        self.org().sessions.clear();
    }

    /// DPoP proofs need another nonce from now on.
    pub fn renew_nonce(&self) {
        self.org().nonce = app::new_id("nonce");
    }

    /// All apps but the operator's own.
    pub fn apps(&self) -> Vec<App> {
        let org = self.org();
        org.apps
            .iter()
            .filter(|app| app.client_id != self.operator.client_id)
            .cloned()
            .collect()
    }

    /// The operator's own app.
    pub fn operator_app(&self) -> Option<App> {
        self.org().client(&self.operator.client_id).cloned()
    }

    /// Changes an app by hand. Whether there is one with this id or client id.
    pub fn app(&self, id: &str, change: impl FnOnce(&mut App)) -> bool {
        let mut org = self.org();
        let found = org.apps.iter_mut().find(|app| app.id == id || app.client_id == id);
        found.map(change).is_some()
    }

    /// Deletes an app by hand. Whether there was one with this id or client id.
    pub fn delete_app(&self, id: &str) -> bool {
        let mut org = self.org();
        let before = org.apps.len();
        org.apps.retain(|app| app.id != id && app.client_id != id);
        org.apps.len() < before
    }

    /// Adds a secret to an app by hand. Whether there is one with this id or client id.
    pub fn add_secret(&self, id: &str, value: &str, active: bool) -> bool {
        let now = self.org().now();
        self.app(id, |app| {
            app.secrets.push(Secret::new(value.to_owned(), active, now, 0));
        })
    }

    /// Somebody else's app, for machines, with the client id as its app id. It has one secret.
    pub fn add_app(&self, label: &str, client_id: &str) {
        let mut org = self.org();
        let app = App::foreign(label, client_id, org.now());
        org.apps.push(app);
    }

    /// How often an operation was asked for, whatever became of it: method and path template, as `POST /api/v1/apps`.
    pub fn count(&self, operation: &str) -> usize {
        self.shared
            .calls()
            .iter()
            .filter(|call| call.operation == operation)
            .count()
    }

    /// All requests so far, in the order in which they were carried out.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls().clone()
    }

    /// Waits until so many requests are or were under way at the same time.
    pub async fn until_in_flight(&self, many: usize) {
        let mut under_way = self.shared.under_way.subscribe();
        // The sender lives as long as this.
        drop(under_way.wait_for(|all| all.most >= many).await);
    }

    /// All that passed, and what in it was not as Okta's OpenAPI files say.
    pub fn audit(&self) -> &Audit {
        &self.shared.audit
    }

    fn org(&self) -> MutexGuard<'_, Org> {
        self.shared.org()
    }
}

fn keys() -> anyhow::Result<(Signer, Signer, String)> {
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(keys) = &*keys {
        return Ok(keys.clone());
    }
    let (signer, _) = Signer::generate()?;
    let (operator, pem) = Signer::generate()?;
    Ok(keys.insert((signer, operator, pem)).clone())
}
