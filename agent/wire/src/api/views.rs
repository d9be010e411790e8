//! What clients are shown. Times are RFC 3339, in UTC, and for people only. Nothing here depends on the node
//! asked, except [`Status::seen_from`] and what follows from it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::requests::Spec;
use super::{Durability, object};
use crate::node::Availability;
use crate::spec::Mode;
use crate::trust::Role;

object! {
    /// What this agent is, and what it sees.
    pub struct Status {
        /// The asked node's id.
        pub node: String,
        /// Its name.
        pub name: String,
        /// The release of its agent.
        pub version: String,
        /// The cluster's id; absent if it is in none.
        pub cluster: Option<String>,
        /// The asked node's role; absent if it is in no cluster.
        pub role: Option<Role>,
        /// Who plans, as far as the asked node knows.
        pub leader: Option<Leader>,
        /// How many unremoved nodes there are.
        pub nodes: u32,
        /// How many of them the asked node sees, itself included.
        pub seen: u32,
        /// How often the cluster was recovered by hand.
        #[serde(default)]
        pub generation: u32,
        /// Who votes on the lease.
        pub voters: Vec<VoterView>,
        /// How many services there are.
        pub services: u32,
        /// How many tasks run, and how many should.
        pub running: u32,
        /// How many should run.
        pub desired: u32,
        /// What needs a person, in words.
        pub alarms: Vec<String>,
        /// Where the agent listens for others, as `IP:PORT`.
        pub addresses: Vec<String>,
        /// The asked node's name again: whose view this is.
        pub seen_from: String,
    }
}

object! {
    /// The lease holder.
    pub struct Leader {
        /// Its id.
        pub id: String,
        /// Its name.
        pub name: String,
        /// The term of its tenure.
        pub term: u64,
        /// Whether it was heard of within a lease.
        pub fresh: bool,
    }
}

object! {
    /// One voter.
    pub struct VoterView {
        /// Its id.
        pub id: String,
        /// Its name.
        pub name: String,
        /// How much its vote weighs.
        pub weight: u32,
        /// Whether the asked node hears it.
        #[serde(default = "yes")]
        pub heard: bool,
    }
}

/// An agent that does not say so is of an earlier release, and takes its voters to be well.
const fn yes() -> bool {
    true
}

object! {
    /// The cluster was recovered, or had been.
    pub struct Recovered {
        /// Whether that is news.
        pub changed: bool,
        /// How often it was by now.
        pub generation: u32,
    }
}

object! {
    /// A cluster was founded.
    pub struct Initialised {
        /// The cluster's id.
        pub cluster: String,
        /// This node's id.
        pub node: String,
        /// Its name.
        pub name: String,
        /// A join token for an hour.
        pub token: String,
        /// Where others reach this node, as `IP:PORT`, best first.
        pub addresses: Vec<String>,
    }
}

object! {
    /// This node joined.
    pub struct Joined {
        /// The cluster's id.
        pub cluster: String,
        /// This node's id.
        pub node: String,
        /// Its name.
        pub name: String,
        /// Its role.
        pub role: Role,
    }
}

object! {
    /// A join token was made.
    pub struct TokenCreated {
        /// The token's string, shown once.
        pub token: String,
        /// Its id.
        pub id: String,
        /// Where this node is reached, for the line to paste.
        pub addresses: Vec<String>,
        /// Where it is durable.
        pub durability: Durability,
    }
}

object! {
    /// Answer to an operator's admission.
    pub struct OperatorCreated {
        /// Its id.
        pub id: String,
        /// Whether anything is different now.
        pub changed: bool,
        /// Where it is durable.
        pub durability: Durability,
    }
}

object! {
    /// A join token.
    pub struct TokenView {
        /// Its id.
        pub id: String,
        /// The role it admits to.
        pub role: Role,
        /// Whether it admits one node only.
        pub single_use: bool,
        /// How long it is still good for, in milliseconds of cluster time; absent: for ever; 0: expired.
        pub expires_in_ms: Option<u64>,
        /// Whether it was revoked.
        pub revoked: bool,
        /// When it was made.
        pub created_at: String,
        /// Who made it.
        pub creator: String,
    }
}

object! {
    /// An operator: a key that may command from afar.
    pub struct OperatorView {
        /// Its id, derived from the key.
        pub id: String,
        /// What people call its owner; several may be called so.
        pub name: String,
        /// When it was admitted.
        pub created_at: String,
        /// Through which node.
        pub creator: String,
    }
}

/// What is known of a node's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    /// It answers, and takes work if it may.
    Ready,
    /// It answers, but not all that runs tasks there is well.
    Ill,
    /// It did not answer lately.
    Suspect,
    /// It announced a restart.
    Restarting,
    /// It does not answer.
    Down,
}

object! {
    /// A node.
    pub struct NodeView {
        /// Its id.
        pub id: String,
        /// Its name.
        pub name: String,
        /// What the asked node knows of its life.
        pub status: NodeStatus,
        /// Whether it takes work.
        pub availability: Availability,
        /// Its role.
        pub role: Role,
        /// Whether it holds the lease.
        pub leader: bool,
        /// The release of its agent.
        pub version: String,
        /// Where it listens, as `IP:PORT`.
        pub addresses: Vec<String>,
        /// Whether it is the node asked.
        #[serde(rename = "self")]
        pub is_self: bool,
        /// What can run tasks there.
        pub runtimes: Vec<RuntimeView>,
    }
}

object! {
    /// A node, in detail.
    pub struct NodeDetail {
        /// What lists show.
        pub node: NodeView,
        /// Labels, the host's own and those set by people.
        pub labels: BTreeMap<String, String>,
        /// As the kernel calls it.
        pub architecture: String,
        /// As the kernel calls it.
        pub os: String,
        /// In thousandths of a core.
        pub cpu_milli: u64,
        /// In bytes.
        pub memory: u64,
        /// How far its wall clock is off cluster time as others see it, in milliseconds; absent if unknown.
        pub wall_clock_off_ms: Option<i64>,
        /// How many tasks run there.
        pub running: u32,
    }
}

object! {
    /// One runtime of a node.
    pub struct RuntimeView {
        /// `docker` or `process`.
        pub runtime: String,
        /// The engine's version.
        pub version: String,
        /// What is wrong with it; empty if it is well.
        pub ill: String,
    }
}

object! {
    /// A service.
    pub struct ServiceView {
        /// Its id.
        pub id: String,
        /// Its name; `name~id4` if an older one has the name.
        pub name: String,
        /// How many tasks it has.
        pub mode: Mode,
        /// How many tasks should run.
        pub desired: u32,
        /// How many do.
        pub running: u32,
        /// The image of its current revision; the command, for processes.
        pub image: String,
        /// Published ports, as Docker writes them: `8080->80/tcp`.
        pub ports: Vec<String>,
        /// Its current revision.
        pub revision: String,
    }
}

object! {
    /// A service, in detail.
    pub struct ServiceDetail {
        /// What lists show.
        pub service: ServiceView,
        /// What its current revision says.
        pub spec: Spec,
        /// When it was created.
        pub created_at: String,
        /// When its current revision was written.
        pub updated_at: String,
        /// The update under way, in words; empty if none is.
        pub update: String,
        /// Revisions that nobody decided between.
        pub conflicts: Vec<RevisionView>,
    }
}

object! {
    /// A revision of a service.
    pub struct RevisionView {
        /// Its id.
        pub id: String,
        /// When it was written.
        pub at: String,
        /// Through which node.
        pub author: String,
        /// Its image; the command, for processes.
        pub image: String,
        /// Whether it is the current one.
        pub current: bool,
        /// The revisions that it replaced.
        pub parents: Vec<String>,
        /// What differs from the first parent, in words.
        pub changes: Vec<String>,
    }
}

object! {
    /// A task.
    pub struct TaskView {
        /// Its id.
        pub id: String,
        /// Its service's name.
        pub service: String,
        /// Its slot.
        pub slot: String,
        /// `service.slot`.
        pub name: String,
        /// The name of its node; empty while it has none.
        pub node: String,
        /// What it runs.
        pub image: String,
        /// `running`, or `stopped` for one that is to end.
        pub desired: String,
        /// `pending`, `assigned`, `preparing`, `starting`, `running`, `stopping`, `complete`, `failed`,
        /// `stopped`; `lost` if its node is down.
        pub state: String,
        /// Since when, if known.
        pub since: Option<String>,
        /// What is wrong, or which attempt it waits for; empty if there is nothing to say. Why a task was
        /// stopped is nothing wrong: see [`Why`].
        pub error: String,
        /// When the attempt starts that it waits for, by its node's wall clock.
        #[serde(default)]
        pub next_attempt_at: Option<String>,
        /// When it started.
        pub started_at: Option<String>,
        /// How it ended.
        pub exit_code: Option<i32>,
        /// The engine's name for it.
        pub container: String,
        /// Published ports.
        pub ports: Vec<String>,
        /// Whether it is over and only remembered.
        pub history: bool,
        /// Its last lines of output, if it failed.
        pub last_lines: Vec<String>,
    }
}

object! {
    /// How far the cluster is from what was asked for: for those who wait.
    pub struct Progress {
        /// The services asked about, or all; each by id; a removed one stays until its last task is gone.
        pub services: Vec<ServiceProgress>,
        /// The nodes asked about, or all.
        pub nodes: Vec<NodeProgress>,
        /// Whether all of it is as it should be.
        pub converged: bool,
        /// Whether what is left cannot be placed.
        pub stuck: bool,
    }
}

object! {
    /// How far one service is.
    pub struct ServiceProgress {
        /// Its id.
        pub id: String,
        /// Its name.
        pub name: String,
        /// Whether it was removed.
        pub removed: bool,
        /// How many tasks should run.
        pub desired: u32,
        /// When that was last said since it was created; RFC 3339.
        #[serde(default)]
        pub scaled_at: Option<String>,
        /// The name of the node through which that was said.
        #[serde(default)]
        pub scaled_by: Option<String>,
        /// How many of its current revision have run for a second, and pass their check.
        pub settled: u32,
        /// Each slot.
        pub slots: Vec<SlotProgress>,
        /// Tasks that are to end and have not.
        pub ending: u32,
        /// Which these are, as far as is known.
        #[serde(default)]
        pub leaving: Vec<Leaving>,
        /// Nodes that are down and still have tasks of it, by name.
        pub waiting_for_down: Vec<String>,
        /// The update under way, in words; empty if none is.
        pub update: String,
        /// Whether every node that is up has what it should have.
        pub converged: bool,
    }
}

object! {
    /// A task that is to end and has not.
    pub struct Leaving {
        /// `service.slot`.
        pub name: String,
        /// The name of its node.
        pub node: String,
        /// As in [`TaskView::state`].
        pub state: String,
        /// When it is killed at the latest, by its node's wall clock, if it was asked to stop.
        #[serde(default)]
        pub killed_at: Option<String>,
        /// What keeps its node from stopping it; empty if nothing is known to.
        #[serde(default)]
        pub trouble: String,
    }
}

object! {
    /// How far one slot is.
    pub struct SlotProgress {
        /// `service.slot`.
        pub name: String,
        /// The name of its node; empty while it has none.
        pub node: String,
        /// As in [`TaskView::state`].
        pub state: String,
        /// What is wrong, or which attempt it waits for; empty if there is nothing to say.
        pub message: String,
        /// As in [`TaskView::next_attempt_at`].
        #[serde(default)]
        pub next_attempt_at: Option<String>,
        /// Why each node refuses it, if it is pending.
        pub refusals: Vec<Refusal>,
        /// Whether it is as it should be.
        pub settled: bool,
    }
}

object! {
    /// Why a node does not take a task.
    pub struct Refusal {
        /// The node's name.
        pub node: String,
        /// `draining`, `memory`, `port`, …: the filter.
        pub filter: String,
        /// In words.
        pub reason: String,
    }
}

object! {
    /// How far one node is.
    pub struct NodeProgress {
        /// Its id.
        pub id: String,
        /// Its name.
        pub name: String,
        /// What is known of its life.
        pub status: NodeStatus,
        /// Whether it takes work.
        pub availability: Availability,
        /// How many of our tasks have not ended there.
        pub tasks: u32,
        /// Whether it is as its availability says.
        pub converged: bool,
    }
}

object! {
    /// Why something is as it is.
    pub struct Why {
        /// What was asked about, by its full name.
        pub subject: String,
        /// In one sentence.
        pub summary: String,
        /// Since when that is so; empty if it is not known.
        #[serde(default)]
        pub at: String,
        /// What happened, oldest first.
        pub story: Vec<WhyLine>,
        /// Of a service, each of its slots.
        #[serde(default)]
        pub slots: Vec<WhySlot>,
        /// What each node answers, if it is pending; what it would answer otherwise. Of a service, what they
        /// answer to those of its slots that are pending.
        pub refusals: Vec<Refusal>,
        /// What the last failed attempt wrote last, if no attempt has run since.
        #[serde(default)]
        pub last_lines: Vec<String>,
    }
}

object! {
    /// One slot of a service that somebody asks about.
    pub struct WhySlot {
        /// `service.slot`.
        pub name: String,
        /// How it stands, in one sentence.
        pub summary: String,
        /// Whether it is as it should be.
        pub settled: bool,
    }
}

object! {
    /// One thing that happened.
    pub struct WhyLine {
        /// When, by the wall clock of whoever wrote it down.
        pub at: String,
        /// What.
        pub text: String,
    }
}

object! {
    /// What would come of a proposal, by the planner of the node asked. Nothing was changed. Of equally good
    /// nodes another may be chosen in earnest.
    pub struct Plan {
        /// What differs in the services and nodes themselves, in words.
        pub changes: Vec<String>,
        /// What begins, ends and moves, in its order.
        pub moves: Vec<PlannedMove>,
        /// Tasks that no node would take.
        pub pending: Vec<PlannedPending>,
        /// Whether it was followed to its end.
        pub complete: bool,
        /// How many unremoved nodes there are.
        pub nodes: u32,
        /// How many of them the node asked sees, itself included.
        pub seen: u32,
        /// Whose view this is.
        pub seen_from: String,
    }
}

object! {
    /// A task that would begin, end, or give way to another.
    pub struct PlannedMove {
        /// `service.slot`.
        pub name: String,
        /// The name of the node where it is; empty if it is new.
        pub from: String,
        /// The name of the node where it would be; empty if it would end.
        pub to: String,
        /// Why, and why there.
        pub why: String,
    }
}

object! {
    /// A task that no node would take.
    pub struct PlannedPending {
        /// `service.slot`.
        pub name: String,
        /// Why each node refuses it.
        pub refusals: Vec<Refusal>,
    }
}
