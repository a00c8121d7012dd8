//! The custom resource definitions of the cluster: waited for, and brought up to date where that is asked for.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt as _, api::PostParams};
use semver::Version;
use tokio::time::sleep;

use crate::api::{self, DEFINITIONS_VERSION, FIELD_MANAGER, GROUP, VERSION};

const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Waits until the custom resources are served; says what is missing whenever that changes. By discovery, which every account may ask.
pub async fn served(client: &Client) {
    let mut said = String::new();
    loop {
        let (missing, unknown) = match missing(client).await {
            Ok(missing) if missing.is_empty() => return,
            Ok(missing) => (missing.join(", "), None),
            Err(error) => (String::new(), Some(words(&error))),
        };
        let state = unknown.clone().unwrap_or_else(|| missing.clone());
        if said != state {
            if let Some(error) = unknown {
                tracing::error!(error, "custom resources cannot be looked up: waiting");
            } else {
                tracing::error!(
                    missing,
                    "custom resources are missing: run `appkeys crds | kubectl apply --server-side -f -`; waiting"
                );
            }
            said = state;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The definitions that are not served.
async fn missing(client: &Client) -> kube::Result<Vec<String>> {
    let served = match client.list_api_group_resources(&format!("{GROUP}/{VERSION}")).await {
        Ok(list) => list.resources,
        // In words of its own, not as a Status: there is no such group yet.
        Err(kube::Error::Api(status)) if status.code == 404 => vec![],
        Err(error) => return Err(error),
    };
    let is_served = |crd: &CustomResourceDefinition| served.iter().any(|one| one.name == crd.spec.names.plural);
    let missing = api::all_crds().into_iter().filter(|crd| !is_served(crd));
    Ok(missing.map(|crd| crd.name_any()).collect())
}

/// Replaces the definitions that are older than this program. One that is as old or newer is left: a program that is
/// rolled back must not take fields away that objects have. By PUT: an apply would leave the rules of the version before,
/// which belong to whoever installed them.
pub async fn update(client: &Client) {
    let crds = Api::<CustomResourceDefinition>::all(client.clone());
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    for wanted in api::all_crds() {
        let name = wanted.name_any();
        let written = async {
            let Some(mut crd) = crds.get_opt(&name).await? else {
                return Ok(false);
            };
            if !is_older(crd.labels().get(DEFINITIONS_VERSION).map(String::as_str)) {
                return Ok(false);
            }
            crd.labels_mut().extend(wanted.metadata.labels.unwrap_or_default());
            crd.metadata.managed_fields = None;
            crd.spec = wanted.spec;
            crds.replace(&name, &params, &crd).await.map(|_| true)
        };
        match written.await {
            Ok(true) => tracing::info!(name, "custom resource definition brought up to date"),
            Ok(false) => {}
            Err(error) => tracing::error!(
                name,
                error = words(&error),
                "custom resource definition not brought up to date: run `appkeys crds | kubectl apply --server-side -f -`"
            ),
        }
    }
}

/// Whether a definition with this version is older than this program; without one it is from before they had any.
fn is_older(version: Option<&str>) -> bool {
    let Some(version) = version else {
        return true;
    };
    // What cannot be read is somebody else's.
    match (Version::parse(version), Version::parse(env!("CARGO_PKG_VERSION"))) {
        (Ok(theirs), Ok(ours)) => theirs < ours,
        _ => false,
    }
}

fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_older_definitions_are_replaced() {
        assert!(is_older(None));
        assert!(is_older(Some("0.0.9")));
        assert!(is_older(Some("0.1.0-rc.1")));
        for kept in [env!("CARGO_PKG_VERSION"), "0.10.0", "1.0.0", "today"] {
            assert!(!is_older(Some(kept)), "{kept}");
        }
    }
}
