//! What the streams have in common: how many there may be, and what wakes one of them.

use std::time::Duration;

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::timeout,
};
use tonic::Status;

use super::{Api, WATCHES_MAX};

/// How often something is said where nothing changes, so that its age is seen.
pub(super) const REPEAT_PERIOD: Duration = Duration::from_secs(5);

/// Messages that wait for a slow reader: a newer one says all that an older one did.
pub(super) const WAITING_MAX: usize = 1;

impl Api {
    /// A place for one more stream.
    pub(super) fn watch_permit(&self) -> Result<OwnedSemaphorePermit, Status> {
        self.watches.clone().try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("{WATCHES_MAX} watches are open already"))
        })
    }

    /// Waits until there is something to say again, for so long at most, and says whether that is because of a change. `None`: the
    /// stream is over; where it is the publisher that ends, its reader was told.
    pub(super) async fn woken<T>(
        &self,
        pause: Duration,
        changes: &mut watch::Receiver<u64>,
        sender: &mpsc::Sender<Result<T, Status>>,
    ) -> Option<bool> {
        tokio::select! {
            changed = timeout(pause, changes.changed()) => match changed {
                Ok(Ok(())) => Some(true),
                Ok(Err(_)) => None,
                // Out of time is the usual case.
                Err(_) => Some(false),
            },
            () = sender.closed() => None,
            () = self.stop.cancelled() => {
                let stopping = Status::unavailable("this publisher ends: ask again, or another");
                // A reader that is gone needs no word.
                let _ = sender.send(Err(stopping)).await;
                None
            }
        }
    }
}
