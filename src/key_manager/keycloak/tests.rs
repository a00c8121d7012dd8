//! What is asked of the server for a client, and what is seen of one that it has.

use serde_json::{Value, json};

use super::{
    representation::{Representation, change, creation, differences},
    scopes::{Assignment, Changes, Scopes, changes},
};
use crate::{
    api::{ClientAuthentication, GrantType, KeycloakClient, Pkce, PkceMethod, VendorBlocks},
    key_manager::{Properties, testing},
};

fn properties() -> Properties {
    Properties {
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        redirect_uris: vec!["https://shop.example.com/callback".into()],
        ..testing::properties()
    }
}

fn keycloak(default_client_scopes: &[&str], pkce_method: Option<PkceMethod>) -> VendorBlocks {
    VendorBlocks {
        keycloak: Some(KeycloakClient {
            default_client_scopes: texts(default_client_scopes),
            pkce_method,
        }),
        ..VendorBlocks::default()
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// The client that the server has after it was asked for one with these properties.
fn made(properties: &Properties) -> (Value, Representation) {
    let mut body = creation("id", properties, &"s".to_owned().into()).unwrap();
    body["id"] = json!("uuid");
    let client = serde_json::from_value(body.clone()).unwrap();
    (body, client)
}

#[test]
fn the_life_of_refresh_tokens_is_that_of_idle_sessions() {
    const ATTRIBUTES: [&str; 2] = ["client.session.idle.timeout", "client.offline.session.idle.timeout"];
    let (asked, realm_s) = made(&properties());
    for attribute in ATTRIBUTES {
        assert_eq!(asked["attributes"][attribute], "", "an empty one goes");
    }
    let limited = Properties {
        refresh_token_lifetime: Some(600),
        ..properties()
    };
    let (asked, client) = made(&limited);
    for attribute in ATTRIBUTES {
        assert_eq!(asked["attributes"][attribute], "600");
    }
    assert_eq!(asked["attributes"]["access.token.lifespan"], "");
    assert_eq!(differences(&client, &limited).unwrap(), [""; 0]);
    let differ = differences(&realm_s, &limited).unwrap();
    for attribute in ATTRIBUTES {
        assert!(differ.contains(&format!("attribute {attribute}")), "{differ:?}");
    }
    assert_eq!(differ.len(), 2, "{differ:?}");
    let back = change(&client, &properties()).unwrap();
    assert_eq!(back["attributes"][ATTRIBUTES[0]], "");
}

#[test]
fn one_method_of_pkce_is_demanded_or_none() {
    let of = |required, allow_plain, method| {
        let properties = Properties {
            pkce: Some(Pkce { required, allow_plain }),
            vendor: keycloak(&[], method),
            ..properties()
        };
        made(&properties).0["attributes"]["pkce.code.challenge.method"].clone()
    };
    assert_eq!(of(true, false, None), "S256");
    assert_eq!(of(true, true, Some(PkceMethod::S256)), "S256");
    assert_eq!(of(true, true, Some(PkceMethod::Plain)), "plain");
    assert_eq!(
        of(true, false, Some(PkceMethod::Plain)),
        "S256",
        "plain is never demanded where it is not allowed"
    );
    assert_eq!(of(false, true, None), "");
    assert_eq!(made(&properties()).0["attributes"]["pkce.code.challenge.method"], "");
}

#[test]
fn default_client_scopes_are_asked_for_noted_and_compared() {
    let with = |scopes| Properties {
        vendor: keycloak(scopes, None),
        ..properties()
    };
    let (asked, client) = made(&with(&["profile", "roles"]));
    assert_eq!(asked["defaultClientScopes"], json!(["basic", "profile", "roles"]));
    assert_eq!(asked["attributes"]["appkeys.default-scopes"], "profile roles");
    assert_eq!(differences(&client, &with(&["profile", "roles"])).unwrap(), [""; 0]);
    let differ = differences(&client, &with(&["profile", "email"])).unwrap();
    for field in [
        "attribute appkeys.default-scopes",
        "default client scope roles too many",
        "default client scope email missing",
    ] {
        assert!(differ.contains(&field.to_owned()), "{differ:?}");
    }
    assert_eq!(differ.len(), 3, "{differ:?}");
}

#[test]
fn only_default_client_scopes_that_we_gave_are_taken_away() {
    const OPTIONAL: Assignment = Assignment::Optional;
    const DEFAULT: Assignment = Assignment::Default;
    // The client's optional and default ones, those given by us, those wanted; what goes and what comes.
    type Case<'a> = (
        [&'a [&'a str]; 2],
        &'a str,
        [&'a [&'a str]; 2],
        &'a [(Assignment, &'a str)],
        &'a [(Assignment, &'a str)],
    );
    let cases: [Case<'_>; 7] = [
        ([&["a"], &["basic", "service_account"]], "", [&["a"], &[]], &[], &[]),
        (
            [&["a", "b"], &["basic"]],
            "",
            [&["a", "c"], &["d"]],
            &[(OPTIONAL, "b")],
            &[(OPTIONAL, "c"), (DEFAULT, "d")],
        ),
        // By hand, or by the realm: it stays.
        ([&[], &["basic", "email"]], "", [&[], &[]], &[], &[]),
        (
            [&[], &["basic", "email", "roles"]],
            "basic roles",
            [&[], &[]],
            &[(DEFAULT, "roles")],
            &[],
        ),
        // From the one to the other, and back: the server gives it in one way only.
        (
            [&["a"], &["basic"]],
            "",
            [&[], &["a"]],
            &[(OPTIONAL, "a")],
            &[(DEFAULT, "a")],
        ),
        (
            [&[], &["basic", "a"]],
            "a",
            [&["a"], &[]],
            &[(DEFAULT, "a")],
            &[(OPTIONAL, "a")],
        ),
        ([&[], &["a"]], "", [&["a"], &[]], &[(DEFAULT, "a")], &[(OPTIONAL, "a")]),
    ];
    for (has, given, [scopes, default], gone, new) in cases {
        let [optional, has_default] = has.map(texts);
        let has = Scopes {
            optional: &optional,
            default: &has_default,
            given,
        };
        let wanted = Properties {
            scopes: texts(scopes),
            vendor: keycloak(default, None),
            ..properties()
        };
        let owned = |all: &[(Assignment, &str)]| all.iter().map(|(how, scope)| (*how, (*scope).to_owned())).collect();
        let expected = Changes {
            gone: owned(gone),
            new: owned(new),
        };
        assert_eq!(changes(has, &wanted), expected, "{has:?}");
    }
}

#[test]
fn a_client_that_is_as_it_was_made_does_not_differ() {
    for authentication in [
        ClientAuthentication::ClientSecretBasic,
        ClientAuthentication::ClientSecretPost,
        ClientAuthentication::None,
    ] {
        let properties = Properties {
            authentication,
            ..properties()
        };
        let (_, client) = made(&properties);
        assert_eq!(differences(&client, &properties).unwrap(), [""; 0], "{authentication}");
        let other = match authentication {
            ClientAuthentication::None => ClientAuthentication::ClientSecretBasic,
            _ => ClientAuthentication::None,
        };
        let other = Properties {
            authentication: other,
            ..properties
        };
        assert_eq!(differences(&client, &other).unwrap(), ["publicClient"]);
    }
}
