//! The modelled bus: a stream with atomic batches under a compare-and-set on the root, replicas that lag,
//! and the stream of acks.

use std::{cell::OnceCell, collections::BTreeMap, rc::Rc, sync::Arc};

use writ_core::{
    edit::Message,
    envelope::Keyring,
    hash::Hash,
    index::TailLengths,
    model::Document,
    subject::BusSubject,
    tracker::{Committed, read_manifest},
};
use writ_proto::log;

/// Bases are rewritten after so few changes, so that a history has many of each feed.
pub(super) const TAILS: TailLengths = TailLengths { max: 6, kept: 3 };

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

/// What a stored message says. All publishers trust the same keys, so that it is opened and parsed for
/// the first who reads it.
pub(super) struct Opened {
    pub(super) message: Message,
    pub(super) hash: Hash,
    /// The document of an intent that this build reads; nothing inside where the name was deleted.
    pub(super) document: Option<Option<Document>>,
    pub(super) committed: Option<Committed>,
}

impl Opened {
    fn read(stored: &Stored, trusted: &Keyring) -> Option<Opened> {
        let opened = log::open_message(&stored.subject, &stored.bytes, trusted).ok()?;
        let (mut document, mut committed) = (None, None);
        if let Message::Intent(intent) = &opened.value {
            document = read_manifest(intent).ok();
            committed = Committed::read(intent).ok().flatten();
        }
        Some(Opened {
            message: opened.value,
            hash: opened.hash,
            document,
            committed,
        })
    }
}

/// The stream of the log. Sequences count from 1.
#[derive(Default)]
pub(super) struct Log {
    stored: Vec<Stored>,
    opened: Vec<OnceCell<Option<Rc<Opened>>>>,
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

    /// What a stored message says to who trusts these keys, the same for all; nothing where it is not
    /// believed.
    pub(super) fn open(&self, sequence: u64, trusted: &Keyring) -> Option<Rc<Opened>> {
        let at = sequence as usize - 1;
        self.opened[at]
            .get_or_init(|| Opened::read(&self.stored[at], trusted).map(Rc::new))
            .clone()
    }

    /// Stores a batch, all of it.
    pub(super) fn store(&mut self, batch: &Batch) {
        for message in &batch.messages {
            self.stored.push(message.clone());
            self.opened.push(OnceCell::new());
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
        self.opened.truncate(length as usize);
        for of in self.by_subject.values_mut() {
            of.retain(|at| *at <= length);
        }
        self.restored += 1;
    }
}
