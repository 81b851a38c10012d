//! What a cluster holds, read by its administrator and compared with what was sent.

use std::collections::BTreeMap;

use kube::api::{Api, DynamicObject, ListParams};
use kube::discovery::{Discovery, verbs};
use serde_json::{Value, json};
use writ_core::model::{Object, ObjectRef};
use writ_core::plan::MANAGED;

use crate::fixture::Fixture;

/// Asserts that each object is there and says exactly this: what the server adds and our marks aside.
pub(crate) async fn assert_as_sent(fixture: &Fixture, objects: &[Object]) {
    for object in objects {
        let found = fixture.get(&object.reference).await;
        let found = found.unwrap_or_else(|| panic!("{} is not there", object.reference));
        assert_eq!(said(&found), said(&object.content), "{}", object.reference);
    }
}

/// What an object says. The rules of an aggregated role are its controller's; a role without rules is
/// kept with `rules: null`.
fn said(object: &Value) -> Value {
    let mut said = object.clone();
    let metadata = said["metadata"].as_object_mut().unwrap();
    metadata
        .retain(|key, _| ["name", "namespace", "labels", "annotations"].contains(&key.as_str()));
    let is_ours = |key: &str| key.starts_with("writ.dev/") || key == "app.kubernetes.io/managed-by";
    if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
        labels.retain(|key, _| !is_ours(key));
    }
    if said.get("aggregationRule").is_some() {
        said.as_object_mut().unwrap().remove("rules");
    } else if said.get("rules").is_some_and(Value::is_null) {
        said["rules"] = json!([]);
    }
    said
}

/// The resource version of each object.
pub(crate) async fn versions(
    fixture: &Fixture,
    objects: &[Object],
) -> BTreeMap<ObjectRef, Option<Value>> {
    let mut versions = BTreeMap::new();
    for object in objects {
        let found = fixture.get(&object.reference).await;
        let version = found.map(|found| found["metadata"]["resourceVersion"].clone());
        versions.insert(object.reference.clone(), version);
    }
    versions
}

/// Kind and name of everything with our mark, mirrors included, over all kinds that the cluster serves.
pub(crate) async fn marked(fixture: &Fixture) -> Vec<String> {
    let served = Discovery::new(fixture.admin.clone()).run().await.unwrap();
    let ours = ListParams::default().labels(MANAGED);
    let mut found = Vec::new();
    for (kind, capabilities) in served
        .groups()
        .flat_map(|group| group.recommended_resources())
    {
        if !capabilities.supports_operation(verbs::LIST) {
            continue;
        }
        let api: Api<DynamicObject> = Api::all_with(fixture.admin.clone(), &kind);
        let listed = api.list(&ours).await.unwrap();
        let names = listed
            .iter()
            .map(|of| format!("{} {:?}", kind.kind, of.metadata.name));
        found.extend(names);
    }
    found
}
