//! Who may use Okta's own APIs: an API token of an administrator, or an access token of the org's own server.

use super::{org::Org, proof};
use crate::key_managers::double::{Answer, Ask, find};

const LIFE: i64 = 3600;

/// Whether the caller may do what needs a scope. `manage` implies `read`.
pub(super) fn admit(org: &mut Org, ask: &Ask) -> Result<(), Answer> {
    let family = if ask.path.starts_with("/api/v1/apps") {
        "apps"
    } else {
        "authorizationServers"
    };
    let action = if ask.method == "GET" { "read" } else { "manage" };
    let invalid = || Answer::okta(401, "E0000011", "Invalid token provided", &[]);
    let (scheme, token) = ask
        .header("authorization")
        .and_then(|text| text.split_once(' '))
        .ok_or_else(invalid)?;
    if scheme == "SSWS" {
        return if token == org.ssws { Ok(()) } else { Err(invalid()) };
    }
    let now = org.now();
    let session = org
        .sessions
        .get(token)
        .filter(|session| session.expires > now)
        .ok_or_else(invalid)?;
    let (scopes, bound_to) = (session.scopes.clone(), session.bound_to.clone());
    match (scheme, bound_to) {
        ("Bearer", None) => {}
        ("Bearer", Some(_)) => {
            let text = "The resource request must use the DPoP authentication scheme when using a DPoP bound token.";
            return Err(Answer::oauth(400, "invalid_request", text));
        }
        ("DPoP", Some(bound_to)) => {
            if proof::dpop(org, ask, Some(token))? != bound_to {
                let text = "The access_token is not bound to the provided DPoP proof.";
                return Err(Answer::oauth(400, "invalid_dpop_proof", text));
            }
        }
        _ => return Err(invalid()),
    }
    let denied = || {
        Answer::okta(
            403,
            "E0000006",
            "You do not have permission to perform the requested action",
            &[],
        )
    };
    let scope = format!("okta.{family}.{action}");
    if !scopes.contains(&scope) && !scopes.contains(&format!("okta.{family}.manage")) {
        let says = format!(
            "{scheme} authorization_uri=\"{}/oauth2/v1/authorize\", realm=\"{}\", scope=\"{scope}\", \
             error=\"insufficient_scope\", error_description=\"The access token provided does not contain the \
             required scopes.\", resource=\"{}\"",
            org.base, org.base, ask.path
        );
        return Err(denied().with("www-authenticate", says));
    }
    if org.modes.role_missing {
        return Err(denied());
    }
    Ok(())
}

/// `POST /oauth2/v1/token`, the org's own server.
pub(super) fn token(org: &mut Org, ask: &Ask) -> Result<Answer, Answer> {
    let form = ask.form();
    let parameter = |name| find(&form, name);
    let grant = parameter("grant_type").unwrap_or_default();
    let Some(assertion) = parameter("client_assertion") else {
        // Whoever it is: ordinary clients have nothing to ask for here.
        let text = "'client_credentials' grant type can only be used with a custom authorization server.";
        return Err(Answer::oauth(400, "unsupported_grant_type", text));
    };
    let address = format!("{}{}", org.base, ask.path);
    let app = proof::assertion(org, parameter("client_assertion_type"), assertion, &address)?;
    if app
        .settings
        .get("application_type")
        .is_none_or(|kind| kind != "service")
    {
        let text = "Only clients with 'application_type' of 'service' may use the client_credentials 'grant_type' \
                    with the Org Authorization Server.";
        return Err(Answer::oauth(401, "invalid_client", text));
    }
    if grant != "client_credentials" {
        let text = "The authorization grant type is not supported by the authorization server.";
        return Err(Answer::oauth(400, "unsupported_grant_type", text));
    }
    // The assertion has been used by now: what is sent again after a nonce needs another one.
    let bound_to = if org.modes.dpop_required {
        Some(proof::dpop(org, ask, None)?)
    } else {
        None
    };
    let asked: Vec<_> = parameter("scope")
        .unwrap_or_default()
        .split_ascii_whitespace()
        .collect();
    if asked.is_empty() {
        return Err(Answer::oauth(400, "invalid_scope", "No scopes were requested."));
    }
    if asked.iter().any(|scope| !scope.starts_with("okta.")) {
        let text =
            "The requested scope is invalid, unknown, malformed, or exceeds the scope granted by the resource owner.";
        return Err(Answer::oauth(400, "invalid_scope", text));
    }
    // Of what was asked for, what was granted; the rest is left out without a word.
    let granted: Vec<_> = asked
        .into_iter()
        .filter(|scope| app.grants.contains(*scope))
        .map(str::to_owned)
        .collect();
    if granted.is_empty() {
        return Err(Answer::oauth(
            400,
            "consent_required",
            "You are not allowed any of the requested scopes.",
        ));
    }
    let token = format!("org-{}", uuid::Uuid::new_v4().simple());
    let kind = if bound_to.is_some() { "DPoP" } else { "Bearer" };
    let body = serde_json::json!({
        "token_type": kind, "expires_in": LIFE, "access_token": token, "scope": granted.join(" "),
    });
    let session = super::org::Session {
        scopes: granted.into_iter().collect(),
        expires: org.now() + LIFE,
        bound_to,
    };
    org.sessions.insert(token, session);
    Ok(Answer::json(200, body))
}
