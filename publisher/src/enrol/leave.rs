//! A cluster that gave everything back leaves the registry.

use std::time::Duration;

use writ_core::{
    edit::Kind,
    name::{ClusterName, Name},
    revision::Revision,
};
use writ_telemetry::describe;

use crate::{
    accept::{self, Wish},
    commit::Committer,
    follow::Error,
    track::Tracking,
    view::Views,
};

/// Between two looks, while there is anything new at all: many acks come together.
const LOOK_PERIOD: Duration = Duration::from_millis(200);

/// Takes draining clusters out of the registry once they have said that nothing is left. Every publisher
/// does; the base generation lets one of them do it.
pub(crate) async fn leave(
    committer: Committer,
    tracking: Tracking,
    views: Views,
) -> Result<(), Error> {
    let mut changes = tracking.changes();
    loop {
        changes.borrow_and_update();
        let withdrawn: Vec<(ClusterName, Revision)> = tracking.ask(|tracker, _| {
            let of = tracker.withdrawn();
            of.map(|(name, told)| (name.clone(), told)).collect()
        });
        for (cluster, told) in withdrawn {
            let name = Name::from(&cluster);
            let view = views.now();
            let intent = view.intent(Kind::Cluster, &name);
            let Some(intent) = intent.filter(|intent| intent.revision == told) else {
                continue;
            };
            let id = format!("left:{}", intent.generation);
            let reason = "it has given back all that was applied there";
            let mut submission = accept::of_cluster(&cluster, Wish::Delete { name }, id, reason);
            submission.base = Some(intent.generation.0);
            match committer.submit(submission).await {
                Ok(_) => {
                    tracing::info!(%cluster, "the cluster has given back everything, and left")
                }
                // Another publisher was first, or it is tried again with the next change.
                Err(error) => {
                    tracing::debug!(%cluster, "it stays for now: {}", describe(&error));
                }
            }
        }
        tokio::time::sleep(LOOK_PERIOD).await;
        if changes.changed().await.is_err() {
            return Err(Error::Ended);
        }
    }
}
