//! Tables without borders, as wide as the terminal lets them be.

use comfy_table::{Attribute, Color, ColumnConstraint, ContentArrangement, Table, presets};

use super::{Item, Look};

/// Blanks between two columns.
const GAP: u16 = 2;

/// The narrowest that a column may get whose text is broken into lines.
const NARROWEST: usize = 12;

/// How many characters of an id people are shown.
const SHORT_ID: usize = 12;

/// What stands in one column of one row.
pub struct Cell {
    inner: comfy_table::Cell,
    whole: bool,
}

impl Cell {
    /// Text that may be broken into lines where the terminal is narrow.
    pub fn text(text: impl Into<String>) -> Self {
        Self { inner: comfy_table::Cell::new_owned(text.into()), whole: false }
    }

    /// A name: it stays in one piece.
    pub fn name(text: impl Into<String>) -> Self {
        Self { whole: true, ..Self::text(text) }
    }

    /// An id: it stays in one piece, of which people are shown the beginning.
    pub fn id(id: &str, look: &Look) -> Self {
        Self::name(short_id(id, look))
    }

    /// The same, in a colour.
    pub fn colour(self, colour: Color) -> Self {
        Self { inner: self.inner.fg(colour), ..self }
    }

    /// The same, faint.
    pub fn faint(self) -> Self {
        Self { inner: self.inner.add_attribute(Attribute::Dim), ..self }
    }
}

/// An id as people are shown it.
pub fn short_id<'a>(id: &'a str, look: &Look) -> &'a str {
    if look.short_ids { id.get(..SHORT_ID).unwrap_or(id) } else { id }
}

/// A list's table, its heads first.
pub fn list<T: Item>(items: &[T], look: &Look) -> String {
    let heads = T::heads(look.wide);
    let rows: Vec<Vec<Cell>> = items.iter().map(|item| item.cells(look)).collect();
    let whole: Vec<bool> = (0..heads.len()).map(|at| rows.iter().any(|row| row[at].whole)).collect();
    let mut table = plain();
    table.set_header(heads.iter().copied());
    table.add_rows(rows.into_iter().map(|row| row.into_iter().map(|cell| cell.inner)));
    arrange(&mut table, &whole, look.width);
    table.trim_fmt()
}

/// Names with values, one a line.
pub fn pairs(pairs: &[(&str, String)]) -> String {
    let mut table = plain();
    table.add_rows(pairs.iter().map(|(name, value)| [(*name).to_owned(), value.clone()]));
    arrange(&mut table, &[true, false], None);
    table.trim_fmt()
}

fn plain() -> Table {
    let mut table = Table::new();
    // Whether colours reach the terminal is decided where the table is printed.
    table.load_style(presets::NOTHING).force_no_tty().enforce_styling();
    table.style_text_only();
    table
}

/// Breaks long cells where the terminal is too narrow; where even that does not help, the terminal breaks lines.
fn arrange(table: &mut Table, whole: &[bool], width: Option<u16>) {
    let last = whole.len().saturating_sub(1);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if at == last { 0 } else { GAP }));
        if whole.get(at).copied().unwrap_or(true) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    let Some(width) = width else { return };
    let widths = table.column_max_content_widths();
    let least: usize = widths
        .iter()
        .zip(whole)
        .map(|(content, whole)| {
            let content = usize::from(*content);
            usize::from(GAP) + if *whole { content } else { content.min(NARROWEST) }
        })
        .sum();
    if least <= usize::from(width) {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
}
