//! Services and their revisions as rows.

use comfy_table::Color;
use sleep_wire::api::{RevisionView, ServiceView};
use sleep_wire::spec::Mode;

use super::table::Cell;
use super::{Item, Look, json};

impl Item for ServiceView {
    type Json = json::Service;

    fn heads(wide: bool) -> &'static [&'static str] {
        const HEADS: [&str; 7] = ["ID", "NAME", "MODE", "REPLICAS", "IMAGE", "PORTS", "REVISION"];
        &HEADS[..if wide { 7 } else { 6 }]
    }

    fn cells(&self, look: &Look) -> Vec<Cell> {
        let colour = if self.running >= self.desired { Color::Green } else { Color::Yellow };
        let mut cells = vec![
            Cell::id(&self.id, look),
            Cell::name(&self.name),
            Cell::name(mode(self.mode)),
            Cell::name(format!("{}/{}", self.running, self.desired)).colour(colour),
            Cell::text(&self.image),
            Cell::text(self.ports.join(", ")),
        ];
        if look.wide {
            cells.push(Cell::id(&self.revision, look));
        }
        cells
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn json(&self) -> json::Service {
        self.into()
    }
}

impl Item for RevisionView {
    type Json = Self;

    fn heads(wide: bool) -> &'static [&'static str] {
        const HEADS: [&str; 6] = ["REVISION", "AGE", "BY", "IMAGE", "CHANGES", "REPLACES"];
        &HEADS[..if wide { 6 } else { 5 }]
    }

    fn cells(&self, look: &Look) -> Vec<Cell> {
        let current = if self.current { " *" } else { "" };
        let mut cells = vec![
            Cell::name(format!("{}{current}", super::table::short_id(&self.id, look))),
            Cell::name(look.now.age(Some(&self.at))),
            Cell::name(&self.author),
            Cell::text(&self.image),
            Cell::text(self.changes.join(", ")),
        ];
        if look.wide {
            let parents: Vec<&str> =
                self.parents.iter().map(|parent| super::table::short_id(parent, look)).collect();
            cells.push(Cell::text(parents.join(", ")));
        }
        cells
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

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Replicated => "replicated",
        Mode::Global => "global",
    }
}
