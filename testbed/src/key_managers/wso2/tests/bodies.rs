//! Bodies: W10, W26, W29, and what else is taken, coerced, ignored or refused.

use serde_json::{Value, json};

use super::{Bed, code, of_key, read, text};
use crate::key_managers::wso2::{Attribute, Settings, Switch, Version};

#[tokio::test]
async fn w10_flags_as_booleans_are_ignored() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let application = bed.application("a").await;
    let flags = |value: Value| {
        json!({"additionalProperties": {
            "pkceMandatory": value, "pkceSupportPlain": value, "bypassClientCredentials": value,
            "user_access_token_expiry_time": "soon", "application_access_token_expiry_time": 600,
            "refresh_token_expiry_time": "-1", "id_token_expiry_time": "N/A",
        }})
    };
    let (_, key) = bed.generate(&application, flags(json!(true))).await;
    let read = &key["additionalProperties"];
    for flag in ["pkceMandatory", "pkceSupportPlain", "bypassClientCredentials"] {
        assert_eq!(read[flag], false, "{flag}");
    }
    assert_eq!(read["application_access_token_expiry_time"], 600);
    assert_eq!(read["user_access_token_expiry_time"], 3600);
    assert_eq!(read["refresh_token_expiry_time"], 2_147_483_646);
    assert_eq!(read["id_token_expiry_time"], 3600);
    let mut body = flags(json!("true"));
    body["supportedGrantTypes"] = json!(["client_credentials"]);
    let put = bed.good("PUT", &of_key(&application, &key), body).await;
    assert_eq!(put["additionalProperties"]["pkceMandatory"], true);
    assert_eq!(put["additionalProperties"]["bypassClientCredentials"], true);
    // What is left out keeps its value.
    let put = bed
        .good("PUT", &of_key(&application, &key), json!({"additionalProperties": {}}))
        .await;
    assert_eq!(put["additionalProperties"]["pkceSupportPlain"], true);
    let sandbox = json!({"keyType": "SANDBOX", "additionalProperties": {"user_access_token_expiry_time": -1}});
    assert_eq!(code(&bed.generate(&application, sandbox).await), (400, 901_410));
    bed.clean();
}

#[tokio::test]
async fn properties_that_the_version_does_not_know_are_ignored() {
    let bed = Bed::start(Settings::of(Version::V4_0)).await;
    let application = bed.application("a").await;
    let (_, key) = bed
        .generate(&application, json!({"additionalProperties": {"pkceMandatory": "true"}}))
        .await;
    assert_eq!(key["additionalProperties"]["pkceMandatory"], Value::Null);
    bed.clean();
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let application = bed.application("a").await;
    let scopes = json!({"additionalProperties": {"application_scopes": ["orders:read"]}});
    assert_eq!(
        bed.generate(&application, scopes.clone()).await.1["additionalProperties"]["application_scopes"],
        Value::Null
    );
    bed.wso2.state().settings.turn(Switch::ApplicationScopes, true);
    let mut scopes = scopes;
    scopes["keyType"] = json!("SANDBOX");
    let (_, key) = bed.generate(&application, scopes).await;
    assert_eq!(
        key["additionalProperties"]["application_scopes"],
        json!(["orders:read"])
    );
    bed.clean();
}

#[tokio::test]
async fn w26_a_callback_stays_and_several_read_back_as_a_pattern() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let application = bed.application("a").await;
    let code_grant = json!({"grantTypesToBeSupported": ["authorization_code"]});
    assert_eq!(code(&bed.generate(&application, code_grant.clone()).await), (400, 400));
    let mut body = code_grant;
    body["callbackUrl"] = json!("https://a.example/cb,https://b.example/cb");
    let (_, key) = bed.generate(&application, body).await;
    assert_eq!(key["callbackUrl"], "regexp=(https://a.example/cb|https://b.example/cb)");
    assert_eq!(
        (&key["token"]["accessToken"], &key["token"]["tokenScopes"]),
        (&json!(""), &json!(["N/A"]))
    );
    let path = of_key(&application, &key);
    let put = bed
        .good("PUT", &path, json!({"supportedGrantTypes": ["client_credentials"]}))
        .await;
    assert_eq!(put["callbackUrl"], key["callbackUrl"]);
    let without = json!({"supportedGrantTypes": ["authorization_code"]});
    assert_eq!(code(&bed.call("PUT", &path, without).await), (500, 900_967));
    bed.clean();
}

#[tokio::test]
async fn chosen_credentials_are_kept() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let application = bed.application("a").await;
    let chosen = json!({"clientId": "chosen_id_of_15_ch", "clientSecret": "chosen", "validityTime": 60});
    let (_, key) = bed.generate(&application, chosen.clone()).await;
    assert_eq!(
        (&key["consumerKey"], &key["consumerSecret"]),
        (&chosen["clientId"], &chosen["clientSecret"])
    );
    assert_eq!(bed.proves("chosen_id_of_15_ch", "chosen").await, 200);
    let other = bed.application("b").await;
    assert_eq!(code(&bed.generate(&other, chosen).await), (500, 900_967));
    let alone = bed
        .generate(&other, json!({"keyType": "SANDBOX", "clientSecret": "chosen"}))
        .await
        .1;
    assert_ne!(alone["consumerSecret"], "chosen");
    bed.clean();
}

#[tokio::test]
async fn bodies_that_are_no_bodies() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let send = |body: &str| {
        let request = bed.request("POST", "/applications", &Value::Null);
        read(request.header("content-type", "application/json").body(body.to_owned()))
    };
    for (body, said) in [
        ("", "Request payload cannot be empty."),
        ("{", "Malformed request body."),
        (
            r#"{"name": {}, "throttlingPolicy": "Unlimited"}"#,
            "One or more request body parameters contain disallowed values.",
        ),
        (
            r#"{"name": " a", "throttlingPolicy": "Unlimited"}"#,
            "Application name cannot contain leading or trailing white spaces",
        ),
        (
            r#"{"name": "a/b", "throttlingPolicy": "Unlimited"}"#,
            "Application name contains invalid characters",
        ),
    ] {
        let answer = send(body).await;
        assert_eq!(
            (code(&answer), answer.1["description"].as_str()),
            ((400, 400), Some(said))
        );
    }
    bed.clean();
}

#[tokio::test]
async fn attributes_and_groups_are_what_the_administrator_has_set_up() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let configured = vec![
        Attribute::Optional("team"),
        Attribute::Hidden("secret"),
        Attribute::Required("cost"),
    ];
    bed.wso2.state().settings.attributes = configured;
    let mut body = json!({"name": "a", "throttlingPolicy": "Unlimited", "groups": ["g"], "attributes": {"other": "x"}});
    assert_eq!(code(&bed.call("POST", "/applications", body.clone()).await), (500, 500));
    body["attributes"] = json!({"cost": "7", "secret": "s", "other": "x"});
    let made = bed.good("POST", "/applications", body).await;
    assert_eq!(
        (&made["attributes"], &made["groups"]),
        (&json!({"team": "", "cost": "7"}), &json!([]))
    );
    let names = bed.good("GET", "/settings/application-attributes", Value::Null).await;
    assert_eq!(names["list"][2]["required"], "true");
    let policies = bed.good("GET", "/throttling-policies/application", Value::Null).await;
    assert_eq!(policies["list"][3]["name"], "Unlimited");
    bed.clean();
}

#[tokio::test]
async fn w29_api_keys_are_a_bare_array() {
    let bed = Bed::start(Settings::of(Version::V4_7)).await;
    let application = bed.application("a").await;
    let path = format!("/applications/{application}/api-keys/PRODUCTION");
    let made = bed
        .good(
            "POST",
            &format!("{path}/generate"),
            json!({"keyName": "k", "validityPeriod": 60}),
        )
        .await;
    assert_eq!(made["keyUUID"], Value::Null);
    assert_eq!(
        code(&bed.call("POST", &format!("{path}/generate"), json!({})).await),
        (500, 500)
    );
    let list = bed.good("GET", &path, Value::Null).await;
    bed.good(
        "POST",
        &format!("{path}/revoke"),
        json!({"keyUUID": text(&list[0]["keyUUID"])}),
    )
    .await;
    assert_eq!(bed.good("GET", &path, Value::Null).await, json!([]));
    bed.clean();
}

#[tokio::test]
async fn a_test_token_needs_a_validity() {
    let bed = Bed::start(Settings::of(Version::V4_7)).await;
    let (application, key) = bed.key("a").await;
    let path = format!("{}/generate-token", of_key(&application, &key));
    assert_eq!(code(&bed.call("POST", &path, json!({})).await), (500, 500));
    assert_eq!(
        code(&bed.call("POST", &path, json!({"validityPeriod": 60})).await),
        (400, 900_967)
    );
    let body = json!({"validityPeriod": 60, "consumerSecret": key["consumerSecret"], "scopes": ["orders:read"]});
    assert_eq!(
        bed.good("POST", &path, body).await["tokenScopes"],
        json!(["orders:read"])
    );
    bed.clean();
}
