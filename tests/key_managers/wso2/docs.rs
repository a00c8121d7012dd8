//! What its page tells people to do there works.

use std::process::Command;

use appkeys::key_manager::Registered;
use serde_json::{Value, json};
use testbed::key_managers::wso2::{Settings, Version, Wso2};

use super::bench::register;
use crate::{
    examples::{arguments, commands},
    key_managers::beds::{self, Bed},
    support::{provider, repository},
};

#[tokio::test]
async fn a_client_that_is_registered_as_documented_logs_the_operator_in() {
    provider();
    let wso2 = Wso2::start(Settings::of(Version::V4_7)).await.unwrap();
    let text = std::fs::read_to_string(repository("docs/key-managers/wso2.md")).unwrap();
    let commands = commands(&text);
    let mut curls = commands.iter().filter_map(|command| command.strip_prefix("curl "));
    let command = curls.next().unwrap();
    let command = command.replace("https://HOST:9443", wso2.url());
    let command = command.replace("PASSWORD", wso2.password());
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.crt");
    std::fs::write(&ca, wso2.ca()).unwrap();
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--cacert"])
        .arg(&ca)
        .args(arguments(&command).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();

    let mut bed = Bed::wso2(&wso2, "wso2");
    bed.spec["wso2"]["login"] = json!("Client");
    bed.secrets[0].1 = json!({"client-id": answer["clientId"], "client-secret": answer["clientSecret"]});
    let driver = bed.open().await.unwrap_or_else(|say| panic!("{}", say.message)).driver;
    let (client, properties) = beds::machine("wso2-docs", "k");
    let made = register(&*driver, &client, &properties).await.unwrap();
    assert!(matches!(made, Registered::Made(_)), "{made:?}");
    wso2.audit().assert_clean();
}
