//! Opens resident key managers: makes sure of signing keys and certificate, then serves.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client, ResourceExt, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use super::{
    certificate::{self, OwnCertificate},
    driver::ResidentDriver,
    http::Issuers,
    issuer::{Issuer, IssuerSettings},
    keys::{self, KeySet},
    revocations::Revocations,
    server::CurrentCertificate,
    store::RecordStore,
};
use crate::{
    api::{FIELD_MANAGER, ResidentSpec, conditions::Say},
    clock::Clock,
    controller::secrets::COMPONENT_LABEL,
    entropy::Entropy,
    key_manager::{Endpoints, Opened},
    plan::{hints, identity},
    scope::Scope,
};

const DEFAULT_TOKEN_LIFETIME: i64 = 3600;
const ENTRY: &str = "value";
/// Component label of Secrets with signing keys.
pub const SIGNING_KEYS: &str = "resident-signing-keys";
/// Component label of the Secret with the server's own certificate.
pub const CERTIFICATE_COMPONENT: &str = "resident-certificate";
/// The Secret with the server's own certificate.
pub(super) const CERTIFICATE: &str = "appkeys-resident-certificate";

/// The Secret with the signing keys of a resident key manager.
pub(super) fn signing_keys(name: &str) -> String {
    format!("appkeys-signing-keys-{}", identity::short_hash(&["signing-keys", name]))
}

/// A value that is kept in a Secret of its own; `None` where it cannot be read.
pub(super) fn read<T: DeserializeOwned>(secret: &Secret) -> Option<T> {
    serde_json::from_slice(&secret.data.as_ref()?.get(ENTRY)?.0).ok()
}

/// Everything that the resident key managers of one process share.
pub struct ResidentKeyManagers {
    /// The records.
    pub store: Arc<RecordStore>,
    /// Tokens that were revoked.
    pub revocations: Arc<Revocations>,
    /// The issuers that are served.
    pub issuers: Issuers,
    /// The server's certificate.
    pub certificate: CurrentCertificate,
    /// Where workloads reach the server: the URL of the operator's Service.
    pub service_url: Url,
    /// Further names that the server's own certificate is for.
    pub names: Vec<String>,
    /// The time.
    pub clock: Clock,
    /// Random values.
    pub entropy: Entropy,
    /// The API server.
    pub client: Client,
    /// Where the operator's own Secrets are.
    pub namespace: String,
    /// Whether resident key managers are objects of the cluster, or one is in a file.
    pub scope: Scope,
}

impl std::fmt::Debug for ResidentKeyManagers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResidentKeyManagers")
            .field("service_url", &self.service_url.as_str())
            .finish_non_exhaustive()
    }
}

impl ResidentKeyManagers {
    /// The resident key manager `name`.
    ///
    /// # Errors
    /// The condition `Ready=False` that says what is wrong.
    pub async fn open(&self, name: &str, spec: &ResidentSpec) -> Result<Opened, Say> {
        let now = self.clock.now();
        let issuer_url = self.issuer_url(name, spec);
        let (ca, certificate_until) = self.certificate(name, spec, &issuer_url, now).await?;
        let algorithm = spec.signing_algorithm.unwrap_or_default();
        let keys: KeySet = self
            .ensure(&signing_keys(name), SIGNING_KEYS, |before: Option<&KeySet>| {
                let before = before.cloned().unwrap_or_default();
                before
                    .rotated(algorithm, now, || keys::generate(algorithm))
                    .map_err(|error| error.to_string())
            })
            .await?;
        let again = keys.next_change(now).min(certificate_until);
        let issuer = self.issuer(name, spec, ca, keys)?;
        self.issuers.put(issuer.clone());
        self.store.synced().await;
        let driver = ResidentDriver::new(issuer, self.store.clone(), self.clock.clone());
        Ok(Opened {
            driver: Arc::new(driver),
            look_again: Some(again),
            stamp: String::new(),
        })
    }

    /// What `iss` of its tokens says: its own URL, or one under the Service's.
    fn issuer_url(&self, name: &str, spec: &ResidentSpec) -> String {
        let service = self.service_url.as_str().trim_end_matches('/');
        let issuer = spec.issuer.clone().unwrap_or_else(|| format!("{service}/{name}"));
        issuer.trim_end_matches('/').to_owned()
    }

    /// The issuer of a resident key manager that signs with `keys`; `ca` is what workloads check the server with.
    pub(super) fn issuer(
        &self,
        name: &str,
        spec: &ResidentSpec,
        ca: Option<String>,
        keys: KeySet,
    ) -> Result<Arc<Issuer>, Say> {
        let issuer = self.issuer_url(name, spec);
        let endpoint = |path: &str| format!("{issuer}{path}");
        let settings = IssuerSettings {
            name: name.to_owned(),
            default_audience: spec.default_audience.clone().unwrap_or_else(|| issuer.clone()),
            access_token_lifetime: spec
                .access_token_lifetime
                .map_or(DEFAULT_TOKEN_LIFETIME, crate::api::Duration::as_secs),
            endpoints: Endpoints {
                token: endpoint("/token"),
                jwks: Some(endpoint("/jwks")),
                introspection: Some(endpoint("/introspect")),
                revocation: Some(endpoint("/revoke")),
                issuer,
                ca,
                ..Endpoints::default()
            },
        };
        let (store, revocations) = (self.store.clone(), self.revocations.clone());
        let (clock, entropy) = (self.clock.clone(), self.entropy.clone());
        let issuer = Issuer::new(settings, store, revocations, keys, clock, entropy);
        let issuer = issuer.map_err(|error| {
            invalid(format!(
                "Secret {} in namespace {} has a damaged signing key ({error}): restore it, or delete it to have it made anew",
                signing_keys(name),
                self.namespace
            ))
        })?;
        Ok(Arc::new(issuer))
    }

    /// The CA that workloads check the server with, and when the certificate is to be looked at again.
    async fn certificate(
        &self,
        name: &str,
        spec: &ResidentSpec,
        issuer: &str,
        now: Timestamp,
    ) -> Result<(Option<String>, Timestamp), Say> {
        if let Some(given) = &spec.certificate_secret_ref {
            return self.given_certificate(&given.name, now).await;
        }
        let mut names: Vec<_> = self.names.clone();
        for url in [Some(self.service_url.clone()), Url::parse(issuer).ok()]
            .into_iter()
            .flatten()
        {
            names.extend(url.host_str().map(str::to_owned));
        }
        names.sort();
        names.dedup();
        let own: OwnCertificate = self
            .ensure(CERTIFICATE, CERTIFICATE_COMPONENT, |before: Option<&OwnCertificate>| {
                OwnCertificate::renewed(before, &names, now).map_err(|error| error.to_string())
            })
            .await?;
        let (certified, _) = certificate::certified_key(&own.certificate, &own.key, now)
            .map_err(|error| invalid(format!("ClusterKeyManager {name}: {error}")))?;
        self.certificate.set(certified);
        Ok((Some(own.ca.clone()), own.renew_at()))
    }

    pub(super) async fn given_certificate(
        &self,
        name: &str,
        now: Timestamp,
    ) -> Result<(Option<String>, Timestamp), Say> {
        let secret = self.secrets().get_opt(name).await.map_err(|error| api(&error))?;
        let place = format!("Secret {name} in namespace {}", self.namespace);
        let secret =
            secret.ok_or_else(|| invalid(format!("{place} does not exist: create it as kubernetes.io/tls")))?;
        let data = secret.data.unwrap_or_default();
        let text = |entry: &str| {
            data.get(entry)
                .and_then(|value| String::from_utf8(value.0.clone()).ok())
        };
        let (Some(chain), Some(key)) = (text("tls.crt"), text("tls.key")) else {
            return Err(invalid(format!("{place} has no entries tls.crt and tls.key")));
        };
        let (certified, ends) = certificate::certified_key(&chain, &key.into(), now)
            .map_err(|error| invalid(format!("{place}: {error}")))?;
        self.certificate.set(certified);
        Ok((text("ca.crt"), ends))
    }

    pub(super) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A value that is kept in a Secret of its own, made or renewed by `next` where that says so. Guarded: of two writers one reads again.
    async fn ensure<T>(
        &self,
        name: &str,
        component: &str,
        next: impl Fn(Option<&T>) -> Result<Option<T>, String>,
    ) -> Result<T, Say>
    where
        T: Serialize + DeserializeOwned,
    {
        for _ in 0..5 {
            let stored = self.secrets().get_opt(name).await.map_err(|error| api(&error))?;
            let before: Option<T> = match &stored {
                Some(secret) => Some(read(secret).ok_or_else(|| {
                    invalid(format!(
                        "Secret {name} in namespace {} cannot be read: restore it, or delete it to have it made anew",
                        self.namespace
                    ))
                })?),
                None => None,
            };
            let Some(value) = next(before.as_ref()).map_err(invalid)? else {
                if let Some(before) = before {
                    return Ok(before);
                }
                continue;
            };
            let json = serde_json::to_vec(&value).map_err(|error| invalid(error.to_string()))?;
            let labels = [
                (hints::MANAGED_BY_LABEL, hints::MANAGED_BY),
                (COMPONENT_LABEL, component),
            ];
            let secret = Secret {
                metadata: ObjectMeta {
                    name: Some(name.to_owned()),
                    namespace: Some(self.namespace.clone()),
                    labels: Some(labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
                    resource_version: stored.as_ref().and_then(ResourceExt::resource_version),
                    ..ObjectMeta::default()
                },
                type_: Some(format!("appkeys.dev/{component}")),
                data: Some([(ENTRY.to_owned(), ByteString(json))].into()),
                ..Secret::default()
            };
            let params = PostParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PostParams::default()
            };
            let written = match stored {
                None => self.secrets().create(&params, &secret).await,
                Some(_) => self.secrets().replace(name, &params, &secret).await,
            };
            match written {
                Ok(_) => return Ok(value),
                Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {}
                Err(error) => return Err(api(&error)),
            }
        }
        Err(Say::no(
            "Ready",
            "Unreachable",
            format!("Secret {name} changes all the time: is another operator at work?"),
        ))
    }
}

fn invalid(message: String) -> Say {
    Say::no("Ready", "InvalidConfiguration", message)
}

fn api(error: &kube::Error) -> Say {
    let text = match error {
        kube::Error::Api(status) => status.message.clone(),
        _ => "no answer from the API server".to_owned(),
    };
    Say::no("Ready", "Unreachable", text)
}
