//! A process's way to a simulated server, and what happens to calls on it.

use std::sync::{Arc, atomic::Ordering};

use appkeys::{
    api::conditions::Say,
    key_manager::{
        Answer, Capabilities, Category, Changed, Client, Compared, Current, Drivers, Endpoints, Error, KeyManager,
        NewSecret, Opened, Properties, Registered, SecretAdded, Server as KeyManagerServer, TokenAnswer, TokenRequest,
        Wanted, resident::ResidentKeyManagers, snapshot::Held,
    },
};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use testbed::memory_api::Fault;

use super::{schedule::Plan, server::Server, servers::Servers};

/// How many seconds a request to the API server may be late; a call to a key manager may be as late as that lets it settle.
const WRITES_SETTLE: u32 = 3;

/// A process's way to a server.
struct Driver {
    server: Arc<Server>,
    plan: Arc<Plan>,
    capabilities: Capabilities,
    endpoints: Endpoints,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver")
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}

impl Driver {
    /// Makes a call; what happens on its way is the schedule's choice.
    async fn call<T: Send + 'static>(
        &self,
        what: &str,
        writes: bool,
        call: impl FnOnce(&Server) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let server = self.server.clone();
        let lost = || Error::new(Category::Unreachable, "no answer");
        if server.down.load(Ordering::SeqCst) {
            return Err(lost());
        }
        match self.plan.decide_call(what, writes) {
            Fault::Pass => call(&server),
            Fault::Refuse(401) => Err(Error::new(Category::CredentialsRejected, "401")),
            Fault::Refuse(403) => Err(Error::new(Category::MissingPermission, "403")),
            Fault::Refuse(429) => Err(Error::new(Category::Throttled, "429")),
            Fault::Refuse(_) | Fault::LoseRequest => Err(lost()),
            Fault::LoseAnswer => {
                drop(call(&server));
                Err(lost())
            }
            Fault::Late(delay) => {
                // As late as it may be.
                let delay = delay * server.facts.settles / WRITES_SETTLE;
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    drop(call(&server));
                });
                Err(lost())
            }
            Fault::Delay(delay) => {
                tokio::time::sleep(delay).await;
                call(&server)
            }
            Fault::Hang => std::future::pending().await,
            Fault::ApplyAndHang => {
                drop(call(&server));
                std::future::pending().await
            }
        }
    }
}

#[async_trait]
impl KeyManager for Driver {
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
        let (client, properties, secret) = (client.clone(), properties.clone(), secret.clone());
        let what = format!("register {}", client.id);
        if self.capabilities.applications {
            let of = client.clone();
            self.call("make the application", true, move |server| server.make_application(&of))
                .await?;
        }
        self.call(&what, true, move |server| {
            server.register(&client, &properties, &secret)
        })
        .await
    }

    async fn find(&self, _client: &Client, _attempt: &str) -> Result<Option<Answer>, Error> {
        Ok(None)
    }

    async fn update(&self, client: &Client, properties: &Properties) -> Result<Changed, Error> {
        let (client, properties) = (client.clone(), properties.clone());
        let what = format!("update {}", client.id);
        self.call(&what, true, move |server| server.update(&client, &properties))
            .await
    }

    async fn compare(&self, client: &Client, properties: &Properties) -> Result<Compared, Error> {
        let (client, mark) = (client.clone(), properties.mark.clone());
        self.call("compare", false, move |server| Ok(server.compare(&client, &mark)))
            .await
    }

    async fn adopt(&self, client: &Client, properties: &Properties, _secret: &SecretString) -> Result<Changed, Error> {
        let (client, properties) = (client.clone(), properties.clone());
        let what = format!("adopt {}", client.id);
        self.call(&what, true, move |server| server.adopt(&client, &properties))
            .await
    }

    async fn add_secret(&self, client: &Client, new: NewSecret<'_>) -> Result<SecretAdded, Error> {
        let (client, kind, room) = (client.clone(), new.kind, new.room);
        let (published, secret) = (new.published.cloned(), new.secret.clone());
        let (published_version, version) = (new.published_version, new.version);
        let what = format!("add secret {} {room:?}", client.id);
        self.call(&what, true, move |server| {
            let new = NewSecret {
                kind,
                published: published.as_ref(),
                published_version,
                secret: &secret,
                version,
                room,
            };
            server.add_secret(&client, &new)
        })
        .await
    }

    async fn read_secret(&self, client: &Client) -> Result<Option<Answer>, Error> {
        let client = client.clone();
        self.call("read secret", false, move |server| server.read_secret(&client))
            .await
    }

    async fn retire(&self, client: &Client, current: Current<'_>, end: Timestamp) -> Result<Changed, Error> {
        let (client, current) = (client.clone(), current.secret.expose_secret().to_owned());
        let what = format!("retire {}", client.id);
        self.call(&what, true, move |server| server.retire(&client, &current, end))
            .await
    }

    async fn delete(&self, client: &Client) -> Result<Changed, Error> {
        let client = client.clone();
        let what = format!("delete {}", client.id);
        let of = client.clone();
        let deleted = self.call(&what, true, move |server| Ok(server.delete(&client))).await?;
        if self.capabilities.applications {
            self.call("delete the application", true, move |server| {
                server.delete_empty_application(&of)
            })
            .await?;
        }
        Ok(deleted)
    }

    async fn token(&self, request: TokenRequest<'_>) -> Result<TokenAnswer, Error> {
        let (id, secret) = (request.client_id.to_owned(), request.secret.expose_secret().to_owned());
        let scopes = request.scopes.to_vec();
        self.call("token", false, move |server| {
            let token = server.token(&id, &secret, scopes);
            Ok(token.map_or(TokenAnswer::InvalidClient, TokenAnswer::Issued))
        })
        .await
    }

    fn settles(&self) -> SignedDuration {
        SignedDuration::from_secs(self.server.facts.settles.into())
    }
}

/// The drivers of one process: the profile of a key manager is that of the server with its name.
#[derive(Debug)]
pub(crate) struct SimulatedDrivers {
    pub(crate) resident: ResidentKeyManagers,
    pub(crate) servers: Servers,
    pub(crate) plan: Arc<Plan>,
}

#[async_trait]
impl Drivers for SimulatedDrivers {
    async fn held(&self, _wanted: Wanted<'_>) -> Option<Held> {
        Some(Held::default())
    }

    async fn open(&self, wanted: Wanted<'_>) -> Result<Opened, Say> {
        let name = &wanted.name.name;
        let Some(server) = self.servers.0.get(name) else {
            return match wanted.server {
                KeyManagerServer::Resident(spec) => self.resident.open(name, spec).await,
                _ => Err(Say::no(
                    "Ready",
                    "InvalidConfiguration",
                    "no such server in the simulation",
                )),
            };
        };
        let endpoints = Endpoints {
            issuer: format!("https://{name}"),
            token: format!("https://{name}/token"),
            ..Endpoints::default()
        };
        let driver = Driver {
            server: server.clone(),
            plan: self.plan.clone(),
            capabilities: server.facts.capabilities.clone(),
            endpoints,
        };
        Ok(Opened {
            driver: Arc::new(driver),
            look_again: None,
            stamp: String::new(),
        })
    }
}
