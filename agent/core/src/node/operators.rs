//! Commands about operators: whose keys may command from afar.

use alloc::string::String;
use alloc::vec::Vec;

use sleep_wire::{NodeId, PublicKey, encode};

use super::command::{Act, NOTHING};
use super::context::Context;
use super::member::Member;
use crate::crypto::Crypto;
use crate::io::Refusal;
use crate::trust::Pen;
use crate::validate;

impl Member {
    pub(super) fn operator_create<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        name: String,
        key: PublicKey,
    ) -> Result<Option<Act>, Refusal> {
        validate::node_name("name", &name)?;
        if self.trust.is_operator(cx.crypto.node_id(&key)) {
            return Ok(Some(Act { drafts: Vec::new(), reply: NOTHING }));
        }
        // A removal is final for a key: another admission would be written and mean nothing.
        if self.trust.was_operator(cx.crypto.node_id(&key)) {
            let problem = String::from("was removed, which is final for a key");
            return Err(Refusal::Invalid { field: String::from("public_key"), problem });
        }
        let time = self.clock.tick(cx.now.instant);
        let pen = Pen { crypto: cx.crypto, cluster: self.cluster };
        let record = encode(&pen.operator(time, name, key, cx.now.wall));
        self.submit(cx, Vec::from([record]));
        Ok(None)
    }

    /// Its connections are closed by every node that learns of it.
    pub(super) fn operator_remove<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        operator: NodeId,
    ) -> Result<Option<Act>, Refusal> {
        if !self.trust.is_operator(operator) {
            return Err(Refusal::NoSuchOperator(operator));
        }
        let time = self.clock.tick(cx.now.instant);
        let pen = Pen { crypto: cx.crypto, cluster: self.cluster };
        let record = encode(&pen.operator_removal(time, operator, cx.now.wall));
        self.submit(cx, Vec::from([record]));
        Ok(None)
    }
}
