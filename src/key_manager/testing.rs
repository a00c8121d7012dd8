//! A client as tests of drivers ask for it.

use super::{Mark, Properties};
use crate::api::{ClientAuthentication, Environment, VendorBlocks};

/// A client with a secret that may do nothing; a test says what it should be beside that.
pub(crate) fn properties() -> Properties {
    Properties {
        mark: Mark {
            cluster_id: "c".into(),
            namespace: "n".into(),
            name: "k".into(),
        },
        application: "shop".into(),
        display_name: "Web shop".into(),
        environment: Environment::Sandbox,
        authentication: ClientAuthentication::ClientSecretBasic,
        grant_types: vec![],
        redirect_uris: vec![],
        pkce: None,
        scopes: vec![],
        resources: vec![],
        access_token_lifetime: None,
        refresh_token_lifetime: None,
        id_token_lifetime: None,
        application_properties: None,
        vendor: VendorBlocks::default(),
        frozen: false,
    }
}
