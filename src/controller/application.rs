//! One pass over an `Application`: it is ready when it is there; its deletion waits for its keys.

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};

use super::{
    Context,
    execute::Failure,
    key::Again,
    queue::{Item, Name},
    report, steps,
};
use crate::api::{
    Application, ApplicationStatus, FIELD_MANAGER, FINALIZER,
    conditions::{self, Say},
};

/// Works on one Application.
pub async fn reconcile(ctx: &Context, name: &Name) -> Again {
    match pass(ctx, name).await {
        Ok(()) => Again::OnChange,
        Err(failure) => {
            report::failed_pass(name, &failure);
            Again::Failed
        }
    }
}

async fn pass(ctx: &Context, name: &Name) -> Result<(), Failure> {
    let api = Api::<Application>::namespaced(ctx.client.clone(), &name.namespace);
    let fresh = ctx.world.lock().fresh_applications.remove(name);
    let application = match fresh {
        Some(fresh) => *fresh,
        None => match api.get_opt(&name.name).await? {
            Some(application) => application,
            None => return Ok(()),
        },
    };
    let keys = ctx.world.lock().keys_of_application(name);
    let deleting = application.metadata.deletion_timestamp.is_some();
    let ours = application.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    if deleting && keys.is_empty() {
        if ctx.waits_for_keys(Item::Application(name.clone())) {
            return Ok(());
        }
        return if ours {
            finalizers(&api, &application, false).await
        } else {
            Ok(())
        };
    }
    if !deleting && !ours && !keys.is_empty() {
        finalizers(&api, &application, true).await?;
        return Ok(());
    }
    let say = if deleting {
        let names: Vec<_> = keys.iter().take(5).map(|key| key.name.as_str()).collect();
        let text = format!(
            "deletion waits for {} ApplicationKeys: {}",
            keys.len(),
            names.join(", ")
        );
        Say::no("Ready", "Deleting", text)
    } else {
        Say::yes("Ready", "Accepted", "keys may name this Application")
    };
    let mut status = application.status.clone().unwrap_or_default();
    status.observed_generation = application.metadata.generation;
    conditions::set(
        &mut status.conditions,
        &["Ready"],
        &[say],
        application.metadata.generation,
        ctx.clock.now(),
    );
    write_status(&api, application, status).await
}

async fn write_status(
    api: &Api<Application>,
    mut application: Application,
    status: ApplicationStatus,
) -> Result<(), Failure> {
    if application.status.as_ref() == Some(&status) {
        return Ok(());
    }
    application.status = Some(status);
    application.metadata.managed_fields = None;
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let write = async {
        match api.replace_status(&application.name_any(), &params, &application).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            other => Ok(other.map(drop)?),
        }
    };
    steps::change("WriteStatus", write).await
}

/// An Application has our finalizer while it has keys.
async fn finalizers(api: &Api<Application>, application: &Application, add: bool) -> Result<(), Failure> {
    let mut all: Vec<_> = application
        .finalizers()
        .iter()
        .filter(|finalizer| *finalizer != FINALIZER)
        .cloned()
        .collect();
    if add {
        all.push(FINALIZER.to_owned());
    }
    let patch = serde_json::json!({
        "metadata": { "resourceVersion": application.resource_version(), "finalizers": all }
    });
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let write = async {
        match api.patch(&application.name_any(), &params, &Patch::Merge(patch)).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            other => Ok(other.map(drop)?),
        }
    };
    steps::change(steps::finalizer(add), write).await
}
