//! The stream of what happens, one by one.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::sleep,
};
use tonic::Status;
use writ_core::{access::Identity, revision::Generation, scope::Scope};
use writ_proto::v1;

use super::{Api, access_service::see_policy, convert, watch::REPEAT_PERIOD};
use crate::journal::{Edit, Happening, Place};

/// Happenings within this time come as one message, but for the first: a fleet answers at once.
const HAPPENINGS_JOINED: Duration = Duration::from_millis(10);

/// Happenings in one message: some hundred kilobytes.
const HAPPENINGS_MAX: usize = 500;

impl Api {
    /// Sends what happened and happens, until somebody ends it.
    pub(super) async fn watch_journal(
        self,
        request: v1::HappeningsRequest,
        caller: Identity,
        sender: mpsc::Sender<Result<v1::HappeningsResponse, Status>>,
        _permit: OwnedSemaphorePermit,
    ) {
        let journal = self.tracking.journal.clone();
        let mut changes = journal.changes();
        let mut told = 0;
        let mut is_first = true;
        loop {
            changes.mark_unchanged();
            let (mut news, mut missed) = journal.after(told);
            told = news.last().map_or(told, |last| last.number);
            if let Err(status) = self.keep_seen(&request, &caller, &mut news) {
                // Nobody who hears it is left, or it is the last word.
                let _ = sender.send(Err(status)).await;
                return;
            }
            if is_first {
                // What was before was not asked for.
                let wanted = usize::try_from(request.last).unwrap_or(usize::MAX);
                news.drain(..news.len().saturating_sub(wanted));
                missed = 0;
            }
            for answer in self.pages(&news, missed) {
                if sender.send(Ok(answer)).await.is_err() {
                    return;
                }
            }
            if request.only_last {
                return;
            }
            is_first = false;
            sleep(HAPPENINGS_JOINED).await;
            if self
                .woken(REPEAT_PERIOD, &mut changes, &sender)
                .await
                .is_none()
            {
                return;
            }
        }
    }

    /// Takes away what was not asked for, and what the caller may not see now.
    fn keep_seen(
        &self,
        request: &v1::HappeningsRequest,
        caller: &Identity,
        news: &mut Vec<Arc<Happening>>,
    ) -> Result<(), Status> {
        let view = self.views.now();
        let rights = self.rights(caller, &view)?;
        news.retain(|one| {
            let policy = one.edit.as_ref().and_then(|edit| edit.policy.as_ref());
            is_asked(request, one)
                && policy.is_none_or(|name| see_policy(&rights, name.as_str(), &view))
                && one
                    .place
                    .as_ref()
                    .is_none_or(|place| rights.see_cluster(&Scope::of(&place.region, &place.stage)))
        });
        Ok(())
    }

    /// One message at least, so that its age is seen.
    fn pages(&self, news: &[Arc<Happening>], missed: u64) -> Vec<v1::HappeningsResponse> {
        let revision = self.tracking.ask(|tracker, _| tracker.revision());
        let mut pages: Vec<v1::HappeningsResponse> = news
            .chunks(HAPPENINGS_MAX)
            .map(|page| v1::HappeningsResponse {
                happenings: page.iter().map(|one| message(one)).collect(),
                ..Default::default()
            })
            .collect();
        if pages.is_empty() {
            pages.push(v1::HappeningsResponse::default());
        }
        pages[0].missed = missed;
        for page in &mut pages {
            page.as_of = Some(self.as_of(revision));
        }
        pages
    }
}

fn is_asked(request: &v1::HappeningsRequest, one: &Happening) -> bool {
    let policy = one.edit.as_ref().and_then(|edit| edit.policy.as_ref());
    let place = one.place.as_ref();
    let fits = |wanted: &str, found: Option<&str>| wanted.is_empty() || found == Some(wanted);
    fits(&request.policy, policy.map(|name| name.as_str()))
        && fits(&request.cluster, place.map(|place| place.cluster.as_str()))
        && fits(&request.region, place.map(|place| place.region.as_str()))
        && fits(&request.stage, place.map(|place| place.stage.as_str()))
}

fn message(one: &Happening) -> v1::Happening {
    let mut told = v1::Happening {
        number: one.number,
        at: Some(convert::time(one.at_ms)),
        kind: one.kind.into(),
        after_ms: one.after_ms,
        reason: one.reason.clone(),
        message: one.message.clone(),
        objects: one.objects.iter().cloned().map(convert::failing).collect(),
        count: one.count,
        ..Default::default()
    };
    if let Some(Place {
        cluster,
        region,
        stage,
    }) = &one.place
    {
        told.cluster = cluster.to_string();
        (told.region, told.stage) = (region.to_string(), stage.to_string());
    }
    if let Some(Edit {
        policy,
        generation: Generation(generation),
        revision,
    }) = &one.edit
    {
        told.policy = policy.as_ref().map(ToString::to_string).unwrap_or_default();
        told.generation = *generation;
        told.revision = Some(convert::revision(*revision));
    }
    told
}
