//! The endpoints of custom authorization servers.

use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde_json::{Value, json};

use super::{app::App, org::Org, proof, servers};
use crate::key_managers::double::{Answer, Ask, find};

/// `POST /oauth2/{authorizationServerId}/v1/token`
pub(super) fn token(org: &mut Org, ask: &Ask, server: &str) -> Result<Answer, Answer> {
    let server = servers::find(org, server)?.clone();
    let form = ask.form();
    let app = client(org, ask, &form)?;
    let grant = find(&form, "grant_type").unwrap_or_default();
    let configured = app.list("grant_types");
    if !configured.contains(&grant) {
        let all = configured.join(", ");
        let why = "The client is not authorized to use the provided grant type.";
        return Err(Answer::oauth(
            400,
            "unauthorized_client",
            &format!("{why} Configured grant types: [{all}]."),
        ));
    }
    match grant {
        "client_credentials" => {
            let (scopes, minutes) = server.judge(&app, find(&form, "scope"))?;
            issue(org, &server, &app, &scopes, minutes)
        }
        "authorization_code" if find(&form, "code").is_none() => Err(Answer::oauth(
            400,
            "invalid_request",
            "The 'code' parameter is missing.",
        )),
        // No user ever logs in here, so no code was ever given out.
        "authorization_code" => {
            let text = "The authorization code is invalid or has expired.";
            Err(Answer::oauth(400, "invalid_grant", text))
        }
        _ => Err(Answer::oauth(400, "invalid_grant", "Invalid grant")),
    }
}

fn issue(
    org: &Org,
    server: &servers::AuthorizationServer,
    app: &App,
    scopes: &[String],
    minutes: u32,
) -> Result<Answer, Answer> {
    let (now, life) = (org.now(), i64::from(minutes) * 60);
    let claims = json!({
        "ver": 1, "jti": format!("AT.{}", uuid::Uuid::new_v4().simple()), "iss": server.issuer,
        "aud": server.audience, "iat": now, "exp": now + life, "cid": app.client_id, "scp": scopes,
        "sub": app.client_id,
    });
    let mut header = Header::new(Algorithm::RS256);
    header.typ = None;
    header.kid = Some(org.signer.kid.clone());
    let failed = |_| Answer::oauth(500, "server_error", "A token cannot be signed.");
    let token = jsonwebtoken::encode(&header, &claims, &org.signer.key).map_err(failed)?;
    Ok(Answer::json(
        200,
        json!({"token_type": "Bearer", "expires_in": life, "access_token": token, "scope": scopes.join(" ")}),
    ))
}

/// The client that a request is from: it has proved that, in the one way that its app is registered for.
fn client(org: &mut Org, ask: &Ask, form: &[(String, String)]) -> Result<App, Answer> {
    let refused = |text: &str| Answer::oauth(401, "invalid_client", text);
    let basic = ask.header("authorization").and_then(basic);
    let posted = find(form, "client_secret");
    let assertion = find(form, "client_assertion");
    if [basic.is_some(), posted.is_some(), assertion.is_some()]
        .into_iter()
        .filter(|given| *given)
        .count()
        > 1
    {
        let text = "Cannot supply multiple client credentials. Use one of the following: credentials in the \
                    Authorization header, credentials in the post body, or a client_assertion in the post body.";
        return Err(Answer::oauth(401, "invalid_request", text));
    }
    if let Some(assertion) = assertion {
        let address = format!("{}{}", org.base, ask.path);
        let app = proof::assertion(org, find(form, "client_assertion_type"), assertion, &address)?;
        return if app.auth_method == "private_key_jwt" {
            Ok(app)
        } else {
            Err(refused(WRONG))
        };
    }
    let (id, secret, method) = match (&basic, posted) {
        (Some((id, secret)), _) => (id.as_str(), Some(secret.as_str()), "client_secret_basic"),
        (None, Some(secret)) => (
            find(form, "client_id").unwrap_or_default(),
            Some(secret),
            "client_secret_post",
        ),
        (None, None) => (find(form, "client_id").unwrap_or_default(), None, "none"),
    };
    let Some(app) = org.client(id).filter(|app| app.active) else {
        return Err(refused("Invalid value for 'client_id' parameter."));
    };
    if app.auth_method != method {
        return Err(refused(WRONG));
    }
    if let Some(given) = secret {
        let found = app.secrets.iter_mut().find(|one| one.active && one.value == given);
        match found {
            Some(secret) if secret.late > 0 => {
                secret.late -= 1;
                return Err(refused(
                    "The client secret supplied for a confidential client is invalid.",
                ));
            }
            Some(_) => {}
            None => {
                return Err(refused(
                    "The client secret supplied for a confidential client is invalid.",
                ));
            }
        }
    }
    Ok(app.clone())
}

const WRONG: &str = "Client authentication failed. Either the client or the client credentials are invalid.";

/// User and password, percent-decoded as RFC 6749 section 2.3.1 wants.
fn basic(header: &str) -> Option<(String, String)> {
    let decoded = data_encoding::BASE64
        .decode(header.strip_prefix("Basic ")?.as_bytes())
        .ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    let plain = |text: &str| {
        let one = format!("v={}", text.replace('&', "%26"));
        let (_, value) = url::form_urlencoded::parse(one.as_bytes()).next()?;
        Some(value.into_owned())
    };
    Some((plain(user)?, plain(password)?))
}

/// `POST /oauth2/{authorizationServerId}/v1/introspect`
pub(super) fn introspect(org: &mut Org, ask: &Ask, server: &str) -> Result<Answer, Answer> {
    let server = servers::find(org, server)?.clone();
    let form = ask.form();
    client(org, ask, &form)?;
    let claims = find(&form, "token").and_then(|token| claims(org, token, &server.issuer));
    let Some(mut claims) = claims.filter(|claims| !org.revoked.contains(claims["jti"].as_str().unwrap_or_default()))
    else {
        return Ok(Answer::json(200, json!({"active": false})));
    };
    let scopes: Vec<_> = claims["scp"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    claims["scope"] = json!(scopes.join(" "));
    claims["client_id"] = claims["cid"].clone();
    claims["active"] = json!(true);
    claims["token_type"] = json!("Bearer");
    Ok(Answer::json(200, claims))
}

/// `POST /oauth2/{authorizationServerId}/v1/revoke`
pub(super) fn revoke(org: &mut Org, ask: &Ask, server: &str) -> Result<Answer, Answer> {
    let server = servers::find(org, server)?.clone();
    let form = ask.form();
    let app = client(org, ask, &form)?;
    let claims = find(&form, "token").and_then(|token| claims(org, token, &server.issuer));
    if let Some(claims) = claims
        && claims["cid"] == app.client_id.as_str()
        && let Some(jti) = claims["jti"].as_str()
    {
        org.revoked.insert(jti.to_owned());
    }
    Ok(Answer::empty(200))
}

/// What a token says, if it is one of this server's and has not expired.
fn claims(org: &Org, token: &str, issuer: &str) -> Option<Value> {
    let key = DecodingKey::from_jwk(&org.signer.public).ok()?;
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.set_issuer(&[issuer]);
    let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).ok()?.claims;
    (claims["exp"].as_i64()? > org.now()).then_some(claims)
}

/// `GET .../keys`, of any server.
pub(super) fn keys(org: &Org) -> Answer {
    Answer::json(200, json!({"keys": [org.signer.public]}))
}

/// Metadata of a custom server, the same in all forms.
pub(super) fn metadata(org: &Org, ask: &Ask, server: &str) -> Result<Answer, Answer> {
    let server = servers::find(org, server)?;
    if let Some(id) = ask.query("client_id")
        && !org.apps.iter().any(|app| app.client_id == id)
    {
        // A code of OAuth in the shape of the management API.
        let summary = "Invalid value for `client_id` parameter";
        return Err(Answer::okta(400, "invalid_client", summary, &[]));
    }
    let issuer = &server.issuer;
    let scopes: Vec<_> = server.scopes.iter().map(|scope| &scope.name).collect();
    Ok(Answer::json(200, describe(org, issuer, &json!(scopes))))
}

/// Metadata of the org's own server.
pub(super) fn org_metadata(org: &Org) -> Answer {
    let mut body = describe(org, &format!("{}/oauth2", org.base), &json!(["openid"]));
    body["issuer"] = json!(org.base);
    Answer::json(200, body)
}

fn describe(org: &Org, address: &str, scopes: &Value) -> Value {
    let methods = [
        "client_secret_basic",
        "client_secret_post",
        "client_secret_jwt",
        "private_key_jwt",
        "none",
    ];
    json!({
        "issuer": address,
        "authorization_endpoint": format!("{address}/v1/authorize"),
        "token_endpoint": format!("{address}/v1/token"),
        // Of the whole org, and for administrators.
        "registration_endpoint": format!("{}/oauth2/v1/clients", org.base),
        "jwks_uri": format!("{address}/v1/keys"),
        "introspection_endpoint": format!("{address}/v1/introspect"),
        "revocation_endpoint": format!("{address}/v1/revoke"),
        "response_types_supported": ["code", "token", "id_token"],
        "response_modes_supported": ["query", "fragment", "form_post", "okta_post_message"],
        "grant_types_supported": ["authorization_code", "implicit", "refresh_token", "client_credentials"],
        "subject_types_supported": ["public"],
        "scopes_supported": scopes,
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "code_challenge_methods_supported": ["S256"],
        "request_parameter_supported": true,
        "request_object_signing_alg_values_supported": ["RS256", "ES256"],
        "dpop_signing_alg_values_supported": ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"],
    })
}
