//! Every command of docs/install.md is run, in its order, in a cluster without anything.

use std::process::Command;

use super::installed::Installed;
use crate::{
    examples::{arguments, commands},
    support::repository,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_installation_work() {
    let installed = Installed::nothing().await;
    let text = std::fs::read_to_string(repository("docs/install.md")).unwrap();
    let commands = commands(&text);
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        let words = arguments(&command).unwrap_or_else(|| panic!("no test can run `{command}`"));
        tokio::task::block_in_place(|| run(&installed, &words));
    }
}

fn run(installed: &Installed, words: &[String]) {
    let plane = &installed.cluster.plane;
    let said = match words[0].as_str() {
        "helm" => installed.helm.run(&words[1..]).map_err(|error| format!("{error:#}")),
        "kubectl" => {
            let output = Command::new(plane.binaries().join("kubectl"))
                .env("KUBECONFIG", plane.kubeconfig())
                .current_dir(repository(""))
                .args(&words[1..])
                .output()
                .unwrap();
            let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
            if output.status.success() {
                Ok(said.concat())
            } else {
                Err(said.concat())
            }
        }
        other => panic!("{other} is neither helm nor kubectl"),
    };
    if let Err(error) = said {
        panic!("{}: {error}\n{}", words.join(" "), installed.nodes().output());
    }
}
