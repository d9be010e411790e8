//! A run before it is run: who there is, what they are to run, what goes wrong, and when.
//!
//! A seed draws one ([`crate::chaos`]), a file names one ([`file`]); both are the same thing, so that
//! whatever a seed showed can be written down, made smaller ([`crate::shrink`]) and kept for ever.
//!
//! # Not here
//! What must hold meanwhile and afterwards: `invariants`, `liveness`.

mod fault;
pub mod file;
mod happen;
mod later;
pub mod stories;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use fault::Fault;
pub(crate) use later::Then;

use crate::engine::Faults;
use crate::span;
use crate::world::{Network, SECOND, Time};

/// Everything that a run depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What people call it.
    pub name: String,
    /// What it tells, in a sentence or two.
    pub story: String,
    /// All chance comes from it.
    pub seed: u64,
    /// Who there is.
    pub hosts: Vec<HostPlan>,
    /// What is deployed before anything goes wrong.
    pub services: Vec<ServicePlan>,
    /// How long things go wrong.
    pub lasts: Time,
    /// For how long a control node answers before it is given a seat.
    pub growth_wait: Time,
    /// How much sooner than it should a node believes that nobody leads.
    pub impatience: Time,
    /// What the network is like meanwhile.
    pub network: Network,
    /// How likely each mishap of an engine is meanwhile.
    pub engines: Faults,
    /// The mean time between two commands; `None` without users.
    pub users_every: Option<Time>,
    /// What happens when, in order.
    pub faults: Vec<(Time, Fault)>,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HostPlan {
    /// What people call it.
    pub name: String,
    /// By how much its boot clock is too fast, in millionths.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clock_ppm: i32,
    /// Whether it joins as a worker.
    #[serde(default, skip_serializing_if = "is_false")]
    pub worker: bool,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServicePlan {
    /// What people call it.
    pub name: String,
    /// How many tasks it is to have.
    pub replicas: u32,
}

impl Scenario {
    /// A calm run: so many hosts, and the sleep app.
    pub fn calm(hosts: usize, seed: u64) -> Self {
        Self {
            name: format!("seed {seed}"),
            story: String::new(),
            seed,
            hosts: (0..hosts).map(HostPlan::numbered).collect(),
            services: vec![ServicePlan { name: "sleep-app".to_owned(), replicas: 5 }],
            lasts: 60 * SECOND,
            growth_wait: 30 * SECOND,
            impatience: 0,
            network: Network::default(),
            engines: Faults::default(),
            users_every: None,
            faults: Vec::new(),
        }
    }

    /// The hosts that answer all the time; `None` if more goes wrong than that one lies and agents end.
    pub(crate) fn answering(&self) -> Option<BTreeSet<usize>> {
        let told = |(_, fault): &(Time, Fault)| fault.lying().or_else(|| fault.ending());
        let lying: BTreeSet<usize> = self.faults.iter().filter_map(|(_, fault)| fault.lying()).collect();
        let more = self.network != Network::default() || lying.len() > 1;
        if more || self.faults.iter().any(|fault| told(fault).is_none()) {
            return None;
        }
        let ending: BTreeSet<usize> = self.faults.iter().filter_map(|(_, fault)| fault.ending()).collect();
        Some((0..self.hosts.len()).filter(|host| !ending.contains(host)).collect())
    }
}

impl HostPlan {
    /// A host that nobody has named.
    pub fn numbered(number: usize) -> Self {
        Self { name: format!("node{}", number + 1), clock_ppm: 0, worker: false, labels: BTreeMap::new() }
    }
}

const fn is_false(value: &bool) -> bool {
    !*value
}

const fn is_zero(value: &i32) -> bool {
    *value == 0
}
