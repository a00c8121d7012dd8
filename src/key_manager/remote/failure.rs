//! Why there was no answer, in words for people.

use std::{error::Error as StdError, io};

use rustls::CertificateError;

use super::{address::NotAllowed, way::Bounds};

/// The first error of type `E` in a chain, looking into I/O errors too: what they wrap is not their `source`.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = wrapped.and_then(|inner| find(inner)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What a platform team must know of a failure at `host`; it names no credential, because no error of a connection does.
pub(super) fn explain(error: &reqwest::Error, host: &str, bounds: Bounds) -> String {
    if find::<NotAllowed>(error).is_some() {
        return format!("{host} has no address that may be used");
    }
    if error.is_dns() {
        return format!("cannot resolve {host}");
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return certificate(tls, host);
    }
    let refused = find::<io::Error>(error).is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused);
    if refused {
        return format!("{host} refuses the connection");
    }
    match (error.is_timeout(), error.is_connect()) {
        (true, true) => format!("no connection to {host} within {} seconds", bounds.connect.as_secs()),
        (true, false) => format!("no answer from {host} within {} seconds", bounds.whole.as_secs()),
        (false, true) => format!("cannot connect to {host}"),
        (false, false) => format!("{host} ended the connection before its answer was complete"),
    }
}

fn certificate(error: &rustls::Error, host: &str) -> String {
    let rustls::Error::InvalidCertificate(why) = error else {
        return format!("{host} does not speak TLS as it should: is the port right?");
    };
    match why {
        CertificateError::UnknownIssuer => {
            format!("the certificate of {host} is not trusted: give its CA in caBundleRef")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the certificate of {host} is for another name")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate of {host} has expired")
        }
        _ => format!("the certificate of {host} is not valid"),
    }
}
