//! A part of a page: a shell of markup, and in it lists of rows, each row under a key.
//!
//! Pages make markup as a whole and mark in it what a row is ([`rows`], [`row`]); a part takes that apart. The marks are
//! comments, which no text can hold, since text is escaped. Promises that shell and rows together are the markup that
//! was made, without its marks, and that no two rows of a list have one key.

use std::collections::HashSet;

use maud::{Markup, PreEscaped, html};

use crate::route;

const LIST: &str = "<!--rows-->";
const LIST_END: &str = "<!--/rows-->";
const ROW: &str = "<!--row-->";

/// A part of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// The name of its element.
    pub(crate) id: &'static str,
    /// What stands around the lists: one piece more than there are lists.
    pub(crate) shell: Vec<String>,
    /// In the order in which they stand.
    pub(crate) lists: Vec<Vec<Row>>,
    /// Never replaced: a script draws in it.
    pub(crate) is_fixed: bool,
}

/// One entry of a list: an element that has its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) key: String,
    pub(crate) markup: String,
}

/// A list, to be all that its element holds; the element has the attribute `data-rows`, by which the script finds it.
pub(crate) fn rows(rows: impl IntoIterator<Item = Markup>) -> Markup {
    html! { (PreEscaped(LIST)) @for row in rows { (row) } (PreEscaped(LIST_END)) }
}

/// A row: an element, which is given its key. A key is what a row is about, and stays while that does.
pub(crate) fn row(key: &str, element: Markup) -> Markup {
    let (tag, rest) = match element.0.find([' ', '>']) {
        Some(end) => element.0.split_at(end),
        None => (element.0.as_str(), ""),
    };
    // So that it is the same in an attribute and in a message.
    let key = route::encode(key);
    PreEscaped(format!("{ROW}{tag} data-key=\"{key}\"{rest}"))
}

/// Something that changes while what stands around it does not: a list of it alone.
pub(super) fn alone(element: Markup) -> Markup {
    rows([row("it", element)])
}

impl Part {
    /// Takes markup apart.
    pub(crate) fn of(id: &'static str, markup: &Markup) -> Part {
        let mut pieces = markup.0.split(LIST);
        let mut part = Part {
            id,
            shell: vec![pieces.next().unwrap_or_default().to_owned()],
            lists: Vec::new(),
            is_fixed: false,
        };
        for piece in pieces {
            let (list, after) = piece.split_once(LIST_END).unwrap_or((piece, ""));
            part.lists
                .push(list.split(ROW).skip(1).map(Row::of).collect());
            part.shell.push(after.to_owned());
        }
        if !part.lists.iter().all(|list| are_distinct(list)) {
            (part.shell, part.lists) = (vec![part.whole()], Vec::new());
        }
        part
    }

    /// The markup as it was made.
    pub(crate) fn whole(&self) -> String {
        let mut whole = String::new();
        for (place, piece) in self.shell.iter().enumerate() {
            whole.push_str(piece);
            let list = self.lists.get(place).into_iter().flatten();
            list.for_each(|row| whole.push_str(&row.markup));
        }
        whole
    }
}

impl Row {
    /// A row that has its key as its first attribute.
    fn of(element: &str) -> Row {
        Row {
            key: element.split('"').nth(1).unwrap_or_default().to_owned(),
            markup: element.to_owned(),
        }
    }
}

fn are_distinct(list: &[Row]) -> bool {
    let mut keys = HashSet::new();
    list.iter().all(|row| keys.insert(&row.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(key: &str, text: &str) -> Markup {
        row(key, html! { li.entry { (text) } })
    }

    #[test]
    fn shell_and_rows_are_the_markup_and_no_text_is_taken_for_a_mark() {
        let said = "<!--row--><!--/rows-->";
        let made = html! {
            h2 { (said) }
            ul data-rows="" { (rows([item("a b\"", said), item("c", "2")])) }
            p { span data-rows="" { (alone(html! { b { "7" } })) } " of them" }
            ol data-rows="" { (rows([])) }
        };
        let part = Part::of("x", &made);
        let keys = |list: &[Row]| list.iter().map(|row| row.key.clone()).collect::<Vec<_>>();
        let keys: Vec<_> = part.lists.iter().map(|list| keys(list)).collect();
        assert_eq!(keys, [vec!["a%20b%22", "c"], vec!["it"], vec![]]);
        assert_eq!(part.shell.len(), 4);
        assert_eq!(
            part.lists[0][1].markup,
            "<li data-key=\"c\" class=\"entry\">2</li>"
        );
        let escaped = "&lt;!--row--&gt;&lt;!--/rows--&gt;";
        assert_eq!(
            part.whole(),
            format!(
                "<h2>{escaped}</h2><ul data-rows=\"\"><li data-key=\"a%20b%22\" class=\"entry\">{escaped}</li>\
                 <li data-key=\"c\" class=\"entry\">2</li></ul><p><span data-rows=\"\"><b data-key=\"it\">7</b></span> of them</p>\
                 <ol data-rows=\"\"></ol>"
            )
        );
    }

    #[test]
    fn a_part_in_which_two_rows_have_one_key_has_no_rows() {
        let made = html! { ul data-rows="" { (rows([item("a", "1"), item("a", "2")])) } };
        let part = Part::of("x", &made);
        assert!(part.lists.is_empty());
        assert!(part.whole().contains("1</li><li data-key=\"a\""));
    }
}
