//! From HTTP to the org and back.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    extract::{Request, State},
    middleware,
    response::{IntoResponse as _, Response},
};
use http_body_util::BodyExt as _;

use super::{
    Failure, admission,
    answer::{Answer, Ask},
    apps, credentials,
    limits::{self, Bucket},
    org::Org,
    servers, token,
};
use crate::{key_managers::tls_server::NoAnswer, openapi::Audit};

/// What all requests share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) org: Mutex<Org>,
    pub(super) audit: Arc<Audit>,
    now: AtomicUsize,
    pub(super) most: AtomicUsize,
}

impl Shared {
    pub(super) fn new(org: Org, audit: Audit) -> Self {
        Self {
            org: Mutex::new(org),
            audit: Arc::new(audit),
            now: AtomicUsize::default(),
            most: AtomicUsize::default(),
        }
    }
}

/// One of the requests under way; it is, until this is dropped.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) fn router(shared: Arc<Shared>) -> Router {
    let audit = middleware::from_fn_with_state(Arc::clone(&shared.audit), Audit::layer);
    Router::new().fallback(serve).layer(audit).with_state(shared)
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let under_way = UnderWay(&shared.now);
    let now = shared.now.fetch_add(1, Ordering::Relaxed) + 1;
    shared.most.fetch_max(now, Ordering::Relaxed);
    let (parts, body) = request.into_parts();
    // The layer before this has read it already.
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes().to_vec())
        .unwrap_or_default();
    let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
    let ask = Ask {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: query.into_owned().collect(),
        headers: parts.headers,
        body,
    };
    let operation = shared.audit.operation(&ask.method, &ask.path);
    let latency = lock(&shared.org).modes.latency;
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let mut org = lock(&shared.org);
    let answer = answer(&mut org, &ask, operation.as_deref());
    drop(under_way);
    if let Some(answer) = answer {
        return answer.with("date", date(org.now())).into_response();
    }
    let mut lost = Answer::empty(200).into_response();
    lost.extensions_mut().insert(NoAnswer);
    lost
}

fn lock(org: &Mutex<Org>) -> std::sync::MutexGuard<'_, Org> {
    org.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The org's clock, as `Date` has it.
fn date(second: i64) -> String {
    let time = jiff::Timestamp::from_second(second).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The answer, if there is one.
fn answer(org: &mut Org, ask: &Ask, operation: Option<&str>) -> Option<Answer> {
    if let Some(outage) = org.outage(ask) {
        return Some(outage);
    }
    let now = org.now();
    let mut headers = vec![];
    if let Some(bucket) = Bucket::of(&ask.method, &ask.path) {
        if org.modes.concurrency_full {
            return Some(limits::concurrency(now));
        }
        match org.limits.take(bucket, now) {
            Ok(found) => headers = found,
            Err(refusal) => return Some(refusal),
        }
    }
    let mut answer = match org.failure(operation) {
        Some(Failure::RequestLost) => return None,
        Some(Failure::AnswerLost) => {
            drop(route(org, ask));
            return None;
        }
        Some(Failure::Okta(status, code, summary)) => Answer::okta(status, code, summary, &[]),
        Some(Failure::OAuth(status, error, text)) => Answer::oauth(status, error, text),
        None => route(org, ask).unwrap_or_else(|refusal| refusal),
    };
    answer.headers.extend(headers);
    Some(answer)
}

fn route(org: &mut Org, ask: &Ask) -> Result<Answer, Answer> {
    let parts: Vec<_> = ask.path.split('/').skip(1).collect();
    if let ["api", "v1", rest @ ..] = &parts[..] {
        admission::admit(org, ask)?;
        return manage(org, ask, rest);
    }
    match (ask.method.as_str(), &parts[..]) {
        ("POST", ["oauth2", "v1", "token"]) => admission::token(org, ask),
        ("GET", ["oauth2", "v1", "keys"]) => Ok(token::keys(org)),
        ("GET", [".well-known", "openid-configuration"]) => Ok(token::org_metadata(org)),
        (
            "GET",
            [
                "oauth2",
                id,
                ".well-known",
                "oauth-authorization-server" | "openid-configuration",
            ]
            | [".well-known", "oauth-authorization-server", "oauth2", id],
        ) => token::metadata(org, id),
        ("GET", ["oauth2", id, "v1", "keys"]) => servers::find(org, id).map(|_| token::keys(org)),
        ("POST", ["oauth2", id, "v1", "token"]) => token::token(org, ask, id),
        ("POST", ["oauth2", id, "v1", "introspect"]) => token::introspect(org, ask, id),
        ("POST", ["oauth2", id, "v1", "revoke"]) => token::revoke(org, ask, id),
        _ => Err(unknown()),
    }
}

/// The management API, below `/api/v1`.
fn manage(org: &mut Org, ask: &Ask, parts: &[&str]) -> Result<Answer, Answer> {
    use credentials::{add_key, add_secret, delete_key, delete_secret, turn_key, turn_secret};
    let turned = |verb: &str| match verb {
        "activate" => Ok(true),
        "deactivate" => Ok(false),
        _ => Err(unknown()),
    };
    match (ask.method.as_str(), parts) {
        ("GET", ["apps"]) => apps::list(org, ask),
        ("POST", ["apps"]) => apps::create(org, ask),
        ("GET", ["apps", id]) => apps::get(org, id),
        ("PUT", ["apps", id]) => apps::replace(org, ask, id),
        ("DELETE", ["apps", id]) => apps::delete(org, id),
        ("POST", ["apps", id, "lifecycle", verb]) => apps::turn(org, id, turned(verb)?),
        ("GET", ["apps", id, "credentials", "secrets"]) => credentials::list_secrets(org, id),
        ("POST", ["apps", id, "credentials", "secrets"]) => add_secret(org, ask, id),
        ("GET", ["apps", id, "credentials", "secrets", one]) => credentials::get_secret(org, id, one),
        ("DELETE", ["apps", id, "credentials", "secrets", one]) => delete_secret(org, id, one),
        ("POST", ["apps", id, "credentials", "secrets", one, "lifecycle", verb]) => {
            turn_secret(org, id, one, turned(verb)?)
        }
        ("GET", ["apps", id, "credentials", "jwks"]) => credentials::list_keys(org, id),
        ("POST", ["apps", id, "credentials", "jwks"]) => add_key(org, ask, id),
        ("GET", ["apps", id, "credentials", "jwks", one]) => credentials::get_key(org, id, one),
        ("DELETE", ["apps", id, "credentials", "jwks", one]) => delete_key(org, id, one),
        ("POST", ["apps", id, "credentials", "jwks", one, "lifecycle", verb]) => turn_key(org, id, one, turned(verb)?),
        ("GET", ["authorizationServers", rest @ ..]) => servers::read(org, rest),
        (_, ["apps" | "authorizationServers", ..]) => {
            let text = "The endpoint does not support the provided HTTP method";
            Err(Answer::okta(405, "E0000022", text, &[]))
        }
        _ => Err(unknown()),
    }
}

fn unknown() -> Answer {
    Answer::okta(404, "E0000008", "The requested path was not found", &[])
}
