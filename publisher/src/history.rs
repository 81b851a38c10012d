//! What became of earlier requests: the kept intents of a name, read from the log's leader.
//!
//! A request id is unique per name while its intent is kept. The log is asked, not this publisher's
//! memory, so that an id that another publisher took before a restart is known too.

use std::collections::{BTreeMap, VecDeque};

use writ_bus::{
    Client, connection, read,
    streams::{MESSAGES_PER_SUBJECT, Stream},
};
use writ_core::{
    edit::Intent,
    envelope::Keyring,
    hash::Hash,
    name::Name,
    revision::{Generation, Revision},
    scope::Kind,
    subject::BusSubject,
};
use writ_proto::log;

use crate::alarm::Alarms;

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
    pub(crate) target_count: usize,
    /// Hash of the manifest; nothing for a deletion.
    pub(crate) content: Option<Hash>,
}

impl Past {
    fn of(intent: &Intent) -> Past {
        Past {
            request_id: intent.request_id.clone(),
            revision: intent.revision,
            generation: intent.generation,
            target_count: intent.targets.len(),
            content: intent
                .manifest
                .as_ref()
                .map(|manifest| Hash::of(manifest.as_bytes())),
        }
    }
}

#[derive(Default)]
struct History {
    /// The last sequence that was read.
    read: u64,
    /// Oldest first; at most [`EDITS_MAX`].
    edits: VecDeque<Past>,
}

/// The histories of the names that were edited last.
pub(crate) struct Histories {
    client: Client,
    trusted: Keyring,
    alarms: Alarms,
    table: BTreeMap<(Kind, Name), History>,
}

impl Histories {
    pub(crate) fn new(client: Client, trusted: Keyring, alarms: Alarms) -> Histories {
        Histories {
            client,
            trusted,
            alarms,
            table: BTreeMap::new(),
        }
    }

    /// The edit that a request made, if it is kept.
    ///
    /// # Errors
    /// Where the leader can't be asked: then nothing is known.
    pub(crate) async fn find(
        &mut self,
        kind: Kind,
        name: &Name,
        request_id: &str,
    ) -> Result<Option<Past>, connection::Error> {
        if self.table.len() >= NAMES_MAX {
            self.table.clear();
        }
        let subject = BusSubject::Intent {
            kind,
            name: name.clone(),
        };
        let history = self.table.entry((kind, name.clone())).or_default();
        loop {
            let next =
                read::next_by_subject(&self.client, Stream::Log, &subject, history.read).await?;
            let Some(stored) = next else { break };
            history.read = stored.sequence;
            match log::open::<Intent>(&subject, &stored.bytes, &self.trusted) {
                Ok(opened) => history.edits.push_back(Past::of(&opened.value)),
                Err(error) => self.alarms.raise(&subject, error.category(), &error),
            }
            if history.edits.len() > EDITS_MAX {
                history.edits.pop_front();
            }
        }
        Ok(history
            .edits
            .iter()
            .rev()
            .find(|past| past.request_id == request_id)
            .cloned())
    }
}
