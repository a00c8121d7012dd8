//! How a key goes, and the application with its last one.

use http::StatusCode;

use super::{
    application::{Found, Which},
    driver::Wso2Driver,
    gone,
    key::{self, Key},
    lock::Lock,
    portal::Call,
    refusal,
    slot::Slot,
};
use crate::key_manager::{Category, Changed, Client, Error};

impl Wso2Driver {
    /// Takes a client's key away, and says whether the client went with it.
    pub(super) async fn remove(&self, slot: &Slot, client: &Client) -> Result<Changed, Error> {
        let (application, id) = (&slot.application, slot.key.id());
        match self.portal.delete_key(application, id).await {
            Ok(true) if slot.key.is_mapped() => return Ok(Changed::Refused),
            Ok(true) => return Ok(Changed::done()),
            Ok(false) => {}
            Err(error) => {
                let gone = error.category == Category::NotYet && self.is_gone(client).await?;
                if !gone {
                    return Err(error);
                }
                // Only the row is left (W19).
                self.portal.clean_up(application, id).await?;
                return Ok(Changed::done());
            }
        }
        if slot.key.is_mapped() {
            self.portal.clean_up(application, id).await?;
            return Ok(Changed::Refused);
        }
        // This version deletes a key with its application only: until then its client may do nothing.
        let body = key::death(&slot.key, &client.id, &self.entry);
        self.portal.change_key(application, id, &body).await?;
        // The tokens that it has end with its secret; where that cannot be replaced they end by themselves.
        drop(self.portal.regenerate_secret(application, id).await);
        Ok(Changed::done())
    }

    /// Whether there is no such client any more; no, where that cannot be told.
    pub(super) async fn is_gone(&self, client: &Client) -> Result<bool, Error> {
        if !self.entry.is_resident() {
            return Ok(false);
        }
        let http = &self.portal.http;
        gone::is_unknown(http, &self.endpoints.token, &client.id, &self.entropy).await
    }

    /// Whether the application has no key for the client's environment: what the list does not have may be hidden only (W7). It is
    /// asked for a key that cannot be, after WSO2 has looked whether there is one.
    pub(super) async fn is_free(&self, application: &str, client: &Client) -> Result<bool, Error> {
        const STEP: &str = "ask whether an environment is free";
        let body = key::impossible(client.place.environment, &self.entry);
        let path = format!("/applications/{application}/generate-keys");
        let reply = self.portal.ask(Call::post(STEP, &path, Some(&body))).await?;
        if reply.status == StatusCode::CONFLICT {
            return Ok(false);
        }
        if refusal::is(&reply, 400, 400) {
            return Ok(true);
        }
        if !reply.status.is_success() {
            return Err(refusal::explain(STEP, &reply));
        }
        // This version looks at less.
        let made: Key = reply.json()?;
        self.portal.delete_key(application, made.id()).await?;
        Ok(true)
    }

    /// Deletes an application in which no key is left.
    pub(super) async fn delete_empty(&self, which: &Which, found: &Found, lock: &mut Lock) -> Result<(), Error> {
        // Keys of a disabled key manager are not in the list, and their clients would stay behind (W5, W7).
        let entries = self.portal.entries().await?;
        if entries.iter().any(|entry| entry.enabled == Some(false)) {
            return Ok(());
        }
        self.remember(which, None);
        lock.deletion_begins();
        let deleted = self.portal.delete_application(found).await;
        let lost = deleted
            .as_ref()
            .is_err_and(|error| error.sent && error.category == Category::Unreachable);
        if !lost {
            lock.deletion_ended();
        }
        deleted
    }
}
