//! An app: an OAuth client, as the Apps API keeps it.

use std::{collections::BTreeSet, fmt};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};

/// An app.
#[derive(Clone, Debug)]
pub struct App {
    /// What paths name it by. Another one than the client id where that was chosen.
    pub id: String,
    /// The OAuth client id.
    pub client_id: String,
    /// Its name. No two active apps have the same.
    pub label: String,
    /// Whether it may log in.
    pub active: bool,
    /// The owner's own data.
    pub profile: Option<Value>,
    /// `token_endpoint_auth_method`
    pub auth_method: String,
    /// `pkce_required`
    pub pkce_required: bool,
    /// `settings.oauthClient`, without keys.
    pub settings: Map<String, Value>,
    /// Its secrets, the older first.
    pub secrets: Vec<Secret>,
    /// Its public keys, the older first.
    pub keys: Vec<Key>,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) reads: u32,
    /// So many reads flap.
    pub(super) young_reads: u32,
    /// Scopes of Okta's own APIs that an administrator granted.
    pub(super) grants: BTreeSet<String>,
}

/// A client secret.
#[derive(Clone)]
pub struct Secret {
    /// What paths name it by.
    pub id: String,
    /// The secret itself.
    pub value: String,
    /// Whether it may log in.
    pub active: bool,
    pub(super) created: i64,
    pub(super) updated: i64,
    /// First uses that still fail.
    pub(super) late: u32,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}, active: {})", self.id, self.active)
    }
}

/// A public key.
#[derive(Clone, Debug)]
pub struct Key {
    /// What paths name it by.
    pub id: String,
    /// The key, as it was given.
    pub jwk: Value,
    /// Whether it may log in.
    pub active: bool,
    pub(super) created: i64,
    pub(super) updated: i64,
    /// First uses that still fail.
    pub(super) late: u32,
}

/// An id as Okta makes them: three letters for the kind, seventeen of its own.
pub(super) fn new_id(kind: &str) -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{kind}{}", &random[..17])
}

/// Times have whole seconds.
pub(super) fn time(second: i64) -> String {
    let time = jiff::Timestamp::from_second(second).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

impl App {
    /// Somebody else's app, for machines, with one secret.
    pub(super) fn foreign(label: &str, client_id: &str, now: i64) -> Self {
        let settings = json!({
            "application_type": "service", "grant_types": ["client_credentials"], "response_types": ["token"],
        });
        Self {
            id: client_id.to_owned(),
            client_id: client_id.to_owned(),
            label: label.to_owned(),
            active: true,
            profile: None,
            auth_method: "client_secret_basic".to_owned(),
            pkce_required: false,
            settings: settings.as_object().cloned().unwrap_or_default(),
            secrets: vec![Secret::new(Secret::random(), true, now, 0)],
            keys: vec![],
            created: now,
            updated: now,
            reads: 0,
            young_reads: 0,
            grants: BTreeSet::new(),
        }
    }

    /// The app as it is shown. `secret` is shown with it.
    pub(super) fn json(&self, base: &str, secret: Option<&str>) -> Value {
        let mut client = json!({
            "autoKeyRotation": true, "client_id": self.client_id, "pkce_required": self.pkce_required,
            "token_endpoint_auth_method": self.auth_method,
        });
        if let Some(secret) = secret {
            client["client_secret"] = json!(secret);
        }
        let mut settings = Value::Object(self.settings.clone());
        if !self.keys.is_empty() {
            let keys: Vec<_> = self.keys.iter().map(|key| key.json(base, &self.id)).collect();
            settings["jwks"] = json!({"keys": keys});
        }
        let address = format!("{base}/api/v1/apps/{}", self.id);
        let turn = if self.active { "deactivate" } else { "activate" };
        let mut app = json!({
            "id": self.id,
            "orn": format!("orn:okta:idp:00odouble:apps:oidc_client:{}", self.id),
            "name": "oidc_client",
            "label": self.label,
            "status": status(self.active),
            "created": time(self.created),
            "lastUpdated": time(self.updated),
            "accessibility": {"selfService": false},
            "visibility": {"autoLaunch": false, "autoSubmitToolbar": false, "hide": {"iOS": true, "web": true}},
            "features": [],
            "signOnMode": "OPENID_CONNECT",
            "credentials": {"signing": {"kid": "org-key"}, "oauthClient": client},
            "settings": {"oauthClient": settings, "manualProvisioning": false, "implicitAssignment": false},
            "_links": {
                "self": link(&address, "GET"),
                turn: link(&format!("{address}/lifecycle/{turn}"), "POST"),
            },
        });
        if let Some(profile) = &self.profile {
            app["profile"] = profile.clone();
        }
        app
    }

    /// Whether the client logs in with a secret.
    pub(super) fn has_secret(&self) -> bool {
        self.auth_method.starts_with("client_secret")
    }

    /// A list of `settings.oauthClient`.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        let list = self.settings.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

impl Secret {
    pub(super) fn new(value: String, active: bool, now: i64, late: u32) -> Self {
        Self {
            id: new_id("ocs"),
            value,
            active,
            created: now,
            updated: now,
            late,
        }
    }

    /// A value as Okta makes them.
    pub(super) fn random() -> String {
        let half = || uuid::Uuid::new_v4().simple().to_string();
        half() + &half()
    }

    /// The secret as it is shown; the value itself only where the caller may see it.
    pub(super) fn json(&self, base: &str, app: &str, shown: bool) -> Value {
        let address = format!("{base}/api/v1/apps/{app}/credentials/secrets/{}", self.id);
        let hash = digest(&SHA256, self.value.as_bytes());
        let mut secret = json!({
            "id": self.id, "status": status(self.active), "created": time(self.created),
            "lastUpdated": time(self.updated), "secret_hash": BASE64URL_NOPAD.encode(&hash.as_ref()[..16]),
            "_links": links(&address, self.active),
        });
        if shown {
            secret["client_secret"] = json!(self.value);
        }
        secret
    }
}

impl Key {
    pub(super) fn new(mut jwk: Value, now: i64, late: u32) -> Self {
        let active = jwk["status"] != "INACTIVE";
        if let Some(members) = jwk.as_object_mut() {
            for read_only in ["id", "status", "created", "lastUpdated", "_links"] {
                members.remove(read_only);
            }
            members.entry("use").or_insert(json!("sig"));
        }
        Self {
            id: new_id("pks"),
            jwk,
            active,
            created: now,
            updated: now,
            late,
        }
    }

    /// The key as it is shown.
    pub(super) fn json(&self, base: &str, app: &str) -> Value {
        let address = format!("{base}/api/v1/apps/{app}/credentials/jwks/{}", self.id);
        let mut key = self.jwk.clone();
        key["id"] = json!(self.id);
        key["status"] = json!(status(self.active));
        key["created"] = json!(time(self.created));
        key["lastUpdated"] = json!(time(self.updated));
        key["_links"] = links(&address, self.active);
        key
    }
}

pub(super) fn status(active: bool) -> &'static str {
    if active { "ACTIVE" } else { "INACTIVE" }
}

/// What can be done with a secret or a key: an active one can be deactivated, another one activated or deleted.
fn links(address: &str, active: bool) -> Value {
    if active {
        json!({"deactivate": link(&format!("{address}/lifecycle/deactivate"), "POST")})
    } else {
        json!({
            "activate": link(&format!("{address}/lifecycle/activate"), "POST"),
            "delete": link(address, "DELETE"),
        })
    }
}

pub(super) fn link(address: &str, method: &str) -> Value {
    json!({"href": address, "hints": {"allow": [method]}})
}
