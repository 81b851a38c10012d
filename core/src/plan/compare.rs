//! Whether what is there already says what is wanted.
//!
//! The API server adds fields (defaults, uid, managed fields), so equality would never hold.
//! Lists are compared element by element and by length: the lists of the supported kinds (rules,
//! subjects, verbs) are replaced as a whole, and an added subject is a grant that nobody gave.

use serde_json::Value;

use crate::model::{ObjectRef, quantities_equal};

/// Whether an object says all that is wanted of it. Quantities compare by their value: the API
/// server answers `1Gi` where `1024Mi` was sent.
pub fn holds(reference: &ObjectRef, observed: &Value, desired: &Value) -> bool {
    let bounds = matches!(reference.kind.as_str(), "ResourceQuota" | "LimitRange");
    let (Value::Object(found), Value::Object(wanted), true) = (observed, desired, bounds) else {
        return contains(observed, desired);
    };
    wanted.iter().all(|(key, wanted)| {
        let same: Same = if key == "spec" {
            same_amount
        } else {
            same_value
        };
        found
            .get(key)
            .map_or_else(|| is_empty(wanted), |found| has(found, wanted, same))
    })
}

/// Whether `observed` contains all of `desired`. What is empty equals what is absent: the API server
/// drops empty lists and maps.
pub fn contains(observed: &Value, desired: &Value) -> bool {
    has(observed, desired, same_value)
}

/// Whether two values that are neither lists nor maps mean the same.
type Same = fn(&Value, &Value) -> bool;

fn same_value(observed: &Value, desired: &Value) -> bool {
    observed == desired
}

fn same_amount(observed: &Value, desired: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match (text(observed), text(desired)) {
        (Some(observed), Some(desired)) => quantities_equal(&observed, &desired),
        _ => observed == desired,
    }
}

fn has(observed: &Value, desired: &Value, same: Same) -> bool {
    match (observed, desired) {
        (Value::Object(observed), Value::Object(desired)) => desired.iter().all(|(key, wanted)| {
            observed
                .get(key)
                .map_or_else(|| is_empty(wanted), |found| has(found, wanted, same))
        }),
        (Value::Array(observed), Value::Array(desired)) => {
            observed.len() == desired.len()
                && observed
                    .iter()
                    .zip(desired)
                    .all(|(found, wanted)| has(found, wanted, same))
        }
        (observed, desired) => same(observed, desired) || (is_empty(observed) && is_empty(desired)),
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
