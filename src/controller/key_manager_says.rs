//! What a key manager's status says, and its finalizer.

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Context,
    execute::Failure,
    key_manager::{AMBIGUOUS_DEFAULT, CONFIRM_DATA_LOSS, DATA_LOSS, other_defaults},
    queue::{Item, Name},
    steps,
};
use crate::{
    api::{
        FIELD_MANAGER, FINALIZER, KeyManagerKind, KeyManagerStatus,
        conditions::{self, Say},
    },
    key_manager::Opened,
};

#[expect(clippy::too_many_arguments, reason = "the two kinds share all but their type")]
pub(super) async fn finish<K>(
    ctx: &Context,
    api: &Api<K>,
    mut object: K,
    status: Option<KeyManagerStatus>,
    kind: KeyManagerKind,
    name: &Name,
    opened: Result<Opened, Say>,
    set: impl Fn(&mut K, KeyManagerStatus),
) -> Result<(), Failure>
where
    K: kube::Resource + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let keys = ctx.world.lock().keys_of_key_manager(&(kind, name.clone()));
    let deleting = object.meta().deletion_timestamp.is_some();
    let ours = object.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    if deleting && keys.is_empty() {
        if ctx.waits_for_keys(Item::KeyManager(kind, name.clone())) {
            return Ok(());
        }
        return if ours {
            finalizers(api, &object, false).await
        } else {
            Ok(())
        };
    }
    if !deleting && !ours {
        return finalizers(api, &object, true).await;
    }
    let generation = object.meta().generation;
    let before = status.clone();
    let mut status = status.unwrap_or_default();
    let mut says = vec![];
    if deleting {
        says.push(Say::yes(
            "InUse",
            "KeysLeft",
            format!("deletion waits for {} ApplicationKeys, {} for one", keys.len(), keys[0]),
        ));
    }
    match opened {
        Ok(opened) => {
            status.issuer = Some(opened.driver.endpoints().issuer.clone());
            status.token_endpoint = Some(opened.driver.endpoints().token.clone());
            status.capabilities = opened.driver.capabilities().status();
            says.push(Say::yes("Ready", "Reachable", "keys may use this key manager"));
        }
        Err(say) => says.push(say),
    }
    let (entry, defaults) = {
        let world = ctx.world.lock();
        let entry = world.key_managers.get(&(kind, name.clone())).cloned();
        (entry, other_defaults(&world, name))
    };
    if entry.as_ref().is_some_and(|entry| entry.default) && !defaults.is_empty() {
        let text = format!(
            "{} has spec.default: true too, so keys that name no key manager get none: keep one default",
            defaults.join(", ")
        );
        says.push(Say::yes(AMBIGUOUS_DEFAULT, "SeveralDefaults", text));
    }
    if let Some(entry) = entry.filter(|entry| entry.data_loss) {
        says.push(Say::yes(
            DATA_LOSS,
            "ClientsGone",
            format!(
                "{} clients are gone, {} for one, so none is replaced: restore the key manager's data, or set the annotation {CONFIRM_DATA_LOSS} to this condition's lastTransitionTime to have them made anew",
                entry.gone.len(),
                entry.gone.keys().next().map(ToString::to_string).unwrap_or_default(),
            ),
        ));
    }
    status.observed_generation = generation;
    conditions::set(
        &mut status.conditions,
        &["Ready", "InUse", AMBIGUOUS_DEFAULT, DATA_LOSS],
        &says,
        generation,
        ctx.clock.now(),
    );
    if before.as_ref() == Some(&status) {
        return Ok(());
    }
    set(&mut object, status);
    object.meta_mut().managed_fields = None;
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let name = object.name_any();
    let write = async { Ok(api.replace_status(&name, &params, &object).await.map(drop)?) };
    steps::change("WriteStatus", write).await
}

async fn finalizers<K>(api: &Api<K>, object: &K, add: bool) -> Result<(), Failure>
where
    K: kube::Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut all: Vec<_> = object
        .finalizers()
        .iter()
        .filter(|finalizer| *finalizer != FINALIZER)
        .cloned()
        .collect();
    if add {
        all.push(FINALIZER.to_owned());
    }
    let patch = serde_json::json!({
        "metadata": { "resourceVersion": object.resource_version(), "finalizers": all }
    });
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let write = async {
        match api.patch(&object.name_any(), &params, &Patch::Merge(patch)).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            other => Ok(other.map(drop)?),
        }
    };
    steps::change(steps::finalizer(add), write).await
}
