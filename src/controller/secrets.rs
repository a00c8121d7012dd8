//! Secrets at the API server: reading those that are ours, and writing them guarded.
//!
//! A Secret that is not ours is never written. A change is a PUT with the resource version that was read; a deletion
//! names uid and resource version.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, PostParams, Preconditions},
};

use super::{queue::Name, world::SecretMeta};
use crate::{
    api::FIELD_MANAGER,
    plan::{
        hints::{self, Hints, KEY_LABEL, MANAGED_BY, MANAGED_BY_LABEL},
        identity,
        observed::{Published, SecretView, State},
        secret::{Entries, Rendered},
    },
};

/// Label: what a Secret in the operator's namespace is for.
pub const COMPONENT_LABEL: &str = "appkeys.dev/component";
/// The value of [`COMPONENT_LABEL`] of state Secrets.
pub const STATE_COMPONENT: &str = "key-state";
const STATE_ENTRY: &str = "state";
const KEY_NAMESPACE: &str = "appkeys.dev/key-namespace";
const KEY_NAME: &str = "appkeys.dev/key-name";
/// Annotation of a state Secret: something is to be cleaned up.
const TOMBSTONE: &str = "appkeys.dev/tombstone";

/// What came of a guarded write.
#[derive(Debug)]
pub enum Written {
    /// It is as it should be now.
    Done(Box<Published>),
    /// Somebody else was first: read again.
    Conflict,
}

/// Reads the Secret `name` as key `key` sees it. `other_key_lives` tells whether a key of the same namespace exists.
pub async fn read(
    client: &Client,
    namespace: &str,
    name: &str,
    key: &str,
    cluster_id: &str,
    other_key_lives: impl Fn(&str) -> bool,
) -> kube::Result<SecretView> {
    let secret = Api::<Secret>::namespaced(client.clone(), namespace)
        .get_opt(name)
        .await?;
    Ok(secret.map_or(SecretView::Absent, |secret| {
        view(secret, key, cluster_id, other_key_lives)
    }))
}

fn view(secret: Secret, key: &str, cluster_id: &str, other_key_lives: impl Fn(&str) -> bool) -> SecretView {
    let name = secret.name_any();
    let owner = secret.labels().get(KEY_LABEL).cloned();
    if secret.labels().get(MANAGED_BY_LABEL).map(String::as_str) != Some(MANAGED_BY) {
        return SecretView::Foreign(format!(
            "Secret {name} exists and is not managed by appkeys: choose another secret.name"
        ));
    }
    let published = published(secret);
    let Some(owner) = owner else {
        return SecretView::Foreign(format!(
            "Secret {name} has no label {KEY_LABEL}: choose another secret.name"
        ));
    };
    let ours = owner == hints::label_value(key);
    if !ours && (published.hints.released.is_none() || other_key_lives(&owner)) {
        return SecretView::Foreign(format!(
            "Secret {name} is kept by key {owner}: choose another secret.name"
        ));
    }
    if published.hints.cluster_id != cluster_id {
        return SecretView::ForeignCluster(published.hints.cluster_id);
    }
    SecretView::Ours(Box::new(Published {
        released_by: (!ours).then_some(owner),
        ..published
    }))
}

/// A Secret of ours as the plan sees it.
pub fn published(secret: Secret) -> Published {
    let tampered = tampered(&secret.metadata);
    let annotations = secret.annotations().clone();
    Published {
        name: secret.name_any(),
        uid: secret.uid().unwrap_or_default(),
        resource_version: secret.resource_version().unwrap_or_default(),
        type_: secret.type_.clone().unwrap_or_default(),
        labels: secret.labels().clone(),
        hints: Hints::read(&annotations),
        annotations,
        entries: Entries(
            secret
                .data
                .into_iter()
                .flatten()
                .map(|(name, value)| (name, value.0))
                .collect(),
        ),
        tampered,
        released_by: None,
    }
}

/// Whether somebody else owns an entry of a Secret of ours, or one of our labels or annotations.
pub fn tampered(meta: &ObjectMeta) -> bool {
    let managers = meta.managed_fields.iter().flatten();
    managers
        .filter(|entry| entry.manager.as_deref() != Some(FIELD_MANAGER))
        .any(|entry| {
            let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
            fields.is_some_and(|fields| fields.get("f:data").is_some() || fields.to_string().contains("f:appkeys.dev/"))
        })
}

/// Writes a Secret: creates it, or replaces the one that was read. People's own labels and annotations stay.
pub async fn write(
    client: &Client,
    namespace: &str,
    rendered: &Rendered,
    replaces: Option<&Published>,
) -> kube::Result<Written> {
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    let mut secret = Secret {
        metadata: ObjectMeta {
            name: Some(rendered.name.clone()),
            namespace: Some(namespace.to_owned()),
            labels: Some(rendered.labels.clone()),
            annotations: Some(rendered.annotations.clone()),
            ..ObjectMeta::default()
        },
        type_: Some(rendered.type_.to_owned()).filter(|type_| !type_.is_empty()),
        data: Some(
            rendered
                .entries
                .0
                .iter()
                .map(|(k, v)| (k.clone(), ByteString(v.clone())))
                .collect(),
        ),
        ..Secret::default()
    };
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let result = match replaces {
        None => api.create(&params, &secret).await,
        Some(before) => {
            secret.metadata.resource_version = Some(before.resource_version.clone());
            secret.metadata.uid = Some(before.uid.clone());
            secret.type_ = Some(before.type_.clone());
            let theirs = |all: &BTreeMap<String, String>| {
                let theirs = all.iter().filter(|(name, _)| !hints::is_ours(name));
                theirs
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect::<BTreeMap<_, _>>()
            };
            let mut labels = theirs(&before.labels);
            labels.extend(rendered.labels.clone());
            let mut annotations = theirs(&before.annotations);
            annotations.extend(rendered.annotations.clone());
            secret.metadata.labels = Some(labels);
            secret.metadata.annotations = Some(annotations);
            api.replace(&rendered.name, &params, &secret).await
        }
    };
    match result {
        Ok(secret) => Ok(Written::Done(Box::new(published(secret)))),
        Err(kube::Error::Api(status))
            if status.is_already_exists() || status.is_conflict() || status.is_not_found() && replaces.is_some() =>
        {
            Ok(Written::Conflict)
        }
        Err(error) => Err(error),
    }
}

/// The entries of a Secret that a team gives; `None` where there is none.
pub async fn entries(client: &Client, namespace: &str, name: &str) -> kube::Result<Option<Entries>> {
    let secret = Api::<Secret>::namespaced(client.clone(), namespace)
        .get_opt(name)
        .await?;
    let data = secret.map(|secret| secret.data.unwrap_or_default());
    Ok(data.map(|data| Entries(data.into_iter().map(|(name, value)| (name, value.0)).collect())))
}

/// Deletes a Secret as it was read. True where it is gone now, false where it has changed since.
pub async fn delete(client: &Client, namespace: &str, published: &Published) -> kube::Result<bool> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(published.uid.clone()),
            resource_version: Some(published.resource_version.clone()),
        }),
        ..DeleteParams::default()
    };
    match Api::<Secret>::namespaced(client.clone(), namespace)
        .delete(&published.name, &params)
        .await
    {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(true),
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the cache keeps of a Secret's metadata.
pub fn meta(published: &Published) -> SecretMeta {
    SecretMeta {
        resource_version: published.resource_version.clone(),
        key: published.labels.get(KEY_LABEL).cloned().unwrap_or_default(),
        applied: published.hints.applied.clone(),
        version: published.hints.version,
        handled: handled(&published.hints),
        doubtful: doubtful(published.tampered, &published.hints),
    }
}

/// Whether what a Secret holds is to be checked: somebody else wrote an entry, or a process died after it fenced the Secret.
pub fn doubtful(tampered: bool, hints: &Hints) -> bool {
    tampered || !hints.attempt.is_empty()
}

/// Hash of the rotation requests that `hints` say were handled.
pub fn handled(hints: &Hints) -> String {
    identity::short_hash(&["handled", &hints.handled_trigger, &hints.handled_rotate])
}

/// The state Secret of a key, with what guards its next write.
#[derive(Clone, Debug, Default)]
pub struct StoredState {
    /// Its content.
    pub state: State,
    /// The Secret, where there is one.
    pub stored: Option<Box<Published>>,
}

/// Reads the state Secret of a key.
pub async fn read_state(
    client: &Client,
    operator_namespace: &str,
    namespace: &str,
    name: &str,
) -> kube::Result<StoredState> {
    let api = Api::<Secret>::namespaced(client.clone(), operator_namespace);
    let secret = api.get_opt(&identity::state_secret_name(namespace, name)).await?;
    Ok(secret.map_or_else(StoredState::default, |secret| {
        let stored = published(secret);
        let state = stored
            .entries
            .text(STATE_ENTRY)
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default();
        StoredState {
            state,
            stored: Some(Box::new(stored)),
        }
    }))
}

fn state_annotations(namespace: &str, name: &str, state: &State) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::from([
        (KEY_NAMESPACE.to_owned(), namespace.to_owned()),
        (KEY_NAME.to_owned(), name.to_owned()),
    ]);
    if state.tombstone.is_some() {
        annotations.insert(TOMBSTONE.to_owned(), "true".to_owned());
    }
    annotations
}

/// The key whose tombstone a state Secret with these annotations holds.
pub fn tombstone_of(annotations: &BTreeMap<String, String>) -> Option<Name> {
    annotations.get(TOMBSTONE)?;
    Some(Name::new(annotations.get(KEY_NAMESPACE)?, annotations.get(KEY_NAME)?))
}

/// Writes the state Secret of a key, guarded by what was read; an empty state deletes it. `None` where somebody else was first.
pub async fn write_state(
    client: &Client,
    operator_namespace: &str,
    namespace: &str,
    name: &str,
    before: Option<&Published>,
    state: State,
) -> kube::Result<Option<StoredState>> {
    if state.is_empty() {
        return Ok(match before {
            Some(before) => delete(client, operator_namespace, before)
                .await?
                .then(StoredState::default),
            None => Some(StoredState::default()),
        });
    }
    let json = serde_json::to_vec(&state).map_err(kube::Error::SerdeError)?;
    let rendered = Rendered {
        name: identity::state_secret_name(namespace, name),
        type_: "appkeys.dev/key-state",
        labels: [(MANAGED_BY_LABEL, MANAGED_BY), (COMPONENT_LABEL, STATE_COMPONENT)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        annotations: state_annotations(namespace, name, &state),
        entries: Entries([(STATE_ENTRY.to_owned(), json)].into()),
    };
    Ok(match write(client, operator_namespace, &rendered, before).await? {
        Written::Done(stored) => Some(StoredState {
            state,
            stored: Some(stored),
        }),
        Written::Conflict => None,
    })
}
