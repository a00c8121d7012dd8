//! The examples for key managers that nobody can run here, at their doubles.

use serde_json::json;
use testbed::key_managers::{
    okta::Okta,
    wso2::{Client, Settings, Version, Wso2},
};

use crate::support::{Cluster, examples::apply, token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_for_okta_work_at_its_double() {
    let cluster = Cluster::start().await;
    let okta = Okta::start().await.unwrap();
    okta.add_app("Legacy shop", "0oalegacy0shop000000");
    let operator = okta.operator();
    let key = operator.private_key.trim().replace('\n', "\n    ");
    let placeholder = "-----BEGIN PRIVATE KEY-----\n    REPLACE-ME\n    -----END PRIVATE KEY-----";
    let credentials = [
        (placeholder, key.as_str()),
        ("0oaREPLACE-ME", operator.client_id.as_str()),
        ("key-id: REPLACE-ME", &format!("key-id: {}", operator.key_id)),
    ];
    apply(&cluster, "examples/okta/credentials.yaml", &credentials);
    let metadata = json!({"name": "okta-ca", "namespace": "appkeys"});
    cluster.apply(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"ca.crt": okta.ca()},
    }));
    let url = okta.url();
    let server = [
        ("https://example.okta.com", url.as_str()),
        // The double's CA is no public one.
        ("  limits:", "  caBundleRef: {name: okta-ca}\n  limits:"),
    ];
    apply(&cluster, "examples/okta/key-manager.yaml", &server);
    for file in ["key", "login", "private-key"] {
        apply(&cluster, &format!("examples/okta/{file}.yaml"), &[]);
    }
    let apps = okta.apps();
    let legacy = apps.iter().find(|app| app.label == "Legacy shop").unwrap();
    let proof = [
        (
            "client-secret: REPLACE-ME",
            format!("client-secret: {}", legacy.secrets[0].value),
        ),
        ("0oaREPLACE-ME", legacy.client_id.clone()),
    ];
    let proof = proof
        .each_ref()
        .map(|(placeholder, value)| (*placeholder, value.as_str()));
    apply(&cluster, "examples/okta/adopt.yaml", &proof);

    for key in ["shop-orders", "shop-login", "shop-signer", "shop-legacy"] {
        cluster.ready("team-a", key).await;
    }
    let orders = cluster.secret("team-a", "shop-orders").await;
    assert_eq!(token(&orders, &[("scope", "orders:write")]).await.0, 200);
    let login = cluster.secret("team-a", "shop-login").await;
    assert!(!login.contains_key("client-secret"));
    let signer = cluster.secret("team-a", "shop-signer").await;
    assert!(signer.contains_key("private-key.pem"));
    let adopted = cluster.secret("team-a", "shop-legacy").await;
    assert_eq!(adopted["client-id"], "0oalegacy0shop000000");
    assert_eq!(adopted["client-secret"], legacy.secrets[0].value);
    okta.audit().assert_clean();
}

#[tokio::test]
async fn the_examples_for_wso2_work_at_its_double() {
    let cluster = Cluster::start().await;
    let wso2 = Wso2::start(Settings::of(Version::V4_7)).await.unwrap();
    // A consumer key that was made by hand and whose application is gone.
    let body = json!({"name": "Legacy shop", "throttlingPolicy": "Unlimited"});
    let (_, made) = wso2.by_hand(wso2.user(), "POST", "/applications", &body);
    let path = format!(
        "/applications/{}/generate-keys",
        made["applicationId"].as_str().unwrap()
    );
    let body = json!({"keyType": "PRODUCTION", "grantTypesToBeSupported": ["client_credentials"]});
    let (status, legacy) = wso2.by_hand(wso2.user(), "POST", &path, &body);
    assert_eq!(status, 200, "{legacy}");
    wso2.state().keys.clear();
    wso2.state().applications.clear();
    let legacy = ["consumerKey", "consumerSecret"].map(|name| legacy[name].as_str().unwrap().to_owned());

    let ca = wso2.ca().trim().replace('\n', "\n    ");
    let placeholder = "-----BEGIN CERTIFICATE-----\n    REPLACE-ME\n    -----END CERTIFICATE-----";
    let password = format!("password: {}", wso2.password());
    let credentials = [(placeholder, ca.as_str()), ("password: REPLACE-ME", password.as_str())];
    apply(&cluster, "examples/wso2/credentials.yaml", &credentials);
    let server = [("https://apim.example.com:9443", wso2.url())];
    apply(&cluster, "examples/wso2/key-manager.yaml", &server);
    for file in ["key", "login"] {
        apply(&cluster, &format!("examples/wso2/{file}.yaml"), &[]);
    }
    let proof = [
        ("REPLACE-ME-consumer-key", legacy[0].as_str()),
        ("REPLACE-ME ", legacy[1].as_str()),
    ];
    apply(&cluster, "examples/wso2/adopt.yaml", &proof);

    for key in ["shop-orders", "shop-sandbox", "shop-mobile", "shop-web", "shop-legacy"] {
        cluster.ready("team-a", key).await;
    }
    let orders = cluster.secret("team-a", "shop-orders").await;
    assert_eq!(token(&orders, &[("scope", "orders:write")]).await.0, 200);
    let adopted = cluster.secret("team-a", "shop-legacy").await;
    assert_eq!(
        [&adopted["client-id"], &adopted["client-secret"]],
        [&legacy[0], &legacy[1]]
    );
    let mobile = cluster.secret("team-a", "shop-mobile").await;
    assert!(!mobile.contains_key("client-secret"));
    let web = cluster.secret("team-a", "shop-web").await;
    let mut state = wso2.state();
    let clients = &state.resident().clients;
    let (mobile, web) = (&clients[&mobile["client-id"]], &clients[&web["client-id"]]);
    let flags = |client: &Client| {
        (
            client.flags.public,
            client.flags.pkce_mandatory,
            client.flags.pkce_plain,
        )
    };
    assert_eq!((flags(mobile), flags(web)), ((true, true, false), (false, true, true)));
    assert_eq!(mobile.lifetimes.refresh, Some(24 * 3600));
    let shop = state
        .applications
        .values()
        .find(|one| one.described.name.starts_with("Web shop-"));
    assert_eq!(shop.unwrap().described.policy, "50PerMin");
    assert_eq!(state.applications.len(), 4, "one for each Application");
    drop(state);
    wso2.audit().assert_clean();
}
