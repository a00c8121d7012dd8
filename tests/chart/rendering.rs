//! What the chart renders.

use appkeys::api;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use testbed::helm::Helm;

use super::{everything, is_hook, object, render};
use crate::support::repository;

#[test]
fn lint_has_nothing_to_say() {
    let helm = Helm::without_cluster().unwrap();
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), everything().to_string()).unwrap();
    for values in [&[][..], &["--values", file.path().to_str().unwrap()]] {
        let said = helm
            .run(&[&["lint", "--strict", "charts/appkeys"], values].concat())
            .unwrap();
        assert!(said.contains("1 chart(s) linted, 0 chart(s) failed"), "{said}");
        assert!(!said.contains("WARNING") && !said.contains("ERROR"), "{said}");
    }
}

#[test]
fn without_values_it_renders_a_working_system() {
    let objects = render(&json!({})).unwrap();
    let mut names: Vec<_> = objects
        .iter()
        .filter(|object| !is_hook(object))
        .map(|o| {
            format!(
                "{} {}",
                o["kind"].as_str().unwrap(),
                o["metadata"]["name"].as_str().unwrap()
            )
        })
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "ClusterKeyManager resident",
            "ClusterRole appkeys",
            "ClusterRole appkeys-edit",
            "ClusterRole appkeys-servicebinding",
            "ClusterRole appkeys-view",
            "ClusterRoleBinding appkeys",
            "Deployment appkeys",
            "NetworkPolicy appkeys",
            "PodDisruptionBudget appkeys",
            "Role appkeys",
            "RoleBinding appkeys",
            "Service appkeys",
            "ServiceAccount appkeys",
        ]
    );
    let plain = json!({"default": true, "resident": {}, "access": [{"namespaceSelector": {}}]});
    assert_eq!(object(&objects, "ClusterKeyManager", "resident")["spec"], plain);
    let deployment = object(&objects, "Deployment", "appkeys");
    assert_eq!(deployment["spec"]["replicas"], 2);
    let environment = environment(deployment);
    assert_eq!(environment["APPKEYS_RESIDENT_URL"], "https://appkeys.appkeys.svc:8443");
    assert_eq!(environment["APPKEYS_NAMESPACE"], "appkeys");
    let service = object(&objects, "Service", "appkeys");
    assert_eq!(
        service["spec"]["selector"],
        deployment["spec"]["selector"]["matchLabels"]
    );
    assert_eq!(service["spec"]["ports"][0]["port"], 8443);
}

/// The environment of the Deployment's container.
fn environment(deployment: &Value) -> serde_json::Map<String, Value> {
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let variables = container["env"].as_array().unwrap().iter();
    let variables = variables.map(|v| (v["name"].as_str().unwrap().to_owned(), v["value"].clone()));
    variables.collect()
}

#[test]
fn every_variable_is_one_that_the_operator_reads() {
    let objects = render(&everything()).unwrap();
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_appkeys"))
        .args(["run", "--help"])
        .output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    let words = || help.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    for (name, value) in environment(object(&objects, "Deployment", "appkeys")) {
        assert!(
            words().any(|word| word == name),
            "{name}={value} means nothing to the operator"
        );
    }
}

#[test]
fn every_value_is_in_what_it_renders() {
    let objects = render(&everything()).unwrap();
    let deployment = object(&objects, "Deployment", "appkeys");
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let digest = format!("registry.example.com/appkeys@sha256:{}", "0a".repeat(32));
    let rule = |name: &str| object(&objects, name, "appkeys")["metadata"]["labels"]["release"].clone();
    let constraint = &pod["topologySpreadConstraints"][0];
    let policy = &object(&objects, "NetworkPolicy", "appkeys")["spec"];
    let resident = &object(&objects, "ClusterKeyManager", "resident")["spec"];
    let keycloak = &object(&objects, "ClusterKeyManager", "keycloak")["spec"];
    for (found, wanted) in [
        (&deployment["spec"]["replicas"], json!(3)),
        (&container["image"], json!(digest)),
        (&container["imagePullPolicy"], json!("Always")),
        (&pod["imagePullSecrets"], json!([{"name": "pull"}])),
        (&pod["priorityClassName"], json!("system-cluster-critical")),
        (&pod["nodeSelector"], json!({"kubernetes.io/os": "linux"})),
        (&pod["tolerations"][0]["key"], json!("platform")),
        (&pod["affinity"], everything()["affinity"].clone()),
        (&constraint["topologyKey"], json!("topology.kubernetes.io/zone")),
        (&constraint["whenUnsatisfiable"], json!("DoNotSchedule")),
        (&container["resources"], everything()["resources"].clone()),
        (
            &deployment["spec"]["template"]["metadata"]["labels"]["team"],
            json!("platform"),
        ),
        (
            &deployment["spec"]["template"]["metadata"]["annotations"],
            json!({"example.com/note": "a note"}),
        ),
        (&rule("ServiceMonitor"), json!("prometheus")),
        (&rule("PrometheusRule"), json!("prometheus")),
        (
            &object(&objects, "ServiceMonitor", "appkeys")["spec"]["endpoints"][0]["interval"],
            json!("15s"),
        ),
        (&policy["policyTypes"], json!(["Ingress", "Egress"])),
        (
            &policy["ingress"][0]["from"],
            everything()["networkPolicy"]["clients"].clone(),
        ),
        (
            &policy["ingress"][1]["from"],
            everything()["networkPolicy"]["metrics"].clone(),
        ),
        (&policy["egress"][1], everything()["networkPolicy"]["egress"][0].clone()),
        (&resident["limits"], json!({"maxInFlight": 8})),
        (&resident["default"], json!(true)),
        (keycloak, everything()["keyManagers"]["keycloak"].clone()),
    ] {
        assert_eq!(*found, wanted);
    }
    let environment = environment(deployment);
    for (name, wanted) in [
        ("APPKEYS_CLUSTER_ID", "the-old-cluster"),
        ("APPKEYS_RESIDENT_URL", "https://tokens.example.com"),
        ("APPKEYS_DELETION_DEADLINE", "30m"),
        ("APPKEYS_NAMESPACE_REQUESTS_PER_SECOND", "5"),
        ("APPKEYS_LEASE_SECONDS", "10"),
        ("APPKEYS_UPDATE_CRDS", "true"),
        ("APPKEYS_LOG", "appkeys=debug"),
        ("APPKEYS_LOG_FORMAT", "text"),
        ("HTTPS_PROXY", "http://proxy.example.com:3128"),
    ] {
        assert_eq!(environment[name], wanted, "{name}");
    }
    let dashboard = &object(&objects, "ConfigMap", "appkeys-dashboard");
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");
}

#[test]
fn what_is_turned_off_is_not_there() {
    let off = json!({
        "keyManagers": {"resident": null},
        "crds": {"update": false},
        "clusterId": "the-old-cluster",
        "rbac": {"create": false, "aggregate": false},
        "podDisruptionBudget": {"enabled": false},
        "networkPolicy": {"enabled": false},
        "topologySpread": {"keys": []},
        "image": {"tag": "v1"},
        "resources": null,
    });
    let objects = render(&off).unwrap();
    let kinds = objects
        .iter()
        .filter(|object| !is_hook(object))
        .map(|object| object["kind"].as_str().unwrap());
    let mut kinds: Vec<_> = kinds.collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        [
            "ClusterRole",
            "ClusterRole",
            "ClusterRole",
            "Deployment",
            "Service",
            "ServiceAccount"
        ]
    );
    let deployment = object(&objects, "Deployment", "appkeys");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["image"], "appkeys:v1");
    assert_eq!(pod["containers"][0]["resources"], Value::Null);
    assert_eq!(pod["topologySpreadConstraints"], Value::Null);
    assert_eq!(environment(deployment)["APPKEYS_UPDATE_CRDS"], "false");
    for role in ["appkeys-view", "appkeys-edit", "appkeys-servicebinding"] {
        let labels = object(&objects, "ClusterRole", role)["metadata"]["labels"].to_string();
        assert!(
            !labels.contains("aggregate") && !labels.contains("servicebinding.io"),
            "{labels}"
        );
    }
}

#[test]
fn what_is_there_for_the_uninstallation_is_apart_from_the_rest() {
    let objects = render(&everything()).unwrap();
    let hooks: Vec<_> = objects.iter().filter(|object| is_hook(object)).collect();
    let mut kinds: Vec<_> = hooks.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    let roles = [
        "ClusterRole",
        "ClusterRoleBinding",
        "Job",
        "Role",
        "RoleBinding",
        "ServiceAccount",
    ];
    assert_eq!(kinds, roles);
    let job = object(&objects, "Job", "appkeys-release");
    let pod = &job["spec"]["template"];
    let operator = &object(&objects, "Deployment", "appkeys")["spec"];
    // It waits until no Pod of the Deployment is left, so it must not be one.
    assert_ne!(
        pod["metadata"]["labels"]["app.kubernetes.io/name"],
        operator["selector"]["matchLabels"]["app.kubernetes.io/name"]
    );
    for shared in [
        "securityContext",
        "imagePullSecrets",
        "nodeSelector",
        "tolerations",
        "affinity",
        "priorityClassName",
    ] {
        assert_eq!(pod["spec"][shared], operator["template"]["spec"][shared], "{shared}");
    }
    let image = |pod: &Value| pod["containers"][0]["image"].clone();
    assert_eq!(image(&pod["spec"]), image(&operator["template"]["spec"]));
}

#[test]
fn with_less_to_do_it_grants_less() {
    let rules = |values: &Value| {
        let objects = render(values).unwrap();
        object(&objects, "ClusterRole", "appkeys")["rules"].to_string()
    };
    assert!(rules(&json!({})).contains("kube-system"));
    assert!(!rules(&json!({"clusterId": "a"})).contains("kube-system"));
    assert!(rules(&json!({})).contains("apiextensions.k8s.io"));
    assert!(!rules(&json!({"crds": {"update": false}})).contains("apiextensions.k8s.io"));
}

#[test]
fn the_chart_s_definitions_and_version_are_the_program_s() {
    for crd in api::all_crds() {
        let file = format!("{}.yaml", crd.name_any());
        let [ours, charts] = ["crds", "charts/appkeys/crds"]
            .map(|folder| std::fs::read_to_string(repository(&format!("{folder}/{file}"))).unwrap());
        assert!(
            ours == charts,
            "charts/appkeys/crds/{file} is stale: run `make crds` and commit what it writes"
        );
    }
    let files = std::fs::read_dir(repository("charts/appkeys/crds")).unwrap();
    assert_eq!(files.count(), api::all_crds().len());
    let chart = std::fs::read_to_string(repository("charts/appkeys/Chart.yaml")).unwrap();
    let chart: Value = serde_saphyr::from_str(&chart).unwrap();
    for version in ["version", "appVersion"] {
        assert_eq!(chart[version], env!("CARGO_PKG_VERSION"), "{version} in Chart.yaml");
    }
}

#[test]
fn another_name_of_the_release_is_in_every_name() {
    let helm = Helm::without_cluster().unwrap();
    let command = [
        "template",
        "keys",
        "charts/appkeys",
        "--namespace",
        "platform",
        "--kube-version",
        "1.36.0",
    ];
    let text = helm.run(&command).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    for object in objects
        .iter()
        .filter(|o| !o.is_null() && o["kind"] != "ClusterKeyManager")
    {
        let name = object["metadata"]["name"].as_str().unwrap();
        assert!(name.starts_with("keys-appkeys"), "{name}");
        assert!(
            object["metadata"]["namespace"] == "platform" || object["kind"].as_str().unwrap().starts_with("Cluster")
        );
    }
    let deployment = object(&objects, "Deployment", "keys-appkeys");
    assert_eq!(
        environment(deployment)["APPKEYS_RESIDENT_URL"],
        "https://keys-appkeys.platform.svc:8443"
    );
}

#[test]
fn the_notes_say_the_next_command() {
    let helm = Helm::without_cluster().unwrap();
    let notes = |values: &[&str]| {
        let command = [
            "install",
            "appkeys",
            "charts/appkeys",
            "--namespace",
            "appkeys",
            "--dry-run=client",
        ];
        helm.run(&[&command, values].concat()).unwrap()
    };
    let plain = notes(&[]);
    assert!(plain.contains("kubectl apply -f examples/quickstart.yaml"), "{plain}");
    let none = notes(&["--set", "keyManagers.resident=null"]);
    assert!(none.contains("No key manager is the cluster's default"), "{none}");
}
