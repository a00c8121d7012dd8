//! Key managers in memory, one for each profile; they outlive the processes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use appkeys::{
    api::CredentialKind,
    clock::Clock,
    key_manager::{
        Answer, Category, Changed, Choice, Client, Compared, Error, Management, Mark, NewSecret, Outcome, Properties,
        Registered, SecretAdded, Token,
    },
};
use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    applications::Applications,
    client::{Added, Held, Proof, Stored},
    profile::Profile,
    recorded::{Managed, Recorded},
};

/// A server; it outlives the processes.
pub(crate) struct Server {
    name: String,
    pub(super) facts: &'static Recorded,
    clock: Clock,
    clients: Mutex<BTreeMap<String, Stored>>,
    pub(super) applications: Mutex<Applications>,
    counter: Mutex<u32>,
    /// Clients with the secrets that they were seen to authenticate with.
    used: Mutex<BTreeSet<(String, String)>>,
    pub(super) down: AtomicBool,
    /// How often clients were compared with what they should be.
    pub(crate) comparisons: AtomicUsize,
    /// Whether an update gives a client of given identity another secret, and ends the one before.
    pub(crate) renews: AtomicBool,
    /// How long its access tokens live.
    pub(crate) life: Mutex<SignedDuration>,
    /// How long a client's first secret lives.
    secret_life: Mutex<Option<SignedDuration>>,
    /// Every secret value that it ever gave or took.
    issued: Mutex<Vec<String>>,
}

impl Server {
    /// A server whose tokens, and secrets where it ends them, live so long that a run need not think of them.
    pub(crate) fn new(name: &str, profile: Profile, clock: Clock) -> Self {
        let facts = profile.facts();
        Self {
            name: name.to_owned(),
            facts,
            clock,
            clients: Mutex::default(),
            applications: Mutex::default(),
            counter: Mutex::default(),
            used: Mutex::default(),
            down: AtomicBool::new(false),
            comparisons: AtomicUsize::new(0),
            renews: AtomicBool::new(false),
            life: Mutex::new(SignedDuration::from_hours(12)),
            secret_life: Mutex::new(facts.secret_life.map(|_| SignedDuration::from_hours(90 * 24))),
            issued: Mutex::default(),
        }
    }

    /// From now on what it gives lives as long as that of the real server did.
    pub(crate) fn live_as_recorded(&self) {
        *self.life.lock().unwrap() = SignedDuration::from_secs(self.facts.access_token_life);
        *self.secret_life.lock().unwrap() = self.facts.secret_life.map(SignedDuration::from_secs);
    }

    /// Whether it gives no answer to anybody.
    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// The ids of all clients.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.clients().keys().cloned().collect()
    }

    /// Whether a client authenticates with this secret or private key; a public one with anything.
    pub(crate) fn accepts(&self, id: &str, secret: &str) -> bool {
        let now = self.clock.now();
        let clients = self.clients();
        clients.get(id).is_some_and(|client| client.accepts(secret, now))
    }

    /// Whether a client was seen to authenticate with a secret or private key.
    pub(super) fn has_seen(&self, credential: &(String, String)) -> bool {
        self.used.lock().unwrap().contains(credential)
    }

    /// An access token, where the client authenticates with this secret or private key.
    pub(super) fn token(&self, id: &str, secret: &str, scopes: Vec<String>) -> Option<Token> {
        if !self.accepts(id, secret) {
            return None;
        }
        let now = self.clock.now();
        self.used.lock().unwrap().insert((id.to_owned(), secret.to_owned()));
        let value = format!("token-of-{id}-from-{now}");
        self.issue(value.clone());
        Some(Token {
            value: value.into(),
            issued_at: now,
            expires_at: now + *self.life.lock().unwrap(),
            scopes,
        })
    }

    pub(super) fn clients(&self) -> MutexGuard<'_, BTreeMap<String, Stored>> {
        self.clients.lock().unwrap()
    }

    fn next(&self) -> u32 {
        let mut counter = self.counter.lock().unwrap();
        *counter += 1;
        *counter
    }

    fn issue(&self, value: String) {
        self.issued.lock().unwrap().push(value);
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
        if !self.facts.given() && stored.mark.as_ref() != Some(&client.mark) {
            return Err(Error::new(Category::ClientConflict, "not ours"));
        }
        Ok(Some(stored))
    }

    pub(super) fn register(
        &self,
        client: &Client,
        properties: &Properties,
        secret: &SecretString,
    ) -> Result<Registered, Error> {
        let number = self.next();
        let given = self.facts.given();
        let kind = properties.authentication.credential();
        let mut clients = self.clients();
        let id = if given {
            format!("given-{number}-at-{}", self.name)
        } else {
            client.id.clone()
        };
        let secret = if given && kind == CredentialKind::Secret {
            SecretString::from(format!("secret-{number}-at-{}", self.name))
        } else {
            secret.clone()
        };
        if self.owned(&mut clients, client)?.is_some() {
            return Ok(Registered::Exists);
        }
        let home = self.home(client)?;
        if home.is_some() && clients.values().any(|other| other.home == home) {
            return Err(Error::new(
                Category::EnvironmentTaken,
                "another client has this environment",
            ));
        }
        self.issue(secret.expose_secret().to_owned());
        let life = self
            .secret_life
            .lock()
            .unwrap()
            .filter(|_| kind == CredentialKind::Secret);
        let ends = life.map(|life| self.clock.now() + life);
        let proof = Proof::of(kind, secret.expose_secret());
        if proof.is_none() && kind != CredentialKind::Nothing {
            return Err(Error::new(Category::InvalidRequest, "a damaged key"));
        }
        let stored = Stored {
            mark: Some(client.mark.clone()),
            home,
            kind,
            held: proof.map(|proof| Held { proof, ends }).into_iter().collect(),
            token: number,
            changed: false,
        };
        clients.insert(id.clone(), stored);
        let manages = given && self.facts.managed != Managed::Not;
        let management = manages.then(|| self.management(&id, number, None));
        Ok(Registered::Made(Answer {
            id,
            secret,
            management,
            secret_ends: ends,
            differences: vec![],
        }))
    }

    pub(super) fn update(&self, client: &Client, properties: &Properties) -> Result<Changed, Error> {
        let number = self.next();
        let mut clients = self.clients();
        let Some(stored) = self.owned(&mut clients, client)? else {
            return Ok(if self.facts.given() {
                Changed::Refused
            } else {
                Changed::NotThere
            });
        };
        if !self.facts.given() {
            stored.changed = false;
            stored.mark = Some(properties.mark.clone());
            stored.kind = properties.authentication.credential();
            return Ok(Changed::done());
        }
        let Some(worked) = may_manage(stored, client).filter(|_| self.facts.is_managed()) else {
            return Ok(Changed::Refused);
        };
        stored.changed = false;
        let management = if self.facts.managed == Managed::ByTokenOnce {
            stored.token = number;
            Some(self.management(&client.id, number, Some(worked)))
        } else {
            None
        };
        if self.renews.load(Ordering::SeqCst) && stored.kind == CredentialKind::Secret {
            let secret = format!("secret-{number}-at-{}", self.name);
            self.issue(secret.clone());
            let proof = Proof::Secret(secret);
            stored.held = vec![Held { proof, ends: None }];
        }
        let newest = stored.newest();
        Ok(Changed::Done(Outcome {
            management,
            secret_ends: newest.as_ref().and_then(|(_, ends)| *ends),
            secret: newest.map(|(secret, _)| secret),
            ..Outcome::default()
        }))
    }

    pub(super) fn compare(&self, client: &Client, mark: &Mark) -> Compared {
        self.comparisons.fetch_add(1, Ordering::SeqCst);
        let given = self.facts.given();
        let clients = self.clients();
        match clients.get(&client.id) {
            None if given => Compared::Refused,
            None => Compared::NotThere,
            Some(stored) if given && may_manage(stored, client).is_none() => Compared::Refused,
            Some(stored) if stored.changed || stored.mark.as_ref() != Some(mark) => {
                Compared::Differs(vec!["name".into()], None)
            }
            Some(_) => Compared::Differs(vec![], None),
        }
    }

    pub(super) fn adopt(&self, client: &Client, properties: &Properties) -> Result<Changed, Error> {
        if let Some(stored) = self.clients().get_mut(&client.id)
            && stored.mark.is_none()
        {
            stored.mark = Some(properties.mark.clone());
        }
        self.update(client, properties)
    }

    pub(super) fn add_secret(&self, client: &Client, new: &NewSecret<'_>) -> Result<SecretAdded, Error> {
        let number = self.next();
        let mut clients = self.clients();
        let Some(stored) = self.owned(&mut clients, client)? else {
            return Ok(SecretAdded::NotThere);
        };
        let theirs = self.facts.capabilities.with(new.kind).secret_at_rotation == Some(Choice::Theirs);
        let secret = if theirs {
            SecretString::from(format!("secret-{number}-at-{}", self.name))
        } else {
            new.secret.clone()
        };
        let new = NewSecret {
            secret: &secret,
            ..new.clone()
        };
        Ok(match stored.add(self.facts, &new, self.clock.now())? {
            Added::Done => {
                self.issue(secret.expose_secret().to_owned());
                SecretAdded::Added(secret)
            }
            Added::Occupied => SecretAdded::Occupied,
            Added::OneSecret => SecretAdded::OneSecret,
        })
    }

    pub(super) fn read_secret(&self, client: &Client) -> Result<Option<Answer>, Error> {
        let mut clients = self.clients();
        let Some(stored) = self.owned(&mut clients, client)? else {
            return Ok(None);
        };
        if self.facts.given() && may_manage(stored, client).is_none() {
            return Ok(None);
        }
        Ok(stored.newest().map(|(secret, secret_ends)| Answer {
            id: client.id.clone(),
            secret,
            management: None,
            secret_ends,
            differences: vec![],
        }))
    }

    pub(super) fn retire(&self, client: &Client, current: &str, end: jiff::Timestamp) -> Result<Changed, Error> {
        let mut clients = self.clients();
        let Some(stored) = self.owned(&mut clients, client)? else {
            return Ok(Changed::NotThere);
        };
        stored.retire(self.facts, current, end)?;
        Ok(Changed::done())
    }

    pub(super) fn delete(&self, client: &Client) -> Changed {
        let given = self.facts.given();
        let mut clients = self.clients();
        match self.owned(&mut clients, client) {
            Ok(_) if given && !self.facts.is_managed() => return Changed::Refused,
            Ok(Some(stored)) if given && may_manage(stored, client).is_none() => return Changed::Refused,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Changed::NotThere,
        }
        clients.remove(&client.id);
        Changed::done()
    }

    fn management(&self, id: &str, number: u32, previous: Option<SecretString>) -> Management {
        let token = registration(number);
        self.issue(token.clone());
        Management {
            uri: format!("https://key-manager/register/{id}"),
            token: token.into(),
            previous,
        }
    }
}

/// What people and workloads see of it, and do to it.
impl Server {
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

    /// Puts clients there that are not ours and prove themselves with these secrets or private keys.
    pub(crate) fn plant(&self, kind: CredentialKind, clients: impl Iterator<Item = (String, String)>) {
        let foreign = |(id, secret): (String, String)| {
            let proof = Proof::of(kind, &secret);
            let held = proof.map(|proof| Held { proof, ends: None });
            let stored = Stored {
                mark: None,
                home: None,
                kind,
                held: held.into_iter().collect(),
                token: 0,
                changed: false,
            };
            (id, stored)
        };
        self.clients().extend(clients.map(foreign));
    }
}

fn registration(number: u32) -> String {
    format!("registration-{number}")
}

/// The registration access token that lets a call manage the client: the current one, or the one before that.
fn may_manage(stored: &Stored, client: &Client) -> Option<SecretString> {
    let management = client.management.as_ref()?;
    let mut tokens = [Some(&management.token), management.previous.as_ref()]
        .into_iter()
        .flatten();
    tokens
        .find(|token| token.expose_secret() == registration(stored.token))
        .cloned()
}
