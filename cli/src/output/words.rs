//! Words for what is not a table.

use sleep_wire::api::Why;

pub use super::node::{availability, role};
pub use super::task::sorted;
pub use super::time::exact;
use super::{error, time};

/// Why something is as it is.
pub fn why(why: &Why) -> String {
    let since = if why.at.is_empty() { String::new() } else { format!(" (since {})", time::of_day(&why.at)) };
    let mut lines = vec![format!("{}{since}", why.summary)];
    lines.extend(why.story.iter().map(|line| format!("  {}  {}", time::of_day(&line.at), line.text)));
    let width = why.slots.iter().map(|slot| slot.name.chars().count()).max().unwrap_or(0);
    lines.extend(why.slots.iter().map(|slot| {
        let mark = if slot.settled { "✓" } else { "·" };
        format!("  {mark} {:width$}  {}", slot.name, slot.summary)
    }));
    if !why.last_lines.is_empty() {
        lines.push("What the last attempt wrote last:".to_owned());
        lines.extend(why.last_lines.iter().map(|line| format!("  | {}", super::tame(line, true))));
    }
    if !why.refusals.is_empty() {
        lines.push("What the nodes answer:".to_owned());
        lines.extend(error::refusals_by_node(why.refusals.iter()));
    }
    lines.join("\n")
}

/// What it means that so few nodes are left that may vote; nothing if there are enough.
pub fn few_control_nodes(left: usize) -> Option<&'static str> {
    match left {
        0 | 3.. => None,
        1 => Some("1 control node is left: if it is lost for good, nothing is placed any more"),
        2 => Some(
            "2 control nodes are left, and one of them alone has the vote: if that one is lost for good, the \
             other keeps what it runs and places nothing new; of three, any one may be lost",
        ),
    }
}

/// The most tasks that are named as followed.
const MAX_FOLLOWED: usize = 6;

/// Whose output is followed.
pub fn following(subject: &str, tasks: &[String]) -> String {
    let more = tasks.len().saturating_sub(MAX_FOLLOWED);
    let mut whose = tasks[..tasks.len() - more].join(", ");
    if tasks.is_empty() {
        subject.clone_into(&mut whose);
    }
    if more > 0 {
        whose += &format!(" and {more} more");
    }
    format!("following {whose}; not what starts later. Ctrl-C ends this")
}
