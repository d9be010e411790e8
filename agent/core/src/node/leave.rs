//! How a node goes: seat and lease first, then its membership, then its tasks, then its disk.
//!
//! ```text
//!  Looking ── one answers ──▶ HandingOver ── handed over, or 5 s ──▶ Removing ◀── force, or alone
//!    │ 5 s                                                              │ known elsewhere, or 2 s
//!    ▼                                                                  ▼
//! refused                                    removed by another ──▶ Stopping ── idle ──▶ Wiping
//! ```
//! A node that nobody hears does not leave unless it is forced to: its disk would be the only one that knew.

use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::durable::Write;
use sleep_wire::encode;

use super::context::{Context, Purpose};
use super::member::Member;
use crate::crypto::Crypto;
use crate::io::{Durability, Output, Refusal, Reply, Ticket};
use crate::lease::LeaseInput;
use crate::membership::MembershipInput;
use crate::reconcile::ReconcileInput;
use crate::time::Instant;
use crate::trust::Pen;

/// How long one that could be told is looked for: a node that has just joined sees nobody for a moment.
const LOOKING: Duration = Duration::from_secs(5);

/// How long handing over may take.
const HAND_OVER: Duration = Duration::from_secs(5);

/// How long tasks may take to stop: the longest grace that is sensible, and what an ill engine costs.
const STOPPING: Duration = Duration::from_secs(120);

/// Where a node stands that is going.
pub(crate) struct Leaving {
    ticket: Option<Ticket>,
    step: Step,
    /// Where the removal is safe.
    durability: Durability,
}

enum Step {
    Looking { until: Instant },
    HandingOver { until: Instant },
    Removing { waiter: u64 },
    Stopping { until: Instant },
    Wiping,
}

impl Leaving {
    pub(super) fn next_wake(&self) -> Option<Instant> {
        match self.step {
            Step::Looking { until } | Step::HandingOver { until } | Step::Stopping { until } => Some(until),
            Step::Removing { .. } | Step::Wiping => None,
        }
    }
}

impl Member {
    /// Somebody wants this node to leave.
    pub(super) fn leave<C: Crypto>(&mut self, cx: &mut Context<'_, C>, ticket: Ticket, force: bool) {
        if self.leaving.is_some() || self.recovering.is_some() {
            return cx.out.refuse(ticket, Refusal::Busy);
        }
        let alone = self.trust.members().all(|node| node == cx.me);
        if !alone && !force && self.trust.is_last_control(cx.me) {
            return cx.out.refuse(ticket, Refusal::LastControl);
        }
        let step = Step::Looking { until: cx.now.instant + LOOKING };
        self.leaving = Some(Leaving { ticket: Some(ticket), step, durability: Durability::Alone });
        if alone || force {
            return self.remove_self(cx);
        }
        self.look_for_one_to_tell(cx);
    }

    fn look_for_one_to_tell<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        let now = cx.now.instant;
        let Some(Leaving { step: step @ Step::Looking { .. }, .. }) = &mut self.leaving else { return };
        // Those whom the state room knows of: they are the ones that it asks to confirm.
        if self.live.iter().any(|node| *node != cx.me) {
            *step = Step::HandingOver { until: now + HAND_OVER };
            self.lease.handle(now, LeaseInput::HandOver);
        } else if let Step::Looking { until } = *step
            && now >= until
            && let Some(ticket) = self.leaving.take().and_then(|leaving| leaving.ticket)
        {
            cx.out.refuse(ticket, Refusal::Unheard);
        }
    }

    pub(super) fn handed_over<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        if matches!(&self.leaving, Some(Leaving { step: Step::HandingOver { .. }, .. })) {
            self.remove_self(cx);
        }
    }

    fn remove_self<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        let waiter = self.inner_waiter();
        if let Some(leaving) = &mut self.leaving {
            leaving.step = Step::Removing { waiter };
        }
        let time = self.clock.tick(cx.now.instant);
        let pen = Pen { crypto: cx.crypto, cluster: self.cluster };
        let removal = encode(&pen.removal(time, cx.me, false, cx.now.wall));
        if !self.submit_for(cx, Vec::from([removal]), Some(waiter)) {
            self.stop_tasks(cx);
        }
    }

    /// A write of this room is as safe as it gets.
    pub(super) fn acknowledged<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        waiter: u64,
        durability: Durability,
    ) {
        if let Some(leaving) = &mut self.leaving
            && let Step::Removing { waiter: ours } = leaving.step
            && ours == waiter
        {
            leaving.durability = durability;
            self.membership.handle(cx.now.instant, MembershipInput::Leaving);
            self.stop_tasks(cx);
        }
    }

    /// This node is no longer a member, on whose word ever.
    pub(super) fn was_removed<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        let looking = |leaving: &Leaving| matches!(leaving.step, Step::Looking { .. });
        if self.leaving.as_ref().is_none_or(looking) {
            let ticket = self.leaving.take().and_then(|leaving| leaving.ticket);
            let step = Step::Stopping { until: cx.now.instant + STOPPING };
            self.leaving = Some(Leaving { ticket, step, durability: Durability::Shared });
            self.reconcile.handle(cx.now, ReconcileInput::Leave);
        }
    }

    fn stop_tasks<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        if let Some(leaving) = &mut self.leaving {
            leaving.step = Step::Stopping { until: cx.now.instant + STOPPING };
        }
        self.reconcile.handle(cx.now, ReconcileInput::Leave);
    }

    /// Goes on once time is up, or nothing runs any more.
    pub(super) fn leave_tick<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        let now = cx.now.instant;
        let Some(leaving) = &self.leaving else { return };
        match leaving.step {
            Step::Looking { .. } => self.look_for_one_to_tell(cx),
            Step::HandingOver { until } if now >= until => self.remove_self(cx),
            Step::Stopping { until } if now >= until || self.reconcile.is_idle() => self.wipe(cx),
            Step::HandingOver { .. } | Step::Removing { .. } | Step::Stopping { .. } | Step::Wiping => {}
        }
    }

    fn wipe<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        if let Some(leaving) = &mut self.leaving {
            leaving.step = Step::Wiping;
        }
        cx.out.persist(Purpose::Wiped, Vec::from([Write::Wipe]));
    }

    /// Nothing is left of this membership: the node goes on under a new key.
    pub(super) fn wiped<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        if let Some(Leaving { ticket: Some(ticket), durability, .. }) = self.leaving.take() {
            cx.out.reply(ticket, Reply::Left { durability });
        }
        cx.out.push(Output::Reset);
    }
}
