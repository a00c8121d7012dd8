//! What a key manager cannot do is said before anything is sent; what its driver says of itself decides, and no name.

use serde_json::{Value, json};

use super::{
    access::Grants,
    clock::{at, new},
    key,
    step::Step,
};
use crate::{
    api::{AccessRule, GrantType, Vendor},
    key_manager::{Capabilities, PkceMethods},
};

/// The first step for a key with this spec at a key manager with all grant types and these changes of what it can do.
fn first(spec: &Value, change: impl Fn(&mut Capabilities)) -> Step {
    let mut o = new(spec);
    let capabilities = &mut o.target.as_mut().unwrap().capabilities;
    capabilities.grant_types = vec![
        GrantType::ClientCredentials,
        GrantType::AuthorizationCode,
        GrantType::RefreshToken,
    ];
    change(capabilities);
    key::next(&o, at(0))
}

/// Why a key is not ready; empty where it begins.
fn refusal(step: &Step) -> (&'static str, String) {
    match step {
        Step::Begin(_) => ("", String::new()),
        Step::Done(says) => {
            let ready = says.iter().find(|say| say.type_ == "Ready").unwrap();
            assert_eq!(ready.status, Some(false), "{ready:?}");
            (ready.reason, ready.message.clone())
        }
        other => panic!("{other:?}"),
    }
}

fn login(more: &Value) -> Value {
    let mut spec = json!({
        "grantTypes": ["AuthorizationCode", "RefreshToken"], "redirectUris": ["https://shop.example.com/callback"],
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

#[test]
fn a_life_that_the_key_manager_cannot_set_is_refused_by_its_field() {
    let access = json!({"lifetimes": {"accessToken": "10m"}});
    let refresh = login(&json!({"lifetimes": {"refreshToken": "1h"}}));
    let can = |access: bool, refresh: bool| {
        move |capabilities: &mut Capabilities| {
            capabilities.access_token_lifetime = access;
            capabilities.refresh_token_lifetime = refresh;
            capabilities.reasons = vec![("AccessTokenLifetime", "the server decides".into())];
        }
    };
    assert_eq!(refusal(&first(&access, can(true, false))).0, "");
    assert_eq!(refusal(&first(&refresh, can(false, true))).0, "");
    let (reason, message) = refusal(&first(&access, can(false, true)));
    assert_eq!(reason, "UnsupportedLifetime");
    assert!(
        message.contains("(the server decides): remove spec.lifetimes.accessToken"),
        "{message}"
    );
    let (reason, message) = refusal(&first(&refresh, can(true, false)));
    assert_eq!(reason, "UnsupportedLifetime");
    assert!(
        message.contains("for one client: remove spec.lifetimes.refreshToken"),
        "{message}"
    );
}

#[test]
fn a_resource_that_no_token_can_be_asked_for_is_refused() {
    let spec = json!({"accessTokens": [{"name": "t", "resource": "https://orders.example.com"}]});
    assert_eq!(refusal(&first(&spec, |_| {})).0, "");
    let (reason, message) = refusal(&first(&spec, |capabilities| {
        capabilities.resources = false;
        capabilities.reasons = vec![("Resources", "it has an audience of its own".into())];
    }));
    assert_eq!(reason, "UnsupportedResource");
    for word in [
        "https://orders.example.com",
        "it has an audience of its own",
        "spec.accessTokens",
    ] {
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_vendor_s_block_is_for_key_managers_that_honour_it() {
    let spec = json!({"keycloak": {"defaultClientScopes": ["profile"]}});
    let (reason, message) = refusal(&first(&spec, |_| {}));
    assert_eq!(reason, "UnsupportedVendorBlock");
    assert!(
        message.contains("spec.keycloak") && message.contains("remove it"),
        "{message}"
    );
    let honours = |capabilities: &mut Capabilities| capabilities.vendors = vec![Vendor::Keycloak];
    assert_eq!(refusal(&first(&spec, honours)).0, "");
    // Also an empty one: it says that the key is for another place.
    assert_eq!(
        refusal(&first(&json!({"keycloak": {}}), |_| {})).0,
        "UnsupportedVendorBlock"
    );
}

#[test]
fn of_two_methods_of_pkce_one_is_chosen_where_only_one_can_be_demanded() {
    let one = |capabilities: &mut Capabilities| {
        capabilities.vendors = vec![Vendor::Keycloak];
        capabilities.pkce = PkceMethods::One;
        capabilities.reasons = vec![("PkcePlain", "spec.keycloak.pkceMethod says which".into())];
    };
    let both = json!({"required": true, "allowPlain": true});
    let (reason, message) = refusal(&first(&login(&json!({ "pkce": both })), one));
    assert_eq!(reason, "UnsupportedPkce");
    assert!(message.contains("spec.keycloak.pkceMethod says which"), "{message}");
    for method in ["S256", "Plain"] {
        let chosen = login(&json!({"pkce": both, "keycloak": {"pkceMethod": method}}));
        assert_eq!(refusal(&first(&chosen, one)).0, "", "{method}");
    }
}

#[test]
fn a_scope_of_a_vendor_s_block_is_granted_or_refused_like_any_other() {
    let spec = json!({"scopes": ["orders:read"], "keycloak": {"defaultClientScopes": ["profile", "roles"]}});
    let mut o = new(&spec);
    let grant = |scopes: &[&str]| {
        let rule = json!({"namespaceSelector": {}, "scopes": scopes});
        let rule: AccessRule = serde_json::from_value(rule).unwrap();
        Grants::of(&[rule], &[].into())
    };
    let target = o.target.as_mut().unwrap();
    target.capabilities.vendors = vec![Vendor::Keycloak];
    target.grants = grant(&["orders:read", "profile"]);
    let (reason, message) = refusal(&key::next(&o, at(0)));
    assert_eq!(reason, "AccessDenied");
    assert!(message.contains("grants scope roles: "), "{message}");
    // One that was granted once is taken off.
    let properties = o.properties(o.target.as_ref().unwrap());
    assert_eq!(properties.vendor.scopes().collect::<Vec<_>>(), ["profile"]);
    o.target.as_mut().unwrap().grants = grant(&["orders:read", "profile", "roles"]);
    assert_eq!(refusal(&key::next(&o, at(0))).0, "");
    let properties = o.properties(o.target.as_ref().unwrap());
    assert_eq!(properties.vendor.scopes().collect::<Vec<_>>(), ["profile", "roles"]);
}

/// What a later version adds must not update every client of an earlier one.
#[test]
fn a_key_without_the_new_fields_has_the_properties_that_it_had() {
    let o = new(&json!({"scopes": ["orders:read"], "lifetimes": {"accessToken": "10m"}}));
    let properties = serde_json::to_value(o.properties(o.target.as_ref().unwrap())).unwrap();
    let names: Vec<_> = properties.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "accessTokenLifetime",
            "application",
            "authentication",
            "displayName",
            "environment",
            "grantTypes",
            "mark",
            "scopes"
        ]
    );
}
