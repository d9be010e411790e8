//! How far the work is, for people who wait: a picture on a terminal, a line a change elsewhere.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use sleep_wire::api::{Leaving, NodeProgress, Progress, ServiceProgress, SlotProgress, TaskView};

use super::node::availability;
use super::{Moment, Output, time};

/// The most slots of a picture.
const MAX_SLOTS: usize = 12;

/// How often the picture turns.
const TURN: Duration = Duration::from_millis(100);

/// Shows how far the work is.
pub struct Live<'a> {
    output: &'a Output,
    picture: Option<ProgressBar>,
    last: Option<Progress>,
    /// What the picture shows: it is drawn anew each time it turns, since times go by in it.
    shown: Arc<Mutex<Option<Progress>>>,
}

impl<'a> Live<'a> {
    /// Shows nothing yet; nothing ever, to those who want ids alone.
    pub fn new(output: &'a Output) -> Self {
        let shown = Arc::<Mutex<Option<Progress>>>::default();
        let picture = (output.is_watched() && !output.quiet).then(|| {
            let style = ProgressStyle::with_template("{picture}\n{spinner} {elapsed}");
            // Without its template a spinner still turns.
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            let drawn = shown.clone();
            let draw = move |_: &ProgressState, to: &mut dyn Write| {
                let progress = drawn.lock().unwrap_or_else(PoisonError::into_inner);
                let text = progress.as_ref().map(|progress| picture(progress).join("\n"));
                // There is nobody to tell that a line cannot be drawn.
                let _undrawn = to.write_str(&text.unwrap_or_default());
            };
            let bar = ProgressBar::new_spinner().with_style(style.with_key("picture", draw));
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            bar.enable_steady_tick(TURN);
            bar
        });
        Self { output, picture, last: None, shown }
    }

    /// Shows this.
    pub fn update(&mut self, progress: &Progress) {
        match &self.picture {
            Some(bar) => {
                *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress.clone());
                bar.tick();
            }
            None if self.output.quiet => {}
            None => {
                for line in news(self.last.as_ref(), progress) {
                    self.output.note(&line);
                }
                self.last = Some(progress.clone());
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
        Some(code) => format!(" with {}", exit(code)),
        None => String::new(),
    };
    // An error that only tells the code says nothing new.
    let told = task.exit_code.is_some() && task.error.starts_with("exited with code");
    let why = if task.error.is_empty() || told { String::new() } else { format!(": {}", task.error) };
    let node = if task.node.is_empty() { String::new() } else { format!(" on {}", task.node) };
    // What has neither begun nor ended was never a process.
    let never = task.started_at.is_none() && task.exit_code.is_none();
    let failed = if never { "could not be started" } else { "failed" };
    let first = format!("{} {failed}{node}{exit}{why}", task.name);
    let from = task.last_lines.len().saturating_sub(5);
    let last = task.last_lines[from..].iter().map(|line| format!("  | {}", super::tame(line, true)));
    std::iter::once(first).chain(last).collect()
}

/// An exit code, and the signal that it stands for.
pub fn exit(code: i32) -> String {
    if code > 128 { format!("exit code {code} (signal {})", code - 128) } else { format!("exit code {code}") }
}

/// What there is to say that was not said before, a line each. What is well from the beginning is no news,
/// and a failure is told elsewhere, with what the task wrote last.
fn news(before: Option<&Progress>, now: &Progress) -> Vec<String> {
    let mut news = Vec::new();
    for node in &now.nodes {
        let was = before.and_then(|before| before.nodes.iter().find(|other| other.id == node.id));
        if was.is_none_or(|was| of_node(was) != of_node(node)) {
            news.push(format!("{}  {}", node.name, of_node(node)));
        }
    }
    for service in &now.services {
        let was = before.and_then(|before| before.services.iter().find(|other| other.id == service.id));
        news.extend(news_of(was, service));
    }
    news
}

fn news_of(before: Option<&ServiceProgress>, now: &ServiceProgress) -> Vec<String> {
    let mut news = Vec::new();
    let slots_before = before.map(|before| before.slots.as_slice()).unwrap_or_default();
    for slot in now.slots.iter().filter(|_| !now.removed) {
        let was = slots_before.iter().find(|other| other.name == slot.name);
        let is_new = match (before, was) {
            (None, _) => !slot.settled,
            (Some(_), None) => true,
            (Some(_), Some(was)) => of_slot(was) != of_slot(slot),
        };
        if is_new && slot.state != "failed" {
            news.push(format!("{}  {}", slot.name, of_slot(slot)));
        }
    }
    for gone in slots_before.iter().filter(|was| now.slots.iter().all(|slot| slot.name != was.name)) {
        news.push(format!("{}  gone", gone.name));
    }
    let leaving_before = before.map(|before| before.leaving.as_slice()).unwrap_or_default();
    let untold: Vec<&Leaving> = now.leaving.iter().filter(|task| !leaving_before.contains(task)).collect();
    if now.ending > 0 && before.is_none_or(|before| before.ending != now.ending) {
        news.push(format!("{}  {} to end", now.name, tasks(now.ending)));
    }
    news.extend(untold.into_iter().filter_map(of_leaving));
    if !now.update.is_empty() && before.is_none_or(|before| before.update != now.update) {
        news.push(format!("{}  {}", now.name, now.update));
    }
    news
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
        lines.extend(
            service.leaving.iter().filter_map(of_leaving).take(MAX_SLOTS).map(|line| format!("  · {line}")),
        );
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
        format!("{}  {}/{} running", service.name, running(service), service.desired)
    };
    if running(service) == service.desired && service.settled < service.desired {
        text += ", watching each for a second";
    }
    if !service.removed && service.ending > 0 {
        text += &format!(", {} to end", tasks(service.ending));
    }
    if !service.update.is_empty() {
        text += &format!(", {}", service.update);
    }
    text
}

/// How many slots have a task that runs, settled or not.
pub fn running(service: &ServiceProgress) -> u32 {
    let running = service.slots.iter().filter(|slot| slot.settled || slot.state == "running").count();
    u32::try_from(running).unwrap_or(u32::MAX)
}

fn of_slot(slot: &SlotProgress) -> String {
    let node = if slot.node.is_empty() { String::new() } else { format!(" on {}", slot.node) };
    let message = match (slot.message.as_str(), slot.refusals.first()) {
        ("", None) => String::new(),
        ("", Some(refusal)) => format!(": {} {}", refusal.node, refusal.reason),
        (message, _) => {
            let until = Moment::now().until(slot.next_attempt_at.as_deref());
            format!(": {message} {until}").trim_end().to_owned()
        }
    };
    format!("{}{node}{message}", slot.state)
}

/// Why a task that is to end has not; nothing if it has not been asked yet, and nothing keeps it.
pub(super) fn of_leaving(task: &Leaving) -> Option<String> {
    let Leaving { name, node, state: _, killed_at, trouble } = task;
    match (trouble.as_str(), killed_at) {
        ("", None) => None,
        ("", Some(at)) => {
            let at = time::of_day(at);
            Some(format!("{name}  asked to stop on {node}, killed at {at} if it has not ended by then"))
        }
        (trouble, _) => Some(format!("{name}  cannot be stopped on {node}: {trouble}")),
    }
}

/// How to watch what is to end: no service has it any more, but its node does.
pub fn watch_of_leaving(progress: &Progress) -> Option<String> {
    let mut leaving = progress.services.iter().filter(|service| service.removed);
    let task = leaving.find_map(|service| service.leaving.first())?;
    Some(format!("sleepctl node ps {}", task.node))
}

fn of_node(node: &NodeProgress) -> String {
    format!("{}, {}", availability(node.availability), tasks(node.tasks))
}

pub(super) fn tasks(count: u32) -> String {
    format!("{count} task{}", if count == 1 { "" } else { "s" })
}
