//! The server's state, in memory: tests read it, change it as an administrator would, and see what passed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    Application, Call, Client, Fault, Key, KeyManager, Kind, RESIDENT, Record, Settings, Switch, User,
    access::Issued,
    api_keys::ApiKey,
    signer::Signer,
    users::{SUPER_TENANT, tenant},
};
use crate::key_managers::double::Answer;

/// The state.
pub struct State {
    /// The settings.
    pub settings: Settings,
    /// Users by name.
    pub users: BTreeMap<String, User>,
    /// Applications by id.
    pub applications: BTreeMap<String, Application>,
    /// Keys by `keyMappingId`.
    pub keys: BTreeMap<String, Key>,
    /// Key managers inside WSO2, with their clients.
    pub key_managers: Vec<KeyManager>,
    /// What passed, the oldest first.
    pub records: Vec<Record>,
    /// API keys by id.
    pub(super) api_keys: BTreeMap<String, ApiKey>,
    /// Clients that were made by client registration, by id: where they belong to no key.
    pub(super) registered: BTreeSet<String>,
    /// Access tokens that are good.
    pub(super) tokens: BTreeMap<String, Issued>,
    /// Refresh tokens that are good.
    pub(super) refreshes: BTreeMap<String, Issued>,
    /// Users that have called the Developer Portal.
    pub(super) subscribers: BTreeSet<String>,
    pub(super) tenants: BTreeSet<String>,
    pub(super) faults: Vec<(Call, Fault)>,
    /// The server is about to die in the middle of this call.
    pub(super) dying: bool,
    pub(super) origin: String,
    pub(super) signer: Signer,
    /// How far the clock is ahead.
    ahead: Duration,
}

/// What passed, without the secrets.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}

impl State {
    pub(super) fn new(settings: Settings, origin: String, signer: Signer) -> Self {
        let admin = User::new("admin", &["admin", "Internal/everyone"]);
        Self {
            settings,
            users: BTreeMap::from([("admin".to_owned(), admin)]),
            applications: BTreeMap::new(),
            keys: BTreeMap::new(),
            key_managers: vec![KeyManager::new(RESIDENT, Kind::Resident)],
            records: vec![],
            api_keys: BTreeMap::new(),
            registered: BTreeSet::new(),
            tokens: BTreeMap::new(),
            refreshes: BTreeMap::new(),
            subscribers: BTreeSet::new(),
            tenants: BTreeSet::from([SUPER_TENANT.to_owned()]),
            faults: vec![],
            dying: false,
            origin,
            signer,
            ahead: Duration::ZERO,
        }
    }

    /// The time, in milliseconds of the epoch.
    pub(super) fn millis(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "the server's own clock, which tests move")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from((now + self.ahead).as_millis()).unwrap_or(i64::MAX)
    }

    /// The time, in seconds of the epoch.
    pub(super) fn now(&self) -> i64 {
        self.millis() / 1000
    }

    /// Lets time pass: tokens and secrets end.
    pub fn pass(&mut self, time: Duration) {
        self.ahead += time;
    }

    /// Makes a tenant, with a resident key manager of its own. Its users are named `alice@TENANT`.
    pub fn add_tenant(&mut self, name: &str) {
        self.tenants.insert(name.to_owned());
        let mut resident = KeyManager::new(RESIDENT, Kind::Resident);
        name.clone_into(&mut resident.tenant);
        self.key_managers.push(resident);
    }

    /// The next call of this kind that has no fault yet gets this one.
    pub fn fail_next(&mut self, call: Call, fault: Fault) {
        self.faults.push((call, fault));
    }

    /// A key manager of the first tenant, by name.
    pub fn key_manager(&mut self, name: &str) -> Option<&mut KeyManager> {
        self.key_managers
            .iter_mut()
            .find(|one| one.name == name && one.tenant == SUPER_TENANT)
    }

    /// The resident key manager of the first tenant.
    pub fn resident(&mut self) -> &mut KeyManager {
        // It is the first one, from the start.
        &mut self.key_managers[0]
    }

    /// How many calls of a kind have arrived.
    pub fn count(&self, call: Call) -> usize {
        self.records.iter().filter(|one| one.call == Some(call)).count()
    }

    /// How many calls of each kind have arrived.
    pub fn calls(&self) -> BTreeMap<Call, usize> {
        let mut calls = BTreeMap::new();
        for call in self.records.iter().filter_map(|one| one.call) {
            *calls.entry(call).or_default() += 1;
        }
        calls
    }

    /// Clients that no key knows of, and that nobody registered by hand: what a leak leaves behind.
    pub fn orphans(&self) -> Vec<&Client> {
        let known: BTreeSet<_> = self.keys.values().filter_map(|key| key.client.as_ref()).collect();
        let clients = self.key_managers.iter().flat_map(|one| one.clients.values());
        clients
            .filter(|one| !known.contains(&one.id) && !self.registered.contains(&one.id))
            .collect()
    }

    /// The client of a key.
    pub fn client_of(&self, key: &Key) -> Option<&Client> {
        let id = key.client.as_ref()?;
        self.key_managers
            .iter()
            .find(|one| one.id == key.key_manager)?
            .clients
            .get(id)
    }

    /// An application of this name and owner.
    pub fn application(&self, owner: &str, name: &str) -> Option<&Application> {
        self.applications
            .values()
            .find(|one| one.owner == owner && one.described.name == name)
    }

    /// A client of any key manager, with the key manager's place in the list.
    pub(super) fn find_client(&self, id: &str) -> Option<(usize, &Client)> {
        let at = |(index, one): (usize, &'_ KeyManager)| one.clients.contains_key(id).then_some(index);
        let index = self.key_managers.iter().enumerate().find_map(at)?;
        Some((index, self.key_managers[index].clients.get(id)?))
    }

    /// The place of a key manager of a tenant, by name or id.
    pub(super) fn place(&self, tenant: &str, name: &str) -> Option<usize> {
        let row = |one: &KeyManager| one.kind != Kind::Resident || one.row || !self.settings.has(Switch::LazyResident);
        let named = |one: &KeyManager| one.tenant == tenant && (one.name == name || one.id == name) && row(one);
        self.key_managers.iter().position(named)
    }

    /// The place of a key's own key manager.
    pub(super) fn place_of(&self, key: &Key) -> Option<usize> {
        self.key_managers.iter().position(|one| one.id == key.key_manager)
    }

    /// An application that a user may see: the owner's, or one that is shared with one of the user's groups.
    pub(super) fn visible(&self, user: &str, id: &str) -> Result<&Application, Answer> {
        let application = self.applications.get(id).ok_or_else(|| Answer::no_application(id))?;
        if self.sees(user, application) {
            Ok(application)
        } else {
            Err(Answer::foreign(id))
        }
    }

    pub(super) fn sees(&self, user: &str, application: &Application) -> bool {
        let groups = self
            .users
            .get(user)
            .map(|user| user.groups.as_slice())
            .unwrap_or_default();
        application.owner == user
            || (tenant(&application.owner) == tenant(user)
                && application.described.groups.iter().any(|group| groups.contains(group)))
    }

    /// An application that a user may change: the owner's.
    pub(super) fn owned(&self, user: &str, id: &str) -> Result<&Application, Answer> {
        let application = self.applications.get(id).ok_or_else(|| Answer::no_application(id))?;
        if application.owner == user {
            Ok(application)
        } else {
            Err(Answer::foreign(id))
        }
    }

    /// A key of an application.
    pub(super) fn key(&self, application: &str, mapping: &str) -> Option<&Key> {
        self.keys.get(mapping).filter(|key| key.application == application)
    }
}
