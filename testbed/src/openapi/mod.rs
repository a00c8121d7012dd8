//! Holds HTTP exchanges to a vendor's OpenAPI 3.0 file: what a client asks, and what a double of the vendor's server
//! answers.
//!
//! [`OpenApi`] checks one message and tells every violation with its place: an undocumented path, method, query
//! parameter, status or content type, a body that is missing or not as its schema says. A member that the schema does
//! not name is no violation, as with the vendors themselves. Schemas are compiled when an operation is first seen.
//!
//! [`Audit`] is for doubles: it sees every exchange, knows the [`Deviation`]s that are meant, keeps what was said, and
//! tells what is left.

mod audit;
pub mod contracts;
mod cut;
mod message;
mod schema;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, anyhow};
use jsonschema::Validator;
use serde_json::{Value, json};

pub use self::{
    audit::{Audit, Deviation, Exchange},
    cut::cut,
    schema::Message,
};

/// A document, ready to check messages with.
#[derive(Debug)]
pub struct OpenApi {
    document: Value,
    base: String,
    request_schemas: Value,
    response_schemas: Value,
    compiled: Mutex<BTreeMap<(String, Message), Arc<Validator>>>,
}

/// What is not as the document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Method and path template, or the path itself where no template fits it.
    pub operation: String,
    /// Whether the client or the server said it.
    pub message: Message,
    /// The answer's status; of a request that was not answered yet, none.
    pub status: Option<u16>,
    /// Where: `path`, `status`, `content-type`, `query/NAME`, or a JSON pointer into the body (the body itself is the
    /// empty one). What is required and missing is named at the end of the pointer.
    pub place: String,
    /// The rule that is broken: a keyword of JSON Schema, `undocumented`, `missing`, or `unreadable`.
    pub rule: String,
    /// The same for people. It holds no values from the message, which may be secrets.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.map(|status| format!(" {status}")).unwrap_or_default();
        let Self {
            operation,
            message,
            place,
            rule,
            text,
            ..
        } = self;
        write!(f, "{operation}{status}, {message:?} at \"{place}\" ({rule}): {text}")
    }
}

/// An operation of the document that a request is for.
struct Operation<'a> {
    /// Method and path template.
    name: String,
    item: &'a Value,
    said: &'a Value,
}

impl OpenApi {
    /// Reads a document in YAML or JSON.
    ///
    /// # Errors
    /// It is neither, or not OpenAPI 3.0.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        Self::new(serde_saphyr::from_str(text).context("read an OpenAPI file")?)
    }

    fn new(document: Value) -> anyhow::Result<Self> {
        let version = document["openapi"].as_str().unwrap_or_default();
        anyhow::ensure!(version.starts_with("3.0."), "not OpenAPI 3.0, but \"{version}\"");
        let server = document["servers"][0]["url"].as_str().unwrap_or_default();
        let path = server
            .split_once("://")
            .map_or(server, |(_, rest)| rest.find('/').map_or("", |start| &rest[start..]));
        let schemas = &document["components"]["schemas"];
        Ok(Self {
            base: path.trim_end_matches('/').to_owned(),
            request_schemas: schema::draft7(schemas, Message::Request),
            response_schemas: schema::draft7(schemas, Message::Response),
            compiled: Mutex::default(),
            document,
        })
    }

    /// The same document for a server whose paths begin with `base`, in place of what the document's first server says.
    #[must_use]
    pub fn with_base(mut self, base: &str) -> Self {
        base.trim_end_matches('/').clone_into(&mut self.base);
        self
    }

    /// The path template that fits a path.
    pub fn template(&self, path: &str) -> Option<&str> {
        Some(self.item(path)?.0)
    }

    /// The path template that fits, and what the document says of it. Of two the one with fewer parameters.
    fn item(&self, path: &str) -> Option<(&str, &Value)> {
        let path = path.split(['?', '#']).next()?.strip_prefix(&self.base)?;
        let fits = |template: &str| {
            let (wanted, given) = (template.split('/'), path.split('/'));
            wanted.clone().count() == given.clone().count()
                && wanted.zip(given).all(|(wanted, given)| {
                    wanted == given || (wanted.starts_with('{') && wanted.ends_with('}') && !given.is_empty())
                })
        };
        let items = self.document["paths"].as_object()?.iter();
        items
            .filter(|(template, _)| fits(template))
            .min_by_key(|(template, _)| template.matches('{').count())
            .map(|(template, item)| (template.as_str(), item))
    }

    fn operation(&self, method: &str, path: &str, message: Message) -> Result<Operation<'_>, Box<Violation>> {
        let undocumented = |operation: String, what: &str| {
            Box::new(Violation {
                operation,
                message,
                status: None,
                place: "path".to_owned(),
                rule: "undocumented".to_owned(),
                text: format!("the document has no such {what}"),
            })
        };
        let Some((template, item)) = self.item(path) else {
            let path = path.split(['?', '#']).next().unwrap_or_default();
            return Err(undocumented(format!("{method} {path}"), "path"));
        };
        let name = format!("{method} {template}");
        match item.get(method.to_ascii_lowercase()) {
            Some(said) => Ok(Operation { name, item, said }),
            None => Err(undocumented(name, "method")),
        }
    }

    /// What a reference leads to, if it is one.
    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let mut value = value;
        // A reference to itself must not hang a test.
        for _ in 0..8 {
            let target = value["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
            match target.and_then(|pointer| self.document.pointer(pointer)) {
                Some(next) => value = next,
                None => break,
            }
        }
        value
    }

    /// The compiled form of a schema, named by where it is in the document.
    fn validator(&self, name: &str, schema: &Value, message: Message) -> anyhow::Result<Arc<Validator>> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_owned(), message);
        if let Some(validator) = compiled.get(&key) {
            return Ok(Arc::clone(validator));
        }
        let schemas = match message {
            Message::Request => &self.request_schemas,
            Message::Response => &self.response_schemas,
        };
        let schema = schema::schema(&self.derived(schema), &self.document["components"]["schemas"], message);
        let whole = json!({"allOf": [schema], "components": {"schemas": schemas}});
        let validator = jsonschema::draft7::new(&whole)
            .map_err(|error| anyhow!("{}", error.masked()))
            .with_context(|| format!("compile the schema of {name}"))?;
        Ok(Arc::clone(compiled.entry(key).or_insert(Arc::new(validator))))
    }

    /// A base type that names its derived types stands for one of them where a message is of it. Not everywhere: they
    /// refer to it in turn.
    fn derived(&self, schema: &Value) -> Value {
        let base = self.resolve(schema);
        let discriminator = &base["discriminator"];
        match &discriminator["mapping"] {
            Value::Object(mapping) if base["oneOf"].is_null() && base["anyOf"].is_null() => {
                let types: Vec<_> = mapping.values().map(|target| json!({"$ref": target})).collect();
                json!({"oneOf": types, "discriminator": discriminator})
            }
            _ => schema.clone(),
        }
    }
}
