//! Answers, and the one shape of errors (section 3 of the vendor's behaviour).

use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::{Value, json};

/// An answer. Refusals are answers as well.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
}

/// What a handler gives: an answer, or early a refusal.
pub(super) type Outcome = Result<Answer, Answer>;

impl Answer {
    /// With a body.
    pub(super) fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: vec![],
            body: Some(body),
        }
    }

    /// Without a body.
    pub(super) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: vec![],
            body: None,
        }
    }

    /// The same with a header.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

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

    /// An error of the token endpoint (RFC 6749 section 5.2).
    pub(super) fn oauth(status: u16, error: &str, description: &str) -> Self {
        Self::json(status, json!({"error": error, "error_description": description}))
    }

    /// As it goes over the wire.
    pub(super) fn response(&self) -> Response<Bytes> {
        let body = self.body.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if self.body.is_some() {
            let json = header::HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
        }
        for (name, value) in &self.headers {
            if let Ok(value) = value.parse() {
                response.headers_mut().insert(*name, value);
            }
        }
        response
    }
}
