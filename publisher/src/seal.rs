//! Step 4, seal: from a group of edits to signed messages. No I/O.

use bytes::Bytes;
use writ_bus::batch::{self, Invalid};
use writ_core::{
    edit::{Attempt, Claim, Group, Message},
    envelope::SigningKey,
    hash::Hash,
    revision::Revision,
    trace::TraceParent,
};
use writ_proto::log;

/// A batch that is ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) batch: batch::Batch,
    /// The revision of its last edit.
    pub(crate) revision: Revision,
    /// By what it is told apart from the batches of others.
    pub(crate) attempt: Attempt,
}

/// Builds and signs the batch of a group on a state whose root, at `built_on`, is at `root_sequence` of
/// the stream. `place`: the step of a trace that an edit's events come from.
///
/// # Errors
/// [`Invalid`] where it does not fit: a message over 1 MB, or more than 1,000 messages.
pub(crate) fn seal(
    group: Group<'_>,
    built_on: Revision,
    root_sequence: u64,
    key: &SigningKey,
    place: impl Fn(Revision) -> Option<TraceParent>,
) -> Result<Sealed, Invalid> {
    let built = group.finish();
    // Before the signatures, which take time.
    if built.messages.len() > batch::MESSAGES_MAX {
        return Err(Invalid::Messages(built.messages.len()));
    }
    let (mut messages, mut claims, mut root) = (Vec::new(), Vec::new(), Hash([0; 32]));
    // Of events alone: nobody goes on from what the others say.
    let of_event = |message: &Message| match message {
        Message::Event(event) => place(event.revision),
        _ => None,
    };
    let places: Vec<_> = built.messages.iter().map(of_event).collect();
    for message in &built.messages {
        let sealed = log::seal_message(message, key);
        match message {
            Message::Intent(intent) => claims.push(Claim {
                kind: intent.kind,
                name: intent.name.clone(),
                generation: intent.generation,
                hash: sealed.hash,
            }),
            Message::Root(_) => root = sealed.hash,
            _ => {}
        }
        messages.push(batch::Message {
            subject: Message::subject(message),
            bytes: Bytes::from(sealed.bytes),
        });
    }
    Ok(Sealed {
        batch: batch::Batch::new(messages, root_sequence)?.traced(places),
        revision: built.next.revision(),
        attempt: Attempt::new(built_on, root, claims),
    })
}
