//! A team with two workloads and the API that they call: one workload reads mounted files each time, the other has the values in
//! its environment.

use appkeys::api::ApplicationKey;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};
use testbed::workload::{API_PORT, API_URL, FOLDER};

use super::bed::Bed;

pub(super) const NAMESPACE: &str = "team-a";
/// A key, and the Pod with its Secret in files.
pub(super) const FILES: &str = "in-files";
/// A key, and the Pod with its Secret in the environment.
pub(super) const ENVIRONMENT: &str = "in-environment";
const API: &str = "orders";

/// What a workload has said.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Names of the secrets that it has had.
    pub(super) secrets: Vec<String>,
    pub(super) calls: u64,
    pub(super) failed: u64,
    /// Why calls failed.
    pub(super) failures: Vec<String>,
}

pub(super) struct Team;

impl Team {
    /// The first example, whose key is ready.
    pub(super) fn with_quickstart(bed: &Bed) -> Self {
        bed.apply_file("examples/quickstart.yaml");
        ready(bed, "shop-production");
        Self
    }

    /// Its keys with scopes, and the Pods with their Secrets.
    pub(super) async fn run_workloads(&self, bed: &Bed) {
        let key = |name: &str, secret: Value| {
            json!({
                "apiVersion": "appkeys.dev/v1alpha1", "kind": "ApplicationKey",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {
                    "applicationRef": {"name": "shop"}, "environment": "Production", "scopes": ["orders:read"],
                    "rotation": {"overlap": bed.overlap}, "secret": secret,
                },
            })
        };
        bed.apply(&key(FILES, json!({})));
        bed.apply(&key(ENVIRONMENT, json!({"preset": "env"})));
        for name in [FILES, ENVIRONMENT] {
            ready(bed, name);
        }
        let container = |work: &str, environment: Value| {
            json!({
                "name": "main", "image": bed.workload, "imagePullPolicy": "IfNotPresent", "args": [work], "env": environment,
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            })
        };
        let mounted = |mut container: Value| {
            container["env"]
                .as_array_mut()
                .unwrap()
                .push(json!({"name": FOLDER, "value": "/etc/credential"}));
            container["volumeMounts"] =
                json!([{"name": "credential", "mountPath": "/etc/credential", "readOnly": true}]);
            container
        };
        let pod = |name: &str, container: Value| {
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name}},
                "spec": {
                    "containers": [container],
                    "volumes": [{"name": "credential", "secret": {"secretName": FILES}}],
                    // A cluster of the test bed has no DNS.
                    "hostAliases": [{"ip": bed.service(), "hostnames": ["appkeys.appkeys.svc"]}],
                    "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                    "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 5,
                },
            })
        };
        bed.apply(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": API, "namespace": NAMESPACE},
            "spec": {"selector": {"app": API}, "ports": [{"port": API_PORT}]},
        }));
        bed.apply(&pod(API, mounted(container("protected-api", json!([])))));
        let serves = async || {
            bed.kubectl(&["-n", NAMESPACE, "logs", API, "--ignore-errors"])
                .contains("serves")
        };
        pod_runs(bed, API);
        bed.until("the API", serves).await;
        let address = bed.kubectl(&["-n", NAMESPACE, "get", "service", API, "-o=jsonpath={.spec.clusterIP}"]);
        let url = json!([{"name": API_URL, "value": format!("http://{address}:{API_PORT}/orders")}]);
        bed.apply(&pod(FILES, mounted(container("workload", url.clone()))));
        let mut with_variables = container("workload", url);
        with_variables["envFrom"] = json!([{"secretRef": {"name": ENVIRONMENT}}]);
        bed.apply(&pod(ENVIRONMENT, with_variables));
        for pod in [FILES, ENVIRONMENT] {
            pod_runs(bed, pod);
        }
    }

    /// What a workload has said so far.
    pub(super) fn log(&self, bed: &Bed, pod: &str) -> Log {
        let mut log = Log::default();
        for line in bed.kubectl(&["-n", NAMESPACE, "logs", pod]).lines() {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["secret", name] => log.secrets.push(name.to_owned()),
                ["calls", calls, "failed", failed] => {
                    log.calls = calls.parse().unwrap();
                    log.failed = failed.parse().unwrap();
                }
                _ => log.failures.push(line.to_owned()),
            }
        }
        log
    }

    /// Waits until a workload has made so many calls, and gives how many it has made.
    pub(super) async fn calls(&self, bed: &Bed, pod: &str, calls: u64) -> u64 {
        bed.until("calls", async || self.log(bed, pod).calls >= calls).await;
        let log = self.log(bed, pod);
        assert_eq!(log.failed, 0, "{pod}: {:?}", log.failures);
        log.calls
    }

    /// The client secret that a key has now.
    pub(super) async fn secret(&self, bed: &Bed, key: &str) -> String {
        let secret = bed.api::<Secret>(NAMESPACE).await.get(key).await.unwrap();
        String::from_utf8(secret.data.unwrap()["client-secret"].0.clone()).unwrap()
    }

    /// Until when the secret before works.
    pub(super) async fn old_works_until(&self, bed: &Bed, key: &str) -> Timestamp {
        let api = bed.api::<ApplicationKey>(NAMESPACE).await;
        let mut until = None;
        let found = async || {
            let status = api.get(key).await.unwrap().status.unwrap();
            until = status.credential.and_then(|credential| credential.previous_valid_until);
            until.is_some()
        };
        bed.until("the end of the old secret in the key's status", found).await;
        until.unwrap().0
    }

    /// How often the containers of its Pods were started again.
    pub(super) fn restarts(&self, bed: &Bed) -> String {
        bed.kubectl(&[
            "-n",
            NAMESPACE,
            "get",
            "pods",
            "-o=jsonpath={.items[*].status.containerStatuses[*].restartCount}",
        ])
        .replace(' ', "")
    }

    /// It goes, while the operator is there to clean up.
    pub(super) fn leave(&self, bed: &Bed) {
        bed.kubectl(&["delete", "namespace", NAMESPACE, "--timeout=3m"]);
    }
}

fn ready(bed: &Bed, key: &str) {
    bed.kubectl(&[
        "-n",
        NAMESPACE,
        "wait",
        "akey",
        key,
        "--for=condition=Ready",
        "--timeout=2m",
    ]);
}

fn pod_runs(bed: &Bed, pod: &str) {
    let name = format!("pod/{pod}");
    bed.kubectl(&["-n", NAMESPACE, "wait", &name, "--for=condition=Ready", "--timeout=2m"]);
}
