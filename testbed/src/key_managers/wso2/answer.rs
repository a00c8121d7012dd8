//! The one shape of errors (section 3 of the vendor's behaviour).

use serde_json::json;

use crate::key_managers::double::Answer;

/// What a handler gives: an answer, or early a refusal.
pub(super) type Outcome = Result<Answer, Answer>;

impl Answer {
    /// An error with a code of its own.
    pub(super) fn error(status: u16, code: u32, message: &str) -> Self {
        Self::described(status, code, message, message)
    }

    /// An error with a description.
    pub(super) fn described(status: u16, code: u32, message: &str, description: &str) -> Self {
        let body = json!({"code": code, "message": message, "description": description, "moreInfo": "", "error": []});
        Self::json(status, body)
    }

    /// 400 of an explicit check, whose code is the status.
    pub(super) fn bad(description: &str) -> Self {
        Self::described(400, 400, "Bad Request", description)
    }

    /// 401: no, wrong or old credentials, or a missing scope. Nothing tells which.
    pub(super) fn unauthenticated() -> Self {
        Self::described(401, 401, "", "Unauthenticated request")
    }

    /// 403: somebody else's application.
    pub(super) fn foreign(application: &str) -> Self {
        let text = format!("You don't have permission to access the application with Id {application}");
        Self::described(403, 403, "Forbidden", &text)
    }

    /// 404 of an application.
    pub(super) fn no_application(application: &str) -> Self {
        let text = format!("Requested application with Id '{application}' not found");
        Self::described(404, 404, "Not Found", &text)
    }

    /// 500 without a detail: explicit internal errors and null pointers.
    pub(super) fn internal() -> Self {
        let text = "The server encountered an internal error. Please contact administrator.";
        Self::described(500, 500, "Internal server error", text)
    }

    /// 500 of every failure without a code.
    pub(super) fn general() -> Self {
        Self::described(500, 900_967, "General Error", "Server Error Occurred")
    }
}
