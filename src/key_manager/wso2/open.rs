//! Finds out what a WSO2 is and can do.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::{
    driver::Wso2Driver,
    entry::{Entry, RESIDENT},
    login::{Password, Registration, SCOPE},
    portal::Portal,
};
use crate::{
    api::{ClientAuthentication, GrantType, Vendor, Wso2Login, Wso2Spec},
    entropy::Entropy,
    key_manager::{
        Capabilities, Category, Choice, Endpoints, Error, IdForm, KeyAlgorithm, KeyManager, Overlap, PkceMethods,
        credentials::GivenSecret,
        remote::{CredentialSource, HttpClient, Login, Session, invalid_client},
    },
};

/// The Developer Portal API of 4.2 and later.
const PORTAL: &str = "/api/am/devportal/v3";

/// Opens the WSO2 of `spec`; `ca` is what workloads check its server with.
///
/// # Errors
/// What stands against its use.
pub(in crate::key_manager) async fn open(
    spec: &Wso2Spec,
    http: HttpClient,
    ca: Option<String>,
    secret: GivenSecret,
    entropy: &Entropy,
) -> Result<Arc<dyn KeyManager>, Error> {
    let server = spec.url.trim_end_matches('/');
    http.allowed(server)?;
    let kind = spec.login.unwrap_or_default();
    let source: Arc<dyn CredentialSource> = match kind {
        Wso2Login::Client => Arc::new(secret),
        Wso2Login::Registration => Arc::new(Registration {
            secret,
            http: http.clone(),
            url: format!("{server}/client-registration/v0.17/register"),
            registered: Mutex::default(),
        }),
        Wso2Login::Password => Arc::new(Password(secret)),
    };
    let login = match kind {
        Wso2Login::Client | Wso2Login::Registration => Login::ClientCredentials {
            token_endpoint: format!("{server}/oauth2/token"),
            // Scopes that the user's roles do not open are dropped (W2), and missing ones are a 401 like any other (W11).
            scopes: vec![SCOPE.to_owned()],
            authentication: ClientAuthentication::ClientSecretBasic,
            refuses_credential: invalid_client,
        },
        Wso2Login::Password => Login::Bearer,
    };
    let operator = match kind {
        Wso2Login::Client | Wso2Login::Registration => source.read().await?.client_id,
        Wso2Login::Password => String::new(),
    };
    let portal = Portal {
        session: Session::new(http.clone(), login, source),
        http,
        base: format!("{server}{}", spec.dev_portal_path.as_deref().unwrap_or(PORTAL)),
        scheme: if kind == Wso2Login::Password { "Basic" } else { "Bearer" },
        tenant: spec.tenant.clone(),
    };
    let entry = portal.entry(spec.key_manager.as_deref().unwrap_or(RESIDENT)).await?;
    let endpoints = endpoints(spec, server, &entry, ca)?;
    for url in [Some(&endpoints.token), endpoints.revocation.as_ref()]
        .into_iter()
        .flatten()
    {
        portal.http.allowed(url)?;
    }
    Ok(Arc::new(Wso2Driver {
        portal,
        policy: spec.throttling_policy.clone().unwrap_or_else(|| "Unlimited".to_owned()),
        operator,
        capabilities: capabilities(&entry),
        endpoints,
        entry,
        entropy: entropy.clone(),
        known: std::sync::Mutex::default(),
    }))
}

fn endpoints(spec: &Wso2Spec, server: &str, entry: &Entry, ca: Option<String>) -> Result<Endpoints, Error> {
    let given = |url: &Option<String>| url.clone().filter(|url| !url.is_empty());
    if !entry.is_resident() {
        let Some(token) = given(&entry.token_endpoint) else {
            let text = format!("key manager {} inside WSO2 says no token endpoint", entry.name);
            return Err(Error::new(Category::InvalidRequest, text));
        };
        return Ok(Endpoints {
            issuer: spec.issuer.clone().unwrap_or_default(),
            token,
            revocation: given(&entry.revoke_endpoint),
            ca,
            ..Endpoints::default()
        });
    }
    let tenant = spec
        .tenant
        .as_ref()
        .map(|tenant| format!("/t/{tenant}"))
        .unwrap_or_default();
    Ok(Endpoints {
        issuer: spec.issuer.clone().unwrap_or_else(|| format!("{server}/oauth2/token")),
        token: given(&entry.token_endpoint).unwrap_or_else(|| format!("{server}/oauth2/token")),
        jwks: Some(format!("{server}{tenant}/oauth2/jwks")),
        authorization: Some(format!("{server}/oauth2/authorize")),
        introspection: Some(format!("{server}{tenant}/oauth2/introspect")),
        revocation: Some(given(&entry.revoke_endpoint).unwrap_or_else(|| format!("{server}/oauth2/revoke"))),
        ca,
    })
}

fn grant_types(entry: &Entry) -> Vec<GrantType> {
    let all = [
        (GrantType::ClientCredentials, "client_credentials"),
        (GrantType::AuthorizationCode, "authorization_code"),
        (GrantType::RefreshToken, "refresh_token"),
    ];
    let offered = entry.available_grant_types.as_ref();
    let offers = |name: &str| offered.is_none_or(|offered| offered.iter().any(|one| one == name));
    all.into_iter()
        .filter(|(_, name)| offers(name))
        .map(|(grant, _)| grant)
        .collect()
}

fn capabilities(entry: &Entry) -> Capabilities {
    let has = |name: &str| entry.setting(name).is_some();
    let (resident, several) = (
        entry.is_resident(),
        entry.is_resident() && entry.keeps_several_secrets(),
    );
    // 4.0 knows neither PKCE nor another secret (W36).
    let newer = resident && has("pkceMandatory");
    let public = resident && has("bypassClientCredentials");
    let mut authentication = vec![
        ClientAuthentication::ClientSecretBasic,
        ClientAuthentication::ClientSecretPost,
    ];
    authentication.extend(public.then_some(ClientAuthentication::None));
    let choice = if resident { Choice::Ours } else { Choice::Theirs };
    let secrets = match (resident, several) {
        (_, true) => "a client has several secrets here",
        (true, false) => "a client has one secret here: choose rotation.strategy InPlace (a short cut)",
        (false, false) => "a client of a third-party key manager has one secret, which WSO2 cannot replace",
    };
    Capabilities {
        client_id: choice,
        client_ids: IdForm::Word,
        applications: true,
        secret_at_creation: choice,
        secret_at_rotation: (newer || several).then_some(Choice::Theirs),
        // Where it is kept as a digest a read tells so.
        read_secret: !several && !entry.is_okta(),
        overlap: if several { Overlap::WeEnd } else { Overlap::None },
        adopt: true,
        find: true,
        grant_types: grant_types(entry),
        access_token_lifetime: resident && has("application_access_token_expiry_time"),
        refresh_token_lifetime: resident && has("refresh_token_expiry_time"),
        id_token_lifetime: resident && has("id_token_expiry_time"),
        authentication,
        key_algorithm: KeyAlgorithm::ES256,
        key_overlap: Overlap::None,
        pkce: if newer && has("pkceSupportPlain") {
            PkceMethods::Both
        } else {
            PkceMethods::Nothing
        },
        scopes: false,
        resources: false,
        vendors: vec![Vendor::Wso2],
        reasons: vec![
            ("SecretOverlap", secrets.to_owned()),
            (
                "ClientScopes",
                "WSO2 decides by the roles that a scope needs; a key has no list of scopes".to_owned(),
            ),
            ("Resources", "WSO2 knows no resource indicators (RFC 8707)".to_owned()),
            (
                "Applications",
                "an Application is an application in WSO2, with one key for each environment; it goes with its last key".to_owned(),
            ),
            (
                "AdoptClient",
                "clients that are in no application of WSO2 yet, where it keeps client secrets and not their digests".to_owned(),
            ),
        ],
    }
}
