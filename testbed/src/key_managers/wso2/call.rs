//! The calls that the server knows: paths, methods, scopes.

use super::{Secrets, Settings, Version};

/// The three servers in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Api {
    /// The Developer Portal.
    Portal,
    /// Client registration for callers of the APIs.
    Registration,
    /// The token endpoint and its neighbours.
    OAuth,
}

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    missing_docs,
    reason = "each is the operation of that name; `Call::template` has its path"
)]
pub enum Call {
    Register,
    Token,
    ExternalToken,
    Revoke,
    Introspect,
    Jwks,
    ListApplications,
    CreateApplication,
    GetApplication,
    UpdateApplication,
    DeleteApplication,
    GenerateKeys,
    MapKeys,
    ListKeys,
    GetKey,
    UpdateKey,
    DeleteKey,
    CleanUp,
    RegenerateSecret,
    GenerateSecret,
    ListSecrets,
    RevokeSecret,
    GenerateToken,
    GenerateApiKey,
    ListApiKeys,
    RevokeApiKey,
    ListKeyManagers,
    ListPolicies,
    GetSettings,
    ListAttributes,
}

const SUBSCRIBE: &str = "apim:subscribe";
const MANAGE: &str = "apim:app_manage";
const EXPORT: &str = "apim:app_import_export";
const KEY: &[&str] = &[SUBSCRIBE, MANAGE];
const API_KEY: &[&str] = &[SUBSCRIBE, MANAGE, "apim:api_key"];

/// Method, path template, scopes of which one is enough. No scopes: no credentials needed.
type Route = (Call, Api, &'static str, &'static str, &'static [&'static str]);

const ROUTES: [Route; 30] = [
    (Call::Register, Api::Registration, "POST", "/register", &[]),
    (Call::Token, Api::OAuth, "POST", "/oauth2/token", &[]),
    (
        Call::ExternalToken,
        Api::OAuth,
        "POST",
        "/external/{keyManager}/token",
        &[],
    ),
    (Call::Revoke, Api::OAuth, "POST", "/oauth2/revoke", &[]),
    (Call::Introspect, Api::OAuth, "POST", "/oauth2/introspect", &[]),
    (Call::Jwks, Api::OAuth, "GET", "/oauth2/jwks", &[]),
    (
        Call::ListApplications,
        Api::Portal,
        "GET",
        "/applications",
        &[SUBSCRIBE, MANAGE, EXPORT],
    ),
    (Call::CreateApplication, Api::Portal, "POST", "/applications", KEY),
    (
        Call::GetApplication,
        Api::Portal,
        "GET",
        "/applications/{applicationId}",
        KEY,
    ),
    (
        Call::UpdateApplication,
        Api::Portal,
        "PUT",
        "/applications/{applicationId}",
        KEY,
    ),
    (
        Call::DeleteApplication,
        Api::Portal,
        "DELETE",
        "/applications/{applicationId}",
        &[SUBSCRIBE, MANAGE, EXPORT],
    ),
    (
        Call::GenerateKeys,
        Api::Portal,
        "POST",
        "/applications/{applicationId}/generate-keys",
        KEY,
    ),
    (
        Call::MapKeys,
        Api::Portal,
        "POST",
        "/applications/{applicationId}/map-keys",
        KEY,
    ),
    (
        Call::ListKeys,
        Api::Portal,
        "GET",
        "/applications/{applicationId}/oauth-keys",
        KEY,
    ),
    (
        Call::GetKey,
        Api::Portal,
        "GET",
        "/applications/{applicationId}/oauth-keys/{keyMappingId}",
        KEY,
    ),
    (
        Call::UpdateKey,
        Api::Portal,
        "PUT",
        "/applications/{applicationId}/oauth-keys/{keyMappingId}",
        KEY,
    ),
    (
        Call::DeleteKey,
        Api::Portal,
        "DELETE",
        "/applications/{applicationId}/oauth-keys/{keyMappingId}",
        KEY,
    ),
    (
        Call::CleanUp,
        Api::Portal,
        "POST",
        "/applications/{applicationId}/oauth-keys/{keyMappingId}/clean-up",
        KEY,
    ),
    (
        Call::RegenerateSecret,
        Api::Portal,
        "POST",
        "/applications/{applicationId}/oauth-keys/{keyMappingId}/regenerate-secret",
        KEY,
    ),
    (
        Call::GenerateSecret,
        Api::Portal,
        "POST",
        "/applications/{applicationId}/oauth-keys/{keyMappingId}/generate-secret",
        KEY,
    ),
    (
        Call::ListSecrets,
        Api::Portal,
        "GET",
        "/applications/{applicationId}/oauth-keys/{keyMappingId}/secrets",
        KEY,
    ),
    (
        Call::RevokeSecret,
        Api::Portal,
        "POST",
        "/applications/{applicationId}/oauth-keys/{keyMappingId}/revoke-secret",
        KEY,
    ),
    (
        Call::GenerateToken,
        Api::Portal,
        "POST",
        "/applications/{applicationId}/oauth-keys/{keyMappingId}/generate-token",
        KEY,
    ),
    (
        Call::GenerateApiKey,
        Api::Portal,
        "POST",
        "/applications/{applicationId}/api-keys/{keyType}/generate",
        API_KEY,
    ),
    (
        Call::ListApiKeys,
        Api::Portal,
        "GET",
        "/applications/{applicationId}/api-keys/{keyType}",
        API_KEY,
    ),
    (
        Call::RevokeApiKey,
        Api::Portal,
        "POST",
        "/applications/{applicationId}/api-keys/{keyType}/revoke",
        API_KEY,
    ),
    (Call::ListKeyManagers, Api::Portal, "GET", "/key-managers", &[SUBSCRIBE]),
    (
        Call::ListPolicies,
        Api::Portal,
        "GET",
        "/throttling-policies/{policyLevel}",
        &[],
    ),
    (
        Call::GetSettings,
        Api::Portal,
        "GET",
        "/settings",
        &["apim:store_settings"],
    ),
    (
        Call::ListAttributes,
        Api::Portal,
        "GET",
        "/settings/application-attributes",
        &[SUBSCRIBE],
    ),
];

/// Where a request leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Routed {
    pub(super) call: Call,
    /// The values of the path's parameters, in their order.
    pub(super) ids: Vec<String>,
}

impl Routed {
    /// A parameter of the path.
    pub(super) fn id(&self, index: usize) -> &str {
        self.ids.get(index).map_or("", String::as_str)
    }
}

impl Call {
    fn route(self) -> Route {
        // Each call has a route: see the test below.
        ROUTES.into_iter().find(|route| route.0 == self).unwrap_or(ROUTES[0])
    }

    /// Which API it belongs to.
    pub fn api(self) -> Api {
        self.route().1
    }

    /// Its method.
    pub fn method(self) -> &'static str {
        self.route().2
    }

    /// Its path below the API's base, as the vendor's file writes it.
    pub fn template(self) -> &'static str {
        self.route().3
    }

    /// The scopes of which one is enough.
    pub(super) fn scopes(self) -> &'static [&'static str] {
        self.route().4
    }

    /// Whether it honours `X-WSO2-Tenant`; the others use the user's own tenant.
    pub(super) fn crosses_tenants(self) -> bool {
        matches!(
            self,
            Self::ListApplications
                | Self::CreateApplication
                | Self::GetApplication
                | Self::GenerateKeys
                | Self::MapKeys
                | Self::ListKeys
                | Self::DeleteKey
                | Self::ListKeyManagers
        )
    }

    /// Whether a server with these settings has it.
    fn known(self, settings: &Settings) -> bool {
        match self {
            Self::DeleteKey => settings.version >= Version::V4_3,
            // Since 4.7, and before where an update brought it, which is then off until it is switched on.
            Self::GenerateSecret | Self::ListSecrets | Self::RevokeSecret => {
                settings.version >= Version::V4_7 || matches!(settings.secrets, Secrets::Multiple(_))
            }
            Self::ListApiKeys => settings.version >= Version::V4_7,
            _ => true,
        }
    }

    /// What a method and a path lead to.
    ///
    /// # Errors
    /// 404 where there is no such path, 405 where it has other methods only.
    pub(super) fn find(settings: &Settings, method: &str, path: &str) -> Result<Routed, u16> {
        let (api, path) = split(settings.version, path);
        let mut refusal = 404;
        for (call, of, with, template, _) in ROUTES {
            if of != api || !call.known(settings) {
                continue;
            }
            let Some(ids) = parameters(template, path) else {
                continue;
            };
            if with == method {
                return Ok(Routed { call, ids });
            }
            refusal = 405;
        }
        Err(refusal)
    }
}

/// The API and the path below its base. A base of another version is none.
fn split(version: Version, path: &str) -> (Api, &str) {
    let bases = [Some(version.base_path()), version.minor_path()];
    let below = |base| path.strip_prefix(base).filter(|rest: &&str| rest.starts_with('/'));
    if let Some(rest) = bases.into_iter().flatten().find_map(below) {
        return (Api::Portal, rest);
    }
    match path.strip_prefix("/client-registration/v0.17") {
        Some(rest) => (Api::Registration, rest),
        None => (Api::OAuth, path),
    }
}

fn parameters(template: &str, path: &str) -> Option<Vec<String>> {
    if template.split('/').count() != path.split('/').count() {
        return None;
    }
    let mut ids = vec![];
    for (wanted, found) in template.split('/').zip(path.split('/')) {
        if wanted.starts_with('{') {
            ids.push(found.to_owned());
        } else if wanted != found {
            return None;
        }
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_another_version_is_none() {
        let find = |version, path: &str| Call::find(&Settings::of(version), "GET", path).map(|routed| routed.call);
        assert_eq!(
            find(Version::V4_1, "/api/am/devportal/v2/applications"),
            Ok(Call::ListApplications)
        );
        assert_eq!(find(Version::V4_1, "/api/am/devportal/v3/applications"), Err(404));
        assert_eq!(find(Version::V4_2, "/api/am/devportal/v2/applications"), Err(404));
        assert_eq!(
            find(Version::V4_7, "/api/am/devportal/v3.5/key-managers"),
            Ok(Call::ListKeyManagers)
        );
        assert_eq!(find(Version::V4_7, "/api/am/devportal/v3.1/key-managers"), Err(404));
    }

    #[test]
    fn each_call_has_one_route() {
        for (call, ..) in ROUTES {
            assert_eq!(ROUTES.iter().filter(|route| route.0 == call).count(), 1, "{call:?}");
        }
    }

    #[test]
    fn newer_calls_are_unknown_to_older_servers() {
        let path = "/api/am/devportal/v3/applications/a/oauth-keys/k";
        let find = |version, method, path: &str| Call::find(&Settings::of(version), method, path);
        assert_eq!(find(Version::V4_2, "DELETE", path), Err(405));
        assert_eq!(
            find(Version::V4_3, "DELETE", path).map(|routed| routed.call),
            Ok(Call::DeleteKey)
        );
        assert_eq!(find(Version::V4_6, "GET", &format!("{path}/secrets")), Err(404));
        let updated = Settings::of(Version::V4_6).with_secrets(Secrets::Multiple(2));
        assert!(Call::find(&updated, "GET", &format!("{path}/secrets")).is_ok());
    }
}
