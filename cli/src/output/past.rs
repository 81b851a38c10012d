//! The fleet as it was: lists at a moment, and what a cluster was told.
//!
//! What is unknown stands beside what was found, in every form, so that nobody takes a list for the
//! whole.

use serde::Serialize;
use serde_json::{Value, json};
use writ_proto::v1;

use super::json::{AsOf, Document, Revision, manifest};
use super::policies;
use super::table::{Table, Tone, clean};
use super::words;
use crate::args::When;

/// A moment as the API takes it.
pub(crate) fn moment(at: When) -> v1::Moment {
    let time = at.time();
    let stamp = prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    };
    v1::Moment {
        at: Some(v1::moment::At::Time(stamp)),
    }
}

/// A list at a moment.
#[derive(Debug)]
pub(crate) struct Past<T> {
    pub(crate) items: Vec<T>,
    pub(crate) unknown: Vec<v1::UnknownEntry>,
    pub(crate) absent: Vec<String>,
    pub(crate) place: v1::Place,
    pub(crate) as_of: Option<v1::AsOf>,
}

impl<T> Default for Past<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            unknown: Vec::new(),
            absent: Vec::new(),
            place: v1::Place::default(),
            as_of: None,
        }
    }
}

/// Which state is shown: `as of 2026-11-25T14:00:00Z: revision 17 of 2026-11-25T13:59:58.12Z
/// (publisher-1 has seen revision 99)`.
pub(crate) fn as_of(at: When, place: &v1::Place, as_of: Option<&v1::AsOf>) -> String {
    let place = match words::instant(place.committed_at.as_ref()) {
        Some(time) => format!(
            "revision {} of {time}",
            words::revision(place.revision.as_ref())
        ),
        None => "before everything that is kept".to_owned(),
    };
    let seen = as_of.map_or_else(String::new, |as_of| {
        let revision = words::revision(as_of.revision.as_ref());
        format!(" ({} has seen revision {revision})", as_of.publisher)
    });
    format!("as of {}: {place}{seen}", at.time())
}

/// The clock that ages are counted to: the moment's.
pub(crate) fn clock(at: When) -> v1::AsOf {
    let time = at.time();
    v1::AsOf {
        time: Some(prost_types::Timestamp {
            seconds: time.as_second(),
            nanos: time.subsec_nanosecond(),
        }),
        ..Default::default()
    }
}

/// The registry as it was: nothing is said of the clusters' life then.
pub(crate) fn cluster_table(clusters: &[v1::Cluster], clock: &v1::AsOf) -> Table {
    let mut table = Table::new([
        "NAME", "GEN", "REGION", "STAGE", "MODE", "LABELS", "AGE", "AUTHOR", "REASON",
    ]);
    for cluster in clusters {
        let row = [
            cluster.name.clone(),
            cluster.generation.to_string(),
            cluster.region.clone(),
            cluster.stage.clone(),
            cluster.mode.clone(),
            policies::labels(cluster),
            words::age(cluster.committed_at.as_ref(), Some(clock)),
            cluster.author.clone(),
            cluster.reason.clone(),
        ];
        table.row(Tone::Plain, row);
    }
    table
}

/// The table of what is unknown, under the list.
pub(crate) fn unknown_table(unknown: &[v1::UnknownEntry]) -> Table {
    let mut table = Table::new(["UNKNOWN", "KEPT FROM", "SINCE", "WHY"]);
    for entry in unknown {
        let row = [
            entry.name.clone(),
            words::generation(entry.oldest_generation),
            words::instant(entry.oldest_at.as_ref()).unwrap_or_default(),
            entry.message.clone(),
        ];
        table.row(Tone::Waiting, row);
    }
    table
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct List<T> {
    at: String,
    place: PlaceView,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<AsOf>,
    items: Vec<T>,
    unknown: Vec<UnknownView>,
}

/// Empty where the moment is before everything that is kept.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PlaceView {
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    committed_at: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UnknownView {
    name: String,
    oldest_generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_at: Option<String>,
    message: String,
}

/// `-o json`: the list of now, with the moment, and what is unknown.
pub(crate) fn json<T, V: Serialize>(
    kind: &'static str,
    at: When,
    past: &Past<T>,
    items: Vec<V>,
) -> String {
    let unknown = past.unknown.iter().map(|entry| UnknownView {
        name: entry.name.clone(),
        oldest_generation: entry.oldest_generation,
        oldest_at: words::instant(entry.oldest_at.as_ref()),
        message: entry.message.clone(),
    });
    let list = List {
        at: at.time().to_string(),
        place: PlaceView {
            revision: Revision::from_proto(past.place.revision.as_ref()),
            committed_at: words::instant(past.place.committed_at.as_ref()),
        },
        as_of: AsOf::from_proto(past.as_of.as_ref()),
        items,
        unknown: unknown.collect(),
    };
    Document::new(kind, list).pretty()
}

/// The unknown names as comments of a YAML stream.
pub(crate) fn unknown_comments(unknown: &[v1::UnknownEntry]) -> String {
    unknown
        .iter()
        .map(|entry| {
            format!(
                "# unknown: {}: {}\n",
                clean(&entry.name),
                clean(&entry.message)
            )
        })
        .collect()
}

/// What a cluster was told.
#[derive(Debug, Default)]
pub(crate) struct Rendering {
    pub(crate) head: v1::RenderHead,
    pub(crate) policies: Vec<v1::RenderedPolicy>,
    pub(crate) unknown: Vec<v1::UnknownEntry>,
}

impl Rendering {
    /// A YAML stream that kubectl applies: what others lean on first. Each object stands under the
    /// policy that it is from.
    pub(crate) fn yaml(&self) -> String {
        let cluster = self.head.cluster.as_ref();
        let name = cluster
            .map(|cluster| cluster.name.as_str())
            .unwrap_or_default();
        let place = self.head.place.unwrap_or_default();
        let revision = match words::revision(place.revision.as_ref()) {
            none if none.is_empty() => "none".to_owned(),
            revision => revision,
        };
        let time = words::instant(place.committed_at.as_ref()).unwrap_or_default();
        let mut text = format!("# cluster {}, revision {revision} of {time}\n", clean(name));
        text.push_str(&unknown_comments(&self.unknown));
        for note in self.notes() {
            text.push_str(&format!("# {}\n", clean(&note)));
        }
        for (policy, object) in self.objects() {
            let body = manifest(&object.manifest)
                .and_then(|value| serde_saphyr::to_string(&value).ok())
                .unwrap_or_default();
            let title = format!("clusterpolicy/{}@{}", policy.name, policy.generation);
            text.push_str(&format!("---\n# {title}\n{}\n", body.trim_end()));
        }
        text
    }

    /// One `v1` List, as kubectl prints and takes it.
    pub(crate) fn json(&self) -> String {
        let items: Vec<Value> = self
            .objects()
            .into_iter()
            .filter_map(|(_, object)| manifest(&object.manifest))
            .collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        serde_json::to_string_pretty(&list).unwrap_or_default()
    }

    /// What the manifests do not show.
    pub(crate) fn notes(&self) -> Vec<String> {
        let grants = self.policies.iter().flat_map(|policy| {
            let name = &policy.name;
            policy.grants.iter().map(move |grant| {
                let held = match grant.namespaces.as_slice() {
                    [] => "selects none of these namespaces".to_owned(),
                    some => format!("is bound in {}", some.join(", ")),
                };
                format!(
                    "clusterpolicy/{name}, grant {}: selects namespaces by label; it {held}, and \
                     namespaces that others made are not known here",
                    grant.name
                )
            })
        });
        let observes = self
            .head
            .cluster
            .iter()
            .filter(|cluster| cluster.mode == "observe")
            .map(|cluster| format!("{} only observed: it wrote none of this", cluster.name));
        observes.chain(grants).collect()
    }

    /// All objects in the order in which they are applied.
    fn objects(&self) -> Vec<(&v1::RenderedPolicy, &v1::RenderedObject)> {
        let mut objects: Vec<_> = self
            .policies
            .iter()
            .flat_map(|policy| policy.objects.iter().map(move |object| (policy, object)))
            .collect();
        // Stable: within a wave the order is that of the policies' names.
        objects.sort_by_key(|(_, object)| object.wave);
        objects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> When {
        When::Time(jiff::Timestamp::from_second(seconds).unwrap())
    }

    #[test]
    fn a_list_of_the_past_says_which_state_it_is() {
        let place = v1::Place {
            revision: Some(v1::Revision {
                epoch: 1,
                number: 17,
            }),
            committed_at: Some(prost_types::Timestamp {
                seconds: 998,
                nanos: 120_000_000,
            }),
        };
        let seen = v1::AsOf {
            publisher: "publisher-1".into(),
            revision: Some(v1::Revision {
                epoch: 1,
                number: 99,
            }),
            time: None,
            edits_refused: String::new(),
        };
        assert_eq!(
            as_of(at(1_000), &place, Some(&seen)),
            "as of 1970-01-01T00:16:40Z: revision 17 of 1970-01-01T00:16:38.12Z (publisher-1 has \
             seen revision 99)"
        );
        assert_eq!(
            as_of(at(1), &v1::Place::default(), None),
            "as of 1970-01-01T00:00:01Z: before everything that is kept"
        );
    }

    #[test]
    fn a_rendering_is_ordered_over_all_policies_and_names_what_it_does_not_show() {
        let object = |wave, kind: &str| v1::RenderedObject {
            manifest: format!(r#"{{"kind":"{kind}"}}"#),
            wave,
        };
        let policy = |name: &str, objects, grants| v1::RenderedPolicy {
            name: name.into(),
            generation: 1,
            objects,
            grants,
            ..Default::default()
        };
        let grant = v1::RenderedGrant {
            name: "later".into(),
            namespaces: vec![],
        };
        let rendering = Rendering {
            head: v1::RenderHead {
                cluster: Some(v1::Cluster {
                    name: "eu-1".into(),
                    mode: "observe".into(),
                    ..Default::default()
                }),
                place: None,
                as_of: None,
            },
            policies: vec![
                policy("a", vec![object(5, "RoleBinding")], vec![grant]),
                policy("b", vec![object(0, "Namespace")], vec![]),
            ],
            unknown: vec![v1::UnknownEntry {
                name: "busy".into(),
                message: "begins\nlater".into(),
                ..Default::default()
            }],
        };
        assert_eq!(
            rendering.yaml(),
            "# cluster eu-1, revision none of \n\
             # unknown: busy: begins later\n\
             # eu-1 only observed: it wrote none of this\n\
             # clusterpolicy/a, grant later: selects namespaces by label; it selects none of these \
             namespaces, and namespaces that others made are not known here\n\
             ---\n# clusterpolicy/b@1\nkind: Namespace\n---\n# clusterpolicy/a@1\nkind: RoleBinding\n"
        );
    }
}
