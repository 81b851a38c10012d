//! Reads of the past, name by name: from a request's moment to entries, unknown ones and absent ones.
//!
//! Names are looked at in chunks and in their order, so that a page holds one chunk and what fits.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use tonic::Status;
use writ_core::{edit::Intent, edit::Kind, model::Document, name::Name, tracker::read_manifest};
use writ_proto::v1;
use writ_telemetry::describe;

use super::{
    Api,
    convert::{self, Detail},
    error,
    policy::{Filter, Page},
};
use crate::{
    past::{CHUNK_NAMES_MAX, Found, Moment, Place, Then, Unknown},
    track,
    view::View,
};

/// Reads of the past that run at once: each holds one chunk of documents, and asks the log's leader.
pub(super) const READS_MAX: usize = 4;

/// How long a read waits for its turn.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);

/// Names that one request may ask for.
const NAMES_MAX: usize = 100;

/// How far a moment may be ahead of this publisher's clock and still be taken as now: what a client's
/// clock may differ by.
const CLOCK_AHEAD_MAX_MS: u64 = 60_000;

/// The log at a moment.
pub(super) struct Scene {
    pub(super) view: Arc<View>,
    pub(super) place: Option<Place>,
    _turn: OwnedSemaphorePermit,
}

/// An entry that was in force.
pub(super) struct Held {
    pub(super) intent: Arc<Intent>,
    pub(super) document: Arc<Document>,
}

/// A name at the scene's place.
pub(super) enum Entry {
    Held(Held),
    Absent,
    Unknown(Unknown),
}

/// A page of entries.
pub(super) struct Listed<T> {
    pub(super) items: Vec<T>,
    pub(super) unknown: Vec<v1::UnknownEntry>,
    pub(super) absent: Vec<String>,
    pub(super) next_page_token: String,
}

impl Scene {
    pub(super) fn place(&self) -> v1::Place {
        v1::Place {
            revision: self.place.as_ref().map(|at| convert::revision(at.revision)),
            committed_at: self.place.as_ref().map(|at| convert::time(at.committed_ms)),
        }
    }
}

/// Reads a moment; nothing is now.
fn read_moment(at: Option<v1::Moment>) -> Result<Moment, Status> {
    let now_ms = track::wall_ms();
    match at.and_then(|moment| moment.at) {
        None => Ok(Moment::Time(now_ms)),
        Some(v1::moment::At::Revision(revision)) => {
            Ok(Moment::Revision(convert::to_revision(&revision)))
        }
        Some(v1::moment::At::Time(time)) => {
            let millis = time.seconds.checked_mul(1_000).and_then(|seconds| {
                let millis = i64::from(time.nanos).div_euclid(1_000_000);
                u64::try_from(seconds.checked_add(millis)?).ok()
            });
            let millis = millis
                .ok_or_else(|| error::field("at.time", "it is before 1970 or too far away"))?;
            if millis > now_ms.saturating_add(CLOCK_AHEAD_MAX_MS) {
                return Err(error::field("at.time", "it is in the future"));
            }
            Ok(Moment::Time(millis.min(now_ms)))
        }
    }
}

/// The status of a read that the bus did not answer.
pub(super) fn unread(problem: &writ_bus::connection::Error) -> Status {
    let what = describe(problem);
    tracing::warn!("the past could not be read: {what}");
    Status::unavailable(format!("the log could not be read: {what}"))
}

/// The answer where the log was lost: of every name it would be a guess, and names that nobody remembers
/// would be missing in any list.
fn lost(before: Option<&Place>, after: &Place) -> Status {
    let epoch = after.revision.epoch;
    let since = match before {
        Some(before) => format!(
            "the edits after revision {} were lost, until the log was recovered in epoch {epoch}",
            before.revision
        ),
        None => format!("the log was lost, and recovered in epoch {epoch}"),
    };
    Status::out_of_range(format!(
        "what was in force then is unknown: {since}; what is known again begins at revision {}",
        after.revision
    ))
}

pub(super) fn unknown_entry(name: &Name, unknown: Unknown) -> v1::UnknownEntry {
    v1::UnknownEntry {
        name: name.to_string(),
        oldest_generation: unknown.oldest.0,
        oldest_at: (unknown.oldest_ms > 0).then(|| convert::time(unknown.oldest_ms)),
        message: unknown.message,
    }
}

impl Api {
    /// A turn among the reads of the past.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Status> {
        match timeout(TURN_WAIT_MAX, self.past_reads.clone().acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(Status::resource_exhausted(format!(
                "{READS_MAX} reads of the past run already; try again"
            ))),
        }
    }

    /// Finds the log's place at a moment.
    pub(super) async fn scene(
        &self,
        at: Option<v1::Moment>,
        at_least: Option<&v1::Revision>,
    ) -> Result<Scene, Status> {
        let moment = read_moment(at)?;
        let turn = self.turn().await?;
        let view = self.view_at(at_least).await?;
        let found = self.past.find(moment, &view).await;
        let place = match found.map_err(|problem| unread(&problem))? {
            Found::At(place) => place,
            Found::Lost { before, after } => return Err(lost(before.as_ref(), &after)),
        };
        Ok(Scene {
            place,
            view,
            _turn: turn,
        })
    }

    /// What a chunk of names was, in the order of the names.
    pub(super) async fn look(
        &self,
        scene: &Scene,
        kind: Kind,
        names: &[Name],
    ) -> Result<Vec<(Name, Entry)>, Status> {
        let found = self
            .past
            .look(kind, names, scene.place.as_ref(), &scene.view)
            .await
            .map_err(|problem| unread(&problem))?;
        let entry = |then| match then {
            Then::NotYet => Entry::Absent,
            Then::Unknown(unknown) => Entry::Unknown(unknown),
            Then::Edit(intent) => read(&scene.view, intent),
        };
        Ok(found
            .into_iter()
            .map(|(name, then)| (name, entry(then)))
            .collect())
    }

    /// A page of the entries at a moment. `make` gives the message of an entry that the filter lets
    /// through.
    pub(super) async fn list_at<T: prost::Message>(
        &self,
        kind: Kind,
        request: &v1::ListAtRequest,
        scene: &Scene,
        make: impl Fn(&Held, &Filter, Detail) -> Option<T>,
    ) -> Result<Listed<T>, Status> {
        let narrowed = request.filter.clone().unwrap_or_default();
        let filter = Filter::read(&narrowed)?;
        let detail = if narrowed.with_manifests {
            Detail::Manifest
        } else {
            Detail::Line
        };
        let asked = read_names(&request.names)?;
        let names: Vec<Name> = match &asked {
            Some(names) => names
                .iter()
                .filter(|name| filter.after.as_ref().is_none_or(|after| *name > after))
                .cloned()
                .collect(),
            None => {
                let names = scene.view.names_after(kind, filter.after.as_ref());
                names.cloned().collect()
            }
        };
        let mut page = Page::new(narrowed.page_size);
        let mut listed = Listed {
            items: vec![],
            unknown: vec![],
            absent: vec![],
            next_page_token: String::new(),
        };
        'pages: for chunk in names.chunks(CHUNK_NAMES_MAX) {
            for (name, entry) in self.look(scene, kind, chunk).await? {
                match entry {
                    Entry::Held(held) => {
                        let Some(item) = make(&held, &filter, detail) else {
                            continue;
                        };
                        if !page.takes(name.as_str(), item.encoded_len()) {
                            break 'pages;
                        }
                        listed.items.push(item);
                    }
                    Entry::Unknown(unknown) => {
                        let unknown = unknown_entry(&name, unknown);
                        if !page.takes(name.as_str(), prost::Message::encoded_len(&unknown)) {
                            break 'pages;
                        }
                        listed.unknown.push(unknown);
                    }
                    Entry::Absent if asked.is_some() => listed.absent.push(name.to_string()),
                    Entry::Absent => {}
                }
            }
        }
        listed.next_page_token = page.next_token();
        Ok(listed)
    }
}

fn read_names(texts: &[String]) -> Result<Option<BTreeSet<Name>>, Status> {
    if texts.len() > NAMES_MAX {
        let problem = format!(
            "{} names are too many, the limit is {NAMES_MAX}",
            texts.len()
        );
        return Err(error::field("names", problem));
    }
    let names = texts.iter().map(|text| {
        Name::parse(text).map_err(|problem| error::field("names", problem.to_string()))
    });
    let names: BTreeSet<Name> = names.collect::<Result<_, _>>()?;
    Ok((!names.is_empty()).then_some(names))
}

/// The document of an intent. The view has read that of the newest already.
fn read(view: &View, intent: Arc<Intent>) -> Entry {
    if intent.is_unknown() {
        return Entry::Unknown(Unknown {
            oldest: intent.generation,
            oldest_ms: intent.committed_ms,
            message: format!(
                "{}@{} existed when the log was recovered, and what it said was lost: {}",
                intent.name, intent.generation, intent.reason
            ),
        });
    }
    if intent.manifest.is_none() {
        return Entry::Absent;
    }
    let newest = view.intent(intent.kind, &intent.name);
    if newest.is_some_and(|newest| newest.revision == intent.revision)
        && let Some(document) = view.document(intent.kind, &intent.name)
    {
        let document = document.clone();
        return Entry::Held(Held { intent, document });
    }
    match read_manifest(&intent) {
        Ok(Some(document)) => {
            let document = Arc::new(document);
            Entry::Held(Held { intent, document })
        }
        Ok(None) => Entry::Absent,
        Err(problem) => Entry::Unknown(Unknown {
            oldest: intent.generation,
            oldest_ms: intent.committed_ms,
            message: format!("not understood by this publisher: {}", describe(&problem)),
        }),
    }
}
