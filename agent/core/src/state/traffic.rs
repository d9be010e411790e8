//! What comes in from peers and disk, and what is due by itself.

use alloc::vec::Vec;

use sleep_wire::NodeId;
use sleep_wire::durable::{Cell, Write};
use sleep_wire::encode;
use sleep_wire::message::{Message, PushMessage};
use sleep_wire::record::Batch;
use sleep_wire::stamp::ClusterTime;
use sleep_wire::sync::{BucketLists, Standing, SyncMessage};

use super::acks::Step;
use super::disk::Owed;
use super::intake::Intake;
use super::judge::Judge;
use super::push::FEW;
use super::store::Receipt;
use super::sync::{Answer, View, size};
use super::trie::Sum;
use super::{State, StateInput, StateOutput};
use crate::io::Lane;
use crate::{Crypto, Instant};

/// The most records that an answer to a comparison may bring and still be passed on as news.
const NEWS: usize = 64;

/// What the composer knows when a comparison comes in.
#[derive(Clone, Copy)]
struct Side {
    time: ClusterTime,
    holder: bool,
}

impl State {
    /// Something happened.
    pub fn handle(&mut self, now: Instant, input: StateInput, judge: &impl Judge, crypto: &impl Crypto) {
        match input {
            StateInput::Push { from, message } => match message {
                PushMessage::Records { ack, batch } => self.pushed(now, from, ack, &batch, judge, crypto),
                PushMessage::Durable { ack } => {
                    let step = self.acks.confirmed(from, ack);
                    self.step(step);
                }
            },
            StateInput::Sync { from, message, time, holder_side } => {
                let side = Side { time, holder: holder_side };
                self.synced(now, from, message, side, judge, crypto);
            }
            StateInput::Connected { peer } => self.exchanges.connected(peer),
            StateInput::Durable { token } => self.durable(token),
            StateInput::DurableFailed { token } => {
                let waiters = self.acks.failed(token);
                self.outputs.extend(waiters.into_iter().map(|waiter| StateOutput::Failed { waiter }));
            }
            StateInput::Peers { live } => {
                self.live = live.into_iter().filter(|peer| *peer != self.me).collect();
                self.exchanges.keep_budgets_of(&self.live);
            }
            StateInput::Tick => {}
        }
        self.pump(now);
    }

    /// Does what is due.
    pub(crate) fn pump(&mut self, now: Instant) {
        for (to, batch) in self.pushes.flush(now, &self.live, &mut self.dice) {
            self.send(to, Message::Push(PushMessage::Records { ack: None, batch }), Lane::Delta);
        }
        for step in self.acks.tick(now, &self.live, &mut self.dice) {
            self.step(Some(step));
        }
        if let Some((peer, round)) = self.exchanges.begin(now, &self.live, &mut self.dice) {
            self.ask(peer, round);
            self.give_unsaid(peer);
        }
    }

    /// Gives a peer what is void here and to be said again: a worker has no use for it, but another does.
    fn give_unsaid(&mut self, peer: NodeId) {
        if let Some(batch) = self.unsaid.gift(self.me) {
            self.send(peer, Message::Push(PushMessage::Records { ack: None, batch }), Lane::Delta);
        }
    }

    fn step(&mut self, step: Option<Step>) {
        match step {
            Some(Step::Ask { peer, ack, batch }) => {
                self.send(peer, Message::Push(PushMessage::Records { ack: Some(ack), batch }), Lane::Delta);
            }
            Some(Step::Tell { waiter, durability }) => {
                self.outputs.push_back(StateOutput::Acknowledged { waiter, durability });
            }
            None => {}
        }
    }

    fn send(&mut self, to: NodeId, message: Message, lane: Lane) {
        self.outputs.push_back(StateOutput::Send { to, message, lane });
    }

    /// Whether others may not know yet what a peer is, for nothing had been heard of that here. Where few
    /// live, too: it tells all whom it sees, and when it tells that may be its door alone.
    fn is_stranger(&self, peer: NodeId) -> bool {
        self.facts(peer).is_none()
    }

    fn durable(&mut self, token: u64) {
        let few = self.live.len() <= FEW;
        for entry in self.disk.finish(token) {
            // Where everybody is asked to confirm it, everybody has it.
            if !(few && self.acks.concern(&entry)) {
                self.pushes.add(entry);
            }
        }
        let disk = &self.disk;
        self.acks.durable(|token| disk.is_durable(token));
        for Owed { peer, ack, .. } in self.disk.due() {
            self.send(peer, Message::Push(PushMessage::Durable { ack }), Lane::Delta);
        }
    }

    fn pushed(
        &mut self,
        now: Instant,
        from: NodeId,
        ack: Option<u64>,
        batch: &Batch,
        judge: &impl Judge,
        crypto: &impl Crypto,
    ) {
        let stranger = self.is_stranger(from);
        // What is pushed is news, or void words of one that may have been away: what is older comes by
        // comparison, which knows of deletions that are forgotten.
        let since_ms = self.progress.gc_before_ms();
        let (intake, receipts) = self.take_in(now, from, &batch.records, since_ms, judge, crypto);
        let (merged, _) = self.close(intake, Vec::new(), true);
        for entry in merged {
            self.pushes.pass_on(entry, from, stranger, true);
        }
        let taken = receipts.iter().all(|receipt| match receipt {
            Receipt::Merged | Receipt::Older | Receipt::Same => true,
            Receipt::Refused(_) | Receipt::Unknown => false,
        });
        let Some(ack) = ack.filter(|_| taken) else { return };
        match self.rests_on(batch, crypto) {
            Some(token) => self.disk.owe(Owed { token, peer: from, ack }),
            None => self.send(from, Message::Push(PushMessage::Durable { ack }), Lane::Delta),
        }
    }

    /// The last write that must be durable before all of these are, or what stands in their places.
    fn rests_on(&self, batch: &Batch, crypto: &impl Crypto) -> Option<u64> {
        let entries = batch.records.iter().filter_map(|bytes| crypto.read_record(bytes).ok());
        entries.filter_map(|entry| self.disk.waits_for(self.store.at(entry.place())?)).max()
    }

    fn view(&self) -> View<'_> {
        View { store: &self.store, disk: &self.disk, progress: &self.progress }
    }

    fn ask(&mut self, peer: NodeId, round: u32) {
        let (sum, records) = (self.digest(), self.len());
        self.send(peer, Message::Sync(SyncMessage::Root { round, sum, records }), Lane::Bulk);
    }

    fn synced(
        &mut self,
        now: Instant,
        from: NodeId,
        message: SyncMessage,
        side: Side,
        judge: &impl Judge,
        crypto: &impl Crypto,
    ) {
        match message {
            SyncMessage::Root { round, sum, records } => {
                self.asked(now, from, round, (Sum::of(&sum), records), side);
            }
            SyncMessage::Equal { round, sum } => {
                if Sum::of(&sum) == self.store.trie().root() {
                    self.progress.meet();
                    self.full_sync(now, side);
                }
                self.exchanges.equal(from, round);
            }
            SyncMessage::Branches { round, branches } => {
                self.exchanges.heard(now, from, round, 0);
                if self.exchanges.may_answer(now, from) {
                    let further = self.exchanges.is_further(from, round);
                    match self.view().compare(round, &branches, further) {
                        Some(message) => self.reply(from, Vec::from([message])),
                        None if branches.iter().all(|branch| branch.children().is_none()) => {}
                        None => self.overtaken(now, from, round),
                    }
                }
            }
            SyncMessage::Buckets { round, standing, buckets } => {
                self.exchanges.heard(now, from, round, 0);
                if self.exchanges.may_answer(now, from) {
                    let answer = self.view().buckets(round, standing, &buckets);
                    self.answer(from, answer);
                }
            }
            SyncMessage::Records { round, standing, batch, want, end, more } => {
                let fresh = self.brought(now, from, &batch, judge, crypto);
                self.exchanges.heard(now, from, round, fresh);
                self.give(now, from, round, standing, &want);
                if end {
                    // A round that dealt with the foundation has shown nothing of the rest.
                    if !more && self.exchanges.is_further(from, round) {
                        self.progress.meet();
                    }
                    self.go_on(now, from, round, more && fresh > 0);
                }
            }
        }
    }

    /// What differed when the peer spoke does not differ any more: somebody else has brought it. Whoever
    /// began the exchange goes on to the next round, and would else wait in vain.
    fn overtaken(&mut self, now: Instant, from: NodeId, round: u32) {
        if self.exchanges.is_mine(from, round) {
            return self.go_on(now, from, round, false);
        }
        let message = self.view().over(round);
        self.reply(from, Vec::from([message]));
    }

    fn asked(&mut self, now: Instant, from: NodeId, round: u32, (sum, theirs): (Sum, u64), side: Side) {
        let is_equal = sum == self.store.trie().root();
        if is_equal {
            self.progress.meet();
            self.full_sync(now, side);
        } else if !self.exchanges.yields_to(now, self.me, from, self.len(), theirs) {
            return;
        }
        if self.exchanges.may_answer(now, from) {
            let message = self.view().root(round, sum);
            self.reply(from, Vec::from([message]));
        }
    }

    fn full_sync(&mut self, now: Instant, side: Side) {
        if !side.holder {
            return;
        }
        if let Some(horizons) = self.progress.synced(now, side.time, self.store.trie().root()) {
            let token = self.disk.begin(&[], Vec::new(), true);
            let writes = Vec::from([Write::PutCell { cell: Cell::Horizons, value: encode(&horizons) }]);
            self.outputs.push_back(StateOutput::Persist { token, writes });
        }
    }

    /// Takes in what an answer brought. A little of it is news to others too; much of it means that this node
    /// was away.
    fn brought(
        &mut self,
        now: Instant,
        from: NodeId,
        batch: &Batch,
        judge: &impl Judge,
        crypto: &impl Crypto,
    ) -> usize {
        let stranger = self.is_stranger(from);
        let (intake, _) = self.take_in(now, from, &batch.records, 0, judge, crypto);
        let (merged, _) = self.close(intake, Vec::new(), true);
        let fresh = merged.len();
        let are_news = self.exchanges.is_settled() && fresh <= NEWS;
        for entry in merged {
            self.pushes.pass_on(entry, from, stranger, are_news);
        }
        fresh
    }

    fn give(&mut self, now: Instant, to: NodeId, round: u32, standing: Standing, want: &BucketLists) {
        if !want.is_empty() && self.exchanges.may_answer(now, to) {
            let answer = self.view().wanted(round, standing, want);
            self.answer(to, answer);
        }
    }

    fn go_on(&mut self, now: Instant, from: NodeId, round: u32, more: bool) {
        if let Some(round) = self.exchanges.ended(now, from, round) {
            self.ask(from, round);
        } else if more {
            self.exchanges.connected(from);
        }
    }

    fn answer(&mut self, to: NodeId, answer: Answer) {
        if !answer.dropped.is_empty() {
            let mut intake = Intake::default();
            self.drop_stale(&mut intake, answer.dropped);
            self.close(intake, Vec::new(), true);
        }
        self.reply(to, answer.messages);
    }

    fn reply(&mut self, to: NodeId, messages: Vec<SyncMessage>) {
        for message in messages {
            self.exchanges.answered(to, size(&message));
            self.send(to, Message::Sync(message), Lane::Bulk);
        }
    }
}
