//! The operator needs what the chart grants, and is granted what it needs: the API server's own record of a run in which
//! everything happens that makes a request of its own.

use std::collections::BTreeSet;

use appkeys::api::{ApplicationKey, DEFINITIONS_VERSION, conditions};
use serde_json::{Value, json};
use testbed::control_plane::ControlPlane;

use super::{
    installed::{Installed, NAMESPACE},
    object, render,
};
use crate::support::{Cluster, key, leads, repository, team, token};

/// One thing that may be done or was done: group, resource with its part, verb, and the name where a rule says one.
type Act = (String, String, String, Option<String>);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_permission_is_used_and_no_request_is_refused() {
    let operator = "system:serviceaccount:appkeys:appkeys";
    let hook = "system:serviceaccount:appkeys:appkeys-release";
    let plane = ControlPlane::start_audited(&[operator, hook]).await.unwrap();
    let installed = Installed::nothing_in(plane).await;
    installed.install(&["--set", "replicas=1"]);
    let cluster = &installed.cluster;

    keys(cluster).await;
    key_managers(cluster).await;
    trouble(cluster).await;
    definitions(&installed).await;
    uninstall(&installed).await;

    let record = cluster.plane.audited().unwrap();
    let record: Vec<Value> = record.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (account, role, least) in [(operator, "appkeys", 40), (hook, "appkeys-release", 12)] {
        let asked: Vec<_> = record
            .iter()
            .filter(|event| event["user"]["username"] == account)
            .collect();
        let refused: BTreeSet<_> = asked
            .iter()
            .filter(|event| event["annotations"]["authorization.k8s.io/decision"] != "allow")
            .map(|event| format!("{} {}", event["verb"], event["requestURI"]))
            .collect();
        assert!(refused.is_empty(), "the chart does not grant {role} {refused:#?}");
        let done: BTreeSet<_> = asked.iter().map(|event| act(event)).collect();
        let granted = granted(role);
        let unused: Vec<_> = granted.difference(&done).collect();
        assert!(
            unused.is_empty(),
            "the chart grants {role} what is never done: {unused:#?}"
        );
        assert!(
            granted.len() >= least,
            "only {} grants of {role} were found",
            granted.len()
        );
    }
}

/// What the chart's roles of this name grant.
fn granted(name: &str) -> BTreeSet<Act> {
    let mut all = BTreeSet::new();
    let objects = render(&json!({})).unwrap();
    for kind in ["ClusterRole", "Role"] {
        for rule in object(&objects, kind, name)["rules"].as_array().unwrap() {
            let words = |what: &str| -> Vec<String> {
                let words = rule[what].as_array().into_iter().flatten();
                words.map(|word| word.as_str().unwrap().to_owned()).collect()
            };
            assert!(!rule.to_string().contains('*'), "{rule}");
            let group = words("apiGroups").pop().unwrap();
            let mut names: Vec<_> = words("resourceNames").into_iter().map(Some).collect();
            if names.is_empty() {
                names.push(None);
            }
            for resource in words("resources") {
                for verb in words("verbs") {
                    let act = |name: &Option<String>| (group.clone(), resource.clone(), verb.clone(), name.clone());
                    all.extend(names.iter().map(act));
                }
            }
        }
    }
    all
}

/// What a request of the record did; named only where the rules name objects.
fn act(event: &Value) -> Act {
    let about = &event["objectRef"];
    let text = |what: &str| about[what].as_str().unwrap_or_default().to_owned();
    let (group, mut resource, verb) = (
        text("apiGroup"),
        text("resource"),
        event["verb"].as_str().unwrap().to_owned(),
    );
    if !text("subresource").is_empty() {
        resource = format!("{resource}/{}", text("subresource"));
    }
    let named = match resource.as_str() {
        "customresourcedefinitions" | "deployments/scale" => true,
        "leases" => verb != "create",
        "namespaces" => verb == "get",
        _ => false,
    };
    let name = named.then(|| text("name"));
    (group, resource, verb, name)
}

/// A key is made, rotated and deleted, its Secret comes back, and tokens are revoked and refused.
async fn keys(cluster: &Cluster) {
    cluster.kubectl(&["apply", "-f", &repository("examples/quickstart.yaml")]);
    cluster.ready("team-a", "shop-production").await;
    team(cluster, "team").await;
    let rotated = |trigger: &str| {
        let rotation = json!({"overlap": "1s", "trigger": trigger});
        key(
            "team",
            "k",
            &json!({"rotation": rotation, "accessTokens": [{"name": "t"}]}),
        )
    };
    cluster.apply(&rotated("one"));
    cluster.ready("team", "k").await;
    let before = cluster.secret("team", "k").await;
    cluster.apply(&rotated("two"));
    let idle = |key: &ApplicationKey| {
        let credential = key.status.as_ref().and_then(|status| status.credential.as_ref());
        credential.is_some_and(|credential| credential.version == 2 && credential.previous_valid_until.is_none())
    };
    cluster.key_until("team", "k", idle).await;
    assert_eq!(token(&before, &[]).await.0, 401);
    cluster.kubectl(&["-n", "team", "delete", "secret", "k"]);
    let back = async || cluster.plane.kubectl(&["-n", "team", "get", "secret", "k"]).is_ok();
    cluster.until("the Secret to come back", back).await;
    let replaced = json!({"rotation": {"strategy": "ReplaceClient", "overlap": "1s", "trigger": "three"}});
    cluster.apply(&key("team", "replaced", &json!({})));
    cluster.ready("team", "replaced").await;
    cluster.apply(&key("team", "replaced", &replaced));
    cluster.ready("team", "replaced").await;
    cluster.kubectl(&["-n", "team", "delete", "akey", "--all", "--timeout=60s"]);
    cluster.kubectl(&["-n", "team", "delete", "akapp", "shop", "--timeout=60s"]);
}

/// Key managers of the cluster and of a namespace, for one of which nobody answers; one is left for the uninstallation.
async fn key_managers(cluster: &Cluster) {
    let spec = json!({"oidc": {"issuer": "https://nowhere.invalid"}});
    let object = |kind: &str, metadata: Value, spec: &Value| {
        cluster.apply(&json!({"apiVersion": "appkeys.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}));
    };
    team(cluster, "own").await;
    object("KeyManager", json!({"name": "own", "namespace": "own"}), &spec);
    let reference = json!({"keyManagerRef": {"kind": "KeyManager", "name": "own"}});
    cluster.apply(&key("own", "k", &reference));
    let status = |kind: &str, name: &str| {
        let path = "-o=jsonpath={.status.conditions[?(@.type=='Ready')].status}";
        cluster.kubectl(&["-n", "own", "get", kind, name, path])
    };
    cluster
        .until("the KeyManager to say that it is unreachable", async || {
            status("km", "own") == "False"
        })
        .await;
    object("KeyManager", json!({"name": "left", "namespace": "own"}), &spec);
    let left = async || status("km", "left") == "False";
    cluster.until("another KeyManager to say the same", left).await;
    object("ClusterKeyManager", json!({"name": "second"}), &json!({"resident": {}}));
    cluster
        .until("a second resident key manager", async || {
            status("ckm", "second") == "True"
        })
        .await;
    cluster.kubectl(&["delete", "ckm", "second", "--timeout=60s"]);
    cluster.kubectl(&["-n", "own", "delete", "akey", "k", "--timeout=60s"]);
    cluster.kubectl(&["-n", "own", "delete", "km", "own", "--timeout=60s"]);
}

/// The same trouble twice, which is one event that is counted, and a key that cannot be read.
async fn trouble(cluster: &Cluster) {
    let says = |wanted: &'static str| {
        move |key: &ApplicationKey| {
            let status = key
                .status
                .as_ref()
                .filter(|s| s.observed_generation == key.metadata.generation);
            status.is_some_and(|status| conditions::reason(&status.conditions, "Ready") == Some(wanted))
        }
    };
    team(cluster, "trouble").await;
    for _ in 0..2 {
        cluster.apply(&key("trouble", "k", &json!({"scopes": ["none:such"]})));
        cluster.key_until("trouble", "k", says("AccessDenied")).await;
        cluster.apply(&key("trouble", "k", &json!({"scopes": null})));
        cluster.ready("trouble", "k").await;
    }
    let anything = json!([{
        "op": "replace",
        "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/environment",
        "value": {"type": "string", "description": "anything"},
    }]);
    let patch = anything.to_string();
    cluster.kubectl(&[
        "patch",
        "crd",
        "applicationkeys.appkeys.dev",
        "--type=json",
        "-p",
        &patch,
    ]);
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    let unreadable = key("trouble", "unreadable", &json!({"environment": "Staging"}));
    std::fs::write(file.path(), unreadable.to_string()).unwrap();
    let apply = ["apply", "-f", file.path().to_str().unwrap()];
    cluster
        .until("the other definition to hold", async || {
            cluster.plane.kubectl(&apply).is_ok()
        })
        .await;
    let said = async || {
        let text = cluster.kubectl(&["-n", "trouble", "get", "akey", "unreadable", "-o", "json"]);
        text.contains("InvalidObject")
    };
    cluster.until("the key to say that it cannot be read", said).await;
}

/// A process that comes after this one finds definitions of a version before.
async fn definitions(installed: &Installed) {
    let cluster = &installed.cluster;
    let label = format!("{DEFINITIONS_VERSION}=0.0.1");
    let crds = ["applications", "applicationkeys", "keymanagers", "clusterkeymanagers"];
    for crd in crds {
        cluster.kubectl(&["label", "crd", &format!("{crd}.appkeys.dev"), "--overwrite", &label]);
    }
    let before = installed.nodes().pods();
    cluster.kubectl(&["-n", NAMESPACE, "delete", "pod", "--all", "--timeout=60s"]);
    let another_leads = async || {
        let pods = installed.nodes().pods();
        let another = pods.iter().find(|(name, _)| !before.contains_key(*name));
        match another {
            Some((_, ports)) => leads(*ports).await,
            None => false,
        }
    };
    cluster.until("another process to lead", another_leads).await;
    let old = format!("--selector={label}");
    let none_left = async || cluster.kubectl(&["get", "crds", &old, "-o", "name"]).is_empty();
    cluster
        .until("the definitions to be brought up to date", none_left)
        .await;
}

/// Without an operator, and without the Lease that one would have left.
async fn uninstall(installed: &Installed) {
    let cluster = &installed.cluster;
    cluster.kubectl(&["-n", NAMESPACE, "scale", "deployment", "appkeys", "--replicas=0"]);
    cluster
        .until("no process to be left", async || installed.nodes().is_idle())
        .await;
    cluster.kubectl(&["-n", NAMESPACE, "delete", "lease", "appkeys"]);
    installed.helm("uninstall appkeys", &[]).unwrap();
}
