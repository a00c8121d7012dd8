//! The server's certificate: from a CA of its own, which workloads get as `ca.crt`, or a given one.

use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

const CA_LIFE: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);
const SERVER_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How long before its end a server certificate is renewed.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How long before now a certificate begins, for clients whose clock is behind.
const EARLY: SignedDuration = SignedDuration::from_hours(1);

/// What stands against a certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Making one failed.
    #[error("make a certificate")]
    Make(#[from] rcgen::Error),
    /// It cannot be read.
    #[error("the certificate or its key cannot be read: both must be PEM, and belong together")]
    Malformed,
    /// It has ended.
    #[error("the certificate ended at {0}: renew it")]
    Expired(Timestamp),
    /// Its times are out of range.
    #[error("the clock gives a time that a certificate cannot have")]
    Time,
}

/// A CA and the server certificate that it signed, in PEM.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnCertificate {
    /// The CA's certificate.
    pub ca: String,
    /// The CA's key.
    #[serde(serialize_with = "crate::plan::expose")]
    pub ca_key: SecretString,
    /// When the CA ends.
    pub ca_ends: Timestamp,
    /// The server's certificate.
    pub certificate: String,
    /// The server's key.
    #[serde(serialize_with = "crate::plan::expose")]
    pub key: SecretString,
    /// When the server's certificate ends.
    pub ends: Timestamp,
    /// The names that it is for.
    pub names: Vec<String>,
}

impl OwnCertificate {
    /// The certificate as it should be for `names` at `now`, or `None` where `before` is so already. The CA stays while it lasts.
    ///
    /// # Errors
    /// Making one failed.
    pub fn renewed(before: Option<&Self>, names: &[String], now: Timestamp) -> Result<Option<Self>, CertificateError> {
        let lasts = |end: Timestamp| end.duration_since(now) > RENEW_BEFORE;
        let ca = before.filter(|before| before.ca_ends.duration_since(now) > SERVER_LIFE);
        if ca.is_some_and(|before| lasts(before.ends) && before.names == names) {
            return Ok(None);
        }
        let (ca_pem, ca_key, ca_ends) = match ca {
            Some(before) => (before.ca.clone(), before.ca_key.clone(), before.ca_ends),
            None => make_ca(now)?,
        };
        let ca_key_pair = KeyPair::from_pem(ca_key.expose_secret())?;
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, ca_key_pair)?;
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name = named("appkeys");
        let ends = after(now, SERVER_LIFE)?;
        (params.not_before, params.not_after) = (time(after(now, -EARLY)?)?, time(ends)?);
        params.use_authority_key_identifier_extension = true;
        let pair = KeyPair::generate()?;
        let certificate = params.signed_by(&pair, &issuer)?;
        Ok(Some(Self {
            ca: ca_pem,
            ca_key,
            ca_ends,
            certificate: certificate.pem(),
            key: pair.serialize_pem().into(),
            ends,
            names: names.to_vec(),
        }))
    }

    /// When it is to be looked at again.
    pub fn renew_at(&self) -> Timestamp {
        self.ends.checked_sub(RENEW_BEFORE).unwrap_or(self.ends)
    }
}

fn make_ca(now: Timestamp) -> Result<(String, SecretString, Timestamp), CertificateError> {
    let mut params = CertificateParams::new(vec![])?;
    params.distinguished_name = named("appkeys CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ends = after(now, CA_LIFE)?;
    (params.not_before, params.not_after) = (time(after(now, -EARLY)?)?, time(ends)?);
    let pair = KeyPair::generate()?;
    let certificate = params.self_signed(&pair)?;
    Ok((certificate.pem(), pair.serialize_pem().into(), ends))
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn after(at: Timestamp, time: SignedDuration) -> Result<Timestamp, CertificateError> {
    at.checked_add(time).map_err(|_| CertificateError::Time)
}

fn time(at: Timestamp) -> Result<time::OffsetDateTime, CertificateError> {
    if at < Timestamp::UNIX_EPOCH {
        // Far enough back the library panics, and no certificate is from before that.
        return Err(CertificateError::Time);
    }
    time::OffsetDateTime::from_unix_timestamp(at.as_second()).map_err(|_| CertificateError::Time)
}

/// A certificate chain and its key as TLS needs them, with the end of the first certificate.
///
/// # Errors
/// Malformed, not belonging together, or ended.
pub fn certified_key(
    chain: &str,
    key: &SecretString,
    now: Timestamp,
) -> Result<(CertifiedKey, Timestamp), CertificateError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| CertificateError::Malformed)?;
    let first = certificates.first().ok_or(CertificateError::Malformed)?;
    let (_, parsed) = x509_parser::parse_x509_certificate(first).map_err(|_| CertificateError::Malformed)?;
    let ends =
        Timestamp::from_second(parsed.validity().not_after.timestamp()).map_err(|_| CertificateError::Malformed)?;
    if ends <= now {
        return Err(CertificateError::Expired(ends));
    }
    let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).map_err(|_| CertificateError::Malformed)?;
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).map_err(|_| CertificateError::Malformed)?;
    let certified = CertifiedKey::new(certificates, signing);
    certified.keys_match().map_err(|_| CertificateError::Malformed)?;
    Ok((certified, ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + days * 86400).unwrap()
    }

    #[test]
    fn the_server_certificate_is_renewed_and_the_ca_stays() {
        let names = ["localhost".to_owned()];
        let first = OwnCertificate::renewed(None, &names, at(0)).unwrap().unwrap();
        assert!(OwnCertificate::renewed(Some(&first), &names, at(59)).unwrap().is_none());
        let second = OwnCertificate::renewed(Some(&first), &names, at(61)).unwrap().unwrap();
        assert_eq!(second.ca, first.ca);
        assert_ne!(second.certificate, first.certificate);
        let other = OwnCertificate::renewed(Some(&first), &["appkeys".to_owned()], at(1)).unwrap();
        assert!(other.is_some(), "other names need another certificate");
        assert!(certified_key(&second.certificate, &second.key, at(61)).is_ok());
    }

    #[test]
    fn a_clock_at_an_end_of_time_is_an_error_and_no_panic() {
        let names = ["localhost".to_owned()];
        let good = OwnCertificate::renewed(None, &names, at(0)).unwrap().unwrap();
        let long_ago = Timestamp::from_second(-200_000_000_000).unwrap();
        for now in [Timestamp::MIN, long_ago, Timestamp::MAX] {
            assert!(matches!(
                OwnCertificate::renewed(None, &names, now),
                Err(CertificateError::Time)
            ));
            drop(OwnCertificate::renewed(Some(&good), &names, now));
            drop(certified_key(&good.certificate, &good.key, now));
        }
        let ended = OwnCertificate {
            ends: Timestamp::MIN,
            ..good
        };
        assert_eq!(ended.renew_at(), Timestamp::MIN);
    }

    #[test]
    fn a_certificate_is_good_for_clients_whose_clock_is_behind() {
        let names = ["localhost".to_owned()];
        let one = OwnCertificate::renewed(None, &names, at(0)).unwrap().unwrap();
        for pem in [&one.certificate, &one.ca] {
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
            let begins = parsed.validity().not_before.timestamp();
            assert_eq!(begins, at(0).as_second() - 3600);
        }
    }

    #[test]
    fn an_ended_or_mixed_up_certificate_is_refused() {
        let names = ["localhost".to_owned()];
        let one = OwnCertificate::renewed(None, &names, at(0)).unwrap().unwrap();
        let two = OwnCertificate::renewed(None, &names, at(0)).unwrap().unwrap();
        assert!(matches!(
            certified_key(&one.certificate, &one.key, at(91)),
            Err(CertificateError::Expired(_))
        ));
        assert!(matches!(
            certified_key(&one.certificate, &two.key, at(1)),
            Err(CertificateError::Malformed)
        ));
        assert!(matches!(
            certified_key("x", &two.key, at(1)),
            Err(CertificateError::Malformed)
        ));
    }
}
