//! Words for what is not a table.

use sleep_wire::api::Why;

pub use super::node::{availability, role};
pub use super::task::sorted;
pub use super::time::exact;
use super::{error, time};

/// Why something is as it is.
pub fn why(why: &Why) -> String {
    let mut lines = vec![why.summary.clone()];
    lines.extend(why.story.iter().map(|line| format!("  {}  {}", time::of_day(&line.at), line.text)));
    if !why.refusals.is_empty() {
        lines.push("What the nodes answer:".to_owned());
        lines.extend(error::refusals_by_node(why.refusals.iter()));
    }
    lines.join("\n")
}
