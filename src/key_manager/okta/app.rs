//! A client as Okta's Apps API writes it, and as we ask for it.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::{
    api::{ClientAuthentication, CredentialKind, GrantType},
    key_manager::{Category, Error, Mark, Properties, private_key::PrivateKey},
};

/// Member of `profile`: what is ours in it.
const OURS: &str = "appkeys";
/// What a change sends back as it was read. What is left out of it is lost (O8); all else is not ours to send.
const KEPT: [&str; 6] = [
    "accessibility",
    "credentials",
    "licensing",
    "profile",
    "settings",
    "visibility",
];
/// What means all of them in Okta's own policies.
const RESERVED: &str = "ALL_CLIENTS";
const CLIENT: &str = "/credentials/oauthClient";
const SETTINGS: &str = "/settings/oauthClient";

/// An app as the server has it. It never has a secret in it.
#[derive(Clone, Debug)]
pub(super) struct App(Value);

impl App {
    /// An app of OpenID Connect; `None` for any other.
    pub(super) fn read(mut value: Value) -> Option<Self> {
        let client = value.pointer_mut(CLIENT)?.as_object_mut()?;
        client.remove("client_secret");
        let app = Self(value);
        (!app.id().is_empty() && !app.client_id().is_empty()).then_some(app)
    }

    /// What paths name it by.
    pub(super) fn id(&self) -> &str {
        self.text("/id")
    }

    /// The client id.
    pub(super) fn client_id(&self) -> &str {
        self.text("/credentials/oauthClient/client_id")
    }

    /// Its name.
    pub(super) fn label(&self) -> &str {
        self.text("/label")
    }

    /// Whether its client may log in.
    pub(super) fn is_active(&self) -> bool {
        self.text("/status") == "ACTIVE"
    }

    /// Whether it was us who took that away: nobody may have a new token.
    pub(super) fn is_frozen(&self) -> bool {
        self.ours("frozen") == &Value::Bool(true)
    }

    /// Whether it carries this mark.
    pub(super) fn is_marked(&self, mark: &Mark) -> bool {
        self.ours("owner").as_str() == Some(owner(mark).as_str())
    }

    /// Whether it carries another mark than this one.
    pub(super) fn is_others(&self, mark: &Mark) -> bool {
        !self.ours("owner").is_null() && !self.is_marked(mark)
    }

    /// Ids of secrets that are ours although we did not make them: the client was adopted with them.
    pub(super) fn adopted(&self) -> Vec<&str> {
        let ids = self.ours("adopted").as_array();
        ids.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// What its client proves itself with.
    pub(super) fn kind(&self) -> CredentialKind {
        match self.text("/credentials/oauthClient/token_endpoint_auth_method") {
            "private_key_jwt" => CredentialKind::PrivateKey,
            "none" => CredentialKind::Nothing,
            _ => CredentialKind::Secret,
        }
    }

    /// What kind of app it is, which never changes.
    pub(super) fn type_(&self) -> &str {
        self.text("/settings/oauthClient/application_type")
    }

    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn ours(&self, member: &str) -> &Value {
        &self.0["profile"][OURS][member]
    }
}

/// The mark as the profile has it: neither namespaces nor names have a slash.
fn owner(mark: &Mark) -> String {
    format!("{}/{}/{}", mark.cluster_id, mark.namespace, mark.name)
}

/// The public part of a private key in PEM, and its id.
///
/// # Errors
/// `InvalidRequest`: it cannot be read.
pub(super) fn public_key(pem: &SecretString) -> Result<(String, Value), Error> {
    let invalid = |error: &dyn std::fmt::Display| Error::new(Category::InvalidRequest, error.to_string());
    let key = PrivateKey::from_pem(pem).map_err(|error| invalid(&error))?;
    let jwk = serde_json::to_value(key.public()).map_err(|error| invalid(&error))?;
    Ok((key.id().to_owned(), jwk))
}

/// The kind of app that a client with these properties is.
///
/// # Errors
/// `InvalidRequest` for what no kind of app can be.
pub(super) fn type_of(properties: &Properties) -> Result<&'static str, Error> {
    let has = |grant| properties.grant_types.contains(&grant);
    let public = properties.authentication == ClientAuthentication::None;
    match (has(GrantType::AuthorizationCode), public) {
        (true, true) => Ok("native"),
        (true, false) => Ok("web"),
        (false, false) if !has(GrantType::RefreshToken) => Ok("service"),
        (false, _) => {
            let text = "Okta gives refresh tokens, and clients without a credential, only to apps with logins: add AuthorizationCode to spec.grantTypes";
            Err(Error::new(Category::InvalidRequest, text))
        }
    }
}

/// An app to make, with this secret or the public part of this private key.
///
/// # Errors
/// `InvalidRequest` for an id that Okta does not take; as [`type_of`] and [`public_key`].
pub(super) fn creation(client_id: &str, properties: &Properties, credential: &SecretString) -> Result<Value, Error> {
    if !(6..=100).contains(&client_id.len()) || client_id == RESERVED {
        let text = format!(
            "Okta takes client ids of 6 to 100 characters, and not {RESERVED}: choose another spec.clientId than {client_id}"
        );
        return Err(Error::new(Category::InvalidRequest, text));
    }
    let mut body = json!({
        "name": "oidc_client",
        "signOnMode": "OPENID_CONNECT",
        "credentials": {"oauthClient": {"client_id": client_id, "autoKeyRotation": true}},
        "profile": {},
        "settings": {"oauthClient": {"consent_method": "TRUSTED"}},
        // It is no tile on anybody's dashboard.
        "visibility": {"autoSubmitToolbar": false, "hide": {"iOS": true, "web": true}},
    });
    describe(&mut body, client_id, properties)?;
    give(&mut body, properties.authentication.credential(), credential)?;
    Ok(body)
}

/// The same for an app that is there. Where what its client proves itself with is of another kind from now on, it needs one of
/// that kind: `credential`.
///
/// # Errors
/// As [`creation`].
pub(super) fn change(now: &App, properties: &Properties, credential: Option<&SecretString>) -> Result<Value, Error> {
    let kept = KEPT
        .iter()
        .filter_map(|member| Some(((*member).to_owned(), now.0.get(*member)?.clone())));
    let mut body = Value::Object(kept.collect());
    set(&mut body, &["name"], json!("oidc_client"));
    set(&mut body, &["signOnMode"], json!("OPENID_CONNECT"));
    // The rest of it is not ours to send.
    if let Some(credentials) = body.pointer_mut("/credentials").and_then(Value::as_object_mut) {
        credentials.retain(|name, _| name == "oauthClient");
    }
    describe(&mut body, label(now), properties)?;
    if let Some(credential) = credential {
        give(&mut body, properties.authentication.credential(), credential)?;
    }
    Ok(body)
}

/// The label that an app must have to be found again. One that was made by hand is found by its id, and keeps its own.
fn label(app: &App) -> &str {
    if app.id() == app.client_id() {
        app.label()
    } else {
        app.client_id()
    }
}

/// A change that adopts: the secret of this id is ours from now on.
pub(super) fn adopt(body: &mut Value, secret: Option<&str>) {
    if let Some(secret) = secret {
        set(body, &["profile", OURS, "adopted"], json!([secret]));
    }
}

/// All that we decide of an app, in the place of what is there.
fn describe(body: &mut Value, label: &str, properties: &Properties) -> Result<(), Error> {
    let has = |grant| properties.grant_types.contains(&grant);
    let all = [
        (GrantType::ClientCredentials, "client_credentials"),
        (GrantType::AuthorizationCode, "authorization_code"),
        (GrantType::RefreshToken, "refresh_token"),
    ];
    let grants: Vec<_> = all
        .into_iter()
        .filter(|(grant, _)| has(*grant))
        .map(|(_, name)| name)
        .collect();
    let method = match properties.authentication {
        ClientAuthentication::ClientSecretBasic => "client_secret_basic",
        ClientAuthentication::ClientSecretPost => "client_secret_post",
        ClientAuthentication::PrivateKeyJwt => "private_key_jwt",
        ClientAuthentication::None => "none",
    };
    let public = properties.authentication == ClientAuthentication::None;
    let pkce = properties.pkce.is_some_and(|pkce| pkce.required);
    let mark = &properties.mark;
    let note = format!(
        "ApplicationKey {}/{} of {} ({}), kept by Appkeys",
        mark.namespace, mark.name, properties.display_name, properties.environment
    );
    set(body, &["label"], json!(label));
    let response = if has(GrantType::AuthorizationCode) {
        "code"
    } else {
        "token"
    };
    for (member, value) in [
        ("token_endpoint_auth_method", json!(method)),
        ("pkce_required", json!(public || pkce)),
    ] {
        set(body, &["credentials", "oauthClient", member], value);
    }
    for (member, value) in [
        ("application_type", json!(type_of(properties)?)),
        ("grant_types", json!(grants)),
        ("response_types", json!([response])),
        ("redirect_uris", json!(properties.redirect_uris)),
        // Such tokens no program could use without a proof, and machines cannot have them (O24).
        ("dpop_bound_access_tokens", json!(false)),
    ] {
        set(body, &["settings", "oauthClient", member], value);
    }
    set(body, &["settings", "notes", "admin"], json!(note));
    set(body, &["profile", OURS, "owner"], json!(owner(mark)));
    set(body, &["profile", OURS, "frozen"], json!(properties.frozen));
    Ok(())
}

/// Sets a member of objects in objects, each made where it is missing or something else.
fn set(body: &mut Value, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *body = value;
        return;
    };
    if !body.is_object() {
        *body = json!({});
    }
    set(&mut body[*first], rest, value);
}

/// What the client is to prove itself with, and nothing of another kind.
fn give(body: &mut Value, kind: CredentialKind, credential: &SecretString) -> Result<(), Error> {
    if let Some(settings) = body.pointer_mut(SETTINGS).and_then(Value::as_object_mut) {
        settings.remove("jwks");
    }
    match kind {
        CredentialKind::Secret => set(
            body,
            &["credentials", "oauthClient", "client_secret"],
            json!(credential.expose_secret()),
        ),
        CredentialKind::PrivateKey => {
            let (_, jwk) = public_key(credential)?;
            set(body, &["settings", "oauthClient", "jwks"], json!({"keys": [jwk]}));
        }
        CredentialKind::Nothing => {}
    }
    Ok(())
}

/// The members of an app that are not as these properties say, by name.
///
/// # Errors
/// As [`creation`].
pub(super) fn differences(now: &App, properties: &Properties) -> Result<Vec<String>, Error> {
    const COMPARED: [&str; 8] = [
        "/label",
        "/credentials/oauthClient/token_endpoint_auth_method",
        "/credentials/oauthClient/pkce_required",
        "/settings/oauthClient/application_type",
        "/settings/oauthClient/grant_types",
        "/settings/oauthClient/response_types",
        "/settings/oauthClient/redirect_uris",
        "/settings/oauthClient/dpop_bound_access_tokens",
    ];
    let wanted = change(now, properties, None)?;
    let differs = |pointer: &&&str| sorted(wanted.pointer(pointer)) != sorted(now.0.pointer(pointer));
    let name = |pointer: &&str| pointer.rsplit('/').next().unwrap_or_default().to_owned();
    let mut differ: Vec<_> = COMPARED.iter().filter(differs).map(name).collect();
    if now.is_active() == properties.frozen {
        differ.push("status".to_owned());
    }
    Ok(differ)
}

/// A list as a set; what is left out is as if it were empty or off.
fn sorted(value: Option<&Value>) -> Value {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => json!([]),
        Some(Value::Array(list)) => {
            let mut list = list.clone();
            list.sort_by_key(Value::to_string);
            Value::Array(list)
        }
        Some(other) => other.clone(),
    }
}
