//! Access tokens: JWTs as the key manager signs them, and its public keys.

use std::sync::OnceLock;

use anyhow::Context as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};

/// The end of `kid` is part of what the server sends.
const KEY_ID: &str = "ZGVtbwNTRkMGQ_RS256";

/// An RSA key takes a while to make; all servers of a process share one.
static KEY: OnceLock<EncodingKey> = OnceLock::new();

/// Signs.
#[derive(Clone)]
pub(super) struct Signer(EncodingKey);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// With the key of this process.
    pub(super) fn new() -> anyhow::Result<Self> {
        if let Some(key) = KEY.get() {
            return Ok(Self(key.clone()));
        }
        let pair = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
            .context("make an RSA key")?;
        let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).context("read an RSA key")?;
        Ok(Self(KEY.get_or_init(|| key).clone()))
    }

    /// A signed access token with these claims.
    pub(super) fn sign(&self, claims: &Value) -> Option<String> {
        let mut header = Header::new(Algorithm::RS256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(KEY_ID.to_owned());
        jsonwebtoken::encode(&header, claims, &self.0).ok()
    }

    /// The public keys.
    pub(super) fn jwks(&self) -> Value {
        let Ok(mut key) = Jwk::from_encoding_key(&self.0, Algorithm::RS256) else {
            return json!({"keys": []});
        };
        key.common.key_id = Some(KEY_ID.to_owned());
        json!({"keys": [key]})
    }
}
