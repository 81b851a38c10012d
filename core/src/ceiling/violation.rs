//! Why an object is above the ceiling.

use std::fmt;

/// What an object holds that the ceiling does not let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where in the object and what, such as `rule 2: verb "escalate"`.
    pub what: String,
    /// The field of the ceiling that says so, or `None` for what no ceiling allows.
    pub limit: Option<&'static str>,
    verdict: &'static str,
}

impl Violation {
    /// The ceiling lists it as denied.
    pub(super) fn denied(what: String, limit: &'static str) -> Violation {
        Violation::new(what, Some(limit), "denies it")
    }

    /// The ceiling does not list it as allowed.
    pub(super) fn not_allowed(what: String, limit: &'static str) -> Violation {
        Violation::new(what, Some(limit), "does not allow it")
    }

    /// The ceiling lets it be read, and no more.
    pub(super) fn read_only(what: String, limit: &'static str) -> Violation {
        Violation::new(what, Some(limit), "allows only to read it")
    }

    /// The ceiling, or what holds under every ceiling, protects it.
    pub(super) fn protected(what: String, limit: &'static str) -> Violation {
        Violation::new(what, Some(limit), "protects it")
    }

    /// No ceiling allows it.
    pub(super) fn never(what: String) -> Violation {
        Violation::new(what, None, "no ceiling allows it")
    }

    /// The same violation, found inside of something.
    pub(super) fn within(self, outer: &str) -> Violation {
        let what = format!("{outer}: {}", self.what);
        Violation { what, ..self }
    }

    fn new(what: String, limit: Option<&'static str>, verdict: &'static str) -> Violation {
        Violation {
            what,
            limit,
            verdict,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation {
            what,
            limit,
            verdict,
        } = self;
        match limit {
            Some(limit) => write!(f, "{what}: PolicyCeiling/default {verdict} ({limit})"),
            None => write!(f, "{what}: {verdict}"),
        }
    }
}

impl std::error::Error for Violation {}
