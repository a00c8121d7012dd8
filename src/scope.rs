//! Which namespaces the operator looks after: all of its cluster, or in limited mode the few that it is told. Then it reads nothing
//! of the cluster itself: no ClusterKeyManagers, and a resident key manager only as a file describes it.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{Api, Client, Resource, core::NamespaceResourceScope};
use serde_json::Value;
use url::Url;

use crate::{api::ClusterKeyManagerSpec, controller::queue::Name};

/// What keys call the resident key manager of limited mode.
pub const RESIDENT: &str = "resident";

/// Which namespaces the operator looks after.
#[derive(Clone, Debug, Default)]
pub enum Scope {
    /// All of them, and what is the cluster's own.
    #[default]
    Cluster,
    /// A few (limited mode).
    Limited(Arc<Limited>),
}

/// What limited mode has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limited {
    /// The namespaces.
    pub namespaces: BTreeSet<String>,
    /// The resident key manager, if there is one: the default of these namespaces.
    pub resident: Option<ClusterKeyManagerSpec>,
}

impl Scope {
    /// These namespaces with the resident key manager of a file; all of the cluster where none is named.
    ///
    /// # Errors
    /// The file cannot be used; the text says what is wrong.
    pub fn of(namespaces: &[String], resident: Option<&Path>) -> anyhow::Result<Self> {
        let namespaces: BTreeSet<_> = namespaces.iter().filter(|name| !name.is_empty()).cloned().collect();
        if namespaces.is_empty() {
            if resident.is_some() {
                bail!(
                    "a resident key manager in a file is for limited mode: give --namespaces, or make a ClusterKeyManager"
                );
            }
            return Ok(Self::Cluster);
        }
        let read = |path: &Path| {
            let text = std::fs::read_to_string(path)?;
            resident_of(&text)
        };
        let resident =
            resident.map(|path| read(path).with_context(|| format!("read {} (--resident-file)", path.display())));
        Ok(Self::Limited(Arc::new(Limited {
            namespaces,
            resident: resident.transpose()?,
        })))
    }

    /// What limited mode has; `None` where all of the cluster is looked after.
    pub fn limited(&self) -> Option<&Limited> {
        match self {
            Self::Cluster => None,
            Self::Limited(limited) => Some(limited),
        }
    }

    /// The namespaces that are looked at one by one; `None` stands for all of them at once.
    pub fn places(&self) -> Vec<Option<String>> {
        match self.limited() {
            None => vec![None],
            Some(limited) => limited.namespaces.iter().cloned().map(Some).collect(),
        }
    }
}

impl Limited {
    /// The resident key manager under this name.
    pub fn key_manager(&self, name: &Name) -> Option<&ClusterKeyManagerSpec> {
        self.resident.as_ref().filter(|_| *name == Name::new("", RESIDENT))
    }
}

/// The objects of one kind in a place.
pub fn api<K>(client: &Client, place: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match place {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// The spec of a ClusterKeyManager that is resident. No API server has checked it, so all that its definition forbids is refused here.
fn resident_of(text: &str) -> anyhow::Result<ClusterKeyManagerSpec> {
    let given: Value = serde_saphyr::from_str(text).context("it is not YAML")?;
    let spec: ClusterKeyManagerSpec =
        serde_json::from_value(given.clone()).context("it is not the spec of a ClusterKeyManager")?;
    let taken = serde_json::to_value(&spec)?;
    if let Some(unknown) = unknown(&given, &taken, "") {
        bail!("{unknown} is not a field of a ClusterKeyManager's spec");
    }
    let others = [
        ("okta", spec.okta.is_some()),
        ("keycloak", spec.keycloak.is_some()),
        ("wso2", spec.wso2.is_some()),
        ("oidc", spec.oidc.is_some()),
        ("caBundleRef", spec.ca_bundle_ref.is_some()),
        ("drift", spec.drift.is_some()),
    ];
    if let Some((field, _)) = others.iter().find(|(_, given)| *given) {
        bail!("{field} cannot be given in limited mode: key managers elsewhere are KeyManagers of the namespaces");
    }
    let Some(resident) = &spec.resident else {
        bail!("resident is missing: the key manager of limited mode is the operator's own");
    };
    if let Some(life) = resident.access_token_lifetime
        && !(60..=86400).contains(&life.as_secs())
    {
        bail!("resident.accessTokenLifetime must be between 1m and 24h");
    }
    let good = |issuer: &String| {
        Url::parse(issuer).is_ok_and(|url| {
            url.scheme() == "https" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty()
        })
    };
    if !resident.issuer.iter().all(good) {
        bail!("resident.issuer must be an https URL without query and fragment");
    }
    let empty = |selector: &LabelSelector| *selector == LabelSelector::default();
    if !spec
        .access
        .iter()
        .filter_map(|rule| rule.namespace_selector.as_ref())
        .all(empty)
    {
        bail!("access: a namespaceSelector must be {{}} in limited mode, in which no labels of namespaces are read");
    }
    Ok(ClusterKeyManagerSpec { default: true, ..spec })
}

/// A field of `given` that was not taken. What is false or empty is left out of what was taken.
fn unknown(given: &Value, taken: &Value, path: &str) -> Option<String> {
    match (given, taken) {
        (Value::Object(given), _) => given.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            match taken.get(name) {
                Some(taken) => unknown(value, taken, &path),
                None => says_something(value).then(|| path.trim_start_matches('.').to_owned()),
            }
        }),
        (Value::Array(given), Value::Array(taken)) => {
            let pairs = given.iter().zip(taken);
            pairs
                .enumerate()
                .find_map(|(n, (given, taken))| unknown(given, taken, &format!("{path}[{n}]")))
        }
        _ => None,
    }
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Array(all) => !all.is_empty(),
        Value::Object(all) => !all.is_empty(),
        Value::Number(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_spec_of_a_resident_key_manager_that_is_the_default() {
        let spec =
            resident_of("{resident: {accessTokenLifetime: 15m}, access: [{namespaceSelector: {}, scopes: [a]}]}");
        let spec = spec.unwrap();
        assert!(spec.default && spec.resident.is_some());
        assert_eq!(spec.access[0].scopes, ["a"]);
        assert!(
            resident_of("{resident: {}, default: false, access: []}")
                .unwrap()
                .default
        );
    }

    #[test]
    fn a_file_that_an_api_server_would_refuse_is_refused_with_the_reason() {
        for (text, reason) in [
            ("resident: [", "not YAML"),
            ("resident: 1", "not the spec of a ClusterKeyManager"),
            ("{}", "resident is missing"),
            ("{oidc: {issuer: https://idp.example}}", "oidc cannot be given"),
            ("{resident: {}, drift: {interval: 1h}}", "drift cannot be given"),
            ("{resident: {lifetime: 1h}}", "resident.lifetime is not a field"),
            (
                "{resident: {}, access: [{}, {scope: [a]}]}",
                "access[1].scope is not a field",
            ),
            ("{resident: {accessTokenLifetime: 48h}}", "between 1m and 24h"),
            ("{resident: {issuer: 'http://a'}}", "https URL"),
            (
                "{resident: {}, access: [{namespaceSelector: {matchLabels: {a: b}}}]}",
                "must be {}",
            ),
        ] {
            let error = format!("{:#}", resident_of(text).unwrap_err());
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_resident_key_manager_in_a_file_needs_namespaces() {
        let error = Scope::of(&[String::new()], Some(Path::new("resident.yaml"))).unwrap_err();
        assert!(error.to_string().contains("--namespaces"), "{error}");
        assert!(Scope::of(&[String::new()], None).unwrap().limited().is_none());
        let missing = Scope::of(&["a".to_owned()], Some(Path::new("/nowhere/resident.yaml"))).unwrap_err();
        assert!(format!("{missing:#}").contains("--resident-file"), "{missing:#}");
    }
}
