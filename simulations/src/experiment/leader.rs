//! The holder of the lease dies with its host: when is there another, and what becomes of running tasks?
//!
//! foca alone elects nobody: there is no baseline here but what is published.
//!
//! # Not here
//! That there are never two: the law `one_holder`.

use std::collections::BTreeSet;

use sleep_core::node::Tuning;
use sleep_wire::task::TaskId;

use super::Options;
use super::agent::System;
use super::report::{Figure, Report, Row, Times};
use crate::random::Stream;
use crate::story;
use crate::world::{Network, SECOND, Time, World};

/// How many tasks run.
const TASKS: u32 = 10;
/// After so long nobody is waited for.
const GIVEN_UP: Time = 60 * SECOND;

/// Measures it.
pub(super) fn run(options: Options) -> Report {
    let nodes = options.nodes.unwrap_or(5).max(3);
    let seeds = options.seeds.unwrap_or(100);
    let (mut leads, mut known, mut replaced) = (Times::default(), Times::default(), Times::default());
    let (mut touched, mut unformed) = (0, 0);
    for seed in 1..=seeds {
        if let Ok(seen) = play(nodes, seed) {
            leads.add(seen.leads);
            known.add(seen.known);
            replaced.add(seen.replaced);
            touched += seen.touched;
        } else {
            unformed += 1;
        }
    }
    let figures = vec![
        Figure::seconds("new leader p50 s", leads.median()),
        Figure::seconds("p99 s", leads.permille(990)),
        Figure::seconds("max s", leads.most()),
        Figure::seconds("named by all p99 s", known.permille(990)),
        Figure::seconds("its tasks run elsewhere p50 s", replaced.median()),
        Figure::seconds("its tasks run elsewhere p99 s", replaced.permille(990)),
        Figure::number("other tasks touched", touched as f64),
        Figure::number("clusters that did not form", f64::from(unformed)),
    ];
    let rows = vec![Row { case: format!("n = {nodes}"), system: System::Ours.name(), figures }];
    let setup = format!("the holder's host is switched off while {TASKS} tasks run; whole agents");
    Report { experiment: "leader", setup, seeds, rows }
}

struct Seen {
    leads: Option<Time>,
    known: Option<Time>,
    replaced: Option<Time>,
    touched: usize,
}

fn play(nodes: usize, seed: u64) -> Result<Seen, story::Failure> {
    let mut world = World::new(nodes, seed, Network::default(), &Tuning::default());
    story::form(&mut world)?;
    let service = story::create(&mut world, 0, "app", TASKS)?;
    story::running(&mut world, 30 * SECOND, service, TASKS as usize)?;
    story::three_vote(&mut world, 120 * SECOND)?;
    let calm = world.now + 10 * SECOND + Stream::new(seed, "leader", 0).below(5 * SECOND);
    world.until(calm, |_| false);
    let old = story::holder(&mut world, 10 * SECOND)?;
    let untouched: BTreeSet<TaskId> =
        (0..nodes).filter(|host| *host != old).flat_map(|host| tasks(&world, host)).collect();
    world.power_off(old);
    let died = world.now;
    let mut seen = Seen { leads: None, known: None, replaced: None, touched: 0 };
    let mut lost = BTreeSet::new();
    while world.now < died + GIVEN_UP {
        let next = world.now + SECOND / 100;
        world.until(next, |_| false);
        let since = Some(world.now - died);
        let live = || world.hosts.iter().filter_map(|host| Some((host, host.node.as_ref()?)));
        let epoch = live().find_map(|(host, node)| node.holding(host.now(world.now)));
        if let Some(epoch) = epoch {
            seen.leads = seen.leads.or(since);
            if live().all(|(host, node)| node.status(host.now(world.now)).leader == Some((epoch, true))) {
                seen.known = seen.known.or(since);
            }
        }
        let running: BTreeSet<TaskId> = (0..nodes).flat_map(|host| tasks(&world, host)).collect();
        if running.len() == TASKS as usize {
            seen.replaced = seen.replaced.or(since);
        }
        lost.extend(untouched.difference(&running).copied());
    }
    seen.touched = lost.len();
    Ok(seen)
}

fn tasks(world: &World, host: usize) -> impl Iterator<Item = TaskId> {
    world.hosts[host].engine.running().filter_map(crate::engine::Container::task)
}
