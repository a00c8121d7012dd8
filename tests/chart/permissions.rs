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
pub(super) type Act = (String, String, String, Option<String>);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_permission_is_used_and_no_request_is_refused() {
    let operator = "system:serviceaccount:appkeys:appkeys";
    let hook = "system:serviceaccount:appkeys:appkeys-release";
    let plane = ControlPlane::start_audited(&[operator, hook]).await.unwrap();
    let installed = Installed::nothing_in(plane).await;
    installed.install(&["--set", "replicas=1"]);
    let cluster = &installed.cluster;

    cluster.kubectl(&["apply", "-f", &repository("examples/quickstart.yaml")]);
    cluster.ready("team-a", "shop-production").await;
    for namespace in ["team", "own", "trouble"] {
        team(cluster, namespace).await;
    }
    keys(cluster, "team").await;
    key_managers(cluster, "own").await;
    second_key_manager(cluster).await;
    trouble(cluster, "trouble").await;
    definitions(&installed).await;
    uninstall(&installed).await;

    let record = Record::of(&cluster.plane);
    let objects = render(&json!({})).unwrap();
    for (account, role, least) in [(operator, "appkeys", 40), (hook, "appkeys-release", 12)] {
        record.nothing_refused(account);
        let granted = [("ClusterRole", role), ("Role", role)].map(|(kind, name)| granted(&objects, kind, name));
        let granted: BTreeSet<_> = granted.into_iter().flatten().collect();
        record.all_used(account, &granted, |_| true);
        assert!(granted.len() >= least, "{role} has only {} grants", granted.len());
    }
}

/// What the API server was asked.
pub(super) struct Record(Vec<Value>);

impl Record {
    pub(super) fn of(plane: &ControlPlane) -> Self {
        let record = plane.audited().unwrap();
        Self(record.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    pub(super) fn asked_by(&self, account: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |event| event["user"]["username"] == account)
    }

    pub(super) fn nothing_refused(&self, account: &str) {
        let refused: BTreeSet<_> = self
            .asked_by(account)
            .filter(|event| event["annotations"]["authorization.k8s.io/decision"] != "allow")
            .map(|event| format!("{} {}", event["verb"], event["requestURI"]))
            .collect();
        assert!(refused.is_empty(), "the chart does not grant {account} {refused:#?}");
    }

    /// All that is granted was done, in one of the places.
    pub(super) fn all_used(&self, account: &str, granted: &BTreeSet<Act>, place: impl Fn(&Value) -> bool) {
        let there = self
            .asked_by(account)
            .filter(|event| place(&event["objectRef"]["namespace"]));
        let done: BTreeSet<_> = there.map(act).collect();
        let unused: Vec<_> = granted.difference(&done).collect();
        assert!(
            unused.is_empty(),
            "the chart grants {account} what is never done: {unused:#?}"
        );
    }
}

/// What a role of the chart grants.
pub(super) fn granted(objects: &[Value], kind: &str, name: &str) -> BTreeSet<Act> {
    let mut all = BTreeSet::new();
    for rule in object(objects, kind, name)["rules"].as_array().unwrap() {
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
pub(super) async fn keys(cluster: &Cluster, namespace: &str) {
    let rotated = |trigger: &str| {
        let rotation = json!({"overlap": "1s", "trigger": trigger});
        key(
            namespace,
            "k",
            &json!({"rotation": rotation, "accessTokens": [{"name": "t"}]}),
        )
    };
    cluster.apply(&rotated("one"));
    cluster.ready(namespace, "k").await;
    let before = cluster.secret(namespace, "k").await;
    cluster.apply(&rotated("two"));
    let idle = |key: &ApplicationKey| {
        let credential = key.status.as_ref().and_then(|status| status.credential.as_ref());
        credential.is_some_and(|credential| credential.version == 2 && credential.previous_valid_until.is_none())
    };
    cluster.key_until(namespace, "k", idle).await;
    assert_eq!(token(&before, &[]).await.0, 401);
    cluster.kubectl(&["-n", namespace, "delete", "secret", "k"]);
    let back = async || cluster.plane.kubectl(&["-n", namespace, "get", "secret", "k"]).is_ok();
    cluster.until("the Secret to come back", back).await;
    let replaced = json!({"rotation": {"strategy": "ReplaceClient", "overlap": "1s", "trigger": "three"}});
    cluster.apply(&key(namespace, "replaced", &json!({})));
    cluster.ready(namespace, "replaced").await;
    cluster.apply(&key(namespace, "replaced", &replaced));
    cluster.ready(namespace, "replaced").await;
    cluster.kubectl(&["-n", namespace, "delete", "akey", "--all", "--timeout=60s"]);
    cluster.kubectl(&["-n", namespace, "delete", "akapp", "shop", "--timeout=60s"]);
}

/// Key managers of a namespace where nobody answers; one is left for the uninstallation.
pub(super) async fn key_managers(cluster: &Cluster, namespace: &str) {
    let spec = json!({"oidc": {"issuer": "https://nowhere.invalid"}});
    let object = |name: &str| {
        let metadata = json!({"name": name, "namespace": namespace});
        cluster.apply(
            &json!({"apiVersion": "appkeys.dev/v1alpha1", "kind": "KeyManager", "metadata": metadata, "spec": spec}),
        );
    };
    object("own");
    let reference = json!({"keyManagerRef": {"kind": "KeyManager", "name": "own"}});
    cluster.apply(&key(namespace, "k", &reference));
    let status = |name: &str| ready(cluster, &["-n", namespace, "get", "km", name]);
    cluster
        .until("the KeyManager to say that it is unreachable", async || {
            status("own") == "False"
        })
        .await;
    object("left");
    let left = async || status("left") == "False";
    cluster.until("another KeyManager to say the same", left).await;
    cluster.kubectl(&["-n", namespace, "delete", "akey", "k", "--timeout=60s"]);
    cluster.kubectl(&["-n", namespace, "delete", "km", "own", "--timeout=60s"]);
}

/// What the condition `Ready` says of what is asked for.
fn ready(cluster: &Cluster, get: &[&str]) -> String {
    let path = "-o=jsonpath={.status.conditions[?(@.type=='Ready')].status}";
    cluster.kubectl(&[get, &[path]].concat())
}

/// A key manager of the cluster comes and goes.
async fn second_key_manager(cluster: &Cluster) {
    let metadata = json!({"name": "second"});
    let spec = json!({"resident": {}});
    cluster.apply(
        &json!({"apiVersion": "appkeys.dev/v1alpha1", "kind": "ClusterKeyManager", "metadata": metadata, "spec": spec}),
    );
    cluster
        .until("a second resident key manager", async || {
            ready(cluster, &["get", "ckm", "second"]) == "True"
        })
        .await;
    cluster.kubectl(&["delete", "ckm", "second", "--timeout=60s"]);
}

/// The same trouble twice, which is one event that is counted, and a key that cannot be read.
pub(super) async fn trouble(cluster: &Cluster, namespace: &str) {
    let says = |wanted: &'static str| {
        move |key: &ApplicationKey| {
            let status = key
                .status
                .as_ref()
                .filter(|s| s.observed_generation == key.metadata.generation);
            status.is_some_and(|status| conditions::reason(&status.conditions, "Ready") == Some(wanted))
        }
    };
    for _ in 0..2 {
        cluster.apply(&key(namespace, "k", &json!({"scopes": ["none:such"]})));
        cluster.key_until(namespace, "k", says("AccessDenied")).await;
        cluster.apply(&key(namespace, "k", &json!({"scopes": null})));
        cluster.ready(namespace, "k").await;
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
    let unreadable = key(namespace, "unreadable", &json!({"environment": "Staging"}));
    std::fs::write(file.path(), unreadable.to_string()).unwrap();
    let apply = ["apply", "-f", file.path().to_str().unwrap()];
    cluster
        .until("the other definition to hold", async || {
            cluster.plane.kubectl(&apply).is_ok()
        })
        .await;
    let said = async || {
        let text = cluster.kubectl(&["-n", namespace, "get", "akey", "unreadable", "-o", "json"]);
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
pub(super) async fn uninstall(installed: &Installed) {
    let cluster = &installed.cluster;
    cluster.kubectl(&["-n", NAMESPACE, "scale", "deployment", "appkeys", "--replicas=0"]);
    cluster
        .until("no process to be left", async || installed.nodes().is_idle())
        .await;
    cluster.kubectl(&["-n", NAMESPACE, "delete", "lease", "appkeys"]);
    installed.helm("uninstall appkeys", &[]).unwrap();
}
