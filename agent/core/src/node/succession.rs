//! What people wanted outlives whoever wrote it down: others say it again, under their own keys.
//!
//! A node whose word is taken away, by removal or demotion, may have written on without knowing. What it
//! wrote after that moment is void everywhere; but people were told that it is done, what stood under the
//! same keys before is gone, and whom it let in is a stranger. So each control node that has it, or hears of
//! it, says it again; and whoever had it keeps it until one has (`state/unsaid`).
//!
//! # Not here
//! What is void, and why: `trust`.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::key::MembershipKey;
use sleep_wire::stamp::ClusterTime;
use sleep_wire::trust::Role;
use sleep_wire::{Key, NodeId, Record, Stamp, encode};

use super::context::Context;
use super::feed::key_of;
use super::member::Member;
use crate::clock;
use crate::crypto::Crypto;
use crate::io::Refusal;
use crate::state::{Draft, Entry, Fact};
use crate::trust::Pen;

impl Member {
    /// Whoever takes a node's word away first says again what stands on it, under its own key: nothing
    /// empties.
    pub(super) fn reauthor<C: Crypto>(&mut self, cx: &mut Context<'_, C>, author: NodeId) {
        let theirs = BTreeSet::from([author]);
        let wishes: Vec<Draft> = self.state.records_by(&theirs).filter_map(|entry| wish(entry)).collect();
        let mut drafts = Vec::new();
        for wish in wishes {
            let stamp = Stamp::Time { time: self.clock.tick(cx.now.instant), node: cx.me };
            drafts.push(Draft { stamp, ..wish });
        }
        if !drafts.is_empty() {
            self.write(cx, drafts, None);
        }
    }

    /// Says again what of these void words nobody has said again yet. It bears the next stamp after the
    /// one that it had, so that it goes before and after the same as it did, whoever says it.
    pub(super) fn say_again<C: Crypto>(&mut self, cx: &mut Context<'_, C>, words: Vec<Arc<Entry>>) {
        let mut fallen = words;
        fallen.retain(|entry| !self.state.is_said(entry) && !self.trust.is_stolen(entry.author()));
        if self.trust.role(cx.me) != Some(Role::Control) {
            if fallen.iter().any(|entry| entry.author() == cx.me) {
                self.answer_no_more(cx);
            }
            return;
        }
        // In their order, which is kept where they cannot be said a moment after.
        fallen.sort_by_key(|entry| entry.stamp());
        let (mut drafts, mut memberships, mut last) = (Vec::new(), Vec::new(), ClusterTime::ZERO);
        for entry in fallen {
            let Stamp::Time { time, .. } = entry.stamp() else { continue };
            let Some(time) = self.after(cx, time, &mut last) else { continue };
            let pen = Pen { crypto: cx.crypto, cluster: self.cluster };
            match (key_of(&entry), entry.fact()) {
                (_, Fact::Admission(admission)) => memberships.push(encode(&pen.admission(time, admission))),
                (Some(Key::Membership(MembershipKey::Role { node, .. })), Fact::Role(change)) => {
                    if self.trust.is_member(node) {
                        memberships.push(encode(&pen.role_change(time, node, change.role, change.at)));
                    }
                }
                _ => {
                    let stamp = Stamp::Time { time, node: cx.me };
                    drafts.extend(wish(&entry).map(|wish| Draft { stamp, ..wish }));
                }
            }
        }
        if !drafts.is_empty() {
            self.write(cx, drafts, None);
        }
        if !memberships.is_empty() {
            self.submit(cx, memberships);
        }
    }

    /// The next moment at which this node could speak. Not now: something newer may stand elsewhere, of which
    /// one that was promoted a moment ago has not heard. `last` is the last that was more than a moment
    /// later. `None` at the end of time.
    fn after<C: Crypto>(
        &mut self,
        cx: &Context<'_, C>,
        time: ClusterTime,
        last: &mut ClusterTime,
    ) -> Option<ClusterTime> {
        let mut next = clock::after(time);
        if !self.trust.is_control_at(cx.me, next) {
            next = self.trust.control_from(cx.me, next.max(clock::after(*last)))?;
            *last = next;
        }
        clock::valid(next).then(|| self.clock.rise(cx.now.instant, next))?;
        Some(next)
    }

    /// This node was demoted before it wrote what people wait for: they are to ask another, which knows what
    /// of it was carried out.
    fn answer_no_more<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        for (ticket, _) in core::mem::take(&mut self.waiters).into_values() {
            cx.out.refuse(ticket, Refusal::NotControl);
        }
    }
}

/// What people want by a record, if it says such.
fn wish(entry: &Entry) -> Option<Draft> {
    let key = key_of(entry).filter(|key| matches!(key, Key::Desired(_)))?;
    let Record { stamp, version, body, .. } = entry.record();
    Some(Draft { key, stamp, version, body })
}
