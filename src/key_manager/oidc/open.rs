//! Finds out what a server of dynamic client registration is and can do.

use std::sync::Arc;

use super::{driver::OidcDriver, initial_token::InitialToken, registrar::Registrar};
use crate::{
    api::{ClientAuthentication, OidcSpec},
    entropy::Entropy,
    key_manager::{
        Capabilities, Category, Choice, Error, IdForm, KeyAlgorithm, KeyManager, Overlap, PkceMethods,
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
    entropy: &Entropy,
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
        entropy: entropy.clone(),
    }))
}

fn capabilities(metadata: &Metadata) -> Capabilities {
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
            "PrivateKeyJwt",
            "as the server's metadata say (token_endpoint_auth_methods_supported)",
        ),
        (
            "PublicClients",
            "as the server's metadata say (token_endpoint_auth_methods_supported)",
        ),
        (
            "PkcePlain",
            "dynamic client registration has no member for it: apps use PKCE where the server knows it",
        ),
        (
            "PkceS256",
            "dynamic client registration has no member for it: apps use PKCE where the server knows it",
        ),
        (
            "AdoptClient",
            "where its registration access token is given; without one it is used as it is and never changed",
        ),
        (
            "AccessTokenLifetime",
            "dynamic client registration has no member for it: the server decides",
        ),
        (
            "ClientScopes",
            "asked for in the registration; what the server makes of it is in its answer",
        ),
        ("Resources", "where the server knows resource indicators (RFC 8707)"),
        (
            "RefreshTokenLifetime",
            "dynamic client registration has no member for it: the server decides",
        ),
        (
            "IdTokenLifetime",
            "dynamic client registration has no member for it: the server decides",
        ),
        ("Applications", "each client stands for itself"),
    ];
    Capabilities {
        client_id: Choice::Theirs,
        client_ids: IdForm::Readable,
        applications: false,
        secret_at_creation: Choice::Theirs,
        secret_at_rotation: None,
        read_secret: true,
        overlap: Overlap::None,
        find: false,
        grant_types: metadata.grant_types(),
        access_token_lifetime: false,
        refresh_token_lifetime: false,
        id_token_lifetime: false,
        adopt: true,
        authentication: authentication(metadata),
        key_algorithm: algorithm(metadata).unwrap_or_default(),
        key_overlap: Overlap::None,
        pkce: PkceMethods::Nothing,
        scopes: true,
        resources: true,
        vendors: vec![],
        reasons: reasons.map(|(name, text)| (name, text.to_owned())).into(),
    }
}

/// How clients can prove themselves; where the metadata do not say, by their secret (RFC 8414 section 2).
fn authentication(metadata: &Metadata) -> Vec<ClientAuthentication> {
    let all = [
        (ClientAuthentication::ClientSecretBasic, "client_secret_basic"),
        (ClientAuthentication::ClientSecretPost, "client_secret_post"),
        (ClientAuthentication::PrivateKeyJwt, "private_key_jwt"),
        (ClientAuthentication::None, "none"),
    ];
    let said = metadata.token_endpoint_auth_methods_supported.as_deref();
    let has = |authentication: ClientAuthentication, name: &str| match said {
        Some(said) => said.iter().any(|other| other == name),
        None => authentication == ClientAuthentication::ClientSecretBasic,
    };
    let mut can: Vec<_> = all
        .into_iter()
        .filter(|(a, name)| has(*a, name))
        .map(|(a, _)| a)
        .collect();
    if algorithm(metadata).is_none() {
        can.retain(|authentication| *authentication != ClientAuthentication::PrivateKeyJwt);
    }
    can
}

/// What assertions are signed with: the first of ours that the server knows.
fn algorithm(metadata: &Metadata) -> Option<KeyAlgorithm> {
    let Some(said) = &metadata.token_endpoint_auth_signing_alg_values_supported else {
        return Some(KeyAlgorithm::ES256);
    };
    let knows = |name: &str| said.iter().any(|other| other == name);
    [(KeyAlgorithm::ES256, "ES256"), (KeyAlgorithm::RS256, "RS256")]
        .into_iter()
        .find_map(|(algorithm, name)| knows(name).then_some(algorithm))
}
