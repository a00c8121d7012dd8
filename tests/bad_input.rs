//! Wrong input of every kind: a condition that names the object and the mend, nothing lost, no other key disturbed, and all
//! is well by itself once the cause is gone.

use std::process::Command;

use appkeys::{
    api::{ApplicationKey, ClusterKeyManager, conditions},
    key_manager::resident::certificate::OwnCertificate,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{Api, ResourceExt as _, api::ListParams};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use testbed::operator::{self, Ports};

use crate::support::{Cluster, is_ready, key, leads, team, token};

fn has(all: &[Condition], type_: &str, reason: &str, words: &[&str]) -> bool {
    all.iter().any(|c| {
        let said = c.type_ == type_ && c.reason == reason;
        said && words.iter().all(|word| c.message.contains(word))
    })
}

/// Waits until a key is not ready for this reason, in a message with these words.
async fn refused(cluster: &Cluster, namespace: &str, name: &str, reason: &str, words: &[&str]) -> ApplicationKey {
    let good = |key: &ApplicationKey| {
        key.status.as_ref().is_some_and(|status| {
            status.observed_generation == key.metadata.generation
                && has(&status.conditions, "Ready", reason, words)
                && !conditions::is_true(&status.conditions, "Ready")
        })
    };
    cluster.key_until(namespace, name, good).await
}

/// Waits until a key manager says this.
async fn manager_says(cluster: &Cluster, name: &str, type_: &str, reason: &str, words: &[&str]) {
    let api = Api::<ClusterKeyManager>::all(cluster.client().await);
    let what = format!("{name} to say {type_} {reason} {words:?}");
    cluster
        .until(&what, async || {
            let status = api.get(name).await.unwrap().status.unwrap_or_default();
            has(&status.conditions, type_, reason, words)
        })
        .await;
}

fn manager(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "appkeys.dev/v1alpha1", "kind": "ClusterKeyManager", "metadata": {"name": name}, "spec": spec})
}

async fn version_of(cluster: &Cluster, namespace: &str, secret: &str) -> Option<String> {
    let api = Api::<Secret>::namespaced(cluster.client().await, namespace);
    api.get(secret).await.unwrap().resource_version()
}

#[tokio::test]
async fn what_a_key_names_and_is_not_there_yet_is_waited_for() {
    let cluster = Cluster::shared().await;
    team(&cluster, "missing").await;
    let later = json!({"keyManagerRef": {"name": "made-later"}});
    cluster.apply(&key("missing", "manager", &later));
    cluster.apply(&key(
        "missing",
        "application",
        &json!({"applicationRef": {"name": "later"}}),
    ));
    let wanted = ["there is no ClusterKeyManager/made-later", "create it or name another"];
    refused(&cluster, "missing", "manager", "KeyManagerNotFound", &wanted).await;
    let wanted = ["there is no Application later", "create it"];
    refused(&cluster, "missing", "application", "ApplicationNotFound", &wanted).await;
    cluster.apply(&manager("made-later", &json!({"resident": {}})));
    cluster.apply(&json!({
        "apiVersion": "appkeys.dev/v1alpha1", "kind": "Application",
        "metadata": {"name": "later", "namespace": "missing"}, "spec": {},
    }));
    cluster.ready("missing", "manager").await;
    cluster.ready("missing", "application").await;
}

#[tokio::test]
async fn a_secret_that_is_taken_is_left_alone_until_it_is_free() {
    let cluster = Cluster::shared().await;
    team(&cluster, "taken").await;
    cluster.kubectl(&["-n", "taken", "create", "secret", "generic", "s", "--from-literal=a=b"]);
    let before = version_of(&cluster, "taken", "s").await;
    cluster.apply(&key("taken", "k", &json!({"secret": {"name": "s"}})));
    let wanted = ["Secret s exists", "choose another secret.name"];
    refused(&cluster, "taken", "k", "SecretConflict", &wanted).await;
    assert_eq!(version_of(&cluster, "taken", "s").await, before);
    cluster.kubectl(&["-n", "taken", "delete", "secret", "s"]);
    cluster.ready("taken", "k").await;
    assert_eq!(token(&cluster.secret("taken", "s").await, &[]).await.0, 200);
}

#[tokio::test]
async fn of_two_keys_that_name_one_secret_the_first_keeps_it() {
    let cluster = Cluster::shared().await;
    team(&cluster, "shared-name").await;
    let spec = json!({"secret": {"name": "s"}});
    cluster.apply(&key("shared-name", "first", &spec));
    cluster.ready("shared-name", "first").await;
    let before = version_of(&cluster, "shared-name", "s").await;
    cluster.apply(&key("shared-name", "second", &spec));
    let wanted = ["Secret s is kept by key first", "choose another secret.name"];
    refused(&cluster, "shared-name", "second", "SecretConflict", &wanted).await;
    assert_eq!(
        version_of(&cluster, "shared-name", "s").await,
        before,
        "nobody fights for it"
    );
    assert!(is_ready(&cluster.ready("shared-name", "first").await));
    cluster.kubectl(&["-n", "shared-name", "delete", "akey", "first", "--timeout=60s"]);
    let second = cluster.ready("shared-name", "second").await.status.unwrap();
    let entries = cluster.secret("shared-name", "s").await;
    assert_eq!(second.client_id.as_ref(), Some(&entries["client-id"]));
    assert_eq!(token(&entries, &[]).await.0, 200);
}

#[tokio::test]
async fn what_is_granted_can_be_withdrawn_and_given_back() {
    let cluster = Cluster::shared().await;
    team(&cluster, "granted").await;
    let grant = |scopes: &[&str]| {
        let rule = json!({"namespaceSelector": {"matchLabels": {"team": "good"}}, "scopes": scopes});
        manager("granting", &json!({"resident": {}, "access": [rule]}))
    };
    cluster.apply(&grant(&["read", "write"]));
    let spec = |trigger: &str| {
        let rotation = json!({"trigger": trigger, "overlap": "1h"});
        json!({"keyManagerRef": {"name": "granting"}, "scopes": ["read", "write"], "rotation": rotation})
    };
    cluster.apply(&key("granted", "k", &spec("one")));
    let not_selected = [
        "no access rule of ClusterKeyManager/granting selects namespace granted",
        "ask its owner",
    ];
    refused(&cluster, "granted", "k", "AccessDenied", &not_selected).await;
    cluster.kubectl(&["label", "namespace", "granted", "team=good"]);
    cluster.ready("granted", "k").await;
    let entries = cluster.secret("granted", "k").await;
    let write = [("scope", "write")];
    assert_eq!(token(&entries, &write).await.0, 200);

    // A scope goes: it is taken off the client before status says so.
    cluster.apply(&grant(&["read"]));
    let wanted = [
        "no access rule of ClusterKeyManager/granting grants scope write",
        "ask its owner, or ask for less",
    ];
    refused(&cluster, "granted", "k", "AccessDenied", &wanted).await;
    let (status, answer) = token(&entries, &write).await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_scope")));
    assert_eq!(token(&entries, &[("scope", "read")]).await.0, 200, "the rest works on");
    cluster.apply(&grant(&["read", "write"]));
    cluster.ready("granted", "k").await;
    assert_eq!(token(&entries, &write).await.0, 200);

    // The namespace goes: its Secret stays, there is no new token, and no rotation either.
    cluster.kubectl(&["label", "namespace", "granted", "team-"]);
    refused(&cluster, "granted", "k", "AccessDenied", &not_selected).await;
    let (status, answer) = token(&entries, &[]).await;
    assert_eq!((status, &answer["error"]), (400, &json!("unauthorized_client")));
    cluster.apply(&key("granted", "k", &spec("two")));
    refused(&cluster, "granted", "k", "AccessDenied", &not_selected).await;
    assert_eq!(cluster.secret("granted", "k").await, entries);
    cluster.kubectl(&["label", "namespace", "granted", "team=good"]);
    let status = cluster.ready("granted", "k").await.status.unwrap();
    assert_eq!(
        status.credential.unwrap().version,
        2,
        "what was asked for meanwhile is done"
    );
    assert_eq!(token(&cluster.secret("granted", "k").await, &write).await.0, 200);
    assert_eq!(
        token(&entries, &write).await.0,
        200,
        "the old secret lives through the overlap"
    );
}

#[tokio::test]
async fn a_suspended_key_does_nothing_but_go() {
    let cluster = Cluster::shared().await;
    team(&cluster, "suspended").await;
    let spec = |suspend: bool, trigger: &str| json!({"suspend": suspend, "rotation": {"trigger": trigger}});
    let suspended = |key: &ApplicationKey| {
        key.status.as_ref().is_some_and(|status| {
            status.observed_generation == key.metadata.generation
                && has(&status.conditions, "Suspended", "SuspendedBySpec", &["spec.suspend"])
        })
    };
    cluster.apply(&key("suspended", "k", &spec(true, "one")));
    let found = cluster.key_until("suspended", "k", suspended).await;
    assert!(found.finalizers().is_empty(), "nothing was begun");
    cluster.apply(&key("suspended", "k", &spec(false, "one")));
    let found = cluster.ready("suspended", "k").await;
    assert!(!suspended(&found));
    let before = cluster.secret("suspended", "k").await;
    cluster.apply(&key("suspended", "k", &spec(true, "two")));
    cluster.key_until("suspended", "k", suspended).await;
    assert_eq!(cluster.secret("suspended", "k").await, before, "no rotation");
    cluster.kubectl(&["-n", "suspended", "delete", "akey", "k", "--timeout=60s"]);
    assert_eq!(token(&before, &[]).await.0, 401, "deletion works");
}

#[tokio::test]
async fn a_quota_that_leaves_no_room_is_said_and_heals() {
    let cluster = Cluster::shared().await;
    team(&cluster, "quota").await;
    let quota = |secrets: &str| {
        let meta = json!({"name": "q", "namespace": "quota"});
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": {"secrets": secrets}}})
    };
    cluster.apply(&quota("0"));
    cluster
        .until("the quota to hold", async || {
            let hard = cluster.kubectl(&[
                "-n",
                "quota",
                "get",
                "quota",
                "q",
                "-o",
                "jsonpath={.status.hard.secrets}",
            ]);
            hard == "0"
        })
        .await;
    cluster.apply(&key("quota", "k", &json!({})));
    refused(
        &cluster,
        "quota",
        "k",
        "ApiServerError",
        &["\"k\" is forbidden", "exceeded quota: q"],
    )
    .await;
    cluster.apply(&quota("5"));
    cluster.ready("quota", "k").await;
    assert_eq!(token(&cluster.secret("quota", "k").await, &[]).await.0, 200);
}

/// Such a name does not fit a label, so the Secret cannot say whose it is by the name alone.
#[tokio::test]
async fn a_key_with_the_longest_name_has_a_secret_that_comes_back() {
    let cluster = Cluster::shared().await;
    team(&cluster, "long").await;
    let name = "k".repeat(253);
    cluster.apply(&key("long", &name, &json!({})));
    cluster.ready("long", &name).await;
    let api = Api::<Secret>::namespaced(cluster.client().await, "long");
    let first = api.get(&name).await.unwrap().uid();
    cluster.kubectl(&["-n", "long", "delete", "secret", &name]);
    cluster
        .until("the Secret to come back", async || {
            let secret = api.get_opt(&name).await.unwrap();
            secret.is_some_and(|secret| secret.uid() != first)
        })
        .await;
    assert_eq!(token(&cluster.secret("long", &name).await, &[]).await.0, 200);
    cluster.kubectl(&["-n", "long", "delete", "akey", &name, "--timeout=60s"]);
    let left = api.list_metadata(&ListParams::default()).await.unwrap();
    assert!(left.items.is_empty());
}

#[tokio::test]
async fn a_key_manager_that_moves_takes_its_secrets_along() {
    let cluster = Cluster::shared().await;
    team(&cluster, "issuers").await;
    let issuer = |path: &str| manager("moving", &json!({"resident": {"issuer": cluster.resident_url(path)}}));
    cluster.apply(&issuer("/one"));
    cluster.apply(&key("issuers", "k", &json!({"keyManagerRef": {"name": "moving"}})));
    cluster.ready("issuers", "k").await;
    let before = cluster.secret("issuers", "k").await;
    assert_eq!(before["issuer-uri"], cluster.resident_url("/one"));
    cluster.apply(&issuer("/two"));
    cluster
        .until("the Secret to name the new issuer", async || {
            cluster.secret("issuers", "k").await["issuer-uri"] == cluster.resident_url("/two")
        })
        .await;
    let after = cluster.secret("issuers", "k").await;
    assert_eq!(after["client-secret"], before["client-secret"], "nothing is rotated");
    assert_eq!(token(&after, &[]).await.0, 200);
}

#[tokio::test]
async fn an_operator_that_comes_before_its_definitions_waits_for_them_and_of_two_defaults_none_is_used() {
    let cluster = Cluster::bare(Ports::free().unwrap()).await;
    // A lease of another version, with words that this one does not know; its holder is gone.
    cluster.kubectl(&["create", "namespace", "appkeys"]);
    cluster.apply(&json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "appkeys", "namespace": "appkeys", "annotations": {"appkeys.dev/later": "yes"}},
        "spec": {"holderIdentity": "other-version", "leaseDurationSeconds": 1, "leaseTransitions": i32::MAX},
    }));
    cluster.run();
    let missing = "run `appkeys crds | kubectl apply --server-side -f -`";
    cluster
        .until("the operator to say what is missing", async || {
            let said = cluster.operator_output();
            said.contains(missing) && said.contains("applicationkeys.appkeys.dev")
        })
        .await;
    cluster.kubectl(&["delete", "namespace", "appkeys", "--wait=false"]);
    cluster
        .until("the namespace to be gone", async || {
            !cluster
                .kubectl(&["get", "namespaces", "-o", "name"])
                .contains("appkeys")
        })
        .await;
    operator::install(&cluster.plane).unwrap();
    cluster.quickstart();
    let kept = cluster.ready("team-a", "shop-production").await;
    let said = cluster.operator_output();
    assert!(
        said.matches(missing).count() <= 8,
        "it is not said again and again\n{said}"
    );

    cluster.apply(&manager("other", &json!({"resident": {}, "default": true})));
    let both = "too, so keys that name no key manager get none: keep one default";
    manager_says(
        &cluster,
        "resident",
        "AmbiguousDefault",
        "SeveralDefaults",
        &["other has", both],
    )
    .await;
    manager_says(
        &cluster,
        "other",
        "AmbiguousDefault",
        "SeveralDefaults",
        &["resident has", both],
    )
    .await;
    manager_says(&cluster, "other", "Ready", "Reachable", &[]).await;
    cluster.apply(&key("team-a", "undecided", &json!({})));
    let wanted = [
        "other, resident all have spec.default: true",
        "name one in spec.keyManagerRef",
    ];
    refused(&cluster, "team-a", "undecided", "AmbiguousDefault", &wanted).await;
    cluster.apply(&key("team-a", "decided", &json!({"keyManagerRef": {"name": "other"}})));
    cluster.ready("team-a", "decided").await;
    cluster.kubectl(&["delete", "ckm", "resident", "--wait=false"]);
    manager_says(&cluster, "resident", "InUse", "KeysLeft", &["shop-production"]).await;
    cluster.apply(&manager("other", &json!({"resident": {}})));
    cluster.ready("team-a", "undecided").await;
    let now = cluster.ready("team-a", "shop-production").await;
    assert_eq!(now.status, kept.status, "a key that has its key manager keeps it");
    let api = Api::<ClusterKeyManager>::all(cluster.client().await);
    for name in ["resident", "other"] {
        cluster
            .until("the default to be clear again", async || {
                let status = api.get(name).await.unwrap().status.unwrap_or_default();
                conditions::reason(&status.conditions, "AmbiguousDefault").is_none()
            })
            .await;
    }
    cluster.terminate();
}

#[tokio::test]
async fn a_certificate_or_a_signing_key_that_is_no_good_is_said_and_heals() {
    let cluster = Cluster::start().await;
    team(&cluster, "tls").await;
    let given = json!({"resident": {"certificateSecretRef": {"name": "given"}}, "default": true});
    cluster.apply(&manager("resident", &given));
    cluster.apply(&key("tls", "k", &json!({"accessTokens": [{"name": "t"}]})));
    let place = "Secret given in namespace appkeys";
    let invalid = "InvalidConfiguration";
    manager_says(
        &cluster,
        "resident",
        "Ready",
        invalid,
        &[place, "does not exist: create it as kubernetes.io/tls"],
    )
    .await;
    refused(
        &cluster,
        "tls",
        "k",
        "KeyManagerNotReady",
        &["ClusterKeyManager/resident", place],
    )
    .await;

    let certificate = |now: Timestamp| {
        let names = ["localhost".to_owned()];
        OwnCertificate::renewed(None, &names, now).unwrap().unwrap()
    };
    let secret = |chain: &str, key: &str, ca: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "given", "namespace": "appkeys"},
            "stringData": {"tls.crt": chain, "tls.key": key, "ca.crt": ca}, "type": "kubernetes.io/tls",
        })
    };
    let now = appkeys::clock::Clock::system().now();
    let good = certificate(now);
    let old = certificate(now - SignedDuration::from_hours(91 * 24));
    cluster.apply(&secret("no certificate", good.key.expose_secret(), &good.ca));
    manager_says(&cluster, "resident", "Ready", invalid, &[place, "both must be PEM"]).await;
    cluster.apply(&secret(&old.certificate, old.key.expose_secret(), &old.ca));
    manager_says(
        &cluster,
        "resident",
        "Ready",
        invalid,
        &[place, "the certificate ended at", "renew it"],
    )
    .await;
    cluster.apply(&secret(&good.certificate, good.key.expose_secret(), &good.ca));
    cluster.ready("tls", "k").await;
    let entries = cluster.secret("tls", "k").await;
    assert_eq!(entries["ca.crt"], good.ca);
    assert_eq!(token(&entries, &[]).await.0, 200);

    // Signing keys: what is served is served on, and nothing is made anew over them.
    let label = "appkeys.dev/component=resident-signing-keys";
    let name = cluster.kubectl(&[
        "-n",
        "appkeys",
        "get",
        "secrets",
        "-l",
        label,
        "-o",
        "jsonpath={.items[0].metadata.name}",
    ]);
    let read = ["-n", "appkeys", "get", "secret", &name, "-o", "jsonpath={.data.value}"];
    let value = cluster.kubectl(&read);
    let write = |value: &str| {
        let patch = json!({"data": {"value": value}}).to_string();
        cluster.kubectl(&["-n", "appkeys", "patch", "secret", &name, "--type=merge", "-p", &patch])
    };
    write("e30="); // {}
    let words = [name.as_str(), "restore it, or delete it to have it made anew"];
    manager_says(&cluster, "resident", "Ready", invalid, &words).await;
    assert_eq!(token(&entries, &[]).await.0, 200, "the process has the keys still");
    assert_eq!(cluster.kubectl(&read), "e30=", "nothing is written over it");
    assert_eq!(cluster.secret("tls", "k").await, entries);
    write(&value);
    manager_says(&cluster, "resident", "Ready", "Reachable", &[]).await;
    assert_eq!(token(&entries, &[]).await.0, 200);
    cluster.terminate();
}

#[tokio::test]
async fn an_object_that_cannot_be_read_stops_nobody_else_and_one_of_two_operators_leads() {
    let cluster = Cluster::start_with(&["--identity=one"]).await;
    cluster.quickstart();
    cluster.ready("team-a", "shop-production").await;
    // Definitions of another version, which let through what this one does not know.
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let open = |kind: &str, field: &str| {
        let anything = json!({"type": "string", "description": "anything"});
        let patch = json!([{"op": "replace", "path": format!("{schema}/{field}"), "value": anything}]);
        cluster.kubectl(&[
            "patch",
            "crd",
            &format!("{kind}.appkeys.dev"),
            "--type=json",
            "-p",
            &patch.to_string(),
        ]);
    };
    open("applicationkeys", "environment");
    open("applications", "keyManagerRef");
    team(&cluster, "team-b").await;
    let unreadable = key("team-b", "unreadable", &json!({"environment": "Staging"}));
    cluster
        .until("the new definitions to hold", async || {
            let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
            std::fs::write(file.path(), unreadable.to_string()).unwrap();
            let path = file.path().to_str().unwrap().to_owned();
            cluster.plane.kubectl(&["apply", "-f", &path]).is_ok()
        })
        .await;
    cluster.apply(&json!({
        "apiVersion": "appkeys.dev/v1alpha1", "kind": "Application",
        "metadata": {"name": "unreadable", "namespace": "team-b"}, "spec": {"keyManagerRef": "resident"},
    }));
    let invalid = |key: &Value| {
        let said = key["status"]["conditions"].as_array().into_iter().flatten();
        said.filter(|c| c["reason"] == "InvalidObject" && c["status"] == "False")
            .any(|c| c["message"].as_str().is_some_and(|text| text.contains("Staging")))
    };
    let says_so = async || {
        let text = cluster.kubectl(&["-n", "team-b", "get", "akey", "unreadable", "-o", "json"]);
        invalid(&serde_json::from_str(&text).unwrap())
    };
    cluster.until("the key to say that it cannot be read", says_so).await;
    cluster
        .until("the log to name the Application", async || {
            cluster.operator_output().contains("team-b/unreadable")
        })
        .await;
    cluster.apply(&key("team-b", "good", &json!({})));
    cluster.ready("team-b", "good").await;

    // Another operator, and then the first one is gone: what is there from the start stops nobody either.
    let standby = cluster.start_another().await;
    let entries = cluster.secret("team-b", "good").await;
    standby.follows(&standby.entries(&entries)).await;
    let both = (leads(cluster.ports()).await, leads(standby.ports()).await);
    assert_eq!(both, (true, false), "one leads\n{}", cluster.operator_output());
    cluster.kill();
    cluster
        .until("the other one to lead", async || leads(standby.ports()).await)
        .await;
    team(&cluster, "team-c").await;
    cluster.apply(&key("team-c", "good", &json!({})));
    cluster.ready("team-c", "good").await;
    cluster.apply(&key("team-b", "unreadable", &json!({})));
    cluster.ready("team-b", "unreadable").await;
}

#[test]
fn a_start_that_cannot_work_says_why_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let nowhere = file(
        "nowhere",
        "{apiVersion: v1, kind: Config, current-context: t,
          clusters: [{name: t, cluster: {server: 'https://127.0.0.1:1'}}],
          users: [{name: a, user: {token: x}}],
          contexts: [{name: t, context: {cluster: t, user: a}}]}",
    );
    let missing = folder.path().join("missing").to_str().unwrap().to_owned();
    let no_cluster = "no cluster was found: set KUBECONFIG";
    for (kubeconfig, flags, words) in [
        (missing, vec![], vec![no_cluster, "missing"]),
        (file("broken", "a: ["), vec![], vec![no_cluster, "line 1"]),
        (
            nowhere.clone(),
            vec![],
            vec!["the API server https://127.0.0.1:1/ does not answer", "KUBECONFIG"],
        ),
        (nowhere.clone(), vec!["--namespace=a b"], vec!["--namespace"]),
        (
            nowhere.clone(),
            vec!["--lease-seconds=1"],
            vec!["--lease-seconds", "5..=600"],
        ),
        (
            nowhere.clone(),
            vec!["--resident-address=x"],
            vec!["--resident-address"],
        ),
        (nowhere, vec!["--log=[["], vec!["--log"]),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_appkeys"))
            .arg("run")
            .args(&flags)
            .env("KUBECONFIG", &kubeconfig)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{flags:?}: {said}");
        assert!(
            words.iter().all(|word| said.contains(word)),
            "{flags:?}: {words:?} in {said}"
        );
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn help_teaches() {
    for (arguments, words) in [
        (
            vec!["--help"],
            vec![
                "run",
                "crds",
                "appkeys crds | kubectl apply --server-side -f -",
                "kubectl explain akey.spec",
            ],
        ),
        (
            vec!["run", "--help"],
            vec![
                "KUBECONFIG",
                "--cluster-id",
                "kube-system",
                "APPKEYS_NAMESPACE",
                "--resident-url",
                "[default:",
            ],
        ),
        (vec!["crds", "--help"], vec!["--write"]),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_appkeys"))
            .args(&arguments)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{arguments:?}");
        for word in words {
            assert!(said.contains(word), "{arguments:?} says nothing of {word}:\n{said}");
        }
    }
}
