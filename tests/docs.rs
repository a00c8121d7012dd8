//! What docs say is so: links lead somewhere, every reason of a condition is explained and no other, labels are those that the
//! code has, and each command is run by a test.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::{
    examples::{commands, files, kubectl},
    support::repository,
};

/// Condition and reason.
type Said = (String, String);

/// What the code can say and no object shows: a key that is gone has no status, and a pass that meets a change begins again.
const NEVER_SHOWN: [(&str, &str); 2] = [("Ready", "Gone"), ("Ready", "Changed")];

/// Reasons that are handed on; where they come from is looked at.
const HANDED_ON: [&str; 4] = ["reason", "error.reason()", "say.reason", "failure.reason()"];

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// All texts in Markdown.
fn texts() -> Vec<PathBuf> {
    let mut texts: Vec<_> = files("docs")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    texts.push(repository("README.md").into());
    texts
}

/// The product's code without its tests.
fn code() -> Vec<String> {
    let sources = files("src").into_iter().filter(|path| !path.ends_with("tests.rs"));
    sources
        .map(read)
        .map(|text| text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned())
        .collect()
}

/// Headings as forges name them. They differ in what they make of other characters, which no linked heading has.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let headings = markdown.lines().filter_map(|line| line.strip_prefix('#'));
    let names = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    names.map(|name| name.replace(',', "").replace(' ', "-")).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut links = 0;
    for path in texts() {
        let text = read(&path);
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.starts_with("https://") {
                continue;
            }
            links += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                path.parent().unwrap().join(file)
            };
            let place = format!("{}: {link}", path.display());
            assert!(target.exists(), "{place} is not there");
            if !anchor.is_empty() {
                assert!(anchors(&read(target)).contains(anchor), "{place} has no such heading");
            }
        }
    }
    assert!(links > 100, "only {links} links were found");
}

/// The first two arguments of each call of `function`.
fn calls(text: &str, function: &str) -> Vec<[String; 2]> {
    let mut calls = vec![];
    let inside_a_word = |at: usize| text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    for (at, _) in text.match_indices(function).filter(|(at, _)| !inside_a_word(*at)) {
        let (mut arguments, mut depth, mut quoted, mut escaped) = (vec![String::new()], 0, false, false);
        for c in text[at + function.len()..].chars() {
            match c {
                '"' if !escaped => quoted = !quoted,
                '(' | '[' | '{' if !quoted => depth += 1,
                ')' | ']' | '}' if !quoted && depth == 0 => break,
                ')' | ']' | '}' if !quoted => depth -= 1,
                ',' if !quoted && depth == 0 => {
                    arguments.push(String::new());
                    continue;
                }
                _ => {}
            }
            escaped = c == '\\' && !escaped;
            arguments.last_mut().unwrap().push(c);
        }
        arguments.resize(2.max(arguments.len()), String::new());
        calls.push([0, 1].map(|n: usize| arguments[n].trim().to_owned()));
    }
    calls
}

/// What a word of the code stands for: itself in quotes, or a constant.
fn value(word: &str, constants: &BTreeMap<String, String>) -> Option<String> {
    match word.strip_prefix('"') {
        Some(text) => Some(text.trim_end_matches('"').to_owned()),
        None => constants.get(word.rsplit("::").next()?).cloned(),
    }
}

/// What is between `begin` and the first `end` after it.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    text.split_once(begin).unwrap().1.split_once(end).unwrap().0
}

/// Every condition with every reason that the code can say.
fn said_by_the_code() -> BTreeSet<Said> {
    let code = code();
    let mut constants = BTreeMap::new();
    for line in code.iter().flat_map(|text| text.lines()) {
        if let Some((name, text)) = line
            .split_once("const ")
            .and_then(|(_, rest)| rest.split_once(": &str = \""))
        {
            constants.insert(name.to_owned(), text.trim_end_matches("\";").to_owned());
        }
    }
    let mut said = BTreeSet::new();
    for text in &code {
        let full = ["Say::yes(", "Say::no("]
            .into_iter()
            .flat_map(|function| calls(text, function));
        let short = calls(text, "not_ready(")
            .into_iter()
            .map(|[reason, _]| ["\"Ready\"".to_owned(), reason]);
        for [condition, reason] in full.chain(short) {
            let found = value(&condition, &constants).zip(value(&reason, &constants));
            let declared = reason.starts_with("reason: &");
            match found {
                Some(found) => drop(said.insert(found)),
                None => assert!(
                    declared || HANDED_ON.contains(&&*reason),
                    "what {condition} can say is not seen: {reason}"
                ),
            }
        }
        // One condition is neither true nor false.
        for part in text.split("type_: \"").skip(1) {
            let (condition, rest) = part.split_once('"').unwrap();
            if let Some((_, reason)) = rest.split_once("reason: \"").filter(|(between, _)| between.len() < 80) {
                said.insert((condition.to_owned(), reason.split('"').next().unwrap().to_owned()));
            }
        }
    }
    // The kinds of failures of calls.
    let errors = read(repository("src/key_manager/error.rs"));
    let kinds = between(&errors, "pub enum Category {", "\n}").lines();
    let kinds = kinds
        .filter_map(|line| line.trim().strip_suffix(','))
        .map(str::to_owned);
    let failures = read(repository("src/controller/execute/mod.rs"));
    let others = between(&failures, "pub fn reason(", "\n    }\n").split("=> \"");
    let others = others.skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    said.extend(kinds.chain(others).map(|reason| ("Ready".to_owned(), reason)));
    said
}

#[test]
fn every_reason_of_a_condition_is_explained_and_no_other() {
    let mut said = said_by_the_code();
    for (condition, reason) in NEVER_SHOWN {
        let shown = !said.remove(&(condition.to_owned(), reason.to_owned()));
        assert!(!shown, "{condition} {reason} is not said any more");
    }
    let mut explained = BTreeSet::new();
    for line in read(repository("docs/concepts.md")).lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let word = |cell: &str| Some(cell.strip_prefix('`')?.strip_suffix('`')?.to_owned());
        if let [_, condition, reason, means, mend, _] = &*cells
            && let Some(found) = word(condition).zip(word(reason))
        {
            assert!(!means.is_empty() && !mend.is_empty(), "{line}");
            assert!(explained.insert(found), "twice: {line}");
        }
    }
    let missing: Vec<_> = said.difference(&explained).collect();
    let stale: Vec<_> = explained.difference(&said).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "docs/concepts.md does not explain {missing:?}, and explains {stale:?}, which nothing says"
    );
    assert!(said.len() > 50, "only {said:?} were found");
}

/// Names under our domain in a text, those of the API and of examples' sentences left out.
fn names(text: &str, quote: char) -> BTreeSet<String> {
    let begin = format!("{quote}appkeys.dev/");
    let names = text.split(&begin).skip(1).filter_map(|rest| rest.split_once(quote));
    let names = names.map(|(name, _)| name.to_owned());
    names
        .filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        .collect()
}

#[test]
fn labels_and_annotations_are_those_of_the_code() {
    let used: BTreeSet<_> = code().iter().flat_map(|text| names(text, '"')).collect();
    let told = names(&read(repository("docs/reference.md")), '`');
    let missing: Vec<_> = used.difference(&told).collect();
    assert!(
        missing.is_empty(),
        "testbed/src/reference/labels.md does not say {missing:?}"
    );
    // Types of Secrets are put together from what they are for.
    let code = code().concat();
    let stale: Vec<_> = told
        .iter()
        .filter(|name| !code.contains(&format!("{name}\"")))
        .collect();
    assert!(stale.is_empty(), "{stale:?} are used nowhere");
    assert!(used.len() > 25, "only {used:?} were found");
}

/// What is run by a test of its own, by the page it is on.
const RUN_ELSEWHERE: [(&str, &str); 4] = [
    ("docs/install.md", ""),
    ("docs/key-managers/resident.md", ""),
    ("docs/key-managers/keycloak.md", "kcadm.sh "),
    ("docs/key-managers/wso2.md", "curl "),
];

#[test]
fn every_command_is_run_by_a_test() {
    let mut found = 0;
    for path in texts() {
        for command in commands(&read(&path)) {
            found += 1;
            let elsewhere = RUN_ELSEWHERE
                .iter()
                .any(|(page, begin)| path.ends_with(page) && command.starts_with(begin));
            assert!(
                elsewhere || kubectl(&command).is_some(),
                "{}: no test runs `{command}`",
                path.display()
            );
        }
    }
    assert!(found > 50, "only {found} commands were found");
}
