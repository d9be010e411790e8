//! Why a node cannot take a task: what refuses it is what explains it.

use alloc::string::String;

use sleep_wire::ServiceId;
use sleep_wire::spec::{Protocol, Runtime};

/// Why a node cannot take a task, as facts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// It does not answer.
    Down,
    /// It restarts.
    Held,
    /// Its operator sends its work away.
    Draining,
    /// Its operator lets it take no new work.
    Paused,
    /// It has nothing that runs such tasks.
    NoRuntime {
        /// What it lacks.
        runtime: Runtime,
    },
    /// What runs such tasks is ill.
    Ill {
        /// What is.
        runtime: Runtime,
        /// In what way.
        reason: String,
    },
    /// A constraint does not hold, or cannot be read.
    Constraint {
        /// As typed.
        text: String,
    },
    /// Not enough memory is unreserved.
    Memory {
        /// In bytes.
        needs: u64,
        /// In bytes.
        free: u64,
    },
    /// Not enough of its cores is unreserved.
    Cpu {
        /// In thousandths of a core.
        needs: u64,
        /// In thousandths of a core.
        free: u64,
    },
    /// A host port is taken.
    PortTaken {
        /// Which.
        port: u16,
        /// Over what.
        protocol: Protocol,
        /// By whose task.
        by: ServiceId,
    },
    /// It has as many of the service as the service allows.
    MaxPerNode {
        /// How many.
        max: u32,
    },
    /// Tasks of this revision could not be started there.
    RecentFailures {
        /// How many attempts in the last while.
        attempts: u32,
    },
}
