//! Counts what is sent to the API server, and gives it spans: a layer at the bottom of every Kubernetes client, so that no request
//! is missed and none is counted that the write guard held back.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures::{FutureExt as _, future::BoxFuture};
use http::{Method, Request, Response, Uri};
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::{metrics::Metrics, spans};

/// Counts the requests of a client.
#[derive(Clone, Debug)]
pub struct CountRequests(pub Arc<Metrics>);

/// A service whose requests are counted.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S> Layer<S> for CountRequests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted {
            inner,
            metrics: self.0.clone(),
        }
    }
}

impl<S, A, B> Service<Request<A>> for Counted<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let (verb, resource) = labels(request.method(), request.uri());
        self.metrics.api_request(verb, resource);
        // The client's own task calls this, in the span of whoever sent the request.
        let span = spans::api_request(verb, resource, request.method());
        let answer = self.inner.call(request).instrument(span.clone());
        let told = answer.inspect(move |answer| {
            spans::answered(&span, answer.as_ref().ok().map(Response::status));
        });
        told.boxed()
    }
}

/// The resources that have a name in the metrics, and the same with their status.
const RESOURCES: [(&str, &str); 9] = [
    ("applicationkeys", "applicationkeys/status"),
    ("applications", "applications/status"),
    ("clusterkeymanagers", "clusterkeymanagers/status"),
    ("keymanagers", "keymanagers/status"),
    ("secrets", OTHER),
    ("namespaces", OTHER),
    ("events", OTHER),
    ("leases", OTHER),
    ("customresourcedefinitions", OTHER),
];
const OTHER: &str = "other";

/// Verb and resource of a request, as Kubernetes' own metrics call them.
fn labels(method: &Method, uri: &Uri) -> (&'static str, &'static str) {
    let mut path = uri.path().split('/').filter(|part| !part.is_empty()).peekable();
    match path.next() {
        Some("api") => drop(path.next()),
        _ => drop((path.next(), path.next())),
    }
    let mut plural = path.next().unwrap_or_default();
    let mut name = path.next();
    // `namespaces/NAME` is a namespace itself, with more after it the place of a resource.
    if plural == "namespaces" && path.peek().is_some() {
        plural = path.next().unwrap_or_default();
        name = path.next();
    }
    let resource = RESOURCES
        .iter()
        .find(|(other, _)| *other == plural)
        .map_or(OTHER, |(plain, status)| match path.next() {
            None => plain,
            Some("status") => status,
            Some(_) => OTHER,
        });
    let watches = || {
        let query = uri.query().unwrap_or_default();
        query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"))
    };
    let verb = match *method {
        Method::GET if name.is_some() => "get",
        Method::GET if watches() => "watch",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => OTHER,
    };
    (verb, resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verb_and_resource_come_from_method_and_path() {
        let of = |method: &str, path: &str| labels(&method.parse().unwrap(), &path.parse().unwrap());
        let keys = "/apis/appkeys.dev/v1alpha1/namespaces/ns/applicationkeys";
        assert_eq!(of("POST", keys), ("create", "applicationkeys"));
        assert_eq!(of("GET", &format!("{keys}/k")), ("get", "applicationkeys"));
        assert_eq!(
            of("PUT", &format!("{keys}/k/status?fieldManager=appkeys")),
            ("update", "applicationkeys/status")
        );
        assert_eq!(of("PATCH", &format!("{keys}/k?")), ("patch", "applicationkeys"));
        let all = "/api/v1/secrets?labelSelector=a";
        assert_eq!(of("GET", all), ("list", "secrets"));
        assert_eq!(of("GET", &format!("{all}&watch=true")), ("watch", "secrets"));
        assert_eq!(of("GET", "/api/v1/namespaces/kube-system"), ("get", "namespaces"));
        assert_eq!(of("DELETE", "/api/v1/namespaces/a/secrets/b"), ("delete", "secrets"));
        let crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/applications.appkeys.dev";
        assert_eq!(of("GET", crd), ("get", "customresourcedefinitions"));
        assert_eq!(of("GET", "/version"), ("list", "other"));
        assert_eq!(of("POST", "/api/v1/namespaces/a/pods/b/eviction"), ("create", "other"));
    }
}
