//! The modelled bus: a stream with atomic batches under a compare-and-set on the root, replicas that lag,
//! and the stream of acks.

use std::{collections::BTreeMap, sync::Arc};

use writ_core::{edit::Message, subject::BusSubject};

/// A stored message.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) subject: BusSubject,
    pub(super) bytes: Arc<[u8]>,
}

/// A batch on its way.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) messages: Vec<Stored>,
    /// The same, not signed: for the checks, and for who republishes.
    pub(super) plain: Vec<Message>,
    /// Sequence of the root that it was built on.
    pub(super) root: u64,
}

/// The stream of the log. Sequences count from 1.
#[derive(Debug, Default)]
pub(super) struct Log {
    stored: Vec<Stored>,
    by_subject: BTreeMap<BusSubject, Vec<u64>>,
    /// Sequence after each batch.
    pub(super) batches: Vec<u64>,
    /// How often the stream was replaced by an older one.
    pub(super) restored: u64,
}

impl Log {
    pub(super) fn len(&self) -> u64 {
        self.stored.len() as u64
    }

    /// Sequence of the last root.
    pub(super) fn root(&self) -> u64 {
        let roots = self.by_subject.get(&BusSubject::Root);
        roots.and_then(|roots| roots.last().copied()).unwrap_or(0)
    }

    pub(super) fn at(&self, sequence: u64) -> &Stored {
        &self.stored[sequence as usize - 1]
    }

    /// Stores a batch, all of it.
    pub(super) fn store(&mut self, batch: &Batch) {
        for message in &batch.messages {
            self.stored.push(message.clone());
            let sequence = self.len();
            let of = self.by_subject.entry(message.subject.clone()).or_default();
            of.push(sequence);
        }
        self.batches.push(self.len());
    }

    /// The last message of a subject on a replica that holds `length` messages.
    pub(super) fn last(&self, subject: &BusSubject, length: u64) -> Option<&Stored> {
        let of = self.by_subject.get(subject)?;
        let at = of.iter().rev().find(|at| **at <= length)?;
        Some(self.at(*at))
    }

    /// The next message of a subject after a sequence: the leader's answer.
    pub(super) fn next(&self, subject: &BusSubject, after: u64) -> Option<&Stored> {
        let at = self
            .by_subject
            .get(subject)?
            .iter()
            .find(|at| **at > after)?;
        Some(self.at(*at))
    }

    /// The log is lost, and put back as it was some batches ago.
    pub(super) fn restore(&mut self, batches: usize) {
        self.batches.truncate(batches);
        let length = self.batches.last().copied().unwrap_or(0);
        self.stored.truncate(length as usize);
        for of in self.by_subject.values_mut() {
            of.retain(|at| *at <= length);
        }
        self.restored += 1;
    }
}
