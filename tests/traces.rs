//! Traces: what a collector gets of a pass over an object, from the event that asked for it to the calls that it makes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use testbed::{key_managers::okta::Okta, operator::Ports};

use crate::{
    key_managers::beds::Bed,
    support::{Cluster, collector::Span, key, team},
};

/// All that a span ever says, beside its name.
const ATTRIBUTES: [&str; 16] = [
    "appkeys.api.resource",
    "appkeys.api.verb",
    "appkeys.cause",
    "appkeys.key_manager",
    "appkeys.kind",
    "appkeys.name",
    "appkeys.outcome",
    "appkeys.purpose",
    "appkeys.step",
    "appkeys.verb",
    "error.type",
    "http.request.method",
    "http.response.status_code",
    "k8s.namespace.name",
    "server.address",
    "server.port",
];

/// The spans of one trace.
struct Trace(Vec<Span>);

impl Trace {
    /// The first pass over a key in which this step was taken.
    fn of(spans: &[Span], key: &str, step: &str) -> Option<Self> {
        let mut traces = BTreeMap::<_, Vec<Span>>::new();
        for span in spans {
            traces.entry(&span.trace).or_default().push(span.clone());
        }
        let mut traces: Vec<_> = traces.into_values().map(Self).collect();
        traces.retain(|trace| trace.0.iter().any(|span| span.get("appkeys.step") == step));
        traces.retain(|trace| trace.0.iter().any(|span| span.get("appkeys.name") == key));
        traces.into_iter().min_by_key(|trace| trace.root().start)
    }

    fn root(&self) -> &Span {
        let mut roots = self.0.iter().filter(|span| span.parent.is_empty());
        let root = roots.next().unwrap();
        assert!(roots.next().is_none(), "one root");
        root
    }

    fn below(&self, parent: &Span, name: &str) -> &Span {
        let mut below = self.0.iter().filter(|span| span.parent == parent.id);
        let names: Vec<_> = below.clone().map(|span| span.name.as_str()).collect();
        below
            .find(|span| span.name == name)
            .unwrap_or_else(|| panic!("below {} are {names:?}, not {name}", parent.name))
    }

    fn find(&self, path: &[&str]) -> &Span {
        path.iter().fold(self.root(), |parent, name| self.below(parent, name))
    }
}

/// Waits until the pass over a key that took a step is there.
async fn pass(cluster: &Cluster, key: &str, step: &str) -> Trace {
    let spans = || cluster.traces().spans();
    cluster
        .until("the trace", async || {
            // The root comes last.
            let ids: BTreeSet<_> = spans().iter().map(|span| span.id.clone()).collect();
            let whole = spans()
                .iter()
                .all(|span| span.parent.is_empty() || ids.contains(&span.parent));
            whole && Trace::of(&spans(), key, step).is_some()
        })
        .await;
    Trace::of(&spans(), key, step).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_goes_from_the_watch_event_to_the_key_managers_call_and_the_write() {
    let okta = Okta::start().await.unwrap();
    let cluster = Cluster::start_traced(&["--allow-local-key-managers", "--log=error,appkeys=info"]).await;
    team(&cluster, "team").await;
    let mut bed = Bed::okta(&okta);
    bed.spec["limits"] = json!({"requestsPerSecond": 1, "burst": 1});
    bed.install(&cluster);
    let spec = json!({"keyManagerRef": {"name": "okta"}, "accessTokens": [{"name": "t"}]});
    cluster.apply(&key("team", "traced", &spec));
    cluster.ready("team", "traced").await;
    let trace = pass(&cluster, "traced", "Publish").await;

    let root = trace.root();
    assert_eq!(root.name, "reconcile ApplicationKey");
    for (name, value) in [
        ("appkeys.kind", "ApplicationKey"),
        ("k8s.namespace.name", "team"),
        ("appkeys.name", "traced"),
        ("appkeys.cause", "change"),
        ("appkeys.outcome", "Done"),
    ] {
        assert_eq!(root.get(name), value, "{name}");
    }
    let queue = trace.find(&["queue"]);
    assert!(queue.start - root.start < 1_000_000, "it waits from the event on");

    let register = trace.find(&["Register", "register"]);
    assert_eq!(register.get("appkeys.verb"), "register");
    assert_eq!(register.get("appkeys.key_manager"), "okta");
    assert_eq!(register.get("appkeys.outcome"), "Ok");
    let post = trace.below(register, "POST");
    assert!(post.client && !post.failed);
    for (name, value) in [
        ("http.request.method", "POST"),
        ("server.address", "127.0.0.1"),
        ("http.response.status_code", "200"),
        ("appkeys.key_manager", "okta"),
    ] {
        assert_eq!(post.get(name), value, "{name}");
    }
    assert!(!post.get("appkeys.purpose").is_empty());
    // One call at a time, and one a second.
    let waited = trace.0.iter().any(|span| span.name == "wait for the call budget");
    let spans = trace.0.iter().map(|span| (&span.name, span.end - span.start));
    assert!(waited, "{:#?}", spans.collect::<Vec<_>>());

    let write = trace.find(&["Publish", "create secrets"]);
    assert!(write.client);
    assert_eq!(write.get("http.response.status_code"), "201");
    let status = trace.find(&["WriteStatus", "update applicationkeys/status"]);
    assert_eq!(status.get("http.response.status_code"), "200");

    for span in &trace.0 {
        assert!(span.start <= span.end, "{}", span.name);
        let parent = trace.0.iter().find(|parent| parent.id == span.parent);
        let within = parent.is_none_or(|parent| parent.start <= span.start && span.end <= parent.end);
        assert!(within, "{} is within what it is below", span.name);
    }
    let id = HEXLOWER.encode(&root.trace);
    let log = cluster.operator_output();
    let line = log.lines().find(|line| line.contains(&id));
    assert!(line.is_some_and(|line| line.contains("\"pass\"")), "{log}");

    let spans = cluster.traces().spans();
    let roots = spans.iter().filter(|span| span.parent.is_empty());
    let other = roots.clone().find(|root| !root.name.starts_with("reconcile "));
    assert!(other.is_none(), "watches and the Lease make no traces: {other:?}");
    let kinds: BTreeSet<_> = roots.map(|root| root.get("appkeys.kind")).collect();
    assert_eq!(kinds, BTreeSet::from(["Application", "ApplicationKey", "KeyManager"]));
    let said: BTreeSet<_> = spans.iter().flat_map(|span| span.attributes.keys()).collect();
    let unknown: Vec<_> = said
        .iter()
        .filter(|name| !ATTRIBUTES.contains(&name.as_str()))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert_eq!(cluster.traces().resource()["service.name"], "appkeys");
}

#[tokio::test]
async fn a_trace_tells_what_failed_and_that_it_is_tried_again() {
    let cluster = Cluster::start_traced(&["--allow-local-key-managers"]).await;
    team(&cluster, "team").await;
    let issuer = format!("http://127.0.0.1:{}/planted-path", Ports::free().unwrap().admin);
    cluster.apply(&json!({
        "apiVersion": "appkeys.dev/v1alpha1", "kind": "KeyManager", "metadata": {"name": "away", "namespace": "team"},
        "spec": {"oidc": {"issuer": issuer}},
    }));
    let retried = |span: &Span| span.parent.is_empty() && span.get("appkeys.cause") == "retry";
    cluster
        .until("a pass that is tried again", async || {
            cluster.traces().spans().iter().any(retried)
        })
        .await;
    let spans = cluster.traces().spans();
    let root = spans.iter().find(|span| retried(span)).unwrap();
    assert_eq!(root.get("appkeys.outcome"), "Failed");
    assert!(root.failed);
    let open = spans
        .iter()
        .find(|span| span.parent == root.id && span.name == "Open")
        .unwrap();
    assert_eq!(open.get("error.type"), "Unreachable");
    let http = spans.iter().find(|span| span.parent == open.id && span.client).unwrap();
    assert!(http.failed);
    assert_eq!(http.get("error.type"), "Unreachable");
    assert_eq!(http.get("appkeys.key_manager"), "team/away");
    let text = cluster.traces().settled().await;
    assert!(!text.contains("planted"), "no path");
}

#[tokio::test]
async fn a_collector_that_is_dead_costs_nothing() {
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = attempts.clone();
    std::thread::spawn(move || {
        let mut open = vec![];
        while let Ok((stream, _)) = silent.accept() {
            open.push(stream);
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let mut cluster = Cluster::install_with(Ports::free().unwrap()).await;
    cluster.environment = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "64".to_owned()),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16".to_owned()),
    ];
    cluster.run();
    cluster.quickstart();
    team(&cluster, "team").await;
    let names: Vec<_> = (0..30).map(|n| format!("k-{n}")).collect();
    let keys: Vec<Value> = names.iter().map(|name| key("team", name, &json!({}))).collect();
    cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": keys}));
    for name in &names {
        cluster.ready("team", name).await;
    }
    let told = || cluster.operator_output().matches("traces are not delivered").count();
    cluster.until("the log to tell of it", async || told() > 0).await;
    let more = async || attempts.load(Ordering::SeqCst) >= 3;
    cluster.until("more attempts, none of which is answered", more).await;
    assert_eq!(told(), 1, "once, and not for each attempt");
    let scrape = cluster.scrape().await;
    assert!(scrape.sum("appkeys_reconciles_total", &[("outcome", "Done")]) >= 30);
    let start = Instant::now();
    cluster.terminate();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_cannot_be_spoken_is_refused_at_the_start() {
    let mut cluster = Cluster::install_with(Ports::free().unwrap()).await;
    cluster.environment = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317".to_owned()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc".to_owned()),
    ];
    cluster.run();
    cluster
        .until("the operator to say so", async || {
            let log = cluster.operator_output();
            log.contains("OTEL_EXPORTER_OTLP_PROTOCOL is grpc")
        })
        .await;
}
