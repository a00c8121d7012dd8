//! Client assertions (RFC 7521 section 4.2, RFC 7523 sections 2.2 and 3): signed with the client's private key, short-lived,
//! good once.

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{Jwk, KeyAlgorithm},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::record::{self, ClientRecord};

/// The value of `client_assertion_type` (RFC 7523 section 2.2).
pub const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// What assertions may be signed with (RFC 7518 section 3.1).
pub const ALGORITHMS: [&str; 2] = ["ES256", "RS256"];
/// How far ahead the end of an assertion may be: so long its `jti` is remembered.
const LONGEST: SignedDuration = SignedDuration::from_mins(10);
/// How far a client's clock may be ahead.
const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// An assertion that was sent. It is as good as a secret until it ends, so it is shown to nobody.
#[derive(Debug)]
pub struct Assertion {
    token: SecretString,
    client_id: String,
}

/// What makes an assertion good only once.
#[derive(Debug, PartialEq, Eq)]
pub struct Once {
    /// Its id among the client's.
    pub jti: String,
    /// When it ends.
    pub exp: Timestamp,
}

/// Whom it speaks of.
#[derive(Deserialize)]
struct Subject {
    sub: String,
}

/// The claims that the JWT library does not check: times by the machine's clock it could, but ours is handed in; and a list
/// of issuers it would take.
#[derive(Deserialize)]
struct Claims {
    #[expect(dead_code, reason = "one text, no list; the library compares it")]
    iss: String,
    jti: String,
    exp: f64,
    iat: Option<f64>,
    nbf: Option<f64>,
}

impl Assertion {
    /// Reads whom it is of; nothing of it is true before [`Self::verify`] says so. `None` where it is no JWT of anybody.
    pub fn read(token: SecretString) -> Option<Self> {
        let subject = jsonwebtoken::dangerous::insecure_decode_claims::<Subject>(token.expose_secret()).ok()?;
        Some(Self {
            token,
            client_id: subject.sub,
        })
    }

    /// The client that it says it is of.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// SHA-256 in base64url, to know it again by.
    pub fn digest(&self) -> String {
        record::sha256(&self.token)
    }

    /// Whether a live key of the client signed it, for one of `audiences` and for now (RFC 7523 section 3).
    pub fn verify(&self, client: &ClientRecord, audiences: &[&str], now: Timestamp) -> Option<Once> {
        let header = jsonwebtoken::decode_header(self.token.expose_secret()).ok()?;
        if header.crit.is_some() {
            // RFC 7515 section 4.1.11: there is no extension that we understand.
            return None;
        }
        let mut validation = Validation::default();
        validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
        validation.set_issuer(&[&client.client_id]);
        validation.sub = Some(client.client_id.clone());
        validation.set_audience(audiences);
        validation.validate_exp = false;
        let meant = |key: &&Jwk| header.kid.is_none() || header.kid == key.common.key_id;
        client.keys(now).filter(meant).find_map(|key| {
            // What a key is for decides, never what the assertion asks for (RFC 8725 section 3.1).
            validation.algorithms = vec![algorithm(key)?];
            let key = DecodingKey::from_jwk(key).ok()?;
            let token = self.token.expose_secret();
            let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation).ok()?.claims;
            claims.at(now)
        })
    }
}

impl Claims {
    /// Whether they are for now.
    fn at(self, now: Timestamp) -> Option<Once> {
        let exp = time(self.exp)?;
        let ahead = exp.duration_since(now);
        let timely = ahead > SignedDuration::ZERO && ahead <= LONGEST;
        let from = [self.iat, self.nbf];
        let begun = from
            .into_iter()
            .flatten()
            .all(|from| time(from).is_some_and(|from| from.duration_since(now) <= SKEW));
        (timely && begun && !self.jti.is_empty()).then_some(Once { jti: self.jti, exp })
    }
}

/// A `NumericDate` (RFC 7519 section 2), which may have a fraction.
fn time(seconds: f64) -> Option<Timestamp> {
    let since = SignedDuration::try_from_secs_f64(seconds).ok()?;
    Timestamp::from_duration(since).ok()
}

fn algorithm(key: &Jwk) -> Option<Algorithm> {
    match key.common.key_algorithm? {
        KeyAlgorithm::ES256 => Some(Algorithm::ES256),
        KeyAlgorithm::RS256 => Some(Algorithm::RS256),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
