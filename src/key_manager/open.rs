//! Opens every kind of key manager: the one place that knows them all.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use secrecy::ExposeSecret as _;

use super::{
    Category, Drivers, Error, Opened, Server, Wanted,
    credentials::{CREDENTIAL, Entry, GivenKey, GivenSecret, GivenToken, KEY_CREDENTIAL, TOKEN},
    keycloak, oidc, okta,
    remote::{CredentialSource, HttpClient, Way},
    resident::ResidentKeyManagers,
    snapshot::{Held, Snapshots},
    wso2,
};
use crate::{
    api::{KeyManagerKind, Wso2Login, conditions::Say},
    clock::Clock,
    controller::queue::Name,
    entropy::Entropy,
};

/// After so long a key manager elsewhere is looked at again: its capabilities may have changed.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// After so long a credential that was refused is tried again although nobody changed it here.
const REJECTED: SignedDuration = SignedDuration::from_mins(5);

/// Reason: the key manager's spec, or what it names, cannot be used.
const INVALID_CONFIGURATION: &str = "InvalidConfiguration";

/// What opens key managers.
#[derive(Debug)]
pub struct KeyManagers {
    /// The resident ones.
    pub resident: Arc<ResidentKeyManagers>,
    /// The others.
    pub remote: RemoteKeyManagers,
}

/// What opens key managers elsewhere.
pub struct RemoteKeyManagers {
    /// The API server: credentials are in Secrets.
    pub client: Client,
    /// The operator's own namespace, where those of ClusterKeyManagers are.
    pub namespace: String,
    /// The time.
    pub clock: Clock,
    /// Random values.
    pub entropy: Entropy,
    /// Plain HTTP and this machine's own addresses are allowed, for development.
    pub local_allowed: bool,
    /// What was read for each key manager last.
    pub held: Mutex<BTreeMap<(KeyManagerKind, Name), Held>>,
    /// Credentials that were refused.
    pub rejected: Mutex<BTreeMap<(KeyManagerKind, Name), Rejected>>,
    /// Addresses that no tenant's key manager can have: the API server's and the operator's.
    pub own_addresses: Vec<IpAddr>,
}

impl std::fmt::Debug for RemoteKeyManagers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteKeyManagers")
            .field("local_allowed", &self.local_allowed)
            .finish_non_exhaustive()
    }
}

/// A credential that was refused.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// The server, as the spec says it.
    tried: String,
    /// The credential's version.
    stamp: String,
    /// When it may be tried again.
    until: Timestamp,
    /// What was said.
    error: Error,
}

/// What a spec names: the CA and the operator's credential.
struct Given {
    ca: Option<Entry>,
    secret: Option<GivenSecret>,
    /// The version of the Secret with the credential.
    version: String,
}

impl Given {
    fn stamp(&self) -> String {
        let ca = self.ca.as_ref().map(|entry| entry.version.as_str());
        format!("{}/{}", ca.unwrap_or_default(), self.version)
    }
}

#[async_trait]
impl Drivers for KeyManagers {
    async fn held(&self, wanted: Wanted<'_>) -> Option<Held> {
        self.remote.held(wanted).await
    }

    async fn open(&self, wanted: Wanted<'_>) -> Result<Opened, Say> {
        match wanted.server {
            Server::Resident(spec) => self.resident.open(&wanted.name.name, spec).await,
            Server::Okta(_) | Server::Keycloak(_) | Server::Wso2(_) | Server::Oidc(_) => {
                let opened = self.remote.open(wanted).await;
                opened.map_err(unusable)
            }
            Server::Unknown => Err(Say::no(
                "Ready",
                INVALID_CONFIGURATION,
                "no kind of key manager is given that this version of the operator knows",
            )),
        }
    }
}

/// Why a key manager cannot be used: what a key asks for is not known yet, so a request that is invalid is the configuration's.
fn unusable(error: Error) -> Say {
    match error.category {
        Category::InvalidRequest => Say::no("Ready", INVALID_CONFIGURATION, error.message),
        _ => Say::no("Ready", error.reason(), error.message),
    }
}

impl RemoteKeyManagers {
    /// Opens one. A credential that was refused is not tried again for a while unless something changes: each try counts
    /// against an account.
    async fn open(&self, wanted: Wanted<'_>) -> Result<Opened, Error> {
        let place = (wanted.kind, wanted.name.clone());
        let tried = format!("{:?}", wanted.server);
        let given = self.given(&wanted).await?;
        let stamp = given.stamp();
        let now = self.clock.now();
        let before = self
            .rejected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&place)
            .cloned();
        if let Some(before) = before
            && before.tried == tried
            && before.stamp == stamp
            && now < before.until
        {
            return Err(before.error);
        }
        let opened = self.open_with(&wanted, given).await;
        let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        match &opened {
            Err(error) if error.category == Category::CredentialsRejected => {
                let until = now.checked_add(REJECTED).unwrap_or(now);
                let error = error.clone();
                rejected.insert(
                    place,
                    Rejected {
                        tried,
                        stamp,
                        until,
                        error,
                    },
                );
            }
            _ => drop(rejected.remove(&place)),
        }
        opened
    }

    /// Reads what its spec names.
    async fn given(&self, wanted: &Wanted<'_>) -> Result<Given, Error> {
        let ca = match wanted.ca_bundle {
            Some(name) => {
                let [entry] = self.secret(wanted, name).read(["ca.crt"]).await?;
                Some(entry)
            }
            None => None,
        };
        let mut held = BTreeMap::new();
        let (secret, version) = match wanted.server {
            Server::Okta(spec) => match (&spec.credentials_secret_ref, &spec.api_token_secret_ref) {
                (Some(given), None) => {
                    let secret = self.secret(wanted, &given.name);
                    let entries = secret.read(KEY_CREDENTIAL).await?;
                    let version = entries[0].version.clone();
                    held.extend(
                        KEY_CREDENTIAL
                            .map(str::to_owned)
                            .into_iter()
                            .zip(entries.map(|entry| entry.value)),
                    );
                    (Some(secret), version)
                }
                (None, Some(given)) => {
                    let secret = self.secret(wanted, &given.name);
                    let [entry] = secret.read([TOKEN]).await?;
                    held.insert(TOKEN.to_owned(), entry.value);
                    (Some(secret), entry.version)
                }
                _ => (None, String::new()),
            },
            Server::Keycloak(spec) => {
                let secret = self.secret(wanted, &spec.credentials_secret_ref.name);
                let [id, key] = secret.read(CREDENTIAL).await?;
                held.insert(CREDENTIAL[0].to_owned(), id.value);
                held.insert(CREDENTIAL[1].to_owned(), key.value);
                (Some(secret), key.version)
            }
            Server::Wso2(spec) => {
                let secret = self.secret(wanted, &spec.credentials_secret_ref.name);
                let names = match spec.login.unwrap_or_default() {
                    Wso2Login::Client => CREDENTIAL,
                    Wso2Login::Registration | Wso2Login::Password => wso2::USER,
                };
                let [id, key] = secret.read(names).await?;
                held.insert(names[0].to_owned(), id.value);
                held.insert(names[1].to_owned(), key.value);
                (Some(secret), key.version)
            }
            Server::Oidc(spec) => match &spec.initial_access_token_secret_ref {
                Some(given) => {
                    let secret = self.secret(wanted, &given.name);
                    let [entry] = secret.read([TOKEN]).await?;
                    held.insert(TOKEN.to_owned(), entry.value);
                    (Some(secret), entry.version)
                }
                None => (None, String::new()),
            },
            Server::Resident(_) | Server::Unknown => (None, String::new()),
        };
        held.extend(ca.iter().map(|entry| ("ca.crt".to_owned(), entry.value.clone())));
        let place = (wanted.kind, wanted.name.clone());
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(place, Held(held));
        drop(all);
        Ok(Given { ca, secret, version })
    }

    /// What its Secrets hold, or held when they were there.
    async fn held(&self, wanted: Wanted<'_>) -> Option<Held> {
        // Where they are gone what was read before holds.
        drop(self.given(&wanted).await);
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(&(wanted.kind, wanted.name.clone())).cloned()
    }

    async fn open_with(&self, wanted: &Wanted<'_>, given: Given) -> Result<Opened, Error> {
        let stamp = given.stamp();
        let pem = given.ca.map(|entry| entry.value.expose_secret().to_owned());
        let way = Way {
            name: wanted.name.to_string(),
            ca: pem.clone(),
            tenant: wanted.kind == KeyManagerKind::KeyManager,
            local_allowed: self.local_allowed,
            own_addresses: self.own_addresses.clone(),
        };
        let invalid = |text: String| Error::new(Category::InvalidRequest, text);
        let http = HttpClient::new(&way, self.clock.clone()).map_err(invalid)?;
        let driver = match (wanted.server, given.secret) {
            (Server::Keycloak(spec), Some(secret)) => {
                keycloak::open(spec, http, pem, Arc::new(secret), &self.clock, &self.entropy).await?
            }
            (Server::Okta(spec), Some(secret)) => {
                let source = if spec.api_token_secret_ref.is_some() {
                    okta::Operator::Token(Arc::new(GivenToken(secret)))
                } else {
                    okta::Operator::App(Arc::new(GivenKey(secret)))
                };
                okta::open(spec, http, pem, source, &self.clock, &self.entropy).await?
            }
            (Server::Wso2(spec), Some(secret)) => wso2::open(spec, http, pem, secret, &self.entropy).await?,
            (Server::Oidc(spec), secret) => {
                let token = secret.map(|secret| Arc::new(GivenToken(secret)) as Arc<dyn CredentialSource>);
                oidc::open(spec, http, pem, token, &self.entropy).await?
            }
            _ => return Err(invalid("no kind of key manager is given".to_owned())),
        };
        Ok(Opened {
            driver,
            look_again: Some(self.clock.now().checked_add(LOOK_AGAIN).unwrap_or(Timestamp::MAX)),
            stamp,
        })
    }

    fn secret(&self, wanted: &Wanted<'_>, name: &str) -> GivenSecret {
        let namespace = match wanted.kind {
            KeyManagerKind::ClusterKeyManager => &self.namespace,
            KeyManagerKind::KeyManager => &wanted.name.namespace,
        };
        let snapshots = Snapshots::new(self.client.clone(), &self.namespace);
        let kept = (wanted.kind == KeyManagerKind::KeyManager).then(|| (snapshots, wanted.name.clone()));
        GivenSecret::new(self.client.clone(), namespace, name, kept)
    }
}
