//! A node that is in a cluster: its rooms, and what flows between them.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::durable::{Cell, Fence, Horizons, LeaseCell, Stored};
use sleep_wire::key::{MembershipKey, SlotKey};
use sleep_wire::node::NodeFacts;
use sleep_wire::slot::Slot;
use sleep_wire::swim::Peer;
use sleep_wire::{ClusterId, Epoch, Key, NodeId, Record, Stamp, decode, encode};

use super::context::{Context, Purpose};
use super::earlier::Earlier;
use super::forward::Forwards;
use super::leave::Leaving;
use super::plan::Desk;
use super::recover::Recovering;
use super::sightings::Sightings;
use super::speech::Speech;
use super::{Home, cell, earlier};
use crate::clock::Clock;
use crate::crypto::Crypto;
use crate::io::{Alarm, Event, Input, Output, Reply, Ticket};
use crate::lease::{Lease, LeaseInput};
use crate::membership::{Liveness, Membership, MembershipInput};
use crate::mutant::{Mutant, is_sown};
use crate::reconcile::{self, Peers, Reconcile, ReconcileInput, Recovered};
use crate::state::{Judge, State, StateInput, Verdict};
use crate::trust::{self, Trust};

/// How a membership begins.
pub(crate) enum Beginning {
    /// It founds the cluster.
    Founding { cluster: ClusterId, genesis: Record },
    /// It was admitted: the records from the first admission to its own, and what is known of its doors.
    Joining { cluster: ClusterId, chain: Vec<Vec<u8>>, doors: Vec<Vec<u8>> },
    /// It was a member before.
    Again { cluster: ClusterId, stored: Stored },
}

/// The rooms of a member.
pub(crate) struct Member {
    pub(super) cluster: ClusterId,
    pub(super) clock: Clock,
    pub(super) trust: Trust,
    pub(super) membership: Membership,
    pub(super) lease: Lease,
    pub(super) state: State,
    pub(super) reconcile: Reconcile,
    pub(super) desk: Desk,
    pub(super) sightings: Sightings,
    pub(super) speech: Speech,
    pub(super) facts: NodeFacts,
    /// Slots that the reconcile room was told of.
    pub(super) fed: BTreeSet<SlotKey>,
    /// Slots of which something waits for a node that is down, and when that node is given up.
    pub(super) delays: BTreeMap<SlotKey, crate::Instant>,
    /// Slots that are to be looked at once a write is durable.
    pub(super) unwritten: BTreeMap<u64, BTreeSet<SlotKey>>,
    /// Who waits for this node's membership to be durable.
    pub(super) joined: Option<(Ticket, Reply)>,
    /// Counts this boot's observed records.
    pub(super) sequence: u64,
    /// Who waits for which write to be safe.
    pub(super) waiters: BTreeMap<u64, (Ticket, Reply)>,
    pub(super) last_waiter: u64,
    /// Newcomers that wait for another node's word.
    pub(super) forwards: Forwards,
    pub(super) leaving: Option<Leaving>,
    pub(super) recovering: Option<Recovering>,
    /// The greatest generation that people were told of.
    pub(super) generation: u16,
    /// Whom the state room was last told of.
    pub(super) live: Vec<NodeId>,
    /// Whether that may have changed since.
    pub(super) lives_due: bool,
    /// Whether the lease room is to be told who is up, and who may vote.
    pub(super) electorate_due: bool,
    /// Whom the network was last told to keep connected.
    pub(super) kept: Vec<NodeId>,
    /// The write that makes this node's own removal durable: what it runs is ended then.
    pub(super) removed_by: Option<u64>,
    /// When it became a member, or its agent was started.
    pub(super) started: crate::Instant,
    /// When this node was last asked to do anything.
    pub(super) last_call: crate::Instant,
    /// Whether peers' state has come since the start.
    pub(super) synced: bool,
    /// What is known of earlier lives that its disk does not know.
    pub(super) earlier: Earlier,
    /// Writes that were asked for and have not come back, by when they were asked for.
    pub(super) outstanding: VecDeque<crate::Instant>,
}

/// The judge that the state room asks.
pub(crate) struct Court<'a> {
    pub(crate) trust: &'a Trust,
    pub(crate) crypto: &'a dyn Crypto,
}

impl Judge for Court<'_> {
    fn judge(&self, record: &Record) -> Verdict {
        match self.trust.judge(record, self.crypto) {
            trust::Verdict::Valid => Verdict::Valid,
            trust::Verdict::Void => Verdict::Void,
            trust::Verdict::Invalid(why) => Verdict::Invalid(why),
            trust::Verdict::UnknownAuthor => Verdict::UnknownAuthor,
        }
    }
}

impl Member {
    pub(super) fn new<C: Crypto>(cx: &mut Context<'_, C>, home: &Home, beginning: Beginning) -> Self {
        let now = cx.now;
        let (cluster, stored) = match &beginning {
            Beginning::Founding { cluster, .. } | Beginning::Joining { cluster, .. } => {
                (*cluster, Stored::default())
            }
            Beginning::Again { cluster, stored } => (*cluster, stored.clone()),
        };
        let seed =
            |room: u64| home.seed ^ (room.wrapping_mul(0x9e37_79b9_7f4a_7c15)) ^ u64::from(cx.boot) << 32;
        let mut state = State::new(cluster, cx.me, seed(1));
        state.begin_boot(if is_sown(Mutant::AcksOfEarlierLives) { 0 } else { cx.boot });
        let horizons = cell::<Horizons>(&stored, Cell::Horizons);
        state.load(stored.records.iter().map(Vec::as_slice), horizons, cx.crypto);
        let mut trust = Trust::new(cluster);
        state.membership_records().for_each(|entry| drop(trust.apply(&entry.record(), cx.crypto)));
        let nothing = LeaseCell { promise: Epoch::ZERO, config: None };
        let promise = cell::<LeaseCell>(&stored, Cell::Lease).unwrap_or(nothing);
        let fence = cell::<Fence>(&stored, Cell::Fence).map_or(Epoch::ZERO, |fence| fence.epoch);
        let peer = Peer { node: cx.me, boot: cx.boot, renewal: 0 };
        let clock = begin_clock(now.instant, &beginning, &state, &promise);
        let generation = clock.present(now.instant).generation;
        let setup = reconcile::Setup {
            me: cx.me,
            cluster,
            fence,
            host_rebooted: home.host_rebooted && matches!(beginning, Beginning::Again { .. }),
            seed: seed(2),
            runtimes: home.runtimes.clone(),
            limits: home.tuning.limits,
        };
        let mut member = Self {
            cluster,
            clock,
            trust,
            membership: Membership::new(peer, home.tuning.membership, seed(3), now.instant),
            lease: Lease::new(cx.me, now.instant, promise, home.tuning.lease, seed(4)),
            state,
            reconcile: Reconcile::new(now, setup),
            desk: Desk::default(),
            sightings: Sightings::default(),
            speech: Speech::default(),
            facts: home.facts.clone(),
            fed: BTreeSet::new(),
            delays: BTreeMap::new(),
            unwritten: BTreeMap::new(),
            joined: None,
            sequence: 0,
            waiters: BTreeMap::new(),
            last_waiter: 0,
            forwards: Forwards::default(),
            leaving: None,
            recovering: None,
            generation,
            live: Vec::new(),
            lives_due: true,
            electorate_due: true,
            kept: Vec::new(),
            removed_by: None,
            started: now.instant,
            last_call: now.instant,
            synced: !matches!(beginning, Beginning::Again { .. }),
            earlier: Earlier::default(),
            outstanding: VecDeque::new(),
        };
        member.begin(cx, home, beginning);
        member
    }

    fn begin<C: Crypto>(&mut self, cx: &mut Context<'_, C>, home: &Home, beginning: Beginning) {
        let now = cx.now;
        let mut keys = BTreeSet::new();
        match beginning {
            Beginning::Founding { genesis, .. } => {
                self.trust.apply(&genesis, cx.crypto);
                self.submit(cx, Vec::from([encode(&genesis)]));
                self.lease.found(now.instant);
            }
            Beginning::Joining { chain, doors, .. } => {
                for record in chain.iter().filter_map(|bytes| decode::<Record>(bytes).ok()) {
                    self.trust.apply(&record, cx.crypto);
                    let Stamp::Time { time, node } = record.stamp else { continue };
                    self.clock.observe(now.instant, node, time);
                    // What of it is refused is to count for nothing.
                    let key = Key::from_bytes(&record.key).ok().flatten();
                    if let Some(Key::Membership(MembershipKey::Admission { node, .. })) = key
                        && node == cx.me
                    {
                        self.membership.came_in_by(record.author);
                    }
                    keys.extend(key);
                }
                let court = Court { trust: &self.trust, crypto: cx.crypto };
                self.state.receive_records(now.instant, cx.me, &chain, &court, cx.crypto);
                self.state.receive_records(now.instant, cx.me, &doors, &court, cx.crypto);
            }
            Beginning::Again { .. } => {
                // What it had is no less so if nobody vouches for it now.
                let own = self.state.tasks_on(cx.me).map(|task| Recovered {
                    slot: task.slot,
                    place: task.place,
                    status: task.status.clone(),
                });
                let own = own.collect();
                let court = Court { trust: &self.trust, crypto: cx.crypto };
                self.state.rejudge_all(now.instant, &court);
                self.recall_earlier_words(cx);
                self.reconcile.handle(now, ReconcileInput::Recovered(own));
            }
        }
        // What was refused or taken away just now is withdrawn; what stands is no news, but each reader of
        // changes starts empty.
        keys.extend(self.state.take_changes());
        keys.extend(self.state.records().filter_map(super::feed::key_of));
        let everybody = self.trust.standings().map(|(node, _)| node).collect();
        self.membership_changed(cx, &everybody);
        self.on_changes(cx, keys.into_iter().collect());
        self.publish_facts(cx);
        if self.trust.members().all(|node| node == cx.me) {
            self.reconcile.handle(now, ReconcileInput::Peers(Peers::Synced));
        }
        home.engines.values().for_each(|report| self.on_report(cx, report.clone()));
        self.pump(cx);
    }

    /// Takes note of what happened. True once this node has left its cluster.
    pub(super) fn handle<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        input: Input,
        purposes: Vec<Purpose>,
    ) -> bool {
        let lag = cx.now.instant.since(self.last_call);
        self.last_call = cx.now.instant;
        if matches!(input, Input::Tick) {
            self.note_lag(cx, lag);
        }
        match input {
            Input::Datagram { from, bytes } | Input::Message { from, bytes } => {
                self.on_frame(cx, from, &bytes);
            }
            Input::Connected { peer } => {
                self.membership.handle(cx.now.instant, MembershipInput::Connected { peer });
                self.tell_state(cx, StateInput::Connected { peer });
            }
            // A connection that ends says little; probes say more.
            Input::Disconnected { .. } => {}
            Input::Dismissed { peer, farewell } => self.on_dismissal(cx, peer, &farewell),
            Input::JoinAsked { ticket, key, bytes } => self.on_join_asked(cx, ticket, key, &bytes),
            Input::JoinAnswered { .. } => {}
            Input::Tick => self.tick(cx),
            Input::Command { ticket, command } => self.command(cx, ticket, *command),
            Input::Engine(report) => self.on_report(cx, report),
            Input::Durable { .. } => {
                if self.on_durable(cx, purposes) {
                    return true;
                }
            }
            Input::Facts(facts) => {
                self.facts = NodeFacts { runtimes: core::mem::take(&mut self.facts.runtimes), ..*facts };
                self.publish_facts(cx);
            }
            Input::Stopping => self.membership.handle(cx.now.instant, MembershipInput::Stopping),
        }
        self.leave_tick(cx);
        self.recover_tick(cx);
        self.ask_on(cx);
        self.pump(cx);
        false
    }

    /// A timer that fires much later than it was set tells that this node did nothing for so long.
    pub(super) fn note_lag<C: Crypto>(&mut self, cx: &mut Context<'_, C>, since_last: Duration) {
        let due = self.next_wake().map_or(Duration::ZERO, |due| cx.now.instant.since(due));
        let lag = due.min(since_last);
        if lag > LAG {
            self.lease.handle(cx.now.instant, LeaseInput::Lagged(lag));
        }
    }

    pub(super) fn tick<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        let now = cx.now;
        self.membership.handle(now.instant, MembershipInput::Tick);
        if self.stalls_at().is_some_and(|at| now.instant >= at) {
            self.lease.handle(now.instant, LeaseInput::StorageStalled);
        }
        self.lease.handle(now.instant, LeaseInput::Tick);
        self.tell_state(cx, StateInput::Tick);
        self.feed_delayed(cx);
        self.reconcile.handle(now, ReconcileInput::Tick);
        self.desk_tick(cx);
    }

    /// Lets outputs flow from room to room until there are none, then looks at the plan.
    pub(super) fn pump<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        let mut rounds = 0;
        loop {
            let mut quiet = true;
            rounds += 1;
            if rounds > ROUNDS {
                cx.out.event(Event::Alarm(Alarm::Internal(
                    "one event makes the rooms talk without end".into(),
                )));
                break;
            }
            while let Some(output) = self.membership.poll_output() {
                quiet = false;
                self.on_membership(cx, output);
            }
            quiet &= !self.drain_lease(cx);
            while let Some(output) = self.state.poll_output() {
                quiet = false;
                self.on_state(cx, output);
            }
            quiet &= !self.reconcile.settle(cx.now);
            while let Some(output) = self.reconcile.poll_output() {
                quiet = false;
                self.on_reconcile(cx, output);
            }
            let changes = self.state.take_changes();
            if !changes.is_empty() {
                quiet = false;
                self.own_words(cx, &changes);
                self.on_changes(cx, changes);
            }
            let void = self.state.take_void();
            if !void.is_empty() {
                quiet = false;
                self.say_again(cx, void);
            }
            quiet &= !self.tell_electorate(cx);
            if !self.synced && self.state.has_met() {
                quiet = false;
                self.synced = true;
                self.reconcile.handle(cx.now, ReconcileInput::Peers(Peers::Synced));
            }
            self.heed_own_word(cx);
            if quiet && !self.plan(cx) {
                break;
            }
        }
        self.tell_who_lives(cx);
        if let Some(at) = self.next_wake() {
            cx.out.push(Output::WakeAt(at));
        }
    }

    /// When a write that is under way has been for longer than a lease: a dead disk must not lead.
    fn stalls_at(&self) -> Option<crate::Instant> {
        let config = self.lease.config()?;
        let oldest = self.outstanding.front()?;
        Some(*oldest + Duration::from_millis(u64::from(config.times.lease_ms)))
    }

    pub(super) fn next_wake(&self) -> Option<crate::Instant> {
        [
            self.membership.next_wake(),
            self.lease.next_wake(),
            self.state.next_wake(),
            self.reconcile.next_wake(),
            self.desk.next_wake(),
            self.sightings.next_wake(),
            self.delays.values().min().copied(),
            self.stalls_at()
                .filter(|_| self.lease.holding(self.last_call).is_some())
                .filter(|at| *at > self.last_call),
            self.leaving.as_ref().and_then(Leaving::next_wake),
            self.recovering.as_ref().and_then(Recovering::next_wake),
            self.forwards.next_wake(),
        ]
        .into_iter()
        .fold(None, earlier)
    }

    /// Since when a member has been believed dead, if it is, and did not say that it would be back.
    pub(super) fn down_since(&self, node: NodeId) -> Option<crate::Instant> {
        let state = self.membership.state(node)?;
        (state.liveness == Liveness::Down && state.held_until.is_none()).then_some(state.since)
    }

    pub(super) const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The record of a slot, if there is one.
    pub(super) fn slot_record(&self, key: SlotKey) -> Option<(Stamp, &Slot)> {
        self.state.slot(key).map(|view| (view.stamp, view.slot))
    }
}

/// Cluster time as this node has it at first.
fn begin_clock(now: crate::Instant, beginning: &Beginning, state: &State, promise: &LeaseCell) -> Clock {
    let mut clock = match beginning {
        Beginning::Again { .. } => Clock::restore(now, state.greatest_time()),
        Beginning::Founding { .. } | Beginning::Joining { .. } => Clock::new(now),
    };
    // Nothing may have been written since its generation was founded.
    clock.recover(now, promise.config.as_ref().map_or(0, |config| config.id.epoch.generation));
    clock
}

/// How often outputs go from room to room after one event: a dozen times at most, if no room is mad.
const ROUNDS: u32 = 1_000;

/// A timer that fires so much late is no hiccup.
const LAG: Duration = Duration::from_millis(50);
