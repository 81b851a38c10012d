//! From manifests to policies: one for each namespace and one for what is cluster-wide, more of them
//! where the limits of a policy ask for it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::left::Left;
use super::{Imported, NAME_LENGTH_MAX};
use crate::error::Error;
use crate::input::documents::API_VERSION;
use crate::output::table::clean;

/// Most objects of a policy, as the publisher limits it.
pub(super) const OBJECTS_MAX: usize = 1_000;
/// Largest policy, as the publisher limits it.
pub(super) const SIZE_MAX_BYTES: usize = 256 * 1024;
/// What a policy needs beside its objects, with room for defaults that the publisher fills in.
const FRAME_SIZE_BYTES: usize = 8 * 1024;
/// Digits of the hash in a name that had to be cut.
const HASH_LENGTH: usize = 8;

/// The policies, sorted by what they are of.
pub(super) fn pack(cluster: &str, imported: &mut Imported) -> Vec<Value> {
    let mut names = BTreeSet::new();
    let mut policies = Vec::new();
    for (place, objects) in std::mem::take(&mut imported.kept) {
        for (part, objects) in split(objects, imported).into_iter().enumerate() {
            let name = name(cluster, place.as_deref(), part + 1, &mut names);
            policies.push(policy(cluster, &name, objects));
        }
    }
    policies
}

fn policy(cluster: &str, name: &str, objects: Vec<Value>) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "ClusterPolicy",
        "metadata": {"name": name},
        "spec": {"clusters": {"names": [cluster]}, "adopt": "ifIdentical", "objects": objects},
    })
}

/// As few parts as hold the objects in their order. What no policy can hold is left out.
fn split(objects: Vec<Value>, imported: &mut Imported) -> Vec<Vec<Value>> {
    let mut parts: Vec<Vec<Value>> = Vec::new();
    let mut room = 0;
    for object in objects {
        let size = object.to_string().len() + 1;
        if size > SIZE_MAX_BYTES - FRAME_SIZE_BYTES {
            imported.leave(Left::TooLarge, &object);
            continue;
        }
        match parts.last_mut() {
            Some(part) if size <= room && part.len() < OBJECTS_MAX => {
                part.push(object);
                room -= size;
            }
            _ => {
                parts.push(vec![object]);
                room = SIZE_MAX_BYTES - FRAME_SIZE_BYTES - size;
            }
        }
    }
    parts
}

/// `CLUSTER--NAMESPACE`, and `CLUSTER` for what is cluster-wide; from the second part on with its
/// number. What is too long, or taken, is cut and told apart by a hash.
fn name(cluster: &str, place: Option<&str>, part: usize, names: &mut BTreeSet<String>) -> String {
    let mut full = match place {
        Some(namespace) => format!("{cluster}--{namespace}"),
        None => cluster.to_owned(),
    };
    if part > 1 {
        full.push_str(&format!("---{part}"));
    }
    let mut name = full.clone();
    if full.len() > NAME_LENGTH_MAX || names.contains(&full) {
        let cut: String = full
            .chars()
            .take(NAME_LENGTH_MAX - HASH_LENGTH - 1)
            .collect();
        name = format!(
            "{}-{:08x}",
            cut.trim_end_matches('-'),
            hash(&format!("{place:?} {part} {full}"))
        );
    }
    names.insert(name.clone());
    name
}

/// FNV-1a: the same name on every machine and in every version.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// The documents, under a word on how they become Writ's.
pub(super) fn yaml(context: &str, cluster: &str, policies: &[Value]) -> Result<String, Error> {
    let context = clean(context);
    let mut text = format!(
        "\
# What context {context} holds, as policies for cluster {cluster}. Nothing was changed there.
#
# The objects exist already and are not Writ's, so the policies say `adopt: ifIdentical`. That is half of the
# consent. The other half is the cluster owner's, object by object:
#   kubectl --context {context} annotate KIND NAME writ.dev/adoptable=true
# or for many at once in the ceiling: kubectl --context {context} edit policyceilings.writ.dev default
# Without it the cluster refuses (ForeignObject) and leaves the object as it is.
#
# Then: writ apply -f FILE --dry-run, writ apply -f FILE --wait, writ why {cluster}
"
    );
    for policy in policies {
        let body = serde_saphyr::to_string(policy)
            .map_err(|error| Error::Answer(format!("a manifest has no form in YAML: {error}")))?;
        text.push_str(&format!("---\n{}\n", body.trim_end()));
    }
    Ok(text)
}
