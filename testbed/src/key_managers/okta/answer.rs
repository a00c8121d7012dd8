//! The bodies that Okta takes, and the errors of its management API.

use serde_json::{Value, json};

use crate::key_managers::double::{Answer, Ask};

impl Ask {
    /// The body as JSON; an empty one is null.
    pub(super) fn json(&self) -> Result<Value, Answer> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        // The status is Okta's own: an unsupported media type is not found.
        if !self
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/json"))
        {
            return Err(Answer::okta(404, "E0000012", "Unsupported media type", &[]));
        }
        let malformed = |_| Answer::okta(400, "E0000003", "The request body was not well-formed.", &[]);
        serde_json::from_slice(&self.body).map_err(malformed)
    }
}

impl Answer {
    /// An error of the management API.
    pub(super) fn okta(status: u16, code: &str, summary: &str, causes: &[String]) -> Self {
        let causes: Vec<_> = causes.iter().map(|cause| json!({"errorSummary": cause})).collect();
        let id = format!("oae{}", uuid::Uuid::new_v4().simple());
        Self::json(
            status,
            json!({
                "errorCode": code, "errorSummary": summary, "errorLink": code, "errorId": id,
                "errorCauses": causes,
            }),
        )
    }

    /// What is asked for is not valid: `field` and why.
    pub(super) fn invalid(field: &str, causes: &[String]) -> Self {
        Self::okta(400, "E0000001", &format!("Api validation failed: {field}"), causes)
    }

    /// There is no such thing.
    pub(super) fn not_found(id: &str, kind: &str) -> Self {
        let summary = format!("Not found: Resource not found: {id} ({kind})");
        Self::okta(404, "E0000007", &summary, &[])
    }
}
