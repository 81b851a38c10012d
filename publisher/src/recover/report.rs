//! What a recovery found and did, for people.

use std::fmt::Write as _;

use writ_core::{
    recover::{Plan, Verdict},
    revision::Revision,
};

use super::gather::Gathered;

/// Most names that are listed of each kind of difference.
const LISTED_MAX: usize = 50;

/// What was found, and what came of it.
#[derive(Debug, Clone)]
pub struct Report {
    /// Whether there is anything to recover.
    pub is_needed: bool,
    /// How many names the new epoch says again: the number to confirm.
    pub names: usize,
    /// How many of them can't be recovered.
    pub unknown: usize,
    /// The revision at which the new epoch was opened, if it was.
    pub opened: Option<Revision>,
    text: String,
}

impl Report {
    pub(super) fn new(
        plan: &Plan,
        gathered: &Gathered,
        is_needed: bool,
        is_restored: bool,
    ) -> Report {
        let mut text = String::new();
        head(&mut text, plan, gathered);
        if is_restored {
            text.push_str(
                "It was restored from a backup: publishers take no edit until a new epoch is opened.\n",
            );
        }
        if is_needed {
            differences(&mut text, plan);
        }
        silent(&mut text, plan, gathered);
        Report {
            is_needed,
            names: plan.items.len(),
            unknown: plan.unknown_count(),
            opened: None,
            text,
        }
    }

    /// The report as it is printed.
    pub fn text(&self) -> String {
        let mut text = self.text.clone();
        let Report { names, opened, .. } = self;
        let _ = match (self.is_needed, opened) {
            (false, _) => writeln!(text, "Nothing to recover."),
            (true, Some(opened)) => writeln!(
                text,
                "Opened epoch {} at revision {opened} with {names} names. Clusters go to it with the next beat.",
                opened.epoch
            ),
            (true, None) => writeln!(
                text,
                "Nothing was written. To open a new epoch with these {names} names: --confirm {names} --offline-key-file FILE"
            ),
        };
        text
    }
}

fn head(text: &mut String, plan: &Plan, gathered: &Gathered) {
    let live = gathered
        .claims
        .values()
        .filter(|claim| claim.is_live)
        .count();
    let _ = writeln!(
        text,
        "The log ends at revision {}; the highest that was found in clusters is {}.",
        plan.log, plan.found
    );
    let _ = writeln!(
        text,
        "{live} of {} clusters are heard, {} were asked and answered.",
        gathered.claims.len(),
        gathered.answered.len()
    );
    if plan.is_interrupted {
        let _ = writeln!(
            text,
            "A recovery was begun and not ended; nobody follows what it wrote."
        );
    }
    for feed in &plan.damaged {
        let _ = writeln!(text, "The list of {feed} is missing or damaged in the log.");
    }
    if gathered.unproven > 0 {
        let _ = writeln!(
            text,
            "{} things that were offered are proven by no publisher's signature and were left out.",
            gathered.unproven
        );
    }
}

fn differences(text: &mut String, plan: &Plan) {
    let titles = [
        (
            Verdict::Found,
            "newer in clusters than in the log; taken from there (author and reason are not known there)",
        ),
        (
            Verdict::Gone,
            "in the log, and deleted since; stays deleted",
        ),
        (
            Verdict::Unknown,
            "can't be recovered: said to be in no scope; what clusters hold of it stays until it is applied or deleted anew",
        ),
    ];
    for (verdict, title) in titles {
        let items: Vec<_> = plan
            .items
            .iter()
            .filter(|item| item.verdict == verdict)
            .collect();
        if items.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n{} {title}:", items.len());
        for item in items.iter().take(LISTED_MAX) {
            let (kind, name) = &item.key;
            let log = item.in_log.map_or("not in the log".to_owned(), |at| {
                format!("@{at} in the log")
            });
            let holders: Vec<&str> = item.holders.iter().take(3).map(String::as_str).collect();
            let by = match holders.len() {
                0 => String::new(),
                _ => format!(", by {}", holders.join(", ")),
            };
            let note = if item.note.is_empty() {
                String::new()
            } else {
                format!(": {}", item.note)
            };
            let _ = writeln!(
                text,
                "  {kind} {name}@{} ({log}{by}){note}",
                item.generation
            );
        }
        if items.len() > LISTED_MAX {
            let _ = writeln!(text, "  and {} more", items.len() - LISTED_MAX);
        }
    }
    if plan.record_count() > 0 || plan.found > plan.log {
        let _ = writeln!(
            text,
            "\n{} access rules, tokens and proposals are as the log has them. Clusters know nothing of them: those that were made, changed or taken away after revision {} are lost, so look through them before you let others edit.",
            plan.record_count(),
            plan.log
        );
    }
    let kept = plan.items.len() - plan.differences().count();
    let _ = writeln!(text, "\n{kept} names are as the log has them.");
}

/// Clusters whose last ack claims more than was found: what they hold is not in the new epoch, and stays
/// in them, and what they removed does not come back to them.
fn silent(text: &mut String, plan: &Plan, gathered: &Gathered) {
    let reached = plan.log.max(plan.found);
    for (sender, claim) in &gathered.claims {
        let ahead = claim.feeds.iter().filter(|(feed, at)| {
            let found = gathered.found.feed_revision(feed).unwrap_or(Revision::ZERO);
            **at > found.max(plan.log)
        });
        let ahead = ahead.count();
        if ahead > 0 || claim.revision > reached {
            let how = if claim.is_live {
                "is heard"
            } else {
                "is silent"
            };
            let _ = writeln!(
                text,
                "{} {how} and said to hold revision {}, more than was found: what only it holds stays in it, and is not in the new epoch; what only it saw removed stays removed in it, and is named there.",
                sender.cluster, claim.revision
            );
        }
    }
}
