//! What parsing has to say: violations (the document is refused) and notices (something was dropped).
//! Owns their collection, so that one answer names everything that is wrong, up to a limit.

use std::fmt;

use super::limits::VIOLATIONS_MAX;

/// Longest text that a message quotes, in characters: input may be large, messages are for people.
const QUOTED_MAX_CHARS: usize = 64;

/// A reason for which a document is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, such as `spec.grants[0].subjects`. Empty for the document as a whole.
    pub field: String,
    /// What is wrong and what to do, as a clause that reads after the path.
    pub message: String,
}

/// Something that was dropped from an accepted document because the API server owns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Path of the field.
    pub field: String,
    /// What was done with it and why.
    pub message: String,
}

fn write_line(f: &mut fmt::Formatter<'_>, field: &str, message: &str) -> fmt::Result {
    if field.is_empty() {
        f.write_str(message)
    } else {
        write!(f, "{field}: {message}")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(f, &self.field, &self.message)
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(f, &self.field, &self.message)
    }
}

/// Collects violations and notices while one document is read.
#[derive(Debug, Default)]
pub(super) struct Report {
    violations: Vec<Violation>,
    notices: Vec<Notice>,
    unlisted: usize,
}

impl Report {
    /// Adds a violation; beyond the limit it is only counted.
    pub(super) fn refuse(&mut self, field: impl Into<String>, message: impl Into<String>) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation {
                field: field.into(),
                message: message.into(),
            });
        } else {
            self.unlisted += 1;
        }
    }

    /// Adds a notice. There are at most a handful for each object, and objects are limited.
    pub(super) fn note(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.notices.push(Notice {
            field: field.into(),
            message: message.into(),
        });
    }

    /// How much was refused so far; a part is clean when the number is the same before and after it.
    pub(super) fn refused(&self) -> usize {
        self.violations.len() + self.unlisted
    }

    /// The notices of a clean document, or all violations.
    pub(super) fn finish(mut self) -> Result<Vec<Notice>, Vec<Violation>> {
        if self.violations.is_empty() {
            return Ok(self.notices);
        }
        if self.unlisted > 0 {
            let message = format!("and {} more violations", self.unlisted);
            self.violations.push(Violation {
                field: String::new(),
                message,
            });
        }
        Err(self.violations)
    }
}

/// Quotes a text of the input for a message, shortened and with control characters escaped.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_MAX_CHARS) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_violations_than_the_limit_are_counted_and_not_kept() {
        let mut report = Report::default();
        for index in 0..VIOLATIONS_MAX + 7 {
            report.refuse(format!("spec[{index}]"), "wrong");
        }
        let violations = report.finish().unwrap_err();
        assert_eq!(violations.len(), VIOLATIONS_MAX + 1);
        assert_eq!(
            violations[VIOLATIONS_MAX].to_string(),
            "and 7 more violations"
        );
    }

    #[test]
    fn long_and_unprintable_input_is_quoted_short_and_escaped() {
        assert_eq!(quoted("a\u{1b}[31m"), "\"a\\u{1b}[31m\"");
        assert_eq!(
            quoted(&"ä".repeat(1_000)).chars().count(),
            QUOTED_MAX_CHARS + 3
        );
    }
}
