//! What is asked and what is answered, with both shapes of Okta's errors.

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::openapi::Exchange;

/// A request.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) method: String,
    /// Without the query.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Ask {
    /// A header, if it is there and a text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A parameter of the query.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }

    /// The body as a form.
    pub(super) fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }

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

/// The first value of a name.
pub(super) fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = pairs.iter().find(|(given, _)| given == name);
    found.map(|(_, value)| value.as_str())
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
}

impl Answer {
    /// One with a body.
    pub(super) fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: vec![],
            body: Some(body),
        }
    }

    /// One without.
    pub(super) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: vec![],
            body: None,
        }
    }

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

    /// An error of the OAuth endpoints.
    pub(super) fn oauth(status: u16, error: &str, description: &str) -> Self {
        Self::json(status, json!({"error": error, "error_description": description}))
    }

    /// For the record. `uri` is what was asked for, with the query.
    pub(super) fn exchange(&self, ask: &Ask, uri: &str) -> Exchange {
        let body = self.body.as_ref().map(Value::to_string);
        Exchange {
            method: ask.method.clone(),
            path: uri.to_owned(),
            request_type: ask.header("content-type").map(str::to_owned),
            request: ask.body.clone(),
            status: self.status,
            response_type: body.as_ref().map(|_| "application/json".to_owned()),
            response: body.unwrap_or_default().into_bytes(),
        }
    }

    /// The same with a header.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match self.body {
            Some(body) => (status, Json(body)).into_response(),
            None => status.into_response(),
        };
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                // Not in place of one of the same name: there may be two `link`.
                response.headers_mut().append(HeaderName::from_static(name), value);
            }
        }
        response
    }
}
