//! One fault, as a scenario names it and a seed draws it, and what it does to a world.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::disk::Failing;
use crate::engine::{Container, Survivors};
use crate::host::Host;
use crate::liar::Lie;
use crate::span;
use crate::world::{Network, Time, World};

/// Something that goes wrong at a moment, mostly for a while.
///
/// Hosts are names in a file and numbers in a world: see [`Fault::map`]. A time without an end, where one may
/// be left out, means: until the faults are over, and for an agent or a host, for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Fault<H = usize> {
    /// What these hosts send reaches no other; what others send reaches them only if `one_way`.
    Cut {
        /// Which hosts.
        nodes: Vec<H>,
        /// Whether they still hear.
        #[serde(default, skip_serializing_if = "is_false")]
        one_way: bool,
        /// Hosts that both sides still see.
        #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
        bridge: Vec<H>,
        /// For how long.
        #[serde(with = "span::optional", default, skip_serializing_if = "Option::is_none")]
        lasts: Option<Time>,
    },
    /// Nobody hears the holder of the lease, nor does it hear anybody.
    IsolateLeader {
        /// For how long.
        #[serde(with = "span")]
        lasts: Time,
    },
    /// Nobody hears the holder for a while, and a moment later all other agents are restarted: what they knew
    /// of its lease they know no more.
    Coup {
        /// How long the holder is alone.
        #[serde(with = "span")]
        lasts: Time,
        /// When the others die.
        #[serde(with = "span")]
        after: Time,
        /// How long they are dead.
        #[serde(with = "span")]
        down: Time,
    },
    /// What comes to the holder takes long for a while; then it is cut off.
    Ambush {
        /// How long a frame takes.
        #[serde(with = "span")]
        slow: Time,
        /// When it is cut off.
        #[serde(with = "span")]
        after: Time,
        /// For how long.
        #[serde(with = "span")]
        lasts: Time,
        /// Whether one other still sees both sides.
        #[serde(default, skip_serializing_if = "is_false")]
        witness: bool,
    },
    /// The network is another for a while, in both directions.
    Weather {
        /// Between these hosts
        nodes: Vec<H>,
        /// and these: all others, if none is named.
        #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
        towards: Vec<H>,
        /// What it is like.
        network: Network,
        /// For how long.
        #[serde(with = "span::optional", default, skip_serializing_if = "Option::is_none")]
        lasts: Option<Time>,
    },
    /// What these hosts send and what is sent to them is held back, and then arrives all at once.
    Clog {
        /// Which hosts.
        nodes: Vec<H>,
        /// For how long.
        #[serde(with = "span")]
        lasts: Time,
    },
    /// Every connection of a host breaks, with what is on its way.
    Reset {
        /// Whose.
        node: H,
    },
    /// An agent dies.
    Kill {
        /// Whose.
        node: H,
        /// When it is started again.
        #[serde(with = "span::optional", default, skip_serializing_if = "Option::is_none")]
        lasts: Option<Time>,
    },
    /// An agent is told to stop, and does not wait for its goodbye to arrive.
    Stop {
        /// Whose.
        node: H,
        /// When it is started again.
        #[serde(with = "span::optional", default, skip_serializing_if = "Option::is_none")]
        lasts: Option<Time>,
    },
    /// All agents die at once, and come back one after the other.
    KillAll {
        /// When the first is started again.
        #[serde(with = "span")]
        lasts: Time,
        /// How much later each next one.
        #[serde(with = "span")]
        apart: Time,
    },
    /// A host goes down with its containers.
    PowerOff {
        /// Which.
        node: H,
        /// When it is switched on again.
        #[serde(with = "span::optional", default, skip_serializing_if = "Option::is_none")]
        lasts: Option<Time>,
    },
    /// An agent gets nothing to do for a while: its host sleeps, or is too busy. Its boot clock goes on.
    Pause {
        /// Whose.
        node: H,
        /// For how long.
        #[serde(with = "span")]
        lasts: Time,
    },
    /// An agent takes its time over everything.
    Slow {
        /// Whose.
        node: H,
        /// How long over each thing.
        #[serde(with = "span")]
        each: Time,
        /// For how long.
        #[serde(with = "span::optional", default, skip_serializing_if = "Option::is_none")]
        lasts: Option<Time>,
    },
    /// A host's wall clock is set.
    WallStep {
        /// Whose.
        node: H,
        /// By how much; backwards if negative.
        #[serde(with = "span::signed")]
        by: i64,
    },
    /// What is written reaches the disk only when this is over.
    DiskStalls {
        /// Whose disk.
        node: H,
        /// For how long.
        #[serde(with = "span")]
        lasts: Time,
    },
    /// The next write fails. Its agent ends, and is started again.
    DiskFails {
        /// Whose disk.
        node: H,
        /// How long after that.
        #[serde(with = "span")]
        lasts: Time,
        /// Whether the write is on the disk all the same.
        #[serde(default, skip_serializing_if = "is_false")]
        written: bool,
    },
    /// An engine answers nothing for a while.
    EngineHangs {
        /// Whose.
        node: H,
        /// For how long.
        #[serde(with = "span")]
        lasts: Time,
    },
    /// An engine restarts.
    EngineRestarts {
        /// Whose.
        node: H,
        /// How long it is gone.
        #[serde(with = "span")]
        lasts: Time,
        /// What is left of its containers.
        survivors: Survivors,
    },
    /// A member lies, besides doing what it should.
    Lies {
        /// Which.
        node: H,
        /// How.
        lies: Vec<Lie>,
        /// For how long.
        #[serde(with = "span::optional", default, skip_serializing_if = "Option::is_none")]
        lasts: Option<Time>,
    },
    /// Somebody kills or removes the first container that runs.
    ByHand {
        /// Where.
        node: H,
        /// Whether it is removed.
        #[serde(default, skip_serializing_if = "is_false")]
        removed: bool,
    },
}

/// What follows from a fault later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Some directions are cut.
    Cut(Vec<(usize, usize)>),
    /// A cut is over.
    Mend(Vec<(usize, usize)>),
    /// A weather is over.
    Clear(u64),
    /// An agent is quick again.
    Quick(usize),
    /// An agent dies.
    Kill(usize),
    /// An agent is started.
    Start(usize),
    /// A member lies no more.
    Honest(usize),
}

impl Then {
    pub(crate) fn happen(self, world: &mut World) {
        match self {
            Self::Cut(pairs) => pairs.into_iter().for_each(|(from, to)| world.cut(from, to)),
            Self::Mend(pairs) => pairs.into_iter().for_each(|(from, to)| world.mend(from, to)),
            Self::Clear(weather) => world.clear(weather),
            Self::Quick(host) => world.hosts[host].each = 0,
            Self::Kill(host) => world.kill(host),
            Self::Start(host) => world.start(host),
            Self::Honest(host) => world.be_honest(host),
        }
    }
}

impl Fault {
    /// Lets it happen. What follows from it, and how much later.
    pub(crate) fn happen(&self, world: &mut World) -> Vec<(Time, Then)> {
        self.between_hosts(world).unwrap_or_else(|| self.at_hosts(world))
    }

    /// The host that it ends for ever.
    pub(crate) const fn grave(&self) -> Option<usize> {
        match self {
            Self::Kill { node, lasts: None }
            | Self::Stop { node, lasts: None }
            | Self::PowerOff { node, lasts: None } => Some(*node),
            _ => None,
        }
    }

    /// The host whose disk it lets fail: its agent will complain.
    pub(crate) const fn failing(&self) -> Option<usize> {
        if let Self::DiskFails { node, .. } = self { Some(*node) } else { None }
    }

    /// The host whose agent it ends.
    pub(crate) const fn ending(&self) -> Option<usize> {
        match self {
            Self::Kill { node, .. } | Self::Stop { node, .. } | Self::PowerOff { node, .. } => Some(*node),
            _ => None,
        }
    }

    /// The host that lies: others will complain of it.
    pub(crate) const fn lying(&self) -> Option<usize> {
        if let Self::Lies { node, .. } = self { Some(*node) } else { None }
    }

    /// The same, if it is one of the network's.
    fn between_hosts(&self, world: &mut World) -> Option<Vec<(Time, Then)>> {
        Some(match self {
            Self::Cut { nodes, one_way, bridge, lasts } => {
                let pairs = across(world, nodes, bridge, !one_way);
                pairs.iter().for_each(|(from, to)| world.cut(*from, *to));
                lasts.iter().map(|after| (*after, Then::Mend(pairs.clone()))).collect()
            }
            Self::IsolateLeader { lasts } => {
                let Some(holder) = holder(world) else { return Some(Vec::new()) };
                let cut = Self::Cut {
                    nodes: vec![holder],
                    one_way: false,
                    bridge: Vec::new(),
                    lasts: Some(*lasts),
                };
                cut.happen(world)
            }
            Self::Coup { lasts, after, down } => {
                let Some(holder) = holder(world) else { return Some(Vec::new()) };
                let mut later = Self::IsolateLeader { lasts: *lasts }.happen(world);
                for host in (0..world.hosts.len()).filter(|host| *host != holder) {
                    later.push((*after, Then::Kill(host)));
                    later.push((*after + *down, Then::Start(host)));
                }
                later
            }
            Self::Ambush { slow, after, lasts, witness } => {
                let Some(holder) = holder(world) else { return Some(Vec::new()) };
                let network = Network { least: *slow, most: *slow + *slow / 10, ..Network::default() };
                let weather = world.rain_on(holder, network);
                let bridge = witness.then_some((holder + 1) % world.hosts.len());
                let pairs = across(world, &[holder], bridge.as_slice(), true);
                let mended = (*after + *lasts, Then::Mend(pairs.clone()));
                vec![(*after, Then::Clear(weather)), (*after, Then::Cut(pairs)), mended]
            }
            Self::Weather { nodes, towards, network, lasts } => {
                let weather = world.rain(nodes.clone(), towards.clone(), *network);
                lasts.iter().map(|after| (*after, Then::Clear(weather))).collect()
            }
            Self::Clog { nodes, lasts } => {
                world.clog(nodes, *lasts);
                Vec::new()
            }
            Self::Reset { node } => {
                world.reset(*node);
                Vec::new()
            }
            _ => return None,
        })
    }

    fn at_hosts(&self, world: &mut World) -> Vec<(Time, Then)> {
        let started = |host: &usize, lasts: &Option<Time>| {
            lasts.iter().map(|after| (*after, Then::Start(*host))).collect::<Vec<_>>()
        };
        match self {
            Self::Kill { node, lasts } => {
                world.kill(*node);
                return started(node, lasts);
            }
            Self::Stop { node, lasts } => {
                world.stop(*node);
                return started(node, lasts);
            }
            Self::KillAll { lasts, apart } => {
                let hosts = 0..world.hosts.len();
                hosts.clone().for_each(|host| world.kill(host));
                let at = |host: usize| *lasts + *apart * host as u64;
                return hosts.map(|host| (at(host), Then::Start(host))).collect();
            }
            Self::PowerOff { node, lasts } => {
                world.power_off(*node);
                return started(node, lasts);
            }
            Self::Pause { node, lasts } => world.pause(*node, *lasts),
            Self::Slow { node, each, lasts } => {
                world.hosts[*node].each = *each;
                return lasts.iter().map(|after| (*after, Then::Quick(*node))).collect();
            }
            Self::Lies { node, lies, lasts } => {
                world.lie(*node, lies.clone());
                return lasts.iter().map(|after| (*after, Then::Honest(*node))).collect();
            }
            Self::WallStep { node, by } => world.hosts[*node].step_wall(by / 1000),
            Self::DiskStalls { node, lasts } => world.stall_disk(*node, *lasts),
            Self::DiskFails { node, lasts, written } => {
                world.hosts[*node].disk.fail_next(Failing { written: *written, back_after: *lasts });
            }
            Self::EngineHangs { node, lasts } => {
                world.with_engine(*node, |engine, now| engine.hang(now, Duration::from_micros(*lasts)));
            }
            Self::EngineRestarts { node, lasts, survivors } => {
                let (time, survivors) = (Duration::from_micros(*lasts), *survivors);
                world.with_engine(*node, |engine, now| engine.restart(now, time, survivors));
            }
            Self::ByHand { node, removed } => world.with_engine(*node, |engine, now| {
                let Some(task) = engine.running().find_map(Container::task) else { return };
                if *removed { engine.remove_by_hand(now, task) } else { engine.kill_by_hand(now, task) }
            }),
            // Those are the network's.
            Self::Cut { .. }
            | Self::IsolateLeader { .. }
            | Self::Coup { .. }
            | Self::Ambush { .. }
            | Self::Weather { .. }
            | Self::Clog { .. }
            | Self::Reset { .. } => {}
        }
        Vec::new()
    }
}

impl<H> Fault<H> {
    /// The same fault with its hosts called otherwise.
    ///
    /// # Errors
    /// The first that a host's new name cannot be found for.
    pub fn map<K, E>(self, call: &mut impl FnMut(H) -> Result<K, E>) -> Result<Fault<K>, E> {
        let mut all = |hosts: Vec<H>| hosts.into_iter().map(&mut *call).collect::<Result<Vec<K>, E>>();
        Ok(match self {
            Self::Cut { nodes, one_way, bridge, lasts } => {
                Fault::Cut { nodes: all(nodes)?, one_way, bridge: all(bridge)?, lasts }
            }
            Self::IsolateLeader { lasts } => Fault::IsolateLeader { lasts },
            Self::Coup { lasts, after, down } => Fault::Coup { lasts, after, down },
            Self::Ambush { slow, after, lasts, witness } => Fault::Ambush { slow, after, lasts, witness },
            Self::Weather { nodes, towards, network, lasts } => {
                Fault::Weather { nodes: all(nodes)?, towards: all(towards)?, network, lasts }
            }
            Self::Clog { nodes, lasts } => Fault::Clog { nodes: all(nodes)?, lasts },
            Self::Reset { node } => Fault::Reset { node: call(node)? },
            Self::Kill { node, lasts } => Fault::Kill { node: call(node)?, lasts },
            Self::Stop { node, lasts } => Fault::Stop { node: call(node)?, lasts },
            Self::KillAll { lasts, apart } => Fault::KillAll { lasts, apart },
            Self::PowerOff { node, lasts } => Fault::PowerOff { node: call(node)?, lasts },
            Self::Pause { node, lasts } => Fault::Pause { node: call(node)?, lasts },
            Self::Slow { node, each, lasts } => Fault::Slow { node: call(node)?, each, lasts },
            Self::WallStep { node, by } => Fault::WallStep { node: call(node)?, by },
            Self::DiskStalls { node, lasts } => Fault::DiskStalls { node: call(node)?, lasts },
            Self::DiskFails { node, lasts, written } => {
                Fault::DiskFails { node: call(node)?, lasts, written }
            }
            Self::EngineHangs { node, lasts } => Fault::EngineHangs { node: call(node)?, lasts },
            Self::EngineRestarts { node, lasts, survivors } => {
                Fault::EngineRestarts { node: call(node)?, lasts, survivors }
            }
            Self::Lies { node, lies, lasts } => Fault::Lies { node: call(node)?, lies, lasts },
            Self::ByHand { node, removed } => Fault::ByHand { node: call(node)?, removed },
        })
    }
}

const fn is_false(value: &bool) -> bool {
    !*value
}

fn holder(world: &World) -> Option<usize> {
    let holds =
        |host: &Host| host.node.as_ref().is_some_and(|node| node.holding(host.now(world.now)).is_some());
    world.hosts.iter().position(holds)
}

/// The directions that are cut when hosts are parted from all others but a bridge.
fn across(world: &World, side: &[usize], bridge: &[usize], both: bool) -> Vec<(usize, usize)> {
    let outside = (0..world.hosts.len()).filter(|host| !side.contains(host) && !bridge.contains(host));
    let inside = side.iter().filter(|host| !bridge.contains(host));
    let pairs = outside.flat_map(|out| inside.clone().map(move |inside| (*inside, out)));
    pairs.flat_map(|(one, other)| [Some((one, other)), both.then_some((other, one))]).flatten().collect()
}
