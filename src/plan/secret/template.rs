//! Entries whose text a person wrote, with places in it for the entries of the credential.
//!
//! A place is `{{ client_id }}` or `{{ client_id | tojson }}`: nothing that decides, repeats or computes. So the names alone say
//! whether a text can be filled. That is known before there is a credential, and no error can say anything of a value.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use minijinja::{Environment, UndefinedBehavior, Value, syntax::SyntaxConfig};

use super::{Entries, credential};
use crate::{api::ApplicationKeySpec, key_manager::Endpoints};

/// What all templates of a key may make together, in bytes: a Secret holds 1 MiB at most.
const LIMIT: usize = 256 * 1024;
/// What the longest template can cost, many times over.
const FUEL: u64 = 1_000_000;

/// What cannot be filled, and where.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    line: usize,
    column: usize,
    what: String,
}

impl Problem {
    fn at(text: &str, offset: usize, what: impl Into<String>) -> Self {
        let before = &text[..offset];
        let line = before.rfind('\n').map_or(before, |newline| &before[newline + 1..]);
        Self {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
            what: what.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.what)
    }
}

/// What stands against the templates of a spec, whatever the credential will be; `None` where nothing does.
pub fn problem(spec: &ApplicationKeySpec, endpoints: &Endpoints) -> Option<String> {
    let templates = &spec.secret.as_ref()?.templates;
    if templates.is_empty() {
        return None;
    }
    let values = credential::stand_in(spec, endpoints);
    let names = names(&values);
    let mut size = 0;
    for (entry, text) in templates {
        if let Err(problem) = places(text, &names) {
            return Some(format!("template {entry}, {problem}"));
        }
        size += fill(text, &values).map_or(usize::MAX, |text| text.len());
        if size > LIMIT {
            return Some(format!(
                "template {entry}: the templates make more than {} KiB together: make them shorter",
                LIMIT / 1024
            ));
        }
    }
    None
}

/// The entries that templates make. One that cannot be made stays as it was published.
pub(super) fn entries(
    templates: &BTreeMap<String, String>,
    credential: &Entries,
    published: Option<&Entries>,
) -> Entries {
    let names = names(credential);
    let made = templates.iter().filter_map(|(entry, text)| {
        let filled = places(text, &names).ok().and_then(|()| fill(text, credential));
        let kept = || published.and_then(|published| published.0.get(entry)).cloned();
        Some((entry.clone(), filled.map(String::into_bytes).or_else(kept)?))
    });
    Entries(made.collect())
}

/// The name by which a template knows an entry.
fn variable(entry: &str) -> String {
    entry.replace(['-', '.'], "_")
}

fn names(entries: &Entries) -> BTreeSet<String> {
    entries.0.keys().map(|entry| variable(entry)).collect()
}

/// Checks that all places in a text name an entry.
fn places(text: &str, names: &BTreeSet<String>) -> Result<(), Problem> {
    for other in ["{%", "{#"] {
        if let Some(at) = text.find(other) {
            let what = format!("{other} is not understood, only {{{{ NAME }}}} and {{{{ NAME | tojson }}}} are");
            return Err(Problem::at(text, at, what));
        }
    }
    let mut from = 0;
    while let Some(at) = text[from..].find("{{").map(|at| from + at) {
        let inside = &text[at + 2..];
        let Some(length) = inside.find("}}") else {
            return Err(Problem::at(text, at, "{{ without }}"));
        };
        from = at + 2 + length + 2;
        let (name, filter) = inside[..length]
            .split_once('|')
            .map_or((&inside[..length], None), |(name, filter)| (name, Some(filter.trim())));
        let name = name.trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_name) || filter.is_some_and(|filter| filter != "tojson") {
            let what = "between {{ and }} there is the name of an entry with _ for - and ., and | tojson at most";
            return Err(Problem::at(text, at, what));
        }
        if !names.contains(name) {
            let all: Vec<_> = names.iter().map(String::as_str).collect();
            let what = format!("this key has no {name:.64}, it has {}", all.join(", "));
            return Err(Problem::at(text, at, what));
        }
    }
    Ok(())
}

/// The text with the values of entries in its places; `None` where that cannot be.
fn fill(text: &str, entries: &Entries) -> Option<String> {
    // Nothing is known in it: no escaping, filter, function, file or other template.
    let mut environment = Environment::empty();
    environment.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build().ok()?);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.add_filter("tojson", |text: String| serde_json::Value::String(text).to_string());
    let values = entries
        .0
        .keys()
        .filter_map(|entry| Some((variable(entry), Value::from(entries.text(entry)?))));
    environment.render_str(text, Value::from_pairs(values)).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn credential() -> Entries {
        let mut entries = Entries::default();
        entries.put("client-id", "the id");
        entries.put("client-secret", "a\"<&>{{ client_id }}\\");
        entries.put("ca.crt", "line\nline\n");
        entries
    }

    fn filled(text: &str) -> Result<String, String> {
        let entries = credential();
        places(text, &names(&entries)).map_err(|problem| problem.to_string())?;
        Ok(fill(text, &entries).unwrap())
    }

    #[test]
    fn entries_are_put_as_they_are() {
        for (text, wanted) in [
            ("", ""),
            ("no place\n", "no place\n"),
            ("id={{ client_id }}\n\n", "id=the id\n\n"),
            ("{{client_id}}{{ client_id }}", "the idthe id"),
            ("{{ client_secret }}", "a\"<&>{{ client_id }}\\"),
            (
                "{\"s\": {{ client_secret | tojson }}}",
                "{\"s\": \"a\\\"<&>{{ client_id }}\\\\\"}",
            ),
            ("{{ ca_crt|tojson }} }} %} { {", "\"line\\nline\\n\" }} %} { {"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_place_for_an_entry_is_refused_where_it_is() {
        for (text, wanted) in [
            (
                "a\nä {{ secret }}",
                "line 2, column 3: this key has no secret, it has ca_crt, client_id, client_secret",
            ),
            ("{{ client_id", "line 1, column 1: {{ without }}"),
            ("x\n\n {% for x in y %}", "line 3, column 2: {% is not understood"),
            ("{# {{ client_id }} #}", "line 1, column 1: {# is not understood"),
            ("{{ client-id }}", "line 1, column 1: between {{ and }}"),
            ("{{ client_secret[0] }}", "column 1: between {{ and }}"),
            ("{{ 'x' * 1000000000 }}", "column 1: between {{ and }}"),
            ("{{ client_id | upper }}", "column 1: between {{ and }}"),
            ("{{ client_id | tojson | tojson }}", "column 1: between {{ and }}"),
            ("{{ }}", "column 1: between {{ and }}"),
            ("{{{ client_id }}}", "column 1: between {{ and }}"),
            ("{{- client_id -}}", "column 1: between {{ and }}"),
        ] {
            let problem = filled(text).unwrap_err();
            assert!(problem.contains(wanted), "{text}: {problem}");
        }
    }

    fn spec(templates: &serde_json::Value, authentication: &str) -> ApplicationKeySpec {
        serde_json::from_value(json!({
            "applicationRef": {"name": "shop"}, "environment": "Production", "clientAuthentication": authentication,
            "scopes": ["a"], "secret": {"templates": templates},
        }))
        .unwrap()
    }

    #[test]
    fn problems_are_known_before_there_is_a_credential() {
        let endpoints = Endpoints {
            token: "https://example.com/token".into(),
            ..Endpoints::default()
        };
        let all = "{{ client_id }}{{ token_uri }}{{ scopes }}";
        let problem = |text: &str, authentication| problem(&spec(&json!({ "t": text }), authentication), &endpoints);
        assert_eq!(
            problem(&format!("{all}{{{{ client_secret }}}}"), "ClientSecretBasic"),
            None
        );
        assert_eq!(
            problem(
                &format!("{all}{{{{ private_key_pem }}}}{{{{ key_id }}}}"),
                "PrivateKeyJwt"
            ),
            None
        );
        let said = problem("{{ client_secret }}", "None").unwrap();
        assert!(
            said.starts_with("template t, line 1, column 1: this key has no client_secret, it has client_id, "),
            "{said}"
        );
        let long = "{{ client_secret }}".repeat(LIMIT / 2048 + 1);
        let said = problem(&long, "ClientSecretBasic").unwrap();
        assert_eq!(
            said,
            "template t: the templates make more than 256 KiB together: make them shorter"
        );
    }

    #[test]
    fn an_entry_that_cannot_be_made_stays_as_it_was() {
        let templates = BTreeMap::from([
            ("bad".to_owned(), "{{ nothing }}".to_owned()),
            ("good".to_owned(), "{{ client_id }}".to_owned()),
        ]);
        let made = |published: Option<&Entries>| entries(&templates, &credential(), published);
        assert_eq!(made(None).0.keys().collect::<Vec<_>>(), ["good"]);
        let mut published = Entries::default();
        published.put("bad", "as it was");
        published.put("good", "as it was");
        let made = made(Some(&published));
        assert_eq!(
            (made.text("bad"), made.text("good")),
            (Some("as it was"), Some("the id"))
        );
    }
}
