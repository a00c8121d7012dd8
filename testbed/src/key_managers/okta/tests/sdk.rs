//! A client of Okta's own making finds what it expects.

use serde_json::json;

use super::{
    super::{
        org::Signer,
        sdk::{Login, scenario},
    },
    Bed,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oktas_own_client_is_content() {
    let bed = Bed::start().await;
    let keys = [0, 1].map(|_| serde_json::to_value(&Signer::generate().unwrap().0.public).unwrap());
    for (login, label, dpop) in [
        (Login::ApiToken, "token", false),
        (Login::PrivateKey, "key", false),
        (Login::PrivateKey, "dpop", true),
    ] {
        bed.okta.set(|modes| modes.dpop_required = dpop);
        bed.okta
            .add_app(&format!("{label} of others"), &format!("other-{label}"));
        let seen = tokio::task::block_in_place(|| scenario(&bed.okta, login, label, &keys)).unwrap();
        assert_eq!(
            seen,
            json!({
                "created": {"status": "ACTIVE", "clientId": format!("client-{label}"), "owner": "cluster/team/shop"},
                "twin": "400 E0000001", "found": [format!("{label} of others"), label], "replaced": format!("{label} changed"), "first": true,
                "two": ["ACTIVE", "ACTIVE"], "third": "400 E0000001", "active": "400 E0000001",
                "deactivated": "INACTIVE", "last": "400 E0000001", "activated": "ACTIVE", "one": true,
                "keys": ["ACTIVE", "ACTIVE"],
                "scopes": [
                    "openid", "profile", "email", "address", "phone", "offline_access",
                    "orders:read", "orders:write", "profile:share", "basic",
                ],
                "minutes": 60, "early": "403 E0000056", "gone": "404 E0000007",
            })
        );
    }
    assert_eq!(bed.okta.apps().len(), 3, "those of others");
    assert_eq!(bed.okta.count("GET /api/v1/apps"), 6, "two pages each");
    assert_eq!(bed.okta.count("POST /oauth2/v1/token"), 3, "one, and two with a nonce");
    bed.clean();
}
