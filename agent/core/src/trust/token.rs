//! Join tokens: made, shown at the door, judged there; and the newcomer's look at the door.
//!
//! ```text
//! newcomer ── request: its key, signed with the token ──▶ door ── admit ──▶ admission, by a control node
//! newcomer ◀── chain: genesis … its own admission ─────── door
//! ```

use alloc::vec::Vec;

use sleep_wire::message::{JoinRefusal, JoinRequest};
use sleep_wire::stamp::ClusterTime;
use sleep_wire::token::JoinString;
use sleep_wire::trust::{Admission, JoinToken, Role, Warrant};
use sleep_wire::{ClusterId, NodeId, PublicKey, Record, TokenId, WallTime, decode};

use super::{Trust, Verdict};
use crate::crypto::Crypto;

/// The door's answer does not show that it belongs to the token's cluster and that the newcomer is a member
/// there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignDoor;

/// What a valid request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Newcomer {
    /// To be signed and stored: see [`super::Pen::admission`].
    Admit(Admission),
    /// It is a member already: an answer was lost. Its chain is all that it needs.
    Member,
}

/// The most records that a door's chain may have.
const CHAIN_LIMIT: usize = 512;

/// A new join token: what people paste, its name, and the body of its register.
pub fn new_token(
    crypto: &dyn Crypto,
    cluster: ClusterId,
    secret: [u8; 32],
    role: Role,
    expires: Option<ClusterTime>,
    single_use: bool,
    at: WallTime,
) -> (JoinString, TokenId, JoinToken) {
    let key = crypto.token_key(&secret);
    let body = JoinToken {
        key,
        role,
        expires_ms: expires.map(ClusterTime::ms),
        single_use,
        revoked: false,
        creator: crypto.node_id(&crypto.public_key()),
        created_at: at,
    };
    (JoinString { cluster, secret }, crypto.token_id(&key), body)
}

/// What a newcomer says at the door.
pub fn join_request(crypto: &dyn Crypto, token: &JoinString) -> JoinRequest {
    let key = crypto.public_key();
    let id = crypto.token_id(&crypto.token_key(&token.secret));
    let claim = Warrant::token_claim(&token.cluster, &id, &key);
    JoinRequest { key, token: id, proof: crypto.sign_with_token(&token.secret, &claim) }
}

impl Trust {
    /// Judges a newcomer's request, at a control node. `token` is the body of the token's register, if there
    /// is one; `now` is cluster time; `holds` says whether this node holds the quorum lease, for single use
    /// is counted there. That the newcomer has the private half of its key is for its connection to prove.
    ///
    /// # Errors
    /// [`JoinRefusal`], to be told to the newcomer.
    pub fn admit(
        &self,
        request: &JoinRequest,
        token: Option<&JoinToken>,
        now: ClusterTime,
        holds: bool,
        at: WallTime,
        crypto: &dyn Crypto,
    ) -> Result<Newcomer, JoinRefusal> {
        let token = token.ok_or(JoinRefusal::UnknownToken)?;
        let claim = Warrant::token_claim(&self.cluster(), &request.token, &request.key);
        if crypto.token_id(&token.key) != request.token || !crypto.verify(&token.key, &claim, &request.proof)
        {
            return Err(JoinRefusal::BadProof);
        }
        let node = crypto.node_id(&request.key);
        if self.ledger.removed(node).is_some() {
            return Err(JoinRefusal::Removed);
        }
        if self.is_member(node) {
            return Ok(Newcomer::Member);
        }
        if token.revoked {
            return Err(JoinRefusal::Revoked);
        }
        if token.expires_ms.is_some_and(|expires_ms| now.ms() >= expires_ms) {
            return Err(JoinRefusal::Expired);
        }
        if token.single_use && self.uses(request.token) > 0 {
            return Err(JoinRefusal::UsedUp);
        }
        if token.single_use && !holds {
            return Err(JoinRefusal::NoHolder);
        }
        let warrant = Warrant::Token { token: request.token, key: token.key, signature: request.proof };
        Ok(Newcomer::Admit(Admission { key: request.key, role: token.role, warrant, at }))
    }
}

/// The newcomer's look at the door: do these records lead from the cluster that its token names to its own
/// key?
///
/// # Errors
/// [`ForeignDoor`] if any of them is malformed or not valid after those before it, or `newcomer` is no member
/// at their end.
pub fn verify_chain(
    cluster: ClusterId,
    chain: &[Vec<u8>],
    newcomer: &PublicKey,
    crypto: &dyn Crypto,
) -> Result<Trust, ForeignDoor> {
    if chain.len() > CHAIN_LIMIT {
        return Err(ForeignDoor);
    }
    let mut trust = Trust::new(cluster);
    for bytes in chain {
        let record: Record = decode(bytes).map_err(|_| ForeignDoor)?;
        if trust.judge(&record, crypto) != Verdict::Valid {
            return Err(ForeignDoor);
        }
        trust.apply(&record, crypto);
    }
    let node: NodeId = crypto.node_id(newcomer);
    if trust.is_member(node) { Ok(trust) } else { Err(ForeignDoor) }
}
