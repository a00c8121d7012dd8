//! `docs/reference.md`: every field of the custom resources as their definitions say it, then labels and annotations.

use std::fmt::Write as _;

use anyhow::Context as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

use crate::binaries::repository;

/// The kinds in reading order.
const KINDS: [&str; 4] = ["Application", "ApplicationKey", "ClusterKeyManager", "KeyManager"];
/// Schemas that are Kubernetes' own.
const FOREIGN: [&str; 2] = ["namespaceSelector", "conditions"];
/// The form of a duration.
const DURATION: &str = r"^([0-9]+(\.[0-9]+)?(h|m|s|ms))+$";
/// What nobody can generate: labels and annotations.
const LABELS: &str = include_str!("reference/labels.md");
const INTRODUCTION: &str = "# Reference

Made from the custom resource definitions by `make crds`. Group `appkeys.dev`, version `v1alpha1`; `kubectl explain` says the same. A
field that is absent stays absent: the third column says what then holds. A *set* has nothing twice. Entries of the Secret, presets and
templates are in [secrets.md](secrets.md), conditions in [concepts.md](concepts.md#conditions), labels and annotations
[at the end](#labels-and-annotations).
";

/// Writes the file from the definitions in `crds/`.
///
/// # Errors
/// A file cannot be read or written.
pub fn write() -> anyhow::Result<()> {
    let folder = repository().join("crds");
    let mut crds = vec![];
    for entry in std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry.context("read a folder")?.path();
        let read = || anyhow::Ok(serde_saphyr::from_str(&std::fs::read_to_string(&path)?)?);
        crds.push(read().with_context(|| format!("read {}", path.display()))?);
    }
    let file = repository().join("docs/reference.md");
    std::fs::write(&file, markdown(&crds)).with_context(|| format!("write {}", file.display()))
}

/// The text of the file.
pub fn markdown(crds: &[CustomResourceDefinition]) -> String {
    let mut text = INTRODUCTION.to_owned();
    for kind in KINDS {
        for crd in crds.iter().filter(|crd| crd.spec.names.kind == kind) {
            section(&mut text, crd);
        }
    }
    text.push('\n');
    text.push_str(LABELS);
    text
}

fn section(text: &mut String, crd: &CustomResourceDefinition) {
    let names = &crd.spec.names;
    let version = crd.spec.versions.first();
    let Some(schema) = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref()) else {
        return;
    };
    let columns = version.and_then(|version| version.additional_printer_columns.as_ref());
    let columns = columns.into_iter().flatten().map(|column| match column.priority {
        Some(1) => format!("{} (`-o wide`)", column.name),
        _ => column.name.clone(),
    });
    let columns: Vec<_> = columns.collect();
    let short = names.short_names.iter().flatten().map(|name| format!("`{name}`"));
    let short: Vec<_> = short.collect();
    let _ = writeln!(
        text,
        "\n## {}\n\n{}\n\n{}; short name {}. `kubectl get` shows: {}.",
        names.kind,
        words(schema),
        crd.spec.scope,
        short.join(", "),
        columns.join(", ")
    );
    for (name, part) in schema.properties.iter().flatten() {
        let absent = if name == "spec" { " where absent |" } else { "" };
        let dashes = if name == "spec" { " --- |" } else { "" };
        let _ = writeln!(
            text,
            "\n### {} {name}\n\n| field | type |{absent} |\n| --- | --- |{dashes} --- |",
            names.kind
        );
        rows(text, "", part, name == "spec");
    }
    let parts = schema.properties.iter().flat_map(|parts| parts.values());
    let rules: Vec<_> = parts.chain([schema]).flat_map(messages).collect();
    if !rules.is_empty() {
        let _ = writeln!(text, "\n### {} as a whole\n\n* {}", names.kind, rules.join("\n* "));
    }
}

/// The rows of what is below a node; in a spec also what holds where a field is absent.
fn rows(text: &mut String, path: &str, node: &JSONSchemaProps, spec: bool) {
    for (name, field) in node.properties.iter().flatten() {
        let required = node.required.iter().flatten().any(|required| required == name);
        let (absent, description) = if spec {
            where_absent(field, required)
        } else {
            (String::new(), words(field))
        };
        let mut said = vec![description];
        said.extend(bounds(field));
        said.extend(items(field).and_then(bounds).map(|bounds| format!("Each: {bounds}")));
        said.retain(|said| !said.is_empty());
        let rules = messages(field).into_iter().map(|message| format!("<br>*{message}*"));
        let said = said.join(" ") + &rules.collect::<String>();
        let _ = writeln!(
            text,
            "| `{path}{name}` | {} |{absent} {} |",
            type_of(field),
            said.replace('|', "\\|")
        );
        if FOREIGN.contains(&name.as_str()) {
            continue;
        }
        rows(text, &format!("{path}{name}."), field, spec);
        if let Some(item) = items(field) {
            rows(text, &format!("{path}{name}[]."), item, spec);
        }
    }
}

/// The description in one line.
fn words(node: &JSONSchemaProps) -> String {
    let text = node.description.as_deref().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The cell with what holds where a field is absent, and the rest of its description.
fn where_absent(field: &JSONSchemaProps, required: bool) -> (String, String) {
    let (absent, rest) = split(&words(field));
    let absent = if required {
        "required".to_owned()
    } else if absent.is_empty() && field.type_.as_deref() == Some("boolean") {
        "`false`".to_owned()
    } else {
        absent
    };
    (format!(" {absent} |"), rest)
}

/// What a description says of an absent field, and the rest of it.
fn split(description: &str) -> (String, String) {
    let sentences = description.split_inclusive(". ");
    let (absent, rest): (Vec<_>, Vec<_>) =
        sentences.partition(|sentence| ["Absent: ", "Default "].iter().any(|begin| sentence.starts_with(begin)));
    let absent = absent.concat();
    let absent = absent.trim_start_matches("Absent: ").trim_start_matches("Default ");
    let absent = absent.trim().trim_end_matches('.');
    let default = [" (default)", " (the default)"]
        .iter()
        .find_map(|mark| description.split_once(mark));
    let default = default.and_then(|(before, _)| before.rsplit(' ').next());
    let absent = match default.filter(|_| absent.is_empty()) {
        Some(word) => format!("`{}`", word.trim_matches('`')),
        None => absent.to_owned(),
    };
    (absent, rest.concat().trim().to_owned())
}

fn type_of(node: &JSONSchemaProps) -> String {
    if let Some(values) = &node.enum_ {
        let values = values.iter().filter_map(|value| value.0.as_str());
        return values.map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
    }
    let type_ = node.type_.as_deref().unwrap_or_default();
    match (type_, node.format.as_deref(), node.pattern.as_deref()) {
        (_, Some("date-time"), _) => "time".to_owned(),
        (_, _, Some(DURATION)) => "duration".to_owned(),
        ("array", ..) => {
            let list = match node.x_kubernetes_list_type.as_deref() {
                Some("set") => "set",
                Some("map") => "list by name",
                _ => "list",
            };
            items(node).map_or_else(|| list.to_owned(), |item| format!("{list} of {}", type_of(item)))
        }
        ("object", ..) if node.additional_properties.is_some() => "map of string".to_owned(),
        _ => type_.to_owned(),
    }
}

fn items(node: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match node.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(item) => Some(item),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

/// How long, large or many it may be.
fn bounds(node: &JSONSchemaProps) -> Option<String> {
    if node.enum_.is_some() || node.pattern.as_deref() == Some(DURATION) {
        return None;
    }
    let between = |least: Option<i64>, most: Option<i64>, what: &str| match (least, most?) {
        (Some(least), most) if least == most => Some(format!("{most} {what}.")),
        (Some(least @ 2..), most) => Some(format!("{least} to {most} {what}.")),
        (_, most) => Some(format!("At most {most} {what}.")),
    };
    let value = match &node.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(value)) => value.max_length,
        _ => None,
    };
    let value = value.map(|most| format!(" Values: at most {most} characters."));
    between(node.min_length, node.max_length, "characters")
        .or_else(|| between(node.min_items, node.max_items, "items"))
        .or_else(|| Some(between(node.min_properties, node.max_properties, "entries")? + &value.unwrap_or_default()))
        .or_else(|| Some(format!("{} to {}.", node.minimum?, node.maximum?)))
}

/// What the API server says where a rule is broken.
fn messages(node: &JSONSchemaProps) -> Vec<String> {
    let rules = node.x_kubernetes_validations.iter().flatten();
    rules.filter_map(|rule| rule.message.clone()).collect()
}
