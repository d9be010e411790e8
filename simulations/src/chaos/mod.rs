//! What goes wrong in the world of a seed: which classes of faults at all, how often, and when.
//!
//! Swarm style (Groce et al. 2012): each run has a random subset of the classes, so that one never hides
//! another. Everything is drawn before the run begins, from one stream a class: a new class shifts no other's
//! schedule.
//!
//! # Not here
//! What a fault does: `scenario::fault`. What must hold meanwhile: `invariants`. What users do: [`users`].

mod cards;
mod hosts;
mod moves;
mod people;
pub mod users;

use std::collections::BTreeSet;

use crate::engine::Faults;
use crate::random::Stream;
use crate::scenario::{Fault, Scenario};
use crate::world::{Network, SECOND, Time};

/// The lease's ρ, in millionths.
const RHO_PPM: u64 = 10_000;

/// Draws the faults of one class.
type Class = fn(&mut Draw);

/// Classes of faults that happen at moments. A new one is added at the end: each has a stream of its own, and
/// one draw decides whether it is there at all.
const CLASSES: [Class; 31] = [
    Draw::cuts,
    Draw::isolation,
    Draw::crashes,
    Draw::loops,
    Draw::pauses,
    Draw::all,
    Draw::walls,
    Draw::power,
    Draw::coups,
    Draw::weathers,
    Draw::clogs,
    Draw::resets,
    Draw::flip_flops,
    Draw::stops,
    Draw::slowness,
    Draw::disks,
    Draw::lies,
    Draw::ambushes,
    Draw::changes,
    Draw::stalls,
    Draw::graves,
    Draw::old_disks,
    Draw::empty_disks,
    Draw::moves,
    Draw::full_disks,
    Draw::releases,
    Draw::recoveries,
    Draw::roles,
    Draw::usurpers,
    Draw::interruptions,
    Draw::late_answers,
];

/// What the seed says, for so many hosts: one chapter of it.
pub fn draw(seed: u64, hosts: usize) -> Scenario {
    draw_for(seed, hosts, 0)
}

/// The same, and further chapters until things have gone wrong for so long.
///
/// Each chapter has classes, and a length, of its own. Network, clocks, roles and users are the world's. What
/// is lost for ever is lost in the last one: a cluster without its majority would idle through all others.
pub fn draw_for(seed: u64, hosts: usize, time: Time) -> Scenario {
    let mut swarm = Stream::new(seed, "swarm", 0);
    let lasts = draw_length(&mut swarm);
    let growth_wait = draw_growth(seed);
    let mut scenario = Scenario { growth_wait, ..Scenario::calm(hosts, seed) };
    let [network, users, clocks, engines] = std::array::from_fn(|_| swarm.permille(500));
    if network {
        scenario.network = draw_network(seed);
    }
    if users {
        scenario.users_every = Some(Stream::new(seed, "users", 0).between(SECOND / 2, 10 * SECOND));
    }
    if clocks {
        let mut stream = Stream::new(seed, "clock rates", 0);
        for host in &mut scenario.hosts {
            host.clock_ppm = within(&mut stream, RHO_PPM);
        }
    }
    // Safety must not rest on patience: it hides what else may be wrong.
    if Stream::new(seed, "impatience", 0).permille(300) {
        scenario.impatience = 2_500_000;
    }
    let workers = draw_workers(seed, hosts);
    for worker in &workers {
        scenario.hosts[*worker].worker = true;
    }
    if engines {
        scenario.engines = draw_engines(seed);
    }
    let (begins, hosts) = (0, hosts as u64);
    let (stays, faults) = (None, Vec::new());
    let mut draw = Draw { seed, time, begins, lasts, growth_wait, hosts, workers, stays, faults };
    draw.chapter(&mut swarm, engines);
    let mut number = 0;
    while !draw.is_last() {
        number += 1;
        swarm = draw.turn_over(Stream::new(seed, "chapters", number).any());
        draw.chapter(&mut swarm, engines);
    }
    scenario.lasts = draw.begins + draw.lasts;
    scenario.faults = draw.faults;
    scenario.faults.sort_by_key(|(at, _)| *at);
    scenario
}

fn draw_length(swarm: &mut Stream) -> Time {
    swarm.between(20, 120) * SECOND
}

/// Who joins as a worker: in some runs, some of those that do not found the cluster.
fn draw_workers(seed: u64, hosts: usize) -> BTreeSet<usize> {
    let mut stream = Stream::new(seed, "workers", 0);
    if hosts < 3 || !stream.permille(300) {
        return BTreeSet::new();
    }
    let count = stream.between(1, hosts as u64 / 3);
    (0..count).map(|_| usize::try_from(stream.between(1, hosts as u64 - 1)).unwrap_or(1)).collect()
}

fn within(stream: &mut Stream, bound: u64) -> i32 {
    i32::try_from(stream.below(2 * bound + 1)).unwrap_or(0) - i32::try_from(bound).unwrap_or(0)
}

/// In most runs so short that three vote when things begin to go wrong.
fn draw_growth(seed: u64) -> Time {
    let soon = Stream::new(seed, "growth of the voters", 0).permille(800);
    if soon { SECOND } else { 30 * SECOND }
}

fn draw_network(seed: u64) -> Network {
    let mut stream = Stream::new(seed, "network", 0);
    let some = |stream: &mut Stream, most: u64| {
        let value = u32::try_from(stream.below(most + 1)).unwrap_or(0);
        if stream.permille(500) { value } else { 0 }
    };
    let least = stream.between(100, 5_000);
    Network {
        least,
        most: least + stream.between(100, 100_000),
        loss_permille: some(&mut stream, 300),
        twice_permille: some(&mut stream, 500),
        late_permille: some(&mut stream, 50),
        again_permille: some(&mut Stream::new(seed, "streams that repeat", 0), 300),
        bytes_per_second: 0,
    }
}

fn draw_engines(seed: u64) -> Faults {
    let mut stream = Stream::new(seed, "engine faults", 0);
    let mut some = |most: u64| {
        let value = u16::try_from(stream.below(most + 1)).unwrap_or(0);
        if stream.permille(400) { value } else { 0 }
    };
    Faults {
        call_hangs: some(50),
        no_image: some(100),
        create_lies: some(100),
        start_fails: some(100),
        start_lies: some(100),
        stop_fails: some(200),
        remove_fails: some(200),
        event_lost: some(300),
        event_twice: some(300),
        list_partial: some(200),
        exits_at_once: some(100),
        exits_soon: some(100),
        out_of_memory: some(50),
        deaf: some(200),
        stubborn: some(200),
    }
}

struct Draw {
    /// The chapter's.
    seed: u64,
    /// How long all chapters are to last at least.
    time: Time,
    /// When the chapter begins.
    begins: Time,
    /// How long it lasts.
    lasts: Time,
    growth_wait: Time,
    hosts: u64,
    workers: BTreeSet<usize>,
    /// The host that never moves.
    stays: Option<usize>,
    /// Those of all chapters so far.
    faults: Vec<(Time, Fault)>,
}

impl Draw {
    fn stream(&self, purpose: &str) -> Stream {
        Stream::new(self.seed, purpose, 0)
    }

    /// Adds those of one chapter.
    fn chapter(&mut self, swarm: &mut Stream, engines: bool) {
        if engines {
            self.engines();
        }
        for class in CLASSES {
            if swarm.permille(400) {
                class(self);
            }
        }
    }

    fn is_last(&self) -> bool {
        self.begins + self.lasts >= self.time
    }

    /// Begins the next one.
    fn turn_over(&mut self, seed: u64) -> Stream {
        let mut swarm = Stream::new(seed, "swarm", 0);
        self.begins += self.lasts;
        self.seed = seed;
        self.lasts = draw_length(&mut swarm);
        swarm
    }

    /// A fault at a moment of the chapter.
    fn add(&mut self, at: Time, fault: Fault) {
        self.faults.push((self.begins + at.min(self.lasts), fault));
    }

    /// Whether a host, and its disk, can be lost for ever, and three of the others vote.
    fn may_lose(&self) -> bool {
        // Before three vote, one may have the only vote.
        self.is_last() && self.hosts >= 4 && self.growth_wait <= SECOND
    }

    fn host(&self, stream: &mut Stream) -> usize {
        usize::try_from(stream.below(self.hosts)).expect("there are fewer hosts than numbers")
    }

    fn len(&self) -> usize {
        usize::try_from(self.hosts).expect("there are fewer hosts than numbers")
    }

    fn hosts(&self, stream: &mut Stream, most: u64) -> Vec<usize> {
        let size = stream.between(1, most);
        let mut hosts: Vec<usize> = (0..size).map(|_| self.host(stream)).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    /// Parts that do not hear each other, or hear in one direction only; now and then one node sees both.
    fn cuts(&mut self) {
        let mut stream = self.stream("cuts");
        for _ in 0..stream.between(1, 5) {
            let (at, lasts) = (stream.below(self.lasts), stream.between(SECOND / 2, 60 * SECOND));
            let nodes = self.hosts(&mut stream, self.hosts.div_ceil(2));
            let one_way = stream.permille(300);
            let bridge = if stream.permille(150) { vec![self.host(&mut stream)] } else { Vec::new() };
            self.add(at, Fault::Cut { nodes, one_way, bridge, lasts: Some(lasts) });
        }
    }

    /// Whoever holds the lease then hears nobody.
    fn isolation(&mut self) {
        let mut stream = self.stream("isolation");
        for _ in 0..stream.between(1, 3) {
            let (at, lasts) = (stream.below(self.lasts), stream.between(SECOND, 40 * SECOND));
            self.add(at, Fault::IsolateLeader { lasts });
        }
    }

    /// Nobody hears the holder, and the others forget what they can: only their silence keeps a second one
    /// away.
    fn coups(&mut self) {
        let mut stream = self.stream("coups");
        for _ in 0..stream.between(1, 4) {
            let (at, lasts) = (stream.below(self.lasts), stream.between(4 * SECOND, 12 * SECOND));
            let (after, down) = (stream.below(2 * SECOND), stream.between(10_000, SECOND));
            self.add(at, Fault::Coup { lasts, after, down });
        }
    }

    /// The holder's answers are late, and then there are none: who counts its time from when they came, or
    /// decides by what only one other has, is found out.
    fn ambushes(&mut self) {
        let mut stream = self.stream("ambushes");
        for _ in 0..stream.between(1, 4) {
            let at = stream.below(self.lasts);
            let (slow, after) = (stream.between(200_000, 900_000), stream.between(2 * SECOND, 8 * SECOND));
            let (lasts, witness) = (stream.between(4 * SECOND, 15 * SECOND), stream.permille(300));
            self.add(at, Fault::Ambush { slow, after, lasts, witness });
        }
    }

    /// Somebody dies for long enough to lose its seat, and whoever holds the lease is cut off, or all others
    /// forget, just when another is given it.
    fn changes(&mut self) {
        let mut stream = self.stream("changes");
        for _ in 0..stream.between(1, 3) {
            let (at, node) = (stream.below(self.lasts), self.host(&mut stream));
            self.add(at, Fault::Kill { node, lasts: Some(stream.between(15 * SECOND, 40 * SECOND)) });
            let (then, lasts) =
                (at + stream.between(3 * SECOND, 12 * SECOND), stream.between(4 * SECOND, 12 * SECOND));
            let (after, down) = (stream.below(2 * SECOND), stream.between(10_000, SECOND));
            let coup = Fault::Coup { lasts, after, down };
            self.add(then, if stream.permille(500) { coup } else { Fault::IsolateLeader { lasts } });
        }
    }

    /// All disks but one take their time, and that one's agent starts again meanwhile: confirmations come
    /// that were meant for its earlier life.
    fn stalls(&mut self) {
        let mut stream = self.stream("stalls");
        for _ in 0..stream.between(1, 4) {
            let (at, one) = (stream.below(self.lasts), self.host(&mut stream));
            let lasts = stream.between(SECOND, 6 * SECOND);
            for node in
                (0..self.hosts).filter_map(|node| usize::try_from(node).ok()).filter(|node| *node != one)
            {
                self.add(at, Fault::DiskStalls { node, lasts });
            }
            let kill = Fault::Kill { node: one, lasts: Some(stream.between(10_000, SECOND / 2)) };
            self.add(at + stream.below(lasts), kill);
        }
    }

    fn crashes(&mut self) {
        let mut stream = self.stream("crashes");
        for _ in 0..stream.between(1, 8) {
            let (at, node) = (stream.below(self.lasts), self.host(&mut stream));
            let lasts = stream.between(1, 40_000) * 1_000;
            self.add(at, Fault::Kill { node, lasts: Some(lasts) });
        }
    }

    /// Somebody is never seen again: too few for the others to lose their majority.
    fn graves(&mut self) {
        let mut stream = self.stream("graves");
        let (at, node) = (stream.below(self.lasts), self.host(&mut stream));
        let fault = match stream.below(3) {
            0 => Fault::Kill { node, lasts: None },
            1 => Fault::Stop { node, lasts: None },
            _ => Fault::PowerOff { node, lasts: None },
        };
        if self.may_lose() && self.workers.is_empty() {
            self.add(at, fault);
        }
    }

    /// An agent that dies again and again.
    fn loops(&mut self) {
        let mut stream = self.stream("crash loops");
        let (mut at, node) = (stream.below(self.lasts), self.host(&mut stream));
        for _ in 0..stream.between(3, 10) {
            let (up, down) = (stream.between(1_000, 5 * SECOND), stream.between(1_000, 3 * SECOND));
            self.add(at, Fault::Kill { node, lasts: Some(down) });
            at += up + down;
        }
    }

    fn pauses(&mut self) {
        let mut stream = self.stream("pauses");
        for _ in 0..stream.between(1, 10) {
            let (at, node) = (stream.below(self.lasts), self.host(&mut stream));
            let lasts = 1_000 << stream.below(15);
            self.add(at, Fault::Pause { node, lasts });
        }
    }

    /// All agents restart at once.
    fn all(&mut self) {
        let mut stream = self.stream("all agents");
        let (at, lasts) = (stream.below(self.lasts), stream.between(1_000, 10 * SECOND));
        self.add(at, Fault::KillAll { lasts, apart: stream.below(SECOND) });
    }

    fn walls(&mut self) {
        let mut stream = self.stream("wall steps");
        for _ in 0..stream.between(1, 10) {
            let (at, node) = (stream.below(self.lasts), self.host(&mut stream));
            // Up to ten years, either way.
            let by = (1_i64 << stream.between(20, 48)) * if stream.permille(500) { 1 } else { -1 };
            self.add(at, Fault::WallStep { node, by });
        }
    }

    fn power(&mut self) {
        let mut stream = self.stream("power");
        for _ in 0..stream.between(1, 3) {
            let (at, node) = (stream.below(self.lasts), self.host(&mut stream));
            let lasts = Some(stream.between(2 * SECOND, 40 * SECOND));
            self.add(at, Fault::PowerOff { node, lasts });
        }
    }

    /// One node, or one link, has a network of its own: 80 % loss, or a slow modem, or long detours.
    fn weathers(&mut self) {
        let mut stream = self.stream("weathers");
        for _ in 0..stream.between(1, 3) {
            let (at, lasts) = (stream.below(self.lasts), stream.between(5 * SECOND, 90 * SECOND));
            let nodes = vec![self.host(&mut stream)];
            let towards = if stream.permille(500) { vec![self.host(&mut stream)] } else { Vec::new() };
            let network = match stream.below(4) {
                0 => Network { loss_permille: 800, ..Network::default() },
                1 => Network { again_permille: 500, ..Network::default() },
                2 => Network { least: 600_000, most: 650_000, bytes_per_second: 8_000, ..Network::default() },
                _ => Network { late_permille: 500, twice_permille: 500, ..Network::default() },
            };
            self.add(at, Fault::Weather { nodes, towards, network, lasts: Some(lasts) });
        }
    }

    fn clogs(&mut self) {
        let mut stream = self.stream("clogs");
        for _ in 0..stream.between(1, 8) {
            let (at, lasts) = (stream.below(self.lasts), stream.between(1_000, 5 * SECOND));
            let nodes = self.hosts(&mut stream, self.hosts);
            self.add(at, Fault::Clog { nodes, lasts });
        }
    }

    fn resets(&mut self) {
        let mut stream = self.stream("resets");
        for _ in 0..stream.between(1, 20) {
            let (at, node) = (stream.below(self.lasts), self.host(&mut stream));
            self.add(at, Fault::Reset { node });
        }
    }

    /// A node that is heard and not heard by turns, in one direction or in both.
    fn flip_flops(&mut self) {
        let mut stream = self.stream("flip-flops");
        let (mut at, node) = (stream.below(self.lasts), self.host(&mut stream));
        let (half, one_way) = (stream.between(SECOND, 20 * SECOND), stream.permille(500));
        for _ in 0..stream.between(2, 6) {
            self.add(at, Fault::Cut { nodes: vec![node], one_way, bridge: Vec::new(), lasts: Some(half) });
            at += 2 * half;
        }
    }

    fn stops(&mut self) {
        let mut stream = self.stream("stops");
        for _ in 0..stream.between(1, 4) {
            let (at, node) = (stream.below(self.lasts), self.host(&mut stream));
            self.add(at, Fault::Stop { node, lasts: Some(stream.between(10_000, 30 * SECOND)) });
        }
    }

    fn slowness(&mut self) {
        let mut stream = self.stream("slowness");
        for _ in 0..stream.between(1, 3) {
            let (at, node) = (stream.below(self.lasts), self.host(&mut stream));
            let (each, lasts) = (stream.between(100, 20_000), stream.between(SECOND, 60 * SECOND));
            self.add(at, Fault::Slow { node, each, lasts: Some(lasts) });
        }
    }

    /// Disks that take their time, or fail.
    fn disks(&mut self) {
        let mut stream = self.stream("disks");
        for _ in 0..stream.between(1, 6) {
            let (at, node) = (stream.below(self.lasts), self.host(&mut stream));
            let lasts = stream.between(1_000, 30 * SECOND);
            let (fails, written) = (stream.permille(400), stream.permille(500));
            let fails = fails.then_some(Fault::DiskFails { node, lasts, written });
            self.add(at, fails.unwrap_or(Fault::DiskStalls { node, lasts }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_has_chapters_until_its_time_is_over_and_losses_in_the_last() {
        for seed in 0..50 {
            let (short, long) = (draw(seed, 5), draw_for(seed, 5, 600 * SECOND));
            assert!(long.lasts >= 600 * SECOND && long.lasts < 720 * SECOND, "{}", long.lasts);
            assert_eq!((long.network, long.users_every), (short.network, short.users_every));
            let lost = |(_, fault): &&(Time, Fault)| {
                matches!(fault, Fault::EmptyDisk { .. } | Fault::Recover { .. }) || fault.grave().is_some()
            };
            for (at, fault) in long.faults.iter().filter(lost) {
                assert!(*at + 120 * SECOND >= long.lasts, "seed {seed}: {fault:?} at {at}");
            }
            let late = long.faults.iter().filter(|(at, _)| *at > short.lasts).count();
            assert!(
                late > 3 * (long.faults.len() - late) / 2,
                "seed {seed}: {late} of {}",
                long.faults.len()
            );
        }
    }
}
