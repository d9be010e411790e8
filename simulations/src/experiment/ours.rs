//! This project's membership room, alone: no records, no lease, no work.
//!
//! # Not here
//! What it does: `sleep_core::membership`.

use sleep_core::Instant;
use sleep_core::membership::{Membership, MembershipInput, MembershipOutput, Profile};
use sleep_wire::message::{MembershipMessage, Message, RosterEntry, RosterState};

use super::agent::{Agent, Being, Effects, Start, id, index, peer};
use crate::world::Time;

/// The room of one node.
pub(super) struct Ours(Membership);

impl Ours {
    pub(super) fn new(being: Being, start: Start, now: Time, effects: &mut Effects) -> Self {
        let mut ours = Self(Membership::new(peer(being.node), Profile::LAN, being.seed, Instant(now)));
        let added = (0..being.count).map(id).collect();
        ours.input(now, MembershipInput::Members { added, removed: Vec::new() }, effects);
        if being.count == 1 {
            return ours;
        }
        let door = id(usize::from(being.node == 0));
        match start {
            Start::Settled => {
                let entry =
                    |node| RosterEntry { peer: peer(node), incarnation: 0, state: RosterState::Alive };
                let members = (0..being.count).filter(|node| *node != being.node).map(entry).collect();
                let message = MembershipMessage::Roster { members, answer: false };
                ours.input(now, MembershipInput::Message { from: door, message }, effects);
            }
            Start::Joining => {
                if being.node != 0 {
                    ours.input(now, MembershipInput::Connected { peer: door }, effects);
                }
            }
        }
        ours
    }

    fn input(&mut self, now: Time, input: MembershipInput, effects: &mut Effects) {
        self.0.handle(Instant(now), input);
        while let Some(output) = self.0.poll_output() {
            match output {
                MembershipOutput::Send { to, message } => effects.sends.push((index(to), message)),
                MembershipOutput::Up { node } => effects.told.push((index(node), true)),
                MembershipOutput::Down { node } | MembershipOutput::Left { node } => {
                    effects.told.push((index(node), false));
                }
                MembershipOutput::Suspect { .. }
                | MembershipOutput::Refuted { .. }
                | MembershipOutput::Doubted { .. }
                | MembershipOutput::Restarting { .. }
                | MembershipOutput::ProbeVerdict { .. }
                | MembershipOutput::OldDisk { .. }
                | MembershipOutput::UsedUp
                | MembershipOutput::Clone { .. }
                | MembershipOutput::BadFrame { .. } => {}
            }
        }
    }
}

impl Agent for Ours {
    fn hear(&mut self, now: Time, from: usize, message: Message, effects: &mut Effects) {
        let from = id(from);
        match message {
            Message::Swim(bytes) => self.input(now, MembershipInput::Swim { from, bytes }, effects),
            Message::Membership(message) => {
                self.input(now, MembershipInput::Message { from, message }, effects);
            }
            other => unreachable!("this room does not say {other:?}"),
        }
    }

    fn tick(&mut self, now: Time, effects: &mut Effects) {
        self.input(now, MembershipInput::Tick, effects);
    }

    fn next_wake(&self) -> Option<Time> {
        self.0.next_wake().map(|at| at.0)
    }
}
