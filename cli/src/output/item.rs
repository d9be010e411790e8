//! What can be listed.

use serde::Serialize;

use super::Look;
use super::table::Cell;

/// One row of a list, in each of its forms.
pub trait Item {
    /// What scripts read.
    type Json: Serialize;

    /// The heads of its columns.
    fn heads(wide: bool) -> &'static [&'static str];

    /// Its columns.
    fn cells(&self, look: &Look) -> Vec<Cell>;

    /// Its id.
    fn id(&self) -> &str;

    /// Its name.
    fn name(&self) -> &str;

    /// What scripts read of it.
    fn json(&self) -> Self::Json;
}
