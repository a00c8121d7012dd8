//! The traps of registration servers, each against a small server on loopback that does just that.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use axum::response::Response;
use secrecy::SecretString;
use serde_json::{Value, json};

mod registering; // what comes of a registration
mod managing; // clients that are changed, read and deleted

use super::open;
use crate::{
    api::{GrantType, OidcSpec},
    entropy::Entropy,
    key_manager::{
        Answer, Changed, Client, Error, KeyManager, Management, Mark, Outcome, Place, Properties, Registered,
        remote::{
            CredentialSource, OperatorCredential,
            testing::{Seen, Server, client as http, json as reply},
        },
        testing,
    },
};

/// A server that gives metadata by itself, and `answers` to the rest: (request, number of those before it, its own URL).
async fn server(answers: impl Fn(&Seen, usize, &str) -> Response + Send + Sync + 'static) -> Server {
    let before = AtomicUsize::new(0);
    Server::new(move |seen, _| {
        let base = format!("http://{}", seen.header("host"));
        if seen.path == "/.well-known/openid-configuration" {
            return reply(
                200,
                &json!({"issuer": base, "token_endpoint": format!("{base}/token"), "registration_endpoint": format!("{base}/reg")}),
            );
        }
        answers(seen, before.fetch_add(1, Ordering::SeqCst), &base)
    })
    .await
}

/// What came in after the metadata were read.
fn asked(server: &Server) -> Vec<Seen> {
    let mut seen = server.seen();
    seen.retain(|seen| !seen.path.starts_with("/.well-known"));
    seen
}

fn body(seen: &Seen) -> Value {
    serde_json::from_str(&seen.body).unwrap()
}

/// A Secret whose entry and version are numbered: `versions` counts how often somebody has changed it.
#[derive(Debug)]
struct Token(Arc<AtomicUsize>);

#[async_trait]
impl CredentialSource for Token {
    fn name(&self) -> String {
        "Secret iat in namespace n".into()
    }

    async fn read(&self) -> Result<OperatorCredential, Error> {
        let version = self.0.load(Ordering::SeqCst).to_string();
        Ok(OperatorCredential {
            client_id: String::new(),
            key_id: String::new(),
            secret: format!("initial-{version}").into(),
            version,
        })
    }
}

async fn driver_with(server: &Server, token: Option<Arc<AtomicUsize>>) -> Arc<dyn KeyManager> {
    let spec = OidcSpec {
        issuer: server.url.clone(),
        ..OidcSpec::default()
    };
    let token = token.map(|versions| Arc::new(Token(versions)) as Arc<dyn CredentialSource>);
    open(&spec, http(), None, token, &Entropy::system()).await.unwrap()
}

async fn driver(server: &Server) -> Arc<dyn KeyManager> {
    driver_with(server, None).await
}

fn properties() -> Properties {
    Properties {
        grant_types: vec![GrantType::ClientCredentials],
        scopes: vec!["orders:read".into(), "orders:write".into()],
        ..testing::properties()
    }
}

fn mark() -> Mark {
    properties().mark
}

/// A client that `server` gave the registration access token `token`.
fn client(server: &Server, token: &str, previous: Option<&str>) -> Client {
    let management = Management {
        uri: format!("{}/reg/id", server.url),
        token: token.to_owned().into(),
        previous: previous.map(|token| token.to_owned().into()),
    };
    Client {
        id: "id".into(),
        mark: mark(),
        place: Place::default(),
        management: Some(management),
    }
}

async fn register(driver: &dyn KeyManager) -> Result<Answer, Error> {
    let nobody = Client {
        id: String::new(),
        mark: mark(),
        place: Place::default(),
        management: None,
    };
    let secret = SecretString::from("ours".to_owned());
    let properties = properties();
    match driver
        .register(&nobody, &properties, &secret, Some("attempt-1"))
        .await?
    {
        Registered::Made(answer) => Ok(answer),
        Registered::Exists => panic!("nothing exists"),
    }
}

async fn update(driver: &dyn KeyManager, client: &Client) -> Outcome {
    match driver.update(client, &properties()).await.unwrap() {
        Changed::Done(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

/// A registration as it was asked for, with `more`.
fn registered(asked: &Seen, base: &str, more: &Value) -> Response {
    let mut all = body(asked);
    let given = json!({
        "client_id": "id", "client_secret": "theirs", "registration_access_token": "token-1",
        "registration_client_uri": format!("{base}/reg/id"), "client_secret_expires_at": 0,
    });
    for (name, value) in given.as_object().into_iter().chain(more.as_object()).flatten() {
        all[name] = value.clone();
    }
    reply(201, &all)
}

fn refusal(status: u16, word: &str, description: &str) -> Response {
    reply(status, &json!({"error": word, "error_description": description}))
}
