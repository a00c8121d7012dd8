//! A small key manager for unit tests: answers what it is told to, and remembers what it was asked.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Uri},
    response::Response,
};
use jiff::Timestamp;
use tokio::net::TcpListener;
use url::form_urlencoded;

use super::way::{Bounds, HttpClient, Way};
use crate::clock::Clock;

/// Headers of an answer.
pub(in crate::key_manager) type Headers = &'static [(&'static str, &'static str)];

/// A request that came in.
#[derive(Clone, Debug)]
pub(in crate::key_manager) struct Seen {
    pub(in crate::key_manager) method: Method,
    pub(in crate::key_manager) path: String,
    pub(in crate::key_manager) headers: HeaderMap,
    pub(in crate::key_manager) body: String,
}

impl Seen {
    /// A header's text; empty where it is not there.
    pub(in crate::key_manager) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A member of the form.
    pub(in crate::key_manager) fn form(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.body.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// The server.
pub(in crate::key_manager) struct Server {
    /// Its URL, by address.
    pub(in crate::key_manager) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// One that gives `answer` to a request and the number of those before it.
    pub(in crate::key_manager) async fn new(answer: impl Fn(&Seen, usize) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, answer) = (Arc::new(Mutex::new(vec![])), Arc::new(answer));
        let all = Arc::clone(&seen);
        let serve = async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let request = Seen {
                method,
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
    pub(in crate::key_manager) async fn always(status: u16, headers: Headers, body: &str) -> Self {
        let body = body.to_owned();
        Self::new(move |_, _| answer(status, headers, &body)).await
    }

    /// What came in so far.
    pub(in crate::key_manager) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// An answer.
pub(in crate::key_manager) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(Body::from(body.to_owned())).unwrap()
}

/// An answer in JSON.
pub(in crate::key_manager) fn json(status: u16, body: &serde_json::Value) -> Response {
    answer(status, &[("content-type", "application/json")], &body.to_string())
}

/// The time of tests: the clock of a [`Server`] is the machine's, far from it.
pub(in crate::key_manager) fn now() -> Timestamp {
    "2001-02-03T04:05:06Z".parse().unwrap()
}

/// Bounds of tests: no proxy, whatever the machine has.
pub(in crate::key_manager) fn bounds() -> Bounds {
    Bounds {
        proxy: false,
        ..Bounds::default()
    }
}

/// A platform team's client that may call a [`Server`].
pub(in crate::key_manager) fn client() -> HttpClient {
    let way = Way {
        local_allowed: true,
        ..Way::default()
    };
    HttpClient::within(&way, Clock::new(now), bounds()).unwrap()
}

/// An address at which nobody listens.
pub(in crate::key_manager) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
