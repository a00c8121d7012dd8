//! The check of one message.

use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};

use super::{Message, OpenApi, Operation, Violation};

/// A message under check: what is found wrong with it gathers here.
struct Check<'a> {
    api: &'a OpenApi,
    operation: Operation<'a>,
    message: Message,
    status: Option<u16>,
    found: Vec<Violation>,
}

impl OpenApi {
    /// What is wrong with a request. `path` has its query, and `body` is empty where there is none.
    pub fn check_request(&self, method: &str, path: &str, content_type: Option<&str>, body: &[u8]) -> Vec<Violation> {
        let operation = match self.operation(method, path, Message::Request) {
            Ok(operation) => operation,
            Err(violation) => return vec![*violation],
        };
        let mut check = Check::new(self, operation, Message::Request, None);
        check.query(path.split_once('?').map_or("", |(_, query)| query));
        let expected = self.resolve(&check.operation.said["requestBody"]);
        check.body(expected, expected["required"] == true, content_type, body);
        check.found
    }

    /// What is wrong with an answer.
    pub fn check_response(
        &self,
        method: &str,
        path: &str,
        status: u16,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Vec<Violation> {
        // Once is enough: the request has been told of it.
        let Ok(operation) = self.operation(method, path, Message::Response) else {
            return vec![];
        };
        let responses = &operation.said["responses"];
        let named = [status.to_string(), format!("{}XX", status / 100), "default".to_owned()];
        let expected = named.iter().find_map(|name| responses.get(name));
        let mut check = Check::new(self, operation, Message::Response, Some(status));
        match expected {
            Some(expected) => {
                let expected = self.resolve(expected);
                check.body(expected, true, content_type, body);
            }
            None => check.add("status", "undocumented", "the document has no such status"),
        }
        check.found
    }
}

impl<'a> Check<'a> {
    fn new(api: &'a OpenApi, operation: Operation<'a>, message: Message, status: Option<u16>) -> Self {
        Self {
            api,
            operation,
            message,
            status,
            found: vec![],
        }
    }

    fn add(&mut self, place: impl Into<String>, rule: &str, text: impl Into<String>) {
        self.found.push(Violation {
            operation: self.operation.name.clone(),
            message: self.message,
            status: self.status,
            place: place.into(),
            rule: rule.to_owned(),
            text: text.into(),
        });
    }

    /// `expected` is a request body or a response of the document; both hold `content`.
    fn body(&mut self, expected: &'a Value, required: bool, content_type: Option<&str>, body: &[u8]) {
        let Some(contents) = expected["content"].as_object().filter(|contents| !contents.is_empty()) else {
            if !body.is_empty() {
                self.add("", "undocumented", "the document has no body here");
            }
            return;
        };
        if body.is_empty() {
            if required {
                self.add("", "missing", "the document asks for a body");
            }
            return;
        }
        let given = media_type(content_type.unwrap_or_default());
        let found = contents.iter().find(|(name, _)| {
            let name = media_type(name);
            name == given || name == "*/*" || name.strip_suffix('*').is_some_and(|kind| given.starts_with(kind))
        });
        let Some((name, content)) = found else {
            let documented = contents.keys().cloned().collect::<Vec<_>>().join(", ");
            return self.add("content-type", "undocumented", format!("not {documented}"));
        };
        let schema = &content["schema"];
        if schema.is_null() {
            return;
        }
        let value = if given == "application/x-www-form-urlencoded" {
            Ok(self.form(body, schema))
        } else if given.ends_with("json") {
            serde_json::from_slice(body).map_err(|error| error.to_string())
        } else {
            Ok(Value::String(String::from_utf8_lossy(body).into_owned()))
        };
        match value {
            Ok(value) => {
                let status = self.status.map(|status| format!(" {status}")).unwrap_or_default();
                self.schema(&format!("{}{status} {name}", self.operation.name), schema, &value, "");
            }
            Err(error) => self.add("", "unreadable", error),
        }
    }

    /// A form as an object: what repeats is a list, and a text is a number or a truth value where the schema wants one.
    fn form(&self, body: &[u8], schema: &Value) -> Value {
        let schema = self.api.resolve(schema);
        let mut form = Map::new();
        for (name, text) in url::form_urlencoded::parse(body) {
            let value = typed(&text, self.api.resolve(&schema["properties"][name.as_ref()]));
            match form.entry(name.into_owned()) {
                serde_json::map::Entry::Vacant(place) => drop(place.insert(value)),
                serde_json::map::Entry::Occupied(mut place) => {
                    let before = place.get_mut().take();
                    place.insert(match before {
                        Value::Array(list) => list.into_iter().chain([value]).collect(),
                        one => Value::Array(vec![one, value]),
                    });
                }
            }
        }
        Value::Object(form)
    }

    fn query(&mut self, query: &str) {
        let (item, operation) = (self.operation.item, self.operation.said);
        let lists = [&item["parameters"], &operation["parameters"]]
            .into_iter()
            .filter_map(Value::as_array);
        let parameters: Vec<_> = lists
            .flatten()
            .map(|parameter| self.api.resolve(parameter))
            .filter(|parameter| parameter["in"] == "query")
            .collect();
        let given: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
        for (name, text) in &given {
            let place = format!("query/{name}");
            let Some(parameter) = parameters.iter().find(|parameter| parameter["name"] == **name) else {
                self.add(place, "undocumented", "the document has no such parameter");
                continue;
            };
            let schema = &parameter["schema"];
            let value = typed(text, self.api.resolve(schema));
            self.schema(&format!("{} {place}", self.operation.name), schema, &value, &place);
        }
        for parameter in parameters {
            let name = parameter["name"].as_str().unwrap_or_default();
            if parameter["required"] == true && given.iter().all(|(given, _)| given != name) {
                self.add(
                    format!("query/{name}"),
                    "missing",
                    "the document asks for the parameter",
                );
            }
        }
    }

    fn schema(&mut self, name: &str, schema: &Value, value: &Value, place: &str) {
        let validator = match self.api.validator(name, schema, self.message) {
            Ok(validator) => validator,
            // A schema that cannot be compiled checks nothing: this must be seen.
            Err(error) => return self.add(place, "unreadable", format!("{error:#}")),
        };
        for error in validator.iter_errors(value) {
            let mut at = format!("{place}{}", error.instance_path().as_str());
            if let ValidationErrorKind::Required { property } = error.kind() {
                at = format!("{at}/{}", property.as_str().unwrap_or_default());
            }
            self.add(at, error.kind().keyword(), error.masked().to_string());
        }
    }
}

/// The kind of a content type, without its parameters.
fn media_type(text: &str) -> String {
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// A text from a form or a query, as the schema's type.
fn typed(text: &str, schema: &Value) -> Value {
    let typed = match schema["type"].as_str() {
        Some("integer" | "number" | "boolean") => serde_json::from_str(text).ok(),
        Some("array") => Some(Value::Array(vec![Value::String(text.to_owned())])),
        _ => None,
    };
    typed.unwrap_or_else(|| Value::String(text.to_owned()))
}
