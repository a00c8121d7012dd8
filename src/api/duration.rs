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

/// What the schema admits; at most 32 characters keep the CEL cost of rules over it bounded.
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

impl std::str::FromStr for Duration {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
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
        for text in ["", "soon", "10", "5 parsecs"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }
}
