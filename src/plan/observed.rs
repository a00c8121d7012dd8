//! What a pass knows of one key: the objects it read, and what it holds in memory since it began.

use std::collections::BTreeMap;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{
    access::{self, Grants},
    hand::Hand,
    hints::{self, Hints, TokenHints},
    identity,
    secret::{self, Entries},
};
use crate::{
    api::{
        ApplicationKey, ApplicationKeySpec, CredentialKind, Duration, Environment, GrantType, KeyManagerRef, Pkce,
        application_key::Lifetimes, conditions::Say,
    },
    key_manager::{ApplicationProperties, Capabilities, Client, Endpoints, IdForm, Mark, Place, Properties},
};

/// One key and everything that a decision about it needs.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The id of this cluster.
    pub cluster_id: String,
    /// The key as the API server has it.
    pub key: ApplicationKey,
    /// Its Application; `None` where it is missing.
    pub application: Option<ApplicationView>,
    /// Another key that comes first of those with its Application, environment and key manager.
    pub first_in_environment: Option<String>,
    /// Its key manager, or why there is none.
    pub target: Result<Target, Say>,
    /// The Secret with the credential.
    pub secret: SecretView,
    /// The Secret with the credential under the name that it had before `secret.name` changed.
    pub former: Option<Box<Published>>,
    /// The Secret with the access tokens.
    pub tokens: SecretView,
    /// What the state Secret holds.
    pub state: State,
    /// What this pass holds.
    pub hand: Hand,
}

/// What a key needs of its Application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationView {
    /// Name for people.
    pub display_name: String,
    /// Key manager for keys that name none.
    pub key_manager_ref: Option<KeyManagerRef>,
    /// What it is given where clients are in applications.
    pub properties: ApplicationProperties,
}

/// A key manager as a key sees it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which one.
    pub reference: KeyManagerRef,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Where it is.
    pub endpoints: Endpoints,
    /// What the key's namespace may have there.
    pub grants: Grants,
    /// Whether clients that somebody changed there are put right.
    pub corrects: bool,
}

/// A Secret as a key sees it.
#[derive(Clone, Debug)]
pub enum SecretView {
    /// There is none.
    Absent,
    /// There is none yet, and this other key, which names it too, comes first.
    Wanted(String),
    /// It is not ours to touch; the text says whose it is.
    Foreign(String),
    /// Another cluster's operator wrote it.
    ForeignCluster(String),
    /// It is this key's, or one that this key takes over.
    Ours(Box<Published>),
}

impl SecretView {
    /// The Secret, where it is ours.
    pub fn ours(&self) -> Option<&Published> {
        match self {
            Self::Ours(published) => Some(published),
            Self::Absent | Self::Wanted(_) | Self::Foreign(_) | Self::ForeignCluster(_) => None,
        }
    }
}

/// A Secret that we published.
#[derive(Clone, Debug)]
pub struct Published {
    /// Its name.
    pub name: String,
    /// For guarded writes.
    pub uid: String,
    /// For guarded writes.
    pub resource_version: String,
    /// Its type.
    pub type_: String,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// All its annotations.
    pub annotations: BTreeMap<String, String>,
    /// All its entries.
    pub entries: Entries,
    /// What its annotations say.
    pub hints: Hints,
    /// Somebody else wrote an entry, or one of our labels or annotations.
    pub tampered: bool,
    /// The deleted key that released it, where that had another name.
    pub released_by: Option<String>,
}

impl Published {
    /// Whether it has the credential of `placed`.
    pub fn is_of(&self, placed: &PlacedClient) -> bool {
        self.hints.client_id == placed.client.id && self.hints.key_manager.as_ref() == Some(&placed.key_manager)
    }

    /// What the client proves itself with, where the entry is still there; empty for a public client.
    pub fn client_secret(&self) -> Option<SecretString> {
        if self.hints.kind == CredentialKind::Nothing {
            return Some(String::new().into());
        }
        let entry = if self.hints.secret_entry.is_empty() {
            "client-secret"
        } else {
            &self.hints.secret_entry
        };
        self.entries
            .text(entry)
            .filter(|secret| !secret.is_empty())
            .map(|secret| secret.to_owned().into())
    }
}

/// What a state Secret holds: the durable facts that neither the custom resources nor the published Secret may hold.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// How often the client was replaced or moved; kept once above zero, so that no id is derived twice.
    pub replacements: u32,
    /// The client, where its id or owner cannot be derived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<PlacedClient>,
    /// A registration whose answer is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// A client that is not published yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<StoredAnswer>,
    /// The client that is being replaced, from before the new one is made until it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<PlacedClient>,
    /// The new client of a replacement or move, where its id is our choice; from before it is made until the old one is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub making: Option<PlacedClient>,
    /// What deleted keys of this name left at key managers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tombstone: Option<Tombstone>,
}

impl State {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.replacements == 0
            && self.client.is_none()
            && self.attempt.is_none()
            && self.answer.is_none()
            && self.old.is_none()
            && self.making.is_none()
            && self.tombstone.is_none()
    }
}

/// What deleted keys left at key managers that gave no answer for so long that their finalizers had to go.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tombstone {
    /// Clients that are still to be deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<PlacedClient>,
    /// Registrations whose answer is not known: what they made is still to be found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
}

impl Tombstone {
    /// Whether it names this client.
    pub fn names(&self, placed: &PlacedClient) -> bool {
        self.clients.iter().any(|other| other.is_same(placed))
    }
}

/// A call to make a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Its id, which the key manager keeps with the client where it can.
    pub id: String,
    /// Where.
    pub key_manager: KeyManagerRef,
    /// Which client of its application it is to be.
    #[serde(default, skip_serializing_if = "Place::is_unknown")]
    pub place: Place,
    /// What the client is to prove itself with.
    #[serde(default)]
    pub kind: CredentialKind,
    /// Hash of the properties that the client is given, as [`Hints::applied`] has it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub applied: String,
}

/// A client's first secret, before it is published.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredAnswer {
    /// The client's id.
    pub client_id: String,
    /// What it was made to prove itself with.
    #[serde(default)]
    pub kind: CredentialKind,
    /// Its secret.
    #[serde(serialize_with = "super::expose")]
    pub secret: SecretString,
    /// Hash of the properties that it was given, as [`Hints::applied`] has it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub applied: String,
    /// When the key manager ends the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ends: Option<Timestamp>,
    /// What was registered otherwise than asked, as [`Hints::differs`] has it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub differs: String,
}

/// A client and where it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlacedClient {
    /// Where it is.
    pub key_manager: KeyManagerRef,
    /// Which one.
    pub client: Client,
}

impl PlacedClient {
    /// Whether it is the same client, whatever else is known of it.
    pub fn is_same(&self, other: &Self) -> bool {
        self.key_manager == other.key_manager && self.client.id == other.client.id
    }
}

impl Observed {
    /// The key's spec.
    pub const fn spec(&self) -> &ApplicationKeySpec {
        &self.key.spec
    }

    /// The key's namespace.
    pub fn namespace(&self) -> &str {
        self.key.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        self.key.metadata.name.as_deref().unwrap_or_default()
    }

    /// What the key's client is to prove itself with.
    pub fn kind(&self) -> CredentialKind {
        self.spec().client_authentication.unwrap_or_default().credential()
    }

    /// How a credential of the key is tried: its redirect URI where only a login could use it.
    pub fn code_for(&self) -> Option<&str> {
        let machine = access::grant_types(self.spec()).any(|grant| grant == GrantType::ClientCredentials);
        let uri = self.spec().redirect_uris.first().filter(|_| !machine)?;
        Some(uri)
    }

    /// Whether a published client that is not there is simply made again, where that was not tried yet: somebody deleted it, and
    /// the create tells.
    pub fn create_tells(&self) -> bool {
        let target = self.target.as_ref();
        let chosen = target.is_ok_and(|target| target.capabilities.chosen_identity());
        chosen && self.secret.ours().is_some() && !self.hand.refused && !self.hand.exists
    }

    /// Who the key's client belongs to.
    pub fn mark(&self) -> Mark {
        Mark {
            cluster_id: self.cluster_id.clone(),
            namespace: self.namespace().to_owned(),
            name: self.name().to_owned(),
        }
    }

    /// How often the client was replaced, by all that tells of it.
    pub fn replacements(&self) -> u32 {
        self.state
            .replacements
            .max(self.secret.ours().map_or(0, |published| published.hints.replacements))
    }

    /// The client that the key should have at `target`.
    pub fn desired_client(&self, target: &Target) -> Option<Client> {
        match &self.state.client {
            Some(known) if known.key_manager == target.reference => Some(known.client.clone()),
            _ => self.chosen_client(target, self.replacements()),
        }
    }

    /// The client of chosen identity at `target` after so many replacements.
    pub fn chosen_client(&self, target: &Target, replacements: u32) -> Option<Client> {
        let fixed = target.capabilities.chosen_identity() || self.spec().adopt.is_some();
        fixed.then(|| self.derived_client(&target.reference, target.capabilities.client_ids, replacements))
    }

    /// Whether the client's id is the spec's, so that no other client can take its place.
    pub const fn fixed_id(&self) -> bool {
        self.key.spec.client_id.is_some() || self.key.spec.adopt.is_some()
    }

    /// The client that the key has at `key_manager` after so many replacements, where the id is our choice.
    pub fn derived_client(&self, key_manager: &KeyManagerRef, form: IdForm, replacements: u32) -> Client {
        let adopted = self.spec().adopt.as_ref().map(|adopt| adopt.client_id.clone());
        let chosen = adopted.or_else(|| self.spec().client_id.clone());
        self.client(chosen.unwrap_or_else(|| identity::client_id(&self.mark(), key_manager, form, replacements)))
    }

    /// The client of this id, which must be this key's.
    pub fn client(&self, id: String) -> Client {
        Client {
            id,
            mark: self.mark(),
            place: self.place(),
            management: None,
        }
    }

    /// Which client of its application the key's client is.
    pub fn place(&self) -> Place {
        Place {
            application: self.spec().application_ref.name.clone(),
            environment: self.spec().environment,
        }
    }

    /// The version of the published credential; zero where there is none.
    pub fn published_version(&self) -> i64 {
        self.secret.ours().map_or(0, |published| published.hints.version)
    }

    /// The version of the credential that is published next.
    pub fn next_version(&self) -> i64 {
        let status = self.key.status.as_ref();
        let said = status.and_then(|status| status.credential.as_ref());
        self.published_version().max(said.map_or(0, |c| c.version)) + 1
    }

    /// Where the key's first client is made, as the key itself says since before it was made.
    pub fn first_client(&self) -> Option<PlacedClient> {
        let text = self.key.metadata.annotations.as_ref()?.get(hints::FIRST_CLIENT)?;
        let (key_manager, id) = text.rsplit_once('/')?;
        Some(PlacedClient {
            key_manager: hints::reference(key_manager)?,
            client: self.client(id.to_owned()),
        })
    }

    /// Whether there is a key: what is cleaned up after one that is gone is observed under its name.
    pub const fn lives(&self) -> bool {
        self.key.metadata.uid.is_some()
    }

    /// Whether this pass has deleted `placed`.
    pub fn has_deleted(&self, placed: &PlacedClient) -> bool {
        let id = (placed.key_manager.clone(), placed.client.id.clone());
        self.hand.deleted.contains(&id)
    }

    /// The properties that the key's client should have at `target`: what is asked for and granted.
    pub fn properties(&self, target: &Target) -> Properties {
        let spec = self.spec();
        let grants = &target.grants;
        let application = spec.application_ref.name.clone();
        let mut resources: Vec<_> = access::resources(spec)
            .filter(|resource| grants.resource(resource))
            .map(str::to_owned)
            .collect();
        resources.sort();
        resources.dedup();
        let life = |of: fn(&Lifetimes) -> Option<Duration>| spec.lifetimes.as_ref().and_then(of).map(Duration::as_secs);
        Properties {
            mark: self.mark(),
            display_name: self
                .application
                .as_ref()
                .map_or_else(|| application.clone(), |a| a.display_name.clone()),
            application,
            environment: spec.environment,
            authentication: spec.client_authentication.unwrap_or_default(),
            grant_types: access::grant_types(spec)
                .filter(|grant| grants.grant_type(*grant))
                .collect(),
            redirect_uris: spec
                .redirect_uris
                .iter()
                .filter(|uri| grants.redirect_uri(uri))
                .cloned()
                .collect(),
            pkce: pkce(spec),
            scopes: spec
                .scopes
                .iter()
                .filter(|scope| grants.scope(scope))
                .cloned()
                .collect(),
            resources,
            access_token_lifetime: life(|lifetimes| lifetimes.access_token),
            refresh_token_lifetime: life(|lifetimes| lifetimes.refresh_token),
            id_token_lifetime: life(|lifetimes| lifetimes.id_token),
            application_properties: target.capabilities.applications.then(|| {
                self.application
                    .as_ref()
                    .map(|a| a.properties.clone())
                    .unwrap_or_default()
            }),
            vendor: spec.vendor_blocks().with_scopes(|scope| grants.scope(scope)),
            frozen: !grants.selected,
        }
    }

    /// Hash of all that the client is given and of where its key manager is; a change means that the key manager and the
    /// Secret must be told. Its part after the dot is of what the client can do, without its names: see
    /// [`may_stay`](super::hand::may_stay).
    pub fn properties_hash(&self, target: &Target) -> String {
        let properties = self.properties(target);
        let nameless = Properties {
            mark: Mark {
                cluster_id: String::new(),
                namespace: String::new(),
                name: String::new(),
            },
            application: String::new(),
            display_name: String::new(),
            application_properties: None,
            // It goes into the name only, and no key changes it.
            environment: Environment::default(),
            frozen: false,
            ..properties.clone()
        };
        let properties = serde_json::to_string(&properties).unwrap_or_default();
        let nameless = serde_json::to_string(&nameless).unwrap_or_default();
        let endpoints = serde_json::to_string(&target.endpoints).unwrap_or_default();
        let all = identity::short_hash(&["properties", &target.reference.to_string(), &properties, &endpoints]);
        format!("{all}.{}", identity::short_hash(&["nameless", &nameless]))
    }

    /// The access tokens that are published, wherever they are.
    pub fn token_hints(&self) -> &TokenHints {
        static NONE: TokenHints = TokenHints::new();
        let view = if secret::same_secret(self.spec()) {
            &self.secret
        } else {
            &self.tokens
        };
        view.ours().map_or(&NONE, |published| &published.hints.tokens)
    }

    /// When the secret before the published one ends, where that is still to come.
    pub fn draining_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.secret.ours()?.hints.previous_valid_until.filter(|end| *end > now)
    }
}

/// The code challenge that logins need: as asked, else S256 where there is nothing else that tells the app from another.
pub(super) fn pkce(spec: &ApplicationKeySpec) -> Option<Pkce> {
    let public = spec.client_authentication.unwrap_or_default().credential() == CredentialKind::Nothing;
    let default = public.then_some(Pkce {
        required: true,
        allow_plain: false,
    });
    spec.pkce.or(default)
}
