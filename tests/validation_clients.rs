//! What the API server itself accepts and refuses of clients that need a key manager elsewhere: for logins, with private keys, and
//! those that are adopted.

use serde_json::{Value, json};

use crate::{
    support::{Cluster, key, team},
    validation::Table,
    validation_key_managers::{URL, keycloak, managers},
};

#[tokio::test]
async fn where_logins_may_return_to() {
    let cluster = Cluster::shared().await;
    let mut table = Table::of(&cluster).await;
    for (case, uri, as_uri, as_pattern) in [
        ("a page", "https://shop.example.com/callback", true, true),
        ("a query", "https://shop.example.com/callback?from=login", true, true),
        ("an app of a telephone", "com.example.shop:/callback", true, true),
        ("this machine", "http://127.0.0.1/callback", true, true),
        ("a fragment", "https://shop.example.com/#callback", false, false),
        ("no scheme", "shop.example.com/callback", false, false),
        ("a space", "https://shop.example.com/call back", false, false),
        ("a star in the path", "https://shop.example.com/*/callback", true, true),
        ("a star in the host", "https://*.example.com/callback", true, false),
        ("a star as the host", "https://*/callback", true, false),
        ("a star as the port", "https://shop.example.com:*/callback", true, false),
        ("a star as the scheme", "*://shop.example.com/callback", false, false),
        ("a star in the host, without a path", "https://shop*", true, false),
    ] {
        let wanted = |good, words| if good { Ok(()) } else { Err(words) };
        let login = json!({"grantTypes": ["AuthorizationCode"], "redirectUris": [uri]});
        let words = "spec.redirectUris[0] in body should match";
        table
            .create(case, key("default", "k", &login), wanted(as_uri, words))
            .await;
        let [manager, _] = managers(&json!({
            "keycloak": keycloak(URL, "shop"), "access": [{"namespaceSelector": {}, "redirectUriPatterns": [uri]}],
        }));
        let words = "spec.access[0].redirectUriPatterns[0] in body should match";
        table
            .create(&format!("{case}, as a pattern"), manager, wanted(as_pattern, words))
            .await;
    }
    table.finish();
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn what_goes_together_in_a_client() {
    let cluster = Cluster::shared().await;
    let mut table = Table::of(&cluster).await;
    let uris = ["https://shop.example.com/callback"];
    let login = |more: Value| {
        let mut spec = json!({"grantTypes": ["AuthorizationCode"], "redirectUris": uris});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let adopt = |more: Value| {
        let mut spec = json!({"adopt": {"clientId": "old-shop", "secretRef": {"name": "old-shop"}}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let basic = |authentication: &str| json!({"clientAuthentication": authentication, "secret": {"type": "kubernetes.io/basic-auth"}});
    let needs_uris = Err("the grant type AuthorizationCode needs redirectUris");
    let needs_code = Err("redirectUris and pkce are for logins");
    let public = Err("a public client (clientAuthentication None) cannot use the grant type ClientCredentials");
    let needs_secret = Err("a Secret of type kubernetes.io/basic-auth needs a client secret");
    for (case, spec, wanted) in [
        ("a login", login(json!({})), Ok(())),
        (
            "a login with all",
            login(json!({
                "grantTypes": ["AuthorizationCode", "RefreshToken", "ClientCredentials"],
                "pkce": {"required": true, "allowPlain": true}, "accessTokens": [{"name": "t"}],
            })),
            Ok(()),
        ),
        (
            "a login to nowhere",
            json!({"grantTypes": ["AuthorizationCode"]}),
            needs_uris,
        ),
        (
            "a login to an empty list",
            json!({"grantTypes": ["AuthorizationCode"], "redirectUris": []}),
            needs_uris,
        ),
        ("a place for no login", json!({ "redirectUris": uris }), needs_code),
        (
            "a place for a machine",
            json!({"redirectUris": uris, "grantTypes": ["ClientCredentials"]}),
            needs_code,
        ),
        ("PKCE for no login", json!({"pkce": {"required": true}}), needs_code),
        (
            "PKCE for a machine",
            json!({"pkce": {"required": false}, "grantTypes": ["ClientCredentials"]}),
            needs_code,
        ),
        (
            "PKCE without a word",
            login(json!({"pkce": {}})),
            Err("spec.pkce.required: Required value"),
        ),
        (
            "a public client",
            login(json!({"clientAuthentication": "None"})),
            Ok(()),
        ),
        (
            "a public client with refresh tokens",
            login(json!({"clientAuthentication": "None", "grantTypes": ["AuthorizationCode", "RefreshToken"]})),
            Ok(()),
        ),
        (
            "a public machine",
            login(json!({"clientAuthentication": "None", "grantTypes": ["AuthorizationCode", "ClientCredentials"]})),
            public,
        ),
        (
            "a public client by default a machine",
            json!({"clientAuthentication": "None"}),
            public,
        ),
        (
            "tokens of a public client",
            login(json!({"clientAuthentication": "None", "accessTokens": [{"name": "t"}]})),
            Err("accessTokens needs the grant type ClientCredentials"),
        ),
        (
            "a private key",
            json!({"clientAuthentication": "PrivateKeyJwt"}),
            Ok(()),
        ),
        ("basic-auth with a secret", basic("ClientSecretBasic"), Ok(())),
        (
            "basic-auth with a secret in the body",
            basic("ClientSecretPost"),
            Ok(()),
        ),
        ("basic-auth with a private key", basic("PrivateKeyJwt"), needs_secret),
        ("basic-auth of a public client", login(basic("None")), needs_secret),
        (
            "a private key's entry under another name",
            json!({"clientAuthentication": "PrivateKeyJwt", "secret": {"keys": [{"from": "private-key.pem", "to": "tls.key"}]}}),
            Ok(()),
        ),
        ("an adopted client", adopt(json!({})), Ok(())),
        (
            "an adopted client with a private key",
            adopt(json!({"clientAuthentication": "PrivateKeyJwt"})),
            Ok(()),
        ),
        (
            "an adopted client with another id",
            adopt(json!({"clientId": "shop"})),
            Err("adopt says the client id: remove clientId"),
        ),
        (
            "an adopted public client",
            adopt(login(json!({"clientAuthentication": "None"}))),
            Err("a public client has nothing that proves whose it is"),
        ),
        (
            "an adopted client without a proof",
            json!({"adopt": {"clientId": "old-shop"}}),
            Err("spec.adopt.secretRef: Required value"),
        ),
        (
            "an adopted client with a space",
            json!({"adopt": {"clientId": "old shop", "secretRef": {"name": "s"}}}),
            Err("spec.adopt.clientId in body should match"),
        ),
    ] {
        table.create(case, key("default", "k", &spec), wanted).await;
    }
    table.finish();
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn what_only_some_key_managers_can_do() {
    let cluster = Cluster::shared().await;
    let mut table = Table::of(&cluster).await;
    let login = |grants: &[&str], more: Value| {
        let mut spec = json!({"grantTypes": grants, "redirectUris": ["https://shop.example.com/callback"]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let refresh = |life: &str| {
        let lifetimes = json!({"lifetimes": {"refreshToken": life}});
        login(&["AuthorizationCode", "RefreshToken"], lifetimes)
    };
    let code = |more: Value| login(&["AuthorizationCode"], more);
    let defaults = |scopes: &[&str]| json!({"keycloak": {"defaultClientScopes": scopes}});
    let many: Vec<_> = (0..33).map(|n| format!("s{n}")).collect();
    let longest: Vec<_> = (0..32).map(|n| format!("{n:x<256}")).collect();
    let both = json!({"required": true, "allowPlain": true});
    let span = Err("must be between 1m and 8760h (a year)");
    let needs_refresh = Err("lifetimes.refreshToken is for clients that get refresh tokens");
    let one = Err("keycloak.pkceMethod is the one method that is demanded");
    for (case, spec, wanted) in [
        ("a life of refresh tokens", refresh("1m"), Ok(())),
        ("a year of refresh tokens", refresh("8760h"), Ok(())),
        ("a short life of refresh tokens", refresh("59s"), span),
        ("a long life of refresh tokens", refresh("8761h"), span),
        (
            "a life of no refresh tokens",
            code(json!({"lifetimes": {"refreshToken": "1h"}})),
            needs_refresh,
        ),
        (
            "a life of a machine's refresh tokens",
            json!({"lifetimes": {"refreshToken": "1h"}}),
            needs_refresh,
        ),
        ("an empty block", json!({"keycloak": {}}), Ok(())),
        ("default client scopes", defaults(&["profile", "https://x/y"]), Ok(())),
        (
            "the longest default client scopes",
            defaults(&longest.iter().map(String::as_str).collect::<Vec<_>>()),
            Ok(()),
        ),
        (
            "too many default client scopes",
            defaults(&many.iter().map(String::as_str).collect::<Vec<_>>()),
            Err("must have at most 32 items"),
        ),
        (
            "one default client scope twice",
            defaults(&["a", "a"]),
            Err("Duplicate value"),
        ),
        (
            "a default client scope with a space",
            defaults(&["a b"]),
            Err("should match"),
        ),
        (
            "other scopes beside",
            json!({"scopes": ["read"], "keycloak": {"defaultClientScopes": ["profile"]}}),
            Ok(()),
        ),
        (
            "a scope in both ways",
            json!({"scopes": ["read", "write"], "keycloak": {"defaultClientScopes": ["profile", "write"]}}),
            Err("a scope is in scopes or in keycloak.defaultClientScopes, not in both"),
        ),
        (
            "plain",
            code(json!({"pkce": both, "keycloak": {"pkceMethod": "Plain"}})),
            Ok(()),
        ),
        (
            "S256 of both",
            code(json!({"pkce": both, "keycloak": {"pkceMethod": "S256"}})),
            Ok(()),
        ),
        (
            "S256",
            code(json!({"pkce": {"required": true}, "keycloak": {"pkceMethod": "S256"}})),
            Ok(()),
        ),
        (
            "plain without leave",
            code(json!({"pkce": {"required": true}, "keycloak": {"pkceMethod": "Plain"}})),
            one,
        ),
        (
            "plain without leave, said",
            code(json!({"pkce": {"required": true, "allowPlain": false}, "keycloak": {"pkceMethod": "Plain"}})),
            one,
        ),
        (
            "a method of what is not demanded",
            code(json!({"pkce": {"required": false, "allowPlain": true}, "keycloak": {"pkceMethod": "Plain"}})),
            one,
        ),
        ("a method of nothing", json!({"keycloak": {"pkceMethod": "S256"}}), one),
        (
            "another method",
            code(json!({"pkce": both, "keycloak": {"pkceMethod": "S512"}})),
            Err("supported values: \"S256\", \"Plain\""),
        ),
    ] {
        table.create(case, key("default", "k", &spec), wanted).await;
    }
    table.finish();
}

#[tokio::test]
async fn an_adoption_cannot_be_changed() {
    let cluster = Cluster::shared().await;
    team(&cluster, "adoptions").await;
    let adopt = |id: &str, secret: &str| json!({"clientId": id, "secretRef": {"name": secret}});
    let with = |name: &str, adopt: Option<Value>| {
        let mut spec = json!({"suspend": true});
        if let Some(adopt) = adopt {
            spec["adopt"] = adopt;
        }
        key("adoptions", name, &spec)
    };
    cluster.apply(&with("adopted", Some(adopt("old-shop", "proof"))));
    cluster.apply(&with("made", None));
    let mut table = Table::of(&cluster).await;
    let fixed = Err("adopt cannot be changed: make a new key");
    for (case, object, wanted) in [
        ("nothing", with("adopted", Some(adopt("old-shop", "proof"))), Ok(())),
        (
            "another proof",
            with("adopted", Some(adopt("old-shop", "other"))),
            Ok(()),
        ),
        (
            "another client",
            with("adopted", Some(adopt("new-shop", "proof"))),
            fixed,
        ),
        ("taken away", with("adopted", None), fixed),
        ("added", with("made", Some(adopt("old-shop", "proof"))), fixed),
        ("still none", with("made", None), Ok(())),
    ] {
        table.replace(case, object, wanted).await;
    }
    table.finish();
}
