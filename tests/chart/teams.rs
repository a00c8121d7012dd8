//! What teams may do with what the chart gives them.

use serde_json::json;

use super::{object, render};
use crate::support::Cluster;

#[tokio::test]
async fn the_cluster_s_own_roles_hold_for_applications_and_never_for_key_managers() {
    let cluster = Cluster::shared().await;
    let objects = render(&json!({})).unwrap();
    for role in ["appkeys-view", "appkeys-edit"] {
        let role = object(&objects, "ClusterRole", role);
        assert!(!role["rules"].to_string().contains("secrets"), "{role}");
        cluster.apply(role);
    }
    cluster.namespace("roles").await;
    for role in ["view", "edit", "admin"] {
        let binding = format!("--clusterrole={role}");
        let user = format!("--user={role}er");
        cluster.kubectl(&["-n", "roles", "create", "rolebinding", role, &binding, &user]);
    }
    let may = |user: &str, verb: &str, resource: &str| {
        let user = format!("--as={user}er");
        let (resource, part) = resource.split_once('/').unwrap_or((resource, ""));
        let part = format!("--subresource={part}");
        let command = ["-n", "roles", "auth", "can-i", verb, resource, &part, &user, "--quiet"];
        cluster.plane.kubectl(&command).is_ok()
    };
    let aggregated = async || may("view", "get", "applications.appkeys.dev") && may("admin", "create", "akey");
    cluster.until("the roles to be aggregated", aggregated).await;
    for resource in ["applications.appkeys.dev", "applicationkeys.appkeys.dev"] {
        for verb in ["get", "list", "watch"] {
            for user in ["view", "edit", "admin"] {
                assert!(may(user, verb, resource), "{user} may not {verb} {resource}");
            }
        }
        for verb in ["create", "update", "patch", "delete", "deletecollection"] {
            assert!(!may("view", verb, resource), "view may {verb} {resource}");
            for user in ["edit", "admin"] {
                assert!(may(user, verb, resource), "{user} may not {verb} {resource}");
                assert!(
                    !may(user, verb, &format!("{resource}/status")),
                    "{user} may {verb} the status"
                );
            }
        }
    }
    for resource in ["keymanagers.appkeys.dev", "clusterkeymanagers.appkeys.dev"] {
        for verb in ["get", "create", "update", "patch", "delete"] {
            for user in ["view", "edit", "admin"] {
                assert!(!may(user, verb, resource), "{user} may {verb} {resource}");
            }
        }
    }
    assert!(!may("view", "get", "secrets"));
}

/// What a controller of service bindings has by its own installation: a role that takes in all with the label that the specification
/// names.
#[tokio::test]
async fn controllers_of_service_bindings_may_read_keys_and_nothing_else_of_ours() {
    let cluster = Cluster::shared().await;
    let objects = render(&json!({})).unwrap();
    cluster.apply(object(&objects, "ClusterRole", "appkeys-servicebinding"));
    cluster.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "binder"},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"servicebinding.io/controller": "true"}}]},
        "rules": [],
    }));
    cluster.kubectl(&[
        "create",
        "clusterrolebinding",
        "binder",
        "--clusterrole=binder",
        "--user=binder",
    ]);
    let may = |verb: &str, resource: &str| {
        let command = [
            "auth",
            "can-i",
            verb,
            resource,
            "--all-namespaces",
            "--as=binder",
            "--quiet",
        ];
        cluster.plane.kubectl(&command).is_ok()
    };
    let aggregated = async || may("get", "applicationkeys.appkeys.dev");
    cluster.until("the role to be aggregated", aggregated).await;
    for verb in ["list", "watch"] {
        assert!(may(verb, "applicationkeys.appkeys.dev"), "{verb}");
    }
    for verb in ["create", "update", "patch", "delete"] {
        assert!(!may(verb, "applicationkeys.appkeys.dev"), "{verb}");
    }
    for resource in ["applications", "keymanagers", "clusterkeymanagers"] {
        assert!(!may("get", &format!("{resource}.appkeys.dev")), "{resource}");
    }
    assert!(!may("get", "secrets"));
}
