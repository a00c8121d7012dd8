//! What is kept of a namespaced key manager that goes together with its namespace: its spec and the operator's credential there,
//! in one Secret of the operator's namespace, for as long as something is to be cleaned up at the server.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::{
    api::{FIELD_MANAGER, KeyManagerSpec},
    controller::{queue::Name, secrets::COMPONENT_LABEL},
    plan::{hints, identity},
};

/// Component label of these Secrets.
pub const COMPONENT: &str = "key-manager-snapshot";
const ENTRY: &str = "snapshot";
const NAMESPACE: &str = "appkeys.dev/key-manager-namespace";
const NAME: &str = "appkeys.dev/key-manager-name";

/// The values of the Secrets that a key manager's spec names, by entry.
#[derive(Clone, Debug, Default)]
pub struct Held(pub BTreeMap<String, SecretString>);

/// A key manager as it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its spec.
    pub spec: KeyManagerSpec,
    /// What its Secrets held, by entry.
    #[serde(serialize_with = "exposed")]
    entries: BTreeMap<String, SecretString>,
}

fn exposed<S: serde::Serializer>(entries: &BTreeMap<String, SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().map(|(name, value)| (name, value.expose_secret())))
}

impl Snapshot {
    /// Of this spec and what was read for it.
    pub fn new(spec: KeyManagerSpec, held: Held) -> Self {
        Self { spec, entries: held.0 }
    }

    /// An entry of the Secrets that its spec names.
    pub fn entry(&self, name: &str) -> Option<&SecretString> {
        self.entries.get(name)
    }
}

/// Where the snapshots are.
#[derive(Clone, Debug)]
pub struct Snapshots(Api<Secret>);

impl Snapshots {
    /// Those in the operator's namespace.
    pub fn new(client: Client, operator_namespace: &str) -> Self {
        Self(Api::namespaced(client, operator_namespace))
    }

    /// That of `name`.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn get(&self, name: &Name) -> kube::Result<Option<Snapshot>> {
        let secret = self.0.get_opt(&secret_name(name)).await?;
        let json = secret.and_then(|secret| secret.data?.remove(ENTRY));
        Ok(json.and_then(|json| serde_json::from_slice(&json.0).ok()))
    }

    /// Keeps `snapshot` as that of `name`, where there is none yet.
    ///
    /// # Errors
    /// The API server refuses it or does not answer.
    pub async fn keep(&self, name: &Name, snapshot: &Snapshot) -> kube::Result<()> {
        let json = serde_json::to_vec(snapshot).map_err(kube::Error::SerdeError)?;
        let labels = [
            (hints::MANAGED_BY_LABEL, hints::MANAGED_BY),
            (COMPONENT_LABEL, COMPONENT),
        ];
        let annotations = [(NAMESPACE, &name.namespace), (NAME, &name.name)];
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(secret_name(name)),
                labels: Some(labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
                annotations: Some(annotations.map(|(name, value)| (name.to_owned(), value.clone())).into()),
                ..ObjectMeta::default()
            },
            type_: Some(format!("appkeys.dev/{COMPONENT}")),
            data: Some([(ENTRY.to_owned(), ByteString(json))].into()),
            ..Secret::default()
        };
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        match self.0.create(&params, &secret).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Forgets that of `name`.
    ///
    /// # Errors
    /// The API server refuses it or does not answer.
    pub async fn forget(&self, name: &Name) -> kube::Result<()> {
        match self.0.delete(&secret_name(name), &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }
}

/// The key manager whose snapshot a Secret with these annotations is.
pub fn of(annotations: &BTreeMap<String, String>) -> Option<Name> {
    Some(Name::new(annotations.get(NAMESPACE)?, annotations.get(NAME)?))
}

fn secret_name(name: &Name) -> String {
    let hash = identity::short_hash(&["key-manager-snapshot", &name.namespace, &name.name]);
    format!("appkeys-key-manager-{hash}")
}
