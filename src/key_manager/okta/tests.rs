//! What no Okta does, and the driver does not rely upon.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{
    Operator,
    app::{self, App},
    open,
};
use crate::{
    api::OktaSpec,
    clock::Clock,
    entropy::Entropy,
    key_manager::{
        Category, Client, Error, KeyManager, Place,
        remote::{
            CredentialSource, OperatorCredential,
            testing::{Seen, Server, answer, client as http, json as reply, now},
        },
        testing,
    },
};

#[derive(Debug)]
struct Token;

#[async_trait]
impl CredentialSource for Token {
    fn name(&self) -> String {
        "Secret token in namespace n".into()
    }

    async fn read(&self) -> Result<OperatorCredential, Error> {
        Ok(OperatorCredential {
            client_id: String::new(),
            key_id: String::new(),
            secret: "the-api-token".into(),
            version: "1".into(),
        })
    }
}

/// A server with metadata, whose list of apps has one page, and then what `next` says.
async fn driver(next: &'static str) -> (Server, Arc<dyn KeyManager>) {
    let server = Server::new(move |seen: &Seen, _| {
        let base = format!("http://{}", seen.header("host"));
        if seen.path.contains("/.well-known/") {
            let issuer = format!("{base}/oauth2/default");
            return reply(
                200,
                &json!({"issuer": issuer, "token_endpoint": format!("{issuer}/v1/token")}),
            );
        }
        let next = next.replace("BASE", &base);
        answer(200, &[("content-type", "application/json"), ("link", &next)], "[]")
    })
    .await;
    let spec = OktaSpec {
        url: server.url.clone(),
        ..OktaSpec::default()
    };
    let operator = Operator::Token(Arc::new(Token));
    let (clock, entropy) = (Clock::new(now), Entropy::system());
    let driver = open(&spec, http(), None, operator, &clock, &entropy).await.unwrap();
    (server, driver)
}

fn client() -> Client {
    Client {
        id: "shop-client".into(),
        mark: testing::properties().mark,
        place: Place::default(),
        management: None,
    }
}

#[tokio::test]
async fn the_operator_s_token_goes_to_no_other_address() {
    for next in [
        "<https://elsewhere.example/api/v1/apps?after=x>; rel=\"next\"",
        "<BASE.elsewhere.example/api/v1/apps?after=x>; rel=\"next\"",
        "<BASE/other?after=x>; rel=\"next\"",
    ] {
        let (server, driver) = driver(next).await;
        let before = server.seen().len();
        let refused = driver.read_secret(&client()).await.unwrap_err();
        assert_eq!(refused.category, Category::InvalidRequest, "{refused}");
        assert!(refused.message.contains("another address"), "{refused}");
        assert_eq!(server.seen().len(), before + 1);
    }
    // Both links in one header.
    let both = "<BASE/api/v1/apps>; rel=\"self\", <BASE/elsewhere/api/v1>; rel=\"next\"";
    let (_server, driver) = driver(both).await;
    assert!(driver.read_secret(&client()).await.is_err());
}

/// What a server answers that its namespace's own team chose is anything at all.
#[test]
fn an_app_of_a_strange_shape_is_no_reason_to_panic() {
    let strange = |change: fn(&mut Value)| {
        let mut value = json!({
            "id": "0oa", "credentials": {"oauthClient": {"client_id": "shop-client", "client_secret": "s3cret"}},
        });
        change(&mut value);
        App::read(value)
    };
    for change in [
        |value: &mut Value| value["profile"] = json!("text"),
        |value: &mut Value| value["profile"] = json!({"appkeys": [1]}),
        |value: &mut Value| value["settings"] = json!(["oauthClient"]),
        |value: &mut Value| value["settings"] = json!({"oauthClient": 5, "notes": null}),
    ] {
        let app = strange(change).unwrap();
        assert!(!app.is_marked(&testing::properties().mark) && !app.is_others(&testing::properties().mark));
        let secret = "x".to_owned().into();
        let body = app::change(&app, &testing::properties(), Some(&secret)).unwrap();
        assert_eq!(body["profile"]["appkeys"]["owner"], "c/n/k");
        assert_eq!(body["settings"]["oauthClient"]["application_type"], "service");
        assert!(!format!("{app:?}").contains("s3cret"));
    }
    assert!(strange(|value| value["credentials"] = json!("none")).is_none());
    assert!(strange(|value| value["credentials"]["oauthClient"] = json!({})).is_none());
}
