//! What the simulation takes for granted of each server is so at the real one.

use std::sync::Arc;

use appkeys::{
    api::{ClientAuthentication, CredentialKind, GrantType},
    clock::Clock,
    entropy::Entropy,
    key_manager::{
        Answer, Capabilities, Changed, Choice, Client, KeyManager, NewSecret, Overlap, Properties, Registered, Room,
        SecretAdded, TokenAnswer, TokenRequest, private_key,
    },
};
use jiff::SignedDuration;
use secrecy::SecretString;

use super::beds::{self, Bed};
use crate::{
    simulation::{
        profile::Profile,
        recorded::{Managed, Recorded},
    },
    support::repository,
};

/// Asserts that the server is as the simulation has it of this profile, or records how it is now.
pub(super) async fn is_as_recorded(bed: &Bed, driver: &Arc<dyn KeyManager>, profile: Profile) {
    let found = Probe { bed, driver: &**driver }.look().await;
    let (name, _) = profile.file().unwrap();
    let file = format!("tests/simulation/profiles/{name}.json");
    if std::env::var_os("RECORD").is_some() {
        let text = serde_json::to_string_pretty(&found).unwrap();
        return std::fs::write(repository(&file), text + "\n").unwrap();
    }
    assert_eq!(
        found,
        *profile.facts(),
        "{file} (right) has this server otherwise than it is (left); where that is meant, record it anew with \
         `RECORD=1 cargo test --test tests keeps_the_contract` and run the simulation"
    );
}

/// Looks at a server with clients that it makes and deletes.
struct Probe<'a> {
    bed: &'a Bed,
    driver: &'a dyn KeyManager,
}

impl Probe<'_> {
    async fn look(&self) -> Recorded {
        let capabilities = Capabilities {
            reasons: vec![],
            ..self.driver.capabilities().clone()
        };
        let mut works = vec![];
        for authentication in capabilities.authentication.clone() {
            if self.works(authentication).await {
                works.push(authentication);
            }
        }
        let (client, properties) = beds::machine("recorded-cluster", "life");
        let made_at = Clock::system().now();
        let answer = self.made(&client, &properties).await.unwrap();
        let client = Client {
            id: answer.id.clone(),
            management: answer.management.clone(),
            ..client
        };
        let request = request(&client, &properties, &answer.secret);
        let TokenAnswer::Issued(token) = self.driver.token(request).await.unwrap() else {
            panic!("{}: no token", self.bed.name);
        };
        let (managed, client) = self.managed(client, &properties).await;
        let recorded = Recorded {
            two_secrets: self.keeps_two(&client, &answer.secret).await,
            works,
            managed,
            // A second may have begun since.
            access_token_life: rounded(token.life(), 10),
            secret_life: answer.secret_ends.map(|ends| rounded(ends.duration_since(made_at), 60)),
            settles: self.driver.settles().as_secs().try_into().unwrap(),
            capabilities,
        };
        self.driver.delete(&client).await.unwrap();
        recorded
    }

    async fn made(&self, client: &Client, properties: &Properties) -> Option<Answer> {
        let secret = match properties.authentication.credential() {
            CredentialKind::Secret => Entropy::system().client_secret().unwrap(),
            CredentialKind::PrivateKey => private_key::generate(self.driver.capabilities().key_algorithm).unwrap(),
            CredentialKind::Nothing => SecretString::default(),
        };
        match self
            .driver
            .register(client, properties, &secret, Some("attempt-1"))
            .await
        {
            Ok(Registered::Made(answer)) => Some(answer),
            Ok(Registered::Exists) | Err(_) => None,
        }
    }

    /// Whether a client that proves itself so gets tokens; or is there at all, where only its users do.
    async fn works(&self, authentication: ClientAuthentication) -> bool {
        let (client, machine) = beds::machine("recorded-cluster", "kind");
        let public = authentication == ClientAuthentication::None;
        let properties = if public {
            Properties {
                authentication,
                grant_types: vec![GrantType::AuthorizationCode],
                redirect_uris: vec!["https://shop.example.com/callback".into()],
                ..machine
            }
        } else {
            Properties {
                authentication,
                ..machine
            }
        };
        let Some(answer) = self.made(&client, &properties).await else {
            return false;
        };
        let client = Client {
            id: answer.id.clone(),
            management: answer.management.clone(),
            ..client
        };
        let token = self.driver.token(request(&client, &properties, &answer.secret)).await;
        self.driver.delete(&client).await.unwrap();
        public || matches!(token, Ok(TokenAnswer::Issued(_)))
    }

    /// What changes a client, and the client after that.
    async fn managed(&self, client: Client, properties: &Properties) -> (Managed, Client) {
        if self.driver.capabilities().client_id == Choice::Ours {
            return (Managed::ByOperator, client);
        }
        let properties = Properties {
            display_name: "Renamed".into(),
            ..properties.clone()
        };
        let Changed::Done(outcome) = self.driver.update(&client, &properties).await.unwrap() else {
            let read = self.driver.read_secret(&client).await.unwrap();
            return (read.map_or(Managed::Not, |_| Managed::ToRead), client);
        };
        match outcome.management {
            Some(management) => {
                let management = Some(management);
                (Managed::ByTokenOnce, Client { management, ..client })
            }
            None => (Managed::ByToken, client),
        }
    }

    async fn keeps_two(&self, client: &Client, secret: &SecretString) -> bool {
        let capabilities = self.driver.capabilities();
        if capabilities.secret_at_rotation.is_none() || capabilities.overlap == Overlap::None {
            return false;
        }
        let new = NewSecret {
            kind: CredentialKind::Secret,
            published: Some(secret),
            published_version: 1,
            secret: &Entropy::system().client_secret().unwrap(),
            version: 2,
            room: Room::Keep,
        };
        match self.driver.add_secret(client, new).await.unwrap() {
            SecretAdded::Added(_) => true,
            SecretAdded::OneSecret => false,
            other => panic!("{}: {other:?}", self.bed.name),
        }
    }
}

fn request<'a>(client: &'a Client, properties: &Properties, secret: &'a SecretString) -> TokenRequest<'a> {
    TokenRequest {
        client_id: &client.id,
        code_for: None,
        secret,
        authentication: properties.authentication,
        scopes: &[],
        resource: None,
    }
}

/// In seconds, to the nearest multiple of so many.
fn rounded(life: SignedDuration, to: i64) -> i64 {
    (life.as_secs() + to / 2) / to * to
}
