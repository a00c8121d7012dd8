//! Durations as Kubernetes writes them: `720h`, `15m`, `1h30m`.

use std::fmt;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration of whole or fractional hours, minutes and seconds, at least one second precise.
///
/// Text form: Go's (`time.ParseDuration`) with the units `h`, `m`, `s`, `ms`, as everywhere in Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub SignedDuration);

/// What the schema admits, and the parser reads all of it: an object that the API server takes and that cannot be read here
/// would stop everybody's. At most 32 characters keep the CEL cost of rules over it bounded.
const PATTERN: &str = r"^([0-9]+(\.[0-9]+)?(h|m|s|ms))+$";

impl Duration {
    /// A duration of `hours` hours.
    pub const fn from_hours(hours: i64) -> Self {
        Self(SignedDuration::from_hours(hours))
    }

    /// A duration of `seconds` seconds.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(SignedDuration::from_secs(seconds))
    }

    /// Its length in whole seconds.
    pub const fn as_secs(self) -> i64 {
        self.0.as_secs()
    }
}

impl From<Duration> for SignedDuration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.as_secs();
        let (hours, minutes, seconds) = (total / 3600, total / 60 % 60, total % 60);
        let millis = self.0.subsec_millis();
        if hours != 0 {
            write!(f, "{hours}h")?;
        }
        if minutes != 0 {
            write!(f, "{minutes}m")?;
        }
        if millis != 0 {
            write!(f, "{seconds}.{millis:03}s")?;
        } else if seconds != 0 || total == 0 {
            write!(f, "{seconds}s")?;
        }
        Ok(())
    }
}

/// A text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a duration is numbers with the units h, m, s or ms, like 1h30m, and at most 292 years")]
pub struct NotADuration;

impl std::str::FromStr for Duration {
    type Err = NotADuration;

    /// Reads what Go reads: units in any order and more than once, each with a fraction.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut total: i64 = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(|c: char| c.is_ascii_alphabetic()).ok_or(NotADuration)?;
            let (number, after) = rest.split_at(end);
            let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            let part = nanoseconds(number, unit).ok_or(NotADuration)?;
            total = total.checked_add(part).ok_or(NotADuration)?;
            rest = after;
        }
        if text.is_empty() {
            return Err(NotADuration);
        }
        Ok(Self(SignedDuration::from_nanos(total)))
    }
}

/// `number` of `unit` in nanoseconds, cut to whole ones; Go's durations are as many as fit 64 bits.
fn nanoseconds(number: &str, unit: &str) -> Option<i64> {
    let unit: i64 = match unit {
        "h" => 3_600_000_000_000,
        "m" => 60_000_000_000,
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        _ => return None,
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = whole.parse::<i64>().ok()?.checked_mul(unit)?;
    // Beyond fifteen digits there is less than a nanosecond.
    let fraction = &fraction[..fraction.len().min(15)];
    let parts = i128::from(unit) * fraction.parse::<i128>().ok()? / 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    whole.checked_add(i64::try_from(parts).ok()?)
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN, "maxLength": 32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_survives_a_round_trip() {
        for text in ["720h", "15m", "1h30m", "45s", "1.500s", "0s"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
        assert_eq!("90m".parse::<Duration>().unwrap().to_string(), "1h30m");
        assert_eq!("250ms".parse::<Duration>().unwrap().to_string(), "0.250s");
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "soon",
            "10",
            "5 parsecs",
            "1.h",
            ".5h",
            "1h-5m",
            "-1h",
            "1µs",
            "1hh",
        ] {
            assert_eq!(text.parse::<Duration>(), Err(NotADuration), "{text}");
        }
    }

    /// What the API server takes must be read, or one object stops the watch of all.
    #[test]
    fn whatever_go_reads_is_read() {
        for (text, seconds) in [
            ("1m1h", 3660),
            ("1h1h", 7200),
            ("1.5h30m", 7200),
            ("0.5m0.5m", 60),
            ("2562047h", 2_562_047 * 3600),
            ("1.50000000000000000000000000000h", 5400),
            ("00000000000000000000000000001h", 3600),
            ("1000ms", 1),
        ] {
            assert_eq!(text.parse(), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "2562048h",
            "9999999999h",
            "99999999999999999999999999999h",
            "2562047h2562047h",
        ] {
            assert_eq!(
                text.parse::<Duration>(),
                Err(NotADuration),
                "{text} is more than Go has"
            );
        }
    }
}
