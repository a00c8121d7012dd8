//! What a process says of itself in its metrics: scraped, and compared between two moments.

use std::collections::BTreeMap;

use anyhow::Context as _;

/// The value of each series at one moment, or what it grew by between two. Counts only: fractions are cut off.
#[derive(Clone, Debug, Default)]
pub struct Scrape(Vec<Series>);

#[derive(Clone, Debug)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: u64,
}

impl Scrape {
    /// Scrapes `url`.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn of(url: &str) -> anyhow::Result<Self> {
        let answer = reqwest::get(url).await.with_context(|| format!("scrape {url}"))?;
        Ok(Self::parse(&answer.text().await.context("read metrics")?))
    }

    /// Reads metrics in the text format of Prometheus; what is no sample is left out.
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(series).collect())
    }

    /// What has grown since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let old: BTreeMap<_, _> = before.0.iter().map(|s| ((&s.name, &s.labels), s.value)).collect();
        let grown = self.0.iter().filter_map(|series| {
            let before = old.get(&(&series.name, &series.labels)).copied().unwrap_or_default();
            let value = series.value.saturating_sub(before);
            (value != 0).then(|| Series {
                value,
                ..series.clone()
            })
        });
        Self(grown.collect())
    }

    /// The sum over all series of this name with these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let good = |series: &&Series| {
            let has = |(label, value): &(&str, &str)| series.labels.get(*label).is_some_and(|other| other == value);
            series.name == name && labels.iter().all(has)
        };
        self.0.iter().filter(good).map(|series| series.value).sum()
    }

    /// Values of a counter by the words of these labels, as `create secrets`.
    pub fn by(&self, name: &str, labels: &[&str]) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for series in self.0.iter().filter(|series| series.name == name) {
            let words = labels.iter().filter_map(|label| series.labels.get(*label));
            let words: Vec<_> = words.map(String::as_str).collect();
            *all.entry(words.join(" ")).or_default() += series.value;
        }
        all
    }
}

/// A sample: `name{label="value",...} 1`. Label values with quotes in them are none of ours.
fn series(line: &str) -> Option<Series> {
    if line.starts_with('#') {
        return None;
    }
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.trim_end_matches('}').split("\",").filter_map(|pair| {
        let (label, value) = pair.split_once("=\"")?;
        Some((label.to_owned(), value.trim_end_matches('"').to_owned()))
    });
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "large counts may be written as 1e+06"
    )]
    let value = value.parse::<f64>().ok()? as u64;
    Some(Series {
        name: name.to_owned(),
        labels: labels.collect(),
        value,
    })
}

/// What an operator has sent, its Lease left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Writes to the API server by verb and resource.
    pub writes: BTreeMap<String, u64>,
    /// Reads at the API server by verb and resource.
    pub reads: BTreeMap<String, u64>,
    /// Calls to key managers by verb and outcome.
    pub calls: BTreeMap<String, u64>,
}

impl Sent {
    /// What an operator's metrics say.
    pub fn of(scrape: &Scrape) -> Self {
        let all = scrape.by("appkeys_api_requests_total", &["verb", "resource"]);
        let all = all.into_iter().filter(|(request, _)| !request.ends_with(" leases"));
        let reads = |request: &str| ["get ", "list ", "watch "].iter().any(|verb| request.starts_with(verb));
        let (reads, writes) = all.partition(|(request, _)| reads(request));
        Self {
            writes,
            reads,
            calls: scrape.by("appkeys_key_manager_calls_total", &["verb", "outcome"]),
        }
    }

    /// The reads of single objects.
    pub fn gets(&self) -> u64 {
        let gets = self.reads.iter().filter(|(request, _)| request.starts_with("get "));
        gets.map(|(_, count)| count).sum()
    }
}
