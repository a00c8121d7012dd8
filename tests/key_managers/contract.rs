//! What every driver does, save where a capability says otherwise.

use std::sync::Arc;

use appkeys::{
    api::{ClientAuthentication, CredentialKind, GrantType, Pkce},
    clock::Clock,
    entropy::Entropy,
    key_manager::{
        Answer, Capabilities, Category, Changed, Choice, Client, Compared, Current, KeyManager, Management, Mark,
        NewSecret, Overlap, PkceMethods, Properties, Registered, Room, SecretAdded, Token, TokenAnswer, TokenRequest,
        private_key,
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use testbed::key_managers::{
    canaille::Canaille,
    keycloak::{BED, ROTATING},
    oidc_provider::{OidcProvider, Options},
    okta::Okta,
    wso2::{Settings, Version, Wso2},
};

use super::{
    beds::{self, Bed},
    recorded::is_as_recorded,
};
use crate::{simulation::profile::Profile, support::provider};

const REDIRECT: &str = "https://shop.example.com/callback";
const RESOURCE: &str = "https://orders.example.com";

#[tokio::test]
async fn the_resident_key_manager_keeps_the_contract() {
    contract(&Bed::resident(), Profile::Resident).await;
}

#[tokio::test]
async fn a_keycloak_realm_keeps_the_contract() {
    let keycloak = beds::keycloak().await;
    contract(&Bed::keycloak(&keycloak, BED), Profile::Keycloak).await;
}

#[tokio::test]
async fn a_keycloak_realm_with_a_policy_of_rotation_keeps_the_contract() {
    let keycloak = beds::keycloak().await;
    contract(&Bed::keycloak(&keycloak, ROTATING), Profile::KeycloakRotating).await;
}

#[tokio::test]
async fn an_open_registration_with_registration_tokens_that_rotate_keeps_the_contract() {
    let options = Options {
        open: true,
        ..Options::default()
    };
    provider();
    let server = OidcProvider::start(options).await.unwrap();
    contract(&Bed::oidc_provider(&server, None), Profile::OidcOpen).await;
    assert!(server.clients().await.unwrap().is_empty(), "no client is left");
}

#[tokio::test]
async fn a_registration_with_an_initial_access_token_keeps_the_contract() {
    let options = Options {
        rotate_registration_token: false,
        software_id: false,
        ..Options::default()
    };
    provider();
    let server = OidcProvider::start(options).await.unwrap();
    let bed = Bed::oidc_provider(&server, Some(server.initial_access_token()));
    contract(&bed, Profile::OidcToken).await;
}

#[tokio::test]
async fn a_registration_without_management_keeps_the_contract() {
    let options = Options {
        management: false,
        ..Options::default()
    };
    provider();
    let server = OidcProvider::start(options).await.unwrap();
    let bed = Bed {
        management: false,
        ..Bed::oidc_provider(&server, Some(server.initial_access_token()))
    };
    contract(&bed, Profile::OidcUnmanaged).await;
}

#[tokio::test]
async fn a_server_that_is_easy_about_registration_keeps_the_contract() {
    provider();
    let server = Canaille::start().await.unwrap();
    contract(&Bed::canaille(&server), Profile::Canaille).await;
}

#[tokio::test]
async fn an_okta_org_keeps_the_contract() {
    provider();
    let okta = Okta::start().await.unwrap();
    contract(&Bed::okta(&okta), Profile::Okta).await;
    assert!(okta.apps().is_empty(), "no app is left: {:?}", okta.apps());
    okta.audit().assert_clean();
}

#[tokio::test]
async fn a_wso2_whose_clients_have_one_secret_keeps_the_contract() {
    let server = Wso2::start(Settings::of(Version::V4_2)).await.unwrap();
    contract(&Bed::wso2(&server, "wso2-single"), Profile::Wso2).await;
    is_left_empty(&server);
}

#[tokio::test]
async fn a_wso2_whose_clients_have_several_secrets_keeps_the_contract() {
    let server = Wso2::start(Settings::of(Version::V4_7)).await.unwrap();
    contract(&Bed::wso2(&server, "wso2-several"), Profile::Wso2Several).await;
    is_left_empty(&server);
}

fn is_left_empty(server: &Wso2) {
    server.audit().assert_clean();
    let state = server.state();
    assert!(state.applications.is_empty(), "{:?}", state.applications);
    assert!(state.orphans().is_empty(), "{:?}", state.orphans());
}

/// A client at a driver, as one key has it.
struct Subject<'a> {
    bed: &'a Bed,
    driver: Arc<dyn KeyManager>,
    client: Client,
    properties: Properties,
}

async fn contract(bed: &Bed, profile: Profile) {
    let driver = bed.open().await.unwrap().driver;
    let can = driver.capabilities().clone();
    let by_key = can.authentication.contains(&ClientAuthentication::PrivateKeyJwt);
    for authentication in [
        ClientAuthentication::ClientSecretBasic,
        ClientAuthentication::ClientSecretPost,
        ClientAuthentication::PrivateKeyJwt,
    ] {
        let basic = authentication == ClientAuthentication::ClientSecretBasic;
        if can.authentication.contains(&authentication) && (basic || !bed.only_basic) {
            let subject = Subject::new(bed, driver.clone(), "machine", authentication);
            a_machine_keeps_the_contract(subject).await;
        }
    }
    if can.grant_types.contains(&GrantType::AuthorizationCode) {
        for authentication in can.authentication {
            if authentication == ClientAuthentication::PrivateKeyJwt && bed.only_basic {
                continue;
            }
            let subject = Subject::new(bed, driver.clone(), "login", authentication).with_logins();
            an_app_with_logins_keeps_the_contract(subject).await;
        }
    }
    if can.client_id == Choice::Ours && by_key {
        let (secret, key) = (
            ClientAuthentication::ClientSecretBasic,
            ClientAuthentication::PrivateKeyJwt,
        );
        for (first, then) in [(secret, key), (key, secret)] {
            let subject = Subject::new(bed, driver.clone(), "kind", first);
            a_client_that_is_not_published_can_become_one_of_another_kind(subject, then).await;
        }
    }
    is_as_recorded(bed, &driver, profile).await;
}

async fn a_client_that_is_not_published_can_become_one_of_another_kind(
    subject: Subject<'_>,
    authentication: ClientAuthentication,
) {
    let first = subject.made().await;
    let subject = subject.managed(&first);
    let properties = Properties {
        authentication,
        ..subject.properties
    };
    let subject = Subject { properties, ..subject };
    let changed = subject
        .driver
        .update(&subject.client, &subject.properties)
        .await
        .unwrap();
    assert!(matches!(changed, Changed::Done(_)), "{changed:?}");
    let secret = subject.fresh();
    let new = NewSecret {
        kind: subject.kind(),
        published: None,
        published_version: 1,
        secret: &secret,
        version: 2,
        room: Room::Replace,
    };
    let added = subject.driver.add_secret(&subject.client, new).await.unwrap();
    assert!(matches!(added, SecretAdded::Added(_)), "{added:?}");
    assert!(subject.works(&secret).await);
    subject.driver.delete(&subject.client).await.unwrap();
}

async fn a_machine_keeps_the_contract(subject: Subject<'_>) {
    let first = subject.made().await;
    let subject = subject.managed(&first);
    subject.a_token_has_what_was_asked_for(&first.secret).await;
    let subject = subject.nothing_has_drifted().await;
    subject.a_wrong_secret_is_refused().await;
    subject.a_create_can_be_repeated().await;
    subject.a_foreign_client_is_left_alone(&first.secret).await;
    let subject = subject.what_changes_holds(&first.secret).await;
    let subject = subject.nothing_has_drifted().await;
    let secret = subject.a_rotated_secret_works(&first.secret).await;
    subject.the_secret_can_be_read_back(&secret).await;
    subject.a_deleted_client_is_gone(&secret).await;
}

/// A code that cannot exist proves the credential; a public client has none.
async fn an_app_with_logins_keeps_the_contract(subject: Subject<'_>) {
    let first = subject.made().await;
    let subject = subject.managed(&first);
    if subject.kind() != CredentialKind::Nothing {
        let proof = subject.token(&first.secret, &[]).await;
        assert!(matches!(proof, TokenAnswer::Refused("invalid_grant")), "{proof:?}");
        subject.a_wrong_secret_is_refused().await;
    }
    subject.a_create_can_be_repeated().await;
    let deleted = subject.driver.delete(&subject.client).await.unwrap();
    let gone = matches!(deleted, Changed::Done(_));
    assert!(gone || !subject.bed.management, "{deleted:?}");
}

impl<'a> Subject<'a> {
    fn new(bed: &'a Bed, driver: Arc<dyn KeyManager>, name: &str, authentication: ClientAuthentication) -> Self {
        let (client, properties) = beds::machine("contract-cluster", name);
        let properties = Properties {
            authentication,
            scopes: vec![bed.scopes[0].into()],
            resources: if driver.capabilities().resources {
                vec![RESOURCE.into()]
            } else {
                vec![]
            },
            access_token_lifetime: driver.capabilities().access_token_lifetime.then_some(120),
            ..properties
        };
        Self {
            bed,
            driver,
            client,
            properties,
        }
    }

    /// The same for an app whose users log in.
    fn with_logins(self) -> Self {
        let pkce = Pkce {
            required: true,
            allow_plain: false,
        };
        let s256 = self.driver.capabilities().pkce != PkceMethods::Nothing;
        let properties = Properties {
            grant_types: vec![GrantType::AuthorizationCode],
            redirect_uris: vec![REDIRECT.into()],
            pkce: s256.then_some(pkce),
            ..self.properties
        };
        Self { properties, ..self }
    }

    fn kind(&self) -> CredentialKind {
        self.properties.authentication.credential()
    }

    /// A credential of its kind.
    fn fresh(&self) -> SecretString {
        match self.kind() {
            CredentialKind::Secret => Entropy::system().client_secret().unwrap(),
            CredentialKind::PrivateKey => private_key::generate(self.capabilities().key_algorithm).unwrap(),
            CredentialKind::Nothing => SecretString::default(),
        }
    }

    fn current<'b>(&self, secret: &'b SecretString) -> Current<'b> {
        Current {
            kind: self.kind(),
            secret,
            version: 2,
        }
    }

    fn capabilities(&self) -> Capabilities {
        self.driver.capabilities().with(self.kind())
    }

    async fn made(&self) -> Answer {
        let secret = self.fresh();
        let attempt = (!self.capabilities().chosen_identity()).then_some("attempt-1");
        let made = self
            .driver
            .register(&self.client, &self.properties, &secret, attempt)
            .await;
        let Registered::Made(answer) = made.unwrap() else {
            panic!("it exists already");
        };
        assert_eq!(answer.differences, [""; 0], "it has what was asked for");
        let ours = answer.secret.expose_secret() == secret.expose_secret();
        assert_eq!(ours, self.capabilities().secret_at_creation == Choice::Ours);
        assert_eq!(
            answer.id == self.client.id,
            self.capabilities().client_id == Choice::Ours
        );
        answer
    }

    fn managed(self, answer: &Answer) -> Self {
        let client = Client {
            id: answer.id.clone(),
            management: answer.management.clone(),
            ..self.client
        };
        Self { client, ..self }
    }

    async fn token(&self, secret: &SecretString, scopes: &[&str]) -> TokenAnswer {
        let scopes: Vec<_> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let request = TokenRequest {
            client_id: &self.client.id,
            code_for: self.properties.redirect_uris.first().map(String::as_str),
            secret,
            authentication: self.properties.authentication,
            scopes: &scopes,
            resource: self.properties.resources.first().map(String::as_str),
        };
        self.driver.token(request).await.unwrap()
    }

    async fn issued(&self, secret: &SecretString, scopes: &[&str]) -> Token {
        match self.token(secret, scopes).await {
            TokenAnswer::Issued(token) => token,
            other => panic!("no token by {:?}: {other:?}", self.properties.authentication),
        }
    }

    async fn works(&self, secret: &SecretString) -> bool {
        !matches!(self.token(secret, &[]).await, TokenAnswer::InvalidClient)
    }

    async fn a_token_has_what_was_asked_for(&self, secret: &SecretString) {
        let [read, write] = self.bed.scopes;
        let token = self.issued(secret, &[read]).await;
        assert!(token.scopes.iter().any(|scope| scope == read), "{:?}", token.scopes);
        if self.capabilities().access_token_lifetime {
            // Exactly that between the two times that the server wrote. What it says is left is counted from its answer: a second
            // may have begun since.
            let claims = claims(&token);
            let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
            assert_eq!(life, 120, "{claims}");
            assert!((119..=120).contains(&token.life().as_secs()), "{claims}");
        }
        if self.bed.jwt && self.capabilities().resources {
            let claims = claims(&token);
            assert!(claims["aud"].to_string().contains(RESOURCE), "{claims}");
        }
        self.may_not_have(secret, write).await;
    }

    async fn may_not_have(&self, secret: &SecretString, scope: &str) {
        let answer = self.token(secret, &[scope]).await;
        if !self.capabilities().scopes {
            // It is not this client that says what it may have.
            return assert!(matches!(answer, TokenAnswer::Issued(_)), "{answer:?}");
        }
        let refused = matches!(answer, TokenAnswer::Refused("invalid_scope"));
        let dropped = self.bed.drops_scopes && matches!(answer, TokenAnswer::Issued(_));
        assert!(refused || dropped, "{answer:?}");
    }

    async fn a_wrong_secret_is_refused(&self) {
        assert!(!self.works(&self.fresh()).await);
        // Somebody wrote over it: no key either.
        assert!(!self.works(&"damaged".to_owned().into()).await);
    }

    async fn a_create_can_be_repeated(&self) {
        if !self.capabilities().chosen_identity() {
            return;
        }
        let secret = self.fresh();
        let again = self
            .driver
            .register(&self.client, &self.properties, &secret, None)
            .await;
        assert!(matches!(again.unwrap(), Registered::Exists));
        if self.kind() != CredentialKind::Nothing {
            assert!(!self.works(&secret).await);
        }
    }

    async fn a_foreign_client_is_left_alone(&self, secret: &SecretString) {
        if !self.capabilities().chosen_identity() {
            return;
        }
        // Where clients are in applications, those are what is marked.
        let applications = self.capabilities().applications;
        let mark = Mark {
            name: "somebody-else".into(),
            namespace: if applications {
                "elsewhere".into()
            } else {
                self.client.mark.namespace.clone()
            },
            ..self.client.mark.clone()
        };
        let other = Client {
            mark: mark.clone(),
            ..self.client.clone()
        };
        let theirs = Properties {
            mark,
            ..self.properties.clone()
        };
        let new = self.fresh();
        let conflict = self.driver.register(&other, &theirs, &new, None).await.unwrap_err();
        assert_eq!(conflict.category, Category::ClientConflict);
        if applications {
            // It has an application of its own, which has no such client.
            let update = self.driver.update(&other, &theirs).await.unwrap();
            assert!(matches!(update, Changed::NotThere), "{update:?}");
            assert!(matches!(self.driver.delete(&other).await.unwrap(), Changed::NotThere));
            return assert!(self.works(secret).await);
        }
        let conflict = self.driver.update(&other, &theirs).await.unwrap_err();
        assert_eq!(conflict.category, Category::ClientConflict);
        let new = NewSecret {
            kind: self.kind(),
            published: None,
            published_version: 1,
            secret: &new,
            version: 2,
            room: Room::Only,
        };
        let conflict = self.driver.add_secret(&other, new).await.unwrap_err();
        assert_eq!(conflict.category, Category::ClientConflict);
        assert!(matches!(self.driver.delete(&other).await.unwrap(), Changed::NotThere));
        assert!(self.works(secret).await);
    }

    /// Other scopes; the client goes on with the secret that it has.
    async fn what_changes_holds(self, secret: &SecretString) -> Self {
        let [read, write] = self.bed.scopes;
        let properties = Properties {
            scopes: vec![write.into()],
            ..self.properties.clone()
        };
        let changed = self.driver.update(&self.client, &properties).await.unwrap();
        if !self.bed.management {
            assert!(matches!(changed, Changed::Refused), "{changed:?}");
            self.issued(secret, &[read]).await;
            return self;
        }
        let Changed::Done(outcome) = changed else {
            panic!("it cannot be changed");
        };
        assert_eq!(outcome.differences, [""; 0]);
        let same = |told: SecretString| told.expose_secret() == secret.expose_secret();
        assert!(outcome.secret.is_none_or(same), "the secret is another one");
        let client = Client {
            management: outcome.management.or(self.client.management),
            ..self.client
        };
        let subject = Self {
            client,
            properties,
            ..self
        };
        subject.issued(secret, &[write]).await;
        subject.may_not_have(secret, read).await;
        subject
    }

    /// What was registered and changed is as it should be; only a server that drops what was asked for says otherwise.
    async fn nothing_has_drifted(self) -> Self {
        match self.driver.compare(&self.client, &self.properties).await.unwrap() {
            Compared::Differs(drifted, management) => {
                let kept = self.bed.drops_scopes || drifted.is_empty();
                assert!(kept, "{:?}: {drifted:?}", self.properties.authentication);
                let client = Client {
                    management: management.or(self.client.management),
                    ..self.client
                };
                Self { client, ..self }
            }
            Compared::Refused if !self.bed.management => self,
            other => panic!("{other:?}"),
        }
    }

    async fn a_rotated_secret_works(&self, old: &SecretString) -> SecretString {
        if self.capabilities().secret_at_rotation.is_none() {
            return old.clone();
        }
        let two = self.capabilities().overlap != Overlap::None;
        let chosen = self.fresh();
        let mut new = NewSecret {
            kind: self.kind(),
            published: Some(old),
            published_version: 1,
            secret: &chosen,
            version: 2,
            room: Room::Keep,
        };
        if two {
            let added = match self.driver.add_secret(&self.client, new.clone()).await.unwrap() {
                SecretAdded::Added(added) => added,
                SecretAdded::OneSecret if self.bed.one_secret => return self.a_secret_is_replaced(old, new).await,
                other => panic!("no second secret: {other:?}"),
            };
            assert!(!self.bed.one_secret || self.kind() == CredentialKind::PrivateKey);
            assert!(self.works(old).await && self.works(&added).await);
            // The unpublished one is in the way of another, until it is known that nobody can publish it.
            let another = self.fresh();
            new.secret = &another;
            let occupied = self.driver.add_secret(&self.client, new.clone()).await.unwrap();
            assert!(matches!(occupied, SecretAdded::Occupied), "{occupied:?}");
            new.room = Room::Replace;
            let another = match self.driver.add_secret(&self.client, new).await.unwrap() {
                SecretAdded::Added(another) => another,
                other => panic!("it is not replaced: {other:?}"),
            };
            assert!(self.works(old).await && self.works(&another).await && !self.works(&added).await);
            let now = Clock::system().now();
            let retired = self.driver.retire(
                &self.client,
                self.current(&another),
                now + jiff::SignedDuration::from_hours(1),
            );
            assert!(matches!(retired.await.unwrap(), Changed::Done(_)));
            assert!(self.works(old).await || self.capabilities().overlap == Overlap::WeEnd);
            let retired = self.driver.retire(&self.client, self.current(&another), now).await;
            assert!(matches!(retired.unwrap(), Changed::Done(_)));
            assert!(!self.works(old).await && self.works(&another).await);
            return another;
        }
        self.a_secret_is_replaced(old, new).await
    }

    async fn a_secret_is_replaced(&self, old: &SecretString, new: NewSecret<'_>) -> SecretString {
        assert!(self.works(old).await && !self.works(new.secret).await);
        let only = NewSecret {
            room: Room::Only,
            ..new
        };
        let SecretAdded::Added(added) = self.driver.add_secret(&self.client, only).await.unwrap() else {
            panic!("the secret cannot be changed");
        };
        assert!(!self.works(old).await && self.works(&added).await);
        added
    }

    async fn the_secret_can_be_read_back(&self, secret: &SecretString) {
        if !self.capabilities().read_secret {
            return;
        }
        let read = self.driver.read_secret(&self.client).await.unwrap();
        let Some(read) = read else {
            return assert!(!self.bed.management, "it cannot be read back");
        };
        assert_eq!(read.secret.expose_secret(), secret.expose_secret());
        assert_eq!(read.id, self.client.id);
        let token = |by: &Management| by.token.expose_secret().to_owned();
        if let Some(management) = &read.management {
            let before = self.client.management.as_ref().map(token);
            assert_eq!(Some(token(management)), before, "to look changes nothing");
        }
    }

    async fn a_deleted_client_is_gone(&self, secret: &SecretString) {
        if !self.bed.management {
            let delete = self.driver.delete(&self.client).await.unwrap();
            assert!(matches!(delete, Changed::Refused), "{delete:?}");
            return assert!(self.works(secret).await);
        }
        assert!(matches!(
            self.driver.delete(&self.client).await.unwrap(),
            Changed::Done(_)
        ));
        assert!(!self.works(secret).await);
        let again = self.driver.delete(&self.client).await.unwrap();
        assert!(matches!(again, Changed::NotThere | Changed::Refused), "{again:?}");
        let update = self.driver.update(&self.client, &self.properties).await.unwrap();
        assert!(matches!(update, Changed::NotThere | Changed::Refused), "{update:?}");
    }
}

/// What a JWT says; it is not this test's part to check its signature.
fn claims(token: &Token) -> serde_json::Value {
    jsonwebtoken::dangerous::insecure_decode::<serde_json::Value>(token.value.expose_secret())
        .unwrap()
        .claims
}
