//! What people copy works: every YAML of `examples/`, and the commands of the README.
//!
//! The README's commands are the lines that begin with `$ ` in its blocks marked `console` or `sh`. Those that are `kubectl`
//! and nothing else (no pipe, no redirection, no substitution, nothing that goes on until somebody stops it) are run one
//! after the other, in their order, in the repository's folder, against a cluster with the operator in it that nobody
//! else uses; each must succeed. What follows a command in the block is what it prints, for people, and is not compared.
//! A README without such lines passes, so nothing here has to change when it gets some.

use std::{path::Path, process::Command};

use crate::support::{Cluster, repository};

#[tokio::test]
async fn the_api_server_takes_every_example() {
    let cluster = Cluster::shared().await;
    let mut files = 0;
    for file in std::fs::read_dir(repository("examples")).unwrap() {
        let path = file.unwrap().path();
        assert!(
            path.extension().is_some_and(|extension| extension == "yaml"),
            "{} is no YAML",
            path.display()
        );
        let file = path.to_str().unwrap();
        let said = cluster.kubectl(&["apply", "--dry-run=server", "--validate=strict", "-f", file]);
        let text = std::fs::read_to_string(&path).unwrap();
        let objects = text.lines().filter(|line| line.starts_with("kind:")).count();
        assert_eq!(said.lines().count(), objects, "{file}:\n{said}");
        files += 1;
    }
    assert!(files >= 2, "only {files} examples were found");
}

/// The commands of a text in Markdown.
fn commands(markdown: &str) -> Vec<String> {
    let mut commands = vec![];
    let mut inside = false;
    for line in markdown.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            inside = !inside && ["console", "sh"].contains(&language.trim());
        } else if inside && let Some(command) = line.trim_start().strip_prefix("$ ") {
            commands.push(command.trim().to_owned());
        }
    }
    commands
}

/// The arguments of a plain kubectl command; `None` for anything else.
fn kubectl(command: &str) -> Option<Vec<String>> {
    let rest = command.strip_prefix("kubectl ")?;
    let endless = ["-w", "--watch", "-f -", "port-forward", "proxy", "edit "];
    if rest.contains(['|', '>', '<', '$', '`', ';', '&', '\\']) || endless.iter().any(|word| rest.contains(word)) {
        return None;
    }
    let mut words = vec![];
    let (mut word, mut quote) = (String::new(), None);
    for c in rest.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, ' ') => words.push(std::mem::take(&mut word)),
            // What is after it is for people.
            (None, '#') if word.is_empty() => break,
            (_, c) => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    Some(words)
}

#[test]
fn commands_are_found_in_markdown() {
    let text = "$ kubectl get no\n```console\n$ kubectl get akey -n 'team a'   # all of them\nNAME  READY\n$ make demo\n```\n\
                ```yaml\n$ kubectl get no\n```\n```sh\n$ kubectl get secret x | jq .\n```\n";
    let found = commands(text);
    assert_eq!(found.len(), 3, "{found:?}");
    let run: Vec<_> = found.iter().filter_map(|command| kubectl(command)).collect();
    assert_eq!(run, [["get", "akey", "-n", "team a"]]);
}

#[tokio::test]
async fn the_commands_of_the_readme_work() {
    let text = std::fs::read_to_string(repository("README.md")).unwrap();
    let commands: Vec<_> = commands(&text).iter().filter_map(|command| kubectl(command)).collect();
    if commands.is_empty() {
        return;
    }
    let cluster = Cluster::start().await;
    for arguments in commands {
        let output = Command::new(cluster.plane.binaries().join("kubectl"))
            .env("KUBECONFIG", cluster.plane.kubeconfig())
            .current_dir(Path::new(&repository("")))
            .args(&arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "kubectl {}: {}{}\n{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            cluster.operator_output()
        );
    }
}
