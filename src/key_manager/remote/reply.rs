//! An answer of a key manager: its status and headers, and a body that no log or error text shows.

use http::{HeaderMap, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretSlice};
use serde::{Deserialize, de::DeserializeOwned};

use crate::key_manager::{Category, Error};

/// The longest and the shortest time that a key manager can make us wait.
const WAIT: (SignedDuration, SignedDuration) = (SignedDuration::from_secs(1), SignedDuration::from_hours(1));
/// The longest word that is taken over from an answer, in characters.
const WORD: usize = 64;

/// An answer that is no redirect.
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers. They may hold credentials: never log them.
    pub headers: HeaderMap,
    /// When it came, by our clock.
    pub received_at: Timestamp,
    body: SecretSlice<u8>,
    /// The step and the host, for texts.
    place: String,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply")
            .field("place", &self.place)
            .field("status", &self.status.as_u16())
            .finish_non_exhaustive()
    }
}

/// The members of error bodies that name the error: `error` (RFC 6749 section 5.2), `errorCode` (Okta).
#[derive(Deserialize)]
struct Named {
    error: Option<serde_json::Value>,
    #[serde(rename = "errorCode")]
    code: Option<serde_json::Value>,
}

/// `text` where it is a word that is safe to show: ASCII letters, digits and `_.-`.
fn word(text: &str) -> Option<String> {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    (!text.is_empty() && text.len() <= WORD && text.chars().all(safe)).then(|| text.to_owned())
}

impl Reply {
    pub(super) fn new(place: String, status: StatusCode, headers: HeaderMap, body: Vec<u8>, at: Timestamp) -> Self {
        Self {
            status,
            headers,
            received_at: at,
            body: body.into(),
            place,
        }
    }

    /// The answer, where it is neither a server error nor "too many".
    ///
    /// # Errors
    /// [`Category::Throttled`] and [`Category::Unreachable`], with the time that was asked for.
    pub fn without_outage(self) -> Result<Self, Error> {
        // "Not implemented" is no outage: the same call gets the same answer for ever.
        let outage = self.status.is_server_error() && self.status != StatusCode::NOT_IMPLEMENTED;
        let throttled = self.status == StatusCode::TOO_MANY_REQUESTS;
        if !throttled && !outage {
            return Ok(self);
        }
        let category = if throttled {
            Category::Throttled
        } else {
            Category::Unreachable
        };
        let may_wait = throttled || self.status == StatusCode::SERVICE_UNAVAILABLE;
        let retry_at = self.retry_at().filter(|_| may_wait);
        let until = retry_at.map(|at| format!("no call before {}", at.strftime("%FT%TZ")));
        Err(Error {
            retry_at,
            ..self.error(category, &until.unwrap_or_default())
        })
    }

    /// The body, at most 1 MiB. It may hold credentials: never show it.
    pub fn body(&self) -> &[u8] {
        self.body.expose_secret()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// [`Category::Unreachable`] where it is not JSON or of another shape; the text shows nothing of it.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        // The error of the parser quotes the body.
        serde_json::from_slice(self.body()).map_err(|error| {
            let what = if error.is_data() {
                "with JSON of another shape".to_owned()
            } else {
                format!("with something that is not JSON (content type {})", self.content_type())
            };
            let text = format!("{} answered {what}: is the URL right?", self.place);
            Error::new(Category::Unreachable, text)
        })
    }

    /// The body as JSON, where it is of this shape.
    pub fn try_json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.body()).ok()
    }

    /// The `error` (RFC 6749 section 5.2) of the body, where it is a short ASCII word.
    pub fn error_word(&self) -> Option<String> {
        let Named { error, code } = self.try_json()?;
        [error, code].iter().flatten().find_map(|value| word(value.as_str()?))
    }

    /// A member of the body, where it is a short ASCII word.
    pub fn word(&self, member: &str) -> Option<String> {
        let body = self.try_json::<serde_json::Value>()?;
        word(body[member].as_str()?)
    }

    /// An error of this kind that says what was answered, and then `hint` (may be empty).
    pub fn error(&self, category: Category, hint: &str) -> Error {
        let word = self.error_word().map(|word| format!(" ({word})")).unwrap_or_default();
        let colon = if hint.is_empty() { "" } else { ": " };
        let text = format!("{} answered {}{word}{colon}{hint}", self.place, self.status.as_u16());
        Error::new(category, text)
    }

    /// When the key manager wants to be called again: `Retry-After` (RFC 9110 section 10.2.3), else `X-Rate-Limit-Reset`
    /// (seconds since the epoch). Times are relative to the answer's own `Date`, because the two clocks may differ.
    pub fn retry_at(&self) -> Option<Timestamp> {
        let there = self.date().unwrap_or(self.received_at);
        let wait = self
            .header(&header::RETRY_AFTER)
            .and_then(|text| match text.parse::<u32>() {
                Ok(seconds) => Some(SignedDuration::from_secs(seconds.into())),
                Err(_) => Some(parse_date(text)?.duration_since(there)),
            })
            .or_else(|| {
                let reset = self.headers.get("x-rate-limit-reset")?.to_str().ok()?;
                let reset = Timestamp::from_second(reset.trim().parse().ok()?).ok()?;
                Some(reset.duration_since(there))
            })?;
        self.received_at.checked_add(wait.clamp(WAIT.0, WAIT.1)).ok()
    }

    /// The time by the key manager's clock when it answered.
    pub fn date(&self) -> Option<Timestamp> {
        parse_date(self.header(&header::DATE)?)
    }

    fn header(&self, name: &header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    fn content_type(&self) -> String {
        let safe = |c: char| c.is_ascii_alphanumeric() || "/+.-".contains(c);
        let text = self.header(&header::CONTENT_TYPE).unwrap_or("not given");
        let kind = text.split(';').next().unwrap_or_default().trim();
        let kind: String = kind.chars().filter(|c| safe(*c) || *c == ' ').take(WORD).collect();
        kind
    }
}

/// A date of RFC 9110 section 5.6.7.
fn parse_date(text: &str) -> Option<Timestamp> {
    Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_manager::remote::testing::now;

    type Headers<'a> = &'a [(&'static str, &'a str)];

    fn reply(headers: Headers<'_>, body: &str) -> Reply {
        let headers = headers
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()));
        let place = "step: host".to_owned();
        Reply::new(place, StatusCode::BAD_REQUEST, headers.collect(), body.into(), now())
    }

    #[test]
    fn the_wait_is_told_in_seconds_or_by_a_date_on_the_server_s_own_clock_and_has_bounds() {
        // Ours says 04:05:06, theirs an hour less.
        let date = ("date", "Sat, 03 Feb 2001 03:05:06 GMT");
        let reset = |seconds: i64| (now().as_second() - 3600 + seconds).to_string();
        let (soon, late) = (reset(30), reset(100_000));
        let cases: &[(Headers<'_>, Option<i64>)] = &[
            (&[], None),
            (&[date], None),
            (&[("retry-after", "120")], Some(120)),
            (&[("retry-after", "0"), date], Some(1)),
            (&[("retry-after", "7200")], Some(3600)),
            (&[("retry-after", "99999999999999")], None),
            (&[("retry-after", "-5")], None),
            (&[("retry-after", "Sat, 03 Feb 2001 03:06:06 GMT"), date], Some(60)),
            (&[("retry-after", "Sat, 03 Feb 2001 04:06:06 GMT")], Some(60)),
            (&[("retry-after", "Sat, 03 Feb 1990 04:06:06 GMT"), date], Some(1)),
            (&[("x-rate-limit-reset", &soon), date], Some(30)),
            (&[("x-rate-limit-reset", &late), date], Some(3600)),
            (&[("x-rate-limit-reset", &soon), ("retry-after", "5"), date], Some(5)),
            (
                &[("x-rate-limit-reset", &soon), ("retry-after", "soon"), date],
                Some(30),
            ),
        ];
        for (headers, wait) in cases {
            let at = reply(headers, "").retry_at();
            assert_eq!(at.map(|at| at.duration_since(now()).as_secs()), *wait, "{headers:?}");
        }
    }

    #[test]
    fn an_error_s_word_is_shown_only_if_it_is_one() {
        let long = format!(r#"{{"error": "{}"}}"#, "a".repeat(WORD + 1));
        let cases = [
            (
                r#"{"error": "invalid_scope", "error_description": "secret"}"#,
                Some("invalid_scope"),
            ),
            (r#"{"errorCode": "E0000001"}"#, Some("E0000001")),
            (r#"{"error": {"code": 5}, "errorCode": "E1"}"#, Some("E1")),
            (r#"{"error": "HTTP 403 Forbidden"}"#, None),
            (r#"{"error": "<b>"}"#, None),
            (r#"{"error": ""}"#, None),
            (r#"{"error": 5}"#, None),
            ("[]", None),
            ("<html>", None),
            (&long, None),
        ];
        for (body, word) in cases {
            assert_eq!(reply(&[], body).error_word().as_deref(), word, "{body}");
        }
    }

    #[test]
    fn no_text_and_no_debug_form_shows_what_is_in_a_body_or_a_header() {
        let html = [("content-type", "text/html; charset=utf-8"), ("x-token", "s3cret")];
        let broken = reply(&html, "<p>s3cret");
        let error = broken.json::<Vec<String>>().unwrap_err();
        assert_eq!(error.category, Category::Unreachable);
        assert!(error.message.contains("not JSON (content type text/html)"), "{error}");
        let shape = reply(&html, r#"{"error": "invalid_client", "error_description": "s3cret"}"#);
        let texts = [
            error.message,
            shape.json::<Vec<String>>().unwrap_err().message,
            reply(&[], r#""s3cret""#).json::<u8>().unwrap_err().message,
            shape.error(Category::InvalidRequest, "hint").message,
            format!("{broken:?} {shape:?}"),
        ];
        for text in &texts {
            assert!(text.starts_with("step: host") || text.starts_with("Reply"), "{text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
        assert_eq!(texts[3], "step: host answered 400 (invalid_client): hint");
    }
}
