//! Schemas of OpenAPI 3.0 as JSON schemas of draft 7, which validators understand.
//!
//! The dialect of OpenAPI 3.0 is nearly one of JSON Schema. A validator that takes it as it is refuses the whole schema
//! or, worse, checks nothing, so what differs is rewritten: `nullable`, boolean limits, enums that list a value twice,
//! and `oneOf` with a discriminator, whose alternatives are not exclusive without it.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

/// Who speaks. A property that is only for reading need not be in a request, even where it is required.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    /// What the client says.
    Request,
    /// What the server says.
    Response,
}

/// Members whose value is a map from names to schemas: their keys are names, and no keywords.
const MAPS: [&str; 4] = ["properties", "patternProperties", "definitions", "schemas"];
/// Members whose value is data.
const DATA: [&str; 3] = ["enum", "default", "const"];
/// Members that say nothing about what is valid.
const TEXTS: [&str; 7] = [
    "example",
    "examples",
    "description",
    "title",
    "externalDocs",
    "xml",
    "deprecated",
];

/// The schemas of a document, rewritten.
pub(super) fn draft7(schemas: &Value, message: Message) -> Value {
    let Value::Object(named) = schemas else {
        return json!({});
    };
    let rewritten = named
        .iter()
        .map(|(name, one)| (name.clone(), schema(one, schemas, message)));
    Value::Object(rewritten.collect())
}

/// One schema, rewritten. `schemas` are the document's, where references lead.
pub(super) fn schema(schema: &Value, schemas: &Value, message: Message) -> Value {
    let Value::Object(members) = schema else {
        return schema.clone();
    };
    let mut made = Map::new();
    for (name, value) in members {
        if name.starts_with("x-") || TEXTS.contains(&name.as_str()) {
            continue;
        }
        made.insert(name.clone(), member(name, value, schemas, message));
    }
    unique(&mut made);
    limits(&mut made);
    required(&mut made, members, schemas, message);
    discriminator(&mut made);
    made.remove("readOnly");
    made.remove("writeOnly");
    nullable(made)
}

fn member(name: &str, value: &Value, schemas: &Value, message: Message) -> Value {
    let below = |value: &Value| schema(value, schemas, message);
    match value {
        _ if DATA.contains(&name) || name == "discriminator" => value.clone(),
        Value::Object(named) if MAPS.contains(&name) => {
            Value::Object(named.iter().map(|(key, one)| (key.clone(), below(one))).collect())
        }
        Value::Object(_) => below(value),
        Value::Array(list) => Value::Array(list.iter().map(below).collect()),
        _ => value.clone(),
    }
}

/// JSON Schema asks that the values of `enum` differ.
fn unique(made: &mut Map<String, Value>) {
    if let Some(Value::Array(values)) = made.get_mut("enum") {
        let mut seen = HashSet::new();
        values.retain(|value| seen.insert(value.to_string()));
    }
}

/// `exclusiveMinimum: true` beside `minimum: 5` is `exclusiveMinimum: 5`.
fn limits(made: &mut Map<String, Value>) {
    for (exclusive, limit) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        match made.get(exclusive) {
            Some(Value::Bool(true)) => {
                if let Some(value) = made.remove(limit) {
                    made.insert(exclusive.to_owned(), value);
                }
            }
            Some(Value::Bool(false)) => drop(made.remove(exclusive)),
            _ => {}
        }
    }
}

/// What is only for reading is not required of a request, nor what is only for writing of an answer.
fn required(made: &mut Map<String, Value>, members: &Map<String, Value>, schemas: &Value, message: Message) {
    let Some(Value::Array(mut names)) = made.remove("required") else {
        return;
    };
    let foreign = match message {
        Message::Request => "readOnly",
        Message::Response => "writeOnly",
    };
    // As they were written: what has been rewritten has lost the mark.
    let property = |name: &Value| members.get("properties")?.get(name.as_str()?);
    names.retain(|name| {
        let property = property(name).map(|property| referred(property, schemas).unwrap_or(property));
        property.is_none_or(|property| property[foreign] != json!(true))
    });
    if !names.is_empty() {
        made.insert("required".to_owned(), Value::Array(names));
    }
}

/// What a `$ref` names, one step.
fn referred<'a>(schema: &Value, schemas: &'a Value) -> Option<&'a Value> {
    schemas.get(schema["$ref"].as_str()?.strip_prefix("#/components/schemas/")?)
}

/// With a discriminator the named alternative is to hold, and no other one is tried.
fn discriminator(made: &mut Map<String, Value>) {
    let Some(discriminator) = made.remove("discriminator") else {
        return;
    };
    let Some(property) = discriminator["propertyName"].as_str() else {
        return;
    };
    // Without alternatives it belongs to a base type, whose derived types are named elsewhere.
    let Some(Value::Array(alternatives)) = made.remove("oneOf").or_else(|| made.remove("anyOf")) else {
        return;
    };
    let mut by_value = match &discriminator["mapping"] {
        Value::Object(mapping) => mapping
            .iter()
            .map(|(value, target)| (value.clone(), reference(target.as_str().unwrap_or_default())))
            .collect::<Vec<_>>(),
        _ => vec![],
    };
    // An alternative that no value is mapped to goes by its own name.
    for alternative in alternatives {
        let name = alternative["$ref"].as_str().and_then(|name| name.rsplit('/').next());
        if let (Some(name), false) = (name, by_value.iter().any(|(_, one)| *one == alternative)) {
            by_value.push((name.to_owned(), alternative));
        }
    }
    let values: Vec<_> = by_value.iter().map(|(value, _)| value.clone()).collect();
    let mut all = vec![json!({"required": [property], "properties": {property: {"enum": values}}})];
    for (value, schema) in by_value {
        let condition = json!({"required": [property], "properties": {property: {"const": value}}});
        all.push(json!({"if": condition, "then": schema}));
    }
    if let Some(Value::Array(others)) = made.remove("allOf") {
        all.extend(others);
    }
    made.insert("allOf".to_owned(), Value::Array(all));
}

fn reference(target: &str) -> Value {
    if target.starts_with('#') {
        json!({"$ref": target})
    } else {
        json!({"$ref": format!("#/components/schemas/{target}")})
    }
}

/// `nullable` adds `null` to what is valid.
fn nullable(mut made: Map<String, Value>) -> Value {
    if made.remove("nullable") != Some(json!(true)) {
        return Value::Object(made);
    }
    let plain = made
        .keys()
        .all(|name| !matches!(name.as_str(), "allOf" | "anyOf" | "oneOf" | "not" | "$ref"));
    let Some(Value::String(kind)) = made.get("type").filter(|_| plain).cloned() else {
        return json!({"anyOf": [made, {"type": "null"}]});
    };
    // The same, with an error that names the place and not the alternatives.
    made.insert("type".to_owned(), json!([kind, "null"]));
    if let Some(Value::Array(values)) = made.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    Value::Object(made)
}
