//! Join tokens as rows.

use sleep_wire::api::TokenView;

use super::table::Cell;
use super::{Item, Look, node, time};

impl Item for TokenView {
    type Json = Self;

    fn heads(_: bool) -> &'static [&'static str] {
        &["ID", "ROLE", "ADMITS", "EXPIRES", "STATE", "AGE", "BY"]
    }

    fn cells(&self, look: &Look) -> Vec<Cell> {
        let state = match (self.revoked, self.expires_in_ms) {
            (true, _) => "revoked",
            (false, Some(0)) => "expired",
            (false, Some(_) | None) => "good",
        };
        vec![
            Cell::id(&self.id, look),
            Cell::name(node::role(self.role)),
            Cell::name(if self.single_use { "one" } else { "any" }),
            Cell::name(match self.expires_in_ms {
                None => "never".to_owned(),
                Some(0) => "past".to_owned(),
                Some(ms) => format!("in {}", time::coarse(ms.div_ceil(1000))),
            }),
            Cell::name(state),
            Cell::name(look.now.age(Some(&self.created_at))),
            Cell::name(&self.creator),
        ]
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.id
    }

    fn json(&self) -> Self {
        self.clone()
    }
}
