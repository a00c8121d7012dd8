//! The custom resources of group `appkeys.dev`: types and validation rules, no I/O.
//!
//! Doc comments of fields are user documentation: they become `kubectl explain`. Rules that the
//! schema can express are CEL rules beside the field; what depends on other objects is a condition.

#![expect(unreachable_pub, reason = "KubeSchema derives a shadow struct inside a function")]
#![expect(clippy::duplicated_attributes, reason = "each printcolumn names its own type")]

pub mod access;
pub mod application;
pub mod application_key;
pub mod conditions;
pub mod duration;
pub mod key_manager;
pub mod remote;
mod schema;
pub mod secret;
pub mod vendor;
pub mod wso2;

pub use access::{AccessRule, GrantType};
pub use application::{Application, ApplicationSpec, ApplicationStatus};
pub use application_key::{
    AccessTokenSpec, Adopt, ApplicationKey, ApplicationKeySpec, ApplicationKeyStatus, ClientAuthentication,
    CredentialKind, DeletionPolicy, Environment, Pkce, RotationSpec, RotationStrategy,
};
pub use duration::Duration;
pub use key_manager::{
    CapabilityStatus, ClusterKeyManager, ClusterKeyManagerSpec, KeyManager, KeyManagerKind, KeyManagerRef,
    KeyManagerSpec, KeyManagerStatus, Limits, ResidentSpec,
};
pub use remote::{Drift, DriftPolicy, KeycloakSpec, OidcSpec, OktaSpec};
pub use secret::{SecretPreset, SecretSpec, SecretType, TokensPlacement};
pub use vendor::{ApplicationBlocks, KeycloakClient, PkceMethod, Vendor, VendorBlocks};
pub use wso2::{Wso2Application, Wso2Client, Wso2Login, Wso2Spec};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The API group of all four kinds.
pub const GROUP: &str = "appkeys.dev";
/// The one served version.
pub const VERSION: &str = "v1alpha1";
/// Our finalizer on all four kinds.
pub const FINALIZER: &str = "appkeys.dev/cleanup";
/// The field manager of every write.
pub const FIELD_MANAGER: &str = "appkeys";
/// Label of a definition: the version of the program that it is of.
pub const DEFINITIONS_VERSION: &str = "app.kubernetes.io/version";

/// The definitions to install, in the order in which they are printed.
pub fn all_crds() -> Vec<CustomResourceDefinition> {
    let mut all = vec![
        ClusterKeyManager::crd(),
        KeyManager::crd(),
        Application::crd(),
        ApplicationKey::crd(),
    ];
    for crd in &mut all {
        let labels = crd.metadata.labels.get_or_insert_default();
        labels.insert(DEFINITIONS_VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    }
    all
}
