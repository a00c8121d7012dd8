//! Another secret for a client: instead of the one that it has, or beside it.

use super::{
    driver::Wso2Driver,
    secrets::{self, Added, Secret},
    slot::Slot,
};
use crate::key_manager::{Category, Client, Error, NewSecret, Room, SecretAdded};

impl Wso2Driver {
    pub(super) async fn rotate_one(&self, slot: &Slot, client: &Client) -> Result<SecretAdded, Error> {
        let fresh = self.portal.regenerate_secret(&slot.application, slot.key.id()).await?;
        fresh.map(SecretAdded::Added).ok_or_else(|| {
            let text = format!(
                "WSO2 replaced no secret of client {}: its key manager cannot, or cannot be reached",
                client.id
            );
            Error::new(Category::NotYet, text)
        })
    }

    pub(super) async fn rotate_among(&self, slot: &Slot, new: &NewSecret<'_>) -> Result<SecretAdded, Error> {
        let (application, key) = (&slot.application, slot.key.id());
        let before = self.portal.secrets(application, key).await?;
        let published = new
            .published
            .and_then(|secret| secrets::published(&before, new.published_version, secret));
        let keeps = |one: &Secret| match (new.room, published) {
            (Room::Only, _) | (Room::Replace, None) => false,
            (Room::Keep, _) => true,
            (Room::Replace, Some(published)) => one.id == published.id,
        };
        match new.room {
            Room::Keep if before.len() > 1 => return Ok(SecretAdded::Occupied),
            Room::Replace if new.published.is_some() && published.is_none() => return Ok(SecretAdded::OneSecret),
            Room::Keep | Room::Replace | Room::Only => {}
        }
        let mut added = self.portal.generate_secret(application, key, new.version).await?;
        if let Added::Full(_) = added {
            if new.room != Room::Only {
                return Ok(SecretAdded::OneSecret);
            }
            // One goes first; the latest cannot.
            for one in &before {
                self.portal.revoke_secret(application, key, one).await?;
            }
            added = self.portal.generate_secret(application, key, new.version).await?;
        }
        let secret = match added {
            Added::Secret(secret) => secret,
            Added::Full(error) => return Err(error),
        };
        for one in before.iter().filter(|one| !keeps(one)) {
            self.portal.revoke_secret(application, key, one).await?;
        }
        Ok(SecretAdded::Added(secret))
    }
}
