//! A node that is in a cluster: its rooms, and what flows between them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::durable::{Cell, Fence, Horizons, LeaseCell, Stored, Write};
use sleep_wire::engine::EngineReport;
use sleep_wire::key::{DesiredKey, MembershipKey, ObservedKey, SlotKey};
use sleep_wire::message::{BadFrame, Carried, Frame, Message, RollCallMessage};
use sleep_wire::node::{NodeFacts, NodeImages, RuntimeFacts};
use sleep_wire::slot::Slot;
use sleep_wire::swim::Peer;
use sleep_wire::trust::Role;
use sleep_wire::{ClusterId, Epoch, Key, NodeId, Record, ServiceId, Stamp, Wire, decode, encode};

use super::context::{Context, Purpose};
use super::leave::Leaving;
use super::plan::Desk;
use super::sightings::Sightings;
use super::{Home, cell, earlier};
use crate::clock::{Clock, Observed};
use crate::crypto::Crypto;
use crate::io::{Alarm, Event, Input, Lane, Output, Refusal, Reply, Ticket};
use crate::lease::{Electorate, Evidence, Lease, LeaseInput, LeaseOutput};
use crate::membership::{Liveness, Membership, MembershipInput, MembershipOutput};
use crate::reconcile::{self, Peers, Reconcile, ReconcileInput, ReconcileOutput, Recovered, RuntimeHealth};
use crate::state::{BODY_VERSION, Draft, Judge, State, StateInput, StateOutput, Verdict};
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
    pub(super) facts: NodeFacts,
    /// Slots that the reconcile room was told of.
    pub(super) fed: BTreeSet<SlotKey>,
    /// Who waits for this node's membership to be durable.
    pub(super) joined: Option<(Ticket, Reply)>,
    /// Counts this boot's observed records.
    sequence: u64,
    /// Who waits for which write to be safe.
    waiters: BTreeMap<u64, (Ticket, Reply)>,
    last_waiter: u64,
    /// Newcomers that wait for another node's word.
    pub(super) forwarded: BTreeMap<u64, Ticket>,
    pub(super) last_forwarded: u64,
    pub(super) leaving: Option<Leaving>,
    /// Whom the state room was last told of.
    live: Vec<NodeId>,
    /// Whom the network was last told to keep connected.
    kept: Vec<NodeId>,
    /// When it became a member, or its agent was started.
    pub(super) started: crate::Instant,
    /// When this node was last asked to do anything.
    last_call: crate::Instant,
    /// Whether peers' state has come since the start.
    synced: bool,
    /// Writes that were asked for and have not come back, by when they were asked for.
    pub(super) outstanding: BTreeSet<crate::Instant>,
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
        let mut trust = Trust::new(cluster);
        let horizons = cell::<Horizons>(&stored, Cell::Horizons);
        state.load(stored.records.iter().map(Vec::as_slice), horizons, cx.crypto);
        for entry in state.membership_records() {
            trust.apply(&entry.record(), cx.crypto);
        }
        let nothing = LeaseCell { promise: Epoch::ZERO, config: None };
        let promise = cell::<LeaseCell>(&stored, Cell::Lease).unwrap_or(nothing);
        let fence = cell::<Fence>(&stored, Cell::Fence).map_or(Epoch::ZERO, |fence| fence.epoch);
        let peer = Peer { node: cx.me, boot: cx.boot, renewal: 0 };
        let clock = match &beginning {
            Beginning::Again { .. } => Clock::restore(now.instant, state.greatest_time()),
            Beginning::Founding { .. } | Beginning::Joining { .. } => Clock::new(now.instant),
        };
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
            facts: home.facts.clone(),
            fed: BTreeSet::new(),
            joined: None,
            sequence: 0,
            waiters: BTreeMap::new(),
            last_waiter: 0,
            forwarded: BTreeMap::new(),
            last_forwarded: 0,
            leaving: None,
            live: Vec::new(),
            kept: Vec::new(),
            started: now.instant,
            last_call: now.instant,
            synced: !matches!(beginning, Beginning::Again { .. }),
            outstanding: BTreeSet::new(),
        };
        member.begin(cx, beginning);
        member
    }

    fn begin<C: Crypto>(&mut self, cx: &mut Context<'_, C>, beginning: Beginning) {
        let now = cx.now;
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
                }
                let court = Court { trust: &self.trust, crypto: cx.crypto };
                self.state.receive_records(now.instant, cx.me, &chain, &court, cx.crypto);
                self.state.receive_records(now.instant, cx.me, &doors, &court, cx.crypto);
            }
            Beginning::Again { .. } => {
                let court = Court { trust: &self.trust, crypto: cx.crypto };
                self.state.rejudge_all(now.instant, &court);
                let own = self.state.tasks_on(cx.me).map(|task| Recovered {
                    slot: task.slot,
                    place: task.place,
                    status: task.status.clone(),
                });
                let own = own.collect();
                self.reconcile.handle(now, ReconcileInput::Recovered(own));
            }
        }
        // What stands on the disk is no news to take_changes' readers, but each of them starts empty.
        let all: Vec<Key> = self.state.records().filter_map(super::feed::key_of).collect();
        self.state.take_changes();
        self.membership_changed(cx);
        self.on_changes(cx, all);
        self.publish_facts(cx);
        if self.trust.members().all(|node| node == cx.me) {
            self.reconcile.handle(now, ReconcileInput::Peers(Peers::Synced));
        }
        self.pump(cx);
    }

    /// Takes note of what happened. True once this node has left its cluster.
    pub(super) fn handle<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        input: Input,
        purpose: Option<Purpose>,
    ) -> bool {
        let lag = cx.now.instant.since(self.last_call);
        self.last_call = cx.now.instant;
        if matches!(input, Input::Tick) {
            self.note_lag(cx, lag);
        }
        match input {
            Input::Datagram { from, bytes } | Input::Message { from, bytes } => {
                self.on_frame(cx, from, &bytes)
            }
            Input::Connected { peer } => {
                self.membership.handle(cx.now.instant, MembershipInput::Connected { peer });
                self.to_state(cx, StateInput::Connected { peer });
            }
            // A connection that ends says little; probes say more.
            Input::Disconnected { .. } => {}
            Input::JoinAsked { ticket, key, bytes } => self.on_join_asked(cx, ticket, key, &bytes),
            Input::JoinAnswered { .. } => {}
            Input::Tick => self.tick(cx),
            Input::Command { ticket, command } => self.command(cx, ticket, *command),
            Input::Engine(report) => self.on_report(cx, report),
            Input::Durable { .. } => {
                if self.on_durable(cx, purpose) {
                    return true;
                }
            }
            Input::Facts(facts) => {
                self.facts = NodeFacts { runtimes: core::mem::take(&mut self.facts.runtimes), ..*facts };
                self.publish_facts(cx);
            }
            Input::Stopping => self.membership.handle(cx.now.instant, MembershipInput::Stopping),
        }
        self.pump(cx);
        false
    }

    /// A timer that fires much later than it was set tells that this node did nothing for so long.
    fn note_lag<C: Crypto>(&mut self, cx: &mut Context<'_, C>, since_last: Duration) {
        let due = self.next_wake().map_or(Duration::ZERO, |due| cx.now.instant.since(due));
        let lag = due.min(since_last);
        if lag > LAG {
            self.lease.handle(cx.now.instant, LeaseInput::Lagged(lag));
        }
    }

    fn tick<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        let now = cx.now;
        self.membership.handle(now.instant, MembershipInput::Tick);
        self.lease.handle(now.instant, LeaseInput::Tick);
        self.to_state(cx, StateInput::Tick);
        self.reconcile.handle(now, ReconcileInput::Tick);
        self.desk_tick(cx);
        self.leave_tick(cx);
    }

    fn on_frame<C: Crypto>(&mut self, cx: &mut Context<'_, C>, from: NodeId, bytes: &[u8]) {
        let frame = match Frame::from_bytes(bytes) {
            Ok(frame) => frame,
            // A later release's: not meant for this one.
            Err(BadFrame::UnknownKind { .. }) => return,
            Err(_) => return cx.out.event(Event::BadFrame { from }),
        };
        if !self.trust.is_member(from) {
            return;
        }
        let now = cx.now.instant;
        match self.clock.observe(now, from, frame.carried.time) {
            Observed::Taken => {}
            Observed::Ahead(alarm) => cx.out.event(Event::Alarm(alarm)),
            Observed::Invalid => return cx.out.event(Event::BadFrame { from }),
        }
        if let Some(hint) = frame.carried.hint {
            let from_control = self.trust.role(hint.epoch.candidate) == Some(Role::Control);
            self.lease.handle(now, LeaseInput::Hint { from, hint, from_control });
        }
        match frame.message {
            Message::Swim(bytes) => self.membership.handle(now, MembershipInput::Swim { from, bytes }),
            Message::Membership(message) => {
                self.membership.handle(now, MembershipInput::Message { from, message });
            }
            Message::Lease(message) => {
                if self.trust.role(from) == Some(Role::Control) {
                    self.lease.handle(now, LeaseInput::Message { from, message });
                }
            }
            Message::Push(message) => self.to_state(cx, StateInput::Push { from, message }),
            Message::Sync(message) => {
                let time = self.clock.present(now);
                let holder_side = matches!(self.lease.evidence(now), Evidence::Fresh(_));
                self.to_state(cx, StateInput::Sync { from, message, time, holder_side });
            }
            Message::RollCall(message) => self.on_roll_call(cx, from, message),
            Message::Admit(message) => self.on_admit(cx, from, message),
            // Doors are asked over connections of their own; permits come with a later release.
            Message::Join(_) | Message::Joined(_) | Message::Permit(_) => {}
        }
    }

    pub(super) fn to_state<C: Crypto>(&mut self, cx: &mut Context<'_, C>, input: StateInput) {
        let court = Court { trust: &self.trust, crypto: cx.crypto };
        self.state.handle(cx.now.instant, input, &court, cx.crypto);
    }

    fn on_report<C: Crypto>(&mut self, cx: &mut Context<'_, C>, report: EngineReport) {
        self.reconcile.handle(cx.now, ReconcileInput::Engine(report));
    }

    fn on_durable<C: Crypto>(&mut self, cx: &mut Context<'_, C>, purpose: Option<Purpose>) -> bool {
        if let Some(first) = self.outstanding.first().copied() {
            self.outstanding.remove(&first);
        }
        match purpose {
            Some(Purpose::State(token)) => self.to_state(cx, StateInput::Durable { token }),
            Some(Purpose::Lease(token)) => self.lease.handle(cx.now.instant, LeaseInput::Durable { token }),
            Some(Purpose::Fence(epoch)) => self.reconcile.handle(cx.now, ReconcileInput::FenceDurable(epoch)),
            Some(Purpose::Wiped) => {
                self.wiped(cx);
                return true;
            }
            Some(Purpose::Joined) => self.join_is_durable(cx),
            Some(Purpose::Boots | Purpose::Nobody) | None => {}
        }
        false
    }

    /// A write failed: the lease is dropped before anything else, and whoever waits is told.
    pub(super) fn storage_failed<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        purpose: Option<Purpose>,
        message: &str,
    ) {
        let token = if let Some(Purpose::Lease(token)) = purpose { token } else { 0 };
        self.lease.handle(cx.now.instant, LeaseInput::DurableFailed { token });
        self.drain_lease(cx);
        for (ticket, _) in core::mem::take(&mut self.waiters).into_values() {
            cx.out.refuse(ticket, Refusal::Storage(message.into()));
        }
    }

    /// Lets outputs flow from room to room until there are none, then looks at the plan.
    pub(super) fn pump<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        loop {
            let mut quiet = true;
            while let Some(output) = self.membership.poll_output() {
                quiet = false;
                self.on_membership(cx, output);
            }
            quiet &= !self.drain_lease(cx);
            while let Some(output) = self.state.poll_output() {
                quiet = false;
                self.on_state(cx, output);
            }
            while let Some(output) = self.reconcile.poll_output() {
                quiet = false;
                self.on_reconcile(cx, output);
            }
            let changes = self.state.take_changes();
            if !changes.is_empty() {
                quiet = false;
                self.on_changes(cx, changes);
            }
            if !self.synced && self.state.has_met() {
                quiet = false;
                self.synced = true;
                self.reconcile.handle(cx.now, ReconcileInput::Peers(Peers::Synced));
            }
            if quiet && !self.plan(cx) {
                break;
            }
        }
        self.tell_who_lives(cx);
        if let Some(at) = self.next_wake() {
            cx.out.push(Output::WakeAt(at));
        }
    }

    fn next_wake(&self) -> Option<crate::Instant> {
        [
            self.membership.next_wake(),
            self.lease.next_wake(),
            self.state.next_wake(),
            self.reconcile.next_wake(),
            self.desk.next_wake(),
            self.sightings.next_wake(),
            self.leaving.as_ref().and_then(Leaving::next_wake),
        ]
        .into_iter()
        .fold(None, earlier)
    }

    fn carried(&self, now: crate::Instant) -> Carried {
        Carried { time: self.clock.present(now), hint: self.lease.hint(now) }
    }

    pub(super) fn send<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        to: NodeId,
        lane: Lane,
        message: Message,
    ) {
        let carried = self.carried(cx.now.instant);
        cx.send(to, lane, carried, message);
    }

    fn on_membership<C: Crypto>(&mut self, cx: &mut Context<'_, C>, output: MembershipOutput) {
        match output {
            MembershipOutput::Send { to, message } => self.send(cx, to, Lane::Urgent, message),
            MembershipOutput::Up { node } => {
                cx.out.event(Event::NodeUp { node });
                self.sightings.back(cx.now.instant, node);
                if !self.synced {
                    self.reconcile.handle(cx.now, ReconcileInput::Peers(Peers::Found));
                }
                self.node_changed(cx, node);
            }
            MembershipOutput::Suspect { node, by } => {
                cx.out.event(Event::NodeSuspect { node, by });
                self.node_changed(cx, node);
            }
            MembershipOutput::Down { node } => {
                cx.out.event(Event::NodeDown { node, confirmed: (0, 0) });
                self.node_changed(cx, node);
            }
            MembershipOutput::Refuted { node }
            | MembershipOutput::Restarting { node, .. }
            | MembershipOutput::Left { node } => self.node_changed(cx, node),
            MembershipOutput::ProbeVerdict { node, failures, asked, confirmed, .. } => {
                if confirmed {
                    self.confirmed_down(cx, node, (failures, asked));
                }
            }
            MembershipOutput::OldDisk { known } => {
                cx.out.event(Event::Alarm(Alarm::OldDisk { here: cx.boot, known }));
            }
            MembershipOutput::Clone { node } => cx.out.event(Event::Alarm(Alarm::Clone { node })),
            MembershipOutput::BadFrame { from } => cx.out.event(Event::BadFrame { from }),
        }
    }

    fn drain_lease<C: Crypto>(&mut self, cx: &mut Context<'_, C>) -> bool {
        let mut any = false;
        while let Some(output) = self.lease.poll_output() {
            any = true;
            match output {
                LeaseOutput::Send { to, message } => self.send(cx, to, Lane::Urgent, Message::Lease(message)),
                LeaseOutput::Persist { token, cell } => {
                    let write = Write::PutCell { cell: Cell::Lease, value: encode(&cell) };
                    self.persist(cx, Purpose::Lease(token), Vec::from([write]));
                }
                LeaseOutput::Acquired { epoch } => {
                    cx.out.event(Event::LeaseAcquired { epoch });
                    self.reconcile.handle(cx.now, ReconcileInput::EpochSeen(epoch));
                    self.open_desk(cx, epoch);
                }
                LeaseOutput::Lost { epoch, why } => {
                    cx.out.event(Event::LeaseLost { epoch, why: why.as_str() });
                    self.desk = Desk::default();
                }
                LeaseOutput::HolderSeen { epoch } => {
                    cx.out.event(Event::HolderChanged { epoch });
                    self.reconcile.handle(cx.now, ReconcileInput::EpochSeen(epoch));
                }
                LeaseOutput::HandedOver => self.handed_over(cx),
            }
        }
        any
    }

    pub(super) fn persist<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        purpose: Purpose,
        writes: Vec<Write>,
    ) {
        self.outstanding.insert(cx.now.instant);
        cx.out.persist(purpose, writes);
    }

    fn on_state<C: Crypto>(&mut self, cx: &mut Context<'_, C>, output: StateOutput) {
        match output {
            StateOutput::Send { to, message, lane } => self.send(cx, to, lane, message),
            StateOutput::Persist { token, writes } => self.persist(cx, Purpose::State(token), writes),
            StateOutput::Acknowledged { waiter, durability } => {
                if let Some((ticket, reply)) = self.waiters.remove(&waiter) {
                    cx.out.reply(ticket, with_durability(reply, durability));
                } else {
                    self.acknowledged(cx, waiter);
                }
            }
            StateOutput::Failed { waiter } => {
                if let Some((ticket, _)) = self.waiters.remove(&waiter) {
                    cx.out.refuse(ticket, Refusal::Storage("a write failed".into()));
                }
            }
            StateOutput::Refused { from, author, why } => {
                cx.out.event(Event::RecordRefused { from, author, why });
            }
        }
    }

    fn on_reconcile<C: Crypto>(&mut self, cx: &mut Context<'_, C>, output: ReconcileOutput) {
        match output {
            ReconcileOutput::Engine(action) => cx.out.push(Output::Engine(action)),
            ReconcileOutput::Publish { slot, place, status } => {
                let key = ObservedKey::Task { node: cx.me, slot, place };
                self.observe(cx, key, &*status);
            }
            // Observed records are bounded a slot; they go when their service's tombstone does.
            ReconcileOutput::Forget { .. } => {}
            ReconcileOutput::PersistFence { epoch } => {
                let write = Write::PutCell { cell: Cell::Fence, value: encode(&Fence { epoch }) };
                self.persist(cx, Purpose::Fence(epoch), Vec::from([write]));
            }
            ReconcileOutput::RuntimesChanged => {
                self.publish_facts(cx);
                // What an earlier boot wrote of a task may be over: what runs is said anew.
                self.reconcile.handle(cx.now, ReconcileInput::RollCall);
            }
            ReconcileOutput::ImagesChanged => {
                let mut images: Vec<String> =
                    self.reconcile.runtimes().flat_map(|runtime| runtime.images.to_vec()).collect();
                images.sort_unstable();
                images.dedup();
                self.observe(cx, ObservedKey::Images { node: cx.me }, &NodeImages { images });
            }
            ReconcileOutput::Event(event) => cx.out.event(event),
        }
    }

    /// Says what this node is, if that is news.
    fn publish_facts<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        let runtimes = self.reconcile.runtimes().map(|runtime| RuntimeFacts {
            runtime: runtime.runtime,
            engine: runtime.engine.into(),
            version: runtime.version.into(),
            ill: match runtime.health {
                RuntimeHealth::Well => String::new(),
                RuntimeHealth::Unknown => "it has not answered yet".into(),
                RuntimeHealth::Ill(error) => super::words::engine_error(error),
            },
        });
        self.facts.runtimes = runtimes.collect();
        let facts = NodeFacts {
            wall: cx.now.wall,
            at_ms: self.clock.present(cx.now.instant).ms(),
            ..self.facts.clone()
        };
        let same = self.state.facts(cx.me).is_some_and(|known| {
            NodeFacts { wall: facts.wall, at_ms: facts.at_ms, ..known.clone() } == facts
        });
        if !same {
            self.observe(cx, ObservedKey::Facts { node: cx.me }, &facts);
        }
    }

    /// Writes what this node says of itself.
    fn observe<C: Crypto>(&mut self, cx: &mut Context<'_, C>, key: ObservedKey, body: &impl Wire) {
        self.sequence += 1;
        let stamp = Stamp::Boot { boot: u64::from(cx.boot), sequence: self.sequence };
        let draft = Draft { key: Key::Observed(key), stamp, version: BODY_VERSION, body: encode(body) };
        self.write(cx, Vec::from([draft]), None);
    }

    /// A draft of desired state, stamped now.
    pub(super) fn draft<C: Crypto>(
        &mut self,
        cx: &Context<'_, C>,
        key: DesiredKey,
        body: &impl Wire,
    ) -> Draft {
        let stamp = Stamp::Time { time: self.clock.tick(cx.now.instant), node: cx.me };
        Draft { key: Key::Desired(key), stamp, version: BODY_VERSION, body: encode(body) }
    }

    /// Writes drafts; a reply, if there is one, leaves when they are safe.
    pub(super) fn write<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        drafts: Vec<Draft>,
        reply: Option<(Ticket, Reply)>,
    ) {
        let waiter = self.wait_for(reply);
        let court = Court { trust: &self.trust, crypto: cx.crypto };
        let written = self.state.write(cx.now.instant, drafts, &court, cx.crypto, waiter);
        self.refused_own(cx, written.err(), waiter);
    }

    /// The same for records that are signed already.
    pub(super) fn submit<C: Crypto>(&mut self, cx: &mut Context<'_, C>, records: Vec<Vec<u8>>) -> bool {
        self.submit_for(cx, records, None)
    }

    pub(super) fn submit_for<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        records: Vec<Vec<u8>>,
        waiter: Option<u64>,
    ) -> bool {
        let court = Court { trust: &self.trust, crypto: cx.crypto };
        let written = self.state.submit(cx.now.instant, records, &court, cx.crypto, waiter);
        let failed = written.is_err();
        self.refused_own(cx, written.err(), waiter);
        !failed
    }

    pub(super) fn wait_for(&mut self, reply: Option<(Ticket, Reply)>) -> Option<u64> {
        let reply = reply?;
        self.last_waiter += 1;
        self.waiters.insert(self.last_waiter, reply);
        Some(self.last_waiter)
    }

    /// A number for a write that somebody inside waits for.
    pub(super) fn inner_waiter(&mut self) -> u64 {
        self.last_waiter += 1;
        self.last_waiter
    }

    /// What this node writes, it was checked to be allowed to; being refused all the same is told, not hidden.
    fn refused_own<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        why: Option<&'static str>,
        waiter: Option<u64>,
    ) {
        let Some(why) = why else { return };
        cx.out.event(Event::RecordRefused { from: cx.me, author: cx.me, why });
        if let Some((ticket, _)) = waiter.and_then(|waiter| self.waiters.remove(&waiter)) {
            cx.out.refuse(ticket, Refusal::NotControl);
        }
    }

    /// The membership set has changed: whoever rests on it is told.
    fn membership_changed<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        let members: BTreeSet<NodeId> = self.trust.members().collect();
        let removed: BTreeSet<NodeId> = self
            .trust
            .standings()
            .filter(|(_, standing)| standing.removed.is_some())
            .map(|(node, _)| node)
            .collect();
        for node in &members {
            self.introduce(cx, *node);
        }
        let gone = self.sightings.newly_removed(&removed);
        for peer in &gone {
            cx.out.push(Output::Expel { peer: *peer });
            cx.out.event(Event::NodeGone { node: *peer });
        }
        let added = self.sightings.newly_admitted(&members);
        self.membership.handle(cx.now.instant, MembershipInput::Members { added, removed: gone });
        self.reconcile.handle(cx.now, ReconcileInput::RemovedNodes(removed));
        self.tell_electorate(cx);
        if self.trust.standing(cx.me).is_some_and(|standing| standing.removed.is_some()) {
            self.was_removed(cx);
        }
    }

    fn introduce<C: Crypto>(&mut self, cx: &mut Context<'_, C>, peer: NodeId) {
        if peer == cx.me {
            return;
        }
        let Some(key) = self.trust.key_of(peer) else { return };
        let addresses = self.state.facts(peer).map(|facts| facts.addresses.clone()).unwrap_or_default();
        if self.sightings.is_new_address(peer, &addresses) {
            cx.out.push(Output::Introduce { peer, key, addresses });
        }
    }

    fn tell_electorate<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        let now = cx.now.instant;
        let control: BTreeSet<NodeId> = self.trust.controls().collect();
        let mut up: BTreeMap<NodeId, Duration> = BTreeMap::from([(cx.me, now.since(self.started))]);
        for node in self.membership.live() {
            up.extend(self.membership.state(node).map(|state| (node, now.since(state.since))));
        }
        let me_control = control.contains(&cx.me) && self.leaving.is_none();
        self.lease.handle(now, LeaseInput::Electorate(Electorate { control, up, me_control }));
    }

    /// Records have changed: each reader looks at what concerns it.
    fn on_changes<C: Crypto>(&mut self, cx: &mut Context<'_, C>, changes: Vec<Key>) {
        let mut touched = BTreeSet::new();
        let mut membership = false;
        let (mut services, mut slots) = (BTreeSet::<ServiceId>::new(), BTreeSet::<SlotKey>::new());
        for key in &changes {
            match key {
                Key::Membership(entry) => {
                    membership = true;
                    if let Some(record) = self.state.record(key).map(|entry| entry.record()) {
                        touched.extend(self.trust.apply(&record, cx.crypto));
                        self.on_membership_record(cx, entry, &record);
                    }
                }
                Key::Desired(key) => match key {
                    DesiredKey::ServiceBirth { service }
                    | DesiredKey::ServiceRevision { service, .. }
                    | DesiredKey::ServiceScale { service }
                    | DesiredKey::ServiceRemoval { service } => drop(services.insert(*service)),
                    DesiredKey::NodeAvailability { node } | DesiredKey::NodeLabel { node, .. } => {
                        self.node_changed(cx, *node);
                    }
                    DesiredKey::JoinToken { .. }
                    | DesiredKey::Secret { .. }
                    | DesiredKey::Config { .. }
                    | DesiredKey::Horizon => {}
                },
                Key::Slot(slot) => drop(slots.insert(*slot)),
                // Islands are of a later release.
                Key::Island(_) => {}
                Key::Observed(ObservedKey::Task { node, slot, place }) => {
                    self.sightings.task(cx.now.instant, *node, *slot, *place, &self.state);
                    slots.insert(*slot);
                }
                Key::Observed(ObservedKey::Facts { node } | ObservedKey::Images { node }) => {
                    self.introduce(cx, *node);
                    self.node_changed(cx, *node);
                }
            }
        }
        if !touched.is_empty() {
            let court = Court { trust: &self.trust, crypto: cx.crypto };
            self.state.rejudge(cx.now.instant, &touched, &court);
        }
        if membership {
            self.membership_changed(cx);
            for node in touched {
                self.node_changed(cx, node);
            }
        }
        for service in services {
            self.service_changed(cx, service);
        }
        for slot in slots {
            self.slot_changed(cx, slot);
        }
    }

    fn on_membership_record<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        key: &MembershipKey,
        record: &Record,
    ) {
        if let Stamp::Time { time, .. } = record.stamp {
            self.clock.observe(cx.now.instant, record.author, time);
        }
        let (MembershipKey::Operator { operator, .. } | MembershipKey::OperatorRemoval { operator, .. }) =
            key
        else {
            return;
        };
        if let Some(key) = self.trust.key_of(*operator) {
            let allowed = self.trust.is_operator(*operator);
            cx.out.push(Output::Operator { key, allowed });
        }
    }

    /// What a node is, or what is believed of it, has changed.
    fn node_changed<C: Crypto>(&mut self, cx: &mut Context<'_, C>, node: NodeId) {
        self.sightings.node(cx.now.instant, node, self.state.availability(node));
        self.tell_electorate(cx);
        self.desk_node(cx, node);
        let slots: Vec<SlotKey> = self.slots_that_wait_for(node);
        for slot in slots {
            self.feed(cx, slot);
        }
    }

    fn tell_who_lives<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        let live: Vec<NodeId> = self.membership.live().collect();
        if live != self.live {
            self.live.clone_from(&live);
            self.to_state(cx, StateInput::Peers { live });
            while let Some(output) = self.state.poll_output() {
                self.on_state(cx, output);
            }
        }
        let mut keep: Vec<NodeId> = self
            .lease
            .config()
            .map(|config| config.voters.iter().map(|voter| voter.node).collect())
            .unwrap_or_default();
        if let Evidence::Fresh(epoch) | Evidence::Stale(epoch) = self.lease.evidence(cx.now.instant) {
            keep.push(epoch.candidate);
        }
        keep.retain(|node| *node != cx.me);
        keep.sort_unstable();
        keep.dedup();
        if keep != self.kept {
            self.kept.clone_from(&keep);
            cx.out.push(Output::KeepConnected { peers: keep });
        }
    }

    fn on_roll_call<C: Crypto>(&mut self, cx: &mut Context<'_, C>, from: NodeId, message: RollCallMessage) {
        match message {
            RollCallMessage::Call { epoch } => self.answer_roll_call(cx, from, epoch),
            RollCallMessage::Answer { epoch, batch, more } => {
                let court = Court { trust: &self.trust, crypto: cx.crypto };
                self.state.receive_records(cx.now.instant, from, &batch.records, &court, cx.crypto);
                self.roll_answered(cx, from, epoch, more);
            }
        }
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

/// A timer that fires so much late is no hiccup.
const LAG: Duration = Duration::from_millis(50);

fn with_durability(reply: Reply, safe: crate::io::Durability) -> Reply {
    match reply {
        Reply::Done { changed, .. } => Reply::Done { changed, durability: safe },
        Reply::Token { token, id, .. } => Reply::Token { token, id, durability: safe },
        Reply::Service { service, revision, changed, .. } => {
            Reply::Service { service, revision, changed, durability: safe }
        }
        Reply::Initialised { .. } | Reply::Joined { .. } | Reply::Left => reply,
    }
}
