//! The org: all that the double remembers.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::Context as _;
use jsonwebtoken::{
    Algorithm, EncodingKey,
    jwk::{Jwk, PublicKeyUse},
};
use rcgen::{KeyPair, PKCS_RSA_SHA256};

use super::{
    Failure, Modes, Operator,
    app::{App, Key, new_id},
    limits::Limits,
    servers::AuthorizationServer,
};
use crate::key_managers::double::{Answer, Ask};

/// The state.
#[derive(Debug)]
pub(super) struct Org {
    /// The org's URL.
    pub(super) base: String,
    pub(super) modes: Modes,
    pub(super) apps: Vec<App>,
    pub(super) servers: Vec<AuthorizationServer>,
    /// Signs all access tokens.
    pub(super) signer: Signer,
    /// The API token of an administrator.
    pub(super) ssws: String,
    /// Access tokens for Okta's own APIs.
    pub(super) sessions: BTreeMap<String, Session>,
    /// Access tokens of custom servers that were revoked, by `jti`.
    pub(super) revoked: HashSet<String>,
    /// `jti` of client assertions and of DPoP proofs that were used.
    pub(super) used: HashSet<String>,
    /// What a DPoP proof has to have.
    pub(super) nonce: String,
    /// Cursors of lists that were given out, and the app that each goes on after.
    pub(super) cursors: BTreeMap<String, String>,
    pub(super) limits: Limits,
    /// Failures to come, by operation.
    pub(super) failures: Vec<(String, Failure)>,
}

/// An access token for Okta's own APIs.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) scopes: BTreeSet<String>,
    pub(super) expires: i64,
    /// The thumbprint of the DPoP key that it is bound to.
    pub(super) bound_to: Option<String>,
}

/// A key that signs access tokens.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    pub(super) key: EncodingKey,
    pub(super) kid: String,
    pub(super) public: Jwk,
}

impl Signer {
    /// A new RSA key, and its private part in PEM.
    pub(super) fn generate() -> anyhow::Result<(Self, String)> {
        let pem = KeyPair::generate_for(&PKCS_RSA_SHA256)
            .context("make an RSA key")?
            .serialize_pem();
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).context("read an RSA key")?;
        let mut public = Jwk::from_encoding_key(&key, Algorithm::RS256).context("publish a key")?;
        let kid = new_id("key");
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok((Self { key, kid, public }, pem))
    }
}

impl Org {
    /// An org with one app, the operator's own, and one custom authorization server, `default`.
    pub(super) fn new(base: String, signer: Signer, operator: &Operator, key: &Signer) -> Self {
        let public = serde_json::to_value(&key.public).unwrap_or_default();
        let now = jsonwebtoken::get_current_timestamp().cast_signed();
        let scopes = ["okta.apps.manage", "okta.apps.read", "okta.authorizationServers.read"];
        let app = App {
            auth_method: "private_key_jwt".to_owned(),
            secrets: vec![],
            keys: vec![Key::new(public, now, 0)],
            grants: scopes.map(str::to_owned).into(),
            ..App::foreign("Operator's own app", &operator.client_id, now)
        };
        Self {
            servers: vec![AuthorizationServer::default_one(&base)],
            base,
            modes: Modes::default(),
            apps: vec![app],
            signer,
            ssws: operator.api_token.clone(),
            sessions: BTreeMap::new(),
            revoked: HashSet::new(),
            used: HashSet::new(),
            nonce: new_id("nonce"),
            cursors: BTreeMap::new(),
            limits: Limits::default(),
            failures: vec![],
        }
    }

    /// Seconds since 1970, by the org's clock.
    pub(super) fn now(&self) -> i64 {
        jsonwebtoken::get_current_timestamp().cast_signed() + self.modes.clock_ahead
    }

    /// An app by its id, and by nothing else. A young one may be not there yet.
    pub(super) fn app(&mut self, id: &str) -> Result<&mut App, Answer> {
        let not_found = || Answer::not_found(id, "AppInstance");
        let app = self.apps.iter_mut().find(|app| app.id == id).ok_or_else(not_found)?;
        if app.flaps() { Err(not_found()) } else { Ok(app) }
    }

    /// An app by its client id.
    pub(super) fn client(&mut self, id: &str) -> Option<&mut App> {
        self.apps.iter_mut().find(|app| app.client_id == id)
    }

    /// Whether another active app than `id` has this label.
    pub(super) fn label_taken(&self, label: &str, id: &str) -> Result<(), Answer> {
        let taken = self
            .apps
            .iter()
            .any(|app| app.active && app.label == label && app.id != id);
        if !taken {
            return Ok(());
        }
        if self.modes.label_code_40 {
            let summary = "Application label must not be the same as an existing application label.";
            return Err(Answer::okta(400, "E0000040", summary, &[]));
        }
        let cause =
            format!("label: An active OpenID Connect Client instance with the label \"{label}\" already exists.");
        Err(Answer::invalid("label", &[cause]))
    }

    /// Notes an identifier that may be used once. Whether it is the first time.
    pub(super) fn first_use(&mut self, kind: &str, id: &str) -> bool {
        self.used.insert(format!("{kind} {id}"))
    }

    /// The failure that was ordered for an operation, once.
    pub(super) fn failure(&mut self, operation: Option<&str>) -> Option<Failure> {
        let due = self
            .failures
            .iter()
            .position(|(name, _)| Some(name.as_str()) == operation)?;
        Some(self.failures.remove(due).1)
    }

    /// The error that all get, if there is one now.
    pub(super) fn outage(&self, ask: &Ask) -> Option<Answer> {
        use super::Outage::{InternalError, ReadOnly};
        let oauth = ask.path.starts_with("/oauth2/");
        Some(match (self.modes.outage?, oauth) {
            (ReadOnly, _) => Answer::okta(503, "E0000010", "Service is in read only mode", &[]),
            (InternalError, false) => Answer::okta(500, "E0000009", "Internal Server Error", &[]),
            (InternalError, true) => {
                let text = "The authorization server encountered an unexpected condition.";
                Answer::oauth(500, "server_error", text)
            }
        })
    }
}

impl App {
    /// Counts a read of a young app. Whether this one does not see it: the first, the third and so on.
    pub(super) fn flaps(&mut self) -> bool {
        self.reads = self.reads.saturating_add(1);
        self.reads <= self.young_reads && self.reads % 2 == 1
    }
}
