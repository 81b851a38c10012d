//! Kubernetes' grammars for names, labels and keys. Each check answers with what is wrong, in words
//! that read after a field path; none of them knows what the text is for.

use super::limits::OBJECT_NAME_MAX_BYTES;
use super::report::quoted;
use crate::name;

/// Longest label value and longest name part of a key, in bytes (apimachinery's validation).
const LABEL_VALUE_MAX_BYTES: usize = 63;

/// An RFC 1123 label: namespaces, grants.
pub(super) fn check_dns_label(text: &str) -> Result<(), String> {
    name::check_label(text).map_err(|error| error.to_string())
}

/// An RFC 1123 subdomain: service accounts.
pub(super) fn check_dns_subdomain(text: &str) -> Result<(), String> {
    check_length(text, OBJECT_NAME_MAX_BYTES)?;
    let is_part = |part: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !part.is_empty()
            && part.bytes().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if text.split('.').all(is_part) {
        Ok(())
    } else {
        Err(format!(
            "{} is not a DNS subdomain: lower-case letters, digits, '-' and '.', each part beginning and ending with a letter or digit",
            quoted(text)
        ))
    }
}

/// A name that can stand in a URL's path: roles and bindings (apimachinery, `ValidatePathSegmentName`).
/// White space and control characters are refused beyond that: nobody means them.
pub(super) fn check_path_segment(text: &str) -> Result<(), String> {
    check_length(text, OBJECT_NAME_MAX_BYTES)?;
    if text == "." || text == ".." {
        return Err(format!("must not be {}", quoted(text)));
    }
    if text.contains(['/', '%']) || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!(
            "{} must not contain '/', '%', white space or control characters",
            quoted(text)
        ));
    }
    Ok(())
}

/// A label's or annotation's key: an optional DNS subdomain and '/', then a name.
pub(super) fn check_key(text: &str) -> Result<(), String> {
    let name = match text.split_once('/') {
        Some((prefix, name)) => {
            check_dns_subdomain(prefix)?;
            name
        }
        None => text,
    };
    check_length(name, LABEL_VALUE_MAX_BYTES)?;
    check_alphanumeric_ends(name)
}

/// A label's value: as a key's name, or empty.
pub(super) fn check_label_value(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    check_length(text, LABEL_VALUE_MAX_BYTES)?;
    check_alphanumeric_ends(text)
}

/// A text that is not empty and not over the limit.
pub(super) fn check_length(text: &str, max_bytes: usize) -> Result<(), String> {
    if text.is_empty() {
        Err("must not be empty".to_owned())
    } else if text.len() > max_bytes {
        Err(format!(
            "{} is {} bytes long, the limit is {max_bytes}",
            quoted(text),
            text.len()
        ))
    } else {
        Ok(())
    }
}

fn check_alphanumeric_ends(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    let inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(*b, b'-' | b'_' | b'.');
    let ends = bytes[0].is_ascii_alphanumeric() && bytes[bytes.len() - 1].is_ascii_alphanumeric();
    if ends && bytes.iter().all(inner) {
        Ok(())
    } else {
        Err(format!(
            "{} may hold letters, digits, '-', '_' and '.', and begins and ends with a letter or digit",
            quoted(text)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Check = fn(&str) -> Result<(), String>;

    fn assert_all(check: Check, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(check(text), Ok(()), "{text:?}");
        }
        for text in bad {
            assert!(check(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn subdomains_have_labels_between_dots() {
        let long = "a".repeat(254);
        let bad = [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a.-b",
            "A",
            "a_b",
            "a/b",
            "a ",
            long.as_str(),
        ];
        assert_all(check_dns_subdomain, &["a", "ci-bot", "a.b-c.d0"], &bad);
    }

    #[test]
    fn rbac_names_may_hold_colons_but_nothing_that_breaks_a_path() {
        let bad = ["", ".", "..", "a/b", "a%2f", "a b", "a\n"];
        assert_all(check_path_segment, &["view", "oidc:Dev_s@x", "a..b"], &bad);
    }

    #[test]
    fn keys_and_values_follow_the_label_grammar() {
        let long = "a".repeat(64);
        let keys = ["team", "example.com/Team_1", "a.b/c.d"];
        assert_all(
            check_key,
            &keys,
            &["", "/a", "a/", "a/b/c", "-a", "A_/b", "ä", long.as_str()],
        );
        assert_all(
            check_label_value,
            &["", "A", "a_b.c-d"],
            &["-a", "a-", "a b", long.as_str()],
        );
    }
}
