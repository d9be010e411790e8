//! Which protocol each peer is written to in, so that releases can be mixed while a cluster is upgraded.
//!
//! Every frame says, in a part that is the same in all protocols, in which one it is written and what the
//! newest is that its sender speaks. A peer is written to in the newest that both speak; in the oldest, until
//! it was heard. What a peer speaks may change with each start of its agent, back to an earlier release too:
//! only its own frames say so, and its last one counts. Facts, which say the same for people, outlive the
//! agent that wrote them, and so do not do.
//!
//! Whoever is written to in a protocol that it does not speak answers in the oldest, and is understood from
//! there on. Membership is always spoken in the oldest: what tells a node that it is not who others take it
//! for cannot rest on who they take it for.

use alloc::collections::BTreeMap;
use core::time::Duration;

use sleep_wire::NodeId;
use sleep_wire::message::{Envelope, MembershipMessage, Message, OLDEST_PROTOCOL};

use super::context::Context;
use super::member::Member;
use crate::crypto::Crypto;
use crate::io::{Event, Lane};
use crate::mutant::{Mutant, is_sown};
use crate::time::Instant;

/// How often at most one peer is told that it is not understood.
const PATIENCE: Duration = Duration::from_secs(1);

/// What was heard of peers' protocols.
#[derive(Default)]
pub(super) struct Speech {
    /// The newest that each speaks, by its last frame. Nobody's is kept where only one is spoken.
    newest: BTreeMap<NodeId, u8>,
    /// Who was last told when that it is not understood.
    unspoken: BTreeMap<NodeId, Instant>,
}

impl Speech {
    pub(super) fn forget(&mut self, peer: NodeId) {
        self.newest.remove(&peer);
        self.unspoken.remove(&peer);
    }
}

impl Member {
    /// A member's frame came.
    pub(super) fn hears(&mut self, from: NodeId, envelope: Envelope) {
        if self.facts.protocol > OLDEST_PROTOCOL {
            self.speech.newest.insert(from, envelope.newest);
        }
    }

    /// A member's frame came that is not understood: it is told what is spoken here, by any frame at all.
    pub(super) fn hears_unspoken<C: Crypto>(&mut self, cx: &mut Context<'_, C>, from: NodeId, protocol: u8) {
        let now = cx.now.instant;
        let told = self.speech.unspoken.get(&from).copied();
        if told.is_none() {
            cx.out.event(Event::UnspokenProtocol { from, protocol });
        }
        if told.is_none_or(|at| now.since(at) >= PATIENCE) {
            self.speech.unspoken.insert(from, now);
            self.send(cx, from, Lane::Urgent, Message::Membership(MembershipMessage::Pong { nonce: 0 }));
        }
    }

    /// In which protocol a message goes to a peer.
    pub(super) fn protocol_for(&self, peer: NodeId, message: &Message) -> u8 {
        if is_sown(Mutant::OwnProtocolToAll) {
            return self.facts.protocol;
        }
        let theirs = || self.speech.newest.get(&peer).copied().unwrap_or(OLDEST_PROTOCOL);
        match message {
            Message::Swim(_) | Message::Membership(_) => OLDEST_PROTOCOL,
            _ => theirs().min(self.facts.protocol).max(OLDEST_PROTOCOL),
        }
    }
}
