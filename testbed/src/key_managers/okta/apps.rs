//! The Apps API: apps themselves.

use data_encoding::BASE32_NOPAD;
use serde_json::{Value, json};

use super::{
    app::{App, Key, Secret, new_id},
    draft,
    org::Org,
};
use crate::key_managers::double::{Answer, Ask};

/// `GET /api/v1/apps`
pub(super) fn list(org: &mut Org, ask: &Ask) -> Result<Answer, Answer> {
    let limit = match ask.query("limit").map(str::parse) {
        None => 20,
        Some(Ok(limit @ 1..=200)) => limit,
        Some(_) => return Err(Answer::invalid("limit", &["limit: must be from 1 to 200".to_owned()])),
    };
    let filter = ask.query("filter").map(Filter::read).transpose()?;
    // Unless asked otherwise, what is not active is not listed.
    let active_only = ask.query("includeNonDeleted") != Some("true") && filter.is_none();
    let start = match ask.query("after") {
        None => 0,
        Some(cursor) => {
            let unknown = || Answer::invalid("after", &["after: not a cursor of this list".to_owned()]);
            let last = org.cursors.get(cursor).ok_or_else(unknown)?;
            org.apps
                .iter()
                .position(|app| app.id == *last)
                .map_or(0, |place| place + 1)
        }
    };
    let prefix = ask.query("q").unwrap_or_default().to_lowercase();
    let base = org.base.clone();
    let (mut found, mut more) = (vec![], false);
    for app in &mut org.apps[start..] {
        // The start of the label *or of the name*, which all apps of this kind have in common.
        let named = app.label.to_lowercase().starts_with(&prefix) || "oidc_client".starts_with(&prefix);
        let wanted = named && (app.active || !active_only) && filter.as_ref().is_none_or(|filter| filter.fits(app));
        if !wanted || app.flaps() {
            continue;
        }
        more = found.len() == limit;
        if more {
            break;
        }
        found.push((app.id.clone(), app.json(&base, None)));
    }
    let mut addresses = vec![format!("<{}>; rel=\"self\"", address(org, ask, None))];
    if let (true, Some((last, _))) = (more, found.last()) {
        let cursor = BASE32_NOPAD.encode(uuid::Uuid::new_v4().as_bytes());
        addresses.push(format!("<{}>; rel=\"next\"", address(org, ask, Some(&cursor))));
        org.cursors.insert(cursor, last.clone());
    }
    let apps: Vec<_> = found.into_iter().map(|(_, app)| app).collect();
    let answer = Answer::json(200, Value::Array(apps));
    // A header for each, and not one with both.
    Ok(addresses
        .into_iter()
        .fold(answer, |answer, link| answer.with("link", link)))
}

fn address(org: &Org, ask: &Ask, cursor: Option<&str>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let kept = ask.query.iter().filter(|(name, _)| cursor.is_none() || name != "after");
    query.extend_pairs(kept);
    if let Some(cursor) = cursor {
        query.append_pair("after", cursor);
    }
    format!("{}{}?{}", org.base, ask.path, query.finish())
}

/// `status eq "ACTIVE"` and the like.
struct Filter {
    property: String,
    value: String,
}

impl Filter {
    fn read(text: &str) -> Result<Self, Answer> {
        let parts = text
            .split_once(" eq ")
            .map(|(property, value)| (property.trim(), value.trim().trim_matches('"')));
        match parts {
            Some((property @ ("id" | "status" | "name"), value)) => Ok(Self {
                property: property.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err(Answer::okta(400, "E0000031", "Invalid search criteria.", &[])),
        }
    }

    fn fits(&self, app: &App) -> bool {
        let value = match self.property.as_str() {
            "id" => app.id.as_str(),
            "status" => super::app::status(app.active),
            _ => "oidc_client",
        };
        self.value == value
    }
}

/// `POST /api/v1/apps`
pub(super) fn create(org: &mut Org, ask: &Ask) -> Result<Answer, Answer> {
    let draft = draft::read(&ask.json()?)?;
    let active = ask.query("activate") != Some("false");
    if active {
        org.label_taken(&draft.label, "")?;
    }
    if let Some(id) = &draft.client_id
        && org.client(id).is_some()
    {
        // What Okta says here is not known.
        let cause = format!("client_id: A client with the client id \"{id}\" already exists.");
        return Err(Answer::invalid("client_id", &[cause]));
    }
    let (id, now, late) = (new_id("0oa"), org.now(), org.modes.late_credentials);
    let mut app = App {
        client_id: draft.client_id.unwrap_or_else(|| id.clone()),
        id,
        label: draft.label,
        active,
        profile: draft.profile,
        auth_method: draft.auth_method,
        pkce_required: draft.pkce_required,
        settings: draft.settings,
        secrets: vec![],
        keys: draft.keys.into_iter().map(|key| Key::new(key, now, late)).collect(),
        created: now,
        updated: now,
        reads: 0,
        young_reads: org.modes.young_reads,
        grants: [].into(),
    };
    if app.has_secret() {
        let value = draft.client_secret.unwrap_or_else(Secret::random);
        app.secrets.push(Secret::new(value, true, now, late));
    }
    let shown = shown_secret(org, &app);
    let answer = Answer::json(200, app.json(&org.base, shown.as_deref()));
    org.apps.push(app);
    Ok(answer)
}

/// `GET /api/v1/apps/{appId}`: without the secret, which create and replace show.
pub(super) fn get(org: &mut Org, id: &str) -> Result<Answer, Answer> {
    let base = org.base.clone();
    Ok(Answer::json(200, org.app(id)?.json(&base, None)))
}

/// `PUT /api/v1/apps/{appId}`: what is left out is gone.
pub(super) fn replace(org: &mut Org, ask: &Ask, id: &str) -> Result<Answer, Answer> {
    let before = org.app(id)?.clone();
    let mut body = ask.json()?;
    // Assigned by the system, so ignored; as are the id, the status and the times.
    body["name"] = json!("oidc_client");
    let draft = draft::read(&body)?;
    if before.active {
        org.label_taken(&draft.label, id)?;
    }
    let immutable = |field: &str| {
        let cause = format!("{field}: '{field}' can't be changed.");
        Err(Answer::invalid(field, &[cause]))
    };
    if draft.client_id.is_some_and(|id| id != before.client_id) {
        return immutable("client_id");
    }
    if draft.settings.get("application_type") != before.settings.get("application_type") {
        return immutable("application_type");
    }
    let (now, late) = (org.now(), org.modes.late_credentials);
    let app = org
        .apps
        .iter_mut()
        .find(|app| app.id == id)
        .ok_or_else(|| Answer::not_found(id, "AppInstance"))?;
    app.label = draft.label;
    app.profile = draft.profile;
    app.auth_method = draft.auth_method;
    app.pkce_required = draft.pkce_required;
    app.settings = draft.settings;
    app.updated = now;
    app.keys = replaced_keys(&before, draft.keys, now, late);
    if !app.has_secret() {
        app.secrets.clear();
    } else if app.secrets.is_empty() {
        let value = draft.client_secret.unwrap_or_else(Secret::random);
        app.secrets.push(Secret::new(value, true, now, late));
    } else if let Some(value) = draft.client_secret
        && !app.secrets.iter().any(|secret| secret.value == value)
        && let Some(newest) = app.secrets.iter_mut().rfind(|secret| secret.active)
    {
        // In place, and without overlap.
        newest.value = value;
        newest.updated = now;
    }
    let app = app.clone();
    let shown = shown_secret(org, &app);
    Ok(Answer::json(200, app.json(&org.base, shown.as_deref())))
}

/// The keys of the new body. One that was there before is the same still.
fn replaced_keys(before: &App, keys: Vec<Value>, now: i64, late: u32) -> Vec<Key> {
    let same = |key: &Value| {
        before
            .keys
            .iter()
            .find(|old| old.jwk["kid"] == key["kid"] && old.jwk["n"] == key["n"] && old.jwk["x"] == key["x"])
    };
    let kept = |key: Value| match same(&key) {
        Some(old) => Key {
            active: key["status"] != "INACTIVE",
            ..old.clone()
        },
        None => Key::new(key, now, late),
    };
    keys.into_iter().map(kept).collect()
}

/// The secret that answers to create and replace show.
fn shown_secret(org: &Org, app: &App) -> Option<String> {
    let newest = app.secrets.iter().rfind(|secret| secret.active)?;
    (!org.modes.secrets_hidden).then(|| newest.value.clone())
}

/// `POST /api/v1/apps/{appId}/lifecycle/...`
pub(super) fn turn(org: &mut Org, id: &str, active: bool) -> Result<Answer, Answer> {
    let (label, was) = {
        let app = org.app(id)?;
        (app.label.clone(), app.active)
    };
    if was == active && org.modes.strict_lifecycle {
        return Err(Answer::okta(
            403,
            "E0000143",
            "App instance operation not allowed.",
            &[],
        ));
    }
    if active {
        org.label_taken(&label, id)?;
    }
    let now = org.now();
    for app in org.apps.iter_mut().filter(|app| app.id == id) {
        app.active = active;
        app.updated = now;
    }
    Ok(Answer::empty(200))
}

/// `DELETE /api/v1/apps/{appId}`
pub(super) fn delete(org: &mut Org, id: &str) -> Result<Answer, Answer> {
    if org.app(id)?.active {
        return Err(Answer::okta(403, "E0000056", "Delete application forbidden.", &[]));
    }
    org.apps.retain(|app| app.id != id);
    Ok(Answer::empty(204))
}
