//! How the operator logs in as a service app: a signed assertion at the org's own token endpoint, with proofs of possession where the
//! app demands them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use http::{Method, StatusCode, header};
use jiff::SignedDuration;
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::{
    entropy::Entropy,
    key_manager::{
        Category, Error, TokenAnswer,
        remote::{
            AssertionKey, ClientProof, DpopKey, Granting, HttpClient, OperatorCredential, Reply,
            dpop::{HEADER, NONCE, Request},
            session::STEP,
            token::issued,
        },
    },
};

/// The scope that all is done with.
const MANAGE: &str = "okta.apps.manage";
/// Scopes to ask for: of those Okta gives what the app was granted, with success (O13). The last one shows which scopes there are.
const SCOPES: [&str; 3] = [MANAGE, "okta.apps.read", "okta.authorizationServers.read"];
/// The most requests for one token: one that finds out that proofs are demanded, one that finds the nonce, one the org's clock.
const ROUNDS: usize = 4;
/// How far the org's clock may differ before that is taken for the cause of a refusal.
const SKEW: SignedDuration = SignedDuration::from_secs(2);

/// The operator's service app.
#[derive(Debug)]
pub(super) struct AppLogin {
    http: HttpClient,
    endpoint: String,
    entropy: Entropy,
    dpop: DpopKey,
    learnt: Mutex<Learnt>,
}

/// What the org's answers have told.
#[derive(Clone, Debug, Default)]
struct Learnt {
    /// The app demands proofs of possession (O14).
    demanded: bool,
    /// What they must have.
    nonce: Option<String>,
    /// How far the org's clock is ahead of ours.
    ahead: SignedDuration,
    /// The token that is bound to our key.
    bound: Option<SecretString>,
}

#[derive(Deserialize)]
struct Kind {
    token_type: String,
}

impl AppLogin {
    /// A login at the org with this URL.
    ///
    /// # Errors
    /// No key can be made.
    pub(super) fn new(http: HttpClient, org: &str, entropy: Entropy) -> Result<Self, Error> {
        Ok(Self {
            http,
            endpoint: format!("{org}/oauth2/v1/token"),
            dpop: DpopKey::generate(entropy.clone())?,
            entropy,
            learnt: Mutex::default(),
        })
    }

    /// `request` with the operator's token, and a proof where that is bound to our key.
    pub(super) fn authorize(
        &self,
        request: RequestBuilder,
        method: &Method,
        url: &str,
        token: &SecretString,
    ) -> RequestBuilder {
        let learnt = self.learnt().clone();
        let is_bound = |bound: &SecretString| bound.expose_secret() == token.expose_secret();
        if !learnt.bound.as_ref().is_some_and(is_bound) {
            return request.bearer_auth(token.expose_secret());
        }
        let proof = self.dpop.proof(Request {
            method,
            url,
            now: self.now(&learnt),
            nonce: None,
            token: Some(token),
        });
        // A line end makes a request that is never sent: it would not be what it seems.
        let proof = proof.unwrap_or_else(|_| "\n".to_owned());
        let scheme = format!("DPoP {}", token.expose_secret());
        request.header(header::AUTHORIZATION, scheme).header(HEADER, proof)
    }

    /// One request for a token. Each has an assertion and a proof of its own: either works once.
    async fn ask(&self, client_id: &str, key: &AssertionKey, learnt: &Learnt) -> Result<Reply, Error> {
        let mut request = self
            .http
            .request(Method::POST, &self.endpoint)
            .header(header::ACCEPT, "application/json");
        let now = self.now(learnt);
        if learnt.demanded {
            let proof = self.dpop.proof(Request {
                method: &Method::POST,
                url: &self.endpoint,
                now,
                nonce: learnt.nonce.as_deref(),
                token: None,
            })?;
            request = request.header(HEADER, proof);
        }
        let form = vec![
            ("grant_type", "client_credentials".to_owned()),
            ("scope", SCOPES.join(" ")),
        ];
        let proof = ClientProof::Assertion {
            key,
            audience: &self.endpoint,
        };
        self.http.send(STEP, proof.apply(request, client_id, form, now)?).await
    }

    /// What a refusal tells that makes another try worth it: `learnt` follows.
    fn learn(&self, reply: &Reply, word: &str, learnt: &mut Learnt) -> bool {
        let ahead = reply
            .date()
            .map_or(learnt.ahead, |there| there.duration_since(reply.received_at));
        let nonce = reply.headers.get(NONCE).and_then(|nonce| nonce.to_str().ok());
        match word {
            "invalid_dpop_proof" if !learnt.demanded => learnt.demanded = true,
            "use_dpop_nonce" if nonce.is_some() && nonce != learnt.nonce.as_deref() => {
                learnt.nonce = nonce.map(str::to_owned);
            }
            "invalid_client" | "invalid_dpop_proof" if (ahead - learnt.ahead).abs() >= SKEW => learnt.ahead = ahead,
            _ => return false,
        }
        *self.learnt() = learnt.clone();
        true
    }

    fn answer(&self, reply: &Reply, word: &str) -> Result<TokenAnswer, Error> {
        if reply.status.is_success() {
            let kind = reply.json::<Kind>()?.token_type;
            let bound = kind.eq_ignore_ascii_case("dpop");
            let token = issued(reply, &[], if bound { "DPoP" } else { "Bearer" })?;
            if !token.scopes.iter().any(|scope| scope == MANAGE) {
                return Err(not_granted());
            }
            self.learnt().bound = bound.then(|| token.value.clone());
            return Ok(TokenAnswer::Issued(token));
        }
        match word {
            "invalid_client" => Ok(TokenAnswer::InvalidClient),
            "invalid_scope" | "consent_required" | "access_denied" => Err(not_granted()),
            "invalid_dpop_proof" | "use_dpop_nonce" => Err(reply.error(
                Category::Unreachable,
                "the operator's app demands proofs of possession (DPoP), and takes none: is the clock right?",
            )),
            _ => Err(reply.error(
                Category::Unreachable,
                "not as Okta's token endpoint does: is the URL right?",
            )),
        }
    }

    fn now(&self, learnt: &Learnt) -> jiff::Timestamp {
        let now = self.http.clock().now();
        now.checked_add(learnt.ahead).unwrap_or(now)
    }

    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Granting for AppLogin {
    fn scopes(&self) -> &[String] {
        // Okta gives all or says `invalid_scope`.
        &[]
    }

    async fn token(&self, credential: &OperatorCredential) -> Result<TokenAnswer, Error> {
        let unreadable = |error| {
            let text = format!("{STEP}: the entry private-key.pem cannot be used: {error}");
            Error {
                sent: false,
                ..Error::new(Category::CredentialsRejected, text)
            }
        };
        let key = AssertionKey::from_pem(&credential.secret, self.entropy.clone()).map_err(unreadable)?;
        let key = key.named(&credential.key_id);
        let mut learnt = self.learnt().clone();
        let mut round = 1;
        loop {
            let reply = self.ask(&credential.client_id, &key, &learnt).await?;
            let word = reply.error_word().unwrap_or_default();
            let known = matches!(reply.status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED);
            if !known || round == ROUNDS || !self.learn(&reply, &word, &mut learnt) {
                return self.answer(&reply, &word);
            }
            round += 1;
        }
    }
}

fn not_granted() -> Error {
    let text = format!(
        "{STEP}: the operator's app in Okta has not the scope {MANAGE}: a super administrator grants it (Applications, the app, Okta API Scopes)"
    );
    Error::new(Category::MissingPermission, text)
}
