//! The limits of a document, each at its edge.

use super::super::limits::{COMPILED_SIZE_MAX_BYTES, OBJECTS_MAX};
use super::*;

#[test]
fn objects_are_counted_with_the_bindings_of_grants() {
    let account = |index| {
        let metadata = json!({"name": format!("s{index}"), "namespace": "ci"});
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    };
    let accounts: Vec<Value> = (1..OBJECTS_MAX).map(account).collect();
    let grant = |namespaces: Value| {
        let subjects = json!([{"user": "a"}]);
        let grant = json!({
            "name": "g", "subjects": subjects, "clusterRole": "view", "namespaces": namespaces,
        });
        let document = set(
            policy_for(json!({"all": true})),
            "/spec/grants",
            json!([grant]),
        );
        set(document, "/spec/objects", json!(accounts))
    };
    assert_eq!(
        parse_policy(&grant(json!(["ci"]))).compile().object_count(),
        OBJECTS_MAX
    );
    let message = "1001 objects with the bindings of its grants, the limit is 1000";
    assert_refused(vec![(grant(json!(["ci", "cd"])), "spec", message)]);
    let many = json!(vec![Value::Null; OBJECTS_MAX + 1]);
    let document = set(policy_for(json!({"all": true})), "/spec/objects", many);
    assert_refused(vec![(
        document,
        "spec.objects",
        "1001 entries, the limit is 1000",
    )]);
}

#[test]
fn size_is_counted_in_the_compiled_form() {
    let note = |length| {
        let mut object = role("ClusterRole", None, "r");
        object["metadata"]["annotations"] = json!({"note": "x".repeat(length)});
        policy_with(object)
    };
    let frame = parse_policy(&note(0)).compile().bytes().len();
    let largest = COMPILED_SIZE_MAX_BYTES - frame;
    let compiled = parse_policy(&note(largest)).compile();
    assert_eq!(compiled.bytes().len(), COMPILED_SIZE_MAX_BYTES);
    assert_refused(vec![(note(largest + 1), "spec", "the limit is 262144")]);

    let mut cluster = cluster_document();
    cluster["metadata"]["annotations"] = json!({"note": "x".repeat(COMPILED_SIZE_MAX_BYTES)});
    assert_refused(vec![(cluster, "", "the limit is 262144")]);
}
