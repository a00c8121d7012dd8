//! An API server in memory, as a tower service under `kube::Client`, for deterministic simulation.
//!
//! It keeps JSON objects and does with them what a client can observe of the real one: optimistic concurrency, generation
//! and status subresource, finalizers, watches, metadata-only requests. It outlives the processes that talk to it.
//! `faults` decides what happens to each request on its way.

mod faults;
mod request;
mod store;

pub use faults::{Fault, Faults, NoFaults};
pub use request::{RequestInfo, Verb};
pub use store::{Id, Store};

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{StreamExt as _, future::BoxFuture, stream};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::{BoxError, Service};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;
/// Looks at the objects after each write.
type Inspect = dyn FnMut(&Store) + Send;

/// The server. Cheap to clone; all clones are one server.
#[derive(Clone)]
pub struct MemoryApi(Arc<Shared>);

struct Shared {
    store: Mutex<Store>,
    versions: watch::Sender<u64>,
    epoch: watch::Sender<u64>,
    inspect: Mutex<Option<Box<Inspect>>>,
}

impl std::fmt::Debug for MemoryApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryApi")
    }
}

/// A wall clock: RFC 3339 in whole seconds.
pub type Now = Arc<dyn Fn() -> String + Send + Sync>;

impl MemoryApi {
    /// An empty server whose timestamps come from `now`.
    pub fn new(now: Now) -> Self {
        let shared = Shared {
            store: Mutex::new(Store::new(now)),
            versions: watch::Sender::new(0),
            epoch: watch::Sender::new(0),
            inspect: Mutex::new(None),
        };
        Self(Arc::new(shared))
    }

    /// A service for one process; `faults` decides over its requests.
    pub fn service(&self, faults: Arc<dyn Faults>) -> MemoryService {
        MemoryService {
            api: self.clone(),
            faults,
        }
    }

    /// The objects. Not subject to faults.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.0.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the objects as somebody else would, and lets watches see it.
    pub fn edit<T>(&self, edit: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.store();
        let result = edit(&mut store);
        self.after_write(&mut store);
        result
    }

    /// Looks at the objects after each write from now on.
    pub fn inspect(&self, inspect: impl FnMut(&Store) + Send + 'static) {
        *self.0.inspect.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(inspect));
    }

    /// Ends all watches, as a restart of the server does.
    pub fn drop_watches(&self) {
        self.0.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Ends all watches, and makes them begin anew with a list, as a compaction does.
    pub fn expire_watches(&self) {
        self.store().compact();
        self.drop_watches();
    }

    fn after_write(&self, store: &mut Store) {
        if let Some(inspect) = &mut *self.0.inspect.lock().unwrap_or_else(PoisonError::into_inner) {
            inspect(store);
        }
        self.0.versions.send_replace(store.version());
    }

    fn answer(&self, request: &RequestInfo, body: &[u8]) -> Answer {
        if request.verb == Verb::Watch {
            return self.watch(request);
        }
        let mut store = self.store();
        let result = store.apply(request, body);
        if request.verb.writes() {
            self.after_write(&mut store);
        }
        match result {
            Ok(value) => json_answer(
                if request.verb == Verb::Create { 201 } else { 200 },
                &request.shaped(value),
            ),
            Err(status) => json_answer(
                u16::try_from(status["code"].as_u64().unwrap_or(500)).unwrap_or(500),
                &status,
            ),
        }
    }

    fn watch(&self, request: &RequestInfo) -> Answer {
        if self.store().is_compacted(request.resource_version) {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "too old resource version", "reason": "Expired", "code": 410});
            return json_answer(200, &json!({"type": "ERROR", "object": status}));
        }
        let versions = self.0.versions.subscribe();
        let mut epoch = self.0.epoch.subscribe();
        epoch.mark_unchanged();
        let state = (self.clone(), request.clone(), request.resource_version, versions, epoch);
        let events = stream::unfold(state, |(api, request, mut seen, mut versions, mut epoch)| async move {
            loop {
                versions.mark_unchanged();
                let next = api.store().next_event(&request, seen);
                if let Some((version, event)) = next {
                    seen = version;
                    let Some(event) = event else { continue };
                    let mut line = serde_json::to_vec(&event).unwrap_or_default();
                    line.push(b'\n');
                    let frame = http_body::Frame::data(Bytes::from(line));
                    return Some((Ok::<_, Infallible>(frame), (api, request, seen, versions, epoch)));
                }
                tokio::select! {
                    changed = versions.changed() => changed.ok()?,
                    _ = epoch.changed() => return None,
                }
            }
        });
        Response::new(StreamBody::new(events.boxed()).boxed_unsync())
    }
}

fn json_answer(code: u16, value: &Value) -> Answer {
    let body = Full::new(Bytes::from(value.to_string())).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response
}

fn refusal(code: u16) -> Value {
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "injected fault", "reason": reason, "code": code})
}

/// One process's way to the server.
#[derive(Clone)]
pub struct MemoryService {
    api: MemoryApi,
    faults: Arc<dyn Faults>,
}

impl std::fmt::Debug for MemoryService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryService")
    }
}

impl Service<Request<Body>> for MemoryService {
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (api, faults) = (self.api.clone(), self.faults.clone());
        Box::pin(async move {
            let info = RequestInfo::read(&request)?;
            let body = request.into_body().collect().await?.to_bytes();
            match faults.decide(&info) {
                Fault::Pass => {
                    faults.arrives(&info);
                    Ok(api.answer(&info, &body))
                }
                Fault::Refuse(code) => Ok(json_answer(code, &refusal(code))),
                Fault::LoseRequest => Err("connection reset".into()),
                Fault::LoseAnswer => {
                    drop(api.answer(&info, &body));
                    Err("connection reset".into())
                }
                Fault::Late(delay) => {
                    // It arrives although nobody waits for it any more.
                    tokio::spawn(async move {
                        tokio::time::sleep(delay).await;
                        drop(api.answer(&info, &body));
                    });
                    Err("connection reset".into())
                }
                Fault::Delay(delay) => {
                    tokio::time::sleep(delay).await;
                    faults.arrives(&info);
                    Ok(api.answer(&info, &body))
                }
                Fault::Hang => std::future::pending().await,
                Fault::ApplyAndHang => {
                    drop(api.answer(&info, &body));
                    std::future::pending().await
                }
            }
        })
    }
}
