//! What a command would do, in words.

use sleep_wire::api::{Plan, PlannedMove};

use super::error;

/// A line for each thing that changes, begins, moves, ends, or has no place.
pub fn words(plan: &Plan) -> String {
    let Plan { changes, moves, pending, complete, nodes, seen, seen_from } = plan;
    let mut lines =
        vec![format!("Plan (seen from {seen_from}, {seen} of {nodes} nodes); nothing is changed")];
    lines.extend(changes.iter().map(|change| format!("  {change}")));
    let width = moves.iter().map(|moved| moved.name.chars().count()).max().unwrap_or(0);
    lines.extend(moves.iter().map(|moved| line(moved, width)));
    for homeless in pending {
        // Where it runs it is not refused: it stays there, as long as nobody takes it.
        let what = if homeless.refusals.is_empty() { "has nowhere else to go" } else { "has no node" };
        lines.push(format!("  ! {} {what}", homeless.name));
        lines.extend(
            error::refusals_by_node(homeless.refusals.iter()).into_iter().map(|line| format!("    {line}")),
        );
    }
    if !complete {
        lines.push("  and so on: there is more than is shown".to_owned());
    }
    if moves.is_empty() && pending.is_empty() {
        lines.push("  no task begins, moves or ends".to_owned());
    }
    lines.join("\n")
}

fn line(moved: &PlannedMove, width: usize) -> String {
    let PlannedMove { name, from, to, why } = moved;
    let (mark, way) = match (from.as_str(), to.as_str()) {
        ("", to) => ('+', format!("→ {to}")),
        (from, "") => ('-', format!("on {from} ends")),
        (from, to) if from == to => ('~', format!("on {to} is replaced")),
        (from, to) => ('~', format!("{from} → {to}")),
    };
    format!("  {mark} {name:width$}  {way}  ({why})")
}
