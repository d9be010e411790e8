//! Equal facts give an equal plan on every node.
//!
//! Once in five seconds. Whoever plans does so with the facts that its records and members give, though it
//! was told of them one by one. Nodes with one digest that believe the same of every member's life answer
//! alike which services there are, how many tasks each should have, and which task stands where.

use std::collections::BTreeMap;

use sleep_core::view::{Life, PlacedRow, WantedRow};
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
            if let Some(overlooked) = node.overlooked(host.now(world.now)) {
                return Err(format!("node{} knows {overlooked}", number + 1));
            }
            alike.entry(Facts { digest, lives: node.lives() }).or_default().push(number);
        }
        for numbers in alike.values().filter(|numbers| numbers.len() > 1) {
            let (one, first) = (numbers[0], answer(world, numbers[0]));
            for other in &numbers[1..] {
                let answer = answer(world, *other);
                if answer != first {
                    return Err(format!("node{} says {first:?}\nand node{} {answer:?}", one + 1, other + 1));
                }
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

/// What a node says of the services and of their tasks.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    services: Vec<WantedRow>,
    tasks: Vec<PlacedRow>,
}

fn answer(world: &World, number: usize) -> Answer {
    let host = &world.hosts[number];
    let Some(node) = &host.node else { return Answer::default() };
    Answer { services: node.wanted(host.now(world.now)), tasks: node.placed().collect() }
}
