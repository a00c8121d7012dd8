//! The operator brings definitions up to date that are older than itself: Helm never does.

use appkeys::api::{self, DEFINITIONS_VERSION};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::installed::Installed;

const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";

/// A definition as it is of another version: with a rule that this one does not have, and without a column.
fn other_version(installed: &Installed, crd: &str, version: &str) {
    let label = DEFINITIONS_VERSION.replace('/', "~1");
    let rule = json!([{"rule": "true", "message": "another version"}]);
    let patch = json!([
        {"op": "replace", "path": format!("/metadata/labels/{label}"), "value": version},
        {"op": "add", "path": format!("{SCHEMA}/x-kubernetes-validations"), "value": rule},
        {"op": "remove", "path": "/spec/versions/0/additionalPrinterColumns/0"},
        {"op": "add", "path": "/metadata/annotations/example.com~1note", "value": "somebody's"},
    ]);
    let annotate = ["annotate", "crd", crd, "example.com/note=somebody"];
    installed.cluster.kubectl(&annotate);
    installed
        .cluster
        .kubectl(&["patch", "crd", crd, "--type=json", "-p", &patch.to_string()]);
}

async fn definition(installed: &Installed, name: &str) -> CustomResourceDefinition {
    let all = Api::<CustomResourceDefinition>::all(installed.cluster.client().await);
    all.get(name).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_brings_definitions_up_to_date_that_are_older_and_no_others() {
    let installed = Installed::nothing().await;
    installed.install(&["--set", "replicas=1"]);
    let (older, newer) = ("applicationkeys.appkeys.dev", "applications.appkeys.dev");
    other_version(&installed, newer, "99.0.0");
    other_version(&installed, older, "0.0.1");
    // Another process; of the two definitions it comes to the newer one first.
    let sequence: Vec<_> = api::all_crds().iter().map(kube::ResourceExt::name_any).collect();
    let at = |name: &str| sequence.iter().position(|other| other == name);
    assert!(at(newer) < at(older));
    let annotation = ["--set", "replicas=1", "--set", "podAnnotations.again=yes"];
    installed.helm("upgrade appkeys charts/appkeys", &annotation).unwrap();
    installed
        .cluster
        .until("the older definition to be brought up to date", async || {
            let crd = definition(&installed, older).await;
            crd.labels()[DEFINITIONS_VERSION] == env!("CARGO_PKG_VERSION")
        })
        .await;
    let said_so = |crd: &CustomResourceDefinition| {
        let schema = serde_json::to_value(crd).unwrap();
        schema
            .pointer(SCHEMA)
            .map(Value::to_string)
            .unwrap()
            .contains("another version")
    };
    let now = definition(&installed, older).await;
    assert!(!said_so(&now), "rules of the version before are gone");
    assert_eq!(now.annotations()["example.com/note"], "somebody's");
    let wanted = api::all_crds().into_iter().find(|crd| crd.name_any() == older).unwrap();
    let columns = |crd: &CustomResourceDefinition| crd.spec.versions[0].additional_printer_columns.clone();
    assert_eq!(columns(&now), columns(&wanted));
    let kept = definition(&installed, newer).await;
    assert_eq!(kept.labels()[DEFINITIONS_VERSION], "99.0.0");
    assert!(said_so(&kept), "a newer definition is left");
}
