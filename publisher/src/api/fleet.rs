//! The stream of the whole fleet: all clusters at first, then those whose line changed.
//!
//! The lines are made once for all readers (`lines.rs`); what is done for each is only what its identity may see.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::sleep,
};
use tonic::Status;
use writ_core::{
    access::{Identity, Rights},
    name::ClusterName,
    revision::Revision,
};
use writ_proto::v1;

use super::{
    Api,
    access_service::{see_place, see_policy},
    watch::REPEAT_PERIOD,
};
use crate::{
    lines::{Line, Place},
    view::View,
};

/// The least time between two messages: the first change is told at once, what comes in bursts is told together.
const MESSAGE_PERIOD: Duration = Duration::from_millis(50);

/// Lines in one message: some hundred kilobytes.
const LINES_MAX: usize = 500;

/// Somebody who follows the fleet.
#[derive(Debug, Default)]
struct Reader {
    place: Place,
    /// What it was told, where its rights are bounded: who sees everything was told everything up to the place.
    told: Option<BTreeMap<String, v1::FleetLine>>,
    /// The log by which its rights were judged.
    judged_at: Revision,
}

/// What a reader has to be told.
#[derive(Debug, Default, PartialEq)]
struct News {
    changed: Vec<v1::FleetLine>,
    removed: Vec<String>,
}

impl Reader {
    /// How its rights are bounded now, which may have changed: from where the lines have to be looked at.
    fn judge(&mut self, is_unbounded: bool, revision: Revision) -> Place {
        match (is_unbounded, self.told.is_some()) {
            // It may see what it was not told so far.
            (true, true) => {
                self.told = None;
                Place::default()
            }
            (true, false) => self.place,
            // New here, or bounded from now on.
            (false, false) => Place::default(),
            // What a rule lets somebody see of a line depends on rules and policies: all of the log may matter.
            (false, true) if self.judged_at != revision => Place::default(),
            (false, true) => self.place,
        }
    }

    /// Takes lines that changed, of which it may see some, or some of each.
    fn take(
        &mut self,
        lines: BTreeMap<ClusterName, Line>,
        see: impl Fn(&v1::FleetLine) -> Option<v1::FleetLine>,
    ) -> News {
        let mut news = News::default();
        // Who saw everything until now is told all anew: what it may see, and what it may not is taken back.
        let saw_all = self.told.is_none() && self.place != Place::default();
        let told = self.told.get_or_insert_default();
        for (name, line) in lines {
            match line.and_then(|line| see(&line)) {
                Some(line) => {
                    if told.get(name.as_str()) != Some(&line) {
                        told.insert(name.to_string(), line.clone());
                        news.changed.push(line);
                    }
                }
                None => {
                    if told.remove(name.as_str()).is_some() || saw_all {
                        news.removed.push(name.to_string());
                    }
                }
            }
        }
        news
    }
}

impl News {
    /// Of lines that changed, for who sees everything.
    fn of(lines: BTreeMap<ClusterName, Line>) -> News {
        let mut news = News::default();
        for (name, line) in lines {
            match line {
                Some(line) => news.changed.push(v1::FleetLine::clone(&line)),
                None => news.removed.push(name.to_string()),
            }
        }
        news
    }
}

/// A line as somebody may see it.
fn seen(rights: &Rights<'_>, view: &View, line: &v1::FleetLine) -> Option<v1::FleetLine> {
    if !see_place(rights, &line.region, &line.stage) {
        return None;
    }
    let mut line = line.clone();
    line.exceptions
        .retain(|one| see_policy(rights, &one.policy, view));
    Some(line)
}

impl Api {
    /// Sends what changed, until somebody ends it.
    pub(super) async fn watch_all(
        self,
        caller: Identity,
        sender: mpsc::Sender<Result<v1::FleetResponse, Status>>,
        _permit: OwnedSemaphorePermit,
    ) {
        let mut changes = self.tracking.changes();
        let mut reader = Reader::default();
        loop {
            changes.mark_unchanged();
            let answers = match self.news(&caller, &mut reader) {
                Ok(news) => self.messages(news).into_iter().map(Ok).collect(),
                Err(status) => vec![Err(status)],
            };
            for answer in answers {
                let goes_on = answer.is_ok();
                if sender.send(answer).await.is_err() || !goes_on {
                    return;
                }
            }
            let told_at = Instant::now();
            if self
                .woken(self.tracking.pause(REPEAT_PERIOD), &mut changes, &sender)
                .await
                .is_none()
            {
                return;
            }
            sleep(MESSAGE_PERIOD.saturating_sub(told_at.elapsed())).await;
        }
    }

    /// What a reader was not told yet, as it may see it now.
    fn news(&self, caller: &Identity, reader: &mut Reader) -> Result<News, Status> {
        let view = self.views.now();
        let rights = self.rights(caller, &view)?;
        let is_unbounded = rights.are_unbounded();
        let from = reader.judge(is_unbounded, view.revision());
        let (place, lines) = self.tracking.lines(from);
        let see = |line: &v1::FleetLine| seen(&rights, &view, line);
        let news = match is_unbounded {
            true => News::of(lines),
            false => reader.take(lines, see),
        };
        (reader.place, reader.judged_at) = (place, view.revision());
        Ok(news)
    }

    /// Also where nothing changed, so that its age is seen.
    fn messages(&self, news: News) -> Vec<v1::FleetResponse> {
        let revision = self.tracking.ask(|tracker, _| tracker.revision());
        let message = |clusters: Vec<v1::FleetLine>| v1::FleetResponse {
            as_of: Some(self.as_of(revision)),
            clusters,
            removed: Vec::new(),
            is_whole: false,
        };
        let mut changed = news.changed.into_iter();
        let mut messages = Vec::new();
        loop {
            messages.push(message(changed.by_ref().take(LINES_MAX).collect()));
            if changed.len() == 0 {
                break;
            }
        }
        if let Some(last) = messages.last_mut() {
            last.removed = news.removed;
            last.is_whole = true;
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::Lines;

    fn put(lines: &mut Lines, name: &str, region: &str, applied: u32) {
        let line = v1::FleetLine {
            cluster: name.into(),
            region: region.into(),
            said_applied: applied,
            ..Default::default()
        };
        lines.put(ClusterName::parse(name).unwrap(), Some(line));
    }

    fn tell(
        lines: &Lines,
        reader: &mut Reader,
        region: Option<&'static str>,
        log: u64,
    ) -> (Vec<String>, Vec<String>) {
        let revision = Revision {
            epoch: 1,
            number: log,
        };
        let from = reader.judge(region.is_none(), revision);
        let (place, changed) = lines.since(from);
        let see =
            |line: &v1::FleetLine| (Some(line.region.as_str()) == region).then(|| line.clone());
        let news = match region {
            None => News::of(changed),
            Some(_) => reader.take(changed, see),
        };
        (reader.place, reader.judged_at) = (place, revision);
        let names = news.changed.into_iter().map(|line| line.cluster).collect();
        (names, news.removed)
    }

    #[test]
    fn a_reader_with_bounds_is_told_of_nothing_outside_and_of_what_leaves_its_sight() {
        let mut lines = Lines::default();
        put(&mut lines, "a", "eu", 0);
        put(&mut lines, "b", "us", 0);
        let (mut all, mut eu) = (Reader::default(), Reader::default());
        assert_eq!(tell(&lines, &mut all, None, 1).0, ["a", "b"]);
        assert_eq!(tell(&lines, &mut eu, Some("eu"), 1).0, ["a"]);

        put(&mut lines, "b", "us", 1);
        assert_eq!(tell(&lines, &mut all, None, 1).0, ["b"]);
        assert_eq!(tell(&lines, &mut eu, Some("eu"), 1), (vec![], vec![]));
        // The rules say something else from a later place of the log on.
        let other = tell(&lines, &mut eu, Some("us"), 2);
        assert_eq!(other, (vec!["b".to_owned()], vec!["a".to_owned()]));
        lines.put(ClusterName::parse("a").unwrap(), None);
        assert_eq!(tell(&lines, &mut eu, Some("us"), 2), (vec![], vec![]));
        assert_eq!(tell(&lines, &mut all, None, 2).1, ["a"]);
        // Nothing bounds it any more: it is told everything again.
        assert_eq!(tell(&lines, &mut eu, None, 3).0, ["b"]);
    }

    #[test]
    fn a_reader_that_is_bounded_from_now_on_loses_what_it_may_not_see_and_misses_no_change() {
        let mut lines = Lines::default();
        put(&mut lines, "a", "eu", 0);
        put(&mut lines, "b", "us", 0);
        put(&mut lines, "c", "eu", 0);
        let mut all = Reader::default();
        assert_eq!(tell(&lines, &mut all, None, 1).0, ["a", "b", "c"]);
        // What happened since it was told last comes with the change of its rights.
        put(&mut lines, "a", "eu", 1);
        lines.put(ClusterName::parse("c").unwrap(), None);
        let (changed, removed) = tell(&lines, &mut all, Some("eu"), 2);
        assert_eq!(changed, ["a"]);
        assert_eq!(removed, ["b", "c"]);
        assert_eq!(tell(&lines, &mut all, Some("eu"), 2), (vec![], vec![]));
    }
}
