//! The keys that tokens are signed with: a set in one Secret, rotated with overlap.
//!
//! A new key is published for a while before it signs, so that no consumer meets a token whose key it cannot have seen;
//! an old one stays published until the last token that it signed has ended.

use aws_lc_rs::{error::KeyRejected, rand::SystemRandom, signature::Ed25519KeyPair};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{
    Algorithm, EncodingKey,
    jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash},
};
use rcgen::KeyPair;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::signer::Signer;
use crate::api::key_manager::SigningAlgorithm;

/// How long a key signs.
const SIGNING_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How long a key is published before it signs; the longest time for which the JWKS may be cached.
pub const LEAD: SignedDuration = SignedDuration::from_hours(1);
/// How long a key stays published after it signed last: the longest life of a token.
const TAIL: SignedDuration = SignedDuration::from_hours(24);

/// A key as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredKey {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
    /// PKCS#8 in PEM.
    #[serde(serialize_with = "crate::plan::expose")]
    pub private_key: SecretString,
    /// When it begins to sign.
    pub signs_from: Timestamp,
}

/// `time` after `at`; a time that cannot be (somebody wrote it, or a clock is wrong) is the end of all times.
fn later(at: Timestamp, time: SignedDuration) -> Timestamp {
    at.checked_add(time).unwrap_or(Timestamp::MAX)
}

impl StoredKey {
    /// When the next key is made.
    fn replaced_at(&self) -> Timestamp {
        later(self.signs_from, SIGNING_LIFE - LEAD)
    }

    /// When the last token of the key before this one has ended.
    fn published_alone(&self) -> Timestamp {
        later(self.signs_from, TAIL)
    }
}

/// All keys of one resident key manager, the newest last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KeySet {
    /// The keys.
    pub keys: Vec<StoredKey>,
}

/// A key cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Generating failed.
    #[error("generate a signing key")]
    Generate(#[from] rcgen::Error),
    /// A stored key is damaged.
    #[error("read a signing key")]
    Read(#[from] jsonwebtoken::errors::Error),
    /// A stored key is none that can sign.
    #[error("read a signing key")]
    Rejected(#[from] KeyRejected),
}

impl KeySet {
    /// The set as it should be at `now`, or `None` where it is so already. `make` makes a key.
    ///
    /// # Errors
    /// What `make` gives.
    pub fn rotated(
        &self,
        algorithm: SigningAlgorithm,
        now: Timestamp,
        make: impl FnOnce() -> Result<(String, SecretString), KeyError>,
    ) -> Result<Option<Self>, KeyError> {
        let mut keys = self.keys.clone();
        let ended =
            |index: usize, keys: &[StoredKey]| keys.get(index + 1).is_some_and(|next| next.published_alone() <= now);
        while ended(0, &keys) {
            keys.remove(0);
        }
        let newest = keys.last();
        let due = newest.is_none_or(|key| key.algorithm != algorithm || key.replaced_at() <= now);
        if due {
            // The first key signs at once: nobody has cached a set without it.
            let signs_from = if newest.is_none() { now } else { later(now, LEAD) };
            let (kid, private_key) = make()?;
            keys.push(StoredKey {
                kid,
                algorithm,
                private_key,
                signs_from,
            });
        }
        let changed = due || keys.len() != self.keys.len();
        Ok(changed.then_some(Self { keys }))
    }

    /// When the set is to be looked at again.
    pub fn next_change(&self, now: Timestamp) -> Timestamp {
        let newest = self.keys.last().map_or(now, StoredKey::replaced_at);
        let others = self
            .keys
            .iter()
            .skip(1)
            .flat_map(|key| [key.signs_from, key.published_alone()]);
        others
            .chain([newest])
            .filter(|time| *time > now)
            .min()
            .unwrap_or(newest)
    }

    /// The key that signs at `now`.
    ///
    /// # Errors
    /// The key is damaged.
    pub fn signer(&self, now: Timestamp) -> Result<Option<Signer>, KeyError> {
        let key = self
            .keys
            .iter()
            .rev()
            .find(|key| key.signs_from <= now)
            .or(self.keys.first());
        Ok(match key {
            Some(key) => {
                let private_key = encoding_key(key.algorithm, &key.private_key)?;
                Some(Signer::new(&key.kid, key.algorithm, &private_key)?)
            }
            None => None,
        })
    }

    /// The public keys (RFC 7517).
    ///
    /// # Errors
    /// A key is damaged.
    pub fn jwks(&self) -> Result<JwkSet, KeyError> {
        let keys = self.keys.iter().map(|key| public(key.algorithm, &key.private_key));
        Ok(JwkSet {
            keys: keys.collect::<Result<_, _>>()?,
        })
    }
}

/// Makes a key: its kid and its PKCS#8 PEM.
///
/// # Errors
/// Generating failed.
pub fn generate(algorithm: SigningAlgorithm) -> Result<(String, SecretString), KeyError> {
    let pair = match algorithm {
        SigningAlgorithm::ES256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?,
        SigningAlgorithm::EdDSA => {
            // Without the public key inside (RFC 5208): the JWK is made from nothing else.
            let pkcs8 =
                Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(|_| rcgen::Error::RingUnspecified)?;
            KeyPair::try_from(pkcs8.as_ref())?
        }
        SigningAlgorithm::RS256 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)?,
    };
    let private_key = SecretString::from(pair.serialize_pem());
    let kid = public(algorithm, &private_key)?.common.key_id.unwrap_or_default();
    Ok((kid, private_key))
}

fn public(signing: SigningAlgorithm, private_key: &SecretString) -> Result<Jwk, KeyError> {
    let mut jwk = Jwk::from_encoding_key(&encoding_key(signing, private_key)?, algorithm(signing))?;
    jwk.common.key_id = Some(jwk.thumbprint(ThumbprintHash::SHA256)?);
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok(jwk)
}

fn encoding_key(algorithm: SigningAlgorithm, private_key: &SecretString) -> Result<EncodingKey, KeyError> {
    let pem = private_key.expose_secret().as_bytes();
    Ok(match algorithm {
        SigningAlgorithm::ES256 => EncodingKey::from_ec_pem(pem)?,
        SigningAlgorithm::EdDSA => EncodingKey::from_ed_pem(pem)?,
        SigningAlgorithm::RS256 => EncodingKey::from_rsa_pem(pem)?,
    })
}

pub(super) const fn algorithm(signing: SigningAlgorithm) -> Algorithm {
    match signing {
        SigningAlgorithm::ES256 => Algorithm::ES256,
        SigningAlgorithm::EdDSA => Algorithm::EdDSA,
        SigningAlgorithm::RS256 => Algorithm::RS256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hours * 3600).unwrap()
    }

    fn step(set: &mut KeySet, hours: i64) -> bool {
        let next = set
            .rotated(SigningAlgorithm::ES256, at(hours), || generate(SigningAlgorithm::ES256))
            .unwrap();
        let changed = next.is_some();
        *set = next.unwrap_or_else(|| set.clone());
        changed
    }

    #[test]
    fn a_new_key_is_published_before_it_signs_and_an_old_one_after() {
        let mut set = KeySet::default();
        assert!(step(&mut set, 0) && !step(&mut set, 1));
        let first = set.signer(at(0)).unwrap().unwrap().kid;
        let due = 90 * 24 - 1;
        assert!(step(&mut set, due));
        assert_eq!(set.jwks().unwrap().keys.len(), 2);
        assert_eq!(set.signer(at(due)).unwrap().unwrap().kid, first);
        assert_ne!(set.signer(at(due + 1)).unwrap().unwrap().kid, first);
        assert!(
            !step(&mut set, due + 24),
            "the old key is published until its last token has ended"
        );
        assert!(step(&mut set, due + 25));
        assert_eq!(set.jwks().unwrap().keys.len(), 1);
    }

    /// Such times come from a clock that is wrong, or from a hand that wrote the Secret.
    #[test]
    fn the_ends_of_time_are_no_panic() {
        let (kid, private_key) = generate(SigningAlgorithm::ES256).unwrap();
        let key = |signs_from| StoredKey {
            kid: kid.clone(),
            algorithm: SigningAlgorithm::ES256,
            private_key: private_key.clone(),
            signs_from,
        };
        let ends = [Timestamp::MIN, at(0), Timestamp::MAX];
        for (first, second) in ends.into_iter().flat_map(|one| ends.map(|other| (one, other))) {
            let set = KeySet {
                keys: vec![key(first), key(second)],
            };
            for now in ends {
                let make = || Ok((kid.clone(), private_key.clone()));
                set.rotated(SigningAlgorithm::ES256, now, make).unwrap();
                set.next_change(now);
                assert!(set.signer(now).unwrap().is_some());
            }
        }
    }

    #[test]
    fn every_algorithm_makes_a_key_that_signs() {
        for algorithm in [
            SigningAlgorithm::ES256,
            SigningAlgorithm::RS256,
            SigningAlgorithm::EdDSA,
        ] {
            let (kid, private_key) = generate(algorithm).unwrap();
            let key = StoredKey {
                kid: kid.clone(),
                algorithm,
                private_key,
                signs_from: at(0),
            };
            let set = KeySet { keys: vec![key] };
            let signer = set.signer(at(0)).unwrap().unwrap();
            assert!(!kid.is_empty() && signer.kid == kid);
            let token = signer.token(&serde_json::json!({"sub": "a"})).unwrap();
            let header = jsonwebtoken::decode_header(&token).unwrap();
            assert_eq!(
                (header.typ.as_deref(), header.kid.as_ref()),
                (Some("at+jwt"), Some(&kid))
            );
            let jwks = set.jwks().unwrap();
            let public = jsonwebtoken::DecodingKey::from_jwk(jwks.find(&kid).unwrap()).unwrap();
            let mut validation = jsonwebtoken::Validation::new(super::algorithm(algorithm));
            validation.required_spec_claims.clear();
            let claims = jsonwebtoken::decode::<serde_json::Value>(&token, &public, &validation)
                .unwrap()
                .claims;
            assert_eq!(claims["sub"], "a");
        }
    }
}
