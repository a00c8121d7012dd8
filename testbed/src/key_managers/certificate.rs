//! Certificates of test servers.

use std::{fs, path::Path};

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// The file with the server's certificate.
pub(super) const CERTIFICATE: &str = "tls.crt";
/// The file with the server's key.
pub(super) const KEY: &str = "tls.key";

/// A CA's certificate, and a certificate for loopback that it signed, with its key. All in PEM.
pub(super) struct Issued {
    pub(super) ca: String,
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Makes a CA and a certificate for loopback that it signed, puts the latter into `folder`, and gives the CA in PEM.
pub(super) fn make(folder: &Path) -> anyhow::Result<String> {
    let issued = issue()?;
    fs::write(folder.join(CERTIFICATE), issued.certificate).context("write the certificate")?;
    fs::write(folder.join(KEY), issued.key).context("write the certificate's key")?;
    Ok(issued.ca)
}

/// Makes a CA and a certificate for loopback that it signed.
pub(super) fn issue() -> anyhow::Result<Issued> {
    let subject = |name: &str| {
        let mut names = DistinguishedName::new();
        names.push(DnType::CommonName, name);
        names
    };
    let mut ca = CertificateParams::new(vec![]).context("make a CA")?;
    ca.distinguished_name = subject("test bed CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_key = KeyPair::generate().context("make a CA")?;
    let ca_pem = ca.self_signed(&ca_key).context("make a CA")?.pem();
    let issuer = Issuer::new(ca, ca_key);

    let hosts = ["localhost", "127.0.0.1"].map(str::to_owned);
    let mut server = CertificateParams::new(hosts).context("make a certificate")?;
    server.distinguished_name = subject("test bed");
    server.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().context("make a certificate")?;
    let certificate = server.signed_by(&key, &issuer).context("make a certificate")?;
    Ok(Issued {
        ca: ca_pem,
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}
