//! Histories of a small cluster, read from bytes: whatever may come to an agent's core, in any order.
//!
//! ```text
//! bytes ─▶ how it begins ─▶ action, action, …
//!                           └─ time goes on, a host suffers, somebody commands, or something comes that
//!                              nobody sent
//! ```
//! The hosts are the simulator's: real cores, disks and engines in virtual time. On top of what they do by
//! themselves comes what a member could do that is mad or in other hands: its key signs whatever the bytes
//! say, frames and records alike.
//!
//! # What must hold
//! No core panics or raises an alarm over itself; it comes to rest; what it keeps can be read again; and it
//! answers every question about what it knows. The laws are not checked: a member that lies can break many.

mod draw;
mod forge;
mod input;
mod known;
mod spec;

use std::time::Duration;

use sleep_core::io::{Alarm, Event};
use sleep_core::node::Tuning;
use sleep_core::view::TaskFilter;
use sleep_sim::disk::Failing;
use sleep_sim::host::Host;
use sleep_sim::story;
use sleep_sim::world::{Network, SECOND, Time, World};
use sleep_wire::durable::{self, Cell, Stored};
use sleep_wire::{Key, Record, SlotName, Wire, decode};

use crate::bytes::Bytes;
use known::Known;

/// The most actions of one history.
const ACTIONS: usize = 40;

/// The most that may happen because of one action.
const STEPS: usize = 20_000;

/// How a record begins that was set aside: no record does.
const ASIDE: u8 = 0xff;
/// The first byte of one that this node wrote and that is void for now.
const UNSAID: u8 = 0xfe;

/// A history: a world, what is known of it, and the bytes that say how it goes on.
struct History<'a> {
    bytes: Bytes<'a>,
    world: World,
    known: Known,
}

/// Lets happen what these bytes say.
///
/// # Panics
/// If something is wrong: see the module.
pub fn happen(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let world = begin(&mut bytes);
    let mut history = History { bytes, world, known: Known::default() };
    for _ in 0..ACTIONS {
        if history.bytes.is_over() {
            break;
        }
        history.act();
        history.check();
    }
    history.look();
}

/// How it begins: hosts alone, in a cluster, or at work.
fn begin(bytes: &mut Bytes<'_>) -> World {
    let hosts = 1 + bytes.below(3);
    let kind = bytes.below(4);
    let mut tuning = Tuning::default();
    tuning.lease.growth_wait = Duration::from_millis(200);
    let mut world = World::new(hosts, u64::from(bytes.byte() & 3), Network::default(), &tuning);
    if kind > 0 {
        story::form(&mut world).expect("nothing goes wrong yet");
    }
    if kind > 1 {
        story::create(&mut world, 0, "web", 2).expect("nothing goes wrong yet");
    }
    if kind > 2 {
        let end = world.now + 3 * SECOND;
        world.until(end, |_| false);
    }
    world
}

impl History<'_> {
    fn act(&mut self) {
        let host = self.bytes.below(self.world.hosts.len());
        match self.bytes.below(32) {
            0..6 => self.pass(),
            6..14 => self.message(host),
            14..19 => self.command(host),
            19..23 => self.report(host),
            23..26 => self.stray(host),
            26 => self.suffer(host),
            27 => self.damage_disk(host),
            28 => self.look(),
            29 => {
                let by = i64::from_le_bytes(self.bytes.array());
                self.world.hosts[host].step_wall(by >> self.bytes.below(64));
            }
            30 => {
                let other = self.bytes.below(self.world.hosts.len());
                if self.bytes.coin() { self.world.cut(host, other) } else { self.world.heal() }
            }
            _ => self.rest(SECOND / 1_000),
        }
    }

    /// Time goes on: a little, some seconds, or at a leap in which nobody does anything.
    fn pass(&mut self) {
        match self.bytes.below(4) {
            0 => {
                let time = u64::from(self.bytes.byte());
                self.rest(time);
            }
            1 => {
                let ms = u64::from(self.bytes.short() % 1_000);
                self.rest(ms * 1_000);
            }
            2 => {
                let seconds = u64::from(self.bytes.byte() % 8);
                self.rest(seconds * SECOND);
            }
            _ => {
                // Up to a year for all hosts; less than a minute for some, as the others work meanwhile.
                let all = self.bytes.coin();
                let leap = (1 << self.bytes.below(if all { 46 } else { 26 })) + u64::from(self.bytes.short());
                let who = if all { 0 } else { self.bytes.byte() };
                for host in (0..self.world.hosts.len()).filter(|host| who >> host & 1 == 0) {
                    self.world.pause(host, leap);
                }
                self.rest(leap + SECOND);
            }
        }
    }

    /// Lets the world go on for a while.
    fn rest(&mut self, time: Time) {
        let end = self.world.now.saturating_add(time);
        for _ in 0..STEPS {
            if !self.world.step(end) {
                self.world.now = self.world.now.max(end);
                return self.complain();
            }
        }
        panic!("more than {STEPS} things happen in {time} µs");
    }

    /// Something happens to a host.
    fn suffer(&mut self, host: usize) {
        match self.bytes.below(6) {
            0 => self.world.kill(host),
            1 => self.world.start(host),
            2 => self.world.stop(host),
            3 => {
                self.world.power_off(host);
                self.world.start(host);
            }
            4 => {
                let failing = Failing { written: self.bytes.coin(), back_after: self.bytes.number() >> 32 };
                self.world.hosts[host].disk.fail_next(failing);
            }
            _ => {
                self.world.kill(host);
                self.world.start(host);
            }
        }
    }

    /// An agent begins on a disk that somebody has been at.
    fn damage_disk(&mut self, host: usize) {
        self.world.kill(host);
        let disk = &mut self.world.hosts[host].disk;
        let mut stored = disk.stored();
        for _ in 0..=self.bytes.below(3) {
            input::damage(&mut self.bytes, &mut stored);
        }
        disk.restore(stored);
        self.world.start(host);
    }

    /// What nobody may ever say of itself.
    fn complain(&self) {
        if let Some(violation) = &self.world.broken {
            panic!("{violation}");
        }
    }

    /// What is kept can be read again.
    fn check(&mut self) {
        self.complain();
        for (_, _, event) in self.world.events.drain(..) {
            assert!(!matches!(event, Event::Alarm(Alarm::Internal(_))), "{event:?}");
        }
        for host in &self.world.hosts {
            if self.known.is_news(host) {
                kept(&host.disk.stored());
            }
        }
        self.known.learn(&self.world);
    }

    /// Every agent is asked for all that it knows.
    fn look(&self) {
        for host in &self.world.hosts {
            ask(host, self.world.now, &self.known);
        }
    }
}

/// What was asked to be kept is what an agent reads when it starts. What was damaged by hand is not meant.
fn kept(stored: &Stored) {
    for bytes in &stored.records {
        if known::is_damaged(bytes) {
            continue;
        }
        // What was set aside stands behind a mark, and a void word of its own behind another.
        let marked = [ASIDE, UNSAID].iter().find_map(|mark| bytes.strip_prefix(&[*mark]));
        let bytes = marked.unwrap_or(bytes);
        let record: Record = decode(bytes)
            .unwrap_or_else(|why| panic!("a record that is kept can be read again: {why}: {bytes:02x?}"));
        assert!(Key::from_bytes(&record.key).is_ok(), "its key can be read again");
    }
    for (cell, value) in &stored.cells {
        fn whole<T: Wire>(cell: Cell, value: &[u8]) {
            assert!(decode::<T>(value).is_ok() || known::is_damaged(value), "{cell:?} can be read again");
        }
        match cell {
            Cell::Membership => whole::<durable::Membership>(*cell, value),
            Cell::Boots => whole::<durable::Boots>(*cell, value),
            Cell::Lease => whole::<durable::LeaseCell>(*cell, value),
            Cell::Fence => whole::<durable::Fence>(*cell, value),
            Cell::Horizons => whole::<durable::Horizons>(*cell, value),
        }
    }
}

/// Asks one agent everything.
fn ask(host: &Host, at: Time, known: &Known) {
    let (Some(node), now) = (&host.node, host.now(at)) else { return };
    let mut answers = node.nodes(now).len() + node.tokens(now).len() + node.operators().len();
    let filter = TaskFilter { history: true, ..TaskFilter::default() };
    answers += node.status(now).voters.len() + node.tasks(&filter).len() + node.live().len();
    answers += node.vacant(now, None).len();
    answers += node.services(now).len();
    for service in &known.services {
        answers += node.revisions(*service).len();
        answers += usize::from(node.progress(now, *service).is_some());
        answers += usize::from(node.why(now, *service, SlotName::Number(1)).is_some());
    }
    for id in &known.nodes {
        answers += usize::from(node.node_name(now, *id).is_some());
        answers += usize::from(node.wall_clock_off_ms(now, *id).is_some());
    }
    assert!(answers < 1_000_000, "what is known is bounded");
}
