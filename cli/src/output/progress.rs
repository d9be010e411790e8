//! How far the work is, for people who wait: a picture on a terminal, a line a change elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sleep_wire::api::{NodeProgress, Progress, ServiceProgress, SlotProgress, TaskView};

use super::Output;
use super::node::availability;

/// The most slots of a picture.
const MAX_SLOTS: usize = 12;

/// How often the picture turns.
const TURN: Duration = Duration::from_millis(100);

/// Shows how far the work is.
pub struct Live<'a> {
    output: &'a Output,
    picture: Option<ProgressBar>,
    last: Lines,
}

/// What was said of each thing last.
type Lines = BTreeMap<String, String>;

impl<'a> Live<'a> {
    /// Shows nothing yet; nothing ever, to those who want ids alone.
    pub fn new(output: &'a Output) -> Self {
        let picture = (output.is_watched() && !output.quiet).then(|| {
            let bar = ProgressBar::new_spinner().with_style(
                ProgressStyle::with_template("{msg}\n{spinner} {elapsed}").unwrap_or_else(|_| {
                    // Without its template a spinner still turns.
                    ProgressStyle::default_spinner()
                }),
            );
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            bar.enable_steady_tick(TURN);
            bar
        });
        Self { output, picture, last: Lines::new() }
    }

    /// Shows this.
    pub fn update(&mut self, progress: &Progress) {
        match &self.picture {
            Some(bar) => bar.set_message(picture(progress).join("\n")),
            None if self.output.quiet => {}
            None => {
                let now = lines(progress);
                for (what, said) in &now {
                    // A failure is told with what the task wrote last.
                    if self.last.get(what) != Some(said) && !said.starts_with("failed") {
                        self.output.note(&format!("{what}  {said}"));
                    }
                }
                for gone in self.last.keys().filter(|what| !now.contains_key(*what)) {
                    self.output.note(&format!("{gone}  gone"));
                }
                self.last = now;
            }
        }
    }

    /// Says something beside it.
    pub fn say(&self, text: &str) {
        match &self.picture {
            Some(bar) => bar.suspend(|| self.output.note(text)),
            None => self.output.note(text),
        }
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.picture {
            bar.finish_and_clear();
        }
    }
}

/// How a task ended, and what it wrote last.
pub fn crash(task: &TaskView) -> Vec<String> {
    let exit = match task.exit_code {
        Some(code) if code > 128 => format!(" with exit code {code} (signal {})", code - 128),
        Some(code) => format!(" with exit code {code}"),
        None => String::new(),
    };
    let why = if task.error.is_empty() { String::new() } else { format!(": {}", task.error) };
    let node = if task.node.is_empty() { String::new() } else { format!(" on {}", task.node) };
    let first = format!("{} failed{node}{exit}{why}", task.name);
    let from = task.last_lines.len().saturating_sub(5);
    let last = task.last_lines[from..].iter().map(|line| format!("  | {}", super::tame(line, true)));
    std::iter::once(first).chain(last).collect()
}

fn lines(progress: &Progress) -> Lines {
    let mut lines = Lines::new();
    for service in &progress.services {
        if !service.removed {
            for slot in &service.slots {
                lines.insert(slot.name.clone(), of_slot(slot));
            }
        }
        if service.ending > 0 {
            lines.insert(service.name.clone(), format!("{} to end", tasks(service.ending)));
        }
        if !service.update.is_empty() {
            lines.insert(format!("{} update", service.name), service.update.clone());
        }
    }
    for node in &progress.nodes {
        lines.insert(node.name.clone(), of_node(node));
    }
    lines
}

fn picture(progress: &Progress) -> Vec<String> {
    let mut lines: Vec<String> =
        progress.nodes.iter().map(|node| format!("{}  {}", node.name, of_node(node))).collect();
    for service in &progress.services {
        lines.push(head(service));
        let (done, open): (Vec<_>, Vec<_>) = service.slots.iter().partition(|slot| slot.settled);
        let room = if service.removed { 0 } else { MAX_SLOTS };
        let shown: Vec<&SlotProgress> = if service.slots.len() <= room {
            service.slots.iter().collect()
        } else {
            open.iter().chain(&done).take(room).copied().collect()
        };
        let width = shown.iter().map(|slot| slot.name.chars().count()).max().unwrap_or(0);
        lines.extend(shown.iter().map(|slot| {
            let mark = if slot.settled { "✓" } else { "·" };
            format!("  {mark} {:width$}  {}", slot.name, of_slot(slot))
        }));
        let hidden = service.slots.len() - shown.len();
        if hidden > 0 && room > 0 {
            lines.push(format!("    and {hidden} more"));
        }
    }
    lines
}

fn head(service: &ServiceProgress) -> String {
    let mut text = if service.removed {
        format!("{}  {} to end", service.name, tasks(service.ending))
    } else {
        format!("{}  {}/{} running", service.name, service.settled, service.desired)
    };
    if !service.removed && service.ending > 0 {
        text += &format!(", {} to end", tasks(service.ending));
    }
    if !service.update.is_empty() {
        text += &format!(", {}", service.update);
    }
    text
}

fn of_slot(slot: &SlotProgress) -> String {
    let node = if slot.node.is_empty() { String::new() } else { format!(" on {}", slot.node) };
    let message = match (slot.message.as_str(), slot.refusals.first()) {
        ("", None) => String::new(),
        ("", Some(refusal)) => format!(": {} {}", refusal.node, refusal.reason),
        (message, _) => format!(": {message}"),
    };
    format!("{}{node}{message}", slot.state)
}

fn of_node(node: &NodeProgress) -> String {
    format!("{}, {}", availability(node.availability), tasks(node.tasks))
}

fn tasks(count: u32) -> String {
    format!("{count} task{}", if count == 1 { "" } else { "s" })
}
