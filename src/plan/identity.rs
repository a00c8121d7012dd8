//! Names that are functions of who a key is: client ids, names of our own Secrets, shares of an interval.
//!
//! Every hash is over length-prefixed parts, so that no choice of names makes two keys meet.

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::BASE32_NOPAD;
use jiff::SignedDuration;

use crate::{
    api::KeyManagerRef,
    key_manager::{IdForm, Mark},
};

/// The client id of a key at a key manager after so many replacements: as readable as its form lets it be, and ended by a hash of
/// all of it.
pub fn client_id(mark: &Mark, key_manager: &KeyManagerRef, form: IdForm, replacements: u32) -> String {
    let (limit, between) = match form {
        IdForm::Readable => (100, '-'),
        IdForm::Word => (30, '_'),
    };
    let hash = short_hash(&[
        "client",
        &mark.cluster_id,
        &mark.namespace,
        &mark.name,
        &key_manager.to_string(),
        &replacements.to_string(),
    ]);
    let mut readable = format!("{}-{}", mark.namespace, mark.name).replace(['.', '-'], &between.to_string());
    readable.truncate(limit - hash.len() - 1);
    format!("{}{between}{hash}", readable.trim_end_matches(between))
}

/// The name of a key's state Secret, in the operator's namespace.
pub fn state_secret_name(namespace: &str, name: &str) -> String {
    format!("appkeys-key-{}", short_hash(&["state", namespace, name]))
}

/// 80 bits of SHA-256 over the length-prefixed parts, as 16 lower-case base32 characters.
pub fn short_hash(parts: &[&str]) -> String {
    BASE32_NOPAD.encode(&digest(parts)[..10]).to_ascii_lowercase()
}

/// A part of `interval`, the same for the same parts and spread evenly over different ones.
pub fn share(parts: &[&str], interval: SignedDuration) -> SignedDuration {
    let hash = digest(parts);
    let fraction = i128::from(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]));
    SignedDuration::from_millis_i128((interval.as_millis() * fraction) >> 32)
}

fn digest(parts: &[&str]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(namespace: &str, name: &str) -> Mark {
        Mark {
            cluster_id: "c".into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    fn resident() -> KeyManagerRef {
        KeyManagerRef {
            name: "resident".into(),
            ..KeyManagerRef::default()
        }
    }

    #[test]
    fn a_client_id_is_readable_stable_and_bounded() {
        let id = client_id(&mark("team-a", "shop-production"), &resident(), IdForm::Readable, 0);
        assert!(id.starts_with("team-a-shop-production-"), "{id}");
        assert_eq!(
            id,
            client_id(&mark("team-a", "shop-production"), &resident(), IdForm::Readable, 0)
        );
        assert_eq!(
            client_id(
                &mark(&"n".repeat(63), &"k".repeat(200)),
                &resident(),
                IdForm::Readable,
                0
            )
            .len(),
            100
        );
    }

    #[test]
    fn a_client_id_of_a_narrow_form_is_a_short_word() {
        let long = "n".repeat(63);
        for (namespace, name) in [("a", "b"), ("team-a", "shop.production"), (&*long, "k")] {
            let id = client_id(&mark(namespace, name), &resident(), IdForm::Word, 0);
            assert!((15..=30).contains(&id.len()), "{id}");
            assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{id}");
        }
    }

    #[test]
    fn names_that_read_alike_do_not_meet() {
        let ids = [
            client_id(&mark("a-b", "c"), &resident(), IdForm::Readable, 0),
            client_id(&mark("a", "b-c"), &resident(), IdForm::Readable, 0),
            client_id(&mark("a", "b.c"), &resident(), IdForm::Readable, 0),
            client_id(&mark("a-b", "c"), &resident(), IdForm::Readable, 1),
        ];
        for (i, one) in ids.iter().enumerate() {
            assert!(ids[i + 1..].iter().all(|other| other != one));
        }
    }

    #[test]
    fn shares_are_spread_and_within_the_interval() {
        let hour = SignedDuration::from_hours(1);
        let shares: Vec<_> = (0..100).map(|i| share(&["team-a", &i.to_string()], hour)).collect();
        assert!(shares.iter().all(|s| !s.is_negative() && *s < hour));
        assert!(shares.iter().filter(|s| **s < hour / 2).count() > 30);
        assert!(shares.iter().filter(|s| **s >= hour / 2).count() > 30);
    }
}
