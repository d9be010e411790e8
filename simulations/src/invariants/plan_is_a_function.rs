//! Equal facts give an equal plan on every node.
//!
//! Once in five seconds: nodes with one digest that believe the same of every member's life and of the lease
//! answer alike which services there are, how many tasks each should have, and which task stands where.

use std::collections::BTreeMap;

use sleep_core::view::{Life, TaskFilter};
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
        let mut alike: BTreeMap<Facts, Vec<usize>> = BTreeMap::new();
        for (number, host) in world.hosts.iter().enumerate() {
            let Some(node) = &host.node else { continue };
            let Some(digest) = node.digest() else { continue };
            let lives = node.lives();
            alike.entry(Facts { digest, lives }).or_default().push(number);
        }
        for numbers in alike.values().filter(|numbers| numbers.len() > 1) {
            let (one, first) = (numbers[0], answer(world, numbers[0]));
            for other in &numbers[1..] {
                let answer = answer(world, *other);
                if answer != first {
                    return Err(format!("node{} says\n{first}and node{}\n{answer}", one + 1, other + 1));
                }
            }
        }
        Ok(())
    }
}

fn answer(world: &World, number: usize) -> String {
    let host = &world.hosts[number];
    let Some(node) = &host.node else { return String::new() };
    let now = host.now(world.now);
    let mut answer = String::new();
    for row in node.services(now) {
        answer += &format!("{} {} {:?} of {}\n", row.id, row.name, row.revision, row.desired);
    }
    for row in node.tasks(now, &TaskFilter::default()) {
        answer += &format!("{} {:?} {:?} {:?} {:?}\n", row.slot, row.task, row.node, row.life, row.wanted);
    }
    answer
}

/// What a plan rests on, as far as it can be seen.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Facts {
    digest: Digest,
    lives: Vec<(NodeId, Life)>,
}
