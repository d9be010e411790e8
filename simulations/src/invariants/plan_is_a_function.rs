//! Equal facts give an equal plan on every node.
//!
//! Once in five seconds: nodes with one digest that believe the same of every member's life and of the lease
//! answer alike which services there are, how many tasks each should have, and which task stands where.

use std::collections::BTreeMap;

use sleep_core::view::{Life, NodeRow, TaskFilter};
use sleep_wire::{Digest, NodeId};

use super::{Law, Verdict};
use crate::world::{SECOND, Time, World};

/// When to look again.
#[derive(Default)]
pub struct PlanIsAFunction {
    look_at: Time,
}

impl Law for PlanIsAFunction {
    fn name(&self) -> &'static str {
        "plan_is_a_function"
    }

    fn look(&mut self, world: &World) -> Verdict {
        if world.now < self.look_at {
            return Ok(());
        }
        self.look_at = world.now + 5 * SECOND;
        let mut answers: BTreeMap<Facts, (usize, String)> = BTreeMap::new();
        for (number, host) in world.hosts.iter().enumerate() {
            let Some(node) = &host.node else { continue };
            let now = host.now(world.now);
            let Some(digest) = node.digest() else { continue };
            let lives = node.nodes(now).iter().map(|row: &NodeRow| (row.id, row.life)).collect();
            let services = node.services(now);
            let mut answer = String::new();
            for row in &services {
                answer += &format!("{} {} {:?} of {}\n", row.id, row.name, row.revision, row.desired);
            }
            for row in node.tasks(now, &TaskFilter::default()) {
                answer +=
                    &format!("{} {:?} {:?} {:?} {:?}\n", row.slot, row.task, row.node, row.life, row.wanted);
            }
            let known = answers.entry(Facts { digest, lives }).or_insert_with(|| (number, answer.clone()));
            if known.1 != answer {
                let (one, other) = (known.0 + 1, number + 1);
                return Err(format!("node{one} says\n{}and node{other}\n{answer}", known.1));
            }
        }
        Ok(())
    }
}

/// What a plan rests on, as far as it can be seen.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Facts {
    digest: Digest,
    lives: Vec<(NodeId, Life)>,
}
