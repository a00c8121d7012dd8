//! A signing key ready for use: read once, because reading one costs more than a signature with it.

use aws_lc_rs::{
    error::{KeyRejected, Unspecified},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;

use crate::api::key_manager::SigningAlgorithm;

/// A token cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Its claims cannot be written.
    #[error("write the claims as JSON")]
    Claims(#[from] serde_json::Error),
    /// Signing failed.
    #[error("sign")]
    Sign(#[from] Unspecified),
}

/// Signs access tokens (RFC 9068) with one key.
pub struct Signer {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// The header of every token, in base64url.
    header: String,
    key: SigningKey,
}

enum SigningKey {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer with the private key `key`.
    ///
    /// # Errors
    /// The key is none of this algorithm.
    pub fn new(kid: &str, algorithm: SigningAlgorithm, key: &EncodingKey) -> Result<Self, KeyRejected> {
        let der = key.as_bytes();
        let key = match algorithm {
            SigningAlgorithm::ES256 => {
                SigningKey::Ecdsa(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)?)
            }
            SigningAlgorithm::EdDSA => SigningKey::Ed25519(Ed25519KeyPair::from_pkcs8(der)?),
            SigningAlgorithm::RS256 => SigningKey::Rsa(RsaKeyPair::from_der(der)?),
        };
        let mut header = Header::new(super::keys::algorithm(algorithm));
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(kid.to_owned());
        let header = serde_json::to_vec(&header).unwrap_or_default();
        Ok(Self {
            kid: kid.to_owned(),
            header: BASE64URL_NOPAD.encode(&header),
            key,
        })
    }

    /// A token with these claims (RFC 7515 section 3.1).
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn token(&self, claims: &impl Serialize) -> Result<String, SignError> {
        let mut token = self.header.clone();
        token.push('.');
        BASE64URL_NOPAD.encode_append(&serde_json::to_vec(claims)?, &mut token);
        let (message, random) = (token.as_bytes(), SystemRandom::new());
        let signature = match &self.key {
            SigningKey::Ecdsa(key) => key.sign(&random, message)?.as_ref().to_vec(),
            SigningKey::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            SigningKey::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                signature
            }
        };
        token.push('.');
        BASE64URL_NOPAD.encode_append(&signature, &mut token);
        Ok(token)
    }
}
