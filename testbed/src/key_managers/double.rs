//! What doubles of key managers have in common: what they are asked, and what they answer.

use axum::{
    Extension, Json,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::tls_server::NoAnswer;
use crate::openapi::Exchange;

/// A request.
#[derive(Clone, Debug, Default)]
pub(super) struct Ask {
    pub(super) method: String,
    /// Without the query.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Path and query as they were written.
    pub(super) uri: String,
}

impl Ask {
    /// As it came over the wire; `None` where it broke off.
    pub(super) async fn read(request: Request) -> Option<Self> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        let query = head.uri.query().unwrap_or_default().as_bytes();
        Some(Self {
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: url::form_urlencoded::parse(query).into_owned().collect(),
            uri: head.uri.to_string(),
            headers: head.headers,
            body: body.to_vec(),
        })
    }

    /// A header, if it is there and a text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A parameter of the query.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }

    /// The members of a form.
    pub(super) fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }
}

/// The first value of a name.
pub(super) fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = pairs.iter().find(|(given, _)| given == name);
    found.map(|(_, value)| value.as_str())
}

/// An answer. Refusals are answers as well.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
}

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

    /// An error of a token endpoint (RFC 6749 section 5.2).
    pub(super) fn oauth(status: u16, error: &str, description: &str) -> Self {
        Self::json(status, json!({"error": error, "error_description": description}))
    }

    /// The same with a header.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// For the record.
    pub(super) fn exchange(&self, ask: &Ask) -> Exchange {
        let body = self.body.as_ref().map(Value::to_string);
        Exchange {
            method: ask.method.clone(),
            path: ask.uri.clone(),
            request_type: ask.header("content-type").map(str::to_owned),
            request: ask.body.clone(),
            status: self.status,
            response_type: body.as_ref().map(|_| "application/json".to_owned()),
            response: body.unwrap_or_default().into_bytes(),
        }
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

/// A broken connection.
pub(super) fn no_answer() -> Response {
    Extension(NoAnswer).into_response()
}
