//! Random values: client secrets and attempt ids, from a source that is handed in.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use secrecy::{ExposeSecret as _, SecretString};

/// Random bytes in a client secret.
const SECRET: usize = 32;

/// Fills a buffer with random bytes; false where the source failed.
type Fill = dyn FnMut(&mut [u8]) -> bool + Send;

/// A source of random values. Cheap to clone; a simulation hands in a seeded one.
#[derive(Clone)]
pub struct Entropy(Arc<Mutex<Fill>>);

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the source of random numbers failed")]
pub struct NoEntropy;

impl Entropy {
    /// The operating system's source.
    pub fn system() -> Self {
        let source = SystemRandom::new();
        Self::new(move |bytes| source.fill(bytes).is_ok())
    }

    /// A source that asks `fill`.
    pub fn new(fill: impl FnMut(&mut [u8]) -> bool + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(fill)))
    }

    /// A client secret: 256 random bits in base64url (43 characters of `[A-Za-z0-9_-]`).
    pub fn client_secret(&self) -> Result<SecretString, NoEntropy> {
        Ok(BASE64URL_NOPAD.encode(&self.bytes::<SECRET>()?).into())
    }

    /// Whether a secret is of the form that [`Self::client_secret`] makes.
    pub fn is_client_secret(secret: &SecretString) -> bool {
        let bytes = BASE64URL_NOPAD.decode(secret.expose_secret().as_bytes());
        bytes.is_ok_and(|bytes| bytes.len() == SECRET)
    }

    /// An id of an attempt: 80 random bits in base32 (16 lower-case characters).
    pub fn attempt_id(&self) -> Result<String, NoEntropy> {
        Ok(BASE32_NOPAD.encode(&self.bytes::<10>()?).to_ascii_lowercase())
    }

    fn bytes<const N: usize>(&self) -> Result<[u8; N], NoEntropy> {
        let mut bytes = [0; N];
        let mut fill = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if fill(&mut bytes) { Ok(bytes) } else { Err(NoEntropy) }
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy")
    }
}
