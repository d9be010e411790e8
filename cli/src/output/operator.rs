//! Operators as rows.

use sleep_wire::api::OperatorView;

use super::table::Cell;
use super::{Item, Look};

impl Item for OperatorView {
    type Json = Self;

    fn heads(_: bool) -> &'static [&'static str] {
        &["ID", "NAME", "AGE", "BY"]
    }

    fn cells(&self, look: &Look) -> Vec<Cell> {
        vec![
            Cell::id(&self.id, look),
            Cell::name(&self.name),
            Cell::name(look.now.age(Some(&self.created_at))),
            Cell::name(&self.creator),
        ]
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn json(&self) -> Self {
        self.clone()
    }
}
