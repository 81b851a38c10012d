//! Revisions order all edits of the log; generations count the edits of one name, for people.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Place of an edit in the whole log. The epoch orders before the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revision {
    /// Starts at 1; goes up only when the log was lost or restored.
    pub epoch: u64,
    /// Number of the edit, from 1, without gaps within an epoch.
    pub number: u64,
}

impl Revision {
    /// Below every edit: nothing is known.
    pub const ZERO: Revision = Revision {
        epoch: 0,
        number: 0,
    };
    /// The start of the first epoch, before its first edit.
    pub const START: Revision = Revision {
        epoch: 1,
        number: 0,
    };

    /// The next edit's revision in the same epoch.
    pub fn next(self) -> Revision {
        Revision {
            epoch: self.epoch.max(1),
            number: self.number + 1,
        }
    }
}

impl fmt::Display for Revision {
    /// `10211`, and `2:10211` from the second epoch on: most fleets never see one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            0 | 1 => write!(f, "{}", self.number),
            epoch => write!(f, "{epoch}:{}", self.number),
        }
    }
}

impl std::str::FromStr for Revision {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Revision, Self::Err> {
        let (epoch, number) = text.split_once(':').unwrap_or(("1", text));
        Ok(Revision {
            epoch: epoch.parse()?,
            number: number.parse()?,
        })
    }
}

/// Counter of one name's edits (`payments@42`); goes on over delete and re-creation.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The following generation.
    pub fn next(self) -> Generation {
        Generation(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_epoch_is_above_every_number_of_the_one_before() {
        let old = Revision {
            epoch: 1,
            number: 900,
        };
        let new = Revision {
            epoch: 2,
            number: 1,
        };
        assert!(Revision::ZERO < Revision::START && old < old.next() && old.next() < new);
    }

    #[test]
    fn a_revision_reads_back_as_it_was_written() {
        for revision in [
            Revision {
                epoch: 1,
                number: 7,
            },
            Revision {
                epoch: 3,
                number: 7,
            },
        ] {
            assert_eq!(revision.to_string().parse::<Revision>().unwrap(), revision);
        }
        assert!("1:x".parse::<Revision>().is_err());
    }
}
