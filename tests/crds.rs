//! The custom resource definitions: the files are what the code makes, they read well, and a real API server takes them.

use appkeys::api;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use kube_cel::{CompiledSchema, ScopeContext, WarningKind, analyze_rule, compile_schema};
use serde_json::{Value, json};

use crate::support::{Cluster, repository};

#[test]
fn the_files_are_what_the_code_makes() {
    let mut wanted: Vec<_> = api::all_crds()
        .iter()
        .map(|crd| (format!("{}.yaml", crd.name_any()), yaml(crd)))
        .collect();
    wanted.sort();
    let folder = repository("crds");
    let mut found: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    found.sort();
    for ((name, wanted), (file, found)) in wanted.iter().zip(&found) {
        assert_eq!(name, file);
        let first = wanted
            .lines()
            .zip(found.lines())
            .find(|(wanted, found)| wanted != found);
        assert!(
            wanted == found,
            "crds/{name} is stale ({first:?}): run `make crds` and commit what it writes"
        );
    }
    assert_eq!(
        wanted.len(),
        found.len(),
        "crds/ has the files of `make crds` and no others"
    );
}

#[test]
fn the_reference_is_what_the_definitions_say() {
    let found = std::fs::read_to_string(repository("docs/reference.md")).unwrap();
    let wanted = testbed::reference::markdown(&api::all_crds());
    let first = wanted
        .lines()
        .zip(found.lines())
        .find(|(wanted, found)| wanted != found);
    assert!(
        wanted == found,
        "docs/reference.md is stale ({first:?}): run `make crds` and commit what it writes"
    );
}

fn yaml(crd: &CustomResourceDefinition) -> String {
    serde_saphyr::to_string(crd).unwrap()
}

/// One node of a schema and where it is.
struct Node<'a> {
    path: String,
    schema: &'a Value,
    /// A property with a name, as opposed to the items of a list.
    named: bool,
}

/// All nodes of a schema below `path`.
fn nodes(path: String, schema: &Value, named: bool) -> Vec<Node<'_>> {
    let mut all = vec![];
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        all.append(&mut nodes(format!("{path}.{name}"), property, true));
    }
    if schema["items"].is_object() {
        all.append(&mut nodes(format!("{path}[]"), &schema["items"], false));
    }
    if schema["additionalProperties"].is_object() {
        all.append(&mut nodes(
            format!("{path}{{}}"),
            &schema["additionalProperties"],
            false,
        ));
    }
    all.push(Node { path, schema, named });
    all
}

fn crds() -> Vec<Value> {
    api::all_crds()
        .iter()
        .map(|crd| serde_json::to_value(crd).unwrap())
        .collect()
}

fn schema(crd: &Value) -> &Value {
    &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// All nodes of all kinds.
fn all_nodes(crds: &[Value]) -> Vec<Node<'_>> {
    let kind = |crd: &Value| crd["spec"]["names"]["kind"].as_str().unwrap().to_owned();
    crds.iter()
        .flat_map(|crd| nodes(kind(crd), schema(crd), true))
        .collect()
}

#[test]
fn every_field_is_explained_to_users() {
    for node in all_nodes(&crds()).into_iter().filter(|node| node.named) {
        let text = node.schema["description"].as_str().unwrap_or_default();
        let path = node.path;
        assert!(!text.trim().is_empty(), "{path} has no description");
        assert!(!text.contains("Auto-generated"), "{path}: {text}");
        assert!(
            !text.contains("[`") && !text.contains("::"),
            "{path} speaks of Rust: {text}"
        );
    }
}

/// What the API server would not know, or would write into a spec by itself.
#[test]
fn schemas_are_structural_and_have_no_defaults() {
    for node in all_nodes(&crds()) {
        let (path, schema) = (node.path, node.schema);
        let is_type = |name: &str| schema["type"] == name;
        assert!(schema["type"].is_string(), "{path} has no type: {schema}");
        if let Some(format) = schema["format"].as_str() {
            assert!(
                ["int32", "int64", "date-time"].contains(&format),
                "{path} has format {format}, which Kubernetes does not know"
            );
        }
        assert!(schema.get("default").is_none(), "{path} has a default");
        assert!(
            schema.get("x-kubernetes-preserve-unknown-fields").is_none(),
            "{path} takes anything"
        );
        if path.ends_with(".conditions") {
            let keyed = (&schema["x-kubernetes-list-type"], &schema["x-kubernetes-list-map-keys"]);
            assert_eq!(keyed, (&json!("map"), &json!(["type"])), "{path}");
        }
        // A list of names is a set, a list of named things a map: two writers merge, and nothing is there twice.
        if is_type("array") && schema["items"]["enum"].is_array() {
            assert_eq!(schema["x-kubernetes-list-type"], "set", "{path}");
        }
    }
}

/// What users write is bounded: a rule over it has a known cost, and an object stays small. Selectors are Kubernetes' own.
#[test]
fn everything_that_users_write_is_bounded() {
    for node in all_nodes(&crds()) {
        let (path, schema) = (node.path, node.schema);
        if !path.contains(".spec") || path.contains(".namespaceSelector") {
            continue;
        }
        let bounded = |name: &str| schema[name].is_number();
        match schema["type"].as_str() {
            Some("string") => assert!(
                bounded("maxLength") || schema["enum"].is_array(),
                "{path} has no maxLength"
            ),
            Some("array") => assert!(bounded("maxItems"), "{path} has no maxItems"),
            Some("integer") => assert!(bounded("minimum") && bounded("maximum"), "{path} has no range"),
            Some("object") if schema["additionalProperties"].is_object() => {
                assert!(bounded("maxProperties"), "{path} has no maxProperties");
            }
            _ => {}
        }
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let message = rule["message"].as_str().unwrap_or_default();
            assert!(message.contains(' '), "{path}: {rule} has no message for people");
        }
    }
}

#[test]
fn names_and_columns_are_those_that_people_type_and_read() {
    let key = [
        "Ready",
        "Environment",
        "Key Manager",
        "Client ID",
        "Secret",
        "Next Change",
        "Age",
        "Reason (wide)",
        "Version (wide)",
    ];
    let wanted: [(&str, &str, &str, &[&str]); 4] = [
        (
            "ClusterKeyManager",
            "Cluster",
            "ckm",
            &["Ready", "Default", "Issuer", "Age", "Reason (wide)"],
        ),
        (
            "KeyManager",
            "Namespaced",
            "km",
            &["Ready", "Issuer", "Age", "Reason (wide)"],
        ),
        (
            "Application",
            "Namespaced",
            "akapp",
            &["Ready", "Display Name", "Age", "Reason (wide)"],
        ),
        ("ApplicationKey", "Namespaced", "akey", &key),
    ];
    let crds = crds();
    assert_eq!(crds.len(), wanted.len());
    for (crd, (kind, scope, short, columns)) in crds.iter().zip(wanted) {
        let (spec, names) = (&crd["spec"], &crd["spec"]["names"]);
        assert_eq!((&names["kind"], &spec["scope"]), (&json!(kind), &json!(scope)));
        assert_eq!(names["shortNames"], json!([short]));
        assert_eq!(names["categories"], json!(["appkeys"]));
        let version = &spec["versions"][0];
        assert_eq!(
            (&spec["group"], &version["name"]),
            (&json!("appkeys.dev"), &json!("v1alpha1"))
        );
        assert!(
            version["subresources"]["status"].is_object(),
            "{kind} has no status subresource"
        );
        let found = version["additionalPrinterColumns"].as_array().unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|column| {
                let wide = if column["priority"] == 1 { " (wide)" } else { "" };
                format!("{}{wide}", column["name"].as_str().unwrap())
            })
            .collect();
        assert_eq!(found, columns, "{kind}");
    }
}

#[test]
fn rules_compile_and_their_cost_is_bounded() {
    let mut rules = 0;
    for crd in crds() {
        let schema = schema(&crd);
        let compiled = compile_schema(schema);
        rules += check("", schema, &compiled);
    }
    assert!(rules > 15, "only {rules} rules were found");
}

/// Checks the rules of a node and of all below it; gives their number.
fn check(path: &str, schema: &Value, compiled: &CompiledSchema) -> usize {
    assert!(!compiled.has_errors(), "{path}: {:?}", compiled.compilation_errors());
    let rules = schema["x-kubernetes-validations"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    for rule in rules {
        let rule = rule["rule"].as_str().unwrap();
        for warning in analyze_rule(rule, compiled, ScopeContext::CrdValidation) {
            // The crate takes the variable of `all(x, …)` for one that is not in scope.
            assert!(
                warning.kind == WarningKind::WrongScope,
                "{path}: {rule}: {}",
                warning.message
            );
        }
    }
    let properties = compiled.properties.iter().map(|(name, below)| {
        let path = format!("{path}.{name}");
        check(&path, &schema["properties"][name], below)
    });
    let items = compiled
        .items
        .iter()
        .map(|below| check(&format!("{path}[]"), &schema["items"], below));
    rules.len() + properties.sum::<usize>() + items.sum::<usize>()
}

#[tokio::test]
async fn a_real_api_server_takes_them_and_explains_them() {
    let cluster = Cluster::shared().await;
    for crd in api::all_crds() {
        let established = cluster.kubectl(&[
            "get",
            "crd",
            &crd.name_any(),
            "-o",
            "jsonpath={.status.conditions[?(@.type=='Established')].status} {.status.conditions[?(@.type=='NonStructuralSchema')].status}",
        ]);
        assert_eq!(established.trim(), "True", "{}", crd.name_any());
    }
    let explained = cluster.kubectl(&["explain", "akey.spec.rotation"]);
    for text in [
        "When and how the client secret is rotated",
        "overlap",
        "Default 24h",
        "Overlap (default)",
        "trigger",
    ] {
        assert!(explained.contains(text), "{explained}");
    }
    for short in ["akey", "akapp", "ckm", "km", "appkeys"] {
        cluster.kubectl(&["get", short, "--all-namespaces"]);
    }
}
