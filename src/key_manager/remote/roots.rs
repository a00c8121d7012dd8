//! Public CAs where the system has none, as in an image that holds nothing but the operator.

use std::{env, sync::LazyLock};

use reqwest::Certificate;

/// Who names the CAs to trust by these, as with most programs, wants those and no others.
const NAMED_BY: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Mozilla's CAs, as of this build, where nothing says otherwise: neither the usual variables nor the system.
pub(crate) fn built_in() -> Vec<Certificate> {
    // Once: a store is read file by file, and none comes while the process runs.
    static NEEDED: LazyLock<bool> = LazyLock::new(|| {
        let named = NAMED_BY.iter().any(|name| env::var_os(name).is_some());
        needed(named, || !rustls_native_certs::load_native_certs().certs.is_empty())
    });
    if *NEEDED { mozilla() } else { vec![] }
}

fn needed(named: bool, system: impl FnOnce() -> bool) -> bool {
    !named && !system()
}

fn mozilla() -> Vec<Certificate> {
    let all = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    all.filter_map(|der| Certificate::from_der(der).ok()).collect()
}

#[cfg(test)]
mod tests;
