//! A root that does not fit, where it may be read out of its turn.
//!
//! A reader that begins with the newest of each subject may get a root whose index has just been replaced: the next
//! root fits, and nothing was wrong. So while the log is read up to its end, one that does not fit is held back until
//! the next root or that end; in live reading each is what it is.

use writ_core::{edit::FollowError, subject::BusSubject};

/// What is to be told.
pub(crate) type Differs = (BusSubject, FollowError);

/// What is held back.
#[derive(Debug, Default)]
pub(crate) struct Doubt {
    is_live: bool,
    held: Option<Differs>,
}

impl Doubt {
    /// Reading begins, or goes on after a gap. What is held back is told: it was of what was read before.
    pub(crate) fn begin(&mut self) -> Option<Differs> {
        self.is_live = false;
        self.held.take()
    }

    /// The end of the log is reached: no root came that fits.
    pub(crate) fn catch_up(&mut self) -> Option<Differs> {
        self.is_live = true;
        self.held.take()
    }

    /// A root fits.
    pub(crate) fn fits(&mut self) {
        self.held = None;
    }

    /// A root does not fit. Answers what is told now.
    pub(crate) fn differs(&mut self, differs: Differs) -> Option<Differs> {
        match self.is_live || !differs.1.may_be_incomplete() {
            true => Some(differs),
            false => self.held.replace(differs),
        }
    }
}

#[cfg(test)]
mod tests {
    use writ_core::revision::Revision;

    use super::*;

    fn differs(number: u64) -> Differs {
        let error = FollowError::FeedDiffers {
            feed: "policy.eu.prod".parse().expect("a feed"),
            root: Revision { epoch: 1, number },
        };
        (BusSubject::Root, error)
    }

    #[test]
    fn while_the_log_is_read_the_next_root_decides() {
        let mut doubt = Doubt::default();
        assert_eq!(doubt.differs(differs(1)), None);
        doubt.fits();
        assert_eq!(doubt.catch_up(), None);

        assert_eq!(doubt.begin(), None);
        assert_eq!(doubt.differs(differs(2)), None);
        assert_eq!(doubt.differs(differs(3)), Some(differs(2)));
        assert_eq!(doubt.catch_up(), Some(differs(3)));
        assert_eq!(doubt.catch_up(), None);
    }

    #[test]
    fn what_is_wrong_is_told_at_once_in_live_reading_and_where_no_root_can_mend_it() {
        let mut doubt = Doubt::default();
        let unopened = FollowError::Unopened(Revision {
            epoch: 2,
            number: 1,
        });
        let unopened = (BusSubject::Root, unopened);
        assert_eq!(doubt.differs(unopened.clone()), Some(unopened));
        assert_eq!(doubt.differs(differs(1)), None);
        // What was read is another log's now.
        assert_eq!(doubt.begin(), Some(differs(1)));
        assert_eq!(doubt.catch_up(), None);
        assert_eq!(doubt.differs(differs(2)), Some(differs(2)));
    }
}
