//! Nodes as rows.

use comfy_table::Color;
use sleep_wire::api::{NodeStatus, NodeView, RuntimeView};
use sleep_wire::node::Availability;
use sleep_wire::trust::Role;

use super::table::{Cell, short_id};
use super::{Item, Look, json};

impl Item for NodeView {
    type Json = json::Node;

    fn heads(wide: bool) -> &'static [&'static str] {
        const HEADS: [&str; 8] =
            ["ID", "NAME", "STATUS", "AVAILABILITY", "ROLE", "VERSION", "ADDRESSES", "RUNTIMES"];
        &HEADS[..if wide { 8 } else { 6 }]
    }

    fn cells(&self, look: &Look) -> Vec<Cell> {
        let asked = if self.is_self { " *" } else { "" };
        let mut cells = vec![
            Cell::name(format!("{}{asked}", short_id(&self.id, look))),
            Cell::name(&self.name),
            Cell::name(status(self.status)).colour(colour(self.status)),
            Cell::name(availability(self.availability)),
            Cell::name(if self.leader { "control, leader" } else { role(self.role) }),
            Cell::text(&self.version),
        ];
        if look.wide {
            cells.push(Cell::text(self.addresses.join(" ")));
            let runtimes: Vec<String> = self.runtimes.iter().map(runtime).collect();
            cells.push(Cell::text(runtimes.join(", ")));
        }
        cells
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn json(&self) -> json::Node {
        self.into()
    }
}

/// What runs tasks, its version if it has one, and whether it is ill.
fn runtime(runtime: &RuntimeView) -> String {
    let RuntimeView { runtime, version, ill } = runtime;
    let version = if version.is_empty() { String::new() } else { format!(" {version}") };
    format!("{runtime}{version}{}", if ill.is_empty() { "" } else { " (ill)" })
}

fn colour(status: NodeStatus) -> Color {
    match status {
        NodeStatus::Ready => Color::Green,
        NodeStatus::Ill | NodeStatus::Suspect | NodeStatus::Restarting => Color::Yellow,
        NodeStatus::Down => Color::Red,
    }
}

/// What is known of a node's life, in a word.
pub const fn status(status: NodeStatus) -> &'static str {
    match status {
        NodeStatus::Ready => "ready",
        NodeStatus::Ill => "ill",
        NodeStatus::Suspect => "suspect",
        NodeStatus::Restarting => "restarting",
        NodeStatus::Down => "down",
    }
}

/// Whether a node takes work, in a word.
pub const fn availability(availability: Availability) -> &'static str {
    match availability {
        Availability::Active => "active",
        Availability::Paused => "pause",
        Availability::Drained => "drain",
    }
}

/// A role, in a word.
pub const fn role(role: Role) -> &'static str {
    match role {
        Role::Control => "control",
        Role::Worker => "worker",
    }
}
