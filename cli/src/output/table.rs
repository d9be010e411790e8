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
        let mut text = text.into();
        // What other machines say may steer a terminal, and a line's end ends the row.
        if text.contains(char::is_control) {
            text = text.replace(char::is_control, " ");
        }
        Self { inner: comfy_table::Cell::new_owned(text), whole: false }
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
        if self.inner.content().is_empty() {
            return self;
        }
        Self { inner: self.inner.add_attribute(Attribute::Dim), ..self }
    }
}

/// An id as people are shown it.
pub fn short_id<'a>(id: &'a str, look: &Look) -> &'a str {
    if look.short_ids { id.get(..SHORT_ID).unwrap_or(id) } else { id }
}

/// A list's table, its heads first. Where the terminal is too narrow, columns that say nothing are left out.
pub fn list<T: Item>(items: &[T], look: &Look) -> String {
    let mut rows: Vec<Vec<Cell>> = Vec::with_capacity(items.len() + 1);
    rows.push(T::heads(look.wide).iter().map(|head| Cell::text(*head)).collect());
    rows.extend(items.iter().map(|item| item.cells(look)));
    let columns = rows[0].len();
    let says = |column: usize| rows[1..].iter().any(|row| !row[column].inner.content().is_empty());
    let all: Vec<usize> = (0..columns).collect();
    let telling: Vec<usize> = (0..columns).filter(|column| says(*column)).collect();
    let fits = |widths: usize| look.width.is_none_or(|width| widths <= usize::from(width));
    let natural: usize = all.iter().map(|column| widths(&rows, *column).1).sum();
    let shown = if fits(natural) || telling.is_empty() { all } else { telling };
    let least: usize = shown.iter().map(|column| widths(&rows, *column).0).sum();
    let width = look.width.filter(|_| fits(least));
    let whole: Vec<bool> = shown.iter().map(|column| is_whole(&rows, *column)).collect();
    let mut table = plain();
    for row in rows {
        let cells = row.into_iter().enumerate().filter(|(column, _)| shown.contains(column));
        table.add_row(cells.map(|(_, cell)| cell.inner).collect::<Vec<_>>());
    }
    arrange(&mut table, &whole, width);
    table.trim_fmt()
}

fn is_whole(rows: &[Vec<Cell>], column: usize) -> bool {
    rows[1..].iter().any(|row| row[column].whole)
}

/// How narrow a column can be, and how wide it would be.
fn widths(rows: &[Vec<Cell>], column: usize) -> (usize, usize) {
    let widths = rows.iter().map(|row| row[column].inner.content().chars().count());
    let width = widths.max().unwrap_or(0);
    let gap = if column + 1 == rows[0].len() { 0 } else { usize::from(GAP) };
    let least = if is_whole(rows, column) { width } else { width.min(NARROWEST) };
    (gap + least, gap + width)
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

/// Breaks long cells where the terminal is too narrow for them.
fn arrange(table: &mut Table, whole: &[bool], width: Option<u16>) {
    let last = whole.len().saturating_sub(1);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if at == last { 0 } else { GAP }));
        if whole.get(at).copied().unwrap_or(true) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
}
