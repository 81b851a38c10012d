//! What comes from the bus, opened and given to the follower: live messages and answers to reads.
//!
//! The one place where both are taken, for the loop of a subscriber and for a simulated one. What is not
//! believed is counted by the gate, and nothing else happens. No I/O.

use std::sync::Arc;

use writ_core::{
    beat::Beat,
    envelope::Keyring,
    event::Event,
    follower::{Follower, Ignored, Read},
    hash::Hash,
    index::{Base, Index},
    root::Root,
    subject::BusSubject,
};

use crate::{evidence::Evidence, traces::Taken, verify::Gate};

/// What an answer was, where whoever asked goes on from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// A root, which states this version of the trust bundle.
    Trust(u64),
    /// An event.
    Event(Taken),
}

fn taken(event: &Event) -> Taken {
    Taken {
        revision: event.revision,
        generation: event.generation,
    }
}

/// Whom messages concern.
pub(crate) struct Intake<'a> {
    pub(crate) gate: &'a mut Gate,
    pub(crate) follower: &'a mut Follower,
    pub(crate) evidence: &'a mut Evidence,
    /// The key that opens epochs.
    pub(crate) offline: Keyring,
}

impl Intake<'_> {
    /// Takes a beat or a live event. Answers which event it was.
    ///
    /// # Errors
    /// [`Ignored`]: it was believed, and changed nothing.
    pub(crate) fn hear(
        self,
        subject: &BusSubject,
        bytes: &[u8],
        now_ms: u64,
    ) -> Result<Option<Taken>, Ignored> {
        let told = if *subject == BusSubject::Beat {
            let Some((beat, signed)) = self.gate.open::<Beat>(subject, bytes) else {
                return Ok(None);
            };
            let told = self.follower.on_beat(&beat.value, now_ms);
            if told.is_ok() {
                self.evidence.saw(beat.value.revision, &signed);
            }
            told.map(|()| None)
        } else {
            let Some((event, signed)) = self.gate.open::<Event>(subject, bytes) else {
                return Ok(None);
            };
            tracing::debug!(%subject, revision = %event.value.revision, "heard");
            let told = self.follower.on_event(&event.value, &signed, now_ms);
            if told.is_ok() {
                let Event { feed, revision, .. } = &event.value;
                self.evidence.saw(*revision, &signed);
                self.evidence.saw_event(feed, *revision, &signed);
            }
            told.map(|()| Some(taken(&event.value)))
        };
        told.inspect_err(|why| self.gate.ignore(subject, *why))
    }

    /// Takes what a read found, and the subject that it stood under. It is verified like anything else: a
    /// log may hold what no publisher wrote. Answers what was believed.
    pub(crate) fn take(
        self,
        read: &Read,
        found: Option<(&BusSubject, &[u8])>,
        now_ms: u64,
    ) -> Option<Answered> {
        let Some((subject, bytes)) = found else {
            self.follower.on_nothing(read);
            return None;
        };
        match read {
            Read::Root => {
                let (root, signed) = self.gate.open::<Root>(subject, bytes)?;
                let stated = root.value.trust;
                self.root(root.value, root.hash, &signed);
                return Some(Answered::Trust(stated));
            }
            Read::Index(_) => {
                let index = self.gate.open::<Index>(subject, bytes);
                self.follower.on_index(index.map(|(index, _)| index.value));
            }
            Read::Base(feed) => {
                let base = self.gate.open::<Base>(subject, bytes);
                self.follower
                    .on_base(feed, base.map(|(base, _)| base.value));
            }
            Read::Body(..) => {
                if let Some((event, signed)) = self.gate.open::<Event>(subject, bytes) {
                    self.follower.on_body(Some(&event.value), &signed, now_ms);
                    return Some(Answered::Event(taken(&event.value)));
                }
            }
        }
        None
    }

    /// Takes a root, and first the opening of its epoch, if the offline key signed it.
    fn root(self, root: Root, hash: Hash, signed: &Arc<[u8]>) {
        match writ_proto::log::open_opening(&root, &self.offline) {
            Ok(Some(opening)) => {
                let before = self.follower.epoch();
                self.follower.on_opening(&opening);
                let epoch = self.follower.epoch();
                if epoch > before {
                    tracing::warn!(
                        epoch,
                        "the offline key has opened a new epoch: the log was recovered"
                    );
                }
            }
            Ok(None) => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "an opening is not believed");
            }
        }
        if root.revision.epoch > self.follower.epoch() {
            self.gate.unopened(root.revision);
        }
        let revision = root.revision;
        self.follower.on_root(Some((root, hash)));
        if let Some((held, _)) = self.follower.held_at_root()
            && held.revision == revision
        {
            let held = held.clone();
            self.evidence.saw_root(&held, signed);
        }
    }
}
