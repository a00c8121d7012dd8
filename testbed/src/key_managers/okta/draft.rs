//! The body that makes or replaces an app, and what is wrong with it.

use serde_json::{Map, Value, json};

use crate::key_managers::double::Answer;

/// Grants that an app of each type may have; the first of a list is one that it must have.
const GRANTS: [(&str, bool, &[&str]); 4] = [
    (
        "service",
        false,
        &["client_credentials", SAML, TOKEN_EXCHANGE, JWT_BEARER],
    ),
    (
        "web",
        true,
        &[
            "authorization_code",
            "implicit",
            "refresh_token",
            "client_credentials",
            SAML,
            TOKEN_EXCHANGE,
        ],
    ),
    (
        "native",
        true,
        &[
            "authorization_code",
            "implicit",
            "password",
            "refresh_token",
            SAML,
            TOKEN_EXCHANGE,
        ],
    ),
    (
        "browser",
        false,
        &["authorization_code", "implicit", "refresh_token", SAML, TOKEN_EXCHANGE],
    ),
];
const SAML: &str = "urn:ietf:params:oauth:grant-type:saml2-bearer";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const METHODS: [&str; 5] = [
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "none",
];
/// At most so many keys.
pub(super) const KEYS: usize = 50;

/// A body that is good.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) label: String,
    pub(super) profile: Option<Value>,
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<String>,
    pub(super) auth_method: String,
    pub(super) pkce_required: bool,
    pub(super) settings: Map<String, Value>,
    pub(super) keys: Vec<Value>,
}

/// Reads a body.
pub(super) fn read(body: &Value) -> Result<Draft, Answer> {
    let mut causes = vec![];
    let mut wrong = |field: &str, why: &str| causes.push(format!("{field}: {why}"));
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);

    let label = text(&body["label"]);
    if label.is_none() {
        wrong("label", "The field cannot be left blank");
    }
    if body["signOnMode"] != "OPENID_CONNECT" {
        wrong("signOnMode", "The double serves OPENID_CONNECT only");
    }
    if body["name"] != "oidc_client" {
        wrong("name", "The field must be 'oidc_client'");
    }
    if !(body["profile"].is_null() || body["profile"].is_object()) {
        wrong("profile", "The field must be an object");
    }
    let credentials = &body["credentials"]["oauthClient"];
    let mut settings = match &body["settings"]["oauthClient"] {
        Value::Object(settings) => settings.clone(),
        _ => Map::new(),
    };
    let method = text(&credentials["token_endpoint_auth_method"]).unwrap_or_else(|| METHODS[0].to_owned());
    if !METHODS.contains(&method.as_str()) {
        wrong("token_endpoint_auth_method", "Invalid value");
    }
    let client_id = text(&credentials["client_id"]);
    if let Some(id) = &client_id
        && let Err(why) = check_id(id)
    {
        wrong("client_id", &why);
    }
    let client_secret = text(&credentials["client_secret"]);
    if let Some(secret) = &client_secret
        && let Err(why) = check_secret(secret, &method)
    {
        wrong("client_secret", &why);
    }
    let keys = keys(&mut settings);
    if keys.is_empty() && settings.get("jwks_uri").is_none() && method == "private_key_jwt" {
        wrong("jwks", "'jwks' or 'jwks_uri' is required with 'private_key_jwt'");
    }
    if let Err(why) = check_keys(&keys) {
        wrong("jwks", &why);
    }
    let kind = client(&mut settings, &mut wrong);
    let public = matches!(kind.as_str(), "browser" | "native");
    let pkce_required = credentials["pkce_required"]
        .as_bool()
        .unwrap_or(public || method == "none");
    if method == "none" && !pkce_required {
        wrong(
            "pkce_required",
            "'pkce_required' must be true when 'token_endpoint_auth_method' is 'none'",
        );
    }
    match (label, causes.first()) {
        (Some(label), None) => Ok(Draft {
            label,
            profile: Some(body["profile"].clone()).filter(Value::is_object),
            client_id,
            client_secret,
            auth_method: method,
            pkce_required,
            settings,
            keys,
        }),
        (_, first) => {
            let field = first
                .and_then(|cause| cause.split(':').next())
                .unwrap_or("label")
                .to_owned();
            Err(Answer::invalid(&field, &causes))
        }
    }
}

/// A chosen client id.
fn check_id(id: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "$-_.+!*'(),".contains(c);
    if !(6..=100).contains(&id.len()) {
        Err("'client_id' must be from 6 to 100 characters long".to_owned())
    } else if !id.chars().all(allowed) {
        Err("'client_id' has a character that is not allowed".to_owned())
    } else if id == "ALL_CLIENTS" {
        Err("'client_id' is a reserved word".to_owned())
    } else {
        Ok(())
    }
}

/// A chosen secret.
pub(super) fn check_secret(secret: &str, method: &str) -> Result<(), String> {
    if secret.len() > 100 {
        Err("'client_secret' can't be more than '100' characters long.".to_owned())
    } else if secret.len() < 14 {
        Err("'client_secret' must be at least '14' characters long.".to_owned())
    } else if method == "client_secret_jwt" && secret.len() < 32 {
        let when = "when 'token_endpoint_auth_method' is 'client_secret_jwt'.";
        Err(format!("'client_secret' must be at least '32' characters long {when}"))
    } else if !secret.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        Err("'client_secret' must be of printable ASCII characters.".to_owned())
    } else if !method.starts_with("client_secret") {
        Err(format!(
            "'client_secret' is not allowed when 'token_endpoint_auth_method' is '{method}'."
        ))
    } else {
        Ok(())
    }
}

/// Takes the keys out of the settings.
fn keys(settings: &mut Map<String, Value>) -> Vec<Value> {
    match settings.remove("jwks") {
        Some(mut jwks) => jwks["keys"].as_array_mut().map(std::mem::take).unwrap_or_default(),
        None => vec![],
    }
}

/// All keys of an app together.
pub(super) fn check_keys(keys: &[Value]) -> Result<(), String> {
    let unnamed = keys.iter().any(|key| key["kid"].is_null());
    if keys.len() > KEYS {
        return Err(format!("There can be no more than {KEYS} keys."));
    }
    if keys.len() > 1 && unnamed {
        return Err("Each key should have a unique kid when adding multiple keys.".to_owned());
    }
    for (number, key) in keys.iter().enumerate() {
        if keys[..number].iter().any(|other| other["kid"] == key["kid"]) {
            return Err("All keys in the 'jwks' must have a unique `kid`.".to_owned());
        }
        let parsed = serde_json::from_value::<jsonwebtoken::jwk::Jwk>(key.clone());
        if parsed.is_err() || key.get("d").is_some() {
            return Err("The key is not a public JSON Web Key.".to_owned());
        }
        // Base64url of 256 bytes has 342 characters.
        if key["kty"] == "RSA" && key["n"].as_str().is_none_or(|n| n.len() < 342) {
            return Err("RSA key length in the 'jwks' is less than '2,048' bits for the given key.".to_owned());
        }
    }
    Ok(())
}

/// Checks `settings.oauthClient` and adds what is left out. Gives the application type.
fn client(settings: &mut Map<String, Value>, wrong: &mut impl FnMut(&str, &str)) -> String {
    let list = |settings: &Map<String, Value>, name: &str| -> Vec<String> {
        let list = settings.get(name).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let kind = settings
        .get("application_type")
        .and_then(Value::as_str)
        .unwrap_or("web")
        .to_owned();
    let grants = list(settings, "grant_types");
    if grants.is_empty() {
        wrong("grant_types", "The field cannot be left blank");
    }
    match GRANTS.iter().find(|(name, ..)| *name == kind) {
        Some((_, must, allowed)) => {
            for grant in grants.iter().filter(|grant| !allowed.contains(&grant.as_str())) {
                wrong(
                    "grant_types",
                    &format!("'{grant}' is not allowed for 'application_type' '{kind}'"),
                );
            }
            if *must && !grants.iter().any(|grant| grant == allowed[0]) {
                wrong(
                    "grant_types",
                    &format!("'{}' is required for 'application_type' '{kind}'", allowed[0]),
                );
            }
        }
        None => wrong("application_type", "Invalid value"),
    }
    let redirects = list(settings, "redirect_uris");
    let for_users = grants
        .iter()
        .any(|grant| matches!(grant.as_str(), "authorization_code" | "implicit"));
    if for_users && redirects.is_empty() {
        wrong(
            "redirect_uris",
            "At least one redirect URI is required for these grant types",
        );
    }
    for uri in &redirects {
        if url::Url::parse(uri).map_or(true, |uri| uri.fragment().is_some()) {
            wrong("redirect_uris", "Each must be an absolute URI without a fragment");
        }
    }
    let dpop = settings.get("dpop_bound_access_tokens") == Some(&json!(true));
    if dpop && grants.iter().any(|grant| grant == "client_credentials") {
        wrong(
            "dpop_bound_access_tokens",
            "'client_credentials' is not allowed with DPoP-bound tokens",
        );
    }
    let response = if for_users { "code" } else { "token" };
    for (name, value) in [
        ("application_type", json!(kind)),
        ("response_types", json!([response])),
        ("consent_method", json!("TRUSTED")),
        ("issuer_mode", json!("DYNAMIC")),
        ("idp_initiated_login", json!({"mode": "DISABLED", "default_scope": []})),
        ("wildcard_redirect", json!("DISABLED")),
        ("dpop_bound_access_tokens", json!(false)),
    ] {
        settings.entry(name).or_insert(value);
    }
    if for_users && !list(settings, "response_types").iter().any(|one| one == response) {
        wrong("response_types", "'code' is required for 'authorization_code'");
    }
    kind
}
