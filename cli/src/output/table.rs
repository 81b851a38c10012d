//! Tables as kubectl prints them: no borders, columns two spaces apart, headers in capitals.
//!
//! Owns alignment and colours. Never wraps: a line of a table is a line, so that `grep` and `awk`
//! work.

use comfy_table::{ContentArrangement, Table as Grid, TableStyle};

/// How a row is meant. The words in it say the same: colours only help to find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    /// Not there yet.
    Waiting,
    /// Nobody answers.
    Silent,
    /// Refused.
    Bad,
}

impl Tone {
    /// The line in its colour, where colours are wanted.
    pub(crate) fn paint(self, line: &str, colour: bool) -> String {
        match self.escape().filter(|_| colour) {
            Some(escape) => format!("{escape}{line}\x1b[0m"),
            None => line.to_owned(),
        }
    }

    fn escape(self) -> Option<&'static str> {
        match self {
            Tone::Plain => None,
            Tone::Waiting => Some("\x1b[36m"),
            Tone::Silent => Some("\x1b[33m"),
            Tone::Bad => Some("\x1b[31m"),
        }
    }
}

/// A table under construction.
#[derive(Debug)]
pub(crate) struct Table {
    grid: Grid,
    tones: Vec<Tone>,
}

impl Table {
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        let mut grid = Grid::new();
        grid.load_style(TableStyle::new())
            .set_content_arrangement(ContentArrangement::Disabled);
        grid.set_header(header);
        for column in grid.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self {
            grid,
            tones: Vec::new(),
        }
    }

    pub(crate) fn row<const N: usize>(&mut self, tone: Tone, cells: [String; N]) {
        // A cell is one line, and what a cluster or an author wrote cannot move the cursor.
        self.grid.add_row(cells.map(|cell| clean(&cell)));
        self.tones.push(tone);
    }

    /// The lines, without a newline at the end.
    pub(crate) fn render(&self, colour: bool) -> String {
        let mut lines = Vec::new();
        for (index, line) in self.grid.lines().enumerate() {
            let line = line.trim_end();
            let tone = index
                .checked_sub(1)
                .and_then(|row| self.tones.get(row))
                .copied()
                .unwrap_or(Tone::Plain);
            lines.push(tone.paint(line, colour));
        }
        lines.join("\n")
    }
}

/// The text on one line, without control characters; `-` for nothing.
pub(crate) fn clean(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(["NAME", "GEN", "STATE"]);
        table.row(
            Tone::Plain,
            ["payments".into(), "42".into(), "applied".into()],
        );
        table.row(Tone::Bad, ["x".into(), "1".into(), String::new()]);
        table
    }

    #[test]
    fn columns_line_up_without_borders() {
        assert_eq!(
            sample().render(false),
            "NAME      GEN  STATE\npayments  42   applied\nx         1    -"
        );
    }

    #[test]
    fn colours_mark_whole_rows_and_only_where_wanted() {
        assert!(
            sample()
                .render(true)
                .ends_with("\x1b[31mx         1    -\x1b[0m")
        );
    }

    #[test]
    fn what_others_wrote_stays_on_its_line_and_moves_no_cursor() {
        let mut table = Table::new(["REASON"]);
        table.row(Tone::Plain, ["two\nlines \x1b[2Jgone".into()]);
        assert_eq!(table.render(false), "REASON\ntwo lines  [2Jgone");
    }
}
