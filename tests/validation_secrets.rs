//! What the API server itself accepts and refuses of presets and templates of the Secret.

use serde_json::{Value, json};

use crate::{
    support::{Cluster, key, team},
    validation::Table,
};

#[tokio::test]
async fn what_presets_may_be() {
    let cluster = Cluster::shared().await;
    let mut table = Table::of(&cluster).await;
    let rename = |preset: &str, to: &str| json!({"preset": preset, "keys": [{"from": "issuer-uri", "to": to}]});
    let of_the_preset = Err("an entry cannot have the name of one that the preset makes");
    let basic = "kubernetes.io/basic-auth";
    let binding = "servicebinding.io/oauth2";
    for (case, secret, wanted) in [
        ("a service binding", json!({"preset": "servicebinding"}), Ok(())),
        ("spring", json!({"preset": "spring"}), Ok(())),
        ("oauth2-proxy", json!({"preset": "oauth2-proxy"}), Ok(())),
        (
            "its own type",
            json!({"preset": "servicebinding", "type": binding}),
            Ok(()),
        ),
        ("Opaque", json!({"preset": "servicebinding", "type": "Opaque"}), Ok(())),
        (
            "basic-auth",
            json!({"preset": "servicebinding", "type": basic}),
            Err("remove type"),
        ),
        (
            "the type alone",
            json!({"type": binding}),
            Err("needs the preset servicebinding"),
        ),
        (
            "the type of another",
            json!({"type": binding, "preset": "env"}),
            Err("needs the preset servicebinding"),
        ),
        ("onto the type entry", rename("servicebinding", "type"), of_the_preset),
        ("onto the scope", rename("servicebinding", "scope"), of_the_preset),
        ("the same elsewhere", rename("env", "type"), Ok(())),
        (
            "onto the properties",
            rename("spring", "application.properties"),
            of_the_preset,
        ),
        (
            "onto the configuration",
            rename("oauth2-proxy", "oauth2-proxy.cfg"),
            of_the_preset,
        ),
        ("a variable elsewhere", rename("spring", "CLIENT_ID"), Ok(())),
    ] {
        let object = key("default", "k", &json!({ "secret": secret }));
        table.create(case, object, wanted).await;
    }
    let proxy = json!({
        "clientAuthentication": "None", "grantTypes": ["AuthorizationCode"], "redirectUris": ["https://a.example.com/cb"],
        "secret": {"preset": "oauth2-proxy"},
    });
    let wanted = Err("oauth2-proxy needs a client secret");
    table
        .create("a proxy without a secret", key("default", "k", &proxy), wanted)
        .await;
    table.finish();
}

#[tokio::test]
async fn what_templates_may_be() {
    let cluster = Cluster::shared().await;
    let mut table = Table::of(&cluster).await;
    let text = "{{ client_id }}";
    let template = |name: &str| json!({"templates": {name: text}});
    let made = |preset: &str, name: &str| json!({"preset": preset, "templates": {name: text}});
    let of_a_preset = Err("a template cannot have the name of an entry that the preset makes");
    let basic = "kubernetes.io/basic-auth";
    for (case, secret, wanted) in [
        ("a template", template("app.conf"), Ok(())),
        ("an empty one", json!({"templates": {"app.conf": ""}}), Ok(())),
        ("a hidden file", template(".npmrc"), Ok(())),
        ("no name", template(""), Err("the name of a template")),
        ("a folder", template("a/b"), Err("the name of a template")),
        ("hidden from mounts", template("..data"), Err("the name of a template")),
        ("a long name", template(&"n".repeat(254)), Err("the name of a template")),
        (
            "of the credential",
            template("client-secret"),
            Err("of an entry of the credential"),
        ),
        (
            "of a token",
            template("t.access-token"),
            Err("are those of access tokens"),
        ),
        ("of the preset", made("env", "CLIENT_ID"), of_a_preset),
        ("of the binding", made("servicebinding", "provider"), of_a_preset),
        (
            "of the properties",
            made("spring", "application.properties"),
            of_a_preset,
        ),
        ("beside a preset", made("spring", "app.conf"), Ok(())),
        (
            "of the type",
            json!({"type": basic, "templates": {"password": text}}),
            Err("a template cannot be called username or password"),
        ),
        (
            "of a renamed entry",
            json!({"keys": [{"from": "client-id", "to": "id"}], "templates": {"id": text}}),
            Err("a template and a renamed entry cannot have the same name"),
        ),
        (
            "a long text",
            json!({"templates": {"t": "x".repeat(16385)}}),
            Err("may not be more than 16384"),
        ),
    ] {
        let object = key("default", "k", &json!({ "secret": secret }));
        table.create(case, object, wanted).await;
    }
    table.finish();
}

#[tokio::test]
async fn a_preset_with_a_type_of_its_own_needs_a_new_secret() {
    let cluster = Cluster::shared().await;
    team(&cluster, "typed").await;
    let with = |secret: Value| key("typed", "k", &json!({"suspend": true, "secret": secret}));
    cluster.apply(&with(json!({"name": "a"})));
    let mut table = Table::of(&cluster).await;
    let no_type = Err("the type of a Secret cannot be changed: choose a new secret.name");
    for (case, secret, wanted) in [
        ("another preset", json!({"name": "a", "preset": "spring"}), Ok(())),
        ("a binding", json!({"name": "a", "preset": "servicebinding"}), no_type),
        (
            "a binding of the type that is there",
            json!({"name": "a", "preset": "servicebinding", "type": "Opaque"}),
            Ok(()),
        ),
        (
            "under a new name",
            json!({"name": "b", "preset": "servicebinding"}),
            Ok(()),
        ),
    ] {
        table.replace(case, with(secret), wanted).await;
    }
    table.finish();
}
