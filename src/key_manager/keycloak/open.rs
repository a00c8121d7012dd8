//! Finds out what a realm is and can do.

use std::sync::Arc;

use super::{
    admin::{Admin, ServerInfo},
    driver::KeycloakDriver,
    words,
};
use crate::{
    api::{ClientAuthentication, KeycloakSpec, Vendor},
    clock::Clock,
    entropy::Entropy,
    key_manager::{
        Capabilities, Category, Choice, Error, IdForm, KeyAlgorithm, KeyManager, Overlap, PkceMethods,
        remote::{CredentialSource, HttpClient, Login, Metadata, Session, discover},
    },
};

/// The feature of the server that keeps two secrets for a client.
const ROTATION: &str = "CLIENT_SECRET_ROTATION";

/// Opens the realm of `spec`; `ca` is what workloads check its server with.
///
/// # Errors
/// What stands against its use.
pub(in crate::key_manager) async fn open(
    spec: &KeycloakSpec,
    http: HttpClient,
    ca: Option<String>,
    source: Arc<dyn CredentialSource>,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<Arc<dyn KeyManager>, Error> {
    let server = spec.url.trim_end_matches('/');
    let issuer = format!("{server}/realms/{}", spec.realm);
    let metadata = discover(&http, &issuer).await.map_err(|error| match error.category {
        // What is at fault is named as the spec has it: nobody has written an issuer there.
        Category::InvalidRequest if error.sent => Error {
            message: format!("{} (realm {} at {server})", error.message, spec.realm),
            ..error
        },
        _ => error,
    })?;
    let login = Login::ClientCredentials {
        token_endpoint: metadata.token_endpoint.clone(),
        scopes: vec![],
        authentication: ClientAuthentication::ClientSecretBasic,
        refuses_credential: words::refuse_credential,
    };
    let operator = source.read().await?.client_id;
    let session = Session::new(http.clone(), login, source);
    let admin = Admin::new(http.clone(), session, server, &spec.realm);
    let info = admin.server_info().await?;
    let capabilities = capabilities(info.as_ref(), &metadata);
    Ok(Arc::new(KeycloakDriver {
        admin,
        operator,
        rotation: capabilities.overlap != Overlap::None,
        capabilities,
        endpoints: metadata.endpoints(ca),
        http,
        clock: clock.clone(),
        entropy: entropy.clone(),
    }))
}

fn capabilities(info: Option<&ServerInfo>, metadata: &Metadata) -> Capabilities {
    let rotation = info.is_some_and(|info| info.features.iter().any(|f| f.name == ROTATION && f.enabled));
    let why = if rotation {
        "the server has the feature client-secret-rotation; a client has two secrets where a client policy of the realm gives its secret an end"
    } else if info.is_some() {
        "the server's feature client-secret-rotation is off: choose rotation.strategy ReplaceClient (a new client id) or InPlace (a short cut)"
    } else {
        "the operator's own client may not see the server's features (/admin/serverinfo)"
    };
    Capabilities {
        client_id: Choice::Ours,
            client_ids: IdForm::Readable,
            applications: false,
        secret_at_creation: Choice::Ours,
        secret_at_rotation: Some(Choice::Ours),
        read_secret: true,
        overlap: if rotation { Overlap::ServerEnds } else { Overlap::None },
        adopt: true,
        find: false,
        grant_types: metadata.grant_types(),
        access_token_lifetime: true,
        refresh_token_lifetime: true,
            id_token_lifetime: false,
        authentication: vec![
            ClientAuthentication::ClientSecretBasic,
            ClientAuthentication::ClientSecretPost,
            ClientAuthentication::PrivateKeyJwt,
            ClientAuthentication::None,
        ],
        key_algorithm: KeyAlgorithm::ES256,
        key_overlap: Overlap::WeEnd,
        pkce: PkceMethods::One,
        scopes: true,
        resources: true,
        vendors: vec![Vendor::Keycloak],
        reasons: vec![
            ("SecretOverlap", why.to_owned()),
            ("FindClient", "not needed: client ids are chosen".to_owned()),
            (
                "PkcePlain",
                "a client demands one method: spec.keycloak.pkceMethod says whether S256 or Plain; with spec.pkce.required false apps may use both, and none".to_owned(),
            ),
            (
                "RefreshTokenLifetime",
                "up to the realm's SSO Session Idle".to_owned(),
            ),
        ],
    }
}
