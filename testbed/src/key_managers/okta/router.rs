//! Which operation a request is for.

use super::{admission, apps, credentials, org::Org, servers, token};
use crate::key_managers::double::{Answer, Ask};

/// Carries a request out.
pub(super) fn route(org: &mut Org, ask: &Ask) -> Result<Answer, Answer> {
    let parts: Vec<_> = ask.path.split('/').skip(1).collect();
    if let ["api", "v1", rest @ ..] = &parts[..] {
        admission::admit(org, ask)?;
        return manage(org, ask, rest);
    }
    match (ask.method.as_str(), &parts[..]) {
        ("POST", ["oauth2", "v1", "token"]) => admission::token(org, ask),
        ("GET", ["oauth2", "v1", "keys"]) => Ok(token::keys(org)),
        ("GET", [".well-known", "openid-configuration"]) => Ok(token::org_metadata(org)),
        (
            "GET",
            [
                "oauth2",
                id,
                ".well-known",
                "oauth-authorization-server" | "openid-configuration",
            ]
            | [".well-known", "oauth-authorization-server", "oauth2", id],
        ) => token::metadata(org, ask, id),
        ("GET", ["oauth2", id, "v1", "keys"]) => servers::find(org, id).map(|_| token::keys(org)),
        ("POST", ["oauth2", id, "v1", "token"]) => token::token(org, ask, id),
        ("POST", ["oauth2", id, "v1", "introspect"]) => token::introspect(org, ask, id),
        ("POST", ["oauth2", id, "v1", "revoke"]) => token::revoke(org, ask, id),
        _ => Err(unknown()),
    }
}

/// The management API, below `/api/v1`.
fn manage(org: &mut Org, ask: &Ask, parts: &[&str]) -> Result<Answer, Answer> {
    use credentials::{add_key, add_secret, delete_key, delete_secret, turn_key, turn_secret};
    let turned = |verb: &str| match verb {
        "activate" => Ok(true),
        "deactivate" => Ok(false),
        _ => Err(unknown()),
    };
    match (ask.method.as_str(), parts) {
        ("GET", ["apps"]) => apps::list(org, ask),
        ("POST", ["apps"]) => apps::create(org, ask),
        ("GET", ["apps", id]) => apps::get(org, id),
        ("PUT", ["apps", id]) => apps::replace(org, ask, id),
        ("DELETE", ["apps", id]) => apps::delete(org, id),
        ("POST", ["apps", id, "lifecycle", verb]) => apps::turn(org, id, turned(verb)?),
        ("GET", ["apps", id, "credentials", "secrets"]) => credentials::list_secrets(org, id),
        ("POST", ["apps", id, "credentials", "secrets"]) => add_secret(org, ask, id),
        ("GET", ["apps", id, "credentials", "secrets", one]) => credentials::get_secret(org, id, one),
        ("DELETE", ["apps", id, "credentials", "secrets", one]) => delete_secret(org, id, one),
        ("POST", ["apps", id, "credentials", "secrets", one, "lifecycle", verb]) => {
            turn_secret(org, id, one, turned(verb)?)
        }
        ("GET", ["apps", id, "credentials", "jwks"]) => credentials::list_keys(org, id),
        ("POST", ["apps", id, "credentials", "jwks"]) => add_key(org, ask, id),
        ("GET", ["apps", id, "credentials", "jwks", one]) => credentials::get_key(org, id, one),
        ("DELETE", ["apps", id, "credentials", "jwks", one]) => delete_key(org, id, one),
        ("POST", ["apps", id, "credentials", "jwks", one, "lifecycle", verb]) => turn_key(org, id, one, turned(verb)?),
        ("GET", ["authorizationServers", rest @ ..]) => servers::read(org, rest),
        (_, ["apps" | "authorizationServers", ..]) => {
            let text = "The endpoint does not support the provided HTTP method";
            Err(Answer::okta(405, "E0000022", text, &[]))
        }
        _ => Err(unknown()),
    }
}

fn unknown() -> Answer {
    Answer::okta(404, "E0000008", "The requested path was not found", &[])
}
