//! Where two readings of one YAML text differ.
//!
//! Owns the comparison of a document as YAML 1.2 reads it with the same document as kubectl does
//! (YAML 1.1). A manifest that is copied between the two tools must not change its meaning, so what
//! differs is refused, not chosen.

use serde_json::Value;

/// The path of the first difference, and what to do about it.
pub(super) fn first(core: &Value, kubectl: &Value) -> Option<(String, String)> {
    compare(core, kubectl, &mut String::new())
}

fn compare(core: &Value, kubectl: &Value, path: &mut String) -> Option<(String, String)> {
    let length = path.len();
    match (core, kubectl) {
        (Value::Object(left), Value::Object(right)) => {
            for (key, value) in left {
                push_key(path, key);
                let found = match right.get(key) {
                    Some(other) => compare(value, other, path),
                    None => Some((
                        path.clone(),
                        "this key is read in two ways: quote it".to_owned(),
                    )),
                };
                path.truncate(length);
                if found.is_some() {
                    return found;
                }
            }
            None
        }
        (Value::Array(left), Value::Array(right)) => {
            left.iter()
                .zip(right)
                .enumerate()
                .find_map(|(index, (value, other))| {
                    path.push_str(&format!("[{index}]"));
                    let found = compare(value, other, path);
                    path.truncate(length);
                    found
                })
        }
        _ if core == kubectl => None,
        (Value::String(text), Value::Bool(value)) => Some((
            path.clone(),
            format!(
                "`{text}` is a text to YAML 1.2 and {value} to kubectl: \
                 write {value}, or \"{text}\" in quotes"
            ),
        )),
        _ => Some((
            path.clone(),
            format!(
                "is {core} to YAML 1.2 and {kubectl} to kubectl: \
                 write the one that is meant, or quote it"
            ),
        )),
    }
}

fn push_key(path: &mut String, key: &str) {
    // Keys with dots (labels, annotations) would read as two.
    if key.contains(['.', '/', '[']) {
        path.push_str(&format!("[{key:?}]"));
    } else {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::first;

    #[test]
    fn equal_values_have_no_difference() {
        let value = json!({"a": [1, {"b": "x"}], "c": null});
        assert_eq!(first(&value, &value), None);
    }

    #[test]
    fn the_path_names_lists_and_keys_with_dots() {
        let found = first(
            &json!({"a": [1, {"x.y/z": "yes"}]}),
            &json!({"a": [1, {"x.y/z": true}]}),
        )
        .unwrap();
        assert_eq!(found.0, "a[1][\"x.y/z\"]");
        assert!(found.1.contains("write true"), "{}", found.1);
    }
}
