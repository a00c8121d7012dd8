//! A client at a Keycloak realm, and the realm's administrator, who sees what came of it.

use std::sync::Arc;

use appkeys::{
    api::CredentialKind,
    entropy::Entropy,
    key_manager::{
        Changed, Client, Error, KeyManager, NewSecret, Properties, Registered, Room, TokenAnswer, TokenRequest,
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use testbed::key_managers::keycloak::{Admin, Keycloak};

use crate::key_managers::beds::{self, Bed};

pub(super) const READ: &str = "orders:read";
pub(super) const WRITE: &str = "orders:write";
/// The attributes of a client that a policy of rotation keeps.
pub(super) const EXPIRES: &str = "client.secret.expiration.time";
pub(super) const ROTATED: &str = "client.secret.rotated";
pub(super) const ROTATED_EXPIRES: &str = "client.secret.rotated.expiration.time";

/// A client that a driver is to make, and the administrator of its realm.
pub(super) struct Trap {
    pub(super) keycloak: Arc<Keycloak>,
    pub(super) realm: &'static str,
    pub(super) driver: Arc<dyn KeyManager>,
    pub(super) client: Client,
    pub(super) properties: Properties,
}

impl Trap {
    pub(super) async fn at(realm: &'static str) -> Self {
        Self::of(beds::keycloak().await, realm).await
    }

    pub(super) async fn of(keycloak: Arc<Keycloak>, realm: &'static str) -> Self {
        let driver = Bed::keycloak(&keycloak, realm).open().await.unwrap().driver;
        let (client, properties) = beds::machine("traps-cluster", "trap");
        Self {
            keycloak,
            realm,
            driver,
            client,
            properties,
        }
    }

    pub(super) fn admin(&self) -> &Admin {
        self.keycloak.admin()
    }

    pub(super) fn id(&self) -> &str {
        &self.client.id
    }

    /// As `self.client`, with another id.
    pub(super) fn called(&self, id: impl Into<String>) -> Client {
        Client {
            id: id.into(),
            ..self.client.clone()
        }
    }

    pub(super) async fn register(&self, client: &Client) -> Result<Registered, Error> {
        let secret = Entropy::system().client_secret().unwrap();
        self.driver.register(client, &self.properties, &secret, None).await
    }

    /// Makes the client; its secret.
    pub(super) async fn made(&self) -> SecretString {
        match self.register(&self.client).await.unwrap() {
            Registered::Made(answer) => answer.secret,
            Registered::Exists => panic!("it exists already"),
        }
    }

    pub(super) async fn changed(&self, properties: &Properties) {
        let changed = self.driver.update(&self.client, properties).await.unwrap();
        assert!(matches!(changed, Changed::Done(_)), "{changed:?}");
    }

    /// The client, as the server has it.
    pub(super) async fn seen(&self) -> Value {
        self.look(self.id()).await.unwrap()
    }

    pub(super) async fn look(&self, id: &str) -> Option<Value> {
        self.admin().client(self.realm, id).await.unwrap().map(sorted)
    }

    /// The path of the client in the Admin API.
    pub(super) async fn path(&self) -> String {
        let client = self.seen().await;
        format!("/{}/clients/{}", self.realm, client["id"].as_str().unwrap())
    }

    /// A client that somebody else makes.
    pub(super) async fn by_hand(&self, id: &str, more: Value) {
        let mut client = json!({
            "clientId": id, "protocol": "openid-connect", "publicClient": false, "secret": "made-by-hand",
            "serviceAccountsEnabled": true, "standardFlowEnabled": false, "directAccessGrantsEnabled": false,
        });
        let Value::Object(more) = more else { unreachable!() };
        client.as_object_mut().unwrap().extend(more);
        self.admin().create(self.realm, &client).await.unwrap();
    }

    pub(super) async fn token(&self, secret: &SecretString) -> TokenAnswer {
        let request = TokenRequest {
            client_id: self.id(),
            code_for: None,
            secret,
            authentication: self.properties.authentication,
            scopes: &[],
            resource: None,
        };
        self.driver.token(request).await.unwrap()
    }

    pub(super) async fn works(&self, secret: &SecretString) -> bool {
        let secret = secret.expose_secret();
        let (status, _) = self.admin().grant(self.realm, self.id(), secret, None).await.unwrap();
        status.is_success()
    }
}

/// Lists of scopes have no order at the server.
fn sorted(mut client: Value) -> Value {
    for scopes in ["defaultClientScopes", "optionalClientScopes"] {
        client[scopes] = json!(words(&client[scopes]));
    }
    client
}

pub(super) fn attribute<'a>(client: &'a Value, name: &str) -> Option<&'a str> {
    client["attributes"][name].as_str()
}

pub(super) fn seconds(client: &Value, name: &str) -> i64 {
    attribute(client, name).unwrap().parse().unwrap()
}

/// A list of words, whatever their order.
pub(super) fn words(list: &Value) -> Vec<&str> {
    let mut words: Vec<_> = list.as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
    words.sort_unstable();
    words
}

pub(super) fn secret(room: Room, secret: &SecretString) -> NewSecret<'_> {
    NewSecret {
        kind: CredentialKind::Secret,
        published: None,
        published_version: 1,
        secret,
        version: 2,
        room,
    }
}
