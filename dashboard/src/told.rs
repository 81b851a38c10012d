//! What a tab was told of each part of its page, and what it has to be told: a part as a whole where its shell is new to
//! the tab, else the rows that are, and their order where that is another.
//!
//! Pure. Promises that a tab that does as it is told has what was given here last.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::page::part::{Part, Row};

/// What a tab was told, by the id of each part.
#[derive(Debug, Default)]
pub(crate) struct Told(HashMap<&'static str, Part>);

/// What changed of a part.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    id: &'static str,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
enum What {
    #[serde(rename = "html")]
    Whole(String),
    #[serde(rename = "lists")]
    Lists(Vec<ListChange>),
}

/// What changed of a list.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct ListChange {
    /// Which of its part.
    at: usize,
    /// The keys of all rows, where they are others or in another order.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Vec<String>>,
    /// The rows that are new or changed.
    html: String,
}

impl Told {
    /// What the tab has to be told of a part, which it has been then; nothing where it knows all of it.
    pub(crate) fn change(&mut self, now: Part) -> Option<Change> {
        let known = self.0.get(now.id);
        let what = match known.filter(|known| known.shell == now.shell) {
            None => What::Whole(now.whole()),
            Some(known) => {
                let both = known.lists.iter().zip(&now.lists).enumerate();
                let lists = both.filter_map(|(at, (old, new))| ListChange::of(at, old, new));
                What::Lists(lists.collect())
            }
        };
        if matches!(&what, What::Lists(lists) if lists.is_empty()) {
            return None;
        }
        let id = now.id;
        self.0.insert(id, now);
        Some(Change { id, what })
    }
}

impl ListChange {
    fn of(at: usize, old: &[Row], new: &[Row]) -> Option<ListChange> {
        if old == new {
            return None;
        }
        let keys = |list: &[Row]| list.iter().map(|row| row.key.clone()).collect();
        let is_order_kept =
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| old.key == new.key);
        let known: HashSet<&Row> = old.iter().collect();
        let fresh = new.iter().filter(|row| !known.contains(row));
        Some(ListChange {
            at,
            order: (!is_order_kept).then(|| keys(new)),
            html: fresh.map(|row| row.markup.as_str()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use maud::{Markup, html};
    use serde_json::{Value, json};

    use super::*;
    use crate::page::part::{row, rows};

    /// What a tab shows, and how it follows what it is told.
    #[derive(Default)]
    struct Shown(Option<Part>);

    impl Shown {
        fn apply(&mut self, change: &Change, sent: &Part) {
            match &change.what {
                // It is the browser that takes this apart.
                What::Whole(html) => {
                    assert_eq!(*html, sent.whole());
                    self.0 = Some(sent.clone());
                }
                What::Lists(lists) => {
                    let part = self.0.as_mut().expect("it was told as a whole before");
                    lists
                        .iter()
                        .for_each(|list| merge(&mut part.lists[list.at], list));
                }
            }
        }
    }

    fn merge(list: &mut Vec<Row>, change: &ListChange) {
        for element in change.html.split_inclusive("</li>") {
            let key = element.split('"').nth(1).unwrap().to_owned();
            let markup = element.to_owned();
            match list.iter_mut().find(|row| row.key == key) {
                Some(row) => row.markup = markup,
                None => list.push(Row { key, markup }),
            }
        }
        let Some(order) = &change.order else { return };
        let row = |key: &String| list.iter().find(|row| row.key == *key).unwrap().clone();
        *list = order.iter().map(row).collect();
    }

    fn list(entries: &[(&str, &str)]) -> Markup {
        rows(
            entries
                .iter()
                .map(|(key, text)| row(key, html! { li { (text) } })),
        )
    }

    fn part(head: &str, one: &[(&str, &str)], other: &[(&str, &str)]) -> Part {
        let made = html! {
            h2 { (head) }
            ul data-rows="" { (list(one)) }
            ol data-rows="" { (list(other)) }
        };
        Part::of("part", &made)
    }

    fn told(before: Part, now: Part) -> Value {
        let mut told = Told::default();
        let mut shown = Shown::default();
        let first = told.change(before.clone()).expect("it is new");
        shown.apply(&first, &before);
        let change = told.change(now.clone());
        if let Some(change) = &change {
            shown.apply(change, &now);
        }
        assert_eq!(shown.0, Some(now));
        json!(change)
    }

    #[test]
    fn what_is_new_comes_as_a_whole_and_what_did_not_change_not_again() {
        let all = part("h", &[("a", "1")], &[]);
        let first = json!(Told::default().change(all.clone()));
        assert_eq!(first, json!({"id": "part", "html": all.whole()}));
        assert_eq!(told(all.clone(), all.clone()), Value::Null);
        let other = part("g", &[("a", "1")], &[]);
        assert_eq!(
            told(all, other.clone()),
            json!({"id": "part", "html": other.whole()})
        );
    }

    #[test]
    fn of_a_list_only_the_rows_that_changed_come_and_the_order_only_where_it_is_another() {
        let before = || part("h", &[("a", "1"), ("b", "1"), ("c", "1")], &[("a", "1")]);
        let lists = |one: &[(&str, &str)], other: &[(&str, &str)]| {
            told(before(), part("h", one, other))["lists"].clone()
        };
        let same = [("a", "1")];
        assert_eq!(
            lists(&[("a", "1"), ("b", "2"), ("c", "1")], &same),
            json!([{"at": 0, "html": "<li data-key=\"b\">2</li>"}])
        );
        assert_eq!(
            lists(&[("c", "1"), ("a", "1"), ("b", "1")], &same),
            json!([{"at": 0, "order": ["c", "a", "b"], "html": ""}])
        );
        assert_eq!(
            lists(&[("a", "1"), ("c", "1")], &same),
            json!([{"at": 0, "order": ["a", "c"], "html": ""}])
        );
        assert_eq!(
            lists(
                &[("a", "1"), ("b", "1"), ("c", "1")],
                &[("d", "1"), ("a", "1")]
            ),
            json!([{"at": 1, "order": ["d", "a"], "html": "<li data-key=\"d\">1</li>"}])
        );
    }

    #[test]
    fn whoever_does_as_told_has_the_whole_after_any_history() {
        for seed in 1..=200_u64 {
            let mut chance = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut below = |most: u64| {
                chance ^= chance << 13;
                chance ^= chance >> 7;
                chance ^= chance << 17;
                chance % most
            };
            let (mut told, mut shown) = (Told::default(), Shown::default());
            for step in 0..40 {
                let mut entries = || {
                    let count = usize::try_from(below(8)).unwrap();
                    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
                    let mut keyed: Vec<_> = keys.map(|key| (below(100), key)).to_vec();
                    keyed.sort_unstable();
                    keyed.truncate(count);
                    let texts = ["0", "1", "2"];
                    let mut text = || texts[usize::try_from(below(3)).unwrap()];
                    let entry = |(_, key)| (key, text());
                    keyed.into_iter().map(entry).collect::<Vec<_>>()
                };
                let (one, other) = (entries(), entries());
                let head = ["h", "g"][usize::from(below(6) == 0)];
                let now = part(head, &one, &other);
                match told.change(now.clone()) {
                    Some(change) => shown.apply(&change, &now),
                    None => assert_eq!(shown.0.as_ref(), Some(&now), "seed {seed}, step {step}"),
                }
                assert_eq!(shown.0, Some(now), "seed {seed}, step {step}");
            }
        }
    }
}
