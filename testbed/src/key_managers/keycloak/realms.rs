//! The realms of tests.

use serde_json::{Value, json};

/// A realm without a policy of secret rotation.
pub const BED: &str = "bed";
/// A realm whose policy of secret rotation matches every client but the operator's.
pub const ROTATING: &str = "rotating";
/// A realm whose operator has no role.
pub const LIMITED: &str = "limited";
/// A realm whose operator may look at clients and not change them: `view-clients`.
pub const VIEWING: &str = "viewing";

/// The operator's client in every realm. In `bed` and `rotating` it has the role `manage-clients`, and no other.
pub const OPERATOR: &str = "appkeys-operator";
/// Its secret.
pub const OPERATOR_SECRET: &str = "the-operator-s-secret-for-tests-only";

/// Client scopes of every realm that clients can be given.
pub const SCOPES: [&str; 2] = ["orders:read", "orders:write"];

/// The attribute by which a policy leaves out the operator's client.
const MARK: (&str, &str) = ("testbed.client", "operator");

/// The periods of a policy of secret rotation, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// How long a secret lives.
    pub life: u32,
    /// How long the secret before it lives on.
    pub overlap: u32,
    /// How long before its end a secret is replaced when its client is updated.
    pub remaining: u32,
}

impl Rotation {
    /// Long enough that no test sees a secret end by itself.
    pub const LONG: Self = Self {
        life: 3600,
        overlap: 600,
        remaining: 60,
    };
}

/// The realms in full.
pub(super) fn all() -> [Value; 4] {
    [
        realm(BED, &["manage-clients"], None),
        realm(ROTATING, &["manage-clients"], Some(Rotation::LONG)),
        realm(LIMITED, &[], None),
        realm(VIEWING, &["view-clients"], None),
    ]
}

fn realm(name: &str, roles: &[&str], rotation: Option<Rotation>) -> Value {
    let (key, value) = MARK;
    json!({
        "realm": name,
        "enabled": true,
        "sslRequired": "none",
        "clientProfiles": profiles(rotation),
        "clientPolicies": policies(rotation),
        "clients": [{
            "clientId": OPERATOR,
            "protocol": "openid-connect",
            "publicClient": false,
            "serviceAccountsEnabled": true,
            "standardFlowEnabled": false,
            "directAccessGrantsEnabled": false,
            "secret": OPERATOR_SECRET,
            "attributes": {key: value},
        }],
        "users": [{
            "username": format!("service-account-{OPERATOR}"),
            "enabled": true,
            "serviceAccountClientId": OPERATOR,
            "clientRoles": {"realm-management": roles},
        }],
    })
}

/// A client scope. Not part of the realm: a realm that names scopes gets none of those that Keycloak makes by itself.
pub(super) fn scope(name: &str) -> Value {
    json!({
        "name": name,
        "protocol": "openid-connect",
        "attributes": {"include.in.token.scope": "true", "display.on.consent.screen": "false"},
    })
}

/// The client profiles of a realm.
pub(super) fn profiles(rotation: Option<Rotation>) -> Value {
    let profiles = rotation.map(|rotation| {
        json!({
            "name": "rotation",
            "executors": [{
                "executor": "secret-rotation",
                "configuration": {
                    "expiration-period": rotation.life,
                    "rotated-expiration-period": rotation.overlap,
                    "remaining-rotation-period": rotation.remaining,
                },
            }],
        })
    });
    json!({"profiles": Vec::from_iter(profiles)})
}

/// The client policies of a realm. A condition on all clients would hit the operator's own, whose secret would end.
pub(super) fn policies(rotation: Option<Rotation>) -> Value {
    let (key, value) = MARK;
    let policies = rotation.map(|_| {
        json!({
            "name": "rotation",
            "enabled": true,
            "conditions": [{
                "condition": "client-attributes",
                "configuration": {
                    "is-negative-logic": true,
                    "attributes": json!([{"key": key, "value": value}]).to_string(),
                },
            }],
            "profiles": ["rotation"],
        })
    });
    json!({"policies": Vec::from_iter(policies)})
}
