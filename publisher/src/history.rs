//! What became of earlier requests: the kept intents of a name, read from the log's leader.
//!
//! A request id is unique per name while its intent is kept. The log is asked, not this publisher's
//! memory, so that an id that another publisher took is known too; it is asked again for every attempt,
//! because that publisher may be at it now.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use writ_bus::{Client, streams::MESSAGES_PER_SUBJECT};
use writ_core::{
    edit::Intent,
    edit::Kind,
    enrol,
    hash::Hash,
    name::Name,
    revision::{Generation, Revision},
    subject::BusSubject,
};
use writ_proto::log;

use crate::{alarm::Alarms, current, trust::Trusted};

/// Names whose history is held. Beyond it they are read again: 64 small reads of the leader.
const NAMES_MAX: usize = 256;

/// Intents that the log keeps of a name.
const EDITS_MAX: usize = MESSAGES_PER_SUBJECT as usize;

/// An edit that was made.
#[derive(Debug, Clone)]
pub(crate) struct Past {
    pub(crate) request_id: String,
    pub(crate) revision: Revision,
    pub(crate) generation: Generation,
    pub(crate) author: String,
    pub(crate) target_count: usize,
    /// Hash of the manifest; nothing for a deletion.
    pub(crate) content: Option<Hash>,
}

impl Past {
    pub(crate) fn of(intent: &Intent) -> Past {
        Past {
            request_id: intent.request_id.clone(),
            revision: intent.revision,
            generation: intent.generation,
            author: intent.author.clone(),
            target_count: intent.targets.len(),
            content: intent
                .manifest
                .as_ref()
                .map(|manifest| content(intent.kind, manifest)),
        }
    }
}

/// Hash of a manifest as it was submitted: of a cluster without what the fleet itself put there.
pub(crate) fn content(kind: Kind, manifest: &str) -> Hash {
    let submitted = match kind {
        Kind::Cluster => serde_json::from_str(manifest)
            .ok()
            .map(|manifest| enrol::submitted(&manifest).to_string()),
        _ => None,
    };
    Hash::of(submitted.as_deref().unwrap_or(manifest).as_bytes())
}

#[derive(Debug, Default)]
struct History {
    /// The last sequence that was read.
    read: u64,
    /// Oldest first, each generation once; at most [`EDITS_MAX`].
    edits: VecDeque<Past>,
}

impl History {
    fn push(&mut self, past: Past) {
        if past.generation <= self.reached() {
            return;
        }
        self.edits.push_back(past);
        if self.edits.len() > EDITS_MAX {
            self.edits.pop_front();
        }
    }

    fn reached(&self) -> Generation {
        self.edits
            .back()
            .map_or(Generation(0), |past| past.generation)
    }

    /// Whether nothing is missing up to the newest intent, which may be the next one itself.
    fn completes(&mut self, newest: &Intent) -> bool {
        if self.reached().next() == newest.generation {
            self.push(Past::of(newest));
        }
        self.reached() >= newest.generation
    }
}

/// Why a history is not known: at the moment, as the log's leader may answer later.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The leader can't be asked.
    #[error(transparent)]
    Ask(#[from] current::Error),
    /// Whoever answered has not got as far as this publisher, so that it does not lead any more.
    #[error("the server that answered for the log's leader is behind this publisher")]
    Behind,
}

/// The histories of the names that were edited last.
pub(crate) struct Histories {
    client: Client,
    trusted: Trusted,
    alarms: Alarms,
    table: Mutex<BTreeMap<(Kind, Name), History>>,
}

impl Histories {
    pub(crate) fn new(client: Client, trusted: Trusted, alarms: Alarms) -> Histories {
        Histories {
            client,
            trusted,
            alarms,
            table: Mutex::default(),
        }
    }

    /// The edit that a request made, if it is kept: of the name of `newest`, its last intent in the
    /// view that is built on, and up to that. Nothing is read where that intent tells it already.
    ///
    /// # Errors
    /// Where the leader can't be asked: then nothing is known.
    pub(crate) async fn find(
        &self,
        newest: Option<&Intent>,
        request_id: &str,
    ) -> Result<Option<Past>, Error> {
        // A name without an intent was never edited, and the compare-and-set keeps it that way.
        let Some(newest) = newest else {
            return Ok(None);
        };
        if newest.request_id == request_id {
            return Ok(Some(Past::of(newest)));
        }
        let key = (newest.kind, newest.name.clone());
        // Taken out while it is read, so that no lock is held meanwhile.
        let mut history = self.table().remove(&key).unwrap_or_default();
        let read = self.read(&mut history, newest).await;
        let known = history.edits.iter().rev();
        let found = known
            .clone()
            .find(|past| past.request_id == request_id)
            .cloned();
        self.keep(key, history);
        read.map(|()| found)
    }

    async fn read(&self, history: &mut History, newest: &Intent) -> Result<(), Error> {
        let subject = BusSubject::Intent {
            kind: newest.kind,
            name: newest.name.clone(),
        };
        while !history.completes(newest) {
            let next = current::next_by_subject(&self.client, &subject, history.read);
            let stored = next.await?.ok_or(Error::Behind)?;
            history.read = stored.sequence;
            match log::open::<Intent>(&subject, &stored.bytes, &self.trusted.keyring()) {
                Ok(opened) => history.push(Past::of(&opened.value)),
                Err(error) => self.alarms.raise(&subject, error.category(), &error),
            }
        }
        Ok(())
    }

    fn keep(&self, key: (Kind, Name), history: History) {
        let mut table = self.table();
        if table.len() >= NAMES_MAX {
            table.clear();
        }
        table.insert(key, history);
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<(Kind, Name), History>> {
        // What is lost by a panic is read again.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
