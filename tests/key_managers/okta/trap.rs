//! A client at an Okta org, and the org, which shows what came of it.

use std::sync::Arc;

use appkeys::{
    api::{ClientAuthentication, CredentialKind, conditions::Say},
    entropy::Entropy,
    key_manager::{
        Category, Changed, Client, Error, KeyManager, NewSecret, Properties, Registered, Room, SecretAdded,
        TokenAnswer, TokenRequest,
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use testbed::key_managers::okta::{App, Modes, Okta};

use crate::{
    key_managers::beds::{self, Bed},
    support::provider,
};

/// A client that a driver is to make, and its org.
pub(super) struct Trap {
    pub(super) okta: Okta,
    pub(super) driver: Arc<dyn KeyManager>,
    pub(super) client: Client,
    pub(super) properties: Properties,
}

/// An org of one's own.
pub(super) async fn org() -> Okta {
    provider();
    Okta::start().await.unwrap()
}

impl Trap {
    pub(super) async fn new() -> Self {
        Self::at(org().await).await.unwrap()
    }

    /// At an org that is like this from before the operator comes.
    pub(super) async fn with(change: impl FnOnce(&mut Modes)) -> Self {
        let okta = org().await;
        okta.set(change);
        Self::at(okta).await.unwrap()
    }

    pub(super) async fn at(okta: Okta) -> Result<Self, Say> {
        let driver = Bed::okta(&okta).open().await?.driver;
        let (client, properties) = beds::machine("trap-cluster", "trap");
        Ok(Self {
            okta,
            driver,
            client,
            properties,
        })
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

    /// The app, as the org has it.
    pub(super) fn app(&self) -> App {
        self.look(&self.client.id).unwrap()
    }

    pub(super) fn look(&self, client_id: &str) -> Option<App> {
        let all = self.okta.apps();
        all.into_iter().find(|app| app.client_id == client_id)
    }

    /// Changes the app by hand.
    pub(super) fn by_hand(&self, change: impl FnOnce(&mut App)) {
        assert!(self.okta.app(&self.client.id, change));
    }

    /// Adds a secret beside the published one.
    pub(super) async fn add(
        &self,
        room: Room,
        published: Option<&SecretString>,
        secret: &SecretString,
    ) -> Result<SecretAdded, Error> {
        let new = NewSecret {
            kind: CredentialKind::Secret,
            published,
            secret,
            room,
            published_version: 1,
            version: 2,
        };
        self.driver.add_secret(&self.client, new).await
    }

    pub(super) async fn token_with(
        &self,
        secret: &SecretString,
        authentication: ClientAuthentication,
        scopes: &[&str],
    ) -> Result<TokenAnswer, Error> {
        let scopes: Vec<_> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let request = TokenRequest {
            client_id: &self.client.id,
            code_for: None,
            secret,
            authentication,
            scopes: &scopes,
            resource: None,
        };
        self.driver.token(request).await
    }

    pub(super) async fn token(&self, secret: &SecretString, scopes: &[&str]) -> TokenAnswer {
        let authentication = self.properties.authentication;
        self.token_with(secret, authentication, scopes).await.unwrap()
    }

    pub(super) async fn works(&self, secret: &SecretString) -> bool {
        matches!(self.token(secret, &[]).await, TokenAnswer::Issued(_))
    }

    /// The values of the app's secrets that work, the older first.
    pub(super) fn active(&self) -> Vec<String> {
        let secrets = self.app().secrets;
        secrets
            .into_iter()
            .filter(|one| one.active)
            .map(|one| one.value)
            .collect()
    }

    /// The bodies of all requests for an operation so far.
    pub(super) fn bodies(&self, method: &str, beginning: &str) -> Vec<Value> {
        let all = self.okta.audit().exchanges();
        let of = all
            .iter()
            .filter(|one| one.method == method && one.path.starts_with(beginning));
        of.map(|one| serde_json::from_slice(&one.request).unwrap_or_default())
            .collect()
    }

    /// For the end of a test: nothing passed that Okta's files do not have.
    #[track_caller]
    pub(super) fn clean(&self) {
        self.okta.audit().assert_clean();
    }
}

/// A fresh secret of ours.
pub(super) fn fresh() -> SecretString {
    Entropy::system().client_secret().unwrap()
}

pub(super) fn text(secret: &SecretString) -> String {
    secret.expose_secret().to_owned()
}

/// It is refused for this reason, in a text with these words.
#[track_caller]
pub(super) fn is_refused(error: &Error, category: Category, words: &[&str]) {
    assert_eq!(error.category, category, "{error}");
    for word in words {
        assert!(error.message.contains(word), "{word:?} is not in {:?}", error.message);
    }
}
