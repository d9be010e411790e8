//! Tasks as rows.

use std::collections::BTreeSet;

use comfy_table::Color;
use sleep_wire::api::TaskView;

use super::table::Cell;
use super::{Item, Look, json};

impl Item for TaskView {
    type Json = json::Task;

    fn heads(wide: bool) -> &'static [&'static str] {
        const HEADS: [&str; 10] =
            ["ID", "NAME", "IMAGE", "NODE", "DESIRED", "CURRENT", "ERROR", "PORTS", "CONTAINER", "STARTED"];
        &HEADS[..if wide { 10 } else { 8 }]
    }

    fn cells(&self, look: &Look) -> Vec<Cell> {
        let before = if self.history { "\\_ " } else { "" };
        let current = format!("{} {}", self.state, look.now.age(self.since.as_deref()));
        let mut cells = vec![
            Cell::id(&self.id, look),
            Cell::name(format!("{before}{}", self.name)),
            Cell::text(&self.image),
            Cell::name(&self.node),
            Cell::name(&self.desired),
            Cell::name(current.trim_end()),
            Cell::text(trouble(self, look)),
            Cell::text(self.ports.join(", ")),
        ];
        if look.wide {
            cells.push(Cell::id(&self.container, look));
            cells.push(Cell::text(self.started_at.as_deref().unwrap_or_default()));
        }
        if self.history {
            return cells.into_iter().map(Cell::faint).collect();
        }
        cells
            .into_iter()
            .enumerate()
            .map(|(at, cell)| if at == 5 { painted(cell, &self.state) } else { cell })
            .collect()
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn json(&self) -> json::Task {
        self.into()
    }
}

fn painted(cell: Cell, state: &str) -> Cell {
    match state {
        "running" | "complete" => cell.colour(Color::Green),
        "failed" | "lost" => cell.colour(Color::Red),
        _ => cell.colour(Color::Yellow),
    }
}

/// What is wrong, with the exit code if that alone is known. How a task ended that was stopped is nothing
/// wrong.
fn trouble(task: &TaskView, look: &Look) -> String {
    let was_stopped = matches!(task.state.as_str(), "stopping" | "stopped");
    match task.exit_code {
        Some(code) if code != 0 && task.error.is_empty() && !was_stopped => super::progress::exit(code),
        Some(_) | None => {
            let text = format!("{} {}", task.error, look.now.until(task.next_attempt_at.as_deref()));
            text.trim().to_owned()
        }
    }
}

/// By service and slot, each slot's past below it, newest first. The past of slots that are gone is shown
/// only if `all` is wanted.
pub fn sorted(mut tasks: Vec<TaskView>, all: bool) -> Vec<TaskView> {
    let slots: BTreeSet<String> =
        tasks.iter().filter(|task| !task.history).map(|task| task.name.clone()).collect();
    tasks.retain(|task| all || slots.contains(&task.name));
    tasks.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| b.since.cmp(&a.since)));
    tasks
}

fn key(task: &TaskView) -> (&str, u64, &str, bool) {
    (&task.service, task.slot.parse().unwrap_or(u64::MAX), &task.name, task.history)
}
