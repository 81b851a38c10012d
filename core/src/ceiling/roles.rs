//! Roles and ClusterRoles under the ceiling: what their rules may contain.

use serde_json::Value;

use super::{Ceiling, Violation, items, pattern, texts};
use crate::model::ObjectRef;

/// Verbs that change nothing.
const READING: [&str; 3] = ["get", "list", "watch"];
/// Part of the labels by which ClusterRoles add to Kubernetes' own, and to most others that collect.
const AGGREGATE_TO: &str = "/aggregate-to-";

impl Ceiling {
    pub(super) fn check_role(
        &self,
        reference: &ObjectRef,
        content: &Value,
    ) -> Result<(), Violation> {
        self.check_name(reference)?;
        for (index, rule) in items(content, "rules").iter().enumerate() {
            self.check_rule(rule)
                .map_err(|violation| violation.within(&format!("rule {}", index + 1)))?;
        }
        let is_aggregated = !content["aggregationRule"].is_null();
        if is_aggregated && !self.allow_aggregation {
            let what = "aggregationRule".to_owned();
            return Err(Violation::denied(what, "allowAggregation"));
        }
        check_labels(content)
    }

    fn check_rule(&self, rule: &Value) -> Result<(), Violation> {
        self.check_verbs(rule)?;
        self.check_resources(rule)?;
        self.check_groups(rule)?;
        let is_allowed = |url: &&str| pattern::any(&self.allowed_urls, url);
        match texts(rule, "nonResourceURLs").find(|url| !is_allowed(url)) {
            Some(url) => {
                let what = format!("URL {url:?}");
                Err(Violation::not_allowed(what, "allowedNonResourceURLs"))
            }
            None => Ok(()),
        }
    }

    fn check_verbs(&self, rule: &Value) -> Result<(), Violation> {
        let denied = &self.denied_verbs;
        let is_denied =
            |verb: &&str| !denied.is_empty() && (*verb == "*" || lists(denied, before(verb, ':')));
        match texts(rule, "verbs").find(is_denied) {
            Some(verb) => Err(Violation::denied(format!("verb {verb:?}"), "deniedVerbs")),
            None => Ok(()),
        }
    }

    fn check_resources(&self, rule: &Value) -> Result<(), Violation> {
        let mut resources = texts(rule, "resources");
        if let Some(found) = resources
            .clone()
            .find(|resource| denies_resource(&self.denied_resources, resource))
        {
            let what = format!("resource {found:?}");
            return Err(Violation::denied(what, "deniedResources"));
        }
        let guarded = &self.read_only_resources;
        let is_guarded = |resource: &&str| {
            let resource = before(resource, '/');
            !guarded.is_empty() && (resource == "*" || lists(guarded, resource))
        };
        match (writing_verb(rule), resources.find(is_guarded)) {
            (Some(verb), Some(found)) => {
                let what = format!("verb {verb:?} on resource {found:?}");
                Err(Violation::read_only(what, "readOnlyResources"))
            }
            _ => Ok(()),
        }
    }

    fn check_groups(&self, rule: &Value) -> Result<(), Violation> {
        let in_list =
            |list: &[String], group: &str| !list.is_empty() && (group == "*" || lists(list, group));
        let mut groups = texts(rule, "apiGroups");
        if let Some(found) = groups
            .clone()
            .find(|group| in_list(&self.denied_api_groups, group))
        {
            let what = format!("API group {found:?}");
            return Err(Violation::denied(what, "deniedAPIGroups"));
        }
        let found = groups.find(|group| in_list(&self.read_only_api_groups, group));
        match (writing_verb(rule), found) {
            (Some(verb), Some(found)) => {
                let what = format!("verb {verb:?} in API group {found:?}");
                Err(Violation::read_only(what, "readOnlyAPIGroups"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a resource of a rule reaches a denied one. `*` reaches all of them, and `*/proxy` the
/// subresource of every resource.
fn denies_resource(denied: &[String], resource: &str) -> bool {
    let reaches_subresource = |denied: &String| {
        resource
            .strip_prefix('*')
            .filter(|subresource| subresource.starts_with('/'))
            .is_some_and(|subresource| denied.ends_with(subresource))
    };
    (!denied.is_empty() && resource == "*")
        || lists(denied, resource)
        || lists(denied, before(resource, '/'))
        || denied.iter().any(reaches_subresource)
}

fn check_labels(content: &Value) -> Result<(), Violation> {
    let labels = content["metadata"]["labels"].as_object();
    let mut keys = labels.into_iter().flat_map(|labels| labels.keys());
    match keys.find(|key| key.contains(AGGREGATE_TO)) {
        Some(key) => {
            let what = format!("label {key:?} widens a role of others");
            Err(Violation::never(what))
        }
        None => Ok(()),
    }
}

/// The first verb of a rule that does more than read.
fn writing_verb(rule: &Value) -> Option<&str> {
    texts(rule, "verbs").find(|verb| !READING.contains(verb))
}

fn before(text: &str, separator: char) -> &str {
    text.split_once(separator).map_or(text, |(first, _)| first)
}

fn lists(list: &[String], text: &str) -> bool {
    list.iter().any(|listed| listed == text)
}
