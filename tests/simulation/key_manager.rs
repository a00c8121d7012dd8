//! Key managers in memory, one for each profile of capabilities, with the same faults on the way as the API server's.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use appkeys::{
    api::{ClientAuthentication, GrantType, conditions::Say},
    clock::Clock,
    entropy::Entropy,
    key_manager::{
        Answer, Capabilities, Category, Changed, Choice, Client, Compared, Current, Drivers, Endpoints, Error,
        KeyAlgorithm, KeyManager, Management, Mark, NewSecret, Opened, Outcome, Overlap, PkceMethods, Properties,
        Registered, Room, SecretAdded, Server as KeyManagerServer, Token, TokenAnswer, TokenRequest, Wanted,
        resident::ResidentKeyManagers, snapshot::Held,
    },
};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use testbed::memory_api::Fault;

use super::bench::Plan;

/// What kind of key manager is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// The real resident one, over the API server in memory.
    Resident,
    /// Id and secrets are our choice; two secrets, the old one ends when we take it away.
    TwoSecrets,
    /// Id and secret are our choice; one secret, which can be read back.
    OneSecret,
    /// Id and first secret are our choice; the server makes those of a rotation.
    GivenAtRotation,
    /// The server chooses id and secret, and its registration access token changes with each use (RFC 7592).
    GivenIdentity,
}

pub(crate) const PROFILES: [Profile; 5] = [
    Profile::Resident,
    Profile::TwoSecrets,
    Profile::OneSecret,
    Profile::GivenAtRotation,
    Profile::GivenIdentity,
];

fn capabilities(profile: Profile) -> Capabilities {
    let given = profile == Profile::GivenIdentity;
    let choice = if given { Choice::Theirs } else { Choice::Ours };
    Capabilities {
        client_id: choice,
        secret_at_creation: choice,
        secret_at_rotation: match profile {
            Profile::GivenIdentity => None,
            Profile::GivenAtRotation => Some(Choice::Theirs),
            _ => Some(Choice::Ours),
        },
        read_secret: profile == Profile::OneSecret,
        overlap: match profile {
            Profile::OneSecret | Profile::GivenIdentity => Overlap::None,
            _ => Overlap::WeEnd,
        },
        adopt: profile != Profile::Resident,
        find: false,
        grant_types: vec![GrantType::ClientCredentials],
        access_token_lifetime: false,
        refresh_token_lifetime: false,
        authentication: vec![
            ClientAuthentication::ClientSecretBasic,
            ClientAuthentication::ClientSecretPost,
        ],
        key_algorithm: KeyAlgorithm::ES256,
        key_overlap: Overlap::None,
        pkce: PkceMethods::Nothing,
        vendors: vec![],
        reasons: vec![],
    }
}

/// A client as the server has it.
#[derive(Clone, Debug)]
struct Stored {
    mark: Option<Mark>,
    secrets: Vec<String>,
    token: u32,
    /// Somebody changed it by hand.
    changed: bool,
}

/// A server; it outlives the processes.
pub(crate) struct Server {
    name: String,
    profile: Profile,
    clients: Mutex<BTreeMap<String, Stored>>,
    counter: Mutex<u32>,
    /// Clients with the secrets that they were seen to authenticate with.
    used: Mutex<BTreeSet<(String, String)>>,
    down: AtomicBool,
    /// How often clients were compared with what they should be.
    pub(crate) comparisons: AtomicUsize,
    /// Whether an update gives a client of given identity another secret, and ends the one before.
    pub(crate) renews: AtomicBool,
    /// How long its access tokens live.
    pub(crate) life: Mutex<SignedDuration>,
    /// Every secret value that it ever gave or took.
    issued: Mutex<Vec<String>>,
}

impl Server {
    pub(crate) fn new(name: &str, profile: Profile) -> Self {
        Self {
            name: name.to_owned(),
            profile,
            clients: Mutex::default(),
            counter: Mutex::default(),
            used: Mutex::default(),
            down: AtomicBool::new(false),
            comparisons: AtomicUsize::new(0),
            renews: AtomicBool::new(false),
            life: Mutex::new(SignedDuration::from_hours(12)),
            issued: Mutex::default(),
        }
    }

    /// Whether it gives no answer to anybody.
    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// The ids of all clients.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.clients().keys().cloned().collect()
    }

    /// Whether a client authenticates with this secret.
    pub(crate) fn accepts(&self, id: &str, secret: &str) -> bool {
        self.clients()
            .get(id)
            .is_some_and(|client| client.secrets.iter().any(|known| known == secret))
    }

    fn clients(&self) -> MutexGuard<'_, BTreeMap<String, Stored>> {
        self.clients.lock().unwrap()
    }

    fn next(&self) -> u32 {
        let mut counter = self.counter.lock().unwrap();
        *counter += 1;
        *counter
    }

    fn given(&self) -> bool {
        self.profile == Profile::GivenIdentity
    }

    /// A client that a management call may touch.
    fn owned<'a>(
        &self,
        clients: &'a mut BTreeMap<String, Stored>,
        client: &Client,
    ) -> Result<Option<&'a mut Stored>, Error> {
        let Some(stored) = clients.get_mut(&client.id) else {
            return Ok(None);
        };
        if !self.given() && stored.mark.as_ref() != Some(&client.mark) {
            return Err(Error::new(Category::ClientConflict, "not ours"));
        }
        Ok(Some(stored))
    }

    fn register(&self, client: &Client, secret: &SecretString) -> Result<Registered, Error> {
        let number = self.next();
        let mut clients = self.clients();
        let (id, secret) = if self.given() {
            (
                format!("given-{number}-at-{}", self.name),
                SecretString::from(format!("secret-{number}-at-{}", self.name)),
            )
        } else {
            (client.id.clone(), secret.clone())
        };
        if self.owned(&mut clients, client)?.is_some() {
            return Ok(Registered::Exists);
        }
        self.issued.lock().unwrap().push(secret.expose_secret().to_owned());
        let stored = Stored {
            mark: Some(client.mark.clone()),
            secrets: vec![secret.expose_secret().to_owned()],
            token: number,
            changed: false,
        };
        clients.insert(id.clone(), stored);
        let management = self.given().then(|| self.management(&id, number));
        Ok(Registered::Made(Answer {
            id,
            secret,
            management,
            secret_ends: None,
            differences: vec![],
        }))
    }

    fn update(&self, client: &Client, properties: &Properties) -> Result<Changed, Error> {
        let number = self.next();
        let mut clients = self.clients();
        let Some(stored) = self.owned(&mut clients, client)? else {
            return Ok(if self.given() {
                Changed::Refused
            } else {
                Changed::NotThere
            });
        };
        if !self.given() {
            stored.changed = false;
            stored.mark = Some(properties.mark.clone());
            return Ok(Changed::done());
        }
        if !may_manage(stored, client) {
            return Ok(Changed::Refused);
        }
        stored.token = number;
        stored.changed = false;
        if self.renews.load(Ordering::SeqCst) {
            stored.secrets = vec![format!("secret-{number}-at-{}", self.name)];
            self.issued.lock().unwrap().extend(stored.secrets.clone());
        }
        Ok(Changed::Done(Outcome {
            management: Some(self.management(&client.id, number)),
            secret: stored.secrets.first().cloned().map(SecretString::from),
            ..Outcome::default()
        }))
    }

    fn compare(&self, client: &Client, mark: &Mark) -> Compared {
        self.comparisons.fetch_add(1, Ordering::SeqCst);
        let clients = self.clients();
        match clients.get(&client.id) {
            None if self.given() => Compared::Refused,
            None => Compared::NotThere,
            Some(stored) if self.given() && !may_manage(stored, client) => Compared::Refused,
            Some(stored) if stored.changed || stored.mark.as_ref() != Some(mark) => {
                Compared::Differs(vec!["name".into()], None)
            }
            Some(_) => Compared::Differs(vec![], None),
        }
    }

    fn adopt(&self, client: &Client, properties: &Properties) -> Result<Changed, Error> {
        if let Some(stored) = self.clients().get_mut(&client.id)
            && stored.mark.is_none()
        {
            stored.mark = Some(properties.mark.clone());
        }
        self.update(client, properties)
    }

    fn add_secret(
        &self,
        client: &Client,
        published: Option<&str>,
        secret: &str,
        room: Room,
    ) -> Result<SecretAdded, Error> {
        let number = self.next();
        let mut clients = self.clients();
        let Some(stored) = self.owned(&mut clients, client)? else {
            return Ok(SecretAdded::NotThere);
        };
        let two = matches!(self.profile, Profile::TwoSecrets | Profile::GivenAtRotation);
        let secret = if self.profile == Profile::GivenAtRotation {
            format!("secret-{number}-at-{}", self.name)
        } else {
            secret.to_owned()
        };
        match room {
            Room::Only => stored.secrets.clear(),
            _ if !two => return Err(Error::new(Category::InvalidRequest, "a client has one secret")),
            Room::Replace => {
                let keep = stored
                    .secrets
                    .iter()
                    .position(|known| Some(known.as_str()) == published);
                stored.secrets = stored.secrets.drain(..).skip(keep.unwrap_or(0)).take(1).collect();
            }
            Room::Keep if stored.secrets.len() == 2 => return Ok(SecretAdded::Occupied),
            Room::Keep => {
                let unknown = published.is_some_and(|published| stored.secrets.iter().all(|known| known != published));
                if unknown {
                    return Ok(SecretAdded::Occupied);
                }
            }
        }
        self.issued.lock().unwrap().push(secret.clone());
        stored.secrets.push(secret.clone());
        Ok(SecretAdded::Added(secret.into()))
    }

    fn retire(&self, client: &Client, current: &str) -> Result<Changed, Error> {
        let mut clients = self.clients();
        let Some(stored) = self.owned(&mut clients, client)? else {
            return Ok(Changed::NotThere);
        };
        stored.secrets.retain(|secret| secret == current);
        Ok(Changed::done())
    }

    fn delete(&self, client: &Client) -> Changed {
        let mut clients = self.clients();
        match self.owned(&mut clients, client) {
            Ok(Some(stored)) if self.given() && !may_manage(stored, client) => return Changed::Refused,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Changed::NotThere,
        }
        clients.remove(&client.id);
        Changed::done()
    }
}

impl Server {
    fn management(&self, id: &str, number: u32) -> Management {
        let token = format!("registration-{number}");
        self.issued.lock().unwrap().push(token.clone());
        Management {
            uri: format!("https://key-manager/register/{id}"),
            token: token.into(),
            previous: None,
        }
    }

    /// Every secret value that it ever gave or took.
    pub(crate) fn issued(&self) -> Vec<String> {
        self.issued.lock().unwrap().clone()
    }

    /// All that is known of each client.
    pub(crate) fn known(&self) -> Vec<String> {
        let clients = self.clients();
        clients.iter().map(|(id, stored)| format!("{id} {stored:?}")).collect()
    }

    /// Changes a client by hand, or deletes it.
    pub(crate) fn meddle(&self, id: &str, delete: bool) {
        let mut clients = self.clients();
        if delete {
            clients.remove(id);
        } else if let Some(client) = clients.get_mut(id) {
            client.changed = true;
        }
    }

    /// Whether a client is as somebody changed it by hand.
    pub(crate) fn is_meddled_with(&self, id: &str) -> bool {
        self.clients().get(id).is_some_and(|client| client.changed)
    }

    /// Puts clients there that are not ours.
    pub(crate) fn plant(&self, ids: impl Iterator<Item = String>) {
        let foreign = |id: String| {
            let secrets = vec![format!("their-secret-of-{id}")];
            let stored = Stored {
                mark: None,
                secrets,
                token: 0,
                changed: false,
            };
            (id, stored)
        };
        self.clients().extend(ids.map(foreign));
    }
}

fn may_manage(stored: &Stored, client: &Client) -> bool {
    let token = client
        .management
        .as_ref()
        .map(|management| management.token.expose_secret());
    token == Some(&format!("registration-{}", stored.token))
}

/// A process's way to a server.
struct Driver {
    server: Arc<Server>,
    plan: Arc<Plan>,
    capabilities: Capabilities,
    endpoints: Endpoints,
    clock: Clock,
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
        _properties: &Properties,
        secret: &SecretString,
        _attempt: Option<&str>,
    ) -> Result<Registered, Error> {
        let (client, secret) = (client.clone(), secret.clone());
        let what = format!("register {}", client.id);
        self.call(&what, true, move |server| server.register(&client, &secret))
            .await
    }

    async fn find(&self, _mark: &Mark, _attempt: &str) -> Result<Option<Answer>, Error> {
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

    async fn adopt(&self, client: &Client, properties: &Properties) -> Result<Changed, Error> {
        let (client, properties) = (client.clone(), properties.clone());
        let what = format!("adopt {}", client.id);
        self.call(&what, true, move |server| server.adopt(&client, &properties))
            .await
    }

    async fn add_secret(&self, client: &Client, new: NewSecret<'_>) -> Result<SecretAdded, Error> {
        let published = new.published.map(|secret| secret.expose_secret().to_owned());
        let (client, secret, room) = (client.clone(), new.secret.expose_secret().to_owned(), new.room);
        let what = format!("add secret {} {room:?}", client.id);
        self.call(&what, true, move |server| {
            server.add_secret(&client, published.as_deref(), &secret, room)
        })
        .await
    }

    async fn read_secret(&self, client: &Client) -> Result<Option<Answer>, Error> {
        let id = client.id.clone();
        self.call("read secret", false, move |server| {
            let clients = server.clients();
            let newest = clients.get(&id).and_then(|client| client.secrets.last().cloned());
            Ok(newest.map(|secret| Answer {
                id: id.clone(),
                secret: secret.into(),
                management: None,
                secret_ends: None,
                differences: vec![],
            }))
        })
        .await
    }

    async fn retire(&self, client: &Client, current: Current<'_>, _end: Timestamp) -> Result<Changed, Error> {
        let (client, current) = (client.clone(), current.secret.expose_secret().to_owned());
        let what = format!("retire {}", client.id);
        self.call(&what, true, move |server| server.retire(&client, &current))
            .await
    }

    async fn delete(&self, client: &Client) -> Result<Changed, Error> {
        let client = client.clone();
        let what = format!("delete {}", client.id);
        self.call(&what, true, move |server| Ok(server.delete(&client))).await
    }

    async fn token(&self, request: TokenRequest<'_>) -> Result<TokenAnswer, Error> {
        let (id, secret) = (request.client_id.to_owned(), request.secret.expose_secret().to_owned());
        let (scopes, now) = (request.scopes.to_vec(), self.clock.now());
        self.call("token", false, move |server| {
            if !server.accepts(&id, &secret) {
                return Ok(TokenAnswer::InvalidClient);
            }
            server.used.lock().unwrap().insert((id.clone(), secret));
            let value = format!("token-of-{id}-from-{now}");
            server.issued.lock().unwrap().push(value.clone());
            Ok(TokenAnswer::Issued(Token {
                value: value.into(),
                issued_at: now,
                expires_at: now + *server.life.lock().unwrap(),
                scopes,
            }))
        })
        .await
    }

    fn settles(&self) -> SignedDuration {
        SignedDuration::from_secs(3)
    }
}

/// The drivers of one process: the profile of a key manager is that of the server with its name.
#[derive(Debug)]
pub(crate) struct SimulatedDrivers {
    pub(crate) resident: ResidentKeyManagers,
    pub(crate) servers: Servers,
    pub(crate) plan: Arc<Plan>,
    pub(crate) clock: Clock,
}

/// The servers by the name of their key manager.
#[derive(Clone, Default)]
pub(crate) struct Servers(pub(crate) BTreeMap<String, Arc<Server>>);

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Servers {
    /// Whether a client authenticates anywhere with this secret.
    pub(crate) fn accept(&self, id: &str, secret: &str) -> bool {
        self.0.values().any(|server| server.accepts(id, secret))
    }

    /// Whether a client of one of them has this secret and never used it.
    pub(crate) fn never_used(&self, id: &str, secret: &str) -> bool {
        let credential = (id.to_owned(), secret.to_owned());
        let knows = |server: &&Arc<Server>| server.accepts(id, secret);
        let at = self.0.values().find(knows);
        at.is_some_and(|server| !server.used.lock().unwrap().contains(&credential))
    }

    /// The ids of all clients.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.0.values().flat_map(|server| server.ids()).collect()
    }
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
            capabilities: capabilities(server.profile),
            endpoints,
            clock: self.clock.clone(),
        };
        Ok(Opened {
            driver: Arc::new(driver),
            look_again: None,
            stamp: String::new(),
        })
    }
}

/// Random values of a run.
pub(crate) fn entropy(seed: u64) -> Entropy {
    use rand::{RngExt as _, SeedableRng as _};
    let mut rng = rand::rngs::SmallRng::seed_from_u64(seed);
    Entropy::new(move |bytes| {
        rng.fill(bytes);
        true
    })
}
