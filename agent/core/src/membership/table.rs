//! What is believed of each member: foca's own rules over again, in a table that can be looked up and summed.
//!
//! foca finds a member by walking its list and does not say what changed. This table takes every update
//! first, tells what is news, and only news go on to foca. A test holds the two against each other.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use foca::{Identity, Member, State};
use sleep_wire::NodeId;
use sleep_wire::message::{RosterEntry, RosterState};
use sleep_wire::swim::Peer;

use super::profile;
use crate::time::Instant;

/// Whether a member answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Liveness {
    /// It does.
    Alive,
    /// It did not lately, and may still contradict.
    Suspect,
    /// It is believed dead, or was never heard of.
    Down,
}

/// What is believed of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Its identity; boot 0 if it was never heard of.
    pub(super) peer: Peer,
    /// The greatest identity that it showed to this node itself: its boot, and how often it renewed that.
    pub(super) proven: (u32, u16),
    pub(super) incarnation: u16,
    pub(super) liveness: Liveness,
    /// Whether it said that it leaves.
    pub(super) left: bool,
    /// When its liveness changed last.
    pub(super) since: Instant,
    /// Its incarnation, and when, since when its contradictions are counted.
    counted: (u16, Instant),
    /// When it had last contradicted as often as makes it contested.
    contested: Option<Instant>,
    /// When a probe of this node's own failed, if it was not heard since.
    missed: Option<Instant>,
}

/// What an update changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It answers again, or for the first time.
    Up,
    /// It is suspected.
    Suspected,
    /// It contradicted a suspicion.
    Refuted,
    /// It is down.
    Down,
    /// Its identity or incarnation, and nothing that anybody sees.
    Inward,
}

/// All unremoved members but this node.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    members: BTreeMap<NodeId, Known>,
    down: Vec<NodeId>,
    sum: u64,
}

impl Known {
    const fn unheard(node: NodeId, since: Instant) -> Self {
        let peer = Peer { node, boot: 0, renewal: 0 };
        let liveness = Liveness::Down;
        let (counted, contested) = ((0, since), None);
        Self {
            peer,
            proven: (0, 0),
            incarnation: 0,
            liveness,
            left: false,
            since,
            counted,
            contested,
            missed: None,
        }
    }

    pub(super) const fn is_heard_of(&self) -> bool {
        self.peer.boot > 0
    }

    pub(super) fn is_live(&self) -> bool {
        self.liveness != Liveness::Down
    }

    /// Whether it did not answer this node itself lately.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.missed.is_some_and(|at| now.since(at) < profile::SILENT_FOR)
    }

    /// Whether it has to contradict all the time.
    pub(super) fn is_contested(&self, now: Instant) -> bool {
        self.contested.is_some_and(|at| now.since(at) < profile::CONTESTED_FOR)
    }

    /// Counts what it contradicted since it was `before`: another incarnation of one identity does that.
    fn count_contradictions(&mut self, now: Instant, before: &Self) {
        if self.peer.boot != before.peer.boot {
            self.contested = None;
        }
        if self.peer != before.peer {
            self.counted = (self.incarnation, now);
        } else if now.since(self.counted.1) > profile::CONTEST_WINDOW {
            self.counted = (before.incarnation, now);
        }
        if self.incarnation.saturating_sub(self.counted.0) >= profile::CONTESTS {
            self.contested = Some(now);
        }
    }

    /// Whether it may have come to this incarnation unseen: it does so by one at a time.
    pub(super) const fn may_be_at(&self, incarnation: u16) -> bool {
        incarnation <= self.incarnation.saturating_add(profile::INCARNATIONS_UNSEEN)
    }

    /// Word of its death.
    pub(super) const fn dead(&self) -> Member<Peer> {
        Member::new(self.peer, self.incarnation, State::Down)
    }

    /// SWIM's order of precedence (Das et al. 2002, section 4.2), as foca has it.
    const fn yields(&self, incarnation: u16, to: State) -> bool {
        match (self.liveness, to) {
            (Liveness::Alive, State::Alive) | (Liveness::Suspect, State::Alive | State::Suspect) => {
                incarnation > self.incarnation
            }
            (Liveness::Alive, State::Suspect) => incarnation >= self.incarnation,
            (Liveness::Alive | Liveness::Suspect, State::Down) => true,
            (Liveness::Down, State::Alive | State::Suspect | State::Down) => false,
        }
    }

    pub(super) const fn entry(&self) -> RosterEntry {
        let state = match self.liveness {
            Liveness::Alive => RosterState::Alive,
            Liveness::Suspect => RosterState::Suspect,
            Liveness::Down => RosterState::Down,
        };
        RosterEntry { peer: self.peer, incarnation: self.incarnation, state }
    }
}

impl Table {
    /// A member that may be contacted. Nothing changes if it was there.
    pub(super) fn add(&mut self, node: NodeId, now: Instant) -> bool {
        if self.members.contains_key(&node) {
            return false;
        }
        self.members.insert(node, Known::unheard(node, now));
        self.down.push(node);
        true
    }

    pub(super) fn remove(&mut self, node: NodeId) -> Option<Known> {
        let known = self.members.remove(&node)?;
        self.sum = self.sum.wrapping_sub(hash(&known.entry()));
        self.down.retain(|other| *other != node);
        Some(known)
    }

    pub(super) fn get(&self, node: NodeId) -> Option<&Known> {
        self.members.get(&node)
    }

    /// Whether a member has to contradict all the time.
    pub(super) fn is_contested(&self, node: NodeId, now: Instant) -> bool {
        self.get(node).is_some_and(|known| known.is_contested(now))
    }

    /// Whether an update would change anything.
    pub(super) fn is_news(&self, update: &Member<Peer>) -> bool {
        self.members.get(&update.id().node).is_some_and(|known| {
            if known.peer == *update.id() {
                known.yields(update.incarnation(), update.state())
            } else {
                !known.peer.win_addr_conflict(update.id())
            }
        })
    }

    /// Takes an update in, as foca does. `None` if it is no news; else what it changed, and whether the
    /// member was restarted since.
    pub(super) fn absorb(&mut self, now: Instant, update: &Member<Peer>) -> Option<(Change, bool)> {
        if self.is_news(update) { self.replace(now, update) } else { None }
    }

    /// Takes in what a member says of itself, whatever was believed of it.
    pub(super) fn replace(&mut self, now: Instant, update: &Member<Peer>) -> Option<(Change, bool)> {
        let node = update.id().node;
        let known = self.members.get_mut(&node)?;
        let before = *known;
        known.peer = *update.id();
        known.incarnation = update.incarnation();
        known.liveness = match update.state() {
            State::Alive => Liveness::Alive,
            State::Suspect => Liveness::Suspect,
            State::Down => Liveness::Down,
        };
        if known.liveness != before.liveness {
            known.since = now;
        }
        known.left &= !known.is_live();
        if known.incarnation != before.incarnation || known.peer != before.peer {
            known.count_contradictions(now, &before);
        }
        let after = *known;
        self.sum = self.sum.wrapping_sub(hash(&before.entry())).wrapping_add(hash(&after.entry()));
        match (before.is_live(), after.is_live()) {
            (false, true) => self.down.retain(|other| *other != node),
            (true, false) => self.down.push(node),
            (true, true) | (false, false) => {}
        }
        let change = match (before.liveness, after.liveness) {
            (Liveness::Down, Liveness::Alive | Liveness::Suspect) => Change::Up,
            (Liveness::Alive, Liveness::Suspect) => Change::Suspected,
            (Liveness::Suspect, Liveness::Alive) => Change::Refuted,
            (Liveness::Alive | Liveness::Suspect, Liveness::Down) => Change::Down,
            (Liveness::Alive, Liveness::Alive)
            | (Liveness::Suspect, Liveness::Suspect)
            | (Liveness::Down, Liveness::Down) => Change::Inward,
        };
        Some((change, after.peer.boot > before.peer.boot))
    }

    /// This node's own probe of a member failed.
    pub(super) fn miss(&mut self, node: NodeId, now: Instant) {
        if let Some(known) = self.members.get_mut(&node) {
            known.missed = Some(now);
        }
    }

    /// Something came from a member.
    pub(super) fn hear(&mut self, node: NodeId) {
        if let Some(known) = self.members.get_mut(&node) {
            known.missed = None;
        }
    }

    /// A member showed this identity to this node itself.
    pub(super) fn prove(&mut self, peer: &Peer) {
        if let Some(known) = self.members.get_mut(&peer.node) {
            known.proven = known.proven.max((peer.boot, peer.renewal));
        }
    }

    /// What a member showed counts no more than what others say of it.
    pub(super) fn disprove(&mut self, node: NodeId) {
        if let Some(known) = self.members.get_mut(&node) {
            known.proven = (0, 0);
        }
    }

    /// What others said of a member's identity, if it goes beyond what the member says itself, and has not
    /// shown it to this node yet.
    pub(super) fn hearsay_beyond(&self, said: &Peer) -> Option<Peer> {
        let known = self.members.get(&said.node)?;
        let (believed, said) = ((known.peer.boot, known.peer.renewal), (said.boot, said.renewal));
        (known.proven < believed && (known.proven..believed).contains(&said)).then_some(known.peer)
    }

    pub(super) fn leave(&mut self, node: NodeId) {
        if let Some(known) = self.members.get_mut(&node) {
            known.left = true;
        }
    }

    /// Members that answer or may still do, sorted.
    pub(super) fn live(&self) -> impl Iterator<Item = &Known> {
        self.members.values().filter(|known| known.is_live())
    }

    /// How many other members there are.
    pub(super) fn count(&self) -> usize {
        self.members.len()
    }

    pub(super) fn live_count(&self) -> usize {
        self.members.len() - self.down.len()
    }

    /// Members that do not answer, in no order that matters.
    pub(super) fn down(&self) -> &[NodeId] {
        &self.down
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = RosterEntry> {
        self.members.values().filter(|known| known.is_heard_of()).map(Known::entry)
    }

    /// A sum over all that was heard of, this node included: equal rosters have equal sums in any order.
    pub(super) fn digest(&self, me: &RosterEntry) -> u64 {
        self.sum.wrapping_add(hash(me))
    }
}

/// FNV-1a with a last mix: tells rosters apart. No security rests on it. Who was never heard of counts
/// nothing, and a suspicion is too short to be compared.
fn hash(entry: &RosterEntry) -> u64 {
    if entry.peer.boot == 0 {
        return 0;
    }
    let down = u8::from(entry.state == RosterState::Down);
    let bytes = entry.peer.node.0.into_iter().chain(entry.peer.boot.to_le_bytes());
    let bytes = bytes.chain(entry.peer.renewal.to_le_bytes()).chain(entry.incarnation.to_le_bytes());
    let fnv = bytes.chain([down]).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (fnv ^ (fnv >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}
