//! The chain of the audit: what makes a line that is missing or changed show.
//!
//! A line is one JSON object. It names its publisher, its number, and the hash of the publisher's line
//! before it. Numbers have no gaps, so that the lines of one publisher form one chain, from the first on.

use std::collections::BTreeMap;

use serde::Deserialize;
use writ_core::hash::Hash;

/// The hash of a line, as the next one states it.
pub fn hash(line: &str) -> String {
    Hash::of(line.as_bytes()).to_string()
}

/// What of a line belongs to the chain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Link {
    /// Whose line it is.
    pub publisher: String,
    /// Counts the publisher's lines from 1.
    pub number: u64,
    /// The hash of its line before; empty in the first.
    pub previous: String,
}

impl Link {
    /// Reads it out of a line.
    pub fn read(line: &str) -> Option<Link> {
        serde_json::from_str(line).ok()
    }
}

/// Why a line does not continue its chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It is none.
    #[error("is no line of an audit")]
    Unreadable,
    /// Lines between it and the one before are missing.
    #[error("{publisher}: lines {} to {} are missing", .after + 1, .number - 1)]
    Missing {
        /// Whose.
        publisher: String,
        /// The last one that is there.
        after: u64,
        /// The one that was met.
        number: u64,
    },
    /// It goes back: a repetition, or a chain that begins anew.
    #[error("{publisher}: line {number} comes after line {after}")]
    Back {
        /// Whose.
        publisher: String,
        /// The last one that was there.
        after: u64,
        /// The one that was met.
        number: u64,
    },
    /// The line before it is not the one that it was written after.
    #[error("{publisher}: line {} is not as it was written", .number - 1)]
    Changed {
        /// Whose.
        publisher: String,
        /// The line that shows it.
        number: u64,
    },
}

/// The end of each publisher's chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chains(BTreeMap<String, (u64, String)>);

impl Chains {
    /// Continues with a line, whatever it is found to be.
    ///
    /// # Errors
    /// [`Broken`]: it does not continue its publisher's chain. Of a publisher that was not met before,
    /// any line does.
    pub fn take(&mut self, line: &str) -> Result<(), Broken> {
        let link = Link::read(line).ok_or(Broken::Unreadable)?;
        let Link {
            publisher,
            number,
            previous,
        } = link;
        let before = self.0.insert(publisher.clone(), (number, hash(line)));
        let Some((after, hash)) = before else {
            return Ok(());
        };
        if number <= after {
            return Err(Broken::Back {
                publisher,
                after,
                number,
            });
        }
        if number > after + 1 {
            return Err(Broken::Missing {
                publisher,
                after,
                number,
            });
        }
        if previous != hash {
            return Err(Broken::Changed { publisher, number });
        }
        Ok(())
    }

    /// The last line of each publisher: its number and its hash.
    pub fn ends(&self) -> impl Iterator<Item = (&str, u64, &str)> {
        let ends = self.0.iter();
        ends.map(|(publisher, (number, hash))| (publisher.as_str(), *number, hash.as_str()))
    }

    /// Starts from an end that was kept.
    pub fn resume(&mut self, publisher: String, number: u64, hash: String) {
        self.0.insert(publisher, (number, hash));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(count: u64) -> Vec<String> {
        let mut previous = String::new();
        let line = |number| {
            let line = format!(
                r#"{{"publisher":"p","number":{number},"previous":"{previous}","call":"x"}}"#
            );
            previous = hash(&line);
            line
        };
        (1..=count).map(line).collect()
    }

    fn judge(lines: &[String]) -> Vec<Broken> {
        let mut chains = Chains::default();
        lines
            .iter()
            .filter_map(|line| chains.take(line).err())
            .collect()
    }

    #[test]
    fn a_chain_holds_and_what_was_taken_out_doubled_or_changed_shows() {
        let whole = chain(5);
        assert!(judge(&whole).is_empty());
        let without = |number: usize| [&whole[..number], &whole[number + 1..]].concat();
        for number in 1..4 {
            assert!(matches!(
                judge(&without(number))[..],
                [Broken::Missing { .. }]
            ));
        }
        let doubled = [&whole[..2], &whole[1..]].concat();
        assert!(matches!(judge(&doubled)[..], [Broken::Back { .. }]));
        for number in 0..4 {
            let mut changed = whole.clone();
            changed[number] = changed[number].replace("\"x\"", "\"y\"");
            let broken = judge(&changed);
            assert!(
                matches!(broken[..], [Broken::Changed { .. }]),
                "{number}: {broken:?}"
            );
        }
        assert_eq!(judge(&["{}".to_owned()]), [Broken::Unreadable]);
    }
}
