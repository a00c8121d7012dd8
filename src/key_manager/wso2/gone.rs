//! Whether a client is gone: a key that WSO2's list does not have may be hidden only (W7), and the list is all that there is.

use http::Method;
use serde::Deserialize;

use crate::{
    entropy::Entropy,
    key_manager::{Category, Error, remote::HttpClient},
};

/// What the token endpoint says to a client, as much of it as is read.
#[derive(Deserialize)]
struct Refusal {
    error_description: Option<String>,
}

/// Whether WSO2's token endpoint knows no client of this id. It says so in words to whoever asks; anything else is no.
///
/// # Errors
/// As [`HttpClient::send`].
pub(super) async fn is_unknown(
    http: &HttpClient,
    token_endpoint: &str,
    id: &str,
    entropy: &Entropy,
) -> Result<bool, Error> {
    use secrecy::ExposeSecret as _;
    let wrong = entropy.client_secret();
    let wrong = wrong.map_err(|error| Error::new(Category::InvalidRequest, error.to_string()))?;
    let request = http
        .request(Method::POST, token_endpoint)
        .basic_auth(id, Some(wrong.expose_secret()))
        .form(&[("grant_type", "client_credentials")]);
    let reply = http.send("ask whether a client is gone", request).await?;
    let said = reply.try_json::<Refusal>().and_then(|body| body.error_description);
    Ok(reply.status.is_client_error() && said.is_some_and(|text| text.contains("could not be found")))
}
