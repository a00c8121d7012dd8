//! How a client proves itself at the token endpoint (RFC 6749 section 2.3, RFC 7523 section 2.2).

use jiff::Timestamp;
use jsonwebtoken::Header;
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use url::form_urlencoded;

use crate::{
    api::ClientAuthentication,
    entropy::Entropy,
    key_manager::{
        Category, Error,
        private_key::{BadKey, PrivateKey},
    },
};

/// How long a client assertion is good, in seconds: it is used at once, and servers refuse long ones.
const ASSERTION: i64 = 60;
/// The type of client assertions (RFC 7523 section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How a client proves itself.
#[derive(Clone, Copy, Debug)]
pub enum ClientProof<'a> {
    /// Id and secret in the Authorization header (`client_secret_basic`).
    Basic(&'a SecretString),
    /// Id and secret in the body (`client_secret_post`).
    Post(&'a SecretString),
    /// A signed assertion (`private_key_jwt`).
    Assertion {
        /// The client's key.
        key: &'a AssertionKey,
        /// Whom it is for: the token endpoint or the issuer, as the server wants it.
        audience: &'a str,
    },
    /// None: a public client.
    None,
}

impl<'a> ClientProof<'a> {
    /// The proof by a secret, or none where there is none.
    pub const fn secret(authentication: ClientAuthentication, secret: &'a SecretString) -> Self {
        match authentication {
            ClientAuthentication::ClientSecretBasic => Self::Basic(secret),
            ClientAuthentication::ClientSecretPost => Self::Post(secret),
            ClientAuthentication::PrivateKeyJwt | ClientAuthentication::None => Self::None,
        }
    }

    /// `request` with the proof and `form` as its body.
    ///
    /// # Errors
    /// The assertion cannot be signed.
    pub fn apply(
        self,
        request: RequestBuilder,
        client_id: &str,
        mut form: Vec<(&str, String)>,
        now: Timestamp,
    ) -> Result<RequestBuilder, Error> {
        let mut authorized = request;
        match self {
            Self::Basic(secret) => {
                // Form-encoded before base64 (RFC 6749 section 2.3.1).
                let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                authorized = authorized.basic_auth(encode(client_id), Some(encode(secret.expose_secret())));
            }
            Self::Post(secret) => {
                form.push(("client_id", client_id.to_owned()));
                form.push(("client_secret", secret.expose_secret().to_owned()));
            }
            Self::Assertion { key, audience } => {
                form.push(("client_assertion_type", ASSERTION_TYPE.to_owned()));
                let assertion = key.assertion(client_id, audience, now)?;
                form.push(("client_assertion", assertion.expose_secret().to_owned()));
            }
            Self::None => form.push(("client_id", client_id.to_owned())),
        }
        Ok(authorized.form(&form))
    }
}

/// A client's private key, ready to sign assertions.
#[derive(Debug)]
pub struct AssertionKey {
    key: PrivateKey,
    /// The id that the server knows it by.
    id: String,
    entropy: Entropy,
}

/// Claims of RFC 7523 section 3. No `nbf`: a server whose clock is behind would refuse it.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
}

impl AssertionKey {
    /// Reads an EC P-256 (ES256) or RSA (RS256) key from PKCS#8 PEM.
    ///
    /// # Errors
    /// It is no such key.
    pub fn from_pem(pem: &SecretString, entropy: Entropy) -> Result<Self, BadKey> {
        let key = PrivateKey::from_pem(pem)?;
        let id = key.id().to_owned();
        Ok(Self { key, id, entropy })
    }

    /// The same key where the server knows it by another id than its thumbprint.
    #[must_use]
    pub fn named(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// An assertion that `client_id` makes for `audience` (RFC 7523 section 3): good for a minute, once.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn assertion(&self, client_id: &str, audience: &str, now: Timestamp) -> Result<SecretString, Error> {
        let failed = || Error {
            sent: false,
            ..Error::new(Category::InvalidRequest, "the client assertion cannot be signed")
        };
        let claims = Claims {
            iss: client_id,
            sub: client_id,
            aud: audience,
            iat: now.as_second(),
            exp: now.as_second() + ASSERTION,
            jti: self.entropy.attempt_id().map_err(|_| failed())?,
        };
        let mut header = Header::new(self.key.algorithm());
        header.kid = Some(self.id.clone());
        let token = jsonwebtoken::encode(&header, &claims, self.key.signing()).map_err(|_| failed())?;
        Ok(token.into())
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, jwk::ThumbprintHash};
    use jsonwebtoken::{DecodingKey, Validation};
    use rcgen::{KeyPair, RsaKeySize};
    use serde_json::Value;

    use super::*;
    use crate::key_manager::remote::testing::now;

    #[test]
    fn an_assertion_is_short_lived_single_use_and_verifies_with_the_public_key() {
        let p256 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        for (pair, algorithm) in [(p256, Algorithm::ES256), (rsa, Algorithm::RS256)] {
            let pem = SecretString::from(pair.serialize_pem());
            let key = AssertionKey::from_pem(&pem, Entropy::system()).unwrap();
            let sign = || key.assertion("me", "https://idp.example/token", now()).unwrap();
            let mut validation = Validation::new(algorithm);
            validation.set_audience(&["https://idp.example/token"]);
            // The time of this test is long ago.
            validation.validate_exp = false;
            let verify = |token: &SecretString| {
                let public = DecodingKey::from_jwk(key.key.public()).unwrap();
                jsonwebtoken::decode::<Value>(token.expose_secret(), &public, &validation).unwrap()
            };
            let (one, two) = (verify(&sign()), verify(&sign()));
            let kid = key.key.public().thumbprint(ThumbprintHash::SHA256).unwrap();
            assert_eq!(one.header.kid.as_deref(), Some(&*kid), "RFC 7638");
            assert_eq!(key.key.public().common.key_id.as_deref(), Some(&*kid));
            assert_eq!([&one.claims["iss"], &one.claims["sub"]], ["me", "me"]);
            assert_eq!(one.claims["aud"], "https://idp.example/token", "one value, no list");
            assert_eq!(one.claims["iat"], now().as_second());
            assert_eq!(one.claims["exp"], now().as_second() + 60);
            assert_ne!(one.claims["jti"], two.claims["jti"]);
            let public = serde_json::to_value(key.key.public()).unwrap();
            assert!(public.get("d").is_none());
            assert!(!format!("{key:?}").contains(pem.expose_secret().lines().nth(1).unwrap()));
        }
    }

    #[test]
    fn other_keys_are_refused_when_they_are_read() {
        let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)
            .unwrap()
            .serialize_pem();
        let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
        let p256 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        for pem in [p384, ed25519, p256.public_key_pem(), String::new(), "no PEM".to_owned()] {
            let error = AssertionKey::from_pem(&pem.clone().into(), Entropy::system());
            assert!(error.is_err(), "{pem}");
        }
    }
}
