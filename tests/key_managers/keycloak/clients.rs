//! Traps of clients: how they are made, found, changed and what they are given. Each by its number.

use appkeys::{
    api::{ClientAuthentication, GrantType},
    entropy::Entropy,
    key_manager::{Category, Changed, Client, Mark, Properties, Registered, TokenAnswer, TokenRequest},
};
use futures::future::join_all;
use http::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use testbed::key_managers::keycloak::{BED, OPERATOR, OPERATOR_SECRET, Rotation};

use super::trap::{EXPIRES, READ, Trap, WRITE, attribute, words};
use crate::key_managers::beds::{self};

#[tokio::test]
async fn k1_every_switch_is_sent_so_that_the_secret_is_ours() {
    let trap = Trap::at(BED).await;
    let given = trap.made().await;
    let there = trap.admin().secret(BED, trap.id()).await.unwrap();
    assert_eq!(there, given.expose_secret());
    let client = trap.seen().await;
    assert_eq!(client["serviceAccountsEnabled"], true);
    for switch in [
        "publicClient",
        "bearerOnly",
        "standardFlowEnabled",
        "implicitFlowEnabled",
        "directAccessGrantsEnabled",
        "fullScopeAllowed",
    ] {
        assert_eq!(client[switch], false, "{switch}");
    }
}

#[tokio::test]
async fn k2_a_client_older_than_the_policy_can_be_changed_and_keeps_its_secret() {
    const REALM: &str = "older-than-its-policy";
    let keycloak = beds::keycloak().await;
    let realm = json!({
        "realm": REALM, "enabled": true, "sslRequired": "none",
        "clients": [{
            "clientId": OPERATOR, "protocol": "openid-connect", "publicClient": false, "serviceAccountsEnabled": true,
            "standardFlowEnabled": false, "directAccessGrantsEnabled": false, "secret": OPERATOR_SECRET,
            "attributes": {"testbed.client": "operator"},
        }],
        "users": [{
            "username": format!("service-account-{OPERATOR}"), "enabled": true, "serviceAccountClientId": OPERATOR,
            "clientRoles": {"realm-management": ["manage-clients"]},
        }],
    });
    let made = keycloak.admin().call(Method::POST, "", Some(&realm)).await.unwrap();
    assert!(made.0.is_success(), "{made:?}");
    let trap = Trap::of(keycloak, REALM).await;
    let given = trap.made().await;
    trap.admin().set_rotation(REALM, Some(Rotation::LONG)).await.unwrap();
    let before = trap.seen().await;
    assert_eq!(attribute(&before, EXPIRES), None, "it is older than the policy");
    // That is the trap.
    let path = trap.path().await;
    let bare = json!({"clientId": trap.id(), "name": "by hand"});
    let (status, ..) = trap.admin().call(Method::PUT, &path, Some(&bare)).await.unwrap();
    assert_eq!(status, 500);
    let renamed = Properties {
        display_name: "Other shop".into(),
        ..trap.properties.clone()
    };
    trap.changed(&renamed).await;
    let after = trap.seen().await;
    assert_eq!(after["name"], "Other shop (Sandbox)");
    assert_eq!(
        trap.admin().secret(REALM, trap.id()).await.unwrap(),
        given.expose_secret()
    );
    assert!(trap.works(&given).await);
}

#[tokio::test]
async fn k3_authorization_services_that_somebody_switched_on_stay_on() {
    let trap = Trap::at(BED).await;
    trap.made().await;
    let on = json!({"serviceAccountsEnabled": true, "authorizationServicesEnabled": true});
    trap.admin().update(BED, trap.id(), &on).await.unwrap();
    assert_eq!(trap.seen().await["authorizationServicesEnabled"], true);
    let renamed = Properties {
        display_name: "Other shop".into(),
        ..trap.properties.clone()
    };
    trap.changed(&renamed).await;
    let after = trap.seen().await;
    assert_eq!(after["name"], "Other shop (Sandbox)");
    assert_eq!(after["authorizationServicesEnabled"], true);
}

#[tokio::test]
async fn k4_scopes_change_although_a_change_of_the_client_ignores_them() {
    let mut trap = Trap::at(BED).await;
    trap.properties.scopes = vec![READ.into()];
    trap.made().await;
    let before = trap.seen().await;
    assert_eq!(words(&before["optionalClientScopes"]), [READ]);
    for scopes in [vec![WRITE], vec![READ, WRITE], vec![]] {
        let properties = Properties {
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            ..trap.properties.clone()
        };
        trap.changed(&properties).await;
        let after = trap.seen().await;
        assert_eq!(words(&after["optionalClientScopes"]), scopes);
        let default = words(&after["defaultClientScopes"]);
        assert!(default.contains(&"basic"), "{default:?}");
        assert_eq!(default, words(&before["defaultClientScopes"]));
    }
}

#[tokio::test]
async fn k5_a_conflict_means_that_it_exists() {
    let trap = Trap::at(BED).await;
    let given = trap.made().await;
    let again = trap.register(&trap.client).await.unwrap();
    assert!(matches!(again, Registered::Exists), "{again:?}");
    let mark = Mark {
        namespace: "other".into(),
        ..trap.client.mark.clone()
    };
    let theirs = Client {
        mark: mark.clone(),
        ..trap.client.clone()
    };
    let properties = Properties {
        mark,
        ..trap.properties.clone()
    };
    let registered = trap.driver.register(&theirs, &properties, &given, None).await;
    assert_eq!(registered.unwrap_err().category, Category::ClientConflict);
    assert!(trap.works(&given).await);
}

#[tokio::test]
async fn k5_a_conflict_means_at_the_same_time_too() {
    const AT_ONCE: u8 = 8;
    const ROUNDS: usize = 50;
    let trap = Trap::at(BED).await;
    trap.made().await;
    let mut lost = 0;
    for _ in 0..ROUNDS {
        trap.changed(&trap.properties).await;
        let all: Vec<_> = (0..AT_ONCE)
            // Each adds an attribute that is not there.
            .map(|n| Properties {
                access_token_lifetime: Some(60 + i64::from(n)),
                ..trap.properties.clone()
            })
            .collect();
        let updates = all
            .iter()
            .map(|properties| trap.driver.update(&trap.client, properties));
        for changed in join_all(updates).await {
            match changed {
                Ok(Changed::Done(_)) => {}
                Err(error) if error.category == Category::NotYet => lost += 1,
                other => panic!("{other:?}"),
            }
        }
        if lost > 0 {
            break;
        }
    }
    assert!(lost > 0, "no two changes met");
    trap.changed(&trap.properties).await;
    assert_eq!(trap.seen().await["name"], "Web shop (Sandbox)");
}

#[tokio::test]
async fn k5_of_parallel_creates_one_makes_the_client() {
    let trap = Trap::at(BED).await;
    let mut made = vec![];
    for registered in join_all((0..8).map(|_| trap.register(&trap.client))).await {
        match registered {
            Ok(Registered::Made(answer)) => made.push(answer.secret),
            Ok(Registered::Exists) => {}
            Err(error) if error.category == Category::NotYet => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    let [secret] = made.as_slice() else {
        panic!("{} were made", made.len());
    };
    assert!(trap.works(secret).await);
}

#[tokio::test]
async fn k6_only_the_client_of_exactly_this_id_is_ours() {
    let trap = Trap::at(BED).await;
    let owner = "traps-cluster/team/trap";
    let marked = json!({"attributes": {"appkeys.owner": owner}, "serviceAccountsEnabled": false});
    let others = [
        format!("{}-more", trap.id()),
        format!("before-{}", trap.id()),
        trap.id().to_uppercase(),
    ];
    for id in &others {
        trap.by_hand(id, marked.clone()).await;
    }
    assert_eq!(trap.look(&others[2]).await.unwrap()["clientId"], others[2].as_str());
    let patterns = ["team-trap-%", "%", "*", "_"].map(|id| trap.called(id));
    for client in [trap.client.clone()].iter().chain(&patterns) {
        let update = trap.driver.update(client, &trap.properties).await.unwrap();
        assert!(matches!(update, Changed::NotThere), "{}: {update:?}", client.id);
        let deleted = trap.driver.delete(client).await.unwrap();
        assert!(matches!(deleted, Changed::NotThere), "{}: {deleted:?}", client.id);
        assert!(trap.driver.read_secret(client).await.unwrap().is_none());
    }
    let given = trap.made().await;
    assert!(trap.works(&given).await);
    let deleted = trap.driver.delete(&trap.client).await.unwrap();
    assert!(matches!(deleted, Changed::Done(_)), "{deleted:?}");
    assert!(trap.look(trap.id()).await.is_none());
    for id in &others {
        let other = trap.look(id).await.unwrap();
        assert_eq!(other["clientId"], id.as_str());
        assert_eq!(attribute(&other, "appkeys.owner"), Some(owner));
    }
}

#[tokio::test]
async fn k6_two_ids_that_differ_by_case_cannot_both_have_a_service_account() {
    let trap = Trap::at(BED).await;
    let other = trap.id().to_uppercase();
    trap.by_hand(&other, json!({})).await;
    let before = trap.look(&other).await;
    let refused = trap.register(&trap.client).await.unwrap_err();
    assert_eq!(refused.category, Category::NotYet);
    assert!(refused.message.contains("upper and lower case"), "{refused}");
    assert!(trap.look(trap.id()).await.is_none());
    assert_eq!(trap.look(&other).await, before);
    trap.admin().delete(BED, &other).await.unwrap();
    trap.made().await;
}

#[tokio::test]
async fn k6_ids_with_signs_are_found_again() {
    let trap = Trap::at(BED).await;
    for sign in [
        "a b", "a%20b", "a%b", "a&b=c", "a+b", "a/b", "a#b?c", "a\"b", "ä", "a:b",
    ] {
        let client = trap.called(format!("{} {sign}", trap.id()));
        let Registered::Made(made) = trap.register(&client).await.unwrap() else {
            panic!("{sign} exists already");
        };
        let again = trap.register(&client).await.unwrap();
        assert!(matches!(again, Registered::Exists), "{sign}: {again:?}");
        let read = trap.driver.read_secret(&client).await.unwrap().unwrap();
        assert_eq!(read.secret.expose_secret(), made.secret.expose_secret(), "{sign}");
        let update = trap.driver.update(&client, &trap.properties).await.unwrap();
        assert!(matches!(update, Changed::Done(_)), "{sign}: {update:?}");
        let request = TokenRequest {
            client_id: &client.id,
            code_for: None,
            secret: &made.secret,
            authentication: ClientAuthentication::ClientSecretBasic,
            scopes: &[],
            resource: None,
        };
        let token = trap.driver.token(request).await.unwrap();
        assert!(matches!(token, TokenAnswer::Issued(_)), "{sign}: {token:?}");
        let deleted = trap.driver.delete(&client).await.unwrap();
        assert!(matches!(deleted, Changed::Done(_)), "{sign}: {deleted:?}");
        assert!(trap.look(&client.id).await.is_none(), "{sign}");
    }
}

#[tokio::test]
async fn k7_an_unknown_scope_is_named_and_nothing_is_made() {
    let trap = Trap::at(BED).await;
    let unknown = Properties {
        scopes: vec![READ.into(), "orders:nosuch".into()],
        ..trap.properties.clone()
    };
    let given = Entropy::system().client_secret().unwrap();
    let refused = trap.driver.register(&trap.client, &unknown, &given, None).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.category, Category::InvalidRequest);
    assert!(refused.message.contains("no client scope orders:nosuch"), "{refused}");
    assert!(trap.look(trap.id()).await.is_none());
    trap.made().await;
    let before = trap.seen().await;
    let refused = trap.driver.update(&trap.client, &unknown).await.unwrap_err();
    assert_eq!(refused.category, Category::InvalidRequest);
    assert_eq!(trap.seen().await, before);
    // One that is made later is seen.
    let later = format!("later:{}", trap.id());
    let scope = json!({"name": later, "protocol": "openid-connect"});
    let path = format!("/{BED}/client-scopes");
    let made = trap.admin().call(Method::POST, &path, Some(&scope)).await.unwrap();
    assert!(made.0.is_success(), "{made:?}");
    let known = Properties {
        scopes: vec![later.clone()],
        ..trap.properties.clone()
    };
    trap.changed(&known).await;
    assert_eq!(words(&trap.seen().await["optionalClientScopes"]), [later]);
}

#[tokio::test]
async fn k8_what_is_too_long_is_cut_or_refused_before_the_server_breaks() {
    let mut trap = Trap::at(BED).await;
    // Two bytes each, and a limit that is odd: no half of one stays.
    trap.properties.display_name = "ä".repeat(300);
    trap.properties.mark.name = "n".repeat(253);
    trap.client.mark = trap.properties.mark.clone();
    trap.made().await;
    let client = trap.seen().await;
    assert_eq!(client["name"], "ä".repeat(127));
    assert_eq!(client["description"].as_str().unwrap().len(), 255);
    trap.changed(&trap.properties).await;
    // The name of a service account, which begins with 16 characters of its own, is in such a column too.
    let id = trap.id().to_owned();
    for (grant, longest) in [(GrantType::ClientCredentials, 239), (GrantType::AuthorizationCode, 255)] {
        trap.properties.grant_types = vec![grant];
        let long = trap.called(format!("{id:x<longest$}"));
        let made = trap.register(&long).await.unwrap();
        assert!(matches!(made, Registered::Made(_)), "{grant}: {made:?}");
        let longer = trap.called(format!("{id:x<0$}", longest + 1));
        let refused = trap.register(&longer).await.unwrap_err();
        assert_eq!(refused.category, Category::InvalidRequest, "{grant}: {refused}");
        let text = format!("longer than {longest} characters");
        assert!(refused.message.contains(&text), "{refused}");
        assert!(trap.look(&longer.id).await.is_none());
    }
}

#[tokio::test]
async fn k9_mappers_of_others_stay_and_ours_follow_the_resources() {
    let mut trap = Trap::at(BED).await;
    trap.properties.resources = vec!["https://a.example.com".into(), "https://b.example.com".into()];
    trap.made().await;
    let theirs = json!({
        "name": "theirs", "protocol": "openid-connect", "protocolMapper": "oidc-hardcoded-claim-mapper",
        "config": {"claim.name": "tier", "claim.value": "gold", "jsonType.label": "String", "access.token.claim": "true"},
    });
    let path = trap.path().await + "/protocol-mappers/models";
    let made = trap.admin().call(Method::POST, &path, Some(&theirs)).await.unwrap();
    assert!(made.0.is_success(), "{made:?}");
    let mappers = async || {
        let client = trap.seen().await;
        let mapper = |mapper: &Value| match mapper["config"]["included.custom.audience"].as_str() {
            Some(audience) => audience.to_owned(),
            None => format!("{}={}", mapper["name"], mapper["config"]["claim.value"]),
        };
        let all = client["protocolMappers"].as_array().into_iter().flatten();
        let mut all: Vec<_> = all.map(mapper).collect();
        all.sort_unstable();
        all
    };
    let gold = "\"theirs\"=\"gold\"";
    assert_eq!(
        mappers().await,
        [gold, "https://a.example.com", "https://b.example.com"]
    );
    for resources in [
        vec!["https://b.example.com", "https://c.example.com"],
        vec!["https://c.example.com"],
        vec![],
    ] {
        let properties = Properties {
            resources: resources.iter().map(|resource| (*resource).to_owned()).collect(),
            ..trap.properties.clone()
        };
        trap.changed(&properties).await;
        let wanted: Vec<_> = [gold].into_iter().chain(resources).collect();
        assert_eq!(mappers().await, wanted);
    }
}
