//! The search for a node: failure domain, then a few candidates, then the whole domain, then the next.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use sleep_wire::RevisionId;
use sleep_wire::slot::Choice;

use super::fleet::{Fleet, Want};
use super::hash::{below, mix};
use super::pool::{Domain, Pool};
use super::score::Score;
use super::{CANDIDATES, SMALL_DOMAIN};

/// How many tasks of one service there are on each node and in each domain, while it is planned.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    on_node: Vec<u32>,
    in_domain: Vec<u32>,
    touched: Vec<u32>,
}

/// Nodes of a domain in the order of their scores, while one revision is placed.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    revision: Option<RevisionId>,
    by_domain: BTreeMap<usize, BTreeSet<(Score, u32)>>,
    /// Whether a search found nothing: then the next will not either.
    exhausted: bool,
}

/// One search.
pub(crate) struct Seek<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) tally: &'a Tally,
    pub(crate) want: Want<'a>,
    pub(crate) service_seed: u64,
}

impl Tally {
    pub(crate) fn clear(&mut self, nodes: usize, domains: usize) {
        for place in self.touched.drain(..) {
            self.on_node[place as usize] = 0;
        }
        self.on_node.resize(nodes, 0);
        self.in_domain.clear();
        self.in_domain.resize(domains, 0);
    }

    pub(crate) fn add(&mut self, pool: &Pool, place: u32) {
        self.on_node[place as usize] += 1;
        self.touched.push(place);
        if let Some(domain) = pool.domain_of(place) {
            self.in_domain[domain] += 1;
        }
    }

    pub(crate) fn take(&mut self, pool: &Pool, place: u32) {
        self.on_node[place as usize] -= 1;
        if let Some(domain) = pool.domain_of(place) {
            self.in_domain[domain] -= 1;
        }
    }

    pub(crate) fn on_node(&self, place: u32) -> u32 {
        self.on_node[place as usize]
    }

    pub(crate) fn in_domain(&self, domain: usize) -> u32 {
        self.in_domain[domain]
    }

    /// The most on one node, or in one of several domains.
    pub(crate) fn peak(&self) -> u32 {
        let node = self.touched.iter().map(|place| self.on_node(*place)).max().unwrap_or(0);
        let domain = if self.in_domain.len() > 1 { self.in_domain.iter().copied().max() } else { None };
        node.max(domain.unwrap_or(0))
    }
}

impl Queues {
    /// Forgets what was queued for another revision.
    pub(crate) fn start(&mut self, revision: RevisionId) {
        if self.revision != Some(revision) {
            self.forget();
            self.revision = Some(revision);
        }
    }

    /// Searches, unless that is known to be in vain.
    pub(crate) fn run<T>(&mut self, search: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.exhausted {
            return None;
        }
        let found = search(self);
        self.exhausted = found.is_none();
        found
    }

    /// Forgets everything: a node lost a task.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Seek<'_> {
    /// The best node for a task of a slot, if any takes it. `queues` make further searches of one pass cheap;
    /// they hold as long as nodes only get fuller.
    pub(crate) fn best(&self, slot_seed: u64, mut queues: Option<&mut Queues>) -> Option<(u32, Choice)> {
        let pool = self.want.pool;
        let first = (0..pool.domains.len()).min_by_key(|domain| self.domain_rank(*domain))?;
        if let Some(found) = self.best_in(first, slot_seed, queues.as_deref_mut()) {
            return Some(found);
        }
        let mut others: Vec<usize> = (0..pool.domains.len()).filter(|domain| *domain != first).collect();
        others.sort_unstable_by_key(|domain| self.domain_rank(*domain));
        others.into_iter().find_map(|domain| self.best_in(domain, slot_seed, queues.as_deref_mut()))
    }

    fn domain_rank(&self, domain: usize) -> (bool, u32, u64) {
        let Domain { seed, nodes, .. } = &self.want.pool.domains[domain];
        (nodes.is_empty(), self.tally.in_domain(domain), mix(self.service_seed, *seed))
    }

    /// The best node of a domain, if any takes the task.
    pub(crate) fn best_in(
        &self,
        domain: usize,
        slot_seed: u64,
        queues: Option<&mut Queues>,
    ) -> Option<(u32, Choice)> {
        let nodes = &self.want.pool.domains[domain].nodes;
        if nodes.len() > SMALL_DOMAIN {
            let hash = mix(self.service_seed, slot_seed);
            let candidates = (0..CANDIDATES).map(|k| nodes[below(mix(hash, k), nodes.len())]);
            // A candidate that has none of the service cannot be beaten by a node that was not drawn, as far
            // as spread goes. One that has some can.
            if let Some((place, score, choice)) = self.best_of(candidates)
                && score.of_service == 0
            {
                return Some((place, choice));
            }
        }
        match queues {
            Some(queues) if nodes.len() > SMALL_DOMAIN => self.best_queued(domain, queues),
            Some(_) | None => self.best_of(nodes.iter().copied()).map(|(place, _, choice)| (place, choice)),
        }
    }

    /// The best of some nodes that takes the task.
    pub(crate) fn best_of(&self, nodes: impl Iterator<Item = u32>) -> Option<(u32, Score, Choice)> {
        let (mut fitting, mut refused) = (0, 0);
        let (mut best, mut next): (Option<(Score, u32)>, Option<Score>) = (None, None);
        for place in nodes {
            let Some(score) = self.fits(place) else {
                refused += 1;
                continue;
            };
            if best.is_some_and(|(_, known)| known == place) {
                continue;
            }
            fitting += 1;
            match best {
                Some((known, _)) if known <= score => next = Some(next.map_or(score, |n| n.min(score))),
                Some((known, _)) => (best, next) = (Some((score, place)), Some(known)),
                None => best = Some((score, place)),
            }
        }
        best.map(|(score, place)| (place, score, score.choice(next.as_ref(), fitting, refused)))
    }

    fn fits(&self, place: u32) -> Option<Score> {
        let of_service = self.tally.on_node(place);
        self.fleet.judge(&self.want, place, of_service).ok()?;
        Some(self.fleet.score(&self.want, self.service_seed, place, of_service))
    }

    fn best_queued(&self, domain: usize, queues: &mut Queues) -> Option<(u32, Choice)> {
        let nodes = &self.want.pool.domains[domain].nodes;
        let queue = queues.by_domain.entry(domain).or_insert_with(|| {
            nodes.iter().filter_map(|place| self.fits(*place).map(|score| (score, *place))).collect()
        });
        // Nodes only get fuller within a pass, so a queued score is at best too good: look again at the
        // first.
        while let Some((queued, place)) = queue.pop_first() {
            let Some(score) = self.fits(place) else { continue };
            queue.insert((score, place));
            if score == queued {
                let next = queue.iter().map(|(score, _)| score).nth(1);
                let choice = score.choice(next, queue.len(), nodes.len() - queue.len());
                return Some((place, choice));
            }
        }
        None
    }
}
