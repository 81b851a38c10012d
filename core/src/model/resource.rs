//! Names of resources, as quotas and limit ranges count them (`pkg/apis/core/helper` of Kubernetes): a
//! name without a slash is one of a closed list, one with a slash belongs to whoever owns its domain.

use super::report::quoted;
use super::syntax;

/// Resources of pods that a quota counts, and that a scope may narrow.
const QUOTA_OF_PODS: [&str; 7] = [
    "cpu",
    "limits.cpu",
    "limits.memory",
    "memory",
    "pods",
    "requests.cpu",
    "requests.memory",
];

/// What else a quota counts without a domain.
const QUOTA_OF_OTHERS: [&str; 12] = [
    "configmaps",
    "ephemeral-storage",
    "limits.ephemeral-storage",
    "persistentvolumeclaims",
    "replicationcontrollers",
    "requests.ephemeral-storage",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];

/// Those that are counted in whole ones.
const COUNTED: [&str; 9] = [
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];

/// What containers and pods are limited in.
const OF_CONTAINERS: [&str; 3] = ["cpu", "ephemeral-storage", "memory"];

const HUGE_PAGES: &str = "hugepages-";

/// Checks a name in `hard` of a ResourceQuota.
pub(super) fn check_of_quota(name: &str) -> Result<(), String> {
    let huge = name.strip_prefix("requests.").unwrap_or(name);
    let is_known = QUOTA_OF_PODS.contains(&name) || QUOTA_OF_OTHERS.contains(&name);
    check(name, is_known || huge.starts_with(HUGE_PAGES), "a quota")
}

/// Checks a name in a limit of containers or pods.
pub(super) fn check_of_container(name: &str) -> Result<(), String> {
    let is_known = OF_CONTAINERS.contains(&name) || name.starts_with(HUGE_PAGES);
    check(name, is_known, "containers and pods")
}

/// Checks a name in a limit of claims, or of a type that somebody else defines.
pub(super) fn check_of_other(name: &str) -> Result<(), String> {
    let is_known = name == "storage" || check_of_quota(name).is_ok();
    check(name, is_known, "a limit")
}

fn check(name: &str, is_known: bool, of: &str) -> Result<(), String> {
    syntax::check_key(name)?;
    if is_known || name.contains('/') {
        Ok(())
    } else {
        Err(format!(
            "{} is no resource of {of}; one that is not Kubernetes' own has a domain and '/' in front",
            quoted(name)
        ))
    }
}

/// Whether only whole numbers of it make sense.
pub(super) fn is_counted(name: &str) -> bool {
    let is_extended = !is_native(name) && !name.starts_with("requests.");
    COUNTED.contains(&name) || is_extended
}

/// Whether a limit above what was requested makes sense.
pub(super) fn is_overcommitted(name: &str) -> bool {
    is_native(name) && !name.starts_with(HUGE_PAGES)
}

/// Whether a quota with such a scope may count it.
pub(super) fn fits_scope(name: &str, scope: &str) -> bool {
    let is_of_others = QUOTA_OF_OTHERS.contains(&name) || name.contains(HUGE_PAGES);
    match scope {
        "BestEffort" => name == "pods" || name.contains('/'),
        _ => name.contains('/') || !is_of_others,
    }
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}
