//! What an edit takes away from a policy: what deletion protection keeps, and what a person should read
//! before they confirm. Compares what the clusters would hold, so that it does not matter whether a
//! binding was written out or stood for by a grant.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::grant::SelectorGrant;
use super::kind::{ObjectKind, ObjectRef};
use super::object::Object;
use super::policy::ClusterPolicy;

impl ClusterPolicy {
    /// What the policy would no longer give if it became `next` (nothing: it is deleted), each as a
    /// clause. Clusters are not looked at: which there are, the registry knows.
    pub fn losses(&self, next: Option<&ClusterPolicy>) -> Vec<String> {
        let mut losses = Vec::new();
        let kept: BTreeMap<ObjectRef, Object> = next
            .map(ClusterPolicy::all_objects)
            .unwrap_or_default()
            .into_iter()
            .map(|object| (object.reference.clone(), object))
            .collect();
        for object in self.all_objects() {
            match kept.get(&object.reference) {
                None => losses.push(object.reference.to_string()),
                Some(next) => binding_losses(&object, next, &mut losses),
            }
        }
        let grants = next.map(ClusterPolicy::selector_grants).unwrap_or_default();
        for grant in self.selector_grants() {
            let next = grants.iter().find(|next| next.name == grant.name);
            grant_losses(&grant, next, &mut losses);
        }
        losses
    }
}

fn binding_losses(object: &Object, next: &Object, losses: &mut Vec<String>) {
    let of = &object.reference;
    let kind = ObjectKind::find(&of.api_version, &of.kind);
    if !kind.is_some_and(ObjectKind::is_binding) {
        return;
    }
    if object.content["roleRef"] != next.content["roleRef"] {
        losses.push(format!("the role of {of}"));
    }
    let subjects = |object: &Object| -> BTreeSet<String> {
        let subjects = object.content["subjects"].as_array().into_iter().flatten();
        subjects.map(subject_words).collect()
    };
    for subject in subjects(object).difference(&subjects(next)) {
        losses.push(format!("{subject} in {of}"));
    }
}

fn subject_words(subject: &Value) -> String {
    let text = |key: &str| subject[key].as_str().unwrap_or_default();
    match text("namespace") {
        "" => format!("{} {}", text("kind"), text("name")),
        namespace => format!("{} {namespace}/{}", text("kind"), text("name")),
    }
}

fn grant_losses(grant: &SelectorGrant, next: Option<&SelectorGrant>, losses: &mut Vec<String>) {
    let name = &grant.name;
    let Some(next) = next else {
        losses.push(format!("grant {name}"));
        return;
    };
    if grant.role != next.role {
        losses.push(format!("the role of grant {name}"));
    }
    // Which of two selectors is wider is for the namespaces of each cluster to say.
    if grant.selector != next.selector {
        losses.push(format!("the namespaces of grant {name}"));
    }
    for subject in grant.subjects.difference(&next.subjects) {
        losses.push(format!(
            "{} in grant {name}",
            subject_words(&subject.to_json())
        ));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Document, parse};

    fn policy(grants: Value) -> ClusterPolicy {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "payments"}});
        let value = json!({
            "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
            "spec": {"clusters": {"all": true}, "objects": [namespace], "grants": grants},
        });
        match parse(&value).unwrap().document {
            Document::Policy(policy) => policy,
            Document::Cluster(_) | Document::Record(_) => panic!("a policy was written"),
        }
    }

    fn grants(change: impl FnOnce(&mut Value)) -> ClusterPolicy {
        let subjects = json!([{"user": "alice"}, {"serviceAccount": "ci/bot"}]);
        let mut grants = json!([
            {"name": "a", "subjects": subjects, "clusterRole": "edit", "namespaces": ["x", "y"]},
            {
                "name": "b", "subjects": subjects, "role": "reader",
                "namespaceSelector": {"matchLabels": {"team": "t"}},
            },
        ]);
        change(&mut grants);
        policy(grants)
    }

    #[test]
    fn what_goes_is_named_and_what_comes_is_no_loss() {
        let losses = |change: fn(&mut Value)| grants(|_| {}).losses(Some(&grants(change)));
        assert_eq!(losses(|_| {}), [""; 0]);
        assert_eq!(
            losses(|g| g[0]["namespaces"] = json!(["x", "y", "z"])),
            [""; 0]
        );
        assert_eq!(
            losses(|g| g[0]["namespaces"] = json!(["x"])),
            ["RoleBinding y/writ:p:a"]
        );
        assert_eq!(
            losses(|g| g[0]["clusterRole"] = json!("view")),
            [
                "the role of RoleBinding x/writ:p:a",
                "the role of RoleBinding y/writ:p:a"
            ]
        );
        assert_eq!(
            losses(|g| g[1]["subjects"] = json!([{"user": "alice"}, {"group": "g"}])),
            ["ServiceAccount ci/bot in grant b"]
        );
        assert_eq!(
            losses(|g| g[0]["subjects"] = json!([{"serviceAccount": "ci/bot"}])),
            [
                "User alice in RoleBinding x/writ:p:a",
                "User alice in RoleBinding y/writ:p:a"
            ]
        );
        assert_eq!(
            losses(|g| g[1]["namespaceSelector"]["matchLabels"]["team"] = json!("u")),
            ["the namespaces of grant b"]
        );
        assert_eq!(
            losses(|g| g[1]["role"] = json!("writer")),
            ["the role of grant b"]
        );
    }

    #[test]
    fn a_deletion_loses_everything() {
        assert_eq!(
            grants(|_| {}).losses(None),
            [
                "Namespace payments",
                "RoleBinding x/writ:p:a",
                "RoleBinding y/writ:p:a",
                "grant b"
            ]
        );
    }
}
