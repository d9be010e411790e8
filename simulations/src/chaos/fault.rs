//! One fault, and what it does to a world.

use std::time::Duration;

use crate::engine::Survivors;
use crate::world::{Time, World};

/// Something that goes wrong at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What these hosts send reaches no other; what others send reaches them only if `one_way`.
    Cut {
        /// Which hosts.
        side: Vec<usize>,
        /// Whether they still hear.
        one_way: bool,
    },
    /// The same hosts can be reached again.
    Mend {
        /// Which hosts.
        side: Vec<usize>,
    },
    /// Nobody hears the holder, nor does it hear anybody, for a while.
    IsolateHolder {
        /// How long, in microseconds.
        time: Time,
    },
    /// Nobody hears the holder for a while, and a moment later all other agents are restarted: what they knew
    /// of its lease they know no more.
    Coup {
        /// How long the holder is alone, in microseconds.
        time: Time,
        /// When the others die.
        after: Time,
        /// How long they are dead.
        down: Time,
    },
    /// An agent dies.
    Kill {
        /// Whose.
        host: usize,
    },
    /// An agent is started.
    Start {
        /// Whose.
        host: usize,
    },
    /// An agent gets nothing to do for a while.
    Pause {
        /// Whose.
        host: usize,
        /// How long, in microseconds.
        time: Time,
    },
    /// A host's wall clock is set.
    WallStep {
        /// Whose.
        host: usize,
        /// By how much, in milliseconds.
        by_ms: i64,
    },
    /// A host goes down with its containers.
    PowerOff {
        /// Which.
        host: usize,
    },
    /// An engine answers nothing for a while.
    EngineHangs {
        /// Whose.
        host: usize,
        /// How long, in microseconds.
        time: Time,
    },
    /// An engine restarts.
    EngineRestarts {
        /// Whose.
        host: usize,
        /// How long it is gone, in microseconds.
        time: Time,
        /// What is left of its containers.
        survivors: Survivors,
    },
    /// Somebody kills or removes the first container that runs.
    ByHand {
        /// Where.
        host: usize,
        /// Whether it is removed.
        removed: bool,
    },
}

impl Fault {
    /// Lets it happen. What follows from it later, and when.
    pub fn happen(&self, world: &mut World) -> Vec<(Time, Self)> {
        match self {
            Self::Cut { side, one_way } => cut(world, side, *one_way),
            Self::Mend { side } => {
                for (inside, outside) in across(world, side) {
                    world.mend(inside, outside);
                    world.mend(outside, inside);
                }
            }
            Self::IsolateHolder { time } => {
                let Some(holder) = holder(world) else { return Vec::new() };
                let side = vec![holder];
                cut(world, &side, false);
                return vec![(world.now + time, Self::Mend { side })];
            }
            Self::Coup { time, after, down } => {
                let Some(holder) = holder(world) else { return Vec::new() };
                let mut later = Self::IsolateHolder { time: *time }.happen(world);
                for host in (0..world.hosts.len()).filter(|host| *host != holder) {
                    later.push((world.now + after, Self::Kill { host }));
                    later.push((world.now + after + down, Self::Start { host }));
                }
                return later;
            }
            Self::Kill { host } => world.kill(*host),
            Self::Start { host } => world.start(*host),
            Self::Pause { host, time } => world.pause(*host, *time),
            Self::WallStep { host, by_ms } => world.hosts[*host].step_wall(*by_ms),
            Self::PowerOff { host } => world.power_off(*host),
            Self::EngineHangs { host, time } => {
                world.with_engine(*host, |engine, now| engine.hang(now, Duration::from_micros(*time)));
            }
            Self::EngineRestarts { host, time, survivors } => {
                let (time, survivors) = (Duration::from_micros(*time), *survivors);
                world.with_engine(*host, |engine, now| engine.restart(now, time, survivors));
            }
            Self::ByHand { host, removed } => world.with_engine(*host, |engine, now| {
                let Some(task) = engine.running().find_map(crate::engine::Container::task) else { return };
                if *removed { engine.remove_by_hand(now, task) } else { engine.kill_by_hand(now, task) }
            }),
        }
        Vec::new()
    }
}

fn holder(world: &World) -> Option<usize> {
    let holds = |host: &crate::host::Host| {
        host.node.as_ref().is_some_and(|node| node.holding(host.now(world.now)).is_some())
    };
    world.hosts.iter().position(holds)
}

fn cut(world: &mut World, side: &[usize], one_way: bool) {
    for (inside, outside) in across(world, side) {
        world.cut(inside, outside);
        if !one_way {
            world.cut(outside, inside);
        }
    }
}

fn across(world: &World, side: &[usize]) -> Vec<(usize, usize)> {
    let outside = (0..world.hosts.len()).filter(|host| !side.contains(host));
    outside.flat_map(|out| side.iter().map(move |inside| (*inside, out))).collect()
}
