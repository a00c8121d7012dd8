//! Logs: JSON or text, with other crates' levels capped in code so that no filter makes them print bodies or headers. Traces: by
//! OTLP, where the usual variables ask for them.

mod otlp;

pub use otlp::Traces;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry,
    filter::{FilterExt as _, FilterFn, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt as _,
    reload,
};

use crate::spans;

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The most that other crates may say. `kube_client` logs whole bodies of answers that it cannot read at WARN.
const CAPS: [(&str, LevelFilter); 5] = [
    ("appkeys", LevelFilter::TRACE),
    ("kube_client", LevelFilter::ERROR),
    ("kube_runtime", LevelFilter::WARN),
    ("rustls", LevelFilter::WARN),
    ("", LevelFilter::INFO),
];

/// What is logged; it can be changed while the process runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter {
    /// Logs what `filter` lets through from now on; the caps of other crates stay.
    ///
    /// # Errors
    /// The filter cannot be read; the one before goes on.
    pub fn set(&self, filter: &str) -> anyhow::Result<()> {
        let filter = EnvFilter::builder().parse(filter)?;
        Ok(self.0.reload(filter)?)
    }
}

impl std::fmt::Display for LogFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let filter = self.0.with_current(ToString::to_string);
        f.write_str(&filter.unwrap_or_default())
    }
}

/// A subscriber that writes to `writer` what `filter` and the caps both let through, and gives spans to `traces`; and what changes
/// the filter. What is traced does not depend on what is logged.
///
/// # Errors
/// The filter cannot be read.
pub fn subscriber<W>(
    filter: &str,
    format: LogFormat,
    writer: W,
    traces: Option<&Traces>,
) -> anyhow::Result<(Box<dyn tracing::Subscriber + Send + Sync>, LogFilter)>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(EnvFilter::builder().parse(filter)?);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let filter = filter.and(caps());
    let logs = match format {
        LogFormat::Text => layer.with_filter(filter).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_filter(filter).boxed(),
    };
    let layers: Vec<_> = [logs].into_iter().chain(traces.map(Traces::layer)).collect();
    let subscriber = tracing_subscriber::registry().with(layers);
    Ok((Box::new(subscriber), LogFilter(handle)))
}

fn caps() -> FilterFn {
    filter_fn(|metadata| {
        let target = metadata.target();
        let of = |name: &str| {
            target
                .strip_prefix(name)
                .is_some_and(|rest| name.is_empty() || rest.is_empty() || rest.starts_with("::"))
        };
        // The spans of a pass are for traces: a line of the log says itself what it is about.
        let traced = metadata.is_span() && target == spans::TARGET;
        !traced
            && CAPS
                .iter()
                .find(|(name, _)| of(name))
                .is_some_and(|(_, cap)| *metadata.level() <= *cap)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_filter_can_be_changed_and_other_crates_stay_capped_at_trace() {
        let written = Written::default();
        let writer = written.clone();
        let (subscriber, filter) = subscriber("warn", LogFormat::Json, move || writer.clone(), None).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "appkeys::controller", "too much");
            filter.set("trace").unwrap();
            assert!(filter.set("appkeys=loud").is_err());
            assert_eq!(filter.to_string(), "trace");
            tracing::warn!(target: "kube_client::client", "BODY");
            tracing::debug!(target: "hyper::proto", "BODY");
            tracing::debug!(target: "rustls::conn", "BODY");
            tracing::trace!(target: "appkeys::controller", "step");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(
            text.contains("step") && !text.contains("BODY") && !text.contains("too much"),
            "{text}"
        );
    }
}
