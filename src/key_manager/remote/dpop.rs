//! Proofs of possession (RFC 9449): access tokens that only who has a key can use.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use http::Method;
use jiff::Timestamp;
use jsonwebtoken::Header;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use crate::{
    entropy::Entropy,
    key_manager::{
        Category, Error, KeyAlgorithm,
        private_key::{self, PrivateKey},
    },
};

/// The header with a proof.
pub const HEADER: &str = "dpop";
/// The header in which a server says what the next proof must have.
pub const NONCE: &str = "dpop-nonce";

/// A key that tokens are bound to: another one for each process, and never that of a client.
#[derive(Debug)]
pub struct DpopKey {
    key: PrivateKey,
    entropy: Entropy,
}

/// What is proved (RFC 9449 section 4.2).
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// Its URL without query.
    pub url: &'a str,
    /// The time by the server's clock.
    pub now: Timestamp,
    /// What the server asked for.
    pub nonce: Option<&'a str>,
    /// The access token that it is sent with.
    pub token: Option<&'a SecretString>,
}

#[derive(Serialize)]
struct Claims<'a> {
    htm: &'a str,
    htu: &'a str,
    iat: i64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ath: Option<String>,
}

fn failed() -> Error {
    Error {
        sent: false,
        ..Error::new(Category::InvalidRequest, "a proof of possession cannot be signed")
    }
}

impl DpopKey {
    /// A new one.
    ///
    /// # Errors
    /// The cryptographic library failed.
    pub fn generate(entropy: Entropy) -> Result<Self, Error> {
        let pem = private_key::generate(KeyAlgorithm::ES256).map_err(|_| failed())?;
        let key = PrivateKey::from_pem(&pem).map_err(|_| failed())?;
        Ok(Self { key, entropy })
    }

    /// The proof for a request; it is good once.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn proof(&self, request: Request<'_>) -> Result<String, Error> {
        let hash = |token: &SecretString| digest(&SHA256, token.expose_secret().as_bytes());
        let claims = Claims {
            htm: request.method.as_str(),
            htu: request.url,
            iat: request.now.as_second(),
            jti: self.entropy.attempt_id().map_err(|_| failed())?,
            nonce: request.nonce,
            ath: request.token.map(|token| BASE64URL_NOPAD.encode(hash(token).as_ref())),
        };
        let mut header = Header::new(self.key.algorithm());
        header.typ = Some("dpop+jwt".to_owned());
        header.jwk = Some(self.key.public().clone());
        jsonwebtoken::encode(&header, &claims, self.key.signing()).map_err(|_| failed())
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};
    use serde_json::Value;

    use super::*;
    use crate::key_manager::remote::testing::now;

    #[test]
    fn a_proof_is_of_one_request_and_verifies_with_the_key_in_its_header() {
        let key = DpopKey::generate(Entropy::system()).unwrap();
        let token = SecretString::from("the-token");
        let request = Request {
            method: &Method::POST,
            url: "https://org.example/api/v1/apps",
            now: now(),
            nonce: None,
            token: Some(&token),
        };
        let read = |proof: String| {
            let header = jsonwebtoken::decode_header(&proof).unwrap();
            assert_eq!(header.typ.as_deref(), Some("dpop+jwt"));
            let jwk = header.jwk.unwrap();
            assert!(serde_json::to_value(&jwk).unwrap().get("d").is_none());
            let mut validation = Validation::new(Algorithm::ES256);
            validation.required_spec_claims.clear();
            let public = DecodingKey::from_jwk(&jwk).unwrap();
            jsonwebtoken::decode::<Value>(&proof, &public, &validation)
                .unwrap()
                .claims
        };
        let (one, two) = (read(key.proof(request).unwrap()), read(key.proof(request).unwrap()));
        assert_eq!([&one["htm"], &one["htu"]], ["POST", "https://org.example/api/v1/apps"]);
        assert_eq!(one["iat"], now().as_second());
        // SHA-256 of the token in base64url.
        assert_eq!(one["ath"], "wqc_z2HfvcrceaELozCy7162b8Cmc17Wm3lrs8l7l64");
        assert_ne!(one["jti"], two["jti"]);
        assert!(one.get("nonce").is_none());
        let first = Request {
            nonce: Some("n"),
            token: None,
            ..request
        };
        let first = read(key.proof(first).unwrap());
        assert_eq!(first["nonce"], "n");
        assert!(first.get("ath").is_none());
    }
}
