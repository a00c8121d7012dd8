//! What a request asks for, from its method, path, query and headers.

use std::collections::BTreeMap;

use http::{Method, Request};
use serde_json::{Value, json};
use tower::BoxError;
use url::form_urlencoded;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// One object.
    Get,
    /// All objects of a kind.
    List,
    /// Changes from now on.
    Watch,
    /// A new object.
    Create,
    /// An object anew (PUT).
    Update,
    /// Parts of an object.
    Patch,
    /// An object's end.
    Delete,
}

impl Verb {
    /// Whether it changes anything.
    pub const fn writes(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Patch | Self::Delete)
    }
}

/// A request without its body.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    /// What is asked for.
    pub verb: Verb,
    /// API group and version as in `apiVersion`.
    pub api_version: String,
    /// The kind's plural name.
    pub plural: String,
    /// The namespace; empty for all, or for kinds without.
    pub namespace: String,
    /// The name; empty for all.
    pub name: String,
    /// `status`, or nothing.
    pub subresource: String,
    /// Label selector: `key=value` pairs.
    pub labels: BTreeMap<String, String>,
    /// Where a watch begins.
    pub resource_version: u64,
    /// Who writes.
    pub field_manager: String,
    /// The content type of the body.
    pub content_type: String,
    metadata_only: bool,
}

impl RequestInfo {
    /// Reads a request.
    ///
    /// # Errors
    /// The path is none of an API server.
    pub fn read<B>(request: &Request<B>) -> Result<Self, BoxError> {
        let query: BTreeMap<String, String> =
            form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let parts: Vec<&str> = request
            .uri()
            .path()
            .split('/')
            .filter(|part| !part.is_empty())
            .collect();
        let (api_version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ((*version).to_owned(), rest),
            ["apis", group, version, rest @ ..] => (format!("{group}/{version}"), rest),
            _ => return Err("not an API path".into()),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let plural = *rest.first().ok_or("no resource in the path")?;
        let name = rest.get(1).copied().unwrap_or_default();
        let watch = query.get("watch").is_some_and(|watch| watch == "true" || watch == "1");
        let verb = match *request.method() {
            Method::GET if watch => Verb::Watch,
            Method::GET if name.is_empty() => Verb::List,
            Method::GET => Verb::Get,
            Method::POST => Verb::Create,
            Method::PUT => Verb::Update,
            Method::PATCH => Verb::Patch,
            Method::DELETE => Verb::Delete,
            _ => return Err("method not served".into()),
        };
        let text = |name: &str| query.get(name).cloned().unwrap_or_default();
        let header = |name: http::HeaderName| {
            request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let selector = text("labelSelector");
        Ok(Self {
            verb,
            api_version,
            plural: plural.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: rest.get(2).copied().unwrap_or_default().to_owned(),
            labels: selector
                .split(',')
                .filter_map(|pair| pair.split_once('='))
                .map(|(k, v)| (k.into(), v.into()))
                .collect(),
            resource_version: text("resourceVersion").parse().unwrap_or_default(),
            field_manager: text("fieldManager"),
            content_type: header(http::header::CONTENT_TYPE),
            metadata_only: header(http::header::ACCEPT).contains("as=PartialObjectMetadata"),
        })
    }

    /// An object or list as this request wants it: whole, or metadata only.
    pub fn shaped(&self, mut value: Value) -> Value {
        if !self.metadata_only || value["kind"] == "Status" {
            return value;
        }
        let slim = |object: &Value| json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"]});
        match value["items"].as_array_mut() {
            Some(items) => {
                for item in items {
                    *item = slim(item);
                }
                value["apiVersion"] = "meta.k8s.io/v1".into();
                value["kind"] = "PartialObjectMetadataList".into();
                value
            }
            None => slim(&value),
        }
    }
}
