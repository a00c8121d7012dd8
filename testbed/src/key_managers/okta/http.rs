//! From HTTP to the org and back, with all that can go wrong in between.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use tokio::sync::watch;

use super::{
    Call, Failure,
    limits::{self, Bucket},
    org::Org,
    router::route,
};
use crate::{
    key_managers::double::{Answer, Ask, no_answer},
    openapi::Audit,
};

/// What all requests share.
#[derive(Debug)]
pub(super) struct Shared {
    org: Mutex<Org>,
    calls: Mutex<Vec<Call>>,
    pub(super) audit: Audit,
    pub(super) under_way: watch::Sender<UnderWay>,
}

impl Shared {
    pub(super) fn new(org: Org, audit: Audit) -> Self {
        Self {
            org: Mutex::new(org),
            calls: Mutex::default(),
            audit,
            under_way: watch::Sender::default(),
        }
    }

    pub(super) fn org(&self) -> MutexGuard<'_, Org> {
        self.org.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many requests are under way.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    now: usize,
    /// The most that were at the same time.
    pub(super) most: usize,
}

/// One of them; it is, until this is dropped.
struct OneUnderWay<'a>(&'a watch::Sender<UnderWay>);

impl<'a> OneUnderWay<'a> {
    fn new(all: &'a watch::Sender<UnderWay>) -> Self {
        all.send_modify(|all| {
            all.now += 1;
            all.most = all.most.max(all.now);
        });
        Self(all)
    }
}

impl Drop for OneUnderWay<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|all| all.now -= 1);
    }
}

/// What becomes of a request.
enum Outcome {
    /// The org's own answer.
    Answered(Answer),
    /// An error that a test has ordered.
    Ordered(Answer),
    /// It was lost before it came to the org.
    RequestLost,
    /// The org's answer, which does not come to the client.
    AnswerLost(Answer),
}

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(serve).with_state(shared)
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let under_way = OneUnderWay::new(&shared.under_way);
    let Some(ask) = Ask::read(request).await else {
        return no_answer();
    };
    let operation = shared.audit.operation(&ask.method, &ask.path);
    let latency = shared.org().modes.latency;
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let mut org = shared.org();
    let outcome = outcome(&mut org, &ask, operation.as_deref());
    // In the order in which they were carried out: the org is still locked.
    let status = match &outcome {
        Outcome::Answered(answer) | Outcome::Ordered(answer) => Some(answer.status),
        Outcome::RequestLost | Outcome::AnswerLost(_) => None,
    };
    let operation = operation.unwrap_or_else(|| format!("{} {}", ask.method, ask.path));
    shared.calls().push(Call { operation, status });
    // What a test has ordered is nobody's answer.
    if let Outcome::Answered(answer) | Outcome::AnswerLost(answer) = &outcome {
        shared.audit.hear(answer.exchange(&ask));
    }
    drop(under_way);
    match outcome {
        Outcome::Answered(answer) | Outcome::Ordered(answer) => {
            let id = uuid::Uuid::new_v4().simple().to_string();
            answer
                .with("date", date(org.now()))
                .with("x-okta-request-id", id)
                .into_response()
        }
        Outcome::RequestLost | Outcome::AnswerLost(_) => no_answer(),
    }
}

/// The org's clock, as `Date` has it.
fn date(second: i64) -> String {
    let time = jiff::Timestamp::from_second(second).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn outcome(org: &mut Org, ask: &Ask, operation: Option<&str>) -> Outcome {
    if let Some(outage) = org.outage(ask) {
        return Outcome::Answered(outage);
    }
    let now = org.now();
    let mut headers = vec![];
    if let Some(bucket) = Bucket::of(&ask.method, &ask.path) {
        if org.modes.concurrency_full {
            return Outcome::Answered(limits::concurrency(now));
        }
        match org.limits.take(bucket, now) {
            Ok(found) => headers = found,
            Err(refusal) => return Outcome::Answered(refusal),
        }
    }
    let ordered = org.failure(operation);
    let mut answer = match ordered {
        Some(Failure::RequestLost) => return Outcome::RequestLost,
        Some(Failure::Okta(status, code, summary)) => Answer::okta(status, code, summary, &[]),
        Some(Failure::OAuth(status, error, text)) => Answer::oauth(status, error, text),
        Some(Failure::AnswerLost) | None => route(org, ask).unwrap_or_else(|refusal| refusal),
    };
    answer.headers.extend(headers);
    match ordered {
        None => Outcome::Answered(answer),
        Some(Failure::AnswerLost) => Outcome::AnswerLost(answer),
        Some(_) => Outcome::Ordered(answer),
    }
}
