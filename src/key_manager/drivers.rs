//! From a key manager's spec to its driver.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{KeyManager, snapshot};
use crate::{
    api::{
        ClusterKeyManagerSpec, KeyManagerKind, KeyManagerSpec, KeycloakSpec, OidcSpec, OktaSpec, ResidentSpec,
        Wso2Spec, conditions::Say,
    },
    controller::queue::Name,
};

/// A driver that is ready for use.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The driver.
    pub driver: std::sync::Arc<dyn KeyManager>,
    /// When the key manager is to be looked at again: a certificate or signing key is due then, or its capabilities are.
    pub look_again: Option<Timestamp>,
    /// What of the world beside the spec it was opened with, the operator's credential say: where that changes, what was
    /// learnt of the way to it holds no more.
    pub stamp: String,
}

/// A key manager as its spec says it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its kind.
    pub kind: KeyManagerKind,
    /// Its name; a cluster's has no namespace.
    pub name: &'a Name,
    /// What it is.
    pub server: Server<'a>,
    /// The Secret with the CA certificates that its server is checked with.
    pub ca_bundle: Option<&'a str>,
}

/// What a key manager is.
#[derive(Clone, Copy, Debug)]
pub enum Server<'a> {
    /// The one inside the operator.
    Resident(&'a ResidentSpec),
    /// An Okta org.
    Okta(&'a OktaSpec),
    /// A Keycloak realm.
    Keycloak(&'a KeycloakSpec),
    /// A WSO2 API Manager.
    Wso2(&'a Wso2Spec),
    /// A server with dynamic client registration.
    Oidc(&'a OidcSpec),
    /// No kind that this version knows.
    Unknown,
}

impl Server<'_> {
    /// The one that is given.
    fn only<const N: usize>(given: [Option<Self>; N]) -> Self {
        let mut given = given.into_iter().flatten();
        given.next().filter(|_| given.next().is_none()).unwrap_or(Self::Unknown)
    }
}

impl<'a> Wanted<'a> {
    /// A key manager of the cluster.
    pub fn cluster(name: &'a Name, spec: &'a ClusterKeyManagerSpec) -> Self {
        let server = Server::only([
            spec.resident.as_ref().map(Server::Resident),
            spec.okta.as_ref().map(Server::Okta),
            spec.keycloak.as_ref().map(Server::Keycloak),
            spec.wso2.as_ref().map(Server::Wso2),
            spec.oidc.as_ref().map(Server::Oidc),
        ]);
        Self {
            kind: KeyManagerKind::ClusterKeyManager,
            name,
            server,
            ca_bundle: spec.ca_bundle_ref.as_ref().map(|secret| secret.name.as_str()),
        }
    }

    /// A key manager of a namespace.
    pub fn namespaced(name: &'a Name, spec: &'a KeyManagerSpec) -> Self {
        let server = Server::only([
            spec.okta.as_ref().map(Server::Okta),
            spec.keycloak.as_ref().map(Server::Keycloak),
            spec.wso2.as_ref().map(Server::Wso2),
            spec.oidc.as_ref().map(Server::Oidc),
        ]);
        Self {
            kind: KeyManagerKind::KeyManager,
            name,
            server,
            ca_bundle: spec.ca_bundle_ref.as_ref().map(|secret| secret.name.as_str()),
        }
    }
}

/// Makes drivers from specs: the one place that knows which kinds of key manager there are.
#[async_trait]
pub trait Drivers: std::fmt::Debug + Send + Sync {
    /// The driver of a key manager.
    ///
    /// # Errors
    /// The condition `Ready=False` that says what is wrong.
    async fn open(&self, wanted: Wanted<'_>) -> Result<Opened, Say>;

    /// What the Secrets that its spec names hold, or held when it was opened last; `None` where that is not known any more.
    async fn held(&self, wanted: Wanted<'_>) -> Option<snapshot::Held>;
}
