//! The private keys of clients that prove themselves by assertions (RFC 7523): workloads hold them, key managers the public part.

use jsonwebtoken::{
    Algorithm, EncodingKey,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};
use rcgen::KeyPair;
use secrecy::{ExposeSecret as _, SecretString};

use super::KeyAlgorithm;

/// A client's private key.
pub struct PrivateKey {
    key: EncodingKey,
    algorithm: Algorithm,
    jwk: Jwk,
    id: String,
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A private key that cannot sign assertions.
#[derive(Debug, thiserror::Error)]
#[error("the private key is neither EC P-256 nor RSA in PKCS#8 PEM")]
pub struct BadKey;

/// No key could be made.
#[derive(Debug, thiserror::Error)]
#[error("no private key could be made")]
pub struct NoKey;

/// A new private key in PKCS#8 PEM.
///
/// # Errors
/// The cryptographic library failed.
pub fn generate(algorithm: KeyAlgorithm) -> Result<SecretString, NoKey> {
    let pair = match algorithm {
        KeyAlgorithm::ES256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        KeyAlgorithm::RS256 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048),
    };
    pair.map(|pair| pair.serialize_pem().into()).map_err(|_| NoKey)
}

impl PrivateKey {
    /// Reads an EC P-256 (ES256) or RSA (RS256) key from PKCS#8 PEM.
    ///
    /// # Errors
    /// It is no such key.
    pub fn from_pem(pem: &SecretString) -> Result<Self, BadKey> {
        let pem = pem.expose_secret().as_bytes();
        let (key, algorithm) = EncodingKey::from_ec_pem(pem)
            .map(|key| (key, Algorithm::ES256))
            .or_else(|_| EncodingKey::from_rsa_pem(pem).map(|key| (key, Algorithm::RS256)))
            .map_err(|_| BadKey)?;
        let mut jwk = Jwk::from_encoding_key(&key, algorithm).map_err(|_| BadKey)?;
        let id = jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_| BadKey)?;
        jwk.common.key_id = Some(id.clone());
        // Some servers take no other for signatures.
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self {
            key,
            algorithm,
            jwk,
            id,
        })
    }

    /// Its id (`kid`): the RFC 7638 thumbprint.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its public part, for the client's `jwks` (RFC 7517).
    pub const fn public(&self) -> &Jwk {
        &self.jwk
    }

    /// What it signs with (RFC 7518).
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// For signing.
    pub const fn signing(&self) -> &EncodingKey {
        &self.key
    }
}
