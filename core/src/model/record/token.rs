//! Reads service tokens. What is kept of one is the hash of its secret, never the secret.

use std::collections::BTreeSet;

use crate::access::ServiceToken;
use crate::hash::Hash;
use crate::model::fields::Fields;
use crate::model::metadata;
use crate::model::report::Report;
use crate::name::Name;

const SPEC: [&str; 3] = ["hash", "groups", "expires"];

/// Longest name of a group.
const GROUP_BYTES_MAX: usize = 200;

/// How the groups begin that only certificates of the fleet's own authority give.
const RESERVED_PREFIX: &str = "writ:";

pub(super) fn read(document: &Fields<'_>, report: &mut Report) -> Option<ServiceToken> {
    let metadata = metadata::read_document(document, Name::parse, report);
    if document.get("spec").is_none() {
        report.refuse(document.path("spec"), "is required");
    }
    let spec = document.open_field("spec", &SPEC, report)?;
    let hash = spec.parsed("hash", |text: &str| Hash::try_from(text.to_owned()), report);
    let expires = spec.get("expires").and_then(serde_json::Value::as_u64);
    if expires.is_none() {
        report.refuse(
            spec.path("expires"),
            "must be a number of seconds since 1970",
        );
    }
    let mut groups = BTreeSet::new();
    for (path, group) in spec.texts("groups", report) {
        let is_name = !group.is_empty()
            && group.len() <= GROUP_BYTES_MAX
            && !group.chars().any(char::is_control)
            && !group.starts_with(RESERVED_PREFIX);
        if !is_name {
            report.refuse(
                path,
                "must be the name of a group, and none that begins with writ:",
            );
        }
        groups.insert(group.to_owned());
    }
    Some(ServiceToken {
        name: metadata?.name,
        hash: hash?,
        groups,
        expires_s: expires?,
    })
}
