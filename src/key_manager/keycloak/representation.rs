//! A client as Keycloak writes it, and as we ask for it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::scopes::{self, Assignment, BASIC};
use crate::{
    api::{CredentialKind, GrantType, PkceMethod},
    key_manager::{Category, Error, Mark, Properties, private_key::PrivateKey},
};

/// Attribute: the owner's mark.
const OWNER: &str = "appkeys.owner";
/// Attribute: life of access tokens in seconds.
const LIFESPAN: &str = "access.token.lifespan";
/// Attributes: how many seconds a session idles before its refresh token ends, and one that outlives the login's session.
const IDLE: [&str; 2] = ["client.session.idle.timeout", "client.offline.session.idle.timeout"];
/// Attribute: the default client scopes that we gave it.
const DEFAULT_SCOPES: &str = "appkeys.default-scopes";
/// Attribute: whether there are refresh tokens.
const REFRESH: &str = "use.refresh.tokens";
/// Attribute: the end of the current secret, by the realm's policy.
const EXPIRES: &str = "client.secret.expiration.time";
/// Attribute: when the current secret was made.
const CREATED: &str = "client.secret.creation.time";
/// Attribute: the secret before the current one.
const ROTATED: &str = "client.secret.rotated";
/// Attribute: when that was replaced.
const ROTATED_CREATED: &str = "client.secret.rotated.creation.time";
/// Attribute: its end.
const ROTATED_EXPIRES: &str = "client.secret.rotated.expiration.time";
/// What the names of our audience mappers begin with.
const AUDIENCE: &str = "appkeys-audience-";
/// Attribute: what logins must prove (RFC 7636): `S256`, `plain`, or nothing.
const PKCE: &str = "pkce.code.challenge.method";
/// Attribute: whether the public keys are in the next one.
const USE_KEYS: &str = "use.jwks.string";
/// Attribute: the public keys of a client that signs assertions (RFC 7517).
const KEYS: &str = "jwks.string";
/// How far ahead an end is set that another write will set right: a hundred years in seconds.
const FAR: i64 = 100 * 365 * 24 * 3600;
/// The longest text of a column (K8: longer ones are answered with a server error).
const LONGEST: usize = 255;
/// What comes before the client id in the name of its service account.
const SERVICE_ACCOUNT: &str = "service-account-";

/// A client as the server has it: what is read of it. Its secrets have no `Debug`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Representation {
    /// The server's own id of it.
    pub(super) id: String,
    /// The client id.
    pub(super) client_id: String,
    /// The current secret.
    #[serde(default)]
    pub(super) secret: Option<SecretString>,
    /// It has no secret: any is taken for right (no proof of whose it is).
    #[serde(default)]
    pub(super) public_client: bool,
    #[serde(default)]
    service_accounts_enabled: bool,
    #[serde(default)]
    authorization_services_enabled: bool,
    #[serde(default)]
    protocol_mappers: Vec<Value>,
    #[serde(default)]
    default_client_scopes: Vec<String>,
    #[serde(default)]
    optional_client_scopes: Vec<String>,
    #[serde(default)]
    attributes: BTreeMap<String, SecretString>,
    /// All other members.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

impl Representation {
    /// Whether it carries this mark.
    pub(super) fn is_marked(&self, mark: &Mark) -> bool {
        self.attribute(OWNER) == Some(owner(mark).as_str())
    }

    /// Whether it carries another mark than this one.
    pub(super) fn is_others(&self, mark: &Mark) -> bool {
        let owner = self.attribute(OWNER).filter(|owner| !owner.is_empty());
        owner.is_some() && !self.is_marked(mark)
    }

    /// Whether its current secret is this one.
    pub(super) fn has_secret(&self, secret: &SecretString) -> bool {
        self.secret
            .as_ref()
            .is_some_and(|own| own.expose_secret() == secret.expose_secret())
    }

    /// Whether a policy of the realm keeps the secret before the current one: only then has the current one an end.
    pub(super) fn keeps_two(&self) -> bool {
        self.attribute(EXPIRES).is_some_and(|end| !end.is_empty())
    }

    /// When the realm's policy ends the current secret.
    pub(super) fn secret_ends(&self) -> Option<Timestamp> {
        seconds(self.attribute(EXPIRES)?)
    }

    /// The end of the secret before the current one, where that has one.
    pub(super) fn rotated_ends(&self) -> Option<Timestamp> {
        self.attribute(ROTATED).filter(|secret| !secret.is_empty())?;
        seconds(self.attribute(ROTATED_EXPIRES)?)
    }

    /// Whether it may ask for tokens by client_credentials.
    pub(super) const fn has_client_credentials(&self) -> bool {
        self.service_accounts_enabled
    }

    /// Client scopes to take away and to add so that it has those of `properties`.
    pub(super) fn scope_changes(&self, properties: &Properties) -> scopes::Changes {
        let has = scopes::Scopes {
            optional: &self.optional_client_scopes,
            default: &self.default_client_scopes,
            given: self.attribute(DEFAULT_SCOPES).unwrap_or_default(),
        };
        scopes::changes(has, properties)
    }

    /// The public keys that its assertions are checked with.
    pub(super) fn keys(&self) -> Vec<PublicKey> {
        let set = self
            .attribute(KEYS)
            .and_then(|set| serde_json::from_str::<Value>(set).ok());
        let keys = set
            .as_ref()
            .and_then(|set| set["keys"].as_array())
            .into_iter()
            .flatten();
        keys.map(|jwk| PublicKey {
            id: jwk["kid"].as_str().unwrap_or_default().to_owned(),
            jwk: jwk.clone(),
        })
        .collect()
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(ExposeSecret::expose_secret)
    }
}

/// A public key as the server keeps it.
#[derive(Clone, Debug)]
pub(super) struct PublicKey {
    pub(super) id: String,
    jwk: Value,
}

/// The public part of a private key in PEM.
///
/// # Errors
/// `InvalidRequest`: it cannot be read.
pub(super) fn public_key(pem: &SecretString) -> Result<PublicKey, Error> {
    let invalid = |error: &dyn std::fmt::Display| Error::new(Category::InvalidRequest, error.to_string());
    let key = PrivateKey::from_pem(pem).map_err(|error| invalid(&error))?;
    Ok(PublicKey {
        id: key.id().to_owned(),
        jwk: serde_json::to_value(key.public()).map_err(|error| invalid(&error))?,
    })
}

/// The client with these public keys, and no others.
pub(super) fn with_keys(client: &Representation, keys: &[PublicKey]) -> Value {
    json!({ "clientId": client.client_id, "attributes": { (USE_KEYS): "true", (KEYS): key_set(keys) } })
}

fn key_set(keys: &[PublicKey]) -> String {
    let keys: Vec<_> = keys.iter().map(|key| &key.jwk).collect();
    json!({ "keys": keys }).to_string()
}

fn seconds(text: &str) -> Option<Timestamp> {
    Timestamp::from_second(text.parse().ok()?).ok()
}

/// The mark as the attribute has it: neither namespaces nor names have a slash.
fn owner(mark: &Mark) -> String {
    format!("{}/{}/{}", mark.cluster_id, mark.namespace, mark.name)
}

/// A client to make. Every switch is sent: a left-out `publicClient` throws the secret away (K1).
///
/// # Errors
/// `InvalidRequest` for what the server would answer with an error of its own.
pub(super) fn creation(client_id: &str, properties: &Properties, secret: &SecretString) -> Result<Value, Error> {
    let mut body = description(client_id, properties)?;
    match properties.authentication.credential() {
        CredentialKind::Secret => body["secret"] = json!(secret.expose_secret()),
        CredentialKind::PrivateKey => {
            body["attributes"][USE_KEYS] = json!("true");
            body["attributes"][KEYS] = json!(key_set(&[public_key(secret)?]));
        }
        CredentialKind::Nothing => {}
    }
    body["fullScopeAllowed"] = json!(false);
    // In a change these two are ignored (K4).
    body["defaultClientScopes"] = json!([&[BASIC.to_owned()], scopes::default(properties)].concat());
    body["optionalClientScopes"] = json!(properties.scopes);
    Ok(body)
}

/// The same for a client that is there: its secret stays, and what is not ours to decide is sent back as it is.
///
/// # Errors
/// As [`creation`].
pub(super) fn change(now: &Representation, properties: &Properties) -> Result<Value, Error> {
    let mut body = description(&now.client_id, properties)?;
    // The list takes the place of the one that is there: what others have put into it stays.
    let ours = |mapper: &&Value| mapper["name"].as_str().is_some_and(|name| name.starts_with(AUDIENCE));
    let others = now.protocol_mappers.iter().filter(|mapper| !ours(mapper)).cloned();
    body["protocolMappers"] = others.chain(audiences(&properties.resources)).collect();
    if now.authorization_services_enabled {
        // Left out it would be switched off (K3).
        body["authorizationServicesEnabled"] = json!(true);
    }
    Ok(body)
}

/// The members of a client that are not as these properties say, by name.
///
/// # Errors
/// As [`creation`].
pub(super) fn differences(now: &Representation, properties: &Properties) -> Result<Vec<String>, Error> {
    let wanted = description(&now.client_id, properties)?;
    let changes = now.scope_changes(properties);
    let mut differ = vec![];
    for (name, value) in wanted.as_object().into_iter().flatten() {
        let same = match name.as_str() {
            "clientId" => true,
            "publicClient" => value.as_bool() == Some(now.public_client),
            "serviceAccountsEnabled" => value.as_bool() == Some(now.service_accounts_enabled),
            "attributes" => {
                let wanted = value.as_object().into_iter().flatten();
                let other =
                    wanted.filter(|(name, value)| value.as_str() != Some(now.attribute(name).unwrap_or_default()));
                differ.extend(other.map(|(name, _)| format!("attribute {name}")));
                true
            }
            "protocolMappers" => {
                let ours = |mapper: &&Value| mapper["name"].as_str().is_some_and(|name| name.starts_with(AUDIENCE));
                let audience = |mapper: &Value| mapper["config"]["included.custom.audience"].clone();
                let has: Vec<_> = now.protocol_mappers.iter().filter(ours).map(audience).collect();
                let wanted: Vec<_> = value.as_array().into_iter().flatten().map(audience).collect();
                has.len() == wanted.len() && wanted.iter().all(|audience| has.contains(audience))
            }
            "redirectUris" | "webOrigins" => sorted(value) == now.others.get(name).map(sorted).unwrap_or_default(),
            _ => now.others.get(name).unwrap_or(&Value::Bool(false)) == value,
        };
        if !same {
            differ.push(name.clone());
        }
    }
    let scope = |(how, scope): &(Assignment, String), what: &str| format!("{how} client scope {scope} {what}");
    differ.extend(changes.gone.iter().map(|gone| scope(gone, "too many")));
    differ.extend(changes.new.iter().map(|new| scope(new, "missing")));
    Ok(differ)
}

fn sorted(list: &Value) -> Vec<String> {
    let mut texts: Vec<_> = list.as_array().into_iter().flatten().map(ToString::to_string).collect();
    texts.sort();
    texts
}

fn description(client_id: &str, properties: &Properties) -> Result<Value, Error> {
    let has = |grant| properties.grant_types.contains(&grant);
    let account = has(GrantType::ClientCredentials).then_some(SERVICE_ACCOUNT);
    let longest = LONGEST - account.map_or(0, str::len);
    if client_id.len() > longest {
        let text = format!("client id {client_id} is longer than {longest} characters");
        return Err(Error::new(Category::InvalidRequest, text));
    }
    let kind = properties.authentication.credential();
    let chosen = properties.vendor.pkce_method();
    let pkce = match properties.pkce {
        Some(pkce) if pkce.required && pkce.allow_plain && chosen == Some(PkceMethod::Plain) => "plain",
        Some(pkce) if pkce.required => "S256",
        _ => "",
    };
    let mark = &properties.mark;
    let name = format!("{} ({})", properties.display_name, properties.environment);
    let text = format!("ApplicationKey {}/{}, kept by Appkeys", mark.namespace, mark.name);
    let seconds = |life: Option<i64>| life.map(|seconds| seconds.to_string()).unwrap_or_default();
    let idle = seconds(properties.refresh_token_lifetime);
    Ok(json!({
        "clientId": client_id,
        "name": cut(&name),
        "description": cut(&text),
        "enabled": !properties.frozen,
        "protocol": "openid-connect",
        "publicClient": kind == CredentialKind::Nothing,
        "bearerOnly": false,
        "clientAuthenticatorType": if kind == CredentialKind::PrivateKey { "client-jwt" } else { "client-secret" },
        "serviceAccountsEnabled": has(GrantType::ClientCredentials),
        "standardFlowEnabled": has(GrantType::AuthorizationCode),
        "implicitFlowEnabled": false,
        "directAccessGrantsEnabled": false,
        "redirectUris": properties.redirect_uris,
        // The origins of its redirect URIs: apps in browsers ask for tokens from there.
        "webOrigins": if properties.redirect_uris.is_empty() { json!([]) } else { json!(["+"]) },
        "protocolMappers": audiences(&properties.resources),
        // Attributes merge key by key; an empty one goes. Without any the change can fail (K2).
        "attributes": {
            (OWNER): owner(mark),
            (LIFESPAN): seconds(properties.access_token_lifetime),
            (IDLE[0]): idle,
            (IDLE[1]): idle,
            (PKCE): pkce,
            (DEFAULT_SCOPES): scopes::default(properties).join(" "),
            (REFRESH): has(GrantType::RefreshToken).to_string(),
        },
    }))
}

/// A mapper for each resource: Keycloak ignores `resource` in a token request, so all of them are in `aud` of every token.
fn audiences(resources: &[String]) -> Vec<Value> {
    let mapper = |(number, resource): (usize, &String)| {
        json!({
            "name": format!("{AUDIENCE}{number}"),
            "protocol": "openid-connect",
            "protocolMapper": "oidc-audience-mapper",
            "config": {
                "included.custom.audience": resource,
                "access.token.claim": "true",
                "introspection.token.claim": "true",
                "id.token.claim": "false",
            },
        })
    };
    resources.iter().enumerate().map(mapper).collect()
}

/// A new secret in place of the current one, which ends at once.
pub(super) fn only_secret(client: &Representation, secret: &SecretString, now: Timestamp) -> Value {
    let mut body = json!({
        "clientId": client.client_id,
        "secret": secret.expose_secret(),
        "attributes": { (ROTATED): "", (ROTATED_CREATED): "", (ROTATED_EXPIRES): "" },
    });
    if client.keeps_two() {
        // The end of the secret before it must not be its own.
        body["attributes"][CREATED] = json!(now.as_second().to_string());
        body["attributes"][EXPIRES] = json!((now.as_second() + FAR).to_string());
    }
    body
}

/// A new secret beside the published one. Both ends are far ahead: the old one's is set when the new one is published.
pub(super) fn second_secret(
    client: &Representation,
    secret: &SecretString,
    published: &SecretString,
    now: Timestamp,
) -> Value {
    let (now, far) = (now.as_second().to_string(), (now.as_second() + FAR).to_string());
    json!({
        "clientId": client.client_id,
        "secret": secret.expose_secret(),
        "attributes": {
            (CREATED): now,
            (EXPIRES): far,
            (ROTATED): published.expose_secret(),
            (ROTATED_CREATED): now,
            (ROTATED_EXPIRES): far,
        },
    })
}

/// The end of the secret before the current one.
pub(super) fn rotated_end(client: &Representation, end: Timestamp) -> Value {
    json!({
        "clientId": client.client_id,
        "attributes": { (ROTATED_EXPIRES): end.as_second().to_string() },
    })
}

/// The longest beginning that fits a column.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}
