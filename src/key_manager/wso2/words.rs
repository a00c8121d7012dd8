//! What stands against a key, for people.

use super::driver::Wso2Driver;
use crate::key_manager::{Category, Client, Error};

impl Wso2Driver {
    pub(super) fn taken(&self, client: &Client) -> Error {
        let text = format!(
            "application {} has another {} key of {} in WSO2 already: it is left as it is; delete it there, or the ApplicationKey that it belongs to",
            client.place.application, client.place.environment, self.entry.name
        );
        Error::new(Category::EnvironmentTaken, text)
    }

    pub(super) fn waits(client: &Client) -> Error {
        let text = format!(
            "the {} key of application {} waits in WSO2 until an administrator approves it",
            client.place.environment, client.place.application
        );
        Error::new(Category::PendingApproval, text)
    }

    pub(super) fn rejected(client: &Client) -> Error {
        let text = format!(
            "an administrator of WSO2 has rejected the {} key of application {}: clean it up in the Developer Portal, and it is asked for again",
            client.place.environment, client.place.application
        );
        Error::new(Category::InvalidRequest, text)
    }

    /// WSO2 says that there is a key and its list has none (W7).
    pub(super) fn hidden(&self, client: &Client) -> Error {
        let text = format!(
            "WSO2 has a {} key of application {} and does not show it: its key manager {} cannot be reached or is disabled, or the client was deleted there by hand",
            client.place.environment, client.place.application, self.entry.name
        );
        Error::new(Category::NotYet, text)
    }
}

/// A key whose secret WSO2 shows to nobody.
pub(super) fn unreadable(client: &Client) -> Error {
    let text = format!(
        "WSO2 made the {} key of application {} and does not show its secret: delete it in the Developer Portal, and it is made again",
        client.place.environment, client.place.application
    );
    Error::new(Category::InvalidRequest, text)
}
