//! What a release is made of agrees with itself: the image, the chart, the workflow that publishes them.

use crate::support::repository;

fn text(file: &str) -> String {
    std::fs::read_to_string(repository(file)).unwrap()
}

/// The lines of the Dockerfile that say something, each with what it continues.
fn instructions() -> Vec<String> {
    let text = text("Dockerfile").replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(str::to_owned).collect()
}

#[test]
fn the_image_is_one_program_without_a_shell_that_runs_as_the_chart_s_user() {
    let instructions = instructions();
    let of = |name: &str| -> Vec<_> {
        let all = instructions.iter().filter_map(|line| line.strip_prefix(name));
        all.map(|rest| rest.trim().to_owned()).collect()
    };
    assert_eq!(of("FROM"), ["scratch"]);
    assert_eq!(of("COPY"), ["appkeys /appkeys"]);
    // In brackets: the other form asks for a shell. The chart adds arguments, and names no command.
    assert_eq!(of("ENTRYPOINT"), [r#"["/appkeys"]"#]);
    for one_more in ["RUN", "ADD", "CMD", "SHELL", "VOLUME"] {
        assert!(of(one_more).is_empty(), "{one_more}");
    }
    let pods = text("charts/appkeys/templates/_helpers.tpl");
    let of_pods = |name: &str| -> Vec<_> {
        let all = pods.lines().filter_map(|line| line.trim().strip_prefix(name));
        all.map(str::to_owned).collect()
    };
    let (user, group) = (of_pods("runAsUser: "), of_pods("runAsGroup: "));
    assert_eq!([user.len(), group.len()], [1, 1]);
    assert_eq!(of("USER"), [format!("{}:{}", user[0], group[0])]);
    assert!(of_pods("command:").is_empty(), "the image has its program");
}

/// As the workflow reads and changes them.
#[test]
fn the_versions_agree_and_the_published_chart_can_be_told_where_the_image_is() {
    let version = env!("CARGO_PKG_VERSION");
    for (file, line) in [
        ("Cargo.toml", format!("version = \"{version}\"")),
        ("charts/appkeys/Chart.yaml", format!("version: {version}")),
        ("charts/appkeys/Chart.yaml", format!("appVersion: {version}")),
        ("charts/appkeys/values.yaml", "  repository: appkeys".to_owned()),
    ] {
        let found = text(file).lines().filter(|there| **there == line).count();
        assert_eq!(found, 1, "{file} has `{line}`");
    }
}

/// A tag can be moved by whoever owns the action, and what it then does would be signed with our name.
#[test]
fn the_workflow_takes_actions_by_their_commit() {
    let workflow = text(".github/workflows/release.yml");
    let uses: Vec<_> = workflow.lines().filter_map(|line| line.split_once("uses: ")).collect();
    assert!(!uses.is_empty());
    for (_, action) in uses {
        let commit = action.split(['@', ' ']).nth(1).unwrap_or_default();
        let pinned = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(pinned, "{action}");
    }
}
