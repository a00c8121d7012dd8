//! Signed proofs: client assertions (RFC 7523) and DPoP (RFC 9449).

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{Jwk, ThumbprintHash},
};
use serde_json::Value;

use super::{app::App, org::Org};
use crate::key_managers::double::{Answer, Ask};

const ALGORITHMS: [Algorithm; 5] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::ES256,
    Algorithm::ES384,
];
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// An assertion may expire so far ahead.
const ASSERTION_LIFE: i64 = 3600;
/// A proof may be so old.
const PROOF_LIFE: i64 = 300;
/// How far a clock may be ahead.
const LEEWAY: i64 = 30;

/// The claims of a JWT, if the signature is by `jwk`.
fn verified(token: &str, jwk: &Jwk, algorithm: Algorithm) -> Option<Value> {
    let mut validation = Validation::new(algorithm);
    // All else is checked here, with errors of its own.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(jsonwebtoken::decode::<Value>(token, &key, &validation).ok()?.claims)
}

/// The client that an assertion proves, for the endpoint at `address`.
pub(super) fn assertion(org: &mut Org, kind: Option<&str>, token: &str, address: &str) -> Result<App, Answer> {
    let refused = |text: &str| Answer::oauth(401, "invalid_client", text);
    if kind != Some(ASSERTION) {
        return Err(Answer::oauth(
            400,
            "invalid_request",
            "The client_assertion_type is invalid.",
        ));
    }
    let unreadable = |_| refused("The parsing of the client_assertion failed.");
    let header = jsonwebtoken::decode_header(token).map_err(unreadable)?;
    let claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(unreadable)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(refused("The client_assertion JWT signature algorithm is invalid."));
    }
    let issuer = claims["iss"].as_str().unwrap_or_default();
    let Some(app) = org.client(issuer).cloned().filter(|app| app.active) else {
        return Err(refused(
            "The issuer claim for client_assertion is not a valid client_id.",
        ));
    };
    if claims["sub"] != claims["iss"] {
        return Err(refused(
            "The subject claim for client_assertion is not a valid client_id.",
        ));
    }
    let audience = match &claims["aud"] {
        Value::Array(list) => list.iter().any(|one| one == address),
        one => one == address,
    };
    if !audience {
        let text = "The audience claim for client_assertion must be the endpoint invoked for the request.";
        return Err(refused(text));
    }
    let now = org.now();
    match claims["exp"].as_i64() {
        None => {
            return Err(refused(
                "The client_assertion must contain the 'exp' claim as seconds since epoch.",
            ));
        }
        Some(exp) if exp <= now => return Err(refused("The client_assertion token is expired.")),
        Some(exp) if exp > now + ASSERTION_LIFE => {
            return Err(refused(
                "The client_assertion token has an expiration too far into the future.",
            ));
        }
        Some(_) => {}
    }
    if claims["iat"].as_i64().is_some_and(|iat| iat > now + LEEWAY) {
        return Err(refused(
            "The client_assertion token must be issued before the current time.",
        ));
    }
    let Some(key) = app
        .keys
        .iter()
        .find(|key| key.active && key.jwk["kid"].as_str() == header.kid.as_deref())
    else {
        return Err(refused("The client_assertion JWT kid is invalid."));
    };
    let jwk = serde_json::from_value(key.jwk.clone()).map_err(|_| refused("The client JWKSet is invalid."))?;
    if verified(token, &jwk, header.alg).is_none() {
        return Err(refused("The client_assertion signature is invalid."));
    }
    // Not asked for, but what has it works once.
    if let Some(jti) = claims["jti"].as_str()
        && !org.first_use("assertion", &format!("{issuer} {jti}"))
    {
        return Err(refused("The client_assertion token has already been used."));
    }
    let key = key.id.clone();
    let mut keys = org.apps.iter_mut().flat_map(|app| &mut app.keys);
    if let Some(key) = keys.find(|one| one.id == key)
        && key.late > 0
    {
        key.late -= 1;
        return Err(refused("The client_assertion JWT kid is invalid."));
    }
    Ok(app)
}

/// The thumbprint of the key that a request's DPoP proof is by.
pub(super) fn dpop(org: &mut Org, ask: &Ask, token: Option<&str>) -> Result<String, Answer> {
    let refused = |text: &str| Answer::oauth(400, "invalid_dpop_proof", text);
    let mut given = ask.headers.get_all("dpop").iter();
    let Some(proof) = given.next().and_then(|proof| proof.to_str().ok()) else {
        return Err(refused("The DPoP proof JWT header is missing."));
    };
    if given.next().is_some() {
        return Err(refused("Multiple DPoP proof JWT headers are not allowed."));
    }
    let header = jsonwebtoken::decode_header(proof).map_err(|_| refused("The DPoP proof JWT cannot be parsed."))?;
    if header.typ.as_deref() != Some("dpop+jwt") {
        return Err(refused("'typ' must be 'dpop+jwt' in the DPoP proof JWT."));
    }
    if !ALGORITHMS.contains(&header.alg) {
        return Err(refused("The DPoP proof JWT signature algorithm is invalid."));
    }
    let Some(jwk) = header.jwk else {
        return Err(refused("The DPoP proof JWT is invalid."));
    };
    let Some(claims) = verified(proof, &jwk, header.alg) else {
        return Err(refused("The DPoP proof JWT signature is invalid."));
    };
    if claims["htm"] != ask.method.as_str() {
        return Err(refused("'htm' claim in the DPoP proof JWT is invalid."));
    }
    if claims["htu"] != format!("{}{}", org.base, ask.path) {
        return Err(refused("'htu' claim in the DPoP proof JWT is invalid."));
    }
    let now = org.now();
    match claims["iat"].as_i64() {
        None => return Err(refused("'iat' claim in the DPoP proof JWT is invalid.")),
        Some(iat) if iat > now + LEEWAY => return Err(refused("The DPoP proof JWT is issued in the future.")),
        Some(iat) if iat < now - PROOF_LIFE => {
            return Err(refused(
                "The DPoP proof JWT is issued more than five minutes in the past.",
            ));
        }
        Some(_) => {}
    }
    let hash = |token: &str| BASE64URL_NOPAD.encode(digest(&SHA256, token.as_bytes()).as_ref());
    match token {
        // With an access token no nonce is asked for.
        Some(token) if claims["ath"] != hash(token) => {
            return Err(refused(
                "'ath' claim in the DPoP proof does not match the presented access_token.",
            ));
        }
        None if claims["nonce"] != org.nonce.as_str() => {
            let text = "Authorization server requires nonce in DPoP proof.";
            return Err(Answer::oauth(400, "use_dpop_nonce", text).with("dpop-nonce", org.nonce.clone()));
        }
        _ => {}
    }
    let Some(jti) = claims["jti"].as_str() else {
        return Err(refused("'jti' claim in the DPoP proof JWT is invalid."));
    };
    if !org.first_use("proof", jti) {
        return Err(refused("The DPoP proof JWT has already been used."));
    }
    jwk.thumbprint(ThumbprintHash::SHA256)
        .map_err(|_| refused("The DPoP proof JWT is invalid."))
}
