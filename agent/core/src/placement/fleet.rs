//! All nodes, with what their tasks take, and the one filter that says whether a node can take one more.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use sleep_wire::node::Availability;
use sleep_wire::spec::{Revision, Runtime};
use sleep_wire::{NodeId, ServiceId};

use super::facts::{Liveness, NodeFact};
use super::hash::{hash_text, mix, seed};
use super::load::{Load, Needs};
use super::pool::{Pool, PoolKey};
use super::refused::Refused;
use super::{MAX_START_FAILURES, score::Score};
use crate::validate::canonical;

/// All nodes that any fact names.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    entries: Vec<Entry>,
    /// What a search reads of each, side by side: candidates are drawn all over the fleet.
    glances: Vec<Glance>,
    by_id: BTreeMap<NodeId, u32>,
    /// Places by the hash of their ids, with open addressing: 0 is free, else one more than the place.
    index: Vec<u32>,
    /// Who holds an image, one bit a place, by the hash of its name: a collision costs a preference.
    holders: BTreeMap<u64, Vec<u64>>,
    pools: BTreeMap<u32, (PoolKey, Pool, u32)>,
    pool_ids: BTreeMap<PoolKey, u32>,
    next_pool: u32,
}

/// What a search reads of a node.
#[derive(Clone, Copy, Debug)]
struct Glance {
    id: NodeId,
    seed: u64,
    free_cpu: u64,
    free_memory: u64,
    /// How full it is, in thousandths.
    load: u64,
    /// Whether it is up and active.
    open: bool,
    /// Whether its runtimes are there and well, in their order.
    well: [bool; 2],
}

/// One node.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: NodeId,
    /// `None` while only tasks name it.
    pub(crate) fact: Option<NodeFact>,
    load: Load,
    /// How often each service's slots name it.
    pub(crate) services: BTreeMap<ServiceId, u32>,
}

/// One revision, made ready.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) revision: Arc<Revision>,
    pub(crate) needs: Needs,
    pub(crate) image: Option<u64>,
    pub(crate) pool: u32,
}

/// A task that looks for a node.
#[derive(Clone, Copy)]
pub(crate) struct Want<'a> {
    pub(crate) service: ServiceId,
    pub(crate) spec: &'a Spec,
    pub(crate) pool: &'a Pool,
    /// Who holds the image: see [`Fleet::holders`].
    pub(crate) holders: Option<&'a [u64]>,
    /// The most tasks of the service on one node; 0 for no bound.
    pub(crate) max_per_node: u32,
    /// What is freed before the task starts, and where.
    pub(crate) frees: Option<(u32, &'a Needs)>,
    /// How many starts of this revision failed lately, by node, if that is known of it.
    pub(crate) failures: Option<&'a BTreeMap<u32, u32>>,
}

impl Fleet {
    pub(crate) fn place(&self, id: &NodeId) -> Option<u32> {
        let mask = self.index.len().checked_sub(1)?;
        let mut at = start(id, mask);
        loop {
            let place = self.index[at].checked_sub(1)?;
            if self.glances[place as usize].id == *id {
                return Some(place);
            }
            at = (at + 1) & mask;
        }
    }

    pub(crate) fn fact(&self, id: &NodeId) -> Option<&NodeFact> {
        self.place(id).and_then(|place| self.entry(place).fact.as_ref())
    }

    pub(crate) fn entry(&self, place: u32) -> &Entry {
        &self.entries[place as usize]
    }

    /// How many nodes there are, known or only named.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The place of a node, made if there is none.
    pub(crate) fn place_or_new(&mut self, id: NodeId) -> u32 {
        if let Some(place) = self.place(&id) {
            return place;
        }
        let place = u32::try_from(self.entries.len()).expect("fewer than 2^32 nodes");
        let (load, services) = (Load::default(), BTreeMap::new());
        self.entries.push(Entry { id, fact: None, load, services });
        self.glances.push(Glance {
            id,
            seed: seed(&id.0),
            free_cpu: 0,
            free_memory: 0,
            load: 0,
            open: false,
            well: [false; 2],
        });
        self.by_id.insert(id, place);
        if self.index.len() < 2 * self.entries.len() {
            self.index = vec![0; (4 * self.entries.len()).next_power_of_two()];
            (0..=place).for_each(|place| self.put(place));
        } else {
            self.put(place);
        }
        place
    }

    fn put(&mut self, place: u32) {
        let mask = self.index.len() - 1;
        let mut at = start(&self.glances[place as usize].id, mask);
        while self.index[at] != 0 {
            at = (at + 1) & mask;
        }
        self.index[at] = place + 1;
    }

    /// Puts what a task takes on a node, or takes it away again.
    pub(crate) fn charge(&mut self, place: u32, service: ServiceId, needs: &Needs, on: bool) {
        let load = &mut self.entries[place as usize].load;
        if on {
            load.add(service, needs);
        } else {
            load.take(service, needs);
        }
        self.glance(place);
    }

    /// Counts how often a service's slots name a node.
    pub(crate) fn mention(&mut self, place: u32, service: ServiceId, on: bool) {
        let services = &mut self.entries[place as usize].services;
        let count = services.entry(service).or_insert(0);
        *count = if on { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            services.remove(&service);
        }
    }

    fn glance(&mut self, place: u32) {
        let entry = &self.entries[place as usize];
        let Some(node) = &entry.fact else { return };
        let glance = &mut self.glances[place as usize];
        (glance.free_cpu, glance.free_memory) = entry.load.free(node);
        glance.load = entry.load.permille(node);
    }

    /// Takes in what is now known of a node; returns what was known before.
    pub(crate) fn set_node(&mut self, fact: NodeFact) -> Option<NodeFact> {
        let place = self.place_or_new(fact.id);
        self.hold_images(place, &fact);
        let entry = &mut self.entries[place as usize];
        let glance = &mut self.glances[place as usize];
        glance.open =
            matches!(fact.liveness, Liveness::Up { .. }) && fact.availability == Availability::Active;
        let is_well = |runtime| fact.runtimes.get(&runtime).is_some_and(String::is_empty);
        glance.well = [is_well(Runtime::Docker), is_well(Runtime::Process)];
        let old = entry.fact.replace(fact);
        self.glance(place);
        let Self { entries, pools, .. } = self;
        let fact = entries[place as usize].fact.as_ref().expect("just put there");
        if old.as_ref().is_none_or(|old| is_pooled_otherwise(old, fact)) {
            for (_, pool, _) in pools.values_mut() {
                pool.update(place, Some(fact), |a, b| entries[a as usize].id.cmp(&entries[b as usize].id));
            }
        }
        old
    }

    /// Notes which images a node holds, before its new fact replaces the old.
    fn hold_images(&mut self, place: u32, fact: &NodeFact) {
        let (word, bit) = (place as usize / 64, 1 << (place % 64));
        let old = self.entries[place as usize].fact.as_ref();
        if old.is_some_and(|old| old.images == fact.images) {
            return;
        }
        for image in old.iter().flat_map(|old| &old.images) {
            let hash = hash_text(canonical(image));
            let Some(holders) = self.holders.get_mut(&hash) else { continue };
            holders[word] &= !bit;
            if holders.iter().all(|word| *word == 0) {
                self.holders.remove(&hash);
            }
        }
        for image in &fact.images {
            let holders = self.holders.entry(hash_text(canonical(image))).or_default();
            holders.resize(holders.len().max(word + 1), 0);
            holders[word] |= bit;
        }
    }

    /// Who holds a revision's image, one bit a place; `None` if it has no image.
    pub(crate) fn holders(&self, spec: &Spec) -> Option<&[u64]> {
        spec.image.map(|image| self.holders.get(&image).map_or(&[][..], Vec::as_slice))
    }

    /// All nodes, in the order of their ids.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = u32> + '_ {
        self.by_id.values().copied()
    }

    pub(crate) fn pool(&self, id: u32) -> &Pool {
        &self.pools[&id].1
    }

    /// Makes a revision ready; to be given back with [`Self::release`].
    pub(crate) fn ready(&mut self, revision: &Arc<Revision>) -> Spec {
        let key = PoolKey::of(revision);
        let id = match self.pool_ids.get(&key) {
            Some(id) => *id,
            None => self.make_pool(key),
        };
        self.pools.get_mut(&id).expect("pools and their ids are kept together").2 += 1;
        let image = revision.template.image.as_str();
        Spec {
            revision: Arc::clone(revision),
            needs: Needs::of(&revision.template),
            image: (!image.is_empty()).then(|| hash_text(canonical(image))),
            pool: id,
        }
    }

    fn make_pool(&mut self, key: PoolKey) -> u32 {
        let mut pool = Pool::new(&key);
        for place in self.by_id.values() {
            let fact = self.entries[*place as usize].fact.as_ref();
            pool.update(*place, fact, |a, b| self.entries[a as usize].id.cmp(&self.entries[b as usize].id));
        }
        let id = self.next_pool;
        self.next_pool += 1;
        self.pools.insert(id, (key.clone(), pool, 0));
        self.pool_ids.insert(key, id);
        id
    }

    pub(crate) fn release(&mut self, spec: &Spec) {
        let (key, _, users) = self.pools.get_mut(&spec.pool).expect("a spec's pool lives as long as it");
        *users -= 1;
        if *users == 0 {
            self.pool_ids.remove(key);
            self.pools.remove(&spec.pool);
        }
    }

    /// Whether a node can take a task, where `of_service` of its service are there already.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) fn judge(&self, want: &Want<'_>, place: u32, of_service: u32) -> Result<(), Refused> {
        if self.takes_at_a_glance(want, place, of_service) {
            debug_assert_eq!(
                self.look(want, place, of_service),
                Ok(()),
                "a glance is never kinder than a look"
            );
            return Ok(());
        }
        self.look(want, place, of_service)
    }

    /// Whether it is plain that a node can take a task. What is not plain needs a closer look.
    fn takes_at_a_glance(&self, want: &Want<'_>, place: u32, of_service: u32) -> bool {
        let (glance, needs) = (&self.glances[place as usize], &want.spec.needs);
        let well = match want.spec.revision.template.runtime {
            Runtime::Docker => glance.well[0],
            Runtime::Process => glance.well[1],
        };
        glance.open
            && well
            && needs.memory <= glance.free_memory
            && needs.cpu <= glance.free_cpu
            && needs.ports.is_empty()
            && (want.max_per_node == 0 || of_service < want.max_per_node)
            && want.failures.is_none_or(BTreeMap::is_empty)
            && want.pool.domain_of(place).is_some()
    }

    fn look(&self, want: &Want<'_>, place: u32, of_service: u32) -> Result<(), Refused> {
        let entry = self.entry(place);
        let Some(node) = &entry.fact else { return Err(Refused::Down) };
        match node.liveness {
            Liveness::Up { .. } => {}
            Liveness::Down { .. } | Liveness::Removed => return Err(Refused::Down),
            Liveness::Held => return Err(Refused::Held),
        }
        match node.availability {
            Availability::Active => {}
            Availability::Paused => return Err(Refused::Paused),
            Availability::Drained => return Err(Refused::Draining),
        }
        if want.pool.domain_of(place).is_none() {
            want.pool.judge(node)?;
        }
        let runtime = want.spec.revision.template.runtime;
        match node.runtimes.get(&runtime) {
            None => return Err(Refused::NoRuntime { runtime }),
            Some(ill) if !ill.is_empty() => return Err(Refused::Ill { runtime, reason: ill.clone() }),
            Some(_) => {}
        }
        match want.frees {
            Some((freed, needs)) if freed == place => {
                let mut load = entry.load.clone();
                load.take(want.service, needs);
                load.refuse(node, &want.spec.needs)?;
            }
            Some(_) | None => entry.load.refuse(node, &want.spec.needs)?,
        }
        if want.max_per_node != 0 && of_service >= want.max_per_node {
            return Err(Refused::MaxPerNode { max: want.max_per_node });
        }
        match want.failures.and_then(|failures| failures.get(&place)) {
            Some(attempts) if *attempts >= MAX_START_FAILURES => {
                Err(Refused::RecentFailures { attempts: *attempts })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// How good a node is; less is better.
    pub(crate) fn score(&self, want: &Want<'_>, service_seed: u64, place: u32, of_service: u32) -> Score {
        let glance = &self.glances[place as usize];
        let holds = |holders: &[u64]| {
            holders.get(place as usize / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
        };
        let fetches = want.holders.is_some_and(|holders| !holds(holders));
        Score { of_service, fetches, load: glance.load, hash: mix(service_seed, glance.seed) }
    }
}

/// Where the search for an id begins.
fn start(id: &NodeId, mask: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
    let hash = seed(&id.0) as usize;
    hash & mask
}

/// Whether a change of a node can move it in or out of a pool, or between domains.
fn is_pooled_otherwise(old: &NodeFact, new: &NodeFact) -> bool {
    let gone = |node: &NodeFact| node.liveness == Liveness::Removed;
    gone(old) != gone(new)
        || old.name != new.name
        || old.role != new.role
        || old.labels != new.labels
        || old.architecture != new.architecture
        || old.os != new.os
        || !old.runtimes.keys().eq(new.runtimes.keys())
}

impl Entry {
    /// How many tasks take something here.
    pub(crate) fn tasks(&self) -> u32 {
        self.load.tasks()
    }

    /// Since when it has been up; `None` if it is not.
    pub(crate) fn up_since(&self) -> Option<crate::time::Instant> {
        match self.fact.as_ref().map(|fact| fact.liveness) {
            Some(Liveness::Up { since }) => Some(since),
            Some(Liveness::Down { .. } | Liveness::Held | Liveness::Removed) | None => None,
        }
    }
}
