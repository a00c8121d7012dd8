//! A small key manager for unit tests: answers what it is told to, and remembers what it was asked.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Uri},
    response::Response,
};
use jiff::Timestamp;
use tokio::net::TcpListener;
use url::form_urlencoded;

use super::way::{Bounds, HttpClient, Way};
use crate::clock::Clock;

/// Headers of an answer.
pub(super) type Headers = &'static [(&'static str, &'static str)];

/// A request that came in.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Seen {
    /// A header's text; empty where it is not there.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A member of the form.
    pub(super) fn form(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.body.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// The server.
pub(super) struct Server {
    /// Its URL, by address.
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// One that gives `answer` to a request and the number of those before it.
    pub(super) async fn new(answer: impl Fn(&Seen, usize) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, answer) = (Arc::new(Mutex::new(vec![])), Arc::new(answer));
        let all = Arc::clone(&seen);
        let serve = async move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let request = Seen {
                path: uri.to_string(),
                headers,
                body: String::from_utf8(body.to_vec()).unwrap(),
            };
            let mut all = all.lock().unwrap();
            all.push(request.clone());
            answer(&request, all.len() - 1)
        };
        tokio::spawn(async { axum::serve(listener, Router::new().fallback(serve)).await });
        Self { url, seen }
    }

    /// One that gives the same answer always.
    pub(super) async fn always(status: u16, headers: Headers, body: &str) -> Self {
        let body = body.to_owned();
        Self::new(move |_, _| answer(status, headers, &body)).await
    }

    /// What came in so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// An answer.
pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(Body::from(body.to_owned())).unwrap()
}

/// An answer in JSON.
pub(super) fn json(status: u16, body: &serde_json::Value) -> Response {
    answer(status, &[("content-type", "application/json")], &body.to_string())
}

/// The time of tests: the clock of a [`Server`] is the machine's, far from it.
pub(super) fn now() -> Timestamp {
    "2001-02-03T04:05:06Z".parse().unwrap()
}

/// Bounds of tests: no proxy, whatever the machine has.
pub(super) fn bounds() -> Bounds {
    Bounds {
        proxy: false,
        ..Bounds::default()
    }
}

/// A platform team's client that may call a [`Server`].
pub(super) fn client() -> HttpClient {
    let way = Way {
        local_allowed: true,
        ..Way::default()
    };
    HttpClient::within(&way, Clock::new(now), bounds()).unwrap()
}

/// An address at which nobody listens.
pub(super) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
