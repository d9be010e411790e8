//! What a command asks for, done once however often it is asked.

use alloc::vec::Vec;

use sleep_wire::key::DesiredKey;
use sleep_wire::{CommandId, Key, Wire, encode};

use super::command::{Act, DONE, NOTHING};
use super::context::Context;
use super::member::Member;
use crate::crypto::Crypto;
use crate::io::Refusal;
use crate::state::Replay;

/// A record that a command asks for, and whether anything would be different.
pub(super) struct Wish {
    key: Key,
    body: Vec<u8>,
    is_news: bool,
}

impl Wish {
    pub(super) fn new(key: DesiredKey, body: &impl Wire, is_news: bool) -> Self {
        Self { key: Key::Desired(key), body: encode(body), is_news }
    }
}

impl Member {
    /// What of a command is news. The same command twice is done once; another under its id is refused.
    pub(super) fn once<C: Crypto>(
        &mut self,
        cx: &Context<'_, C>,
        command: CommandId,
        wishes: Vec<Wish>,
    ) -> Result<Act, Refusal> {
        let said = wishes.iter().map(|wish| (&wish.key, wish.body.as_slice()));
        let replay = self.state.replay(&command, said, cx.crypto);
        let mut drafts = Vec::new();
        match replay {
            Replay::New => {
                for Wish { key, body, .. } in wishes.into_iter().filter(|wish| wish.is_news) {
                    drafts.push(self.encoded(cx, key, body));
                }
            }
            Replay::Done => {}
            Replay::Other => return Err(Refusal::CommandReused(command)),
        }
        let reply = if drafts.is_empty() { NOTHING } else { DONE };
        Ok(Act { drafts, reply })
    }
}
