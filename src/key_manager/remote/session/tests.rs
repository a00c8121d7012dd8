use std::sync::{
    Mutex as Lock,
    atomic::{AtomicI64, AtomicUsize, Ordering},
};

use futures::future::join_all;
use http::Method;
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::*;
use crate::{
    clock::Clock,
    key_manager::remote::{
        testing::{self, Seen, Server, answer, bounds, now},
        way::Way,
    },
};

/// A Secret: its versions in turn, the last one for ever.
struct Versions {
    secrets: Vec<&'static str>,
    reads: AtomicUsize,
}

impl Debug for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Versions")
    }
}

#[async_trait]
impl CredentialSource for Versions {
    fn name(&self) -> String {
        "Secret ns/operator".to_owned()
    }

    async fn read(&self) -> Result<OperatorCredential, Error> {
        let at = self.reads.fetch_add(1, Ordering::Relaxed).min(self.secrets.len() - 1);
        Ok(OperatorCredential {
            client_id: "op".to_owned(),
            secret: self.secrets[at].into(),
            key_id: String::new(),
            version: format!("v{at}"),
        })
    }
}

struct Bench {
    session: Session,
    source: Arc<Versions>,
    server: Server,
    seconds: Arc<AtomicI64>,
}

/// How a key manager answers a bearer token; it is told how many calls came before.
type Api = dyn Fn(&str, usize) -> u16 + Send + Sync;

/// A key manager that gives `good` the tokens t1, t2, … of 90 seconds while `up` says so.
async fn bench(secrets: &[&'static str], bearer: bool, good: &'static str, api: Box<Api>) -> Bench {
    let tokens = AtomicUsize::new(0);
    let server = Server::new(move |seen: &Seen, before| {
        if seen.path != "/token" {
            let bearer = seen.header("authorization").trim_start_matches("Bearer ");
            return answer(api(bearer, before), &[], "");
        }
        if good == "down" && tokens.load(Ordering::Relaxed) > 0 {
            return answer(500, &[], "");
        }
        let secret = seen.form("client_secret").unwrap();
        if secret != good && good != "down" {
            let word = if good == "nobody" {
                "access_denied"
            } else {
                "invalid_client"
            };
            return testing::json(401, &json!({ "error": word }));
        }
        let number = tokens.fetch_add(1, Ordering::Relaxed) + 1;
        testing::json(200, &json!({"access_token": format!("t{number}"), "expires_in": 90}))
    })
    .await;
    let seconds = Arc::new(AtomicI64::new(0));
    let elapsed = Arc::clone(&seconds);
    let clock = Clock::new(move || now() + SignedDuration::from_secs(elapsed.load(Ordering::Relaxed)));
    let way = Way {
        local_allowed: true,
        ..Way::default()
    };
    let http = HttpClient::within(&way, clock, bounds()).unwrap();
    let login = if bearer {
        Login::Bearer
    } else {
        Login::ClientCredentials {
            token_endpoint: format!("{}/token", server.url),
            scopes: vec![],
            authentication: ClientAuthentication::ClientSecretPost,
            refuses_credential: crate::key_manager::remote::invalid_client,
        }
    };
    let source = Arc::new(Versions {
        secrets: secrets.to_vec(),
        reads: AtomicUsize::new(0),
    });
    Bench {
        session: Session::new(http, login, Arc::clone(&source) as Arc<dyn CredentialSource>),
        source,
        server,
        seconds,
    }
}

impl Bench {
    /// A call; the bearer tokens that it was tried with.
    async fn call(&self) -> (Result<Reply, Error>, Vec<String>) {
        let used = Lock::new(vec![]);
        let url = format!("{}/api", self.server.url);
        let build = |bearer: &SecretString| {
            used.lock().unwrap().push(bearer.expose_secret().to_owned());
            self.session
                .http()
                .request(Method::GET, &url)
                .bearer_auth(bearer.expose_secret())
        };
        let result = self.session.send_authorized("look", build).await;
        (result, used.into_inner().unwrap())
    }

    fn tokens(&self) -> usize {
        self.server.seen().iter().filter(|seen| seen.path == "/token").count()
    }

    fn reads(&self) -> usize {
        self.source.reads.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn one_token_serves_all_calls_until_two_thirds_of_its_life() {
    let bench = bench(&["s1"], false, "s1", Box::new(|_, _| 200)).await;
    for (result, used) in join_all((0..20).map(|_| bench.call())).await {
        assert!(result.is_ok());
        assert_eq!(used, ["t1"]);
    }
    assert_eq!((bench.tokens(), bench.reads()), (1, 1), "single flight");
    for (at, token) in [(59, "t1"), (60, "t2"), (119, "t2"), (120, "t3")] {
        bench.seconds.store(at, Ordering::Relaxed);
        assert_eq!(bench.call().await.1, [token], "{at}");
    }
    assert_eq!(bench.reads(), 1, "a credential that works is not read again");
}

#[tokio::test]
async fn a_401_is_tried_once_more_with_a_fresh_token_however_many_meet_it() {
    let stale = bench(
        &["s1"],
        false,
        "s1",
        Box::new(|bearer, _| if bearer == "t1" { 401 } else { 200 }),
    )
    .await;
    for (result, used) in join_all((0..10).map(|_| stale.call())).await {
        assert_eq!(result.unwrap().status, 200);
        assert_eq!(used.last().unwrap(), "t2");
    }
    assert_eq!(stale.tokens(), 2);
    let forbidden = bench(&["s1"], false, "s1", Box::new(|_, _| 403)).await;
    let (result, used) = forbidden.call().await;
    assert_eq!(
        (result.unwrap().status.as_u16(), used.len()),
        (403, 1),
        "the driver's to read"
    );
}

#[tokio::test]
async fn a_fresh_token_that_is_refused_too_is_the_operator_s_trouble() {
    let bench = bench(&["s1"], false, "s1", Box::new(|_, _| 401)).await;
    let (result, used) = bench.call().await;
    let error = result.unwrap_err();
    assert_eq!(used, ["t1", "t2"], "no third try");
    assert_eq!(error.category, Category::CredentialsRejected);
    assert!(error.message.contains("in Secret ns/operator is refused"), "{error}");
    assert_eq!(bench.call().await.1, ["t3", "t4"]);
    assert_eq!(bench.reads(), 2, "read anew");
}

#[tokio::test]
async fn a_refused_credential_is_read_again_and_only_then_rejected() {
    let changed = bench(&["old", "new"], false, "new", Box::new(|_, _| 200)).await;
    assert!(changed.call().await.0.is_ok());
    assert_eq!((changed.tokens(), changed.reads()), (2, 2));
    for secrets in [&["old"][..], &["old", "older"], &["s1", "s2", "s3", "s4"]] {
        let same = bench(secrets, false, "new", Box::new(|_, _| 200)).await;
        let (result, used) = same.call().await;
        let error = result.unwrap_err();
        assert_eq!(error.category, Category::CredentialsRejected);
        assert!(
            error.message.contains("in Secret ns/operator: invalid_client"),
            "{error}"
        );
        assert!(!error.sent && used.is_empty(), "the call was not made");
        assert_eq!(
            same.tokens(),
            secrets.len().min(2),
            "each try counts against an account"
        );
    }
    let denied = bench(&["s1"], false, "nobody", Box::new(|_, _| 200)).await;
    assert_eq!(denied.call().await.0.unwrap_err().category, Category::MissingPermission);
}

#[tokio::test]
async fn while_the_token_endpoint_is_down_a_token_is_used_to_its_end() {
    let bench = bench(&["s1"], false, "down", Box::new(|_, _| 200)).await;
    for (at, works) in [(0, true), (60, true), (89, true), (90, false)] {
        bench.seconds.store(at, Ordering::Relaxed);
        let (result, used) = bench.call().await;
        assert_eq!(used.len(), usize::from(works), "{at}");
        if let Err(error) = result {
            assert!(
                !error.sent && error.category == Category::Unreachable,
                "the call was not made"
            );
        }
    }
}

#[tokio::test]
async fn a_plain_bearer_token_is_read_again_after_a_401() {
    let api: fn(&str, usize) -> u16 = |bearer, _| if bearer == "new" { 200 } else { 401 };
    let changed = bench(&["old", "new"], true, "", Box::new(api)).await;
    let (result, used) = changed.call().await;
    assert!(result.is_ok());
    assert_eq!(used, ["old", "new"]);
    assert_eq!(changed.call().await.1, ["new"]);
    assert_eq!(changed.reads(), 2);
    let same = bench(&["old"], true, "", Box::new(api)).await;
    let (result, used) = same.call().await;
    assert_eq!(result.unwrap_err().category, Category::CredentialsRejected);
    assert_eq!(used, ["old"], "the same one is not sent twice");
    assert!(!format!("{:?} {:?}", same.session, changed.session).contains("\"new\""));
}
