//! The body of a ConfigMap.

use data_encoding::BASE64;

use super::fields::{Fields, path_of, text};
use super::report::{Report, quoted};

/// Longest key of `data` and `binaryData`, in bytes (apimachinery, `IsConfigMapKey`).
const KEY_MAX_BYTES: usize = 253;

/// Checks the body as the API server does.
pub(super) fn check(object: &Fields<'_>, report: &mut Report) {
    object.flag("immutable", report);
    let data = read_entries(object, "data", |_| Ok(()), report);
    let is_base64 = |text: &str| match BASE64.decode(text.as_bytes()) {
        Ok(_) => Ok(()),
        Err(_) => Err("must be base64, padded and on one line"),
    };
    for key in read_entries(object, "binaryData", is_base64, report) {
        if data.contains(&key) {
            let path = path_of(&object.path("binaryData"), key);
            report.refuse(path, "is in data already");
        }
    }
}

fn read_entries<'a>(
    object: &Fields<'a>,
    field: &str,
    check: impl Fn(&str) -> Result<(), &'static str>,
    report: &mut Report,
) -> Vec<&'a str> {
    let Some(value) = object.get(field) else {
        return Vec::new();
    };
    let Some(entries) = Fields::open_map(value, object.path(field), report) else {
        return Vec::new();
    };
    let mut keys = Vec::new();
    for (key, value) in entries.entries() {
        let path = entries.path(key);
        if let Err(message) = check_key(key) {
            report.refuse(path.clone(), message);
        }
        let Some(value) = text(value, path.clone(), report) else {
            continue;
        };
        if let Err(message) = check(value) {
            report.refuse(path, message);
        }
        keys.push(key.as_str());
    }
    keys
}

fn check_key(key: &str) -> Result<(), String> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let is_key = !key.is_empty() && key.len() <= KEY_MAX_BYTES && key.bytes().all(is_plain);
    if is_key && key != "." && !key.starts_with("..") {
        Ok(())
    } else {
        Err(format!(
            "{} may hold letters, digits, '-', '_' and '.', at most {KEY_MAX_BYTES}, and does not begin with '..'",
            quoted(key)
        ))
    }
}
