//! The set of membership records, and which of them count.
//!
//! A record counts or not by what was said earlier, by stamp, about its author. So the set is judged in the
//! order of stamps, whatever the order of arrival, and one more record, or one less, re-judges only what it
//! can reach.
//!
//! # What was withdrawn
//! Only what stands among this node's records counts, so that two who have the same records judge alike. One
//! that did not count and was taken away is remembered as said, and counts for nothing until it is given
//! again: who missed it could not know that what made it void has become void too (seed 6388).
//!
//! # The keeper
//! The two halves of a cluster can demote each other's control nodes, and nobody would be left who may write
//! a thing, not even a promotion. So at every moment at which no member has the role `control` by what was
//! said of it, one has it all the same: the keeper, who lost it last. It keeps it until somebody is promoted.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use sleep_wire::key::MembershipKey;
use sleep_wire::stamp::ClusterTime;
use sleep_wire::trust::Role;
use sleep_wire::{NodeId, TokenId};

use crate::mutant::{Mutant, is_sown};

/// When a record was stamped, as its author's clock had it.
pub(super) type Moment = (ClusterTime, NodeId);

/// One membership record whose signature is its author's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) moment: Moment,
    pub(super) key: MembershipKey,
    pub(super) author: NodeId,
    pub(super) fact: Fact,
}

/// What a membership record says of its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// The first member: its key and a nonce hash to the cluster's id.
    Genesis,
    /// A key became a member.
    Admission { role: Role, token: TokenId },
    /// A member's role changed.
    Role(Role),
    /// A member is out, for good.
    Removal { compromised: bool },
    /// A key became an operator's.
    Operator,
    /// An operator's key is out, for good.
    OperatorRemoval,
}

/// How a node stands, by all that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// When it was admitted.
    pub admitted: ClusterTime,
    /// Its role now, or when it was removed; `control` if it is the keeper of that.
    pub role: Role,
    /// Whether it ever had the role `control`.
    pub ever_control: bool,
    /// When it was removed, if it was.
    pub removed: Option<Removed>,
}

/// How a node was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// From when on.
    pub at: ClusterTime,
    /// Whether its key is said to be in other hands.
    pub compromised: bool,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    entry: Entry,
    /// Whether it was not withdrawn.
    stands: bool,
    counts: bool,
}

type Place = (Moment, MembershipKey);

/// See the module's own words.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    entries: Vec<Held>,
    places: BTreeMap<Place, u32>,
    /// Entries about a node or operator, in the order of stamps.
    about: BTreeMap<NodeId, Vec<u32>>,
    /// Entries by a node, in the order of stamps.
    by: BTreeMap<NodeId, Vec<u32>>,
    standings: BTreeMap<NodeId, Standing>,
    /// Who was ever said to have the role `control`.
    controls: BTreeSet<NodeId>,
    /// The keeper now, if there is one.
    keeper: Option<NodeId>,
}

/// Whether a fact makes a member of a key, or needs one.
enum Grant {
    First,
    Change,
}

impl Fact {
    const fn grants(self) -> Option<(Grant, Role)> {
        match self {
            Self::Genesis => Some((Grant::First, Role::Control)),
            Self::Admission { role, .. } => Some((Grant::First, role)),
            Self::Role(role) => Some((Grant::Change, role)),
            Self::Removal { .. } | Self::Operator | Self::OperatorRemoval => None,
        }
    }
}

impl Entry {
    pub(super) const fn subject(&self) -> NodeId {
        subject(&self.key)
    }

    const fn place(&self) -> Place {
        (self.moment, self.key)
    }
}

/// The node or operator that a membership record speaks of.
pub(super) const fn subject(key: &MembershipKey) -> NodeId {
    match key {
        MembershipKey::Admission { node, .. }
        | MembershipKey::Role { node, .. }
        | MembershipKey::Removal { node, .. } => *node,
        MembershipKey::Operator { operator, .. } | MembershipKey::OperatorRemoval { operator, .. } => {
            *operator
        }
    }
}

impl Ledger {
    pub(super) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            places: BTreeMap::new(),
            about: BTreeMap::new(),
            by: BTreeMap::new(),
            standings: BTreeMap::new(),
            controls: BTreeSet::new(),
            keeper: None,
        }
    }

    /// Adds an entry, in the place of another under its key. Returns whose standing, and so whose records,
    /// may count otherwise now.
    pub(super) fn insert(&mut self, entry: Entry) -> BTreeSet<NodeId> {
        let index = self.places.get(&entry.place()).copied().unwrap_or_else(|| self.note(entry));
        if self.entries[index as usize].stands {
            return BTreeSet::new();
        }
        let mut touched = self.withdraw(&entry.key);
        self.entries[index as usize].stands = true;
        touched.extend(self.resettle(index));
        touched
    }

    /// Takes what stands under a key away: it was said, and stands no more. Returns the same.
    pub(super) fn withdraw(&mut self, key: &MembershipKey) -> BTreeSet<NodeId> {
        let stands = |held: &Held| held.stands && held.entry.key == *key;
        let about = self.about.get(&subject(key)).into_iter().flatten();
        let index = about.copied().find(|index| stands(&self.entries[*index as usize]));
        index.map_or_else(BTreeSet::new, |index| {
            self.entries[index as usize].stands = false;
            self.resettle(index)
        })
    }

    /// Takes note of an entry that does not stand yet.
    fn note(&mut self, entry: Entry) -> u32 {
        let index = u32::try_from(self.entries.len()).expect("fewer than 2^32 records fit into memory");
        self.entries.push(Held { entry, stands: false, counts: false });
        self.places.insert(entry.place(), index);
        if matches!(entry.fact.grants(), Some((_, Role::Control))) {
            self.controls.insert(entry.subject());
        }
        for (map, node) in [(&mut self.about, entry.subject()), (&mut self.by, entry.author)] {
            let list = map.entry(node).or_default();
            let entries = &self.entries;
            let at = list.partition_point(|other| entries[*other as usize].entry.place() < entry.place());
            list.insert(at, index);
        }
        index
    }

    /// Judges what stands or no longer does, and all that rests on it.
    fn resettle(&mut self, index: u32) -> BTreeSet<NodeId> {
        let mut touched = BTreeSet::new();
        self.settle(index, &mut touched);
        let keeper = self.keeper(LAST);
        if keeper != self.keeper {
            touched.extend([self.keeper, keeper].into_iter().flatten());
            self.keeper = keeper;
        }
        for node in &touched {
            match self.stand(*node) {
                Some(standing) => self.standings.insert(*node, standing),
                None => self.standings.remove(node),
            };
        }
        touched
    }

    /// Judges an entry anew, and all that rests on it. What an entry rests on is stamped earlier, so in the
    /// order of stamps each is judged once.
    fn settle(&mut self, first: u32, touched: &mut BTreeSet<NodeId>) {
        let mut open = BTreeSet::from([(self.entries[first as usize].entry.place(), first)]);
        while let Some((place, index)) = open.pop_first() {
            let Held { entry, stands, .. } = self.entries[index as usize];
            let counts = stands && self.counts(&entry);
            if counts == self.entries[index as usize].counts {
                continue;
            }
            self.entries[index as usize].counts = counts;
            for node in self.hit_by(&entry) {
                let later = self.by.get(&node).into_iter().flatten();
                open.extend(
                    later
                        .map(|other| (self.entries[*other as usize].entry.place(), *other))
                        .filter(|other| other.0 > place),
                );
                touched.insert(node);
            }
        }
    }

    /// Whose role, at some moment, can be another for an entry that counts, or no longer does: its subject's,
    /// and, if that ever had the role `control`, that of whoever ever was a keeper: it may have been promoted
    /// since, and what it wrote as one stands or falls all the same.
    fn hit_by(&self, entry: &Entry) -> BTreeSet<NodeId> {
        let mut hit = BTreeSet::from([entry.subject()]);
        if self.controls.contains(&entry.subject()) {
            hit.extend(self.controls.iter().filter(|node| self.ever_lost_control(**node)));
        }
        hit
    }

    /// Whether an entry counts, held or not.
    pub(super) fn counts(&self, entry: &Entry) -> bool {
        let author = self.role_by(entry.author, entry.moment);
        match entry.fact {
            Fact::Genesis => true,
            Fact::Removal { .. } if entry.author == entry.subject() => {
                author.is_some() && self.removals(entry.author, entry.moment).next().is_none()
            }
            Fact::Removal { compromised } => {
                author == Some(Role::Control) && self.may_remove(entry, compromised)
            }
            Fact::Admission { .. } | Fact::Role(_) | Fact::Operator | Fact::OperatorRemoval => {
                self.role_at(entry.author, entry.moment) == Some(Role::Control)
            }
        }
    }

    /// A removed node removes nobody, but for the one who removed it: of two that remove each other neither
    /// is believed more. If its key is said to be in other hands, only the same claim stands against that.
    fn may_remove(&self, removal: &Entry, compromised: bool) -> bool {
        let mut mutual = true;
        let mut answered = false;
        for earlier in self.removals(removal.author, removal.moment) {
            answered |= earlier.author == removal.subject();
            mutual &= earlier.author != removal.author;
            mutual &= compromised || earlier.fact != Fact::Removal { compromised: true };
        }
        let unremoved = self.removals(removal.author, removal.moment).next().is_none();
        unremoved || (answered && mutual)
    }

    /// The role of a node at a moment; `None` if it was not a member then.
    pub(super) fn role_at(&self, node: NodeId, moment: Moment) -> Option<Role> {
        self.removals(node, moment).next().is_none().then(|| self.role_by(node, moment))?
    }

    /// The moments from one on at which any role may have changed, in order.
    pub(super) fn changes_after(&self, time: ClusterTime) -> impl Iterator<Item = ClusterTime> {
        let moments = self.entries.iter().map(|held| held.entry.moment.0).filter(|at| *at >= time);
        moments.collect::<BTreeSet<_>>().into_iter()
    }

    /// Whether anybody had said by then that a node has the role `control`, be it that this counts or not.
    pub(super) fn was_said_to_have_control(&self, node: NodeId, before: Moment) -> bool {
        let about = self.about.get(&node).into_iter().flatten();
        about
            .map(|index| &self.entries[*index as usize].entry)
            .take_while(|entry| entry.moment < before)
            .any(|entry| matches!(entry.fact.grants(), Some((_, Role::Control))))
    }

    /// The role of a node at a moment, whether or not it was removed.
    fn role_by(&self, node: NodeId, moment: Moment) -> Option<Role> {
        self.basis(node, moment).map(|(_, _, role)| role)
    }

    /// What a role at a moment rests on: the admission, and the last change if there was one. A keeper's
    /// rests on what it rested on before.
    fn basis(&self, node: NodeId, moment: Moment) -> Option<(&Entry, Option<&Entry>, Role)> {
        let last = self.said(node, moment).last()?;
        if last.2 == Role::Worker
            && let Some(lost) = self.lost_control(node, moment)
            && self.keeper(moment) == Some(node)
        {
            return self.said(node, lost).last();
        }
        Some(last)
    }

    /// The roles that a node had one after the other by what was said of it, and what each rests on.
    fn said(&self, node: NodeId, before: Moment) -> impl Iterator<Item = (&Entry, Option<&Entry>, Role)> {
        let mut admission = None;
        self.counting(node, before).filter_map(move |entry| match (entry.fact.grants()?, admission) {
            ((Grant::First, role), None) => Some((*admission.insert(entry), None, role)),
            ((Grant::Change, role), Some(admission)) => Some((admission, Some(entry), role)),
            // A second admission, and a change before the first.
            ((Grant::First, _), Some(_)) | ((Grant::Change, _), None) => None,
        })
    }

    /// Whether a node ever lost the role `control` by what was said of it.
    fn ever_lost_control(&self, node: NodeId) -> bool {
        let mut held = false;
        self.said(node, LAST).any(|(.., role)| match role {
            Role::Control => {
                held = true;
                false
            }
            Role::Worker => held,
        })
    }

    /// When a node lost the role `control`, if by what was said of it it had lost it at a moment.
    fn lost_control(&self, node: NodeId, moment: Moment) -> Option<Moment> {
        let (mut held, mut lost) = (false, None);
        for (_, change, role) in self.said(node, moment) {
            match role {
                Role::Control => (held, lost) = (true, None),
                Role::Worker if held && lost.is_none() => lost = change.map(|change| change.moment),
                Role::Worker => {}
            }
        }
        lost
    }

    /// Who keeps the role `control` at a moment because nobody else would have it.
    fn keeper(&self, moment: Moment) -> Option<NodeId> {
        if is_sown(Mutant::NobodyKeeps) {
            return None;
        }
        let mut keeper = None;
        for node in &self.controls {
            if self.removals(*node, moment).next().is_some() {
                continue;
            }
            match self.said(*node, moment).last() {
                Some((.., Role::Control)) => return None,
                Some((.., Role::Worker)) => {
                    keeper = keeper.max(self.lost_control(*node, moment).map(|lost| (lost, *node)));
                }
                None => {}
            }
        }
        keeper.map(|(_, node)| node)
    }

    /// Whether a key was an operator's at a moment.
    pub(super) fn operator_at(&self, operator: NodeId, moment: Moment) -> bool {
        let mut admitted = false;
        for entry in self.counting(operator, moment) {
            match entry.fact {
                Fact::Operator => admitted = true,
                Fact::OperatorRemoval => return false,
                Fact::Genesis | Fact::Admission { .. } | Fact::Role(_) | Fact::Removal { .. } => {}
            }
        }
        admitted
    }

    /// Whether a key was ever a member's or an operator's.
    pub(super) fn is_known(&self, node: NodeId) -> bool {
        self.standings.contains_key(&node)
            || self.counting(node, LAST).any(|entry| entry.fact == Fact::Operator)
    }

    /// Every node that was ever admitted, and how it stands.
    pub(super) const fn standings(&self) -> &BTreeMap<NodeId, Standing> {
        &self.standings
    }

    /// How many admissions rest on a token.
    pub(super) fn uses(&self, token: TokenId) -> usize {
        let on = |held: &&Held| matches!(held.entry.fact, Fact::Admission { token: of, .. } if of == token);
        self.entries.iter().filter(|held| held.counts).filter(on).count()
    }

    /// What shows to a stranger that these nodes are members: each record's author is shown to be one before
    /// it.
    pub(super) fn chain(&self, nodes: &[NodeId]) -> Vec<MembershipKey> {
        let mut chain = BTreeSet::new();
        let mut open: Vec<(NodeId, Moment)> = nodes.iter().map(|node| (*node, LAST)).collect();
        while let Some((node, moment)) = open.pop() {
            let Some((admission, change, _)) = self.basis(node, moment) else { continue };
            for entry in [Some(admission), change].into_iter().flatten() {
                if chain.insert(entry.place()) {
                    open.push((entry.author, entry.moment));
                }
            }
        }
        chain.into_iter().map(|(_, key)| key).collect()
    }

    fn counting(&self, node: NodeId, before: Moment) -> impl Iterator<Item = &Entry> {
        let about = self.about.get(&node).into_iter().flatten();
        about
            .map(|index| &self.entries[*index as usize])
            .take_while(move |held| held.entry.moment < before)
            .filter(|held| held.counts)
            .map(|held| &held.entry)
    }

    /// The keys of the records that removed a node, in order.
    pub(super) fn removed_by(&self, node: NodeId) -> Vec<MembershipKey> {
        self.removals(node, LAST).map(|entry| entry.key).collect()
    }

    fn removals(&self, node: NodeId, before: Moment) -> impl Iterator<Item = &Entry> {
        self.counting(node, before).filter(|entry| matches!(entry.fact, Fact::Removal { .. }))
    }

    fn stand(&self, node: NodeId) -> Option<Standing> {
        let (admission, _, role) = self.basis(node, LAST)?;
        Some(Standing {
            admitted: admission.moment.0,
            role,
            ever_control: self.said(node, LAST).any(|(.., said)| said == Role::Control),
            removed: self.removed(node),
        })
    }

    /// When and how a key was removed, be it a member's or not yet.
    pub(super) fn removed(&self, node: NodeId) -> Option<Removed> {
        let mut removals = self.removals(node, LAST);
        let first = removals.next()?;
        let claimed = |entry: &Entry| entry.fact == Fact::Removal { compromised: true };
        Some(Removed { at: first.moment.0, compromised: claimed(first) || removals.any(claimed) })
    }
}

impl Standing {
    /// Whether it is a member now.
    pub const fn is_member(&self) -> bool {
        self.removed.is_none()
    }
}

/// Later than every stamp.
pub(super) const LAST: Moment = (ClusterTime { generation: u16::MAX, hlc: u64::MAX }, NodeId([0xff; 16]));
