//! Equal facts give an equal plan on every node.
//!
//! Once in five seconds. Whoever plans does so with the facts that its records and members give, though it
//! was told of them one by one. Two nodes with one digest that believe the same of every member's life,
//! another pair each time, answer alike which services there are, how many tasks each should have, and which
//! task stands where.

use std::collections::BTreeMap;

use sleep_core::view::{Life, TaskFilter, TaskLife};
use sleep_wire::key::SlotKey;
use sleep_wire::task::TaskId;
use sleep_wire::{Digest, NodeId, RevisionId, ServiceId};

use super::{Law, Verdict};
use crate::world::{SECOND, Time, World};

/// When to look again, and how often it was looked.
#[derive(Default)]
pub struct PlanIsAFunction {
    look_at: Time,
    looks: usize,
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
        self.looks += 1;
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
            let nth = |nth: usize| numbers[nth % numbers.len()];
            let (one, other) = (nth(self.looks), nth(self.looks + 1));
            let (first, second) = (answer(world, one, self.looks), answer(world, other, self.looks));
            if first != second {
                let told = format!("{first:?}\nand node{} {second:?}", other + 1);
                return Err(format!("node{} says {told}", one + 1));
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
    services: Vec<(ServiceId, String, RevisionId, u32)>,
    tasks: Vec<Told>,
}

/// Which slot has which task where, how far it is, and whether it should run.
type Told = (SlotKey, Option<TaskId>, Option<NodeId>, TaskLife, bool);

fn answer(world: &World, number: usize, turn: usize) -> Answer {
    let host = &world.hosts[number];
    let Some(node) = &host.node else { return Answer::default() };
    let now = host.now(world.now);
    let services = node.asked_for();
    let service = services.get(turn % services.len().max(1)).map(|(id, ..)| *id);
    let tasks = service
        .map(|service| node.tasks(now, &TaskFilter { service: Some(service), ..TaskFilter::default() }));
    Answer {
        services,
        tasks: tasks
            .into_iter()
            .flatten()
            .map(|row| {
                let slot = SlotKey { service: row.service, slot: row.slot };
                (slot, row.task, row.node, row.life, row.wanted)
            })
            .collect(),
    }
}
