//! Finds out what an org and its authorization server are and can do.

use std::sync::Arc;

use super::{api::Api, driver::OktaDriver, login::AppLogin, young::Young};
use crate::{
    api::{ClientAuthentication, OktaSpec},
    clock::Clock,
    entropy::Entropy,
    key_manager::{
        Capabilities, Category, Choice, Error, IdForm, KeyAlgorithm, KeyManager, Overlap, PkceMethods,
        remote::{CredentialSource, HttpClient, Login, Metadata, Session, discover},
    },
};

/// The authorization server that an org has from the beginning.
const DEFAULT: &str = "default";

/// How the operator logs in.
#[derive(Debug)]
pub(in crate::key_manager) enum Operator {
    /// As a service app, with its private key.
    App(Arc<dyn CredentialSource>),
    /// With the API token of an administrator.
    Token(Arc<dyn CredentialSource>),
}

/// Opens the org of `spec`; `ca` is what workloads check its server with.
///
/// # Errors
/// What stands against its use.
pub(in crate::key_manager) async fn open(
    spec: &OktaSpec,
    http: HttpClient,
    ca: Option<String>,
    operator: Operator,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<Arc<dyn KeyManager>, Error> {
    let org = spec.url.trim_end_matches('/').to_owned();
    let server = spec.authorization_server.as_deref().unwrap_or(DEFAULT);
    let issuer = format!("{org}/oauth2/{server}");
    let metadata = discover(&http, &issuer).await.map_err(|error| match error.category {
        // The org's own server gives clients no tokens (O16).
        Category::InvalidRequest if error.sent => Error {
            message: format!(
                "{} (authorization server {server} at {org}: custom ones are there where the org has API Access Management)",
                error.message
            ),
            ..error
        },
        _ => error,
    })?;
    let (login, app, source) = match operator {
        Operator::App(source) => {
            let app = Arc::new(AppLogin::new(http.clone(), &org, entropy.clone())?);
            (Login::By(app.clone()), Some(app), source)
        }
        Operator::Token(source) => (Login::Bearer, None, source),
    };
    let own = source.read().await?.client_id;
    let session = Session::new(http.clone(), login, source);
    let api = Api::new(http.clone(), session, app, org, server.to_owned());
    api.probe().await?;
    Ok(Arc::new(OktaDriver {
        api,
        operator: own,
        capabilities: capabilities(server, &metadata),
        endpoints: metadata.endpoints(ca),
        http,
        young: Young::new(clock.now()),
        clock: clock.clone(),
        entropy: entropy.clone(),
    }))
}

fn capabilities(server: &str, metadata: &Metadata) -> Capabilities {
    let policies = format!("Security, API, Authorization Servers, {server}, Access Policies");
    let scopes = format!("Security, API, Authorization Servers, {server}, Scopes");
    let reasons = [
        ("SecretOverlap", "an app has two secrets".to_owned()),
        (
            "ReadSecret",
            "where the operator's role has the permission okta.apps.clientCredentials.read".to_owned(),
        ),
        ("FindClient", "not needed: client ids are chosen".to_owned()),
        (
            "AccessTokenLifetime",
            format!("the rules of access policies set it ({policies})"),
        ),
        (
            "RefreshTokenLifetime",
            format!("the rules of access policies set it ({policies})"),
        ),
        ("IdTokenLifetime", "Okta's id tokens live for an hour".to_owned()),
        ("Applications", "an app of Okta is one client".to_owned()),
        (
            "ClientScopes",
            format!("access policies of the authorization server decide what scopes a client may have ({policies})"),
        ),
        (
            "Resources",
            "its authorization server issues tokens for its own audience".to_owned(),
        ),
        ("PkcePlain", "Okta knows S256 only".to_owned()),
        (
            "access_denied",
            format!(
                "no rule of an access policy of authorization server {server} lets this client have it: its administrator adds the client to a policy, and the grant type and scopes to a rule of that ({policies})"
            ),
        ),
        (
            "invalid_scope",
            format!(
                "authorization server {server} has no such scope, or no default one where none is asked for: its administrator adds it ({scopes})"
            ),
        ),
        (
            "consent_required",
            format!(
                "a person has to consent to this scope, so that no program can have it: its administrator sets its user consent to implicit ({scopes})"
            ),
        ),
    ];
    Capabilities {
        client_id: Choice::Ours,
        client_ids: IdForm::Readable,
        applications: false,
        secret_at_creation: Choice::Ours,
        secret_at_rotation: Some(Choice::Ours),
        read_secret: true,
        overlap: Overlap::WeEnd,
        adopt: true,
        find: false,
        grant_types: metadata.grant_types(),
        access_token_lifetime: false,
        refresh_token_lifetime: false,
        id_token_lifetime: false,
        authentication: vec![
            ClientAuthentication::ClientSecretBasic,
            ClientAuthentication::ClientSecretPost,
            ClientAuthentication::PrivateKeyJwt,
            ClientAuthentication::None,
        ],
        key_algorithm: KeyAlgorithm::ES256,
        key_overlap: Overlap::WeEnd,
        pkce: PkceMethods::S256,
        scopes: false,
        resources: false,
        vendors: vec![],
        reasons: reasons.into(),
    }
}
