//! The stream of the whole fleet: all clusters at first, then those whose line changed.

use std::{collections::BTreeMap, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::sleep,
};
use tonic::Status;
use writ_core::access::Identity;
use writ_proto::v1;

use super::{
    Api,
    access_service::{see_place, see_policy},
    convert,
};

/// Changes within this time come as one: four times a second is as often as a person sees.
const CHANGES_JOINED: Duration = Duration::from_millis(250);

/// Lines in one message: some hundred kilobytes.
const LINES_MAX: usize = 500;

type Lines = BTreeMap<String, v1::FleetLine>;

impl Api {
    /// Sends what changed, until somebody ends it.
    pub(super) async fn watch_all(
        self,
        caller: Identity,
        sender: mpsc::Sender<Result<v1::FleetResponse, Status>>,
        _permit: OwnedSemaphorePermit,
    ) {
        let mut changes = self.tracking.changes();
        let mut told = Lines::new();
        loop {
            changes.mark_unchanged();
            let answers = match self.fleet(&caller) {
                Ok(now) => {
                    let answers = self.differences(&told, &now);
                    told = now;
                    answers.into_iter().map(Ok).collect()
                }
                Err(status) => vec![Err(status)],
            };
            for answer in answers {
                let goes_on = answer.is_ok();
                if sender.send(answer).await.is_err() || !goes_on {
                    return;
                }
            }
            if self.woken(&mut changes, &sender).await.is_none() {
                return;
            }
            sleep(CHANGES_JOINED).await;
        }
    }

    /// All lines as the caller may see them now.
    fn fleet(&self, caller: &Identity) -> Result<Lines, Status> {
        let view = self.views.now();
        let rights = self.rights(caller, &view)?;
        let lines = self.tracking.ask(|tracker, now| {
            let all = tracker.fleet_status(now).map(convert::fleet_line);
            all.collect::<Vec<_>>()
        });
        let seen = lines.into_iter().filter_map(|mut line| {
            line.exceptions
                .retain(|one| see_policy(&rights, &one.policy, &view));
            see_place(&rights, &line.region, &line.stage).then_some(line)
        });
        Ok(named(seen))
    }

    /// What to say to whoever was told `told`.
    fn differences(&self, told: &Lines, now: &Lines) -> Vec<v1::FleetResponse> {
        let changed: Vec<&v1::FleetLine> = now
            .values()
            .filter(|line| told.get(&line.cluster) != Some(line))
            .collect();
        let removed = told.keys().filter(|name| !now.contains_key(*name));
        let removed: Vec<String> = removed.cloned().collect();
        let revision = self.tracking.ask(|tracker, _| tracker.revision());
        // Also where nothing changed, so that its age is seen.
        let pages = changed.len().div_ceil(LINES_MAX).max(1);
        let mut answers: Vec<v1::FleetResponse> = (0..pages)
            .map(|page| v1::FleetResponse {
                as_of: Some(self.as_of(revision)),
                clusters: changed
                    .iter()
                    .skip(page * LINES_MAX)
                    .take(LINES_MAX)
                    .map(|line| (*line).clone())
                    .collect(),
                removed: Vec::new(),
                is_whole: page + 1 == pages,
            })
            .collect();
        if let Some(last) = answers.last_mut() {
            last.removed = removed;
        }
        answers
    }
}

fn named(lines: impl IntoIterator<Item = v1::FleetLine>) -> Lines {
    let pairs = lines.into_iter().map(|line| (line.cluster.clone(), line));
    pairs.collect()
}
