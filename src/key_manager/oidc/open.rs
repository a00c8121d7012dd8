//! Finds out what a server of dynamic client registration is and can do.

use std::sync::Arc;

use super::{driver::OidcDriver, initial_token::InitialToken, registrar::Registrar};
use crate::{
    api::{GrantType, OidcSpec},
    key_manager::{
        Capabilities, Category, Choice, Error, KeyManager, Overlap,
        remote::{CredentialSource, HttpClient, Metadata, discover},
    },
};

/// Opens the server of `spec`; `ca` is what workloads check it with, `token` where the initial access token is kept.
///
/// # Errors
/// What stands against its use.
pub(in crate::key_manager) async fn open(
    spec: &OidcSpec,
    http: HttpClient,
    ca: Option<String>,
    token: Option<Arc<dyn CredentialSource>>,
) -> Result<Arc<dyn KeyManager>, Error> {
    let metadata = discover(&http, &spec.issuer).await?;
    let endpoint = spec
        .registration_endpoint
        .as_ref()
        .or(metadata.registration_endpoint.as_ref());
    let Some(endpoint) = endpoint else {
        let text = format!(
            "the metadata of issuer {} name no registration endpoint: turn dynamic client registration on there, or give oidc.registrationEndpoint",
            spec.issuer
        );
        return Err(Error::new(Category::InvalidRequest, text));
    };
    let endpoint = http.allowed(endpoint)?;
    Ok(Arc::new(OidcDriver {
        capabilities: capabilities(&metadata),
        endpoints: metadata.endpoints(ca),
        registrar: Registrar::new(http.clone(), endpoint, token.map(InitialToken::new)),
        http,
    }))
}

fn capabilities(metadata: &Metadata) -> Capabilities {
    let all = [
        (GrantType::ClientCredentials, "client_credentials"),
        (GrantType::AuthorizationCode, "authorization_code"),
        (GrantType::RefreshToken, "refresh_token"),
    ];
    // What is not said is found out by the registration.
    let offered = metadata.grant_types_supported.as_deref();
    let serves = |name: &str| offered.is_none_or(|offered| offered.iter().any(|other| other == name));
    let reasons = [
        (
            "ChosenClientId",
            "dynamic client registration (RFC 7591): the server chooses client ids",
        ),
        (
            "ChosenSecret",
            "dynamic client registration (RFC 7591): the server chooses secrets",
        ),
        (
            "SecretRotation",
            "no request of RFC 7592 changes a secret: rotation.strategy ReplaceClient registers another client",
        ),
        (
            "SecretOverlap",
            "a client has one secret: with rotation.strategy ReplaceClient the old client works through the overlap",
        ),
        (
            "ReadSecret",
            "by the client configuration endpoint (RFC 7592), of clients that the server gives one",
        ),
        ("FindClient", "no request of RFC 7591 looks for clients"),
        (
            "AccessTokenLifetime",
            "dynamic client registration has no member for it: the server decides",
        ),
    ];
    Capabilities {
        client_id: Choice::Theirs,
        secret_at_creation: Choice::Theirs,
        secret_at_rotation: None,
        read_secret: true,
        overlap: Overlap::None,
        find: false,
        grant_types: all
            .into_iter()
            .filter(|(_, name)| serves(name))
            .map(|(grant, _)| grant)
            .collect(),
        access_token_lifetime: false,
        reasons: reasons.map(|(name, text)| (name, text.to_owned())).into(),
    }
}
