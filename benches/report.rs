//! The figures of a run beside what they should be: a table for people, JSON for programs.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use anyhow::Context as _;
use serde_json::json;
use testbed::counts::Sent;

use crate::{
    cluster::{During, Start},
    keycloak::Figures,
    keys::Bare,
    tokens::Loads,
};

const MIB: f64 = 1024.0 * 1024.0;
/// Bytes in a megabyte, as sizes of files are given.
const MB: f64 = 1e6;

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
enum Target {
    AtMost(f64),
    AtLeast(f64),
}

#[derive(Debug)]
struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    target: Option<Target>,
}

/// All figures of a run.
#[derive(Debug)]
pub(crate) struct Report {
    keys: u32,
    rows: Vec<Row>,
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn number(count: u64) -> f64 {
    count as f64
}

impl Report {
    /// A report on `keys` keys.
    pub(crate) fn new(keys: u32) -> Self {
        Self { keys, rows: vec![] }
    }

    fn row(&mut self, what: impl Into<String>, value: f64, unit: &'static str, target: Option<Target>) {
        let what = what.into();
        self.rows.push(Row {
            what,
            value,
            unit,
            target,
        });
    }

    /// The size of the release binary in bytes.
    pub(crate) fn size(&mut self, bytes: u64) {
        self.row("release binary", number(bytes) / MB, "MB", Some(Target::AtMost(20.0)));
    }

    /// The first start.
    #[expect(clippy::needless_pass_by_value, reason = "it is told once")]
    pub(crate) fn start(&mut self, start: Start) {
        let most = Some(Target::AtMost(1000.0));
        self.row("start to ready", milliseconds(start.ready), "ms", most);
    }

    /// Resident memory without keys, in bytes.
    pub(crate) fn idle_memory(&mut self, bytes: u64) {
        let most = Some(Target::AtMost(20.0));
        self.row("memory without keys", number(bytes) / MIB, "MiB", most);
    }

    /// The bare writes.
    pub(crate) fn bare(&mut self, bare: &Bare) {
        let keys = f64::from(self.keys);
        self.row("bare writes: keys a second", keys / bare.wall.as_secs_f64(), "/s", None);
        let each = |time: Duration| milliseconds(time) / keys;
        self.row("bare writes: API server CPU a key", each(bare.api_server), "ms", None);
        self.row("bare writes: etcd CPU a key", each(bare.etcd), "ms", None);
    }

    /// The operator's keys, and its memory with them in bytes.
    pub(crate) fn made(&mut self, (made, memory): &(During, u64), bare: &Bare) {
        let keys = f64::from(self.keys);
        let ratio = made.wall.as_secs_f64() / bare.wall.as_secs_f64();
        self.row("operator: keys a second", keys / made.wall.as_secs_f64(), "/s", None);
        self.row(
            "operator: time over bare writes",
            ratio,
            "x",
            Some(Target::AtMost(1.25)),
        );
        let each = |time: Duration| milliseconds(time) / keys;
        let most = Some(Target::AtMost(7.5));
        self.row("operator: API server CPU a key", each(made.api_server), "ms", most);
        self.row("operator: etcd CPU a key", each(made.etcd), "ms", None);
        let most = Some(Target::AtMost(1.0));
        self.row("operator: its own CPU a key", each(made.operator), "ms", most);
        let total = |counts: &BTreeMap<String, u64>| number(counts.values().sum()) / keys;
        let (writes, calls) = (Target::AtMost(4.0), Target::AtMost(2.0));
        self.row("API writes a key", total(&made.sent.writes), "", Some(writes));
        self.row("API reads a key", number(made.sent.gets()) / keys, "", None);
        self.row("key-manager calls a key", total(&made.sent.calls), "", Some(calls));
        for (kind, count) in kinds(&made.sent) {
            self.row(format!("  {kind}"), number(count) / keys, "", None);
        }
        let most = if self.keys > 10_000 { 160.0 } else { 64.0 };
        let what = format!("memory with {} keys", self.keys);
        self.row(what, number(*memory) / MIB, "MiB", Some(Target::AtMost(most)));
    }

    /// A time in which nothing happened.
    pub(crate) fn rest(&mut self, time: Duration, rest: &During) {
        let none = Some(Target::AtMost(0.0));
        let writes = rest.sent.writes.values().sum();
        let calls = rest.sent.calls.values().sum();
        let what = |what: &str| format!("{} s of rest: {what}", time.as_secs());
        self.row(what("API writes but the lease"), number(writes), "", none);
        self.row(what("reads of objects"), number(rest.sent.gets()), "", none);
        self.row(what("key-manager calls"), number(calls), "", none);
        self.row(what("operator CPU"), milliseconds(rest.operator), "ms", None);
        self.row(what("API server CPU"), milliseconds(rest.api_server), "ms", None);
    }

    /// Signatures in a second of one core.
    pub(crate) fn signing(&mut self, raw: f64) {
        self.row("raw ES256 signatures a second and core", raw, "/s", None);
    }

    /// The token endpoint, beside `raw` signatures in a second of one core.
    pub(crate) fn tokens(&mut self, raw: f64, loads: &Loads) {
        let half = Some(Target::AtLeast(raw / 2.0));
        self.row("tokens a second", loads.full.rate, "/s", None);
        self.row(
            "tokens a second of the operator's CPU",
            loads.full.per_core_second,
            "/s",
            half,
        );
        for (name, load, most) in [
            ("full", loads.full, None),
            ("half", loads.half, Some(Target::AtMost(5.0))),
        ] {
            self.row(format!("{name} load: p50"), milliseconds(load.p50), "ms", None);
            self.row(format!("{name} load: p99"), milliseconds(load.p99), "ms", most);
        }
    }

    /// A restart with all keys there, and its memory after it in bytes.
    pub(crate) fn restart(&mut self, start: &Start, memory: u64) {
        let most = if self.keys > 1000 { 5000.0 } else { 1000.0 };
        self.row("restart: ready", milliseconds(start.ready), "ms", None);
        self.row(
            "restart: everything evaluated",
            milliseconds(start.evaluated),
            "ms",
            Some(Target::AtMost(most)),
        );
        let none = Some(Target::AtMost(0.0));
        let writes = start.sent.writes.values().sum();
        self.row("restart: API writes but the lease", number(writes), "", none);
        let calls = start.sent.calls.values().sum();
        self.row(
            "restart: key-manager calls",
            number(calls),
            "",
            Some(Target::AtMost(3.0)),
        );
        self.row("restart: reads of objects", number(start.sent.gets()), "", None);
        let memory = number(memory) / MIB;
        self.row("restart: memory", memory, "MiB", None);
    }

    /// Keys at a Keycloak.
    pub(crate) fn keycloak(&mut self, figures: &Figures) {
        let keys = f64::from(figures.keys);
        let (plain, operator) = (figures.plain.wall, figures.operator.wall);
        let rate = |wall: Duration| keys / wall.as_secs_f64();
        self.row("Keycloak: plain client, keys a second", rate(plain), "/s", None);
        self.row("Keycloak: operator, keys a second", rate(operator), "/s", None);
        let ratio = operator.as_secs_f64() / plain.as_secs_f64();
        self.row("Keycloak: time over the plain client", ratio, "x", None);
        let each = |time: Duration| milliseconds(time) / keys;
        let (server, operator) = (figures.server, figures.operator.operator);
        self.row(
            "Keycloak: its CPU a key of the plain client",
            each(figures.plain.server),
            "ms",
            None,
        );
        self.row("Keycloak: its CPU a key of the operator", each(server), "ms", None);
        self.row("Keycloak: the operator's CPU a key", each(operator), "ms", None);
        let calls = &figures.operator.sent.calls;
        let total = number(calls.values().sum()) / keys;
        self.row("Keycloak: calls a key", total, "", Some(Target::AtMost(2.0)));
        for (kind, count) in calls {
            self.row(format!("  call {kind}"), number(*count) / keys, "", None);
        }
    }

    /// Prints the table.
    #[expect(clippy::print_stdout, reason = "the table is what the run is for")]
    pub(crate) fn print(&self) {
        let mut text = format!("\n{} keys\n\n", self.keys);
        let width = self.rows.iter().map(|row| row.what.len()).max().unwrap_or_default();
        for row in &self.rows {
            let target = row.target.map(|target| match target {
                Target::AtMost(most) => format!("at most {}", figure(most)),
                Target::AtLeast(least) => format!("at least {}", figure(least)),
            });
            let verdict = row.met().map_or("", |met| if met { "ok" } else { "MISSED" });
            let (value, target) = (figure(row.value), target.unwrap_or_default());
            let _ = writeln!(
                text,
                "  {:<width$}  {value:>10} {:<4} {target:<18} {verdict}",
                row.what, row.unit
            );
        }
        println!("{text}");
    }

    /// Writes the JSON into the target folder.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let rows = self.rows.iter().map(|row| {
            let (most, least) = match row.target {
                Some(Target::AtMost(most)) => (Some(most), None),
                Some(Target::AtLeast(least)) => (None, Some(least)),
                None => (None, None),
            };
            json!({
                "what": row.what.trim(), "value": row.value, "unit": row.unit,
                "atMost": most, "atLeast": least, "met": row.met(),
            })
        });
        let all = json!({"keys": self.keys, "figures": rows.collect::<Vec<_>>()});
        let folder = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let file = std::path::Path::new(&folder).join("bench.json");
        std::fs::write(&file, format!("{all:#}\n")).with_context(|| format!("write {}", file.display()))
    }
}

impl Row {
    fn met(&self) -> Option<bool> {
        // Counts are whole numbers of objects, spread over keys: the Application's own writes are no key's.
        let slack = if self.unit.is_empty() { 0.01 } else { 0.0 };
        self.target.map(|target| match target {
            Target::AtMost(most) => self.value <= most + slack,
            Target::AtLeast(least) => self.value >= least,
        })
    }
}

/// Requests and calls by kind.
fn kinds(sent: &Sent) -> BTreeMap<String, u64> {
    let mut all = sent.writes.clone();
    all.extend(sent.reads.clone());
    let calls = sent.calls.iter();
    all.extend(calls.map(|(call, count)| (format!("call {call}"), *count)));
    all
}

/// A figure with three digits that matter.
fn figure(value: f64) -> String {
    match value {
        value if value.fract() == 0.0 || value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}
