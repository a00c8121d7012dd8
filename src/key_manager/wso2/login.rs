//! How the operator logs in as a user: with a client that it registers for itself, or with user and password in each call.

use async_trait::async_trait;
use data_encoding::BASE64;
use http::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use crate::{
    key_manager::{
        Category, Error,
        credentials::GivenSecret,
        remote::{CredentialSource, HttpClient, OperatorCredential},
    },
    plan::identity,
};

/// Entries: a user and the password.
pub(in crate::key_manager) const USER: [&str; 2] = ["username", "password"];

/// The beginning of the name of the operator's own client.
const REGISTERED_CLIENT: &str = "appkeys_operator_";

/// Scopes of the operator's token: this one opens applications, keys and the list of key managers.
pub(super) const SCOPE: &str = "apim:subscribe";

async fn user(secret: &GivenSecret) -> Result<(String, SecretString, String), Error> {
    let [user, password] = secret.read(USER).await?;
    Ok((user.value.expose_secret().to_owned(), password.value, password.version))
}

/// User and password in each call.
#[derive(Debug)]
pub(super) struct Password(pub(super) GivenSecret);

#[async_trait]
impl CredentialSource for Password {
    fn name(&self) -> String {
        format!(
            "{} (or its user is locked, has no role Internal/subscriber, or WSO2 takes no passwords here)",
            self.0.place()
        )
    }

    async fn read(&self) -> Result<OperatorCredential, Error> {
        let (user, password, version) = user(&self.0).await?;
        let pair = BASE64.encode(format!("{user}:{}", password.expose_secret()).as_bytes());
        Ok(OperatorCredential {
            client_id: String::new(),
            secret: pair.into(),
            key_id: String::new(),
            version,
        })
    }
}

/// A client of the user's that the operator registers.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) secret: GivenSecret,
    pub(super) http: HttpClient,
    /// WSO2's registration of clients for callers of its APIs.
    pub(super) url: String,
    /// What was registered last.
    pub(super) registered: Mutex<Option<OperatorCredential>>,
}

/// What registration answers, as much of it as is needed; it writes the callback's name otherwise than its documentation.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registered {
    client_id: String,
    client_secret: SecretString,
}

impl Registration {
    /// Registers the client, or finds it: a second call with the same name changes nothing (W28).
    async fn register(&self, user: &str, password: &SecretString) -> Result<Registered, Error> {
        const STEP: &str = "register the operator's own client";
        // Nobody can guess it who does not know the password: to others its credentials could be handed out.
        let hash = identity::short_hash(&["operator", user, password.expose_secret()]);
        let body = json!({
            "clientName": format!("{REGISTERED_CLIENT}{hash}"),
            // With the first tenant in it a second call is refused.
            "owner": user.strip_suffix("@carbon.super").unwrap_or(user),
            "grantType": "client_credentials", "saasApp": true,
        });
        let request = self.http.request(Method::POST, &self.url);
        let request = request.basic_auth(user, Some(password.expose_secret())).json(&body);
        let reply = self.http.send(STEP, request).await?;
        match reply.status {
            StatusCode::OK | StatusCode::CREATED => reply.json(),
            StatusCode::UNAUTHORIZED => {
                let text = format!(
                    "{STEP}: WSO2 refuses user and password in {}: one of them is wrong, or the user is locked",
                    self.secret.place()
                );
                Err(Error::new(Category::CredentialsRejected, text))
            }
            StatusCode::FORBIDDEN => {
                let text = format!(
                    "{STEP}: WSO2 forbids it to the user in {}: a client of this name is another user's, or the user is not there",
                    self.secret.place()
                );
                Err(Error::new(Category::MissingPermission, text))
            }
            StatusCode::NOT_FOUND => {
                let text =
                    format!("{STEP}: there is no registration of clients at this server: is spec.wso2.url right?");
                Err(Error::new(Category::InvalidRequest, text))
            }
            _ => Err(reply.error(Category::InvalidRequest, "registration of clients is refused")),
        }
    }
}

#[async_trait]
impl CredentialSource for Registration {
    fn name(&self) -> String {
        self.secret.place()
    }

    async fn read(&self) -> Result<OperatorCredential, Error> {
        let (user, password, version) = user(&self.secret).await?;
        let mut registered = self.registered.lock().await;
        if let Some(known) = registered.as_ref().filter(|known| known.version == version) {
            return Ok(known.clone());
        }
        let first = self.register(&user, &password).await?;
        // After a restart only the second answer would be there.
        let again = self.register(&user, &password).await?;
        if again.client_secret.expose_secret() != first.client_secret.expose_secret() {
            let text = "WSO2 keeps only digests of client secrets, so a client that the operator registers is lost with each restart: register one by hand, and choose spec.wso2.login Client";
            return Err(Error::new(Category::InvalidRequest, text));
        }
        let credential = OperatorCredential {
            client_id: again.client_id,
            secret: again.client_secret,
            key_id: String::new(),
            version,
        };
        *registered = Some(credential.clone());
        Ok(credential)
    }
}
