//! Alert rules, as Prometheus reads them: each fires when it should, and is silent when it should be.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;
use testbed::promtool;

use crate::support::repository;

const RULES: &str = "charts/appkeys/alerts.yaml";
const TESTS: &str = "tests/e2e/alerts.yaml";

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(repository(path)).unwrap()).unwrap()
}

fn promtool(arguments: &[&str]) {
    let output = Command::new(promtool::installed().unwrap())
        .args(arguments)
        .current_dir(repository(""))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(
        output.status.success(),
        "promtool {}\n{}",
        arguments.join(" "),
        said.concat()
    );
}

#[test]
fn prometheus_can_read_the_rules() {
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", RULES]);
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    promtool(&["test", "rules", TESTS]);
}

#[test]
fn each_alert_has_a_test_of_both() {
    let mut fires = BTreeMap::<String, [bool; 2]>::new();
    for test in yaml(TESTS)["tests"].as_array().unwrap() {
        for asked in test["alert_rule_test"].as_array().unwrap() {
            let name = asked["alertname"].as_str().unwrap();
            let expected = asked["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty());
            fires.entry(name.to_owned()).or_default()[usize::from(expected)] = true;
        }
    }
    for rule in yaml(RULES)["groups"][0]["rules"].as_array().unwrap() {
        let name = rule["alert"].as_str().unwrap();
        assert_eq!(fires.get(name), Some(&[true, true]), "{name}: silent, and firing");
    }
}
