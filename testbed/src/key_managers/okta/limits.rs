//! Rate limits: one bucket for each group of endpoints, in windows of a minute that begin with the first request.

use std::collections::BTreeMap;

use crate::key_managers::double::Answer;

const WINDOW: i64 = 60;
/// What a bucket has where a test says nothing.
const PLENTY: u32 = 10_000;

/// A group of endpoints that share a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bucket {
    /// `GET /api/v1/apps`
    ListApps,
    /// `POST /api/v1/apps`
    CreateApps,
    /// `/api/v1/apps/{id}` and all below, with any method.
    App,
    /// `/api/v1/authorizationServers` and all below.
    Servers,
    /// The org's own token endpoint.
    OrgToken,
    /// Token endpoints of custom authorization servers, and what is beside them.
    CustomServer,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    limit: u32,
    remaining: u32,
    reset: i64,
}

#[derive(Debug, Default)]
pub(super) struct Limits(BTreeMap<Bucket, Window>);

impl Bucket {
    /// The bucket of a request. Keys and metadata have none.
    pub(super) fn of(method: &str, path: &str) -> Option<Self> {
        let parts: Vec<_> = path.split('/').skip(1).collect();
        match (method, &parts[..]) {
            (_, [.., "keys"] | [".well-known", ..] | ["oauth2", _, ".well-known", ..]) => None,
            ("POST", ["api", "v1", "apps"]) => Some(Self::CreateApps),
            (_, ["api", "v1", "apps"]) => Some(Self::ListApps),
            (_, ["api", "v1", "apps", ..]) => Some(Self::App),
            (_, ["api", "v1", "authorizationServers", ..]) => Some(Self::Servers),
            (_, ["oauth2", "v1", ..]) => Some(Self::OrgToken),
            (_, ["oauth2", ..]) => Some(Self::CustomServer),
            _ => None,
        }
    }
}

impl Limits {
    /// From now until `reset` a bucket has `remaining` requests of `limit`, and then `limit` each minute.
    pub(super) fn set(&mut self, bucket: Bucket, limit: u32, remaining: u32, reset: i64) {
        let window = Window {
            limit,
            remaining,
            reset,
        };
        self.0.insert(bucket, window);
    }

    /// Takes one request out of a bucket: the headers, or the refusal.
    pub(super) fn take(&mut self, bucket: Bucket, now: i64) -> Result<Vec<(&'static str, String)>, Answer> {
        let window = self.0.entry(bucket).or_insert(Window {
            limit: PLENTY,
            remaining: PLENTY,
            reset: now + WINDOW,
        });
        if now >= window.reset {
            window.remaining = window.limit;
            window.reset = now + WINDOW;
        }
        let left = window.remaining.checked_sub(1);
        window.remaining = left.unwrap_or_default();
        let headers = headers(window.limit, window.remaining, window.reset);
        if left.is_some() {
            return Ok(headers);
        }
        let mut refusal = exceeded();
        refusal.headers = headers;
        Err(refusal)
    }
}

/// The refusal while all places for requests at the same time are taken: no limit is named, and the reset is a guess.
pub(super) fn concurrency(now: i64) -> Answer {
    let mut refusal = exceeded();
    refusal.headers = headers(0, 0, now + WINDOW);
    refusal
}

/// The same object at OAuth endpoints.
fn exceeded() -> Answer {
    let summary = "API call exceeded rate limit due to too many requests.";
    Answer::okta(429, "E0000047", summary, &[])
}

fn headers(limit: u32, remaining: u32, reset: i64) -> Vec<(&'static str, String)> {
    vec![
        ("x-rate-limit-limit", limit.to_string()),
        ("x-rate-limit-remaining", remaining.to_string()),
        ("x-rate-limit-reset", reset.to_string()),
    ]
}
