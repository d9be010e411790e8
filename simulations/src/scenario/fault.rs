//! One fault, as a scenario names it and a seed draws it.
//!
//! # Not here
//! What it does to a world: `happen`.

use serde::{Deserialize, Serialize};

use crate::engine::Survivors;
use crate::liar::Lie;
use crate::span;
use crate::world::{Network, Time};

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
    /// Nobody hears the holder, nor does it hear anybody: not yet, but as soon as the last step of a change
    /// of voters has reached one of them.
    Usurp {
        /// For how long.
        #[serde(with = "span")]
        lasts: Time,
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
    /// A host is given another address: what is sent to where it was is lost.
    AddressesChange {
        /// Which.
        node: H,
    },
    /// Two hosts are given each other's addresses.
    AddressesSwapped {
        /// The one
        node: H,
        /// and the other.
        with: H,
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
    /// An agent is told to stop, and is of the next release when it is started again: one that speaks the
    /// next protocol, and writes what nobody here can read.
    Upgrade {
        /// Whose.
        node: H,
        /// When it is started again.
        #[serde(with = "span")]
        lasts: Time,
    },
    /// An agent is told to stop, and is of this release again when it is started again.
    Rollback {
        /// Whose.
        node: H,
        /// When it is started again.
        #[serde(with = "span")]
        lasts: Time,
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
    /// There is no room on a disk: every write fails. The agent ends of the first, is started again, and ends
    /// of its next.
    DiskFull {
        /// Whose disk.
        node: H,
        /// For how long.
        #[serde(with = "span::optional", default, skip_serializing_if = "Option::is_none")]
        lasts: Option<Time>,
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
    /// The same, and all its containers run on: not yet, but as soon as it is starting one.
    StartInterrupted {
        /// Whose.
        node: H,
        /// How long it is gone.
        #[serde(with = "span")]
        lasts: Time,
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
    /// A host goes down with its containers, and comes back with its disk as it was before: somebody put an
    /// earlier image back.
    OldDisk {
        /// Which.
        node: H,
        /// How much earlier. At most the disk as it was when things began to go wrong.
        #[serde(with = "span")]
        age: Time,
        /// When it is switched on again.
        #[serde(with = "span")]
        lasts: Time,
        /// Whether what it promised as a voter is on the image all the same. The lease is proven for voters
        /// that remember.
        #[serde(default, skip_serializing_if = "is_false")]
        votes_kept: bool,
    },
    /// A host goes down with its containers, and comes back with nothing on its disk, not even its key: a new
    /// node, which somebody joins to the cluster; the one that it was is removed. Where the others are no
    /// majority of the voters nothing happens, unless a person is there to recover the cluster: there would
    /// be no way back.
    EmptyDisk {
        /// Which.
        node: H,
        /// When it is switched on again.
        #[serde(with = "span")]
        lasts: Time,
        /// Whether somebody recovers the cluster if nobody leads it ten seconds later.
        #[serde(default, skip_serializing_if = "is_false")]
        recover: bool,
    },
    /// Somebody types at a host that it is the one survivor: it founds the next generation. Refused where
    /// somebody leads, or most voters answer.
    Recover {
        /// Where.
        node: H,
        /// Whether it is not refused.
        #[serde(default, skip_serializing_if = "is_false")]
        force: bool,
    },
    /// Somebody types at a host that another, or itself, may speak for the cluster from now on, or may not
    /// any more. Nothing happens if its agent is not running.
    Role {
        /// Whose role.
        node: H,
        /// Where it is typed.
        by: H,
        /// Whether it only carries out work from now on.
        worker: bool,
    },
    /// Somebody types at a host how many tasks a service is to have. Nothing happens if its agent is not
    /// running, or knows no such service.
    Scale {
        /// Which.
        service: String,
        /// How many.
        replicas: u32,
        /// Where it is typed.
        by: H,
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
            Self::Usurp { lasts } => Fault::Usurp { lasts },
            Self::Coup { lasts, after, down } => Fault::Coup { lasts, after, down },
            Self::Ambush { slow, after, lasts, witness } => Fault::Ambush { slow, after, lasts, witness },
            Self::Weather { nodes, towards, network, lasts } => {
                Fault::Weather { nodes: all(nodes)?, towards: all(towards)?, network, lasts }
            }
            Self::Clog { nodes, lasts } => Fault::Clog { nodes: all(nodes)?, lasts },
            Self::Reset { node } => Fault::Reset { node: call(node)? },
            Self::AddressesChange { node } => Fault::AddressesChange { node: call(node)? },
            Self::AddressesSwapped { node, with } => {
                Fault::AddressesSwapped { node: call(node)?, with: call(with)? }
            }
            Self::Kill { node, lasts } => Fault::Kill { node: call(node)?, lasts },
            Self::Stop { node, lasts } => Fault::Stop { node: call(node)?, lasts },
            Self::Upgrade { node, lasts } => Fault::Upgrade { node: call(node)?, lasts },
            Self::Rollback { node, lasts } => Fault::Rollback { node: call(node)?, lasts },
            Self::KillAll { lasts, apart } => Fault::KillAll { lasts, apart },
            Self::PowerOff { node, lasts } => Fault::PowerOff { node: call(node)?, lasts },
            Self::Pause { node, lasts } => Fault::Pause { node: call(node)?, lasts },
            Self::Slow { node, each, lasts } => Fault::Slow { node: call(node)?, each, lasts },
            Self::WallStep { node, by } => Fault::WallStep { node: call(node)?, by },
            Self::DiskStalls { node, lasts } => Fault::DiskStalls { node: call(node)?, lasts },
            Self::DiskFails { node, lasts, written } => {
                Fault::DiskFails { node: call(node)?, lasts, written }
            }
            Self::DiskFull { node, lasts } => Fault::DiskFull { node: call(node)?, lasts },
            Self::EngineHangs { node, lasts } => Fault::EngineHangs { node: call(node)?, lasts },
            Self::EngineRestarts { node, lasts, survivors } => {
                Fault::EngineRestarts { node: call(node)?, lasts, survivors }
            }
            Self::StartInterrupted { node, lasts } => Fault::StartInterrupted { node: call(node)?, lasts },
            Self::Lies { node, lies, lasts } => Fault::Lies { node: call(node)?, lies, lasts },
            Self::OldDisk { node, age, lasts, votes_kept } => {
                Fault::OldDisk { node: call(node)?, age, lasts, votes_kept }
            }
            Self::EmptyDisk { node, lasts, recover } => {
                Fault::EmptyDisk { node: call(node)?, lasts, recover }
            }
            Self::Recover { node, force } => Fault::Recover { node: call(node)?, force },
            Self::Role { node, by, worker } => Fault::Role { node: call(node)?, by: call(by)?, worker },
            Self::Scale { service, replicas, by } => Fault::Scale { service, replicas, by: call(by)? },
            Self::ByHand { node, removed } => Fault::ByHand { node: call(node)?, removed },
        })
    }
}

const fn is_false(value: &bool) -> bool {
    !*value
}
