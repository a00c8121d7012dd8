//! What a refusal of Okta's management API means, in words for people: its code and the id by which Okta's own log has it, and never
//! its texts, which may quote what was sent.

use http::{StatusCode, header};
use serde::Deserialize;

use crate::key_manager::{Category, Error, remote::Reply};

/// The error object of the management API; other members are for people.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Refusal {
    error_code: String,
    error_causes: Vec<Cause>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Cause {
    error_summary: String,
}

/// Whether an answer says that the object is not there, and not that the path or the server is another one.
pub(super) fn is_absent(reply: &Reply) -> bool {
    reply.status == StatusCode::NOT_FOUND && read(reply).error_code == "E0000007"
}

/// Whether it says that there is another app with this label or client id: the texts of the one are known, and of the other not.
pub(super) fn is_taken(reply: &Reply) -> bool {
    let refusal = read(reply);
    let said = |cause: &Cause| cause.error_summary.contains("already exists");
    refusal.error_code == "E0000040" || refusal.error_code == "E0000001" && refusal.error_causes.iter().any(said)
}

fn read(reply: &Reply) -> Refusal {
    reply.try_json().unwrap_or_default()
}

/// Code and id of a refusal, as texts have them: "E0000001, error id oae…".
pub(super) fn id(reply: &Reply) -> String {
    let code = reply.error_word();
    let code = code.unwrap_or_else(|| format!("status {}", reply.status.as_u16()));
    let id = reply.word("errorId").map(|id| format!(", error id {id}"));
    code + &id.unwrap_or_default()
}

/// What an answer that is no success means; `step` says what was tried.
pub(super) fn error(step: &str, reply: &Reply) -> Error {
    let id = id(reply);
    let lacks_scope = || {
        let said = reply.headers.get(header::WWW_AUTHENTICATE);
        said.and_then(|said| said.to_str().ok())
            .is_some_and(|said| said.contains("insufficient_scope"))
    };
    let (category, text) = match reply.status {
        StatusCode::FORBIDDEN if lacks_scope() => (
            Category::MissingPermission,
            format!(
                "the operator's app has not the scope for it ({id}): a super administrator grants okta.apps.manage and okta.apps.read (Applications, the app, Okta API Scopes)"
            ),
        ),
        StatusCode::FORBIDDEN => (
            Category::MissingPermission,
            format!(
                "the operator may not ({id}): give its app, or the administrator whose API token it has, an admin role that manages applications"
            ),
        ),
        StatusCode::CONFLICT => (
            Category::NotYet,
            format!("somebody else changes the app at the same time ({id})"),
        ),
        StatusCode::NOT_FOUND => (
            Category::InvalidRequest,
            format!("there is no Okta API at this URL ({id}): see spec.okta.url"),
        ),
        _ => (Category::InvalidRequest, format!("Okta refuses it ({id})")),
    };
    Error::new(category, format!("{step}: {text}"))
}
