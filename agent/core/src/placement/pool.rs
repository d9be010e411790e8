//! Nodes that satisfy the same constraints, by failure domain. Services that ask for the same share one pool.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use sleep_wire::spec::{Revision, Runtime};

use super::constraint::{Constraint, parse_constraint};
use super::facts::{Liveness, NodeFact};
use super::hash::hash_text;
use super::refused::Refused;

/// What services of one pool have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PoolKey {
    constraints: Vec<String>,
    spread_by: String,
    runtime: Runtime,
}

/// The nodes that satisfy what seldom changes: constraints and runtimes.
#[derive(Debug)]
pub(crate) struct Pool {
    rules: Vec<(String, Option<Constraint>)>,
    spread_by: String,
    runtime: Runtime,
    /// Domains are never taken away, so that their places stay: one may be empty.
    pub(crate) domains: Vec<Domain>,
    /// One more than the domain of each node, by the node's place in the fleet; 0 for those outside.
    domain_of: Vec<u32>,
}

/// A failure domain.
#[derive(Debug)]
pub(crate) struct Domain {
    value: String,
    /// Tells domains apart where they are otherwise equal.
    pub(crate) seed: u64,
    /// Its nodes' places in the fleet, in the order of their ids.
    pub(crate) nodes: Vec<u32>,
}

impl PoolKey {
    pub(crate) fn of(revision: &Revision) -> Self {
        let mut constraints = revision.placement.constraints.clone();
        constraints.sort();
        // As constraints spell a label, or its bare name.
        let label = revision.placement.spread_by.as_str();
        Self {
            constraints,
            spread_by: label.strip_prefix("node.labels.").unwrap_or(label).to_string(),
            runtime: revision.template.runtime,
        }
    }
}

impl Pool {
    pub(crate) fn new(key: &PoolKey) -> Self {
        Self {
            rules: key.constraints.iter().map(|text| (text.clone(), parse_constraint(text).ok())).collect(),
            spread_by: key.spread_by.clone(),
            runtime: key.runtime,
            domains: Vec::new(),
            domain_of: Vec::new(),
        }
    }

    /// Whether a node belongs here.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn judge(&self, node: &NodeFact) -> Result<(), Refused> {
        if !node.runtimes.contains_key(&self.runtime) {
            return Err(Refused::NoRuntime { runtime: self.runtime });
        }
        for (text, rule) in &self.rules {
            if !rule.as_ref().is_some_and(|rule| rule.holds(node)) {
                return Err(Refused::Constraint { text: text.clone() });
            }
        }
        Ok(())
    }

    /// The domain of a node; `None` if the node is outside.
    pub(crate) fn domain_of(&self, node: u32) -> Option<usize> {
        match self.domain_of.get(node as usize) {
            Some(0) | None => None,
            Some(domain) => Some(*domain as usize - 1),
        }
    }

    /// Takes a node out, and in again if it belongs here. `before` orders places by their nodes' ids.
    pub(crate) fn update(
        &mut self,
        place: u32,
        node: Option<&NodeFact>,
        before: impl Fn(u32, u32) -> core::cmp::Ordering,
    ) {
        if let Some(domain) = self.domain_of(place) {
            self.domain_of[place as usize] = 0;
            self.domains[domain].nodes.retain(|other| *other != place);
        }
        let Some(node) = node else { return };
        if node.liveness == Liveness::Removed || self.judge(node).is_err() {
            return;
        }
        let domain = self.domain_for(node);
        let nodes = &mut self.domains[domain].nodes;
        let at = nodes.binary_search_by(|other| before(*other, place)).unwrap_or_else(|at| at);
        nodes.insert(at, place);
        if self.domain_of.len() <= place as usize {
            self.domain_of.resize(place as usize + 1, 0);
        }
        self.domain_of[place as usize] =
            u32::try_from(domain + 1).expect("there are no more domains than nodes ever were");
    }

    fn domain_for(&mut self, node: &NodeFact) -> usize {
        let value = node.labels.get(&self.spread_by).map_or("", String::as_str);
        self.domains.iter().position(|domain| domain.value == value).unwrap_or_else(|| {
            let (seed, value) = (hash_text(value), value.to_string());
            self.domains.push(Domain { value, seed, nodes: Vec::new() });
            self.domains.len() - 1
        })
    }
}
