//! A document that is cut down to some paths.

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value, json};

/// The part of an OpenAPI document that some paths need: the paths, and all that they refer to. Without examples and
/// vendor extensions, which check nothing. `paths` are templates as they are written there; one that ends in `*` stands
/// for all that begin so.
///
/// # Errors
/// The document is not YAML, or has no such path.
pub fn cut(document: &str, paths: &[String]) -> anyhow::Result<String> {
    let document: Value = serde_saphyr::from_str(document).context("read an OpenAPI file")?;
    let all = document["paths"].as_object().context("the document has no paths")?;
    let mut kept = Map::new();
    for wanted in paths {
        let fits = |template: &str| match wanted.strip_suffix('*') {
            Some(start) => template.starts_with(start),
            None => template == wanted,
        };
        let found = all.iter().filter(|(template, _)| fits(template));
        let before = kept.len();
        kept.extend(found.map(|(template, item)| (template.clone(), plain(item, false))));
        ensure!(
            kept.len() > before,
            "the document has no path {wanted}, or it was named twice"
        );
    }
    let kept = Value::Object(kept);
    let mut components = json!({});
    let mut references = vec![];
    gather(&kept, &mut references);
    while let Some(reference) = references.pop() {
        let parts: Vec<_> = reference.split('/').collect();
        let [_, "components", kind, name] = parts[..] else {
            continue;
        };
        if components[kind][name].is_null() {
            let component = plain(&document["components"][kind][name], false);
            ensure!(!component.is_null(), "{reference} leads nowhere");
            gather(&component, &mut references);
            components[kind][name] = component;
        }
    }
    let cut = json!({
        "openapi": document["openapi"],
        "info": document["info"],
        "servers": document["servers"],
        "paths": kept,
        "components": components,
    });
    serde_saphyr::to_string(&cut).context("print what is left")
}

/// Without examples and extensions. `names`: the keys are names that mean something, not keywords.
fn plain(value: &Value, names: bool) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(key, _)| names || !(key.starts_with("x-") || *key == "example" || *key == "examples"))
            .map(|(key, value)| {
                let names = !names && matches!(key.as_str(), "properties" | "headers" | "mapping" | "content");
                (key.clone(), plain(value, names))
            })
            .collect(),
        Value::Array(list) => list.iter().map(|one| plain(one, false)).collect(),
        _ => value.clone(),
    }
}

/// All references, those of a discriminator's mapping too.
fn gather(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.values().for_each(|value| gather(value, found)),
        Value::Array(list) => list.iter().for_each(|value| gather(value, found)),
        Value::String(text) if text.starts_with("#/components/") => found.push(text.clone()),
        _ => {}
    }
}
