//! A client as a key should have it, and as it is known at its key manager.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::api::{ApplicationBlocks, ClientAuthentication, Environment, GrantType, Pkce, VendorBlocks};

/// Who owns a client: it is written on the client wherever the key manager can hold it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// The cluster's id.
    pub cluster_id: String,
    /// The key's namespace.
    pub namespace: String,
    /// The key's name.
    pub name: String,
}

/// Which client of an application a client is: key managers that keep clients in applications have one for each environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The name of the Application; empty where that is not known.
    pub application: String,
    /// The environment.
    pub environment: Environment,
}

impl Place {
    /// Whether nothing is known of it: state of an earlier version does not say it.
    pub const fn is_unknown(&self) -> bool {
        self.application.is_empty()
    }
}

/// The properties of a client, as they should be.
///
/// Their JSON form is hashed to see changes: what is not asked for is left out of it, so that a property which a later version
/// adds changes nothing for clients that do without.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Properties {
    /// Whose the client is from now on; differs from [`Client::mark`] only while a client is taken over.
    pub mark: Mark,
    /// Name of the Application.
    pub application: String,
    /// Name for people.
    pub display_name: String,
    /// Environment of the key.
    pub environment: Environment,
    /// How the client proves itself.
    pub authentication: ClientAuthentication,
    /// Grant types that it may use.
    pub grant_types: Vec<GrantType>,
    /// Where its logins may return to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
    /// The code challenge that its logins need.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pkce: Option<Pkce>,
    /// Scopes that it may have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Resources (RFC 8707) that it may ask tokens for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Life of its access tokens in seconds, where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token_lifetime: Option<i64>,
    /// Life of a refresh token that nobody uses, in seconds, where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token_lifetime: Option<i64>,
    /// Life of ID tokens in seconds, where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token_lifetime: Option<i64>,
    /// What the application itself is given, where clients are in applications.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_properties: Option<ApplicationProperties>,
    /// What key managers of one vendor are asked for.
    #[serde(skip_serializing_if = "VendorBlocks::is_empty")]
    pub vendor: VendorBlocks,
    /// No new token: no access rule selects the key's namespace any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
}

/// The properties of an application at a key manager that keeps clients in applications, beside its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationProperties {
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What else is known of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// What key managers of one vendor are asked for.
    #[serde(skip_serializing_if = "ApplicationBlocks::is_empty")]
    pub vendor: ApplicationBlocks,
}

/// Names a client at its key manager and holds what its management needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    /// Its id.
    pub id: String,
    /// Whose it must be: a client with another mark is never changed or deleted.
    pub mark: Mark,
    /// Which client of its application it is.
    #[serde(default, skip_serializing_if = "Place::is_unknown")]
    pub place: Place,
    /// The registration access token and its URI (RFC 7592), where the key manager gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management: Option<Management>,
}

/// What manages a dynamically registered client (RFC 7592 section 3).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Management {
    /// The client configuration endpoint.
    pub uri: String,
    /// The registration access token.
    #[serde(serialize_with = "crate::plan::expose")]
    pub token: SecretString,
    /// The registration access token before that, until the current one has worked.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::plan::expose_option"
    )]
    pub previous: Option<SecretString>,
}
