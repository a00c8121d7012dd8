//! The Apps API: secrets and keys of an app.

use serde_json::{Value, json};

use super::{
    KeyList,
    app::{App, Key, Secret},
    draft::{self, check_secret},
    org::Org,
};
use crate::key_managers::double::{Answer, Ask};

const SECRETS: usize = 2;

fn refused(kind: &str, cause: &str) -> Answer {
    Answer::invalid(kind, &[cause.to_owned()])
}

fn secret_refused(cause: &str) -> Answer {
    refused("OAuth2ClientSecretMediated", cause)
}

fn key_refused(cause: &str) -> Answer {
    refused("JsonWebKey", cause)
}

fn secret<'a>(app: &'a mut App, id: &str) -> Result<&'a mut Secret, Answer> {
    let found = app.secrets.iter_mut().find(|secret| secret.id == id);
    found.ok_or_else(|| Answer::not_found(id, "OAuth2ClientSecretMediated"))
}

fn key<'a>(app: &'a mut App, id: &str) -> Result<&'a mut Key, Answer> {
    let found = app.keys.iter_mut().find(|key| key.id == id);
    found.ok_or_else(|| Answer::not_found(id, "JsonWebKey"))
}

/// `GET .../credentials/secrets`
pub(super) fn list_secrets(org: &mut Org, app: &str) -> Result<Answer, Answer> {
    let (base, shown) = (org.base.clone(), !org.modes.secrets_hidden);
    let app = org.app(app)?;
    let list = app.secrets.iter().map(|secret| secret.json(&base, &app.id, shown));
    Ok(Answer::json(200, list.collect()))
}

/// `GET .../credentials/secrets/{secretId}`
pub(super) fn get_secret(org: &mut Org, app: &str, id: &str) -> Result<Answer, Answer> {
    let (base, shown) = (org.base.clone(), !org.modes.secrets_hidden);
    Ok(Answer::json(200, secret(org.app(app)?, id)?.json(&base, app, shown)))
}

/// `POST .../credentials/secrets`
pub(super) fn add_secret(org: &mut Org, ask: &Ask, app: &str) -> Result<Answer, Answer> {
    let (base, now, late) = (org.base.clone(), org.now(), org.modes.late_credentials);
    let app = org.app(app)?;
    let body = ask.json()?;
    if !app.has_secret() {
        let method = &app.auth_method;
        let cause = format!("A client secret can't be added when 'token_endpoint_auth_method' is '{method}'.");
        return Err(secret_refused(&cause));
    }
    let value = match &body["client_secret"] {
        Value::Null => Secret::random(),
        Value::String(value) => value.clone(),
        _ => {
            return Err(Answer::okta(
                400,
                "E0000003",
                "The request body was not well-formed.",
                &[],
            ));
        }
    };
    check_secret(&value, &app.auth_method).map_err(|why| refused("client_secret", &format!("client_secret: {why}")))?;
    // Inactive ones count.
    if app.secrets.len() >= SECRETS {
        return Err(secret_refused(
            "You've reached the maximum number of client secrets per client.",
        ));
    }
    let secret = Secret::new(value, body["status"] != "INACTIVE", now, late);
    let answer = Answer::json(201, secret.json(&base, &app.id, true));
    app.secrets.push(secret);
    Ok(answer)
}

/// `POST .../credentials/secrets/{secretId}/lifecycle/...`
pub(super) fn turn_secret(org: &mut Org, app: &str, id: &str, active: bool) -> Result<Answer, Answer> {
    let (base, now, shown) = (org.base.clone(), org.now(), !org.modes.secrets_hidden);
    let app = org.app(app)?;
    let others = app.secrets.iter().any(|secret| secret.active && secret.id != id);
    let secret = secret(app, id)?;
    if !active && secret.active && !others {
        return Err(secret_refused("You can't deactivate the only active client secret."));
    }
    secret.active = active;
    secret.updated = now;
    let secret = secret.clone();
    Ok(Answer::json(200, secret.json(&base, &app.id, shown)))
}

/// `DELETE .../credentials/secrets/{secretId}`
pub(super) fn delete_secret(org: &mut Org, app: &str, id: &str) -> Result<Answer, Answer> {
    let app = org.app(app)?;
    if secret(app, id)?.active {
        let cause = "You can't delete an active client secret. Deactivate the secret before deleting it.";
        return Err(secret_refused(cause));
    }
    app.secrets.retain(|secret| secret.id != id);
    Ok(Answer::empty(204))
}

/// `GET .../credentials/jwks`
pub(super) fn list_keys(org: &mut Org, app: &str) -> Result<Answer, Answer> {
    let (base, form) = (org.base.clone(), org.modes.key_list);
    let app = org.app(app)?;
    let list: Vec<_> = app.keys.iter().map(|key| key.json(&base, &app.id)).collect();
    let list = match form {
        KeyList::Keys => json!({"keys": list}),
        KeyList::Array => json!(list),
        KeyList::Wrapped => json!({"jwks": {"keys": list}}),
    };
    Ok(Answer::json(200, list))
}

/// `GET .../credentials/jwks/{keyId}`
pub(super) fn get_key(org: &mut Org, app: &str, id: &str) -> Result<Answer, Answer> {
    let base = org.base.clone();
    Ok(Answer::json(200, key(org.app(app)?, id)?.json(&base, app)))
}

/// `POST .../credentials/jwks`
pub(super) fn add_key(org: &mut Org, ask: &Ask, app: &str) -> Result<Answer, Answer> {
    let (base, now, late) = (org.base.clone(), org.now(), org.modes.late_credentials);
    let app = org.app(app)?;
    let new = ask.json()?;
    let mut keys: Vec<_> = app.keys.iter().map(|key| key.jwk.clone()).collect();
    keys.push(new.clone());
    draft::check_keys(&keys).map_err(|why| key_refused(&why))?;
    // Where the keys are at the client's own address, saved ones have no place.
    app.settings.remove("jwks_uri");
    let key = Key::new(new, now, late);
    let answer = Answer::json(201, key.json(&base, &app.id));
    app.keys.push(key);
    Ok(answer)
}

/// `POST .../credentials/jwks/{keyId}/lifecycle/...`
pub(super) fn turn_key(org: &mut Org, app: &str, id: &str, active: bool) -> Result<Answer, Answer> {
    let (base, now) = (org.base.clone(), org.now());
    let app = org.app(app)?;
    let others = app.keys.iter().any(|key| key.active && key.id != id);
    let by_key = app.auth_method == "private_key_jwt";
    let key = key(app, id)?;
    if !active && key.active && by_key && !others {
        let when = "when the value for `token_endpoint_auth_method` is `private_key_jwt`.";
        return Err(key_refused(&format!(
            "Can't deactivate the only active JSON Web Key {when}"
        )));
    }
    key.active = active;
    key.updated = now;
    let key = key.clone();
    Ok(Answer::json(200, key.json(&base, &app.id)))
}

/// `DELETE .../credentials/jwks/{keyId}`
pub(super) fn delete_key(org: &mut Org, app: &str, id: &str) -> Result<Answer, Answer> {
    let app = org.app(app)?;
    if key(app, id)?.active {
        let cause = "You can't delete an active JSON Web Key. Deactivate the key before deleting it.";
        return Err(key_refused(cause));
    }
    app.keys.retain(|key| key.id != id);
    Ok(Answer::empty(204))
}
