//! foca's identity and codec.

use bytes::{Buf, BufMut};
use foca::{Codec, Header, Identity, Member};
use serde::{Deserialize, Serialize};

use bincode::{Decode, Encode};

use crate::codec::{Malformed, through_serde};
use crate::id::NodeId;

/// A member as SWIM knows it: small and `Copy`. Addresses and names live in records.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
pub struct Peer {
    /// Who.
    #[serde(with = "node_bytes")]
    pub node: NodeId,
    /// Its persisted count of starts, from 1.
    pub boot: u32,
    /// How often it had to contradict its own death within that boot.
    pub renewal: u16,
}

mod node_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::id::NodeId;

    pub(super) fn serialize<S: Serializer>(node: &NodeId, to: S) -> Result<S::Ok, S::Error> {
        node.0.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<NodeId, D::Error> {
        <[u8; 16]>::deserialize(from).map(NodeId)
    }
}

impl Identity for Peer {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        Some(Self { renewal: self.renewal.checked_add(1)?, ..*self })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, other: &Self) -> bool {
        (self.boot, self.renewal) > (other.boot, other.renewal)
    }
}

/// foca's headers and members in this room's encoding.
#[derive(Clone, Copy, Debug, Default)]
pub struct SwimCodec;

impl Codec<Peer> for SwimCodec {
    type Error = Malformed;

    fn encode_header(&mut self, header: &Header<Peer>, into: impl BufMut) -> Result<(), Malformed> {
        through_serde::encode(header, into)
    }

    fn decode_header(&mut self, from: impl Buf) -> Result<Header<Peer>, Malformed> {
        through_serde::decode(from)
    }

    fn encode_member(&mut self, member: &Member<Peer>, into: impl BufMut) -> Result<(), Malformed> {
        through_serde::encode(member, into)
    }

    fn decode_member(&mut self, from: impl Buf) -> Result<Member<Peer>, Malformed> {
        through_serde::decode(from)
    }
}
