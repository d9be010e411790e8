//! How a node goes: seat and lease first, then its membership, then its tasks, then its disk.
//!
//! ```text
//!  HandingOver ─ handed over, or 5 s ─▶ Removing ─ known elsewhere, or 2 s ─▶ Stopping ─ idle ─▶ Wiping
//!       └───────────── force, or alone ─────▲                       ▲
//!                               removed by another ─────────────────┘
//! ```

use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::durable::Write;
use sleep_wire::encode;

use super::context::{Context, Purpose};
use super::member::Member;
use crate::crypto::Crypto;
use crate::io::{Output, Refusal, Reply, Ticket};
use crate::lease::LeaseInput;
use crate::membership::MembershipInput;
use crate::reconcile::ReconcileInput;
use crate::time::Instant;
use crate::trust::Pen;

/// How long handing over may take.
const HAND_OVER: Duration = Duration::from_secs(5);

/// How long tasks may take to stop: the longest grace that is sensible, and what an ill engine costs.
const STOPPING: Duration = Duration::from_secs(120);

/// Where a node stands that is going.
pub(crate) struct Leaving {
    ticket: Option<Ticket>,
    step: Step,
}

enum Step {
    HandingOver { until: Instant },
    Removing { waiter: u64 },
    Stopping { until: Instant },
    Wiping,
}

impl Leaving {
    pub(super) fn next_wake(&self) -> Option<Instant> {
        match self.step {
            Step::HandingOver { until } | Step::Stopping { until } => Some(until),
            Step::Removing { .. } | Step::Wiping => None,
        }
    }
}

impl Member {
    /// Somebody wants this node to leave.
    pub(super) fn leave<C: Crypto>(&mut self, cx: &mut Context<'_, C>, ticket: Ticket, force: bool) {
        if self.leaving.is_some() {
            return cx.out.refuse(ticket, Refusal::Busy);
        }
        let alone = self.trust.members().all(|node| node == cx.me);
        if !alone && !force && self.trust.is_last_control(cx.me) {
            return cx.out.refuse(ticket, Refusal::LastControl);
        }
        let until = cx.now.instant + HAND_OVER;
        self.leaving = Some(Leaving { ticket: Some(ticket), step: Step::HandingOver { until } });
        if alone || force {
            return self.remove_self(cx);
        }
        self.lease.handle(cx.now.instant, LeaseInput::HandOver);
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
    pub(super) fn acknowledged<C: Crypto>(&mut self, cx: &mut Context<'_, C>, waiter: u64) {
        let removing =
            |leaving: &Leaving| matches!(leaving.step, Step::Removing { waiter: ours } if ours == waiter);
        if self.leaving.as_ref().is_some_and(removing) {
            self.membership.handle(cx.now.instant, MembershipInput::Leaving);
            self.stop_tasks(cx);
        }
    }

    /// This node is no longer a member, on whose word ever.
    pub(super) fn was_removed<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        if self.leaving.is_none() {
            let until = cx.now.instant + STOPPING;
            self.leaving = Some(Leaving { ticket: None, step: Step::Stopping { until } });
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
        if let Some(ticket) = self.leaving.take().and_then(|leaving| leaving.ticket) {
            cx.out.reply(ticket, Reply::Left);
        }
        cx.out.push(Output::Reset);
    }
}
