//! The initial access token (RFC 7591 section 3), as somebody puts it into a Secret and replaces it when it is used up.

use std::sync::Arc;

use secrecy::SecretString;
use tokio::sync::Mutex;

use crate::key_manager::{
    Category, Error,
    remote::{CredentialSource, OperatorCredential},
};

/// The initial access token: read when it is first needed, and again when it is refused.
#[derive(Debug)]
pub(super) struct InitialToken {
    source: Arc<dyn CredentialSource>,
    held: Mutex<Option<OperatorCredential>>,
}

impl InitialToken {
    pub(super) fn new(source: Arc<dyn CredentialSource>) -> Self {
        Self {
            source,
            held: Mutex::default(),
        }
    }

    /// The token, and the version of the Secret that it is from.
    pub(super) async fn get(&self) -> Result<(SecretString, String), Error> {
        let mut held = self.held.lock().await;
        let credential = match held.take() {
            Some(credential) => credential,
            None => self.source.read().await?,
        };
        let token = (credential.secret.clone(), credential.version.clone());
        *held = Some(credential);
        Ok(token)
    }

    /// The token that somebody put into the Secret since it had `refused` as its version, if so.
    pub(super) async fn newer_than(&self, refused: &str) -> Result<Option<SecretString>, Error> {
        let mut held = self.held.lock().await;
        let now = self.source.read().await?;
        let newer = (now.version != refused).then(|| now.secret.clone());
        *held = Some(now);
        Ok(newer)
    }

    /// It is refused, also after it was read again.
    pub(super) fn rejected(&self) -> Error {
        let text = format!(
            "the registration endpoint refuses the initial access token of {} (used up, expired or revoked): put a new one there",
            self.source.name()
        );
        Error::new(Category::CredentialsRejected, text)
    }
}
