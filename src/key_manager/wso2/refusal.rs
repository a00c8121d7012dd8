//! What WSO2's refusals mean. Its codes are not unique (W3): status and code together say it, and the step that was refused.

use serde::Deserialize;

use crate::key_manager::{Category, Error, remote::Reply};

/// The body of a refusal, as much of it as is read.
#[derive(Deserialize)]
struct Body {
    code: i64,
    #[serde(default)]
    description: Option<String>,
}

/// WSO2's number for what was refused.
pub(super) fn code(reply: &Reply) -> Option<i64> {
    reply.try_json::<Body>().map(|body| body.code)
}

/// Whether this is WSO2's refusal with that status and code.
pub(super) fn is(reply: &Reply, status: u16, number: i64) -> bool {
    reply.status.as_u16() == status && code(reply) == Some(number)
}

/// The property that this version of WSO2 does not know (W1).
fn unknown_property(reply: &Reply) -> Option<String> {
    let text = reply.try_json::<Body>()?.description?;
    let (_, rest) = text.split_once("Unrecognized property '")?;
    let (name, _) = rest.split_once('\'')?;
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    plain.then(|| name.chars().take(64).collect())
}

/// What a refusal means, for people and for the plan.
pub(super) fn explain(step: &str, reply: &Reply) -> Error {
    let (status, code) = (reply.status.as_u16(), code(reply));
    let (category, why): (_, String) = match (status, code) {
        (403, Some(902_013)) => (
            Category::MissingPermission,
            "roles keep the operator's user from this key manager inside WSO2: whoever runs WSO2 can allow it".into(),
        ),
        (403, _) => (
            Category::MissingPermission,
            "the operator's user may not: the application is another user's, or its key cannot be read now".into(),
        ),
        (400, Some(900_305)) => (
            Category::InvalidRequest,
            "WSO2 has no throttling policy of this name for applications: see spec.wso2.throttlingPolicy of the Application or the key manager".into(),
        ),
        (400, Some(901_300)) => (
            Category::InvalidRequest,
            "WSO2 has no such tenant: see spec.wso2.tenant of the key manager".into(),
        ),
        (400, Some(901_403 | 901_406)) => (
            Category::InvalidRequest,
            "the key manager inside WSO2 is unknown there or disabled: see spec.wso2.keyManager of the key manager".into(),
        ),
        (400, Some(901_405)) => (
            Category::InvalidRequest,
            "this key manager inside WSO2 makes no clients: whoever runs WSO2 can switch that on".into(),
        ),
        (400, Some(901_407)) => (
            Category::InvalidRequest,
            "this key manager inside WSO2 asks for further properties: give them in spec.wso2.properties of the key".into(),
        ),
        (400, Some(900_970)) => (
            Category::InvalidRequest,
            "whoever runs WSO2 allows other values of a property only: see spec.lifetimes, spec.pkce and spec.wso2.properties of the key".into(),
        ),
        (400, Some(901_410)) => (
            Category::InvalidRequest,
            "WSO2 refuses a lifetime: see spec.lifetimes of the key".into(),
        ),
        (400, Some(900_309)) | (409, Some(900_553)) => (
            Category::PendingApproval,
            "an approval is open: an administrator of WSO2 has to decide".into(),
        ),
        (400, Some(902_003)) => (
            Category::InvalidRequest,
            "the key manager behind WSO2 refuses what it was asked for".into(),
        ),
        (409, _) => (
            Category::NotYet,
            "something of this name is there already and is not shown".into(),
        ),
        (404, _) => (
            Category::NotYet,
            "it is not there any more".into(),
        ),
        (500.., Some(_)) => (
            Category::NotYet,
            "WSO2 failed, or the key manager inside it: its log says more".into(),
        ),
        _ => {
            let unknown = unknown_property(reply);
            let why = unknown.map_or_else(
                || "WSO2 refuses it".to_owned(),
                |name| format!("this version of WSO2 does not know the property {name}"),
            );
            (Category::InvalidRequest, why)
        }
    };
    let number = code.map(|code| format!(" ({code})")).unwrap_or_default();
    Error::new(category, format!("{step}: WSO2 answers {status}{number}: {why}"))
}
