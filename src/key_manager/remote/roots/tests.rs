use std::process::Command;

use super::*;
use crate::{
    clock::Clock,
    key_manager::remote::{
        testing::now,
        way::{HttpClient, Way},
    },
};

/// What the other test tells its process to do.
const TASK: &str = "APPKEYS_TEST_ROOTS";

#[test]
fn built_in_cas_are_for_systems_without_any_where_nobody_names_others() {
    let unasked = || panic!("the system is not asked when somebody names CAs");
    assert!(needed(false, || false));
    assert!(!needed(false, || true));
    assert!(!needed(true, unasked));
}

/// CAs that most of the public servers of this world have their certificates from.
#[test]
fn the_built_in_cas_can_be_read_and_the_well_known_are_among_them() {
    let subjects: Vec<_> = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|der| {
            x509_parser::parse_x509_certificate(der)
                .unwrap()
                .1
                .subject()
                .to_string()
        })
        .collect();
    assert_eq!(mozilla().len(), subjects.len());
    for known in [
        "ISRG Root X1",
        "DigiCert Global Root G2",
        "GTS Root R1",
        "Amazon Root CA 1",
    ] {
        assert!(
            subjects.iter().any(|subject| subject.contains(&format!("CN={known}"))),
            "{known}"
        );
    }
}

/// In a process of its own, because it is told by variables: a file without CAs stands for a system without any.
#[test]
fn a_client_needs_public_cas_and_has_them_from_the_system_the_variables_or_this_program() {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (none, some) = (
        tempfile::NamedTempFile::new().unwrap(),
        tempfile::NamedTempFile::new().unwrap(),
    );
    std::fs::write(some.path(), certificate.cert.pem()).unwrap();
    for (task, file) in [("none", &none), ("some", &some)] {
        let this = "key_manager::remote::roots::tests::alone";
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", this, "--nocapture"]);
        let output = command
            .env(TASK, task)
            .env("SSL_CERT_FILE", file.path())
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
}

/// The process of the test before; by itself it does nothing.
#[test]
fn alone() {
    let Ok(task) = env::var(TASK) else { return };
    let client = |way: &Way| HttpClient::new(way, Clock::new(now)).map(|_| ());
    assert!(built_in().is_empty(), "nobody asked for Mozilla's");
    if task == "some" {
        client(&Way::default()).unwrap();
        return;
    }
    let error = client(&Way::default()).unwrap_err();
    assert!(error.contains("SSL_CERT_FILE"), "{error}");
    // Nothing from the system, so what a client has it has from this program, or from its CA bundle.
    let bare = || reqwest::Client::builder();
    assert!(bare().build().is_err());
    bare().tls_certs_merge(mozilla()).build().unwrap();
    let ca = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    client(&Way {
        ca: Some(ca.cert.pem()),
        ..Way::default()
    })
    .unwrap();
}
