//! One writer: a layer under the Kubernetes client that lets writes through only while this process leads.
//!
//! It sits below every call site, so none can forget it. Reads pass. A write of a new leader waits here until none of a
//! process before it can be under way: what it replaces was read before, so it names the version and may be refused.

use std::task::{Context, Poll};

use futures::future::{self, BoxFuture};
use http::{Method, Request, Response};
use tower::{BoxError, Layer, Service};

use crate::leader::{Deposed, Leadership};

/// Puts the guard under a client.
#[derive(Clone, Debug)]
pub struct WriteGuard(pub Leadership);

/// A guarded service.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    inner: S,
    leadership: Leadership,
}

impl<S> Layer<S> for WriteGuard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            inner,
            leadership: self.0.clone(),
        }
    }
}

impl<S, A, B> Service<Request<A>> for Guarded<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let writes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if !writes {
            let call = self.inner.call(request);
            return Box::pin(async { call.await.map_err(Into::into) });
        }
        if self.leadership.claim().is_none() {
            return Box::pin(future::ready(Err(Deposed.into())));
        }
        // Nothing is sent before the future is polled.
        let (call, leadership) = (self.inner.call(request), self.leadership.clone());
        Box::pin(async move {
            let settled = async {
                leadership.settled().await;
                call.await
            };
            leadership.bounded(settled).await?.map_err(Into::into)
        })
    }
}
