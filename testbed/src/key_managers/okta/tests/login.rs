//! How the operator logs in.

use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};

use super::{Bed, Got};

const SCOPES: &str = "okta.apps.manage okta.apps.read";

/// A DPoP proof by the operator's key, as Okta's own client makes it.
fn proof(bed: &Bed, method: &str, path: &str, change: impl FnOnce(&mut Value)) -> String {
    let key = EncodingKey::from_rsa_pem(bed.okta.operator().private_key.as_bytes()).unwrap();
    let mut header = Header::new(Algorithm::RS256);
    header.typ = Some("dpop+jwt".to_owned());
    header.jwk = Some(Jwk::from_encoding_key(&key, Algorithm::RS256).unwrap());
    let mut claims = json!({
        "htm": method, "htu": format!("{}{path}", bed.okta.url()), "iat": jsonwebtoken::get_current_timestamp(),
        "jti": uuid::Uuid::new_v4().to_string(),
    });
    change(&mut claims);
    jsonwebtoken::encode(&header, &claims, &key).unwrap()
}

/// Logs in with DPoP, and calls without a proof of the key.
pub(super) async fn dpop_session(bed: &Bed) {
    bed.okta.set(|modes| modes.dpop_required = true);
    let path = "/oauth2/v1/token";
    let ask = async |nonce: Option<&str>| {
        let proof = proof(bed, "POST", path, |claims| claims["nonce"] = json!(nonce));
        Bed::send(
            bed.request("POST", path)
                .form(&bed.org_form(SCOPES, |_| {}))
                .header("dpop", proof),
        )
        .await
    };
    let nonce = ask(None).await.header("dpop-nonce").to_owned();
    let token = ask(Some(&nonce)).await.ok(200)["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let request = bed
        .request("GET", "/api/v1/apps/any")
        .header("authorization", format!("Bearer {token}"));
    assert_eq!(Bed::send(request).await.status, 400);
}

async fn list(bed: &Bed, authorization: &str) -> Got {
    Bed::send(
        bed.request("GET", "/api/v1/apps")
            .header("authorization", authorization),
    )
    .await
}

#[tokio::test]
async fn o12_scope_and_role_are_two_gates() {
    let bed = Bed::start().await;
    bed.okta.grant(&["okta.apps.read"]);
    let got = bed.org_token(&bed.org_form(SCOPES, |_| {})).await.ok(200);
    assert_eq!(got["scope"], "okta.apps.read", "fewer than asked for, with 200");
    let bearer = format!("Bearer {}", got["access_token"].as_str().unwrap());
    assert_eq!(list(&bed, &bearer).await.status, 200);
    let request = bed.request("POST", "/api/v1/apps").header("authorization", &bearer);
    let refused = Bed::send(request.json(&super::machine("shop"))).await;
    assert_eq!(refused.error(), (403, "E0000006"));
    let says = refused.header("www-authenticate");
    assert!(
        says.contains("error=\"insufficient_scope\"") && says.contains("scope=\"okta.apps.manage\""),
        "{says}"
    );
    bed.okta.set(|modes| modes.role_missing = true);
    let refused = list(&bed, &bearer).await;
    assert_eq!(
        (refused.error(), refused.header("www-authenticate")),
        ((403, "E0000006"), "")
    );
    bed.clean();
}

#[tokio::test]
async fn o13_the_orgs_server_is_strict_about_assertions() {
    let bed = Bed::start().await;
    let now = jsonwebtoken::get_current_timestamp();
    let refused = async |member: &str, value: Value| {
        let got = bed
            .org_token(&bed.org_form(SCOPES, |claims| claims[member] = value))
            .await;
        assert_eq!(got.error(), (401, "invalid_client"), "{member}");
        got.body["error_description"].as_str().unwrap().to_owned()
    };
    assert!(
        refused("aud", json!(bed.okta.url()))
            .await
            .contains("must be the endpoint invoked")
    );
    assert!(
        refused("exp", json!(now + 3700))
            .await
            .contains("too far into the future")
    );
    assert!(refused("exp", json!(now - 10)).await.contains("expired"));
    assert!(refused("exp", Value::Null).await.contains("'exp' claim"));
    assert!(
        refused("iat", json!(now + 300))
            .await
            .contains("before the current time")
    );
    assert!(refused("iss", json!("nobody")).await.contains("issuer claim"));
    assert!(refused("sub", json!("nobody")).await.contains("subject claim"));
    let form = bed.org_form(SCOPES, |_| {});
    assert_eq!(bed.org_token(&form).await.ok(200)["token_type"], "Bearer");
    let again = bed.org_token(&form).await;
    assert!(
        again.body["error_description"]
            .as_str()
            .unwrap()
            .contains("already been used")
    );
    let unnamed = bed.org_form(SCOPES, |claims| claims["jti"] = Value::Null);
    assert_eq!(
        [
            bed.org_token(&unnamed).await.status,
            bed.org_token(&unnamed).await.status
        ],
        [200, 200],
        "without a jti"
    );
    assert_eq!(
        bed.org_token(&bed.org_form("", |_| {})).await.error(),
        (400, "invalid_scope")
    );
    assert_eq!(
        bed.org_token(&bed.org_form("orders:read", |_| {})).await.error(),
        (400, "invalid_scope")
    );
    assert_eq!(
        bed.org_token(&bed.org_form("okta.users.read", |_| {})).await.error(),
        (400, "consent_required")
    );
    bed.okta
        .app(&bed.okta.operator().client_id, |app| app.keys[0].active = false);
    assert_eq!(
        bed.org_token(&bed.org_form(SCOPES, |_| {})).await.error(),
        (401, "invalid_client")
    );
    bed.clean();
}

#[tokio::test]
async fn o14_dpop_asks_for_a_nonce_and_binds_the_token() {
    let bed = Bed::start().await;
    bed.okta.set(|modes| modes.dpop_required = true);
    let path = "/oauth2/v1/token";
    let ask = async |form: &[(&str, String)], proof: Option<String>| {
        let mut request = bed.request("POST", path).form(form);
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        Bed::send(request).await
    };
    let bare = ask(&bed.org_form(SCOPES, |_| {}), None).await;
    assert_eq!(bare.error(), (400, "invalid_dpop_proof"));
    let form = bed.org_form(SCOPES, |_| {});
    let first = ask(&form, Some(proof(&bed, "POST", path, |_| {}))).await;
    assert_eq!(first.error(), (400, "use_dpop_nonce"));
    let nonce = first.header("dpop-nonce").to_owned();
    let with_nonce = || Some(proof(&bed, "POST", path, |claims| claims["nonce"] = json!(nonce)));
    assert_eq!(
        ask(&form, with_nonce()).await.error(),
        (401, "invalid_client"),
        "the assertion was used"
    );
    let wrong = Some(proof(&bed, "GET", path, |claims| claims["nonce"] = json!(nonce)));
    assert_eq!(
        ask(&bed.org_form(SCOPES, |_| {}), wrong).await.error(),
        (400, "invalid_dpop_proof")
    );
    let got = ask(&bed.org_form(SCOPES, |_| {}), with_nonce()).await.ok(200);
    assert_eq!(got["token_type"], "DPoP");
    let token = got["access_token"].as_str().unwrap();

    assert_eq!(list(&bed, &format!("Bearer {token}")).await.status, 400);
    let call = async |proof: String| {
        let request = bed
            .request("GET", "/api/v1/apps")
            .header("authorization", format!("DPoP {token}"));
        Bed::send(request.header("dpop", proof)).await.status
    };
    assert_eq!(
        call(proof(&bed, "GET", "/api/v1/apps", |_| {})).await,
        400,
        "without ath"
    );
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    let ath = data_encoding::BASE64URL_NOPAD.encode(hash.as_ref());
    let good = proof(&bed, "GET", "/api/v1/apps", |claims| claims["ath"] = json!(ath));
    assert_eq!(
        [call(good.clone()).await, call(good).await],
        [200, 400],
        "a proof works once"
    );
    let old = |claims: &mut Value| {
        claims["ath"] = json!(ath);
        claims["iat"] = json!(claims["iat"].as_i64().unwrap() - 400);
    };
    assert_eq!(call(proof(&bed, "GET", "/api/v1/apps", old)).await, 400);
    bed.okta.renew_nonce();
    let renewed = ask(&bed.org_form(SCOPES, |_| {}), with_nonce()).await;
    assert_eq!(renewed.error(), (400, "use_dpop_nonce"));
    assert_ne!(renewed.header("dpop-nonce"), nonce);
    bed.clean();
}

#[tokio::test]
async fn o15_an_api_token_is_an_administrator() {
    let bed = Bed::start().await;
    bed.okta.grant(&[]);
    assert_eq!(bed.call("GET", "/api/v1/apps", None).await.status, 200);
    for wrong in ["SSWS wrong", "Bearer wrong", "nonsense"] {
        assert_eq!(list(&bed, wrong).await.error(), (401, "E0000011"), "{wrong}");
    }
    bed.clean();
}

#[tokio::test]
async fn sessions_end() {
    let bed = Bed::start().await;
    let got = bed.org_token(&bed.org_form(SCOPES, |_| {})).await.ok(200);
    let bearer = format!("Bearer {}", got["access_token"].as_str().unwrap());
    assert_eq!(list(&bed, &bearer).await.status, 200);
    bed.okta.end_sessions();
    assert_eq!(list(&bed, &bearer).await.error(), (401, "E0000011"));
    bed.clean();
}
