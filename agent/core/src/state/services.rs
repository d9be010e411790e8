//! Services as people mean them: a birth, its revisions, its scale, its end.
//!
//! ```text
//! birth ─▶ r1 ─▶ r2 ─┬▶ r3        current: the leaf with the greatest stamp
//!                    └▶ r4        other leaves: conflicts, until a revision names them all as parents
//! ```
//! # Invariants
//! - `causal_wins`: a revision that had seen another always beats it, as the other is no leaf.
//! - Of two services that claim one name, the one born first has it, by the stamps of their births; the other
//!   goes on as `name~id4`. Removed services claim nothing.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::key::DesiredKey;
use sleep_wire::spec::{Revision, ServiceBirth, ServiceRemoval};
use sleep_wire::{CommandId, Key, NodeId, RevisionId, ServiceId, Stamp, WallTime};

use super::State;
use super::entry::{Entry, Fact};
use crate::mutant::{Mutant, is_sown};
use crate::validate::MAX_REPLICAS;

/// A service that was not removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service<'a> {
    /// Which.
    pub id: ServiceId,
    /// What it is called.
    pub name: Name,
    /// Its birth.
    pub birth: &'a ServiceBirth,
    /// When it was born.
    pub born: Stamp,
    /// Who wrote its birth.
    pub author: NodeId,
    /// What it is to be now.
    pub current: RevisionView<'a>,
    /// Revisions that nobody has seen who wrote the current one, nor the other way round; greatest stamp
    /// first.
    pub conflicts: Vec<RevisionView<'a>>,
    /// Every revision, oldest first, the one of its birth included.
    pub revisions: Vec<RevisionView<'a>>,
    /// How many replicas it is to have: as many as people may ask for, whatever a record says.
    pub replicas: u32,
    /// When that was last said apart from its birth.
    pub scaled: Option<Stamp>,
    /// When that was by the wall clock, and through which node it came.
    pub scaling: Option<(WallTime, NodeId)>,
    /// Whether a later release has written something of it that this one cannot read: what this view says is
    /// not all, and no plan may rest on it.
    pub sealed: bool,
}

/// What a service is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Its name, distinct from every other's.
    pub text: String,
    /// Whether it was meant to have another, which an older service has.
    pub lost: bool,
}

/// One revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevisionView<'a> {
    /// Which.
    pub id: RevisionId,
    /// What it says.
    pub spec: &'a Arc<Revision>,
    /// When it was written.
    pub stamp: Stamp,
    /// Who wrote it.
    pub author: NodeId,
    /// The command that made it.
    pub command: CommandId,
}

/// A service that was removed, and what its removal had not seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen<'a> {
    /// Which service.
    pub service: ServiceId,
    /// Its removal, if this release can read it.
    pub removal: Option<&'a ServiceRemoval>,
    /// When it was removed.
    pub stamp: Stamp,
    /// Who removed it.
    pub author: NodeId,
    /// Revisions that whoever removed it did not know of: a conflict to show.
    pub revisions: Vec<RevisionId>,
}

impl State {
    /// A service, unless it was removed or its birth has not come yet.
    pub fn service(&self, id: ServiceId) -> Option<Service<'_>> {
        let (entry, birth) = self.birth(id)?;
        self.view_service(id, entry, birth)
    }

    /// What a service is called, unless it was removed or its birth has not come yet.
    pub fn name(&self, id: ServiceId) -> Option<Name> {
        let (_, birth) = self.birth(id)?;
        (!self.is_removed(id)).then(|| self.name_of(id, birth))
    }

    fn name_of(&self, id: ServiceId, birth: &ServiceBirth) -> Name {
        let lost = self.claims_of(&birth.name).next().is_none_or(|(_, first)| first != id);
        let text = if lost { format!("{}~{}", birth.name, short_id(id)) } else { birth.name.clone() };
        Name { text, lost }
    }

    /// What a revision of a service says.
    pub fn revision(&self, service: ServiceId, revision: RevisionId) -> Option<&Arc<Revision>> {
        if let Some((_, birth)) = self.birth(service).filter(|(_, birth)| birth.revision == revision) {
            return Some(&birth.spec);
        }
        match self.store.get(&Key::Desired(DesiredKey::ServiceRevision { service, revision }))?.fact() {
            Fact::Revision(body) => Some(&body.spec),
            _sealed => None,
        }
    }

    /// The ids of all services that were not removed, in order.
    pub fn standing(&self) -> impl Iterator<Item = ServiceId> {
        self.births().map(|(id, _, _)| id)
    }

    /// Every service that was not removed, by id.
    pub fn services(&self) -> Vec<Service<'_>> {
        self.births().filter_map(|(id, entry, birth)| self.view_service(id, entry, birth)).collect()
    }

    /// The service of this name, `name~id4` included.
    pub fn service_named(&self, name: &str) -> Option<ServiceId> {
        if let Some((_, id)) = self.claims_of(name).next() {
            return Some(id);
        }
        let (claimed, short) = name.rsplit_once('~')?;
        let first = self.claims_of(claimed).next()?;
        self.claims_of(claimed)
            .filter(|claim| *claim != first)
            .map(|(_, id)| id)
            .find(|id| short_id(*id) == short)
    }

    /// Every revision of a service, oldest first, the one of its birth included.
    pub fn revisions(&self, id: ServiceId) -> Vec<RevisionView<'_>> {
        let first = self.birth(id).map(|(entry, birth)| first_revision(entry, birth));
        self.revisions_after(first, id).0
    }

    /// The first revision and all others, oldest first, and whether this release cannot read one.
    fn revisions_after<'a>(
        &'a self,
        first: Option<RevisionView<'a>>,
        id: ServiceId,
    ) -> (Vec<RevisionView<'a>>, bool) {
        let mut revisions = Vec::from_iter(first);
        let mut sealed = false;
        for (id, entry) in self.revision_entries(id) {
            match entry.fact() {
                Fact::Revision(body) => revisions.push(RevisionView {
                    id,
                    spec: &body.spec,
                    stamp: entry.stamp(),
                    author: entry.author(),
                    command: body.command,
                }),
                _sealed => sealed = true,
            }
        }
        revisions.sort_by_key(|revision| (revision.stamp, revision.id));
        (revisions, sealed)
    }

    /// Whether a service was removed, for good, whatever else comes.
    pub fn is_removed(&self, service: ServiceId) -> bool {
        let said = |key| self.store.get(&Key::Desired(key)).map(|entry| entry.stamp());
        let removed = said(DesiredKey::ServiceRemoval { service });
        removed.is_some()
            && !(is_sown(Mutant::RemovedComesBack) && said(DesiredKey::ServiceScale { service }) > removed)
    }

    /// Services that were removed within the horizon.
    pub fn removed_services(&self) -> impl Iterator<Item = Unseen<'_>> {
        let of = |service| Key::Desired(DesiredKey::ServiceRemoval { service });
        let range = of(ServiceId([0; 16]))..=of(ServiceId([255; 16]));
        self.store.range(range).filter_map(|(key, entry)| match key {
            Key::Desired(DesiredKey::ServiceRemoval { service }) => Some(self.unseen(*service, entry)),
            _other => None,
        })
    }

    fn unseen<'a>(&'a self, service: ServiceId, entry: &'a Entry) -> Unseen<'a> {
        let removal = match entry.fact() {
            Fact::Gone(removal) => Some(&**removal),
            _sealed => None,
        };
        let revisions = self.revisions(service);
        let parents: BTreeMap<RevisionId, &[RevisionId]> =
            revisions.iter().map(|revision| (revision.id, revision.spec.parents.as_slice())).collect();
        let mut seen = BTreeSet::new();
        let mut open: Vec<RevisionId> = removal.map(|removal| removal.seen.clone()).unwrap_or_default();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(parents.get(&id).copied().unwrap_or_default());
            }
        }
        let unseen =
            revisions.iter().map(|revision| revision.id).filter(|id| removal.is_some() && !seen.contains(id));
        Unseen { service, removal, stamp: entry.stamp(), author: entry.author(), revisions: unseen.collect() }
    }

    fn view_service<'a>(
        &'a self,
        id: ServiceId,
        entry: &'a Entry,
        birth: &'a ServiceBirth,
    ) -> Option<Service<'a>> {
        if self.is_removed(id) {
            return None;
        }
        let (revisions, revision_sealed) = self.revisions_after(Some(first_revision(entry, birth)), id);
        let mut leaves = leaves(&revisions);
        let current = leaves.pop()?;
        leaves.reverse();
        let scale = self.store.get(&Key::Desired(DesiredKey::ServiceScale { service: id }));
        let scaled = scale.map(|scale| scale.stamp());
        let (replicas, scaling, scale_sealed) = match scale.map(|scale| (scale.fact(), scale.author())) {
            None => (birth.replicas, None, false),
            Some((Fact::Scale(scale), author)) => (scale.replicas, Some((scale.at, author)), false),
            Some((_sealed, _)) => (birth.replicas, None, true),
        };
        Some(Service {
            id,
            name: self.name_of(id, birth),
            birth,
            born: entry.stamp(),
            author: entry.author(),
            current,
            conflicts: leaves,
            revisions,
            replicas: replicas.min(MAX_REPLICAS),
            scaled,
            scaling,
            sealed: scale_sealed || revision_sealed,
        })
    }

    fn birth(&self, service: ServiceId) -> Option<(&Entry, &ServiceBirth)> {
        let entry = self.store.get(&Key::Desired(DesiredKey::ServiceBirth { service }))?;
        match entry.fact() {
            Fact::Birth(birth) => Some((entry, birth)),
            _sealed => None,
        }
    }

    /// Births of services that were not removed.
    fn births(&self) -> impl Iterator<Item = (ServiceId, &Entry, &ServiceBirth)> {
        let of = |service| Key::Desired(DesiredKey::ServiceBirth { service });
        let range = of(ServiceId([0; 16]))..=of(ServiceId([255; 16]));
        self.store.range(range).filter_map(|(key, entry)| match (key, entry.fact()) {
            (Key::Desired(DesiredKey::ServiceBirth { service }), Fact::Birth(birth))
                if !self.is_removed(*service) =>
            {
                Some((*service, &**entry, &**birth))
            }
            _removed_or_sealed => None,
        })
    }

    /// Services that claim a name and were not removed, oldest first.
    fn claims_of(&self, name: &str) -> impl Iterator<Item = (Stamp, ServiceId)> {
        self.store.births_named(name).filter(|(_, service)| !self.is_removed(*service))
    }

    fn revision_entries(&self, service: ServiceId) -> impl Iterator<Item = (RevisionId, &Entry)> {
        let of = |revision| Key::Desired(DesiredKey::ServiceRevision { service, revision });
        let range = of(RevisionId([0; 16]))..=of(RevisionId([255; 16]));
        self.store.range(range).filter_map(|(key, entry)| match key {
            Key::Desired(DesiredKey::ServiceRevision { revision, .. }) => Some((*revision, &**entry)),
            _other => None,
        })
    }
}

fn first_revision<'a>(entry: &Entry, birth: &'a ServiceBirth) -> RevisionView<'a> {
    RevisionView {
        id: birth.revision,
        spec: &birth.spec,
        stamp: entry.stamp(),
        author: entry.author(),
        command: birth.command,
    }
}

/// Revisions that none names as a parent, in the order of stamps. Should they name each other in a circle,
/// which no author does, all of them are.
fn leaves<'a>(revisions: &[RevisionView<'a>]) -> Vec<RevisionView<'a>> {
    let parents: BTreeSet<RevisionId> = revisions
        .iter()
        .flat_map(|revision| revision.spec.parents.iter().filter(|parent| **parent != revision.id))
        .copied()
        .collect();
    let leaves: Vec<_> =
        revisions.iter().filter(|revision| !parents.contains(&revision.id)).copied().collect();
    if leaves.is_empty() { revisions.to_vec() } else { leaves }
}

/// The first four characters of an id, which tell two services of one name apart.
fn short_id(id: ServiceId) -> String {
    format!("{id}").chars().take(4).collect()
}
