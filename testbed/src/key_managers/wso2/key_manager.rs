//! The key managers inside WSO2: the resident one, and others behind a connector.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Client, Secrets, Settings, Version, client::uuid, users::SUPER_TENANT};

/// The name that a call without a key manager means.
pub const RESIDENT: &str = "Resident Key Manager";

/// What a key manager is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// WSO2's own, type `default`.
    Resident,
    /// Okta, by WSO2's connector.
    Okta,
    /// Keycloak, by WSO2's connector.
    Keycloak,
}

impl Kind {
    /// The type's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resident => "default",
            Self::Okta => "Okta",
            Self::Keycloak => "KeyCloak",
        }
    }
}

/// What can be the matter with a key manager, by configuration or by accident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The administrator has disabled it. It is listed all the same.
    Disabled,
    /// WSO2 cannot reach it.
    Unreachable,
    /// It was registered a moment ago, and the runtime does not know it yet.
    NotLoaded,
    /// It refuses what it is asked for with a 400 of its own.
    Refusing,
    /// Roles restrict it: the operator's user may not have keys of it (4.3 and newer).
    Restricted,
    /// It makes no clients.
    NoCreation,
    /// It gives no test tokens.
    NoTokens,
    /// It takes tokens of others in exchange, and makes none.
    ExchangeOnly,
}

/// A condition that the administrator puts on a property (4.7): it has to be there, and to be so.
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    /// The property.
    pub property: &'static str,
    /// `RANGE`, `MIN`, `MAX` or `ENUM`.
    pub kind: &'static str,
    /// `{"min": 60, "max": 3600}`, or `{"allowed": ["true"]}`.
    pub value: Value,
}

impl Constraint {
    /// Whether a property as it was sent is allowed.
    pub(super) fn allows(&self, sent: Option<&Value>) -> bool {
        let Some(sent) = sent.filter(|sent| !sent.is_null()) else {
            return false;
        };
        let text = sent.as_str().map_or_else(|| sent.to_string(), str::to_owned);
        if let Some(allowed) = self.value["allowed"].as_array() {
            return allowed.iter().any(|one| one.as_str() == Some(text.as_str()));
        }
        let Ok(number) = text.parse::<i64>() else {
            return false;
        };
        self.value["min"].as_i64().is_none_or(|min| number >= min)
            && self.value["max"].as_i64().is_none_or(|max| number <= max)
    }
}

/// A key manager.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyManager {
    /// Its id.
    pub id: String,
    /// Its name, unique in its tenant.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The tenant it belongs to.
    pub tenant: String,
    /// What is the matter with it.
    pub troubles: BTreeSet<Trouble>,
    /// Conditions on properties.
    pub constraints: Vec<Constraint>,
    /// Its clients by id: those of keys, and those nobody knows of any more.
    pub clients: BTreeMap<String, Client>,
    /// Whether somebody has asked for the list of key managers since the tenant is there.
    pub(super) row: bool,
}

/// A property of a key that an application developer may set.
struct Property(&'static str, &'static str, &'static str, Value);

impl KeyManager {
    /// A key manager of the first tenant.
    pub fn new(name: &str, kind: Kind) -> Self {
        Self {
            id: uuid(),
            name: name.to_owned(),
            kind,
            tenant: SUPER_TENANT.to_owned(),
            troubles: BTreeSet::new(),
            constraints: vec![],
            clients: BTreeMap::new(),
            row: false,
        }
    }

    /// Whether this is the matter with it.
    pub fn has(&self, trouble: Trouble) -> bool {
        self.troubles.contains(&trouble)
    }

    /// Whether WSO2 can read clients there now.
    pub(super) fn answers(&self) -> bool {
        !self.has(Trouble::Unreachable) && !self.has(Trouble::NotLoaded)
    }

    /// The entry in the list of key managers.
    pub(super) fn shown(&self, settings: &Settings, origin: &str) -> Value {
        let token = match self.kind {
            Kind::Resident => format!("{origin}/oauth2/token"),
            Kind::Okta | Kind::Keycloak => format!("{origin}/external/{}/token", self.id),
        };
        let exchange = self.has(Trouble::ExchangeOnly);
        json!({
            "id": self.id,
            "name": self.name,
            "type": self.kind.name(),
            "displayName": self.name,
            "description": format!("This is {}", self.name),
            "enabled": !self.has(Trouble::Disabled),
            "availableGrantTypes": self.grants(),
            "tokenEndpoint": token,
            "revokeEndpoint": format!("{origin}/oauth2/revoke"),
            "userInfoEndpoint": "",
            "enableTokenGeneration": !self.has(Trouble::NoTokens),
            "enableTokenEncryption": false,
            "enableTokenHashing": false,
            "enableOAuthAppCreation": !self.has(Trouble::NoCreation),
            "enableMapOAuthConsumerApps": true,
            "tokenType": if exchange { "EXCHANGED" } else { "DIRECT" },
            "alias": null,
            "applicationConfiguration": self.configuration(settings.version),
            "additionalProperties": self.additional(settings, &token),
        })
    }

    fn additional(&self, settings: &Settings, token: &str) -> Value {
        let mut properties = json!({"production_token_endpoint": token, "sandbox_token_endpoint": token});
        if let (Kind::Resident, Secrets::Multiple(count)) = (self.kind, settings.secrets) {
            properties["enable_multiple_client_secrets"] = json!("true");
            properties["client_secret_count"] = json!(count.to_string());
        }
        properties
    }

    fn grants(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Resident => &[
                "refresh_token",
                "urn:ietf:params:oauth:grant-type:saml2-bearer",
                "password",
                "client_credentials",
                "iwa:ntlm",
                "authorization_code",
                "urn:ietf:params:oauth:grant-type:jwt-bearer",
            ],
            Kind::Okta | Kind::Keycloak => &[
                "client_credentials",
                "password",
                "implicit",
                "refresh_token",
                "authorization_code",
            ],
        }
    }

    /// Names of properties that its connector asks for.
    pub(super) fn required(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Resident => &[],
            Kind::Okta => &["response_types", "token_endpoint_auth_method"],
            Kind::Keycloak => &[
                "subject_type",
                "token_endpoint_auth_method",
                "tls_client_certificate_bound_access_tokens",
            ],
        }
    }

    fn configuration(&self, version: Version) -> Value {
        let shown = self.properties(version).into_iter().map(|Property(name, label, kind, default)| {
            let mut shown = json!({
                "name": name, "label": label, "type": kind, "required": self.required().contains(&name),
                "mask": false, "multiple": name == "response_types", "tooltip": label, "default": default, "values": [],
            });
            if let Some(constraint) = self.constraints.iter().find(|one| one.property == name)
                && version >= Version::V4_7
            {
                shown["constraint"] = json!({"type": constraint.kind, "value": constraint.value});
            }
            shown
        });
        Value::Array(shown.collect())
    }

    fn properties(&self, version: Version) -> Vec<Property> {
        let method = Property(
            "token_endpoint_auth_method",
            "Token endpoint method",
            "select",
            json!("client_secret_basic"),
        );
        match self.kind {
            Kind::Okta => vec![
                Property("application_type", "Application Type", "select", json!("web")),
                Property("response_types", "Response Type", "select", json!("")),
                method,
            ],
            Kind::Keycloak => vec![
                Property("response_types", "Response Type", "select", json!("token")),
                Property("subject_type", "Subject Type", "select", json!("")),
                method,
                Property(
                    "tls_client_certificate_bound_access_tokens",
                    "Bound tokens",
                    "select",
                    json!(""),
                ),
            ],
            Kind::Resident => {
                let times = [
                    (
                        "application_access_token_expiry_time",
                        "Application Access Token Expiry Time",
                    ),
                    ("user_access_token_expiry_time", "User Access Token Expiry Time"),
                    ("refresh_token_expiry_time", "Refresh Token Expiry Time"),
                    ("id_token_expiry_time", "Id Token Expiry Time"),
                ];
                let mut all: Vec<_> = times
                    .into_iter()
                    .map(|(name, label)| Property(name, label, "input", json!("N/A")))
                    .collect();
                if version >= Version::V4_1 {
                    let flags = [
                        ("pkceMandatory", "Enable PKCE"),
                        ("pkceSupportPlain", "Support PKCE Plain text"),
                        ("bypassClientCredentials", "Public client"),
                    ];
                    let flag = |(name, label)| Property(name, label, "checkbox", json!("false"));
                    all.extend(flags.into_iter().map(flag));
                }
                all
            }
        }
    }
}
