//! A double of WSO2, opened by the driver, and a client as one key has it.

use std::sync::Arc;

use appkeys::{
    api::{ClientAuthentication, CredentialKind, Environment, GrantType, Wso2Client, conditions::Say},
    entropy::Entropy,
    key_manager::{
        Answer, Category, Changed, Client, Current, Error, KeyManager, NewSecret, Place, Properties, Registered, Room,
        SecretAdded, TokenAnswer, TokenRequest,
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use testbed::key_managers::wso2::{Call, Settings, Wso2};

use crate::key_managers::beds::{self, Bed};

/// Where logins return to.
pub(super) const REDIRECT: &str = "https://shop.example.com/callback";

/// A double, its driver, and a client.
pub(super) struct Bench {
    pub(super) server: Wso2,
    pub(super) driver: Arc<dyn KeyManager>,
    pub(super) client: Client,
    pub(super) properties: Properties,
}

/// Opens a double with these changes of the key manager's `wso2`.
pub(super) async fn open(server: &Wso2, change: &Value) -> Result<Arc<dyn KeyManager>, Say> {
    let mut bed = Bed::wso2(server, "wso2");
    let spec = bed.spec["wso2"].as_object_mut().unwrap();
    spec.extend(change.as_object().unwrap().clone());
    bed.open().await.map(|opened| opened.driver)
}

impl Bench {
    /// With the resident key manager.
    pub(super) async fn new(settings: Settings) -> Self {
        let server = Wso2::start(settings).await.unwrap();
        Self::at(server, &json!({})).await
    }

    /// With these changes of the key manager's spec.
    pub(super) async fn at(server: Wso2, change: &Value) -> Self {
        let driver = open(&server, change)
            .await
            .unwrap_or_else(|say| panic!("{}", say.message));
        let (client, properties) = beds::machine("wso2-cluster", "k");
        Self {
            server,
            driver,
            client,
            properties,
        }
    }

    /// The same client's neighbour: another key of the same Application.
    pub(super) fn beside(&self, environment: Environment) -> (Client, Properties) {
        let (client, properties) = beds::machine("wso2-cluster", "beside");
        let place = Place {
            environment,
            ..self.client.place.clone()
        };
        (
            Client { place, ..client },
            Properties {
                environment,
                ..properties
            },
        )
    }

    /// For an app whose users log in; without a secret where it is public.
    pub(super) fn with_logins(mut self, authentication: ClientAuthentication) -> Self {
        self.properties.authentication = authentication;
        self.properties.grant_types = vec![GrantType::AuthorizationCode, GrantType::RefreshToken];
        self.properties.redirect_uris = vec![REDIRECT.into()];
        self
    }

    /// With a property that WSO2 alone knows.
    pub(super) fn with_property(mut self, name: &str, value: &str) -> Self {
        let block = self.properties.vendor.wso2.get_or_insert_with(Wso2Client::default);
        block.properties.insert(name.into(), value.into());
        self
    }

    pub(super) async fn register(&self) -> Result<Registered, Error> {
        register(&*self.driver, &self.client, &self.properties).await
    }

    /// Makes the client, which must go well; the client as it is managed from then on, and its secret.
    pub(super) async fn made(&mut self) -> SecretString {
        let answer = made(self.register().await);
        self.client.id = answer.id;
        answer.secret
    }

    pub(super) async fn update(&self) -> Result<Changed, Error> {
        self.driver.update(&self.client, &self.properties).await
    }

    pub(super) async fn delete(&self) -> Result<Changed, Error> {
        self.driver.delete(&self.client).await
    }

    /// Deletes the client, and asserts that nothing is left of it.
    pub(super) async fn leaves_nothing(&self) {
        let deleted = self.delete().await;
        assert!(
            matches!(deleted, Ok(Changed::Done(_) | Changed::NotThere)),
            "{deleted:?}"
        );
        self.is_empty();
    }

    /// No application, key or client of ours is left, and all that passed is as WSO2's files say.
    pub(super) fn is_empty(&self) {
        let state = self.server.state();
        assert!(state.applications.is_empty(), "{:?}", state.applications);
        assert!(state.keys.is_empty(), "{:?}", state.keys);
        assert!(state.orphans().is_empty(), "{:?}", state.orphans());
        drop(state);
        self.server.audit().assert_clean();
    }

    pub(super) async fn add(
        &self,
        published: Option<&SecretString>,
        version: i64,
        room: Room,
    ) -> Result<SecretAdded, Error> {
        let chosen = Entropy::system().client_secret().unwrap();
        let new = NewSecret {
            kind: CredentialKind::Secret,
            published,
            published_version: version - 1,
            secret: &chosen,
            version,
            room,
        };
        self.driver.add_secret(&self.client, new).await
    }

    /// Another secret, which must be there.
    pub(super) async fn added(&self, published: &SecretString, version: i64, room: Room) -> SecretString {
        match self.add(Some(published), version, room).await.unwrap() {
            SecretAdded::Added(secret) => secret,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn retire(&self, current: &SecretString, version: i64) -> Result<Changed, Error> {
        let current = Current {
            kind: CredentialKind::Secret,
            secret: current,
            version,
        };
        let now = appkeys::clock::Clock::system().now();
        self.driver.retire(&self.client, current, now).await
    }

    pub(super) async fn works(&self, secret: &SecretString) -> bool {
        works(&*self.driver, &self.client.id, &self.properties, secret).await
    }

    /// How many calls of a kind there were.
    pub(super) fn count(&self, call: Call) -> usize {
        self.server.state().count(call)
    }
}

pub(super) async fn register(
    driver: &dyn KeyManager,
    client: &Client,
    properties: &Properties,
) -> Result<Registered, Error> {
    let secret = match properties.authentication.credential() {
        CredentialKind::Secret => Entropy::system().client_secret().unwrap(),
        CredentialKind::PrivateKey | CredentialKind::Nothing => SecretString::default(),
    };
    driver.register(client, properties, &secret, None).await
}

pub(super) fn made(registered: Result<Registered, Error>) -> Answer {
    match registered {
        Ok(Registered::Made(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn works(
    driver: &dyn KeyManager,
    client_id: &str,
    properties: &Properties,
    secret: &SecretString,
) -> bool {
    let request = TokenRequest {
        client_id,
        code_for: properties.redirect_uris.first().map(String::as_str),
        secret,
        authentication: properties.authentication,
        scopes: &[],
        resource: None,
    };
    !matches!(driver.token(request).await.unwrap(), TokenAnswer::InvalidClient)
}

/// It is refused, in a text with these words and no secret.
pub(super) fn is_refused<T: std::fmt::Debug>(result: Result<T, Error>, category: Category, words: &[&str]) {
    let error = result.unwrap_err();
    assert_eq!(error.category, category, "{error}");
    for word in words {
        assert!(error.message.contains(word), "{word:?} is not in {:?}", error.message);
    }
}

pub(super) fn same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}
