//! The objects, and what each verb does to them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Now, RequestInfo, Verb};

/// An object's identity: API version, plural, namespace, name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// API group and version.
    pub api_version: String,
    /// The kind's plural name.
    pub plural: String,
    /// The namespace; empty for kinds without.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Id {
    /// An id of a custom resource of ours.
    pub fn ours(plural: &str, namespace: &str, name: &str) -> Self {
        Self::of("appkeys.dev/v1alpha1", plural, namespace, name)
    }

    /// A Secret's id.
    pub fn secret(namespace: &str, name: &str) -> Self {
        Self::of("v1", "secrets", namespace, name)
    }

    /// An id.
    pub fn of(api_version: &str, plural: &str, namespace: &str, name: &str) -> Self {
        let [api_version, plural, namespace, name] = [api_version, plural, namespace, name].map(str::to_owned);
        Self {
            api_version,
            plural,
            namespace,
            name,
        }
    }
}

/// A change, for watches.
struct Change {
    version: u64,
    id: Id,
    type_: &'static str,
    object: Value,
}

/// The objects.
pub struct Store {
    now: Now,
    version: u64,
    objects: BTreeMap<Id, Value>,
    changes: Vec<Change>,
    /// Watches cannot begin before this version.
    oldest: u64,
    /// Objects that lists leave out.
    hidden: BTreeSet<Id>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("version", &self.version)
            .field("objects", &self.objects.len())
            .finish_non_exhaustive()
    }
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code})
}

impl Store {
    pub(super) fn new(now: Now) -> Self {
        Self {
            now,
            version: 1,
            objects: BTreeMap::new(),
            changes: vec![],
            oldest: 0,
            hidden: BTreeSet::new(),
        }
    }

    /// The newest resource version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The server's time.
    pub fn now(&self) -> String {
        (self.now)()
    }

    /// An object.
    pub fn get(&self, id: &Id) -> Option<&Value> {
        self.objects.get(id)
    }

    /// All objects of a kind.
    pub fn all<'a>(&'a self, plural: &'a str) -> impl Iterator<Item = (&'a Id, &'a Value)> {
        self.objects.iter().filter(move |(id, _)| id.plural == plural)
    }

    /// All that objects of a kind ever were, in the order of the changes.
    pub fn history<'a>(&'a self, plural: &'a str) -> impl Iterator<Item = (&'a Id, &'a Value)> {
        let changes = self.changes.iter().filter(move |change| change.id.plural == plural);
        changes.map(|change| (&change.id, &change.object))
    }

    /// From now on lists leave these objects out, as a server with a partial view does.
    pub fn hide(&mut self, hidden: impl IntoIterator<Item = Id>) {
        self.hidden = hidden.into_iter().collect();
    }

    /// Watches have to begin anew with a list, as after a compaction. `history` stays.
    pub(super) fn compact(&mut self) {
        self.oldest = self.version + 1;
        self.version += 1;
    }

    /// Whether a watch that has seen this version has to begin anew.
    pub(super) fn is_compacted(&self, seen: u64) -> bool {
        seen < self.oldest
    }

    /// What changed last.
    pub fn last_change(&self) -> Option<&Id> {
        self.changes.last().map(|change| &change.id)
    }

    /// Everything, to be restored elsewhere.
    pub fn dump(&self) -> BTreeMap<Id, Value> {
        self.objects.clone()
    }

    /// Puts an object as `kubectl apply` of a whole object would: made where it is missing, its spec replaced where it is there.
    pub fn put(&mut self, id: &Id, mut object: Value) {
        if let Some(old) = self.objects.get(id) {
            let mut new = old.clone();
            for (field, value) in object.as_object_mut().map(std::mem::take).into_iter().flatten() {
                if field == "metadata" {
                    for (name, value) in value.as_object().cloned().into_iter().flatten() {
                        new["metadata"][name] = value;
                    }
                } else {
                    new[field] = value;
                }
            }
            let old = old.clone();
            new["metadata"]["managedFields"] = owners(&old, &new, "kubectl");
            drop(self.replaced(id, &old, new, false));
        } else {
            drop(self.created(id, object, "kubectl"));
        }
    }

    /// Deletes an object as `kubectl delete` would.
    pub fn delete(&mut self, id: &Id) {
        if let Some(object) = self.objects.get(id).cloned() {
            self.deleted(id, &object);
        }
    }

    pub(super) fn apply(&mut self, request: &RequestInfo, body: &[u8]) -> Result<Value, Value> {
        let id = Id::of(&request.api_version, &request.plural, &request.namespace, &request.name);
        let json =
            || serde_json::from_slice::<Value>(body).map_err(|_| status(400, "BadRequest", "the body is no JSON"));
        match request.verb {
            Verb::Get => self.objects.get(&id).cloned().ok_or_else(|| not_found(&id)),
            Verb::List => Ok(self.list(request)),
            Verb::Watch => Err(status(400, "BadRequest", "a watch is no single answer")),
            Verb::Create => {
                let object = json()?;
                let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                let id = Id {
                    name: if name.is_empty() {
                        format!("generated-{}", self.version)
                    } else {
                        name
                    },
                    ..id
                };
                if self.objects.contains_key(&id) {
                    return Err(status(
                        409,
                        "AlreadyExists",
                        &format!("{} \"{}\" already exists", id.plural, id.name),
                    ));
                }
                Ok(self.created(&id, object, &request.field_manager))
            }
            Verb::Update => {
                let old = self.objects.get(&id).cloned().ok_or_else(|| not_found(&id))?;
                let new = json()?;
                self.update(&id, &old, new, request)
            }
            Verb::Patch => {
                let old = self.objects.get(&id).cloned().ok_or_else(|| not_found(&id))?;
                let mut new = old.clone();
                if request.content_type.starts_with("application/json-patch+json") {
                    let patch: json_patch::Patch =
                        serde_json::from_slice(body).map_err(|_| status(400, "BadRequest", "no JSON patch"))?;
                    json_patch::patch(&mut new, &patch)
                        .map_err(|_| status(422, "Invalid", "the server rejected our request"))?;
                } else {
                    json_patch::merge(&mut new, &json()?);
                }
                self.update(&id, &old, new, request)
            }
            Verb::Delete => {
                let object = self.objects.get(&id).cloned().ok_or_else(|| not_found(&id))?;
                let options = json().unwrap_or_default();
                for field in ["uid", "resourceVersion"] {
                    let wanted = &options["preconditions"][field];
                    if !wanted.is_null() && *wanted != object["metadata"][field] {
                        return Err(status(409, "Conflict", "the precondition failed"));
                    }
                }
                self.deleted(&id, &object);
                Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))
            }
        }
    }

    fn update(&mut self, id: &Id, old: &Value, mut new: Value, request: &RequestInfo) -> Result<Value, Value> {
        for field in ["resourceVersion", "uid"] {
            let wanted = &new["metadata"][field];
            if wanted.as_str().is_some_and(|wanted| !wanted.is_empty()) && *wanted != old["metadata"][field] {
                return Err(status(
                    409,
                    "Conflict",
                    "the object has been modified; please apply your changes to the latest version",
                ));
            }
        }
        if id.plural == "secrets" && new["type"] != old["type"] {
            return Err(status(422, "Invalid", "type: field is immutable"));
        }
        if request.subresource == "status" {
            let mut object = old.clone();
            object["status"] = new["status"].take();
            return Ok(self.replaced(id, old, object, true));
        }
        new["metadata"]["managedFields"] = owners(old, &new, &request.field_manager);
        Ok(self.replaced(id, old, new, false))
    }

    fn created(&mut self, id: &Id, mut object: Value, manager: &str) -> Value {
        self.version += 1;
        let uid = format!("uid-{}", self.version);
        let now = self.now();
        let owners = owners(&json!({}), &object, manager);
        let meta = &mut object["metadata"];
        meta["name"] = id.name.clone().into();
        if !id.namespace.is_empty() {
            meta["namespace"] = id.namespace.clone().into();
        }
        meta["uid"] = uid.into();
        meta["creationTimestamp"] = now.into();
        meta["generation"] = 1.into();
        meta["managedFields"] = owners;
        object["apiVersion"] = id.api_version.clone().into();
        object["kind"] = kind(&id.plural).into();
        if has_status(id) {
            object.as_object_mut().map(|object| object.remove("status"));
        }
        self.stored(id, "ADDED", object)
    }

    /// An object anew. What the server owns stays; a change of the spec counts; without a change nothing happens.
    fn replaced(&mut self, id: &Id, old: &Value, mut new: Value, of_status: bool) -> Value {
        for field in [
            "uid",
            "creationTimestamp",
            "generation",
            "resourceVersion",
            "deletionTimestamp",
            "name",
            "namespace",
        ] {
            match &old["metadata"][field] {
                Value::Null => drop(new["metadata"].as_object_mut().map(|meta| meta.remove(field))),
                value => new["metadata"][field] = value.clone(),
            }
        }
        new["apiVersion"] = old["apiVersion"].clone();
        new["kind"] = old["kind"].clone();
        if has_status(id) && !of_status {
            match &old["status"] {
                Value::Null => drop(new.as_object_mut().map(|object| object.remove("status"))),
                value => new["status"] = value.clone(),
            }
        }
        if same(old, &new) {
            return old.clone();
        }
        if new["spec"] != old["spec"] {
            new["metadata"]["generation"] = (old["metadata"]["generation"].as_i64().unwrap_or(0) + 1).into();
        }
        if !new["metadata"]["deletionTimestamp"].is_null() && finalizers(&new) == 0 {
            return self.removed(id, new);
        }
        self.stored(id, "MODIFIED", new)
    }

    fn deleted(&mut self, id: &Id, object: &Value) {
        if finalizers(object) == 0 {
            self.removed(id, object.clone());
        } else if object["metadata"]["deletionTimestamp"].is_null() {
            let mut object = object.clone();
            object["metadata"]["deletionTimestamp"] = self.now().into();
            object["metadata"]["generation"] = (object["metadata"]["generation"].as_i64().unwrap_or(0) + 1).into();
            self.stored(id, "MODIFIED", object);
        }
    }

    fn removed(&mut self, id: &Id, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.remove(id);
        self.changes.push(Change {
            version: self.version,
            id: id.clone(),
            type_: "DELETED",
            object: object.clone(),
        });
        object
    }

    fn stored(&mut self, id: &Id, type_: &'static str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.insert(id.clone(), object.clone());
        self.changes.push(Change {
            version: self.version,
            id: id.clone(),
            type_,
            object: object.clone(),
        });
        object
    }

    fn list(&self, request: &RequestInfo) -> Value {
        let items: Vec<_> = self
            .objects
            .iter()
            .filter(|(id, object)| matches(request, id, object) && !self.hidden.contains(id))
            .map(|(_, object)| object.clone())
            .collect();
        json!({
            "apiVersion": request.api_version,
            "kind": format!("{}List", kind(&request.plural)),
            "metadata": {"resourceVersion": self.version.to_string()},
            "items": items,
        })
    }

    /// The first change after `seen`: its version, and the event where the watch wants it.
    pub(super) fn next_event(&self, request: &RequestInfo, seen: u64) -> Option<(u64, Option<Value>)> {
        let from = self.changes.partition_point(|change| change.version <= seen);
        let change = self.changes.get(from)?;
        let wanted = matches(request, &change.id, &change.object);
        let event = wanted.then(|| json!({"type": change.type_, "object": request.shaped(change.object.clone())}));
        Some((change.version, event))
    }
}

fn matches(request: &RequestInfo, id: &Id, object: &Value) -> bool {
    id.api_version == request.api_version
        && id.plural == request.plural
        && (request.namespace.is_empty() || request.namespace == id.namespace)
        && request
            .labels
            .iter()
            .all(|(name, value)| object["metadata"]["labels"][name] == **value)
}

fn same(one: &Value, other: &Value) -> bool {
    let bare = |object: &Value| {
        let mut object = object.clone();
        if let Some(meta) = object["metadata"].as_object_mut() {
            meta.remove("managedFields");
        }
        object
    };
    bare(one) == bare(other)
}

/// Who owns which entry after `manager` has written `new`: those that it changed are its own, the others stay whose they were.
fn owners(old: &Value, new: &Value, manager: &str) -> Value {
    let there = |name: &str| !new["data"][name].is_null();
    let changed = |name: &str| old["data"][name] != new["data"][name];
    let mut owned: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in old["metadata"]["managedFields"].as_array().into_iter().flatten() {
        let fields = entry["fieldsV1"]["f:data"].as_object().into_iter().flatten();
        let names = fields.filter_map(|(field, _)| field.strip_prefix("f:"));
        let kept = names.filter(|name| there(name) && !changed(name)).map(str::to_owned);
        let by = entry["manager"].as_str().unwrap_or_default().to_owned();
        owned.entry(by).or_default().extend(kept);
    }
    let written = new["data"].as_object().into_iter().flatten();
    let written = written.map(|(name, _)| name.clone()).filter(|name| changed(name));
    owned.entry(manager.to_owned()).or_default().extend(written);
    owned.iter().map(|(manager, names)| managed(manager, names)).collect()
}

/// That `manager` owns these entries, as the server says it.
fn managed(manager: &str, entries: &[String]) -> Value {
    let entries: Map<String, Value> = entries.iter().map(|name| (format!("f:{name}"), json!({}))).collect();
    let fields = if entries.is_empty() {
        json!({})
    } else {
        json!({"f:data": entries})
    };
    json!({"manager": manager, "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields})
}

fn finalizers(object: &Value) -> usize {
    object["metadata"]["finalizers"].as_array().map_or(0, Vec::len)
}

fn has_status(id: &Id) -> bool {
    id.api_version.starts_with("appkeys.dev/")
}

fn not_found(id: &Id) -> Value {
    status(404, "NotFound", &format!("{} \"{}\" not found", id.plural, id.name))
}

fn kind(plural: &str) -> &'static str {
    match plural {
        "secrets" => "Secret",
        "namespaces" => "Namespace",
        "leases" => "Lease",
        "events" => "Event",
        "applications" => "Application",
        "applicationkeys" => "ApplicationKey",
        "keymanagers" => "KeyManager",
        "clusterkeymanagers" => "ClusterKeyManager",
        "customresourcedefinitions" => "CustomResourceDefinition",
        _ => "Unknown",
    }
}
