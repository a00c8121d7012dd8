//! A tenant with all rights in a namespace of his own tries to get, to see, to change or to delay what is others'.

use std::collections::{BTreeMap, BTreeSet};

use appkeys::api::conditions;
use serde_json::{Value, json};

use super::{installed::Installed, renewals::OnTime};
use crate::support::{Cluster, http_client, key, team, token};

/// His namespace, and that of the team that he is after.
const HIS: &str = "his";
const TEAM: &str = "team";
const MALLORY: &str = "--as=system:serviceaccount:his:mallory";

/// What he is after.
struct Victim {
    entries: BTreeMap<String, String>,
    tokens: BTreeMap<String, String>,
    /// Words that nothing of his may say: names and values of others.
    secrets: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_gets_nothing_of_others_and_holds_up_nobody() {
    let installed = Installed::nothing().await;
    let values = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(values.path(), access().to_string()).unwrap();
    installed.install(&["--set", "replicas=1", "--values", values.path().to_str().unwrap()]);
    let cluster = &installed.cluster;
    let victim = victim(cluster).await;
    mallory(cluster).await;
    let on_time = OnTime::watch(cluster, TEAM, "k-tokens").await;

    others_objects(cluster, &victim).await;
    refused_by_the_api_server(cluster);
    forged(cluster, &victim).await;
    templates(cluster).await;
    the_inside(cluster, &installed).await;
    wrong_passwords(&victim).await;
    thousands(cluster).await;

    // He has learnt nothing.
    let all = ["akey", "akapp", "km", "secrets", "events.v1.events.k8s.io"].join(",");
    let seen = cluster.kubectl(&[MALLORY, "-n", HIS, "get", &all, "-o=json"]);
    for word in &victim.secrets {
        assert!(!seen.contains(word.as_str()), "an object of his says {word}");
    }
    assert!(cluster.plane.kubectl(&[MALLORY, "-n", TEAM, "get", "akey"]).is_err());
    // And the team's is as it was, and on time.
    on_time.so_far();
    let now = cluster.ready(TEAM, "k").await.status.unwrap();
    assert_eq!(now.client_id.as_ref(), Some(&victim.entries["client-id"]));
    assert_eq!(now.credential.unwrap().version, 2, "rotated once, by the team");
    let entries = cluster.secret(TEAM, "k").await;
    assert_eq!(token(&entries, &[]).await.0, 200);
    assert_ne!(
        cluster.secret(TEAM, "k-tokens").await,
        victim.tokens,
        "renewed meanwhile"
    );
}

/// A key manager that is the team's alone, and the default, which grants scopes to the team.
fn access() -> Value {
    let team = json!({"matchLabels": {"kubernetes.io/metadata.name": TEAM}});
    json!({"keyManagers": {
        "resident": {
            "resident": {"accessTokenLifetime": "1m"},
            "access": [
                {"namespaceSelector": {}},
                {"namespaceSelector": team, "scopes": ["payments"], "clientIdPrefix": "team-", "adopt": true},
            ],
        },
        "of-the-team": {"resident": {}, "access": [{"namespaceSelector": team}]},
    }})
}

async fn victim(cluster: &Cluster) -> Victim {
    team(cluster, TEAM).await;
    // Renewed every ten seconds or so.
    let spec = json!({
        "scopes": ["payments"], "rotation": {"overlap": "10m"},
        "accessTokens": [{"name": "t", "scopes": ["payments"], "renewBefore": "50s"}],
    });
    cluster.apply(&key(TEAM, "k", &spec));
    cluster.ready(TEAM, "k").await;
    let at_their_own = json!({"keyManagerRef": {"name": "of-the-team"}, "environment": "Sandbox"});
    cluster.apply(&key(TEAM, "own", &at_their_own));
    cluster.ready(TEAM, "own").await;
    let (entries, own) = (cluster.secret(TEAM, "k").await, cluster.secret(TEAM, "own").await);
    let tokens = cluster.secret(TEAM, "k-tokens").await;
    let values = [
        &entries["client-secret"],
        &own["client-secret"],
        &own["client-id"],
        &own["token-uri"],
        &tokens["t.access-token"],
    ];
    Victim {
        secrets: values.map(Clone::clone).to_vec(),
        entries,
        tokens,
    }
}

async fn mallory(cluster: &Cluster) {
    team(cluster, HIS).await;
    cluster.kubectl(&["-n", HIS, "create", "serviceaccount", "mallory"]);
    cluster.kubectl(&["-n", HIS, "create", "role", "all", "--verb=*", "--resource=*.*"]);
    cluster.kubectl(&[
        "-n",
        HIS,
        "create",
        "rolebinding",
        "all",
        "--role=all",
        "--serviceaccount=his:mallory",
    ]);
}

/// Makes something as he would.
fn make(cluster: &Cluster, object: &Value) -> Result<String, String> {
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), object.to_string()).unwrap();
    let made = cluster
        .plane
        .kubectl(&[MALLORY, "apply", "-f", file.path().to_str().unwrap()]);
    made.map_err(|error| format!("{error:#}"))
}

/// Why a key of his is not ready, and the words.
async fn not_ready(cluster: &Cluster, name: &str) -> (String, String) {
    let said = |key: &appkeys::api::ApplicationKey| {
        let status = key
            .status
            .as_ref()
            .filter(|s| s.observed_generation == key.metadata.generation);
        status.is_some_and(|status| conditions::reason(&status.conditions, "Ready").is_some())
    };
    let key = cluster.key_until(HIS, name, said).await;
    let status = key.status.unwrap();
    let ready = status.conditions.into_iter().find(|one| one.type_ == "Ready").unwrap();
    assert_eq!(ready.status, "False", "{name} is ready");
    (ready.reason, ready.message)
}

/// He names what is others'.
async fn others_objects(cluster: &Cluster, victim: &Victim) {
    let adopt = json!({"clientId": victim.entries["client-id"], "secretRef": {"name": "guess"}});
    make(
        cluster,
        &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "guess", "namespace": HIS}, "stringData": {"client-secret": "guess"}}),
    )
    .unwrap();
    for (name, spec, reason) in [
        (
            "their-key-manager",
            json!({"keyManagerRef": {"name": "of-the-team"}}),
            "AccessDenied",
        ),
        (
            "a-key-manager",
            json!({"keyManagerRef": {"kind": "KeyManager", "name": "own"}}),
            "KeyManagerNotFound",
        ),
        (
            "their-application",
            json!({"applicationRef": {"name": "theirs"}}),
            "ApplicationNotFound",
        ),
        ("their-scope", json!({"scopes": ["payments"]}), "AccessDenied"),
        (
            "their-client-id",
            json!({"clientId": victim.entries["client-id"]}),
            "AccessDenied",
        ),
        ("adopted", json!({"adopt": adopt}), "AccessDenied"),
    ] {
        make(cluster, &key(HIS, name, &spec)).unwrap();
        let (said, words) = not_ready(cluster, name).await;
        assert_eq!(said, reason, "{name}: {words}");
    }
}

/// What must never be an object.
fn refused_by_the_api_server(cluster: &Cluster) {
    let many: Vec<_> = (0..100_000).map(|n| format!("scope-{n}")).collect();
    let templates: BTreeMap<_, _> = (0..1000).map(|n| (format!("t{n}"), "x".repeat(1000))).collect();
    for (case, spec) in [
        ("a hundred thousand scopes", json!({"scopes": many})),
        ("a thousand templates", json!({"secret": {"templates": templates}})),
        (
            "a token of a ServiceAccount",
            json!({"secret": {"type": "kubernetes.io/service-account-token"}}),
        ),
        (
            "an annotation of a ServiceAccount's token",
            json!({"secret": {"annotations": {"kubernetes.io/service-account.name": "default"}}}),
        ),
        (
            "a label of ours",
            json!({"secret": {"labels": {"appkeys.dev/key": "k"}}}),
        ),
        (
            "a label of Helm's",
            json!({"secret": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}}),
        ),
        ("another namespace", json!({"secret": {"name": "../team/k"}})),
        (
            "another namespace's application",
            json!({"applicationRef": {"name": "team/shop"}}),
        ),
    ] {
        assert!(make(cluster, &key(HIS, "never", &spec)).is_err(), "{case} is an object");
    }
}

/// He writes what the operator would write: that a client of the team's is his key's.
async fn forged(cluster: &Cluster, victim: &Victim) {
    let id = &victim.entries["client-id"];
    // As if his key's first client had been begun under their id: one that is not wanted would go.
    let mut begun = key(HIS, "begun", &json!({}));
    begun["metadata"]["finalizers"] = json!(["appkeys.dev/cleanup"]);
    begun["metadata"]["annotations"] = json!({"appkeys.dev/first-client": format!("ClusterKeyManager/resident/{id}")});
    make(cluster, &begun).unwrap();
    cluster.ready(HIS, "begun").await;
    // As if it had been published for his key, or left by it: at both key managers, with the secret and without.
    let annotations = |manager: &str, more: Value| {
        let cluster_id = cluster.kubectl(&["get", "namespace", "kube-system", "-o=jsonpath={.metadata.uid}"]);
        let mut all = json!({
            "appkeys.dev/cluster-id": cluster_id, "appkeys.dev/key-manager": format!("ClusterKeyManager/{manager}"),
            "appkeys.dev/client-id": id, "appkeys.dev/version": "1", "appkeys.dev/secret-entry": "client-secret",
            "appkeys.dev/former-secret": "guess", "appkeys.dev/former-secret-until": "2020-01-01T00:00:00Z",
        });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let released = json!({"appkeys.dev/released": "2026-01-01T00:00:00Z"});
    for (name, manager, more) in [
        ("published", "resident", json!({})),
        ("published-elsewhere", "of-the-team", json!({})),
        ("left", "resident", released.clone()),
        (
            "replaced",
            "resident",
            json!({"appkeys.dev/replacements": "4294967295"}),
        ),
    ] {
        let labels = json!({"app.kubernetes.io/managed-by": "appkeys", "appkeys.dev/key": name});
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": name, "namespace": HIS, "labels": labels, "annotations": annotations(manager, more)},
            "stringData": {"client-id": id, "client-secret": "guess"},
        });
        make(cluster, &secret).unwrap();
        make(cluster, &key(HIS, name, &json!({}))).unwrap();
        let said = |key: &appkeys::api::ApplicationKey| {
            key.status
                .as_ref()
                .is_some_and(|status| conditions::reason(&status.conditions, "Ready").is_some())
        };
        cluster.key_until(HIS, name, said).await;
        let entries = cluster.secret(HIS, name).await;
        let theirs = entries["client-id"] == *id && token(&with(victim, &entries), &[]).await.0 == 200;
        assert!(!theirs, "{name} has a secret of the team's client");
        cluster.kubectl(&[MALLORY, "-n", HIS, "delete", "akey", name, "--timeout=60s"]);
        // Neither the forged Secret nor the deletion of the key is the end of their client.
        let entries = cluster.secret(TEAM, "k").await;
        assert_eq!(&entries["client-id"], id);
        assert_eq!(token(&entries, &[]).await.0, 200, "{name}");
    }
}

/// The team's Secret with another secret in it.
fn with(victim: &Victim, entries: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all = victim.entries.clone();
    all.insert(
        "client-secret".to_owned(),
        entries.get("client-secret").cloned().unwrap_or_default(),
    );
    all
}

/// What a template says is neither run nor told.
async fn templates(cluster: &Cluster) {
    for (name, text) in [
        (
            "loops",
            "{% for a in range(1000000000) %}{% for b in range(1000000000) %}x{% endfor %}{% endfor %}",
        ),
        ("includes", "{% include '/etc/passwd' %}"),
        ("reaches", "{{ self.__class__ }}{{ env.KUBECONFIG }}"),
        ("grows", "{{ client_id * 1000000000 }}"),
    ] {
        let spec = json!({"secret": {"templates": {"file": text}}});
        // What cannot be read is refused, by the API server or by a condition.
        if make(cluster, &key(HIS, name, &spec)).is_ok() {
            let (reason, words) = not_ready(cluster, name).await;
            assert_eq!(reason, "InvalidTemplate", "{name}: {words}");
        }
    }
}

/// A KeyManager of his tells him nothing of what is inside the cluster: an open port reads like a closed one.
async fn the_inside(cluster: &Cluster, installed: &Installed) {
    let (api, pods) = (cluster.plane.port(), installed.nodes().pods());
    let admin = pods.values().next().unwrap().admin;
    let mut words = BTreeMap::<String, BTreeSet<String>>::new();
    for (n, host) in [
        format!("127.0.0.1:{api}"),
        format!("127.0.0.1:{admin}"),
        "127.0.0.1:1".to_owned(),
        format!("localhost:{api}"),
        format!("[::1]:{api}"),
        "169.254.169.254".to_owned(),
        format!("[::ffff:127.0.0.1]:{api}"),
        "0.0.0.0:443".to_owned(),
        "nobody.invalid".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("inside-{n}");
        let object = json!({
            "apiVersion": "appkeys.dev/v1alpha1", "kind": "KeyManager", "metadata": {"name": name, "namespace": HIS},
            "spec": {"oidc": {"issuer": format!("https://{host}")}},
        });
        make(cluster, &object).unwrap();
        let ready = || -> Value {
            let text = cluster.kubectl(&["-n", HIS, "get", "km", &name, "-o=json"]);
            let object: Value = serde_json::from_str(&text).unwrap();
            let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            all.into_iter().find(|one| one["type"] == "Ready").unwrap_or_default()
        };
        cluster
            .until("his key manager to say how it is", async || !ready().is_null())
            .await;
        let said = ready();
        let reason = said["reason"].as_str().unwrap().to_owned();
        assert!(
            ["Unreachable", "InvalidConfiguration"].contains(&reason.as_str()),
            "{host}: {said}"
        );
        // However the address was written.
        let words_of = |text: &str| match text
            .split_once("the URL of ")
            .and_then(|(_, rest)| rest.split_once(' '))
        {
            Some((_, rest)) => rest.to_owned(),
            None => text.replace(&host, "HOST"),
        };
        let text = words_of(said["message"].as_str().unwrap());
        words.entry(reason).or_default().insert(text);
    }
    assert!(words.values().all(|texts| texts.len() == 1), "they differ: {words:#?}");
    // And plain HTTP is not even an object.
    let plain = json!({
        "apiVersion": "appkeys.dev/v1alpha1", "kind": "KeyManager", "metadata": {"name": "plain", "namespace": HIS},
        "spec": {"oidc": {"issuer": format!("http://127.0.0.1:{admin}")}},
    });
    if make(cluster, &plain).is_ok() {
        let reason = async || {
            let path = "-o=jsonpath={.status.conditions[?(@.type=='Ready')].reason}";
            cluster.kubectl(&["-n", HIS, "get", "km", "plain", path]) == "InvalidConfiguration"
        };
        cluster.until("plain HTTP to be refused", reason).await;
    }
}

/// The right secret is let in, whoever else has tried wrong ones under the same id.
async fn wrong_passwords(victim: &Victim) {
    let client = http_client(&victim.entries);
    let wrong = (0..200).map(|n| {
        let request = client.post(&victim.entries["token-uri"]);
        let request = request.basic_auth(&victim.entries["client-id"], Some(format!("wrong-{n}")));
        async move {
            let answer = request
                .form(&[("grant_type", "client_credentials")])
                .send()
                .await
                .unwrap();
            assert_ne!(answer.status(), 200);
        }
    });
    futures::future::join_all(wrong).await;
    assert_eq!(token(&victim.entries, &[]).await.0, 200);
}

/// A change of the team's does not wait for all of his.
async fn thousands(cluster: &Cluster) {
    const MANY: usize = 1500;
    let keys: Vec<_> = (0..MANY).map(|n| key(HIS, &format!("many-{n}"), &json!({}))).collect();
    make(cluster, &json!({"apiVersion": "v1", "kind": "List", "items": keys})).unwrap();
    let rotation = json!({
        "scopes": ["payments"], "rotation": {"overlap": "10m", "trigger": "now"},
        "accessTokens": [{"name": "t", "scopes": ["payments"], "renewBefore": "50s"}],
    });
    cluster.apply(&key(TEAM, "k", &rotation));
    let rotated = |key: &appkeys::api::ApplicationKey| {
        let credential = key.status.as_ref().and_then(|status| status.credential.as_ref());
        credential.is_some_and(|credential| credential.version == 2)
    };
    cluster.key_until(TEAM, "k", rotated).await;
    let all = "-o=jsonpath={range .items[*]}{.status.conditions[?(@.type=='Ready')].status}{\"\\n\"}{end}";
    let ready = || {
        cluster
            .kubectl(&["-n", HIS, "get", "akey", all])
            .matches("True")
            .count()
    };
    println!("the team's key is rotated while {} of his {MANY} are ready", ready());
    cluster.until("his keys, too", async || ready() >= MANY).await;
}
