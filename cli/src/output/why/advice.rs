//! What to do about a reason, with the names filled in.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::explain::reasons;

/// What to do about silence, which no cluster can give as a reason.
const SILENT: [&str; 4] = [
    "Look whether its subscriber runs: `kubectl --context CLUSTER -n writ-system get pods`",
    "Read what it says: `kubectl --context CLUSTER -n writ-system logs deployment/writ-subscriber --tail 50`",
    "Look at the way from CLUSTER to the bus; until it is back the cluster keeps what it holds, and catches up by itself",
    "Take a cluster that is gone for good out of the registry: `writ delete cluster CLUSTER`",
];

/// What can be done about one reason.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Advice {
    /// Empty for a cluster that is not heard.
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'static str,
    /// One of these.
    do_one_of: Vec<String>,
}

impl Advice {
    /// What the page of the reason says; nothing for a reason of a newer subscriber.
    pub(super) fn of(reason: &str, cluster: &str, policies: &BTreeSet<&str>) -> Option<Advice> {
        let page = reasons::find(reason)?;
        // With several the person has to choose.
        let policy = match policies.len() {
            1 => policies.first().copied(),
            _ => None,
        };
        Some(Advice {
            reason: page.name,
            do_one_of: page
                .remedies()
                .map(|remedy| fill(remedy, cluster, policy))
                .collect(),
        })
    }

    /// What there is to do about a cluster that is not heard.
    pub(super) fn silent(cluster: &str) -> Advice {
        let remedies = SILENT.iter().map(|remedy| fill(remedy, cluster, None));
        Advice {
            reason: "",
            do_one_of: remedies.collect(),
        }
    }

    /// As people read it, with a newline before each line.
    pub(super) fn text(&self, named: bool) -> String {
        let mut text = match (named, self.reason) {
            (true, reason) if !reason.is_empty() => format!("\n  {reason}, do one of:"),
            _ => "\n  Do one of:".to_owned(),
        };
        for remedy in &self.do_one_of {
            text.push_str(&format!("\n    - {remedy}"));
        }
        if !self.reason.is_empty() {
            text.push_str(&format!("\n  More: writ explain {}", self.reason));
        }
        text
    }
}

/// Puts the names in for the words CLUSTER and POLICY.
fn fill(remedy: &str, cluster: &str, policy: Option<&str>) -> String {
    let mut text = String::new();
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '_';
    let mut rest = remedy;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|letter| is_word(letter) != is_word(first));
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        text.push_str(match (piece, policy) {
            ("CLUSTER", _) => cluster,
            ("POLICY", Some(policy)) => policy,
            _ => piece,
        });
        rest = after;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_for_whole_words_alone() {
        let remedy = "`writ why CLUSTER POLICY`, not OTHER-POLICY: CLUSTERS";
        assert_eq!(
            fill(remedy, "eu-prod-3", Some("payments")),
            "`writ why eu-prod-3 payments`, not OTHER-POLICY: CLUSTERS"
        );
        assert!(fill(remedy, "eu-prod-3", None).contains("eu-prod-3 POLICY`"));
    }
}
