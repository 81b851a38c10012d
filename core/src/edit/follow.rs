//! From the log's messages to the state at its last root. No I/O.

use std::sync::Arc;

use super::{FeedLog, Message, State};
use crate::{revision::Revision, root::Root, scope::Feed};

/// What stands in the log does not fit together. The state stays where it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// A root at or below the one held: an old log was put under a running publisher.
    #[error("the log's root went from revision {held} to {found}")]
    WentBack {
        /// The root held.
        held: Revision,
        /// The root found.
        found: Revision,
    },
    /// A root of an epoch that the offline key has not opened: nobody may begin one without it.
    #[error("the root at revision {0} is of an epoch that the offline key has not opened")]
    Unopened(Revision),
    /// A feed is not as the root states it.
    #[error("feed {feed} is not as the root at revision {root} states it")]
    FeedDiffers {
        /// Which feed.
        feed: Feed,
        /// By which root.
        root: Revision,
    },
}

impl FollowError {
    /// Whether the rest may be yet to come: the messages wait for the next root.
    pub fn may_be_incomplete(&self) -> bool {
        matches!(self, FollowError::FeedDiffers { .. })
    }
}

impl State {
    /// Takes the next message of the log, already verified.
    ///
    /// Messages wait until their root; then the state moves to it as a whole, or not at all. Answers
    /// the root that was reached.
    ///
    /// Where a feed differs from a root they wait on, for the next one: a reader that begins with the newest
    /// of each subject may get a root whose index has just been replaced, and the intents beside it come once.
    ///
    /// # Errors
    /// [`FollowError`], with the state as it was.
    pub fn follow(&mut self, message: Message) -> Result<Option<Revision>, FollowError> {
        let Message::Root(root) = message else {
            // Events are for subscribers: their content is in the intents, their hashes in the indexes.
            if !matches!(message, Message::Event(_)) {
                self.open.push(message);
            }
            return Ok(None);
        };
        if !self.admits(&root) {
            self.open.clear();
            return Err(FollowError::Unopened(root.revision));
        }
        // The very same root again states nothing new; what stands before it was not its batch.
        if root.revision == self.revision && root.feeds == self.feeds() {
            self.open.clear();
            return Ok(None);
        }
        let mut next = self.clone();
        for message in std::mem::take(&mut next.open) {
            next.take(message);
        }
        if let Err(error) = next.end_with(&root, self.revision) {
            if !error.may_be_incomplete() {
                self.open.clear();
            }
            return Err(error);
        }
        *self = next;
        Ok(Some(root.revision))
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Intent(intent) => {
                self.intents
                    .insert((intent.kind, intent.name.clone()), Arc::new(intent));
            }
            Message::Base(base) => {
                let log = self.feeds.entry(base.feed.clone()).or_insert_with(|| {
                    let (index, base) = crate::index::Index::empty(&base.feed, base.revision);
                    FeedLog {
                        index: Arc::new(index),
                        base: Arc::new(base),
                        entries: Arc::default(),
                    }
                });
                log.base = Arc::new(base);
            }
            Message::Index(index) => {
                // Without its base an index says nothing; the root's digest will tell.
                if let Some(log) = self.feeds.get_mut(&index.feed) {
                    log.entries = Arc::new(index.newest(&log.base));
                    log.index = Arc::new(index);
                }
            }
            Message::Event(_) | Message::Root(_) => {}
        }
    }

    fn end_with(&mut self, root: &Root, held: Revision) -> Result<(), FollowError> {
        if root.revision <= held {
            return Err(FollowError::WentBack {
                held,
                found: root.revision,
            });
        }
        let found = self.feeds();
        for (feed, stated) in &root.feeds {
            if found.get(feed) != Some(stated) {
                return Err(FollowError::FeedDiffers {
                    feed: feed.clone(),
                    root: root.revision,
                });
            }
        }
        self.revision = root.revision;
        self.opening = root.opening.clone();
        self.trust = root.trust;
        Ok(())
    }
}
