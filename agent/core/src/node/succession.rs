//! What people wanted outlives whoever wrote it down: others say it again, under their own keys.
//!
//! A node whose word is taken away, by removal or demotion, may have written on without knowing. What it
//! wrote after that moment is void everywhere; but people were told that it is done, what stood under the
//! same keys before is gone, and whom it let in is a stranger. So each control node that had it says it
//! again.
//!
//! # Not here
//! What is void, and why: `trust`.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use sleep_wire::key::MembershipKey;
use sleep_wire::stamp::ClusterTime;
use sleep_wire::trust::{Admission, Role};
use sleep_wire::{Key, NodeId, Record, Stamp, encode};

use super::context::Context;
use super::feed::key_of;
use super::member::Member;
use crate::crypto::Crypto;
use crate::io::Refusal;
use crate::state::{Draft, Entry, Fact};
use crate::trust::Pen;

/// What some wrote of what people want, and whom they let in.
#[derive(Default)]
pub(super) struct Legacy {
    wishes: Vec<Wish>,
    admissions: Vec<(ClusterTime, NodeId, Admission)>,
}

struct Wish {
    author: NodeId,
    draft: Draft,
}

impl Member {
    /// What stands here of what these wrote.
    pub(super) fn legacy_of(&self, authors: &BTreeSet<NodeId>) -> Legacy {
        let mut legacy = Legacy::default();
        for entry in self.state.records_by(authors) {
            match (key_of(entry), entry.fact(), entry.stamp()) {
                (Some(key @ Key::Desired(_)), _, _) => legacy.wishes.push(wish(key, entry)),
                (
                    Some(Key::Membership(MembershipKey::Admission { node, .. })),
                    Fact::Admission(admission),
                    Stamp::Time { time, .. },
                ) => legacy.admissions.push((time, node, admission.clone())),
                _ => {}
            }
        }
        legacy
    }

    /// Whoever takes a node's word away first says again what stands on it, under its own key: nothing
    /// empties.
    pub(super) fn reauthor<C: Crypto>(&mut self, cx: &mut Context<'_, C>, author: NodeId) {
        let Legacy { wishes, .. } = self.legacy_of(&BTreeSet::from([author]));
        let mut drafts = Vec::new();
        for Wish { draft, .. } in wishes {
            let stamp = Stamp::Time { time: self.clock.tick(cx.now.instant), node: cx.me };
            drafts.push(Draft { stamp, ..draft });
        }
        if !drafts.is_empty() {
            self.write(cx, drafts, None);
        }
    }

    /// Says again what stood a moment ago and is void now, but for what keys in other hands have written. It
    /// bears the next stamp after the one that it had, so that it goes before and after the same as it did,
    /// whoever says it.
    pub(super) fn say_again<C: Crypto>(&mut self, cx: &mut Context<'_, C>, legacy: Legacy) {
        let compromised = |node: NodeId| {
            let removed = self.trust.standing(node).and_then(|standing| standing.removed);
            removed.is_some_and(|removed| removed.compromised)
        };
        let stands =
            |draft: &Draft| self.state.record(&draft.key).is_some_and(|entry| entry.stamp() >= draft.stamp);
        let mut fallen = legacy.wishes;
        fallen.retain(|wish| !stands(&wish.draft) && !compromised(wish.author));
        let mut strangers = legacy.admissions;
        strangers.retain(|(_, node, _)| self.trust.standing(*node).is_none());
        if self.trust.role(cx.me) != Some(Role::Control) {
            if fallen.iter().any(|wish| wish.author == cx.me) {
                self.answer_no_more(cx);
            }
            return;
        }
        let mut drafts = Vec::new();
        for Wish { draft, .. } in fallen {
            let Stamp::Time { time, .. } = draft.stamp else { continue };
            let stamp = Stamp::Time { time: self.after(cx, time), node: cx.me };
            drafts.push(Draft { stamp, ..draft });
        }
        if !drafts.is_empty() {
            self.write(cx, drafts, None);
        }
        let mut records = Vec::new();
        for (time, _, admission) in strangers {
            let time = self.after(cx, time);
            let pen = Pen { crypto: cx.crypto, cluster: self.cluster };
            records.push(encode(&pen.admission(time, &admission)));
        }
        if !records.is_empty() {
            self.submit(cx, records);
        }
    }

    /// The next moment, if this node could speak then.
    fn after<C: Crypto>(&mut self, cx: &Context<'_, C>, time: ClusterTime) -> ClusterTime {
        let next = ClusterTime { hlc: time.hlc.saturating_add(1), ..time };
        if self.trust.is_control_at(cx.me, next) { next } else { self.clock.tick(cx.now.instant) }
    }

    /// This node was demoted before it wrote what people wait for: they are to ask another, which knows what
    /// of it was carried out.
    fn answer_no_more<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        for (ticket, _) in core::mem::take(&mut self.waiters).into_values() {
            cx.out.refuse(ticket, Refusal::NotControl);
        }
    }
}

fn wish(key: Key, entry: &Entry) -> Wish {
    let Record { stamp, version, body, author, .. } = entry.record();
    Wish { author, draft: Draft { key, stamp, version, body } }
}
