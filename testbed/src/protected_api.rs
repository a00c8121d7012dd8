//! A small API that takes access tokens (RFC 9068), as a team's own service would: what the demo calls.

use std::collections::HashSet;

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    routing::get,
};
use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// What is needed to check a token: an issuer's name and public keys, and the audience that tokens are for.
#[derive(Clone, Debug)]
pub struct TrustedIssuer {
    /// `iss` of its tokens.
    pub issuer: String,
    /// `aud` of tokens for this API.
    pub audience: String,
    /// `typ` of its tokens: `at+jwt` (RFC 9068), `JWT` or nothing where the server is older than that.
    pub token_type: &'static str,
    /// Its public keys.
    pub keys: JwkSet,
}

impl TrustedIssuer {
    /// The claims of a token that is good (RFC 9068 section 4), or why it is not.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, token: &str) -> anyhow::Result<Value> {
        let header = jsonwebtoken::decode_header(token).context("not a JWT")?;
        anyhow::ensure!(
            header.typ.as_deref().unwrap_or_default() == self.token_type,
            "typ is not {}",
            self.token_type
        );
        let kid = header.kid.context("no kid")?;
        let jwk = self.keys.find(&kid).context("signed by an unknown key")?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.required_spec_claims = HashSet::from(["iss", "aud", "exp", "sub"].map(str::to_owned));
        let key = DecodingKey::from_jwk(jwk).context("a public key that cannot be read")?;
        Ok(jsonwebtoken::decode::<Value>(token, &key, &validation)
            .context("a token that is not good")?
            .claims)
    }
}

/// Serves `GET /orders` on a free port: for tokens with scope `orders:read`.
///
/// # Errors
/// No port is free.
pub async fn serve(issuer: TrustedIssuer) -> anyhow::Result<(String, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
    let url = format!("http://{}/orders", listener.local_addr().context("listen")?);
    let server = tokio::spawn(async move { drop(serve_on(listener, issuer).await) });
    Ok((url, server))
}

/// The same where somebody listens already.
pub(crate) async fn serve_on(listener: TcpListener, issuer: TrustedIssuer) -> std::io::Result<()> {
    let router = Router::new().route("/orders", get(orders)).with_state(issuer);
    axum::serve(listener, router).await
}

async fn orders(State(issuer): State<TrustedIssuer>, headers: HeaderMap) -> (StatusCode, Json<Value>) {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let Some(token) = token else {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "no token"})));
    };
    match issuer.check(token) {
        Err(error) => (
            StatusCode::UNAUTHORIZED,
            Json(json!({"error": "invalid_token", "error_description": error.to_string()})),
        ),
        Ok(claims) => {
            let scopes = claims["scope"].as_str().unwrap_or_default().split(' ');
            // Okta's own names for it and for the client.
            let listed = claims["scp"].as_array().into_iter().flatten().filter_map(Value::as_str);
            if scopes.chain(listed).any(|scope| scope == "orders:read") {
                let client = claims["client_id"].as_str().or(claims["cid"].as_str());
                (StatusCode::OK, Json(json!({"orders": 3, "for": client})))
            } else {
                (StatusCode::FORBIDDEN, Json(json!({"error": "insufficient_scope"})))
            }
        }
    }
}
