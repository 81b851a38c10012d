//! A new epoch, written in batches; the last one ends with the root and the signed opening.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::sleep;
use writ_bus::batch::{self, BATCH_BYTES_MAX, Batch, MESSAGES_MAX, Message, Outcome};
use writ_core::{edit, recover::Recovery, revision::Revision, root::Root, subject::BusSubject};
use writ_proto::log;
use writ_telemetry::describe;

use super::{Error, Tool};

/// How often a batch whose outcome is unknown is repeated; a killed leader stops writes for 5 to 7 s,
/// and a try takes up to 5 s.
const TRIES_MAX: u32 = 20;
/// Between two tries.
const RETRY_DELAY: Duration = Duration::from_millis(250);

pub(super) async fn write(
    tool: &Tool,
    recovery: Recovery,
    opening: Bytes,
    root_sequence: u64,
    first: Option<Message>,
) -> Result<Revision, Error> {
    let sign = |message: &edit::Message| Message {
        subject: message.subject(),
        bytes: Bytes::from(log::seal_message(message, &tool.key).bytes),
    };
    let revision = recovery.root.revision;
    let root = Root {
        opening: Some(Arc::from(opening.as_ref())),
        ..recovery.root
    };
    let mut batches = split(first.into_iter().chain(recovery.messages.iter().map(sign)));
    let mut last = batches.pop().unwrap_or_default();
    last.push(sign(&edit::Message::Root(root)));
    let count = batches.len() + 1;
    for (at, messages) in batches.into_iter().enumerate() {
        tracing::info!(
            batch = at + 1,
            of = count,
            messages = messages.len(),
            "writing the new epoch"
        );
        let batch = Batch::part(messages).map_err(|error| Error::NotTaken(error.to_string()))?;
        // Stored twice it says the same, and nobody follows it before the last.
        commit(tool, &batch).await?;
    }
    tracing::info!(
        batch = count,
        of = count,
        messages = last.len(),
        "opening the new epoch"
    );
    let batch = Batch::new(last, root_sequence).map_err(|e| Error::NotTaken(e.to_string()))?;
    match commit(tool, &batch).await {
        // An earlier try of this very batch may have been stored, and its answer lost.
        Err(Error::Conflict) if is_stored(tool, revision).await => Ok(revision),
        committed => committed.map(|()| revision),
    }
}

/// As many to a batch as it may hold, with room for the root in the last.
fn split(messages: impl Iterator<Item = Message>) -> Vec<Vec<Message>> {
    let (mut batches, mut bytes) = (vec![Vec::new()], 0);
    for message in messages {
        bytes += message.bytes.len();
        let last = batches.len() - 1;
        if batches[last].len() + 1 >= MESSAGES_MAX || bytes > BATCH_BYTES_MAX / 2 {
            bytes = message.bytes.len();
            batches.push(vec![message]);
        } else {
            batches[last].push(message);
        }
    }
    batches
}

async fn commit(tool: &Tool, batch: &Batch) -> Result<(), Error> {
    let mut said = String::new();
    for _ in 0..TRIES_MAX {
        match batch::commit(&tool.client, batch).await {
            Ok(Outcome::Committed { .. }) => return Ok(()),
            Ok(Outcome::Conflict) => return Err(Error::Conflict),
            Ok(Outcome::Full) => {
                return Err(Error::NotTaken(
                    "the stream WRIT is full: raise its max_bytes".into(),
                ));
            }
            Ok(Outcome::Refused { code, description }) => {
                return Err(Error::NotTaken(format!("{description} ({code})")));
            }
            Ok(Outcome::Unknown) => "it did not say what became of a batch".clone_into(&mut said),
            Ok(Outcome::Retry { code }) => said = format!("it asks for a repetition ({code})"),
            Err(error) => said = describe(&error),
        }
        sleep(RETRY_DELAY).await;
    }
    Err(Error::NotTaken(said))
}

/// Whether the log's root is the one that was to be written.
async fn is_stored(tool: &Tool, revision: Revision) -> bool {
    let stream = writ_bus::streams::Stream::Log;
    let read = writ_bus::read::last_by_subject(&tool.client, stream, &BusSubject::Root).await;
    let Ok(Some(stored)) = read else { return false };
    let publishers = tool.trust.bundle.keyring();
    let opened = log::open::<Root>(&BusSubject::Root, &stored.bytes, &publishers);
    opened.is_ok_and(|opened| opened.value.revision == revision)
}
