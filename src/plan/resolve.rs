//! Which key manager a key gets.

use crate::api::{ApplicationKey, KeyManagerKind, KeyManagerRef, conditions::Say};

/// The key manager of a key: its own choice, else its Application's, else the one found before, else the cluster's only
/// default. A default that changes later does not move a key.
///
/// # Errors
/// The condition `Ready=False` with reason `NoKeyManager` or `AmbiguousDefault`.
pub fn key_manager(
    key: &ApplicationKey,
    application: Option<&KeyManagerRef>,
    found_before: Option<&KeyManagerRef>,
    defaults: &[String],
) -> Result<KeyManagerRef, Say> {
    if let Some(reference) = key.spec.key_manager_ref.as_ref().or(application).or(found_before) {
        return Ok(reference.clone());
    }
    match defaults {
        [name] => Ok(KeyManagerRef {
            kind: KeyManagerKind::ClusterKeyManager,
            name: name.clone(),
        }),
        [] => Err(Say::no(
            "Ready",
            "NoKeyManager",
            "neither this key nor its Application names a key manager, and no ClusterKeyManager has spec.default: true",
        )),
        many => {
            let text = format!(
                "ClusterKeyManagers {} all have spec.default: true, so none is used: keep one, or name one in spec.keyManagerRef",
                many.join(", ")
            );
            Err(Say::no("Ready", "AmbiguousDefault", text))
        }
    }
}
