//! Whether what is there already says what is wanted.
//!
//! The API server adds fields (defaults, uid, managed fields), so equality would never hold.
//! Lists are compared element by element and by length: the lists of the supported kinds (rules,
//! subjects, verbs) are replaced as a whole, and an added subject is a grant that nobody gave.

use serde_json::Value;

use super::quantity;
use crate::model::ObjectRef;

/// Whether an object says all that is wanted of it. Quantities compare by their value: the API
/// server answers `1Gi` where `1024Mi` was sent.
pub fn holds(reference: &ObjectRef, observed: &Value, desired: &Value) -> bool {
    if !matches!(reference.kind.as_str(), "ResourceQuota" | "LimitRange") {
        return contains(observed, desired);
    }
    contains(&parsed(observed), &parsed(desired))
}

/// The same object with the quantities of its spec in one spelling.
fn parsed(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(hard) = object.pointer_mut("/spec/hard") {
        normalise(hard);
    }
    let limits = object
        .pointer_mut("/spec/limits")
        .and_then(Value::as_array_mut);
    for limit in limits.into_iter().flatten() {
        for key in LIMITS {
            if let Some(amounts) = limit.get_mut(key) {
                normalise(amounts);
            }
        }
    }
    object
}

/// The maps of a LimitRange that hold quantities.
const LIMITS: [&str; 5] = [
    "default",
    "defaultRequest",
    "max",
    "maxLimitRequestRatio",
    "min",
];

fn normalise(amounts: &mut Value) {
    for amount in amounts
        .as_object_mut()
        .into_iter()
        .flat_map(|map| map.values_mut())
    {
        let text = match &*amount {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => continue,
        };
        if let Some(canonical) = quantity::canonical(&text) {
            *amount = canonical.into();
        }
    }
}

/// Whether `observed` contains all of `desired`. What is empty equals what is absent: the API server
/// drops empty lists and maps.
pub fn contains(observed: &Value, desired: &Value) -> bool {
    match (observed, desired) {
        (Value::Object(observed), Value::Object(desired)) => desired.iter().all(|(key, wanted)| {
            observed
                .get(key)
                .map_or_else(|| is_empty(wanted), |found| contains(found, wanted))
        }),
        (Value::Array(observed), Value::Array(desired)) => {
            observed.len() == desired.len()
                && observed
                    .iter()
                    .zip(desired)
                    .all(|(found, wanted)| contains(found, wanted))
        }
        (observed, desired) => observed == desired || (is_empty(observed) && is_empty(desired)),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::contains;

    #[test]
    fn what_the_server_adds_does_not_count_and_what_it_changed_does() {
        let subject = json!({"kind": "User", "name": "bob"});
        let desired =
            json!({"metadata": {"labels": {"a": "1"}}, "subjects": [subject], "rules": []});
        let answered = json!({
            "metadata": {"uid": "u", "labels": {"a": "1", "b": "2"}},
            "subjects": [{"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}],
        });
        assert!(contains(&answered, &desired));
        for (pointer, value) in [
            ("/metadata/labels/a", json!("2")),
            ("/subjects/0/name", json!("eve")),
            (
                "/subjects",
                json!([subject, {"kind": "User", "name": "eve"}]),
            ),
            ("/subjects", json!([])),
            ("/metadata", json!(null)),
        ] {
            let mut changed = answered.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            assert!(!contains(&changed, &desired), "{pointer}");
        }
    }

    #[test]
    fn false_is_not_absent() {
        assert!(!contains(
            &json!({}),
            &json!({"automountServiceAccountToken": false})
        ));
        assert!(contains(
            &json!({}),
            &json!({"rules": null, "metadata": {"labels": {}}})
        ));
    }

    #[test]
    fn a_subject_that_was_added_by_hand_to_an_empty_list_counts() {
        assert!(!contains(
            &json!({"subjects": [{"name": "eve"}]}),
            &json!({"subjects": []})
        ));
        assert!(!contains(
            &json!({"subjects": [{"name": "eve"}]}),
            &json!({"subjects": null})
        ));
    }
}
