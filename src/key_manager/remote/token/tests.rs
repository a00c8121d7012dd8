use data_encoding::{BASE64, BASE64URL_NOPAD};
use rcgen::KeyPair;
use serde_json::json;

use super::*;
use crate::{
    api::ClientAuthentication,
    key_manager::remote::{
        proof::AssertionKey,
        testing::{self, Headers, Server, client, now},
    },
};

/// A secret that shows whether it is encoded for where it goes.
const SECRET: &str = "a:b%c+d e/e\"&=ü";

async fn ask(server: &Server, refuses_credential: RefusesCredential) -> Result<TokenAnswer, Error> {
    let scopes = ["read".to_owned(), "write".to_owned()];
    let request = TokenRequest {
        code_for: None,
        client_id: "id:1",
        secret: &SECRET.into(),
        authentication: ClientAuthentication::ClientSecretBasic,
        scopes: &scopes,
        resource: None,
    };
    let endpoint = TokenEndpoint {
        http: &client(),
        url: &format!("{}/token", server.url),
        audience: "",
        refuses_credential,
        entropy: &Entropy::system(),
    };
    endpoint.ask(request).await
}

async fn issue(headers: Headers, body: Value) -> Result<Token, Error> {
    match ask(&Server::always(200, headers, &body.to_string()).await, invalid_client).await? {
        TokenAnswer::Issued(token) => Ok(token),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_secret_is_encoded_for_where_it_goes_and_nothing_empty_is_sent() {
    let body = json!({"access_token": "t", "token_type": "bearer"});
    let server = Server::new(move |_, _| testing::json(200, &body)).await;
    let (http, url) = (client(), format!("{}/token", server.url));
    let secret = SecretString::from(SECRET);
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let key = AssertionKey::from_pem(&pair.serialize_pem().into(), Entropy::system()).unwrap();
    let assertion = ClientProof::Assertion {
        key: &key,
        audience: "https://idp.example",
    };
    let scopes = ["read".to_owned(), "write".to_owned()];
    for (proof, scopes, resource) in [
        (ClientProof::Basic(&secret), &scopes[..], Some("https://api.example")),
        (ClientProof::Post(&secret), &[], None),
        (assertion, &[], None),
        (ClientProof::None, &[], None),
    ] {
        let client_id = "id:1";
        let wanted = Wanted {
            client_id,
            scopes,
            resource,
        };
        wanted.get(&http, &url, proof, invalid_client, "test").await.unwrap();
    }
    let [basic, post, signed, public] = server.seen().try_into().unwrap();
    let encoded = BASE64.encode(b"id%3A1:a%3Ab%25c%2Bd+e%2Fe%22%26%3D%C3%BC");
    assert_eq!(basic.header("authorization"), format!("Basic {encoded}"));
    assert_eq!(basic.form("client_id").or(basic.form("client_secret")), None);
    assert_eq!(basic.form("grant_type").unwrap(), "client_credentials");
    assert_eq!(basic.form("scope").unwrap(), "read write");
    assert_eq!(basic.form("resource").unwrap(), "https://api.example");
    assert_eq!(post.header("authorization"), "");
    assert_eq!(post.form("client_id").unwrap(), "id:1");
    assert_eq!(post.form("client_secret").unwrap(), SECRET);
    assert_eq!(post.form("scope").or(post.form("resource")), None);
    assert_eq!(
        signed.form("client_assertion_type").unwrap(),
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    );
    let claims: Value =
        jsonwebtoken::dangerous::insecure_decode_claims(signed.form("client_assertion").unwrap()).unwrap();
    assert_eq!(claims["sub"], "id:1");
    assert_eq!(signed.header("authorization"), "");
    assert_eq!(public.form("client_id").unwrap(), "id:1");
    assert_eq!(public.header("authorization"), "");
}

#[tokio::test]
async fn a_token_s_life_is_taken_from_whatever_tells_it_and_counts_from_our_receipt() {
    // Their clock is an hour ahead of ours.
    const DATE: Headers = &[("date", "Sat, 03 Feb 2001 05:05:06 GMT")];
    let jwt = |claims: Value| format!("e30.{}.c2ln", BASE64URL_NOPAD.encode(claims.to_string().as_bytes()));
    let there = now().as_second() + 3600;
    let exp = jwt(json!({"exp": there + 90}));
    let fraction = jwt(json!({"exp": 90.7 + f64::from(i32::try_from(there).unwrap())}));
    let cases = [
        (json!({"access_token": "t", "expires_in": 300}), 300),
        (json!({"access_token": "t", "expires_in": "300"}), 300),
        (json!({"access_token": "t", "expires_in": 299.9}), 299),
        (json!({"access_token": exp, "expires_in": 300}), 300),
        (json!({"access_token": "t", "expires_in": 0}), 0),
        (json!({"access_token": "t", "expires_in": -5}), 0),
        (json!({"access_token": "t", "expires_in": 1e300}), 315_360_000),
        (json!({"access_token": exp}), 90),
        (json!({"access_token": exp, "expires_in": null}), 90),
        (json!({"access_token": exp, "expires_in": "soon"}), 90),
        (json!({"access_token": fraction}), 90),
        (json!({"access_token": jwt(json!({"exp": there - 90}))}), 0),
        (json!({"access_token": jwt(json!({"iss": "x"}))}), 300),
        (json!({"access_token": "t"}), 300),
        (json!({"access_token": "t", "expires_in": "NaN"}), 300),
    ];
    for (body, life) in cases {
        let token = issue(DATE, body.clone()).await.unwrap();
        assert_eq!(token.issued_at, now());
        assert_eq!(token.life().as_secs(), life, "{body}");
    }
}

#[tokio::test]
async fn scopes_are_those_of_the_answer_and_a_token_is_one_only_if_it_can_be_used() {
    let scopes = async |scope: Value| {
        let body = json!({"access_token": "t", "token_type": "BEARER", "scope": scope});
        issue(&[], body).await.unwrap().scopes.join(",")
    };
    assert_eq!(scopes(json!("read  other")).await, "read,other");
    assert_eq!(scopes(json!("")).await, "");
    assert_eq!(scopes(Value::Null).await, "read,write", "left out: as asked for");
    for (body, category) in [
        (json!({"access_token": ""}), Category::Unreachable),
        (json!({"token_type": "Bearer"}), Category::Unreachable),
        (
            json!({"access_token": "s3cret", "token_type": "DPoP"}),
            Category::InvalidRequest,
        ),
    ] {
        let error = issue(&[], body).await.unwrap_err();
        assert_eq!(error.category, category, "{error}");
        assert!(!error.message.contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_says_whether_the_credential_is_wrong_or_only_the_wish() {
    const STANDARD: RefusesCredential = invalid_client;
    // Another server's words.
    const OTHER: RefusesCredential =
        |error, description| error == "unauthorized_client" && description.starts_with("Invalid");
    let wrong = "Invalid client or Invalid client credentials";
    let off = "Client not enabled to retrieve service account";
    let cases = [
        (401, STANDARD, "invalid_client", "", "InvalidClient"),
        (400, STANDARD, "invalid_client", "", "InvalidClient"),
        (401, STANDARD, "unauthorized_client", wrong, "unauthorized_client"),
        (401, OTHER, "unauthorized_client", wrong, "InvalidClient"),
        (401, OTHER, "unauthorized_client", off, "unauthorized_client"),
        (403, STANDARD, "access_denied", "", "access_denied"),
        (400, STANDARD, "invalid_scope", "", "invalid_scope"),
        (400, STANDARD, "invalid_target", "", "invalid_target"),
        (400, STANDARD, "invalid_request", "", "invalid_request"),
        (400, STANDARD, "unsupported_grant_type", "", "unsupported_grant_type"),
        (
            400,
            STANDARD,
            "use_dpop_nonce",
            "s3cret",
            "answered 400 (use_dpop_nonce)",
        ),
    ];
    for (status, words, error, description, expected) in cases {
        let body = json!({"error": error, "error_description": description}).to_string();
        let answer = ask(&Server::always(status, &[], &body).await, words).await;
        assert_eq!(said(answer, expected), expected, "{error} {description}");
    }
    let bare: [(u16, Headers, &str); 5] = [
        (401, &[("www-authenticate", "basic realm=\"x\"")], "InvalidClient"),
        (
            401,
            &[("www-authenticate", "Bearer")],
            "answered 401: not as a token endpoint does",
        ),
        (401, &[], "answered 401: not as a token endpoint does"),
        (
            403,
            &[("www-authenticate", "Basic")],
            "answered 403: not as a token endpoint does",
        ),
        (404, &[], "answered 404: not as a token endpoint does"),
    ];
    for (status, headers, expected) in bare {
        let answer = ask(&Server::always(status, headers, "<p>s3cret").await, invalid_client).await;
        assert_eq!(said(answer, expected), expected, "{status} {headers:?}");
    }
}

/// An answer in one word; `expected` where an error contains it.
fn said(answer: Result<TokenAnswer, Error>, expected: &str) -> String {
    match answer {
        Ok(TokenAnswer::InvalidClient) => "InvalidClient".to_owned(),
        Ok(TokenAnswer::Refused(word)) => word.to_owned(),
        Ok(TokenAnswer::Issued(_)) => "Issued".to_owned(),
        Err(error) => {
            assert!(!error.message.contains("s3cret"), "{error}");
            if error.message.contains(expected) {
                expected.to_owned()
            } else {
                error.message
            }
        }
    }
}

#[tokio::test]
async fn a_code_that_cannot_exist_proves_a_credential_only_by_an_answer_that_needs_it() {
    let cases = [
        (400, "invalid_grant", "invalid_grant"),
        (401, "invalid_client", "InvalidClient"),
        (400, "unauthorized_client", "unauthorized_client"),
        (400, "invalid_request", "does not say whether"),
        (400, "unsupported_grant_type", "does not say whether"),
        (403, "access_denied", "does not say whether"),
    ];
    for (status, error, expected) in cases {
        let server = Server::always(status, &[], &json!({ "error": error }).to_string()).await;
        let (http, entropy) = (client(), Entropy::system());
        for _ in 0..2 {
            let secret = SecretString::from(SECRET);
            let answer = use_code_that_cannot_exist(
                &http,
                &server.url,
                "id",
                ClientProof::Basic(&secret),
                "https://app.example/callback",
                &entropy,
                invalid_client,
            );
            assert_eq!(said(answer.await, expected), expected, "{error}");
        }
        let [one, two] = server.seen().try_into().unwrap();
        assert_eq!(one.form("grant_type").unwrap(), "authorization_code");
        assert_eq!(one.form("redirect_uri").unwrap(), "https://app.example/callback");
        assert_ne!(one.form("code"), two.form("code"));
        assert!(one.form("code_verifier").unwrap().len() >= 43, "RFC 7636 section 4.1");
    }
    let server = Server::always(200, &[], r#"{"access_token": "s3cret"}"#).await;
    let (http, entropy) = (client(), Entropy::system());
    let answer = use_code_that_cannot_exist(
        &http,
        &server.url,
        "id",
        ClientProof::None,
        "x:y",
        &entropy,
        invalid_client,
    );
    assert_eq!(answer.await.unwrap_err().category, Category::InvalidRequest);
}

#[tokio::test]
async fn a_private_key_that_somebody_damaged_is_refused_and_nothing_is_sent() {
    let body = json!({"access_token": "t", "token_type": "bearer"});
    let server = Server::always(200, &[], &body.to_string()).await;
    let request = TokenRequest {
        code_for: None,
        client_id: "id:1",
        secret: &SECRET.into(),
        authentication: ClientAuthentication::PrivateKeyJwt,
        scopes: &[],
        resource: None,
    };
    let endpoint = TokenEndpoint {
        http: &client(),
        url: &format!("{}/token", server.url),
        audience: "",
        refuses_credential: invalid_client,
        entropy: &Entropy::system(),
    };
    let answer = endpoint.ask(request).await.unwrap();
    assert!(matches!(answer, TokenAnswer::InvalidClient), "{answer:?}");
    assert_eq!(server.seen().len(), 0);
}
