//! Fields of a key that only Keycloak honours, at a real one: the life of refresh tokens, and the block `keycloak`.

use appkeys::{
    api::{ApplicationKey, GrantType, KeycloakClient, Pkce, PkceMethod, VendorBlocks, conditions},
    clock::Clock,
    entropy::Entropy,
    key_manager::{Category, Changed, Compared, NewSecret, Properties, Registered, Room, TokenAnswer},
};
use http::Method;
use jsonwebtoken::dangerous::insecure_decode;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use testbed::key_managers::keycloak::{BED, OPERATOR, OPERATOR_SECRET};

use super::trap::{READ, Trap, WRITE, attribute, words};
use crate::{
    key_managers::beds::{self, Bed},
    support::{Cluster, http_client, key, team, token},
};

const REDIRECT: &str = "https://shop.example.com/callback";
const IDLE: &str = "client.session.idle.timeout";
const OFFLINE_IDLE: &str = "client.offline.session.idle.timeout";

/// A client whose users log in and stay logged in.
async fn with_logins(realm: &'static str) -> Trap {
    let mut trap = Trap::at(realm).await;
    trap.properties.grant_types = vec![GrantType::AuthorizationCode, GrantType::RefreshToken];
    trap.properties.redirect_uris = vec![REDIRECT.into()];
    trap
}

fn default_scopes(scopes: &[&str]) -> VendorBlocks {
    let keycloak = KeycloakClient {
        default_client_scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        pkce_method: None,
    };
    VendorBlocks {
        keycloak: Some(keycloak),
        ..VendorBlocks::default()
    }
}

impl Trap {
    /// A call of the client's realm that must succeed.
    async fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        let path = format!("/{}{path}", self.realm);
        let (status, answer, _) = self.admin().call(method, &path, Some(body)).await.unwrap();
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    /// What a person gets who logs in with a password, which the client may use for that moment only; within one second, since
    /// Keycloak reads the clock for each time in a token.
    async fn login(&self, secret: &SecretString, scope: &str) -> Value {
        let form = [
            ("grant_type", "password"),
            ("client_id", self.id()),
            ("client_secret", secret.expose_secret()),
            ("username", "ann"),
            ("password", "the-password"),
            ("scope", scope),
        ];
        let direct = |on: bool| json!({"clientId": self.id(), "directAccessGrantsEnabled": on, "attributes": {}});
        self.admin().update(self.realm, self.id(), &direct(true)).await.unwrap();
        let ca = [("ca.crt".to_owned(), self.keycloak.ca().to_owned())].into();
        let (http, second) = (http_client(&ca), || Clock::system().now().as_second());
        let mut answer = Value::Null;
        for _ in 0..20 {
            let start = second();
            let request = http.post(&self.driver.endpoints().token).form(&form);
            answer = request.send().await.unwrap().json().await.unwrap();
            if second() == start {
                break;
            }
        }
        assert!(answer["access_token"].is_string(), "{answer}");
        self.admin()
            .update(self.realm, self.id(), &direct(false))
            .await
            .unwrap();
        answer
    }

    /// The fields that differ from `properties`.
    async fn drifted(&self, properties: &Properties) -> Vec<String> {
        match self.driver.compare(&self.client, properties).await.unwrap() {
            Compared::Differs(fields, _) => fields,
            other => panic!("{other:?}"),
        }
    }
}

/// Seconds from the making of a token to its end.
fn life(token: &Value) -> i64 {
    let claims = insecure_decode::<Value>(token.as_str().unwrap()).unwrap().claims;
    claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap()
}

#[tokio::test]
async fn refresh_tokens_live_as_long_as_asked_and_id_tokens_as_long_as_access_tokens() {
    let mut trap = with_logins(BED).await;
    let ann = json!({
        "username": "ann", "enabled": true, "email": "ann@example.com", "firstName": "Ann", "lastName": "Example",
        "credentials": [{"type": "password", "value": "the-password", "temporary": false}],
    });
    trap.call(Method::POST, "/users", &ann).await;
    let by_itself = trap.properties.clone();
    trap.properties.refresh_token_lifetime = Some(600);
    trap.properties.access_token_lifetime = Some(120);
    let given = trap.made().await;
    assert_eq!(trap.drifted(&trap.properties).await, [""; 0]);
    let answer = trap.login(&given, "openid").await;
    assert_eq!(life(&answer["refresh_token"]), 600);
    assert_eq!(life(&answer["access_token"]), 120);
    assert_eq!(life(&answer["id_token"]), 120, "it has no life of its own");
    let there = trap.seen().await;
    assert_eq!(attribute(&there, OFFLINE_IDLE), Some("600"));

    let shorter = Properties {
        refresh_token_lifetime: Some(60),
        ..trap.properties.clone()
    };
    assert_eq!(
        trap.drifted(&shorter).await,
        [format!("attribute {OFFLINE_IDLE}"), format!("attribute {IDLE}")]
    );
    trap.changed(&shorter).await;
    let answer = trap.login(&given, "openid").await;
    assert_eq!(life(&answer["refresh_token"]), 60);
    assert_eq!(life(&answer["access_token"]), 120, "that of others stays");
    trap.changed(&by_itself).await;
    let there = trap.seen().await;
    assert_eq!((attribute(&there, IDLE), attribute(&there, OFFLINE_IDLE)), (None, None));
    let answer = trap.login(&given, "openid").await;
    assert_eq!(life(&answer["refresh_token"]), 1800, "the realm's");
    assert_eq!(life(&answer["id_token"]), 300);
}

/// Keycloak refuses every change of a client whose sessions may idle longer than those of its realm, whatever is changed.
#[tokio::test]
async fn k15_a_life_longer_than_the_realm_s_sessions_is_named_and_a_shorter_one_mends_it() {
    const REALM: &str = "short-sessions";
    let keycloak = beds::keycloak().await;
    let realm = json!({
        "realm": REALM, "enabled": true, "sslRequired": "none", "ssoSessionIdleTimeout": 900,
        "clients": [{
            "clientId": OPERATOR, "protocol": "openid-connect", "publicClient": false, "serviceAccountsEnabled": true,
            "standardFlowEnabled": false, "directAccessGrantsEnabled": false, "secret": OPERATOR_SECRET,
        }],
        "users": [{
            "username": format!("service-account-{OPERATOR}"), "enabled": true, "serviceAccountClientId": OPERATOR,
            "clientRoles": {"realm-management": ["manage-clients"]},
        }],
    });
    let made = keycloak.admin().call(Method::POST, "", Some(&realm)).await.unwrap();
    assert!(made.0.is_success(), "{made:?}");
    let mut trap = with_logins(REALM).await;
    let named = |error: appkeys::key_manager::Error| {
        assert_eq!(error.category, Category::InvalidRequest);
        for words in ["spec.lifetimes.refreshToken is longer than realm", "SSO Session Idle"] {
            assert!(error.message.contains(words), "{error}");
        }
    };
    trap.properties.refresh_token_lifetime = Some(901);
    named(trap.register(&trap.client).await.unwrap_err());
    assert!(trap.look(trap.id()).await.is_none());
    trap.properties.refresh_token_lifetime = Some(900);
    let given = trap.made().await;
    trap.call(Method::PUT, "", &json!({"ssoSessionIdleTimeout": 600})).await;
    let other = Properties {
        display_name: "Another shop".into(),
        ..trap.properties.clone()
    };
    named(trap.driver.update(&trap.client, &other).await.unwrap_err());
    let fresh = Entropy::system().client_secret().unwrap();
    let only = NewSecret {
        kind: appkeys::api::CredentialKind::Secret,
        published: Some(&given),
        published_version: 1,
        secret: &fresh,
        version: 2,
        room: Room::Only,
    };
    named(trap.driver.add_secret(&trap.client, only).await.unwrap_err());
    assert_eq!(
        trap.admin().secret(REALM, trap.id()).await.unwrap(),
        given.expose_secret()
    );
    let shorter = Properties {
        refresh_token_lifetime: Some(600),
        ..other
    };
    trap.changed(&shorter).await;
    assert_eq!(trap.seen().await["name"], "Another shop (Sandbox)");
}

#[tokio::test]
async fn default_client_scopes_come_and_go_and_those_of_others_stay() {
    let mut trap = Trap::at(BED).await;
    let without = trap.properties.clone();
    trap.properties.vendor = default_scopes(&[READ, "email"]);
    let given = trap.made().await;
    let defaults = async || {
        let client = trap.seen().await;
        let all = words(&client["defaultClientScopes"]).into_iter().map(str::to_owned);
        // Those that the server gives every client with a service account.
        all.filter(|scope| !["basic", "service_account"].contains(&scope.as_str()))
            .collect::<Vec<_>>()
    };
    let scopes = async || match trap.token(&given).await {
        TokenAnswer::Issued(token) => token.scopes,
        other => panic!("no token: {other:?}"),
    };
    assert_eq!(defaults().await, ["email", READ]);
    assert!(scopes().await.contains(&READ.to_owned()), "nobody asked for it");
    assert_eq!(trap.drifted(&trap.properties).await, [""; 0]);

    // By hand: one of ours goes, and one that is not ours comes.
    let path = trap.path().await;
    let all = format!("/{BED}/client-scopes");
    let (_, ids, _) = trap.admin().call(Method::GET, &all, None).await.unwrap();
    let id = |name: &str| {
        let mut all = ids.as_array().unwrap().iter();
        all.find(|scope| scope["name"] == name).unwrap()["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    for (method, scope) in [(Method::DELETE, READ), (Method::PUT, "phone")] {
        let path = format!("{path}/default-client-scopes/{}", id(scope));
        let (status, answer, _) = trap.admin().call(method, &path, None).await.unwrap();
        assert!(status.is_success(), "{status} {answer}");
    }
    assert_eq!(defaults().await, ["email", "phone"]);
    assert_eq!(
        trap.drifted(&trap.properties).await,
        [format!("default client scope {READ} missing")]
    );
    trap.changed(&trap.properties).await;
    assert_eq!(defaults().await, ["email", READ, "phone"]);
    assert_eq!(trap.drifted(&trap.properties).await, [""; 0]);

    let other = Properties {
        vendor: default_scopes(&["email", WRITE]),
        ..without.clone()
    };
    trap.changed(&other).await;
    assert_eq!(defaults().await, ["email", WRITE, "phone"]);
    trap.changed(&without).await;
    assert_eq!(defaults().await, ["phone"]);
    assert!(!scopes().await.contains(&WRITE.to_owned()));
    assert_eq!(trap.drifted(&without).await, [""; 0]);
}

/// A scope that a client has in one way is not given in the other: the server says yes and does nothing.
#[tokio::test]
async fn k13_a_scope_changes_from_optional_to_default_and_back() {
    let mut trap = Trap::at(BED).await;
    trap.properties.scopes = vec![READ.into()];
    trap.made().await;
    let optional = trap.properties.clone();
    let default = Properties {
        scopes: vec![],
        vendor: default_scopes(&[READ]),
        ..optional.clone()
    };
    for _ in 0..2 {
        for properties in [&default, &optional] {
            trap.changed(properties).await;
            assert_eq!(trap.drifted(properties).await, [""; 0]);
            let client = trap.seen().await;
            assert_eq!(words(&client["optionalClientScopes"]), properties.scopes);
        }
    }

    // Somebody else's default one, which a key that adopts the client wants to be asked for.
    let other = trap.called(format!("{}-by-hand", trap.id()));
    trap.by_hand(&other.id, json!({"defaultClientScopes": [READ, "email"]}))
        .await;
    let nothing = SecretString::default();
    let adopted = trap.driver.adopt(&other, &optional, &nothing);
    let adopted = adopted.await.unwrap();
    assert!(matches!(adopted, Changed::Done(_)), "{adopted:?}");
    let client = trap.look(&other.id).await.unwrap();
    assert_eq!(words(&client["optionalClientScopes"]), [READ]);
    assert_eq!(words(&client["defaultClientScopes"]), ["email", "service_account"]);
}

#[tokio::test]
async fn k14_a_scope_that_a_client_cannot_have_is_named_and_nothing_is_made() {
    let mut trap = Trap::at(BED).await;
    // Unknown, and one for SAML: the server would drop both without a word.
    for scope in ["orders:nosuch", "role_list"] {
        let default = (vec![], default_scopes(&["email", scope]));
        let optional = (vec![scope.to_owned()], VendorBlocks::default());
        for (scopes, vendor) in [default, optional] {
            trap.properties.scopes = scopes;
            trap.properties.vendor = vendor;
            let refused = trap.register(&trap.client).await.unwrap_err();
            assert_eq!(refused.category, Category::InvalidRequest);
            let words = format!("no client scope {scope}");
            assert!(refused.message.contains(&words), "{refused}");
            assert!(trap.look(trap.id()).await.is_none());
        }
    }
    trap.properties.scopes = vec![];
    trap.made().await;
    trap.properties.vendor = default_scopes(&["role_list"]);
    let refused = trap.driver.update(&trap.client, &trap.properties).await.unwrap_err();
    assert_eq!(refused.category, Category::InvalidRequest);
}

#[tokio::test]
async fn plain_is_demanded_where_it_is_chosen_and_then_s256_is_refused() {
    let mut trap = with_logins(BED).await;
    trap.properties.pkce = Some(Pkce {
        required: true,
        allow_plain: true,
    });
    let with = |method| Properties {
        vendor: VendorBlocks {
            keycloak: Some(KeycloakClient {
                default_client_scopes: vec![],
                pkce_method: Some(method),
            }),
            ..VendorBlocks::default()
        },
        ..trap.properties.clone()
    };
    let plain = with(PkceMethod::Plain);
    let secret = Entropy::system().client_secret().unwrap();
    let made = trap.driver.register(&trap.client, &plain, &secret, None).await.unwrap();
    assert!(matches!(made, Registered::Made(_)), "{made:?}");
    let ca = reqwest::Certificate::from_pem(trap.keycloak.ca().as_bytes()).unwrap();
    let browser = reqwest::Client::builder()
        .tls_certs_only([ca])
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let url = trap.driver.endpoints().authorization.clone().unwrap();
    // Whether the login page comes.
    let passes = async |method: &str| {
        let query = [
            ("client_id", trap.id()),
            ("response_type", "code"),
            ("scope", "openid"),
            ("redirect_uri", REDIRECT),
            ("code_challenge", "0123456789-0123456789-0123456789-0123456789"),
            ("code_challenge_method", method),
        ];
        let answer = browser.get(&url).query(&query).send().await.unwrap();
        answer.status().as_u16() == 200
    };
    assert!(passes("plain").await && !passes("S256").await);
    assert_eq!(trap.drifted(&plain).await, [""; 0]);
    let s256 = with(PkceMethod::S256);
    assert_eq!(trap.drifted(&s256).await, ["attribute pkce.code.challenge.method"]);
    trap.changed(&s256).await;
    assert!(!passes("plain").await && passes("S256").await);
}

/// The key, once it is not ready for this reason; what it says.
async fn refused(cluster: &Cluster, namespace: &str, name: &str, reason: &str) -> String {
    let is = |key: &ApplicationKey| {
        let conditions = key.status.as_ref().map_or(&[][..], |status| &status.conditions);
        conditions::reason(conditions, "Ready") == Some(reason)
    };
    let key = cluster.key_until(namespace, name, is).await;
    let mut conditions = key.status.unwrap().conditions.into_iter();
    conditions.find(|condition| condition.type_ == "Ready").unwrap().message
}

#[tokio::test]
async fn a_key_with_a_block_is_served_by_its_vendor_and_refused_by_others() {
    const NAMESPACE: &str = "blocks";
    let keycloak = beds::keycloak().await;
    let cluster = beds::cluster().await;
    Bed::keycloak(&keycloak, BED).install(&cluster);
    Bed::resident().install(&cluster);
    team(&cluster, NAMESPACE).await;
    let with = |manager: &str, scopes: &[&str]| {
        let block = json!({"defaultClientScopes": scopes});
        key(
            NAMESPACE,
            "k",
            &json!({"keyManagerRef": {"name": manager}, "keycloak": block}),
        )
    };
    cluster.apply(&with("resident", &[READ]));
    let message = refused(&cluster, NAMESPACE, "k", "UnsupportedVendorBlock").await;
    assert!(
        message.contains("spec.keycloak") && message.contains("remove it"),
        "{message}"
    );
    let secrets = cluster.kubectl(&["-n", NAMESPACE, "get", "secrets", "-o", "name"]);
    assert_eq!(secrets.trim(), "", "nothing is made");

    cluster.apply(&with(BED, &[READ, "roles"]));
    let message = refused(&cluster, NAMESPACE, "k", "AccessDenied").await;
    assert!(message.contains("grants scope roles: "), "{message}");
    cluster.apply(&with(BED, &[READ]));
    cluster.ready(NAMESPACE, "k").await;
    let entries = cluster.secret(NAMESPACE, "k").await;
    let scope = async || {
        let (status, answer) = token(&entries, &[]).await;
        assert_eq!(status, 200, "{answer}");
        answer["scope"].as_str().unwrap_or_default().to_owned()
    };
    assert!(scope().await.contains(READ));
    // No rule grants what is added: what the client has stays, and it gets no more.
    cluster.apply(&with(BED, &[READ, "roles"]));
    refused(&cluster, NAMESPACE, "k", "AccessDenied").await;
    let there = keycloak
        .admin()
        .client(BED, &entries["client-id"])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(words(&there["defaultClientScopes"]), ["basic", READ, "service_account"]);
    // It is taken off again in place.
    cluster.apply(&with(BED, &[]));
    cluster.ready(NAMESPACE, "k").await;
    assert!(!scope().await.contains(READ));
    assert_eq!(cluster.secret(NAMESPACE, "k").await["client-id"], entries["client-id"]);
    cluster.kubectl(&["-n", NAMESPACE, "delete", "akey", "k", "--timeout=60s"]);
}
