//! What the API server itself accepts and refuses, and the words that a person then reads. Nothing is stored: every request
//! is a dry run.

use std::fmt::Write as _;

use appkeys::api::{Application, ApplicationKey, ClusterKeyManager, KeyManager};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, PostParams},
};
use serde_json::{Value, json};

use crate::support::{Cluster, key, team};

/// What is to be said of a request: nothing, or a refusal with these words.
pub(crate) type Wanted<'a> = Result<(), &'a str>;

/// Asks the API server about all `cases` at once, and tells of every surprise.
pub(crate) struct Table {
    client: Client,
    surprises: String,
    dry: PostParams,
}

impl Table {
    pub(crate) async fn of(cluster: &Cluster) -> Self {
        Self {
            client: cluster.client().await,
            surprises: String::new(),
            dry: PostParams {
                dry_run: true,
                ..PostParams::default()
            },
        }
    }

    fn api(&self, object: &Value) -> Api<DynamicObject> {
        let resource = match object["kind"].as_str().unwrap() {
            "ApplicationKey" => ApiResource::erase::<ApplicationKey>(&()),
            "Application" => ApiResource::erase::<Application>(&()),
            "KeyManager" => ApiResource::erase::<KeyManager>(&()),
            _ => ApiResource::erase::<ClusterKeyManager>(&()),
        };
        match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// Tries to create `object`.
    pub(crate) async fn create(&mut self, case: &str, object: Value, wanted: Wanted<'_>) {
        let parsed = serde_json::from_value(object.clone()).unwrap();
        let answer = self.api(&object).create(&self.dry, &parsed).await;
        if answer.is_ok() {
            self.readable(case, &object);
        }
        self.note(case, &answer, wanted);
    }

    /// Tries to replace what is stored by `object`.
    pub(crate) async fn replace(&mut self, case: &str, mut object: Value, wanted: Wanted<'_>) {
        let api = self.api(&object);
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let stored = api.get(&name).await.unwrap();
        object["metadata"]["resourceVersion"] = json!(stored.metadata.resource_version);
        let parsed = serde_json::from_value(object.clone()).unwrap();
        let answer = api.replace(&name, &self.dry, &parsed).await;
        self.note(case, &answer, wanted);
    }

    /// What the API server takes must be read: an object that cannot be is one that the operator does nothing for.
    fn readable(&mut self, case: &str, object: &Value) {
        let read = match object["kind"].as_str().unwrap() {
            "ApplicationKey" => serde_json::from_value::<ApplicationKey>(object.clone()).map(drop),
            "Application" => serde_json::from_value::<Application>(object.clone()).map(drop),
            "KeyManager" => serde_json::from_value::<KeyManager>(object.clone()).map(drop),
            _ => serde_json::from_value::<ClusterKeyManager>(object.clone()).map(drop),
        };
        // A blank field is taken away before the object is stored.
        if let Err(error) = read
            && !object.to_string().contains("null")
        {
            writeln!(
                self.surprises,
                "{case}: accepted, but the operator cannot read it: {error}"
            )
            .unwrap();
        }
    }

    fn note(&mut self, case: &str, answer: &kube::Result<DynamicObject>, wanted: Wanted<'_>) {
        let said = match answer {
            Ok(_) => None,
            Err(kube::Error::Api(status)) => Some(status.message.clone()),
            Err(error) => Some(error.to_string()),
        };
        let good = match (&said, wanted) {
            (None, Ok(())) => true,
            (Some(said), Err(words)) => said.contains(words),
            _ => false,
        };
        if !good {
            writeln!(self.surprises, "{case}: wanted {wanted:?}, got {said:?}").unwrap();
        }
    }

    pub(crate) fn finish(self) {
        assert!(self.surprises.is_empty(), "\n{}", self.surprises);
    }
}

const REFUSED_LABEL: &str = "labels under appkeys.dev, kubernetes.io, k8s.io, helm.sh and argoproj.io are not allowed";
const REFUSED_ANNOTATION: &str =
    "annotations under appkeys.dev, kubernetes.io, k8s.io, helm.sh and argoproj.io are not allowed";
const TOO_LONG: &str = "Too long";
const NOT_A_DURATION: &str = "spec.rotation.interval in body should match";
const INTERVAL: &str = "must be between 5m and 87600h (ten years)";

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn what_a_secret_may_be() {
    let cluster = Cluster::shared().await;
    let mut table = Table::of(&cluster).await;
    let long = |n: usize| "n".repeat(n);
    let rename = |pairs: &[(&str, &str)]| {
        let keys: Vec<_> = pairs.iter().map(|(from, to)| json!({"from": from, "to": to})).collect();
        json!({ "keys": keys })
    };
    let kept = json!({"keys": [{"from": "client-secret", "to": "password", "keep": true}, {"from": "client-id", "to": "client-secret"}]});
    let cases = [
        ("nothing", json!({}), Ok(())),
        ("a blank block", json!(null), Ok(())),
        ("Opaque", json!({"type": "Opaque"}), Ok(())),
        ("basic-auth", json!({"type": "kubernetes.io/basic-auth"}), Ok(())),
        (
            "a ServiceAccount's token",
            json!({"type": "kubernetes.io/service-account-token"}),
            Err("supported values: \"Opaque\", \"kubernetes.io/basic-auth\""),
        ),
        (
            "a type of one's own",
            json!({"type": "team/thing"}),
            Err("supported values"),
        ),
        ("an empty type", json!({"type": ""}), Err("supported values")),
        // Labels.
        ("a plain label", json!({"labels": {"app": "shop"}}), Ok(())),
        (
            "a label with a domain",
            json!({"labels": {"example.com/app": "shop"}}),
            Ok(()),
        ),
        (
            "a domain that only ends alike",
            json!({"labels": {"notkubernetes.io/app": "x"}}),
            Ok(()),
        ),
        (
            "a domain as the name",
            json!({"labels": {"kubernetes.io": "x"}}),
            Ok(()),
        ),
        (
            "ours",
            json!({"labels": {"appkeys.dev/key": "other"}}),
            Err(REFUSED_LABEL),
        ),
        (
            "Kubernetes'",
            json!({"labels": {"kubernetes.io/x": "x"}}),
            Err(REFUSED_LABEL),
        ),
        (
            "who manages it",
            json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}),
            Err(REFUSED_LABEL),
        ),
        ("deeper", json!({"labels": {"a.b.k8s.io/x": "x"}}), Err(REFUSED_LABEL)),
        ("Helm's", json!({"labels": {"helm.sh/chart": "x"}}), Err(REFUSED_LABEL)),
        (
            "Argo's",
            json!({"labels": {"argocd.argoproj.io/instance": "x"}}),
            Err(REFUSED_LABEL),
        ),
        (
            "upper case",
            json!({"labels": {"KUBERNETES.io/x": "x"}}),
            Err(REFUSED_LABEL),
        ),
        (
            "two slashes",
            json!({"labels": {"a/b/c": "x"}}),
            Err("the name of a label"),
        ),
        ("no name", json!({"labels": {"": "x"}}), Err("the name of a label")),
        (
            "a long name",
            json!({"labels": {long(64): "x"}}),
            Err("the name of a label"),
        ),
        (
            "a space",
            json!({"labels": {"app": "web shop"}}),
            Err("the value of a label"),
        ),
        ("an empty value", json!({"labels": {"app": ""}}), Ok(())),
        ("a long value", json!({"labels": {"app": long(64)}}), Err(TOO_LONG)),
        (
            "too many",
            json!({"labels": (0..33).map(|n| (format!("l{n}"), json!("x"))).collect::<serde_json::Map<_, _>>()}),
            Err("must have at most 32 items"),
        ),
        // Annotations: Kubernetes does not mind upper case there, so it would be a way round.
        (
            "a plain annotation",
            json!({"annotations": {"example.com/note": "any text: ä"}}),
            Ok(()),
        ),
        (
            "ours",
            json!({"annotations": {"appkeys.dev/client-id": "x"}}),
            Err(REFUSED_ANNOTATION),
        ),
        (
            "ours, shouted",
            json!({"annotations": {"AppKeys.Dev/client-id": "x"}}),
            Err(REFUSED_ANNOTATION),
        ),
        (
            "kubectl's",
            json!({"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}),
            Err(REFUSED_ANNOTATION),
        ),
        (
            "Argo's",
            json!({"annotations": {"argocd.argoproj.io/sync-options": "x"}}),
            Err(REFUSED_ANNOTATION),
        ),
        (
            "not a name",
            json!({"annotations": {"a b": "x"}}),
            Err("the name of an annotation"),
        ),
        ("a long value", json!({"annotations": {"a": long(4097)}}), Err(TOO_LONG)),
        // Names.
        ("a name", json!({"name": "shop.credentials-1"}), Ok(())),
        ("the longest name", json!({"name": long(246)}), Ok(())),
        (
            "no room for -tokens",
            json!({"name": long(247)}),
            Err("may not be more than 246"),
        ),
        (
            "253 characters",
            json!({"name": long(253)}),
            Err("may not be more than 246"),
        ),
        (
            "upper case",
            json!({"name": "Shop"}),
            Err("spec.secret.name in body should match"),
        ),
        (
            "two dots",
            json!({"name": "a..b"}),
            Err("spec.secret.name in body should match"),
        ),
        (
            "a dash after a dot",
            json!({"name": "a.-b"}),
            Err("spec.secret.name in body should match"),
        ),
        (
            "another folder",
            json!({"name": "../x"}),
            Err("spec.secret.name in body should match"),
        ),
        // Entries.
        ("a rename", rename(&[("client-id", "username")]), Ok(())),
        (
            "two aliases of one",
            rename(&[("client-id", "a"), ("client-id", "b")]),
            Ok(()),
        ),
        (
            "two change places",
            rename(&[("client-id", "client-secret"), ("client-secret", "client-id")]),
            Ok(()),
        ),
        (
            "a file that begins with a dot",
            rename(&[("ca.crt", ".ca.crt")]),
            Ok(()),
        ),
        (
            "an unknown entry",
            rename(&[("secret", "x")]),
            Err("supported values: \"client-id\", \"client-secret\", \"private-key.pem\""),
        ),
        (
            "two of one name",
            rename(&[("client-id", "x"), ("client-secret", "x")]),
            Err("two entries cannot have the same name"),
        ),
        (
            "onto the secret",
            rename(&[("client-id", "client-secret")]),
            Err("an entry cannot have the name of another one"),
        ),
        (
            "onto one that is kept",
            kept,
            Err("an entry cannot have the name of another one"),
        ),
        (
            "onto a token",
            rename(&[("client-id", "orders.access-token")]),
            Err("are those of access tokens"),
        ),
        (
            "onto a token's end",
            rename(&[("client-id", "t.expires-at")]),
            Err("are those of access tokens"),
        ),
        ("a folder", rename(&[("client-id", "a/b")]), Err("in body should match")),
        (
            "the folder itself",
            rename(&[("client-id", "..")]),
            Err("in body should match"),
        ),
        (
            "hidden from mounts",
            rename(&[("client-id", "..data")]),
            Err("in body should match"),
        ),
        (
            "no name",
            rename(&[("client-id", "")]),
            Err("should be at least 1 chars long"),
        ),
        (
            "onto one of the preset",
            json!({"preset": "env", "keys": [{"from": "issuer-uri", "to": "CLIENT_ID"}]}),
            Err("an entry cannot have the name of one that the preset makes"),
        ),
        (
            "onto one of the type",
            json!({"type": "kubernetes.io/basic-auth", "keys": [{"from": "issuer-uri", "to": "password"}]}),
            Err("has entries username and password of its own"),
        ),
        (
            "an unknown preset",
            json!({"preset": "vault"}),
            Err("supported values: \"env\", \"servicebinding\", \"spring\", \"oauth2-proxy\""),
        ),
    ];
    for (case, secret, wanted) in cases {
        table
            .create(case, key("default", "k", &json!({"secret": secret})), wanted)
            .await;
    }
    table.finish();
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn what_a_key_may_ask_for() {
    let cluster = Cluster::shared().await;
    let mut table = Table::of(&cluster).await;
    let interval = |text: &str| json!({"rotation": {"interval": text}});
    let scopes = |scopes: &[&str]| json!({ "scopes": scopes });
    let token = |token: Value| json!({ "accessTokens": [token] });
    let many: Vec<_> = (0..65).map(|n| format!("s{n}")).collect();
    let needs_grant = "accessTokens needs the grant type ClientCredentials: add it to grantTypes";
    let cases = [
        ("nothing", json!({}), Ok(())),
        // Durations: all that Kubernetes reads, and nothing that would be out of range later.
        ("a month", interval("720h"), Ok(())),
        ("units in any order", interval("1m1h"), Ok(())),
        ("a fraction in front", interval("1.5h30m"), Ok(())),
        ("a unit twice", interval("1h1h"), Ok(())),
        ("milliseconds", interval("300000ms"), Ok(())),
        ("ten years", interval("87600h"), Ok(())),
        ("too short", interval("4m59s"), Err(INTERVAL)),
        ("nothing at all", interval("0s"), Err(INTERVAL)),
        ("too long", interval("87601h"), Err(INTERVAL)),
        ("more than fits", interval("9999999999h"), Err(INTERVAL)),
        ("more than fits, in sum", interval("2562047h2562047h"), Err(INTERVAL)),
        (
            "far more than fits",
            interval("9999999999999999999999999999999h"),
            Err(TOO_LONG_OR_INTERVAL),
        ),
        ("days", interval("30d"), Err(NOT_A_DURATION)),
        ("no unit", interval("3600"), Err(NOT_A_DURATION)),
        ("a sign", interval("-1h"), Err(NOT_A_DURATION)),
        ("empty", interval(""), Err(NOT_A_DURATION)),
        ("words", interval("monthly"), Err(NOT_A_DURATION)),
        (
            "a number",
            json!({"rotation": {"interval": 3600}}),
            Err("must be of type string"),
        ),
        (
            "no overlap",
            json!({"rotation": {"overlap": "0s"}}),
            Err("must be between 1s and 87600h"),
        ),
        ("a short overlap", json!({"rotation": {"overlap": "1s"}}), Ok(())),
        ("a trigger", json!({"rotation": {"trigger": "t".repeat(128)}}), Ok(())),
        ("an empty trigger", json!({"rotation": {"trigger": ""}}), Ok(())),
        (
            "a long trigger",
            json!({"rotation": {"trigger": "t".repeat(129)}}),
            Err("may not be more than 128"),
        ),
        (
            "an unknown strategy",
            json!({"rotation": {"strategy": "Blue"}}),
            Err("supported values: \"Overlap\""),
        ),
        ("a life of tokens", json!({"lifetimes": {"accessToken": "10m"}}), Ok(())),
        (
            "a short life",
            json!({"lifetimes": {"accessToken": "59s"}}),
            Err("must be between 1m and 24h"),
        ),
        (
            "a long life",
            json!({"lifetimes": {"accessToken": "25h"}}),
            Err("must be between 1m and 24h"),
        ),
        // Scopes (RFC 6749 section 3.3).
        ("scopes", scopes(&["orders:read", "https://x/y#z", "[a]~!"]), Ok(())),
        (
            "a space",
            scopes(&["orders read"]),
            Err("spec.scopes[0] in body should match"),
        ),
        ("a quote", scopes(&["a\"b"]), Err("spec.scopes[0] in body should match")),
        (
            "a backslash",
            scopes(&["a\\b"]),
            Err("spec.scopes[0] in body should match"),
        ),
        ("a line", scopes(&["a\nb"]), Err("spec.scopes[0] in body should match")),
        ("an umlaut", scopes(&["ä"]), Err("spec.scopes[0] in body should match")),
        ("an empty one", scopes(&[""]), Err("should be at least 1 chars long")),
        ("one twice", scopes(&["a", "a"]), Err("Duplicate value")),
        (
            "a long one",
            scopes(&[&"s".repeat(257)]),
            Err("may not be more than 256"),
        ),
        ("too many", json!({ "scopes": many }), Err("must have at most 64 items")),
        // Access tokens.
        (
            "a token",
            token(json!({"name": "orders", "scopes": ["a"], "resource": "https://api.example.com"})),
            Ok(()),
        ),
        (
            "a token without a name",
            token(json!({"scopes": ["a"]})),
            Err("spec.accessTokens[0].name: Required value"),
        ),
        (
            "a token's bad name",
            token(json!({"name": "a.b"})),
            Err("spec.accessTokens[0].name in body should match"),
        ),
        (
            "a token's bad scope",
            token(json!({"name": "t", "scopes": ["a b"]})),
            Err("in body should match"),
        ),
        (
            "a relative resource",
            token(json!({"name": "t", "resource": "api"})),
            Err("resource in body should match"),
        ),
        (
            "a fragment",
            token(json!({"name": "t", "resource": "https://x/#y"})),
            Err("resource in body should match"),
        ),
        (
            "a space in a resource",
            token(json!({"name": "t", "resource": "urn:a b"})),
            Err("resource in body should match"),
        ),
        (
            "one name twice",
            json!({"accessTokens": [{"name": "t"}, {"name": "t"}]}),
            Err("Duplicate value"),
        ),
        ("renewal", token(json!({"name": "t", "renewBefore": "10m"})), Ok(())),
        (
            "late renewal",
            token(json!({"name": "t", "renewBefore": "9s"})),
            Err("must be between 10s and 8760h"),
        ),
        (
            "renewal in words",
            token(json!({"name": "t", "renewBefore": "soon"})),
            Err("renewBefore in body should match"),
        ),
        (
            "tokens without the grant",
            json!({"grantTypes": ["AuthorizationCode"], "accessTokens": [{"name": "t"}]}),
            Err(needs_grant),
        ),
        (
            "no tokens without the grant",
            json!({"grantTypes": ["AuthorizationCode"], "redirectUris": ["https://shop.example.com/"]}),
            Ok(()),
        ),
        (
            "tokens and blank grants",
            json!({"grantTypes": null, "accessTokens": [{"name": "t"}]}),
            Ok(()),
        ),
        (
            "tokens with the grant",
            json!({"grantTypes": ["RefreshToken", "ClientCredentials"], "accessTokens": [{"name": "t"}]}),
            Ok(()),
        ),
        (
            "no grant",
            json!({"grantTypes": []}),
            Err("should have at least 1 items"),
        ),
        (
            "an unknown grant",
            json!({"grantTypes": ["Password"]}),
            Err("supported values: \"ClientCredentials\""),
        ),
        (
            "a grant twice",
            json!({"grantTypes": ["RefreshToken", "RefreshToken"]}),
            Err("Duplicate value"),
        ),
        // The rest.
        ("a client id", json!({"clientId": "My_client.1"}), Ok(())),
        (
            "a client id with a colon",
            json!({"clientId": "a:b"}),
            Err("spec.clientId in body should match"),
        ),
        (
            "a long client id",
            json!({"clientId": "c".repeat(101)}),
            Err("may not be more than 100"),
        ),
        (
            "no application",
            json!({"applicationRef": {}}),
            Err("spec.applicationRef.name: Required value"),
        ),
        (
            "an application elsewhere",
            json!({"applicationRef": {"name": "../shop"}}),
            Err("in body should match"),
        ),
        (
            "an unknown environment",
            json!({"environment": "Staging"}),
            Err("supported values: \"Production\""),
        ),
        ("a key manager", json!({"keyManagerRef": {"name": "resident"}}), Ok(())),
        (
            "an unknown kind",
            json!({"keyManagerRef": {"kind": "Secret", "name": "x"}}),
            Err("supported values"),
        ),
        (
            "a folder",
            json!({"keyManagerRef": {"name": "a/b"}}),
            Err("spec.keyManagerRef.name in body should match"),
        ),
        (
            "an unknown authentication",
            json!({"clientAuthentication": "TlsClientAuth"}),
            Err("supported values: \"ClientSecretBasic\""),
        ),
        ("suspended", json!({"suspend": true}), Ok(())),
        (
            "suspended in words",
            json!({"suspend": "yes"}),
            Err("must be of type boolean"),
        ),
    ];
    for (case, spec, wanted) in cases {
        table.create(case, key("default", "k", &spec), wanted).await;
    }
    // The name of the key is the name of its Secrets.
    let long = "k".repeat(253);
    let tokens = json!([{"name": "t"}]);
    let too_long = Err("too long: give it a shorter secret.name, or set secret.tokens to SameSecret");
    for (case, spec, wanted) in [
        ("the longest name", json!({}), Ok(())),
        ("with tokens", json!({ "accessTokens": tokens }), too_long),
        (
            "with a name for its Secret",
            json!({"accessTokens": tokens, "secret": {"name": "s"}}),
            Ok(()),
        ),
        (
            "in one Secret",
            json!({"accessTokens": tokens, "secret": {"tokens": "SameSecret"}}),
            Ok(()),
        ),
        (
            "in two",
            json!({"accessTokens": tokens, "secret": {"tokens": "SeparateSecret"}}),
            too_long,
        ),
    ] {
        table.create(case, key("default", &long, &spec), wanted).await;
    }
    table.finish();
}

/// Longer than the 32 characters of a duration, or said by the rule.
const TOO_LONG_OR_INTERVAL: &str = "spec.rotation.interval";

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn what_a_key_manager_and_an_application_may_be() {
    let cluster = Cluster::shared().await;
    let mut table = Table::of(&cluster).await;
    let manager = |spec: Value| json!({"apiVersion": "appkeys.dev/v1alpha1", "kind": "ClusterKeyManager", "metadata": {"name": "m"}, "spec": spec});
    let resident = |resident: Value| manager(json!({ "resident": resident }));
    let issuer = |issuer: &str| resident(json!({ "issuer": issuer }));
    let rule = |rule: Value| manager(json!({"resident": {}, "access": [rule]}));
    let bad_issuer = Err("spec.resident.issuer in body should match");
    let one_kind = Err("exactly one kind of key manager must be given: resident");
    for (case, object, wanted) in [
        ("a resident one", resident(json!({})), Ok(())),
        ("none", manager(json!({})), one_kind),
        ("a blank one", manager(json!({"resident": null})), one_kind),
        ("one of later", manager(json!({"another": {}})), one_kind),
        ("an issuer", issuer("https://keys.example.com:8443/appkeys"), Ok(())),
        ("plain http", issuer("http://keys.example.com"), bad_issuer),
        ("a query", issuer("https://keys.example.com?a=b"), bad_issuer),
        ("a fragment", issuer("https://keys.example.com/#x"), bad_issuer),
        ("a space", issuer("https://keys example.com"), bad_issuer),
        ("a password", issuer("https://me:pw@keys.example.com"), bad_issuer),
        ("no host", issuer("https:///keys"), bad_issuer),
        ("no scheme", issuer("keys.example.com"), bad_issuer),
        (
            "a long one",
            issuer(&format!("https://{}", "x".repeat(505))),
            Err("may not be more than 512"),
        ),
        ("an algorithm", resident(json!({"signingAlgorithm": "RS256"})), Ok(())),
        (
            "none for signing",
            resident(json!({"signingAlgorithm": "none"})),
            Err("supported values: \"ES256\""),
        ),
        (
            "a symmetric one",
            resident(json!({"signingAlgorithm": "HS256"})),
            Err("supported values: \"ES256\""),
        ),
        (
            "a short life",
            resident(json!({"accessTokenLifetime": "1s"})),
            Err("must be between 1m and 24h"),
        ),
        (
            "a certificate elsewhere",
            resident(json!({"certificateSecretRef": {"name": "a/b"}})),
            Err("should match"),
        ),
        (
            "a certificate without a name",
            resident(json!({"certificateSecretRef": {}})),
            Err("Required value"),
        ),
        (
            "limits",
            manager(json!({"resident": {}, "limits": {"requestsPerSecond": 5, "burst": 1}})),
            Ok(()),
        ),
        (
            "no calls",
            manager(json!({"resident": {}, "limits": {"requestsPerSecond": 0}})),
            Err("greater than or equal to 1"),
        ),
        (
            "a negative limit",
            manager(json!({"resident": {}, "limits": {"maxInFlight": -1}})),
            Err("greater than or equal to 1"),
        ),
        (
            "a fraction",
            manager(json!({"resident": {}, "limits": {"burst": 1.5}})),
            Err("must be of type integer"),
        ),
        (
            "a rule",
            rule(json!({"namespaceSelector": {}, "scopes": ["a"], "resources": ["https://x"]})),
            Ok(()),
        ),
        (
            "a bad scope",
            rule(json!({"scopes": ["a b"]})),
            Err("scopes[0] in body should match"),
        ),
        (
            "a bad resource",
            rule(json!({"resources": ["x"]})),
            Err("resources[0] in body should match"),
        ),
        (
            "an unknown grant",
            rule(json!({"grantTypes": ["Password"]})),
            Err("supported values"),
        ),
        (
            "an empty prefix",
            rule(json!({"clientIdPrefix": ""})),
            Err("should be at least 1 chars long"),
        ),
    ] {
        table.create(case, object, wanted).await;
    }
    let application = |spec: Value| {
        let meta = json!({"name": "a", "namespace": "default"});
        json!({"apiVersion": "appkeys.dev/v1alpha1", "kind": "Application", "metadata": meta, "spec": spec})
    };
    for (case, object, wanted) in [
        (
            "an application",
            application(json!({"displayName": "Web shop: ä"})),
            Ok(()),
        ),
        (
            "an empty name",
            application(json!({"displayName": ""})),
            Err("should be at least 1 chars long"),
        ),
        (
            "a long name",
            application(json!({"displayName": "n".repeat(129)})),
            Err("may not be more than 128"),
        ),
        (
            "a long text",
            application(json!({"description": "n".repeat(1025)})),
            Err("may not be more than 1024"),
        ),
        (
            "a key manager without a name",
            application(json!({"keyManagerRef": {}})),
            Err("Required value"),
        ),
    ] {
        table.create(case, object, wanted).await;
    }
    table.finish();
}

#[tokio::test]
async fn what_cannot_be_changed() {
    let cluster = Cluster::shared().await;
    team(&cluster, "unchangeable").await;
    let stored = json!({"suspend": true, "secret": {"name": "a"}});
    let with = |change: Value| {
        let mut spec = stored.clone();
        spec.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        key("unchangeable", "k", &spec)
    };
    cluster.apply(&with(json!({})));
    let mut table = Table::of(&cluster).await;
    let no_type = Err("the type of a Secret cannot be changed: choose a new secret.name");
    let basic = "kubernetes.io/basic-auth";
    for (case, change, wanted) in [
        ("nothing", json!({}), Ok(())),
        (
            "the application",
            json!({"applicationRef": {"name": "other"}}),
            Err("applicationRef cannot be changed: make a new key"),
        ),
        (
            "the environment",
            json!({"environment": "Sandbox"}),
            Err("environment cannot be changed: make a new key"),
        ),
        ("the key manager", json!({"keyManagerRef": {"name": "other"}}), Ok(())),
        ("the client id", json!({"clientId": "other"}), Ok(())),
        ("the Secret's name", json!({"secret": {"name": "b"}}), Ok(())),
        (
            "the Secret's type",
            json!({"secret": {"name": "a", "type": basic}}),
            no_type,
        ),
        (
            "the type's default said",
            json!({"secret": {"name": "a", "type": "Opaque"}}),
            Ok(()),
        ),
        ("type and name", json!({"secret": {"name": "b", "type": basic}}), Ok(())),
        ("type and no name", json!({"secret": {"type": basic}}), Ok(())),
    ] {
        table.replace(case, with(change), wanted).await;
    }
    table.finish();
}

/// Neither the API server nor the operator writes into what a person wrote.
#[tokio::test]
async fn a_spec_stays_as_it_was_written() {
    let cluster = Cluster::shared().await;
    team(&cluster, "verbatim").await;
    let spec = json!({
        "keyManagerRef": {"name": "resident"}, "accessTokens": [{"name": "t"}], "rotation": {"interval": "1.5h30m"},
        "secret": {"keys": [{"from": "client-id", "to": "id"}]},
    });
    let written = key("verbatim", "k", &spec);
    cluster.apply(&written);
    let ready = cluster.ready("verbatim", "k").await;
    assert_eq!(ready.metadata.generation, Some(1));
    let get = |kind: &str, name: &str| -> Value {
        let text = cluster.kubectl(&["-n", "verbatim", "get", kind, name, "-o", "json"]);
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(get("akey", "k")["spec"], written["spec"]);
    assert_eq!(get("akapp", "shop")["spec"], json!({}));
}
