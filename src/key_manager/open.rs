//! Opens every kind of key manager: the one place that knows them all.

use std::{net::IpAddr, sync::Arc};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use secrecy::ExposeSecret as _;

use super::{
    Drivers, Error, KeyManager, Opened, Server, Wanted,
    credentials::{CREDENTIAL, GivenSecret},
    keycloak,
    remote::{HttpClient, Way},
    resident::ResidentKeyManagers,
};
use crate::{
    api::{KeyManagerKind, conditions::Say},
    clock::Clock,
    entropy::Entropy,
};

/// After so long a key manager elsewhere is looked at again: its capabilities may have changed.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_hours(1);

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

#[async_trait]
impl Drivers for KeyManagers {
    async fn open(&self, wanted: Wanted<'_>) -> Result<Opened, Say> {
        match wanted.server {
            Server::Resident(spec) => self.resident.open(&wanted.name.name, spec).await,
            Server::Keycloak(_) | Server::Oidc(_) => {
                let opened = self.remote.open(wanted).await;
                opened.map_err(|error| Say::no("Ready", error.reason(), error.message))
            }
            Server::Unknown => Err(Say::no(
                "Ready",
                "InvalidConfiguration",
                "no kind of key manager is given that this version of the operator knows",
            )),
        }
    }
}

impl RemoteKeyManagers {
    async fn open(&self, wanted: Wanted<'_>) -> Result<Opened, Error> {
        let ca = match wanted.ca_bundle {
            Some(name) => {
                let [entry] = self.secret(&wanted, name).read(["ca.crt"]).await?;
                Some(entry)
            }
            None => None,
        };
        let pem = ca.as_ref().map(|entry| entry.value.expose_secret().to_owned());
        let way = Way {
            ca: pem.clone(),
            tenant: wanted.kind == KeyManagerKind::KeyManager,
            local_allowed: self.local_allowed,
            own_addresses: self.own_addresses.clone(),
        };
        let http = HttpClient::new(&way, self.clock.clone())
            .map_err(|error| Error::new(super::Category::InvalidRequest, error))?;
        let mut stamp = ca.map(|entry| entry.version).unwrap_or_default();
        let driver: Arc<dyn KeyManager> = match wanted.server {
            Server::Keycloak(spec) => {
                let source = Arc::new(self.secret(&wanted, &spec.credentials_secret_ref.name));
                let [_, credential] = source.read(CREDENTIAL).await?;
                stamp = format!("{stamp}/{}", credential.version);
                keycloak::open(spec, http, pem, source, &self.clock, &self.entropy).await?
            }
            Server::Oidc(_) | Server::Resident(_) | Server::Unknown => {
                return Err(Error::new(
                    super::Category::InvalidRequest,
                    "no kind of key manager is given",
                ));
            }
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
        GivenSecret::new(self.client.clone(), namespace, name)
    }
}
