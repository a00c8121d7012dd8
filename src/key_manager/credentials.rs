//! What the operator itself needs at a key manager: its credential and the CA, read from Secrets.

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt as _};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Category, Error,
    remote::{CredentialSource, OperatorCredential},
    snapshot::Snapshots,
};
use crate::controller::queue::Name;

/// Entries: the id of the operator's own client, and its secret.
pub(super) const CREDENTIAL: [&str; 2] = ["client-id", "client-secret"];

/// Entries: the id of the operator's own client, its private key, and the id that the key manager knows that by.
pub(super) const KEY_CREDENTIAL: [&str; 3] = ["client-id", "private-key.pem", "key-id"];

/// Entry: an API token, or what registrations need (RFC 7591 section 3).
pub(super) const TOKEN: &str = "token";

/// A Secret that a platform team or a tenant gives.
#[derive(Clone)]
pub(super) struct GivenSecret {
    secrets: Api<Secret>,
    namespace: String,
    name: String,
    /// Where its values are kept once the key manager that names it goes.
    kept: Option<(Snapshots, Name)>,
}

impl std::fmt::Debug for GivenSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.place())
    }
}

/// An entry of a Secret, and the version of the Secret that it was read from.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) value: SecretString,
    pub(super) version: String,
}

impl GivenSecret {
    pub(super) fn new(client: Client, namespace: &str, name: &str, kept: Option<(Snapshots, Name)>) -> Self {
        Self {
            secrets: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            kept,
        }
    }

    /// Its entries as they were when the key manager that names it went.
    async fn kept<const N: usize>(&self, names: [&str; N]) -> Option<[Entry; N]> {
        let (snapshots, key_manager) = self.kept.as_ref()?;
        let snapshot = snapshots.get(key_manager).await.ok()??;
        let entries = names.map(|name| snapshot.entry(name).cloned());
        let entries: Option<Vec<_>> = entries.into_iter().collect();
        let entry = |value| Entry {
            value,
            version: "kept".to_owned(),
        };
        entries?.into_iter().map(entry).collect::<Vec<_>>().try_into().ok()
    }

    /// Where it is, for people.
    pub(super) fn place(&self) -> String {
        format!("Secret {} in namespace {}", self.name, self.namespace)
    }

    /// Its entries of these names.
    ///
    /// # Errors
    /// `InvalidRequest` where it or an entry is missing, `Unreachable` where the API server does not answer.
    pub(super) async fn read<const N: usize>(&self, names: [&str; N]) -> Result<[Entry; N], Error> {
        let secret = match self.secrets.get_opt(&self.name).await {
            Ok(Some(secret)) => secret,
            Ok(None) => {
                if let Some(kept) = self.kept(names).await {
                    return Ok(kept);
                }
                let text = format!(
                    "{} does not exist: create it with the entries {}",
                    self.place(),
                    names.join(" and ")
                );
                return Err(not_sent(Category::InvalidRequest, text));
            }
            Err(error) => {
                let why = match &error {
                    kube::Error::Api(status) => status.message.clone(),
                    _ => "no answer from the API server".to_owned(),
                };
                return Err(not_sent(
                    Category::Unreachable,
                    format!("{} cannot be read: {why}", self.place()),
                ));
            }
        };
        let version = secret.resource_version().unwrap_or_default();
        let data = secret.data.unwrap_or_default();
        let mut entries = vec![];
        for name in names {
            let text = data.get(name).and_then(|value| std::str::from_utf8(&value.0).ok());
            // People write files with an editor: a last line end is not meant.
            let text = text
                .map(|text| text.trim_end_matches(['\r', '\n']))
                .filter(|text| !text.is_empty());
            let Some(text) = text else {
                let text = format!("{} has no entry {name}", self.place());
                return Err(not_sent(Category::InvalidRequest, text));
            };
            entries.push(Entry {
                value: text.to_owned().into(),
                version: version.clone(),
            });
        }
        entries
            .try_into()
            .map_err(|_| not_sent(Category::InvalidRequest, format!("{} cannot be read", self.place())))
    }
}

fn not_sent(category: Category, text: String) -> Error {
    Error {
        sent: false,
        ..Error::new(category, text)
    }
}

#[async_trait]
impl CredentialSource for GivenSecret {
    fn name(&self) -> String {
        self.place()
    }

    async fn read(&self) -> Result<OperatorCredential, Error> {
        let [id, secret] = Self::read(self, CREDENTIAL).await?;
        Ok(OperatorCredential {
            client_id: id.value.expose_secret().to_owned(),
            key_id: String::new(),
            secret: secret.value,
            version: secret.version,
        })
    }
}

/// The token that such a Secret holds: an initial access token (RFC 7591 section 3), or an API token.
#[derive(Clone, Debug)]
pub(super) struct GivenToken(pub(super) GivenSecret);

#[async_trait]
impl CredentialSource for GivenToken {
    fn name(&self) -> String {
        self.0.place()
    }

    async fn read(&self) -> Result<OperatorCredential, Error> {
        let [token] = self.0.read([TOKEN]).await?;
        Ok(OperatorCredential {
            client_id: String::new(),
            key_id: String::new(),
            secret: token.value,
            version: token.version,
        })
    }
}

/// The client with a private key that such a Secret holds.
#[derive(Clone, Debug)]
pub(super) struct GivenKey(pub(super) GivenSecret);

#[async_trait]
impl CredentialSource for GivenKey {
    fn name(&self) -> String {
        self.0.place()
    }

    async fn read(&self) -> Result<OperatorCredential, Error> {
        let [id, key, key_id] = self.0.read(KEY_CREDENTIAL).await?;
        Ok(OperatorCredential {
            client_id: id.value.expose_secret().to_owned(),
            key_id: key_id.value.expose_secret().to_owned(),
            secret: key.value,
            version: key.version,
        })
    }
}
