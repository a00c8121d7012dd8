//! Calls on the keys of an application.

use http::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use super::{
    key::Key,
    portal::{Call, Portal},
    refusal,
};
use crate::key_manager::Error;

/// Answer to the making of a key.
#[derive(Debug)]
pub(super) enum Made {
    /// It is there, or waits for approval.
    Key(Box<Key>),
    /// There is one already, by status and code.
    Exists(Error),
    /// It was refused or failed, and may have left something.
    Failed(Error),
}

impl Portal {
    /// The keys of an application that can be shown; `None` where it is not there. What is missing is not gone (W7).
    pub(super) async fn keys(&self, application: &str) -> Result<Option<Vec<Key>>, Error> {
        #[derive(Deserialize)]
        struct List {
            list: Vec<Key>,
        }
        let path = format!("/applications/{application}/oauth-keys");
        let list: Option<List> = self
            .fetch_if_there(Call::get("list the application's keys", &path))
            .await?;
        Ok(list.map(|list| list.list))
    }

    /// Makes a key; `how` is `generate-keys` or `map-keys`.
    pub(super) async fn make_key(&self, application: &str, how: &str, body: &Value) -> Result<Made, Error> {
        const STEP: &str = "make a key";
        let path = format!("/applications/{application}/{how}");
        let reply = self.ask(Call::post(STEP, &path, Some(body))).await?;
        Ok(match reply.status {
            status if status.is_success() => Made::Key(Box::new(reply.json()?)),
            StatusCode::CONFLICT => Made::Exists(refusal::explain(STEP, &reply)),
            _ => Made::Failed(refusal::explain(STEP, &reply)),
        })
    }

    /// Changes a key, and gives it as it is then.
    pub(super) async fn change_key(&self, application: &str, key: &str, body: &Value) -> Result<Key, Error> {
        let path = format!("/applications/{application}/oauth-keys/{key}");
        self.fetch(Call::put("change a key", &path, body)).await
    }

    /// Deletes a key and its client. False where this version has no such call (W30).
    ///
    /// # Errors
    /// Also where the client is gone already (W19).
    pub(super) async fn delete_key(&self, application: &str, key: &str) -> Result<bool, Error> {
        const STEP: &str = "delete a key";
        let path = format!("/applications/{application}/oauth-keys/{key}");
        let reply = self.ask(Call::delete(STEP, &path)).await?;
        match reply.status {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Ok(false),
            status if status.is_success() => Ok(true),
            _ => Err(refusal::explain(STEP, &reply)),
        }
    }

    /// Takes a key away that has no client. Where it has one, that stays without a key (W8).
    pub(super) async fn clean_up(&self, application: &str, key: &str) -> Result<(), Error> {
        const STEP: &str = "clean up a key without a client";
        let path = format!("/applications/{application}/oauth-keys/{key}/clean-up");
        let reply = self.ask(Call::post(STEP, &path, None)).await?;
        if reply.status.is_success() {
            return Ok(());
        }
        Err(refusal::explain(STEP, &reply))
    }

    /// Another secret instead of the one that the client has; that ends at once, and all its tokens with it (W21). `None` where
    /// WSO2 says that it has done so and gives none (W22, W23).
    pub(super) async fn regenerate_secret(&self, application: &str, key: &str) -> Result<Option<SecretString>, Error> {
        const STEP: &str = "replace a client's secret";
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Fresh {
            consumer_secret: Option<SecretString>,
        }
        let path = format!("/applications/{application}/oauth-keys/{key}/regenerate-secret");
        let reply = self.ask(Call::post(STEP, &path, None)).await?;
        if !reply.status.is_success() {
            return Err(refusal::explain(STEP, &reply));
        }
        let fresh = reply.try_json::<Fresh>().and_then(|fresh| fresh.consumer_secret);
        Ok(fresh.filter(|secret| !secrecy::ExposeSecret::expose_secret(secret).is_empty()))
    }
}
