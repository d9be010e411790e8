//! What this node writes, and who waits until it is safe.

use alloc::string::String;
use alloc::vec::Vec;

use sleep_wire::durable::Write;
use sleep_wire::key::{DesiredKey, ObservedKey};
use sleep_wire::node::{NodeFacts, NodeImages, RuntimeFacts};
use sleep_wire::{Key, Stamp, Wire, encode};

use super::context::{Context, Purpose};
use super::member::{Court, Member};
use crate::crypto::Crypto;
use crate::io::{Durability, Event, Output, Refusal, Reply, Ticket};
use crate::lease::LeaseInput;
use crate::reconcile::{ReconcileInput, RuntimeHealth};
use crate::state::{BODY_VERSION, Draft, Receipt, StateInput, StateOutput};

impl Member {
    pub(super) fn on_durable<C: Crypto>(&mut self, cx: &mut Context<'_, C>, purposes: Vec<Purpose>) -> bool {
        for purpose in purposes {
            if let Purpose::State(_) | Purpose::Lease(_) | Purpose::Fence(_) = purpose {
                self.outstanding.pop_front();
            }
            match purpose {
                Purpose::State(token) => {
                    self.tell_state(cx, StateInput::Durable { token });
                    self.feed_written(cx, token);
                }
                Purpose::Lease(token) => {
                    self.lease.handle(cx.now.instant, LeaseInput::Durable { token });
                    self.founding_is_durable(cx, token);
                }
                Purpose::Fence(epoch) => self.reconcile.handle(cx.now, ReconcileInput::FenceDurable(epoch)),
                Purpose::Wiped => {
                    self.wiped(cx);
                    return true;
                }
                Purpose::Joined => self.join_is_durable(cx),
                Purpose::OldDisk => cx.out.push(Output::Restart),
                Purpose::Boots | Purpose::Nobody => {}
            }
        }
        false
    }

    /// A write failed: the lease is dropped before anything else, and whoever waits is told.
    pub(super) fn storage_failed<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        purposes: &[Purpose],
        message: &str,
    ) {
        let of_lease =
            |purpose: &Purpose| if let Purpose::Lease(token) = purpose { Some(*token) } else { None };
        let token = purposes.iter().find_map(of_lease).unwrap_or(0);
        self.lease.handle(cx.now.instant, LeaseInput::DurableFailed { token });
        self.drain_lease(cx);
        let waiters = core::mem::take(&mut self.waiters).into_values().map(|(ticket, _)| ticket);
        for ticket in waiters.chain(self.recovering.take().map(|recovering| recovering.ticket())) {
            cx.out.refuse(ticket, Refusal::Storage(message.into()));
        }
    }

    pub(super) fn persist<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        purpose: Purpose,
        writes: Vec<Write>,
    ) {
        self.outstanding.push_back(cx.now.instant);
        cx.out.persist(purpose, writes);
    }

    pub(super) fn on_state<C: Crypto>(&mut self, cx: &mut Context<'_, C>, output: StateOutput) {
        match output {
            StateOutput::Send { to, message, lane } => self.send(cx, to, lane, message),
            StateOutput::Persist { token, writes } => self.persist(cx, Purpose::State(token), writes),
            StateOutput::Acknowledged { waiter, durability } => {
                let others = self.trust.members().any(|node| node != cx.me);
                let durability = match durability {
                    // Others are members, and none is reached: what they do not have is only here.
                    Durability::Alone if others => Durability::HereOnly,
                    told @ (Durability::Alone | Durability::Shared | Durability::HereOnly) => told,
                };
                if let Some((ticket, reply)) = self.waiters.remove(&waiter) {
                    cx.out.reply(ticket, with_durability(reply, durability));
                } else {
                    self.acknowledged(cx, waiter, durability);
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

    /// Says what this node is, if that is news.
    pub(super) fn publish_facts<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        let known = self.state.facts(cx.me).map(|facts| facts.runtimes.clone()).unwrap_or_default();
        let runtimes = self.reconcile.runtimes().map(|runtime| {
            let told = |ill: String| RuntimeFacts {
                runtime: runtime.runtime,
                engine: runtime.engine.into(),
                version: runtime.version.into(),
                ill,
            };
            match runtime.health {
                RuntimeHealth::Well => told(String::new()),
                RuntimeHealth::Ill(error) => told(super::words::engine_error(error)),
                // An agent that was restarted has not asked yet: that is no news of its engine.
                RuntimeHealth::Unknown => {
                    let before = known.iter().find(|before| before.runtime == runtime.runtime);
                    before.cloned().unwrap_or_else(|| told("it has not answered yet".into()))
                }
            }
        });
        self.facts.runtimes = runtimes.collect();
        let facts = NodeFacts {
            wall: cx.now.wall,
            at_ms: self.clock.present(cx.now.instant).ms(),
            ..self.facts.clone()
        };
        // Said by every boot anew: what is told of tasks by an earlier one is known by it.
        let key = Key::Observed(ObservedKey::Facts { node: cx.me });
        let stamp = self.state.record(&key).map(crate::state::Entry::stamp);
        let said = matches!(stamp, Some(Stamp::Boot { boot, .. }) if boot == u64::from(cx.boot));
        let same = said
            && self.state.facts(cx.me).is_some_and(|known| {
                NodeFacts { wall: facts.wall, at_ms: facts.at_ms, ..known.clone() } == facts
            });
        if !same {
            self.observe(cx, ObservedKey::Facts { node: cx.me }, &facts);
        }
    }

    /// Writes which images this node has.
    pub(super) fn publish_images<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        let mut images: Vec<String> =
            self.reconcile.runtimes().flat_map(|runtime| runtime.images.to_vec()).collect();
        images.sort_unstable();
        images.dedup();
        self.observe(cx, ObservedKey::Images { node: cx.me }, &NodeImages { images });
    }

    /// Writes what this node says of itself.
    pub(super) fn observe<C: Crypto>(&mut self, cx: &mut Context<'_, C>, key: ObservedKey, body: &impl Wire) {
        self.sequence += 1;
        let stamp = Stamp::Boot { boot: u64::from(cx.boot), sequence: self.sequence };
        let draft = Draft { key: Key::Observed(key), stamp, version: BODY_VERSION, body: encode(body) };
        // If it does not stand, what stands there is an earlier life's.
        if self.write(cx, Vec::from([draft]), None) == [Receipt::Merged]
            && let Some(record) = self.state.record(&Key::Observed(key))
        {
            self.earlier.says(key, record);
        }
    }

    /// A draft of desired state, stamped now.
    pub(super) fn draft<C: Crypto>(
        &mut self,
        cx: &Context<'_, C>,
        key: DesiredKey,
        body: &impl Wire,
    ) -> Draft {
        self.encoded(cx, Key::Desired(key), encode(body))
    }

    /// The same of a body that is encoded already.
    pub(super) fn encoded<C: Crypto>(&mut self, cx: &Context<'_, C>, key: Key, body: Vec<u8>) -> Draft {
        let stamp = Stamp::Time { time: self.clock.tick(cx.now.instant), node: cx.me };
        Draft { key, stamp, version: BODY_VERSION, body }
    }

    /// Writes drafts; a reply, if there is one, leaves when they are safe. Returns what became of each, and
    /// nothing if one was refused.
    pub(super) fn write<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        drafts: Vec<Draft>,
        reply: Option<(Ticket, Reply)>,
    ) -> Vec<Receipt> {
        let waiter = self.wait_for(reply);
        let court = Court { trust: &self.trust, crypto: cx.crypto };
        let written = self.state.write(cx.now.instant, drafts, &court, cx.crypto, waiter);
        self.refused_own(cx, written.as_ref().err().copied(), waiter);
        written.unwrap_or_default()
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

    /// What this node writes, it was checked to be allowed to; being refused all the same is told, not
    /// hidden.
    pub(super) fn refused_own<C: Crypto>(
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
}
fn with_durability(reply: Reply, safe: Durability) -> Reply {
    match reply {
        Reply::Done { changed, .. } => Reply::Done { changed, durability: safe },
        Reply::Token { token, id, .. } => Reply::Token { token, id, durability: safe },
        Reply::Service { service, revision, changed, .. } => {
            Reply::Service { service, revision, changed, durability: safe }
        }
        Reply::Initialised { .. } | Reply::Joined { .. } | Reply::Left { .. } | Reply::Recovered { .. } => {
            reply
        }
    }
}
