//! `Application`: the program that credentials are for.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{key_manager::KeyManagerRef, schema::bounded, vendor::ApplicationBlocks, wso2::Wso2Application};

/// An application that needs credentials. Its keys, one or more for each environment, are ApplicationKeys in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "appkeys.dev",
    version = "v1alpha1",
    kind = "Application",
    plural = "applications",
    shortname = "akapp",
    category = "appkeys",
    namespaced,
    status = "ApplicationStatus",
    doc = "An application that needs credentials. Its keys are ApplicationKeys in the same namespace.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Display Name", type_ = "string", json_path = ".spec.displayName"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        priority = 1
    )
)]
pub struct ApplicationSpec {
    /// Name for people. Absent: the name of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub display_name: Option<String>,

    /// What the application is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,

    /// What else is known of it, by name: for key managers that have applications of their own, and attributes of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = bounded::<1024>)]
    pub attributes: BTreeMap<String, String>,

    /// What only WSO2 has for an application. Other key managers do not look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wso2: Option<Wso2Application>,

    /// Key manager of those keys that name none themselves. Absent: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_manager_ref: Option<KeyManagerRef>,
}

impl ApplicationSpec {
    /// The blocks that are for key managers of one vendor.
    pub fn vendor_blocks(&self) -> ApplicationBlocks {
        ApplicationBlocks {
            wso2: self.wso2.clone(),
        }
    }
}

/// What the operator saw and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `Ready`; while the application is being deleted its message names the keys that it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
