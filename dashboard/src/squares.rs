//! The squares of the map as a tab is sent them: at first all that fit its filter, then those that changed, as numbers.

use std::{collections::HashMap, sync::Arc};

use serde_json::json;

use crate::{
    clusters::{Clusters, Seen},
    route::Filter,
    when,
    words::{Life, State},
};

/// What a tab was sent.
#[derive(Debug, Default)]
pub(crate) struct Tab {
    place: u64,
    is_begun: bool,
    /// By the number of a cluster, the box that the tab has it in; nothing where it was not named yet.
    named: Vec<Option<usize>>,
    boxes: HashMap<(String, String), usize>,
}

impl Tab {
    /// What the tab does not know yet; nothing where it knows all.
    ///
    /// A square is its number, its mark (−1: it is not on this map), since when it is silent, and where it is new its
    /// box and name.
    pub(crate) fn news(&mut self, clusters: &Clusters, filter: &Filter) -> Option<String> {
        let (mut set, mut boxes) = (Vec::new(), Vec::new());
        for (number, slot) in clusters.since(self.place) {
            if self.named.len() <= number {
                self.named.resize(number + 1, None);
            }
            let Some(seen) = slot.seen.as_ref().filter(|seen| fits(seen, filter)) else {
                if self.named[number].is_some() {
                    set.push(json!([number, -1]));
                }
                continue;
            };
            let place = (seen.line.region.clone(), seen.line.stage.clone());
            let next = self.boxes.len();
            let of = *self.boxes.entry(place).or_insert(next);
            if of == next {
                boxes.push(json!([seen.line.region, seen.line.stage]));
            }
            let (mark, since) = (mark(seen), silent_since(seen));
            if self.named[number] != Some(of) {
                self.named[number] = Some(of);
                set.push(json!([number, mark, since, of, &*slot.name]));
            } else if since > 0 {
                set.push(json!([number, mark, since]));
            } else {
                set.push(json!([number, mark]));
            }
        }
        self.place = clusters.newest();
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        let news = json!({"whole": is_first, "boxes": boxes, "set": set});
        (is_first || !set.is_empty()).then(|| news.to_string())
    }
}

/// Both axes as one number.
fn mark(seen: &Seen) -> usize {
    seen.state as usize * Life::ALL.len() + seen.life as usize
}

/// Seconds since 1970.
fn silent_since(seen: &Seen) -> i64 {
    let since = seen.line.liveness.as_ref().and_then(|of| of.since.as_ref());
    match seen.life {
        Life::Silent => since.map_or(0, |since| when::ms(since) / 1_000),
        _ => 0,
    }
}

/// Whether a cluster is among those that an address asks for.
pub(crate) fn fits(one: &Seen, filter: &Filter) -> bool {
    let is = |wanted: &str, word: &str| wanted.is_empty() || wanted == word;
    is(&filter.state, one.state.word())
        && is(&filter.life, one.life.word())
        && is(&filter.region, &one.line.region)
        && is(&filter.stage, &one.line.stage)
        && one.line.cluster.contains(&filter.search)
}

/// What the script has to know of marks: of each state its word, glyph and ink, of each life its word, its rank and
/// how it is drawn; of both whether to look at it.
pub(crate) fn words() -> String {
    let states = State::ALL.map(|state| {
        json!([
            state.word(),
            state.glyph(),
            state.ink(),
            state.needs_attention()
        ])
    });
    let lives = Life::ALL.map(|life| {
        json!([
            life.word(),
            life.rank(),
            life.drawn(),
            life.needs_attention()
        ])
    });
    json!({"states": states, "lives": lives}).to_string()
}

/// Those that fit, worst first.
pub(crate) fn fitting<'a>(
    order: &'a [Arc<Seen>],
    filter: &'a Filter,
) -> impl Iterator<Item = &'a Arc<Seen>> {
    order.iter().filter(|one| fits(one, filter))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use writ_proto::v1;

    use super::*;

    /// A message as the script reads it.
    fn parsed(news: Option<String>) -> Value {
        news.map_or(Value::Null, |news| serde_json::from_str(&news).unwrap())
    }

    fn line(name: &str, silent_since: i64) -> v1::FleetLine {
        use v1::liveness::State as Heard;
        let heard = match silent_since {
            0 => Heard::Live,
            _ => Heard::Silent,
        };
        v1::FleetLine {
            cluster: name.into(),
            region: "eu".into(),
            stage: "prod".into(),
            liveness: Some(v1::Liveness {
                state: heard.into(),
                since: Some(prost_types::Timestamp {
                    seconds: silent_since,
                    nanos: 0,
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_tab_is_sent_all_at_first_and_then_numbers_of_what_changed() {
        let mut clusters = Clusters::default();
        clusters.put(line("a", 0));
        clusters.put(line("b", 0));
        let mut tab = Tab::default();
        let all = Filter::default();
        let first = parsed(tab.news(&clusters, &all));
        assert_eq!(first["whole"], true);
        assert_eq!(first["boxes"], json!([["eu", "prod"]]));
        let live = State::Nothing as usize * 8 + Life::Live as usize;
        assert_eq!(
            first["set"],
            json!([[0, live, 0, 0, "a"], [1, live, 0, 0, "b"]])
        );
        assert_eq!(tab.news(&clusters, &all), None);

        clusters.put(line("b", 77));
        let second = parsed(tab.news(&clusters, &all));
        let silent = State::Nothing as usize * 8 + Life::Silent as usize;
        assert_eq!(
            second,
            json!({"whole": false, "boxes": [], "set": [[1, silent, 77]]})
        );
        clusters.remove("a");
        assert_eq!(parsed(tab.news(&clusters, &all))["set"], json!([[0, -1]]));
    }

    #[test]
    fn a_filter_names_what_comes_into_it_and_takes_out_what_leaves() {
        let mut clusters = Clusters::default();
        clusters.put(line("a", 0));
        let filter = Filter {
            life: "silent".into(),
            ..Filter::default()
        };
        let mut tab = Tab::default();
        assert_eq!(parsed(tab.news(&clusters, &filter))["set"], json!([]));
        clusters.put(line("a", 77));
        assert_eq!(parsed(tab.news(&clusters, &filter))["set"][0][4], "a");
        clusters.put(line("a", 0));
        assert_eq!(
            parsed(tab.news(&clusters, &filter))["set"],
            json!([[0, -1]])
        );
    }

    #[test]
    fn a_mark_is_the_place_of_both_words() {
        for (place, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, place);
        }
        for (place, life) in Life::ALL.into_iter().enumerate() {
            assert_eq!(life as usize, place);
        }
        let words: Value = serde_json::from_str(&words()).unwrap();
        for of in words["lives"].as_array().unwrap() {
            let is_hatched = of[2] == "hatched";
            assert_eq!(
                is_hatched,
                of[0] == "silent" || of[0] == "two voices",
                "{of}"
            );
        }
    }
}
