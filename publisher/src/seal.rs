//! Step 4, seal: from an edit to signed messages. No I/O.

use bytes::Bytes;
use writ_bus::batch::{self, Invalid};
use writ_core::{
    edit::{Edit, State},
    envelope::SigningKey,
    revision::{Generation, Revision},
};
use writ_proto::log;

/// A batch that is ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) batch: batch::Batch,
    pub(crate) revision: Revision,
    pub(crate) generation: Generation,
}

/// Builds and signs the batch of an edit on a state whose root is at `root_sequence` of the stream.
///
/// # Errors
/// [`Invalid`] where it does not fit: a message over 1 MB, or more than 1,000 messages.
pub(crate) fn seal(
    state: &State,
    root_sequence: u64,
    edit: &Edit,
    key: &SigningKey,
) -> Result<Sealed, Invalid> {
    let built = state.build(edit);
    // Before the signatures, which take time.
    if built.messages.len() > batch::MESSAGES_MAX {
        return Err(Invalid::Messages(built.messages.len()));
    }
    let sign = |message| batch::Message {
        subject: writ_core::edit::Message::subject(message),
        bytes: Bytes::from(log::seal_message(message, key).bytes),
    };
    let messages = built.messages.iter().map(sign).collect();
    Ok(Sealed {
        batch: batch::Batch::new(messages, root_sequence)?,
        revision: built.revision,
        generation: built.generation,
    })
}
