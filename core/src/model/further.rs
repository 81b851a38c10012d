//! Further kinds: what a policy may hold beyond the kinds that are checked field by field. Their bodies
//! travel as they were written; whether the cluster knows the kind, and whether Writ may write it
//! there, is decided by its owner, who gives the right or does not.
//!
//! Owns the list of what never travels, whoever may write it: secrets, what decides over access, trust
//! and admission, what runs code, and what is a cluster's own state.

use serde_json::{Map, Value};

use super::fields::{path_of, unknown};
use super::kind::{ObjectKind, group_of};
use super::report::{Report, quoted};
use super::syntax;

/// Fields that are read apart from the body.
const FRAME: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// Kinds of the core group that are refused, each with the reason.
const CORE_REFUSED: [(&str, &str); 13] = [
    ("Secret", SECRET),
    ("Pod", WORKLOAD),
    ("PodTemplate", WORKLOAD),
    ("ReplicationController", WORKLOAD),
    ("Node", STATE),
    ("PersistentVolume", STATE),
    ("Event", STATE),
    ("Endpoints", STATE),
    ("ComponentStatus", STATE),
    ("Binding", REQUEST),
    ("List", "is no object: list its items one by one"),
    ("Status", REQUEST),
    ("RangeAllocation", STATE),
];

/// Kinds of the core group that may travel. The group is closed, so that a slip of the pen is found here.
const CORE_ALLOWED: [&str; 2] = ["PersistentVolumeClaim", "Service"];

/// Groups that are refused as a whole, each with the reason.
const GROUPS_REFUSED: [(&str, &str); 16] = [
    ("admissionregistration.k8s.io", CONTROL),
    ("apiextensions.k8s.io", CONTROL),
    ("apiregistration.k8s.io", CONTROL),
    ("flowcontrol.apiserver.k8s.io", CONTROL),
    ("internal.apiserver.k8s.io", STATE),
    ("rbac.authorization.k8s.io", CONTROL),
    ("certificates.k8s.io", TRUST),
    ("authentication.k8s.io", REQUEST),
    ("authorization.k8s.io", REQUEST),
    ("apps", WORKLOAD),
    ("batch", WORKLOAD),
    ("extensions", "belongs to a group that Kubernetes gave up"),
    ("coordination.k8s.io", STATE),
    ("discovery.k8s.io", STATE),
    ("events.k8s.io", STATE),
    ("metrics.k8s.io", STATE),
];

const SECRET: &str =
    "holds secrets, and a policy is read by every publisher and cluster of its scopes";
const WORKLOAD: &str = "runs code; Writ carries access and its bounds, not workloads";
const CONTROL: &str = "decides over the API server itself, which stays with the cluster's owner";
const TRUST: &str = "decides whom the cluster trusts, which stays with its owner";
const STATE: &str = "is a cluster's own state";
const REQUEST: &str = "is a request and is not kept by the API server";

/// Largest whole number that every reader of JSON holds exactly (RFC 8785 reads numbers as doubles).
const WHOLE_MAX: i64 = (1 << 53) - 1;

/// Checks apiVersion and kind of an object that is of no known kind.
pub(super) fn check_kind(api_version: &str, kind: &str) -> Result<(), String> {
    let group = group_of(api_version);
    let is_ours = group == "writ.dev" || group.ends_with(".writ.dev");
    if is_ours {
        return Err(format!("{kind} is Writ's own, no policy may hold it"));
    }
    let refused: &[(&str, &str)] = if group.is_empty() {
        &CORE_REFUSED
    } else {
        &GROUPS_REFUSED
    };
    let word = if group.is_empty() { kind } else { group };
    if let Some((_, reason)) = refused.iter().find(|(name, _)| *name == word) {
        return Err(format!("a {kind} never travels: it {reason}"));
    }
    if group.is_empty() && !CORE_ALLOWED.contains(&kind) {
        let checked = ObjectKind::ALL
            .iter()
            .filter(|kind| kind.group().is_empty());
        let known: Vec<&str> = checked
            .map(|kind| kind.name())
            .chain(CORE_ALLOWED)
            .collect();
        return Err(unknown("kind", kind, &known));
    }
    Ok(())
}

/// Checks that apiVersion is a version, or a group and a version.
pub(super) fn check_api_version(text: &str) -> Result<(), String> {
    let (group, version) = match text.split_once('/') {
        Some((group, version)) => (Some(group), version),
        None => (None, text),
    };
    group.map_or(Ok(()), syntax::check_dns_subdomain)?;
    syntax::check_dns_label(version)
}

/// Checks that kind is a name in CamelCase, as the API server's own check has it.
pub(super) fn check_kind_name(text: &str) -> Result<(), String> {
    let is_camel = text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_camel && text.len() <= 63 {
        Ok(())
    } else {
        Err(format!("{} is no name of a kind", quoted(text)))
    }
}

/// The body as it travels: what was written, with its numbers in their one form.
pub(super) fn read_body(item: &Value, path: &str, report: &mut Report) -> Map<String, Value> {
    let fields = item.as_object().into_iter().flatten();
    let own = fields.filter(|(key, _)| !FRAME.contains(&key.as_str()));
    own.map(|(key, value)| {
        let mut value = value.clone();
        settle_numbers(&mut value, &path_of(path, key), report);
        (key.clone(), value)
    })
    .collect()
}

/// Gives every number its one form and refuses those that canonical JSON would change.
fn settle_numbers(value: &mut Value, path: &str, report: &mut Report) {
    match value {
        Value::Number(number) => match settled(number) {
            Some(settled) => *number = settled,
            None => report.refuse(
                path,
                format!("{number} can't be carried exactly: whole numbers go up to {WHOLE_MAX}"),
            ),
        },
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                settle_numbers(item, &format!("{path}[{index}]"), report);
            }
        }
        Value::Object(map) => {
            for (key, item) in map.iter_mut() {
                settle_numbers(item, &path_of(path, key), report);
            }
        }
        _ => {}
    }
}

/// `1.0` and `1` are one number, and the canonical form writes it as `1`.
fn settled(number: &serde_json::Number) -> Option<serde_json::Number> {
    let within = |whole: &i64| (-WHOLE_MAX..=WHOLE_MAX).contains(whole);
    if let Some(whole) = number.as_i64() {
        return Some(whole).filter(within).map(Into::into);
    }
    let double = number.as_f64().filter(|_| number.is_f64())?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates, and what saturates is not within"
    )]
    let whole = double.trunc() as i64;
    match (within(&whole), double.fract() == 0.0) {
        (false, _) => None,
        (true, true) => Some(whole.into()),
        (true, false) => Some(number.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_have_one_form_or_are_refused_with_their_place() {
        let item = json!({"spec": {"a": [1.0, -0.0, 0.5, 9_007_199_254_740_991_i64, "1.0"]}});
        let mut report = Report::default();
        let body = read_body(&item, "o", &mut report);
        let bytes = serde_json_canonicalizer::to_vec(&body).unwrap();
        let text = r#"{"spec":{"a":[1,0,0.5,9007199254740991,"1.0"]}}"#;
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), text);
        assert_eq!(serde_json::from_slice::<Map<_, _>>(&bytes).unwrap(), body);
        assert_eq!(report.refused(), 0);

        let item =
            json!({"spec": {"a": [0, 9_007_199_254_740_992_i64], "b": 1e300, "c": u64::MAX}});
        read_body(&item, "o", &mut report);
        let violations = report.finish().unwrap_err();
        let fields: Vec<&str> = violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["o.spec.a[1]", "o.spec.b", "o.spec.c"]);
    }

    #[test]
    fn what_never_travels_is_refused_in_every_version() {
        for (api_version, kind) in [
            ("v1", "Secret"),
            ("apps/v1", "Deployment"),
            ("rbac.authorization.k8s.io/v2", "Else"),
            (
                "admissionregistration.k8s.io/v1beta1",
                "ValidatingWebhookConfiguration",
            ),
            ("certificates.k8s.io/v1", "CertificateSigningRequest"),
            ("coordination.k8s.io/v1", "Lease"),
            ("writ.dev/v1alpha1", "PolicyCeiling"),
            ("x.writ.dev/v1", "Thing"),
        ] {
            assert!(
                check_kind(api_version, kind).is_err(),
                "{api_version} {kind}"
            );
        }
        for (api_version, kind) in [("v1", "Service"), ("example.com/v1", "Secret")] {
            assert_eq!(
                check_kind(api_version, kind),
                Ok(()),
                "{api_version} {kind}"
            );
        }
    }
}
