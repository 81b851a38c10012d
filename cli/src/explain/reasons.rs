//! The pages of `docs/errors`, as they are in this executable.
//!
//! Promises that what `why` advises is what the page says: the advice is read from the page.

/// One reason and its page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// As it stands in acks.
    pub(crate) name: &'static str,
    text: &'static str,
}

macro_rules! pages {
    ($($name:literal)*) => {
        &[$(Page {
            name: $name,
            text: include_str!(concat!("../../../docs/errors/", $name, ".md")),
        }),*]
    };
}

/// Every reason that a cluster gives, in the order of the index.
pub(crate) const ALL: &[Page] = pages![
    "ForeignObject" "ClaimedByPolicy" "CeilingExceeded" "CeilingNotEnforced"
    "NamespaceMissing" "NamespaceTerminating" "RoleMissing" "Finalizing"
    "Forbidden" "ClusterRefused" "Invalid" "Unsupported"
    "Contended" "Conflict" "Unavailable"
    "Older" "NotRecovered" "RecordUnreadable" "LedgerTampered"
    "Drifted" "Observing" "IdentityForked"
    "Waiting" "InvalidEvent" "MirrorNotWritten" "Drift"
];

/// Every word by which an answer says why an edit is not made, in the order of the index.
pub(crate) const EDITS: &[Page] = pages![
    "DELETION_PROTECTION" "CLAIMED_BY_POLICY" "CONFIRM" "APPROVAL"
    "PROTECTED_GROUP" "LAST_ADMINISTRATOR" "PROPOSED_ALREADY" "NOT_APPROVED"
    "LogBehind" "LogRestored" "LogForked" "LogWentBack"
    "LogDiffers" "EpochNotOpened" "TrustMissing" "KeyNotTrusted"
];

/// All pages.
pub(crate) fn all() -> impl Iterator<Item = &'static Page> {
    ALL.iter().chain(EDITS)
}

/// The page of a reason, however its name is capitalised.
pub(crate) fn find(name: &str) -> Option<&'static Page> {
    all().find(|page| page.name.eq_ignore_ascii_case(name))
}

impl Page {
    /// The state that the reason comes with, and what it means in a sentence.
    pub(crate) fn headline(&self) -> (&'static str, &'static str) {
        let line = self.text.lines().nth(2).unwrap_or_default();
        line.split_once(": ").unwrap_or(("", line))
    }

    /// What a person can do, one item each, as the page has it.
    pub(crate) fn remedies(&self) -> impl Iterator<Item = &'static str> {
        let section = self.text.split("\n## Do one of\n").nth(1);
        let section = section.and_then(|rest| rest.split("\n## ").next());
        section
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.strip_prefix("- "))
    }

    /// The page for a terminal: what is fenced is indented, links are their words.
    pub(crate) fn plain(&self) -> String {
        let mut lines = Vec::new();
        let mut is_fenced = false;
        for line in self.text.lines() {
            if line.starts_with("```") {
                is_fenced = !is_fenced;
            } else if is_fenced {
                lines.push(format!("    {line}"));
            } else {
                lines.push(unlink(line));
            }
        }
        lines.join("\n")
    }
}

/// `[words](place)` as `words`.
fn unlink(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('[') {
        let link = after.split_once("](").and_then(|(words, after)| {
            let (_, after) = after.split_once(')')?;
            Some((words, after))
        });
        plain.push_str(before);
        match link.filter(|(words, _)| !words.contains('[')) {
            Some((words, after)) => {
                plain.push_str(words);
                rest = after;
            }
            None => {
                plain.push('[');
                rest = after;
            }
        }
    }
    plain + rest
}
