//! What a worker asks control nodes in the place of newcomers, until one of them answers.
//!
//! A question that is lost is asked again, and of another: which control node answers, the worker only
//! believes.
//!
//! # Not here
//! Who may be let in, and by whom: `door`.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::NodeId;
use sleep_wire::message::{AdmitMessage, JoinAnswer, JoinRefusal, JoinRequest, Message};

use super::context::Context;
use super::door::answer;
use super::member::Member;
use crate::crypto::Crypto;
use crate::io::{Lane, Ticket};
use crate::time::Instant;

/// How soon another is asked, if one has not answered.
const ASK_NEXT: Duration = Duration::from_secs(2);

/// How long control nodes are asked: a newcomer waits longer for its door.
const GIVE_UP: Duration = Duration::from_secs(10);

/// Newcomers that wait for another node's word.
#[derive(Debug, Default)]
pub(crate) struct Forwards {
    waiting: BTreeMap<u64, Forward>,
    last: u64,
}

#[derive(Debug)]
struct Forward {
    ticket: Ticket,
    request: JoinRequest,
    /// Who was asked and has not answered.
    asked: BTreeSet<NodeId>,
    again: Instant,
    until: Instant,
}

impl Forwards {
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.waiting.values().map(|forward| forward.again).min()
    }

    /// A control node has answered.
    pub(super) fn answered(&mut self, nonce: u64) -> Option<Ticket> {
        self.waiting.remove(&nonce).map(|forward| forward.ticket)
    }
}

impl Member {
    /// Asks a control node in a newcomer's place.
    pub(super) fn forward<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        ticket: Ticket,
        request: JoinRequest,
    ) {
        let now = cx.now.instant;
        self.forwards.last += 1;
        let forward = Forward { ticket, request, asked: BTreeSet::new(), again: now, until: now + GIVE_UP };
        self.forwards.waiting.insert(self.forwards.last, forward);
        self.ask_on(cx);
    }

    /// Asks the next one for each newcomer whose last question has gone unanswered.
    pub(super) fn ask_on<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        let now = cx.now.instant;
        let due = self.forwards.waiting.iter().filter(|(_, forward)| forward.again <= now);
        let due: Vec<u64> = due.map(|(nonce, _)| *nonce).collect();
        for nonce in due {
            let Some(mut forward) = self.forwards.waiting.remove(&nonce) else { continue };
            if now >= forward.until {
                answer(cx, forward.ticket, JoinAnswer::Refused(JoinRefusal::NoControlNode));
                continue;
            }
            let mut next = self.admitter(cx, &forward.request, &forward.asked);
            if next.is_none() && !forward.asked.is_empty() {
                forward.asked.clear();
                next = self.admitter(cx, &forward.request, &forward.asked);
            }
            match next {
                // It was promoted meanwhile.
                Some(node) if node == cx.me => {
                    let said = self.admit(cx, &forward.request);
                    answer(cx, forward.ticket, said);
                    continue;
                }
                Some(node) => {
                    forward.asked.insert(node);
                    let ask = AdmitMessage::Ask { nonce, request: forward.request.clone() };
                    self.send(cx, node, Lane::Urgent, Message::Admit(ask));
                }
                None => {}
            }
            forward.again = now + ASK_NEXT;
            self.forwards.waiting.insert(nonce, forward);
        }
    }
}
