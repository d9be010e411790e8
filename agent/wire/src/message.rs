//! What agents say to each other: one envelope, many kinds.
//!
//! ```text
//! magic 2 │ protocol 1 │ newest 1 │ kind 2 │ length 4 │ time and hint │ message      (little endian)
//! ```
//! The envelope is the same in every protocol: it says in which one the rest is written, and the newest that
//! the sender speaks. Datagrams carry one frame each; streams carry any number. Cluster time and the holder's
//! hint ride in every frame, so that news of them travels with whatever moves.

use alloc::vec::Vec;
use core::fmt;

use bincode::{Decode, Encode};

use crate::codec::{MAX_LEN, Malformed, Wire, decode, encode};
use crate::id::{NodeId, PublicKey, Signature, TokenId};
use crate::lease::{Hint, LeaseMessage};
use crate::permit::PermitMessage;
use crate::record::Batch;
use crate::stamp::{ClusterTime, Epoch};
use crate::swim::Peer;
use crate::sync::SyncMessage;

/// The protocol of this release. A release speaks its own and the one before, and writes to each peer in the
/// newest that both speak.
pub const PROTOCOL: u8 = 1;

/// The oldest protocol that this release still speaks: whoever is not known to speak a newer one is written
/// to in this.
pub const OLDEST_PROTOCOL: u8 = 1;

/// Bytes of the envelope in front of a frame's content.
pub const HEADER_LEN: usize = 10;

/// The longest datagram, in bytes: it fits the smallest path that QUIC accepts.
pub const MAX_DATAGRAM: usize = 1_100;

/// The longest payload of [`Message::Swim`], in bytes: what is left of a datagram beside envelope, time and
/// hint.
pub const MAX_SWIM: usize = 960;

const MAGIC: [u8; 2] = *b"sd";

/// What every frame carries beside its message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Carried {
    /// The sender's cluster time.
    pub time: ClusterTime,
    /// The freshest sign of life of a holder that the sender has.
    pub hint: Option<Hint>,
}

/// A frame, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What rides along.
    pub carried: Carried,
    /// What is said.
    pub message: Message,
}

/// One member as a roster lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RosterEntry {
    /// Who, in which incarnation.
    pub peer: Peer,
    /// The SWIM incarnation within that boot.
    pub incarnation: u16,
    /// What the sender believes.
    pub state: RosterState,
}

/// What the sender of a roster believes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum RosterState {
    /// It answers.
    Alive,
    /// It did not answer lately.
    Suspect,
    /// It is believed dead.
    Down,
}

/// Messages of the membership room that foca does not know.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum MembershipMessage {
    /// All that the sender knows, or a part of it.
    Roster {
        /// The members.
        members: Vec<RosterEntry>,
        /// Whether the sender would like the receiver's.
        answer: bool,
    },
    /// A hash of the sender's roster: differing ones are exchanged.
    RosterDigest {
        /// Order-free sum over the entries' hashes.
        digest: u64,
        /// How many members it covers.
        members: u32,
    },
    /// My own probe of this member failed, direct and indirect.
    Witness {
        /// Which member.
        about: Peer,
        /// The SWIM incarnation that did not answer.
        incarnation: u16,
    },
    /// Probe this member now, and say what came of it: asked before work moves.
    ProbeNow {
        /// Which member.
        target: NodeId,
        /// Tells this question from others.
        nonce: u64,
    },
    /// Answer to [`MembershipMessage::ProbeNow`].
    ProbeResult {
        /// Which member.
        target: NodeId,
        /// The question's nonce.
        nonce: u64,
        /// Whether it answered.
        reached: bool,
    },
    /// Are you there?
    Ping {
        /// Tells this question from others.
        nonce: u64,
    },
    /// I am.
    Pong {
        /// The question's nonce.
        nonce: u64,
    },
    /// I stop, and shall be back: hold my tasks.
    Restarting {
        /// For how long, in milliseconds.
        hold_ms: u32,
    },
    /// I leave for good.
    Leaving,
    /// What is the highest boot counter that you know of me? Asked by a node during its silence.
    BootQuery {
        /// Its own boot counter.
        boot: u32,
        /// Drawn at its start: two for one boot are a clone.
        nonce: u64,
    },
    /// Answer to [`MembershipMessage::BootQuery`].
    BootAnswer {
        /// The highest known.
        highest: u32,
        /// Whether another nonce was seen for the same boot.
        cloned: bool,
    },
}

/// A new holder's question to every live member, and the answers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RollCallMessage {
    /// What do you have?
    Call {
        /// The new holder's tenure.
        epoch: Epoch,
    },
    /// Slot records, and own task status, each as received.
    Answer {
        /// The tenure of the call.
        epoch: Epoch,
        /// The records.
        batch: Batch,
        /// Whether more follow.
        more: bool,
    },
}

/// How records travel unasked.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PushMessage {
    /// Take these.
    Records {
        /// If set, the receiver says so once they are durable.
        ack: Option<u64>,
        /// The records.
        batch: Batch,
    },
    /// They are durable here.
    Durable {
        /// The push acknowledged.
        ack: u64,
    },
}

/// A newcomer's request, over a connection of its own kind.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct JoinRequest {
    /// The newcomer's key; the connection proves that it has the private half.
    pub key: PublicKey,
    /// The token that it holds.
    pub token: TokenId,
    /// Over [`crate::trust::Warrant::token_claim`], by the token's private half.
    pub proof: Signature,
}

/// A control node is asked by a door that may not admit, on a newcomer's behalf.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum AdmitMessage {
    /// Admit this one.
    Ask {
        /// Tells this question from others.
        nonce: u64,
        /// The newcomer's request.
        request: JoinRequest,
    },
    /// It is done, or refused.
    Answer {
        /// The question's nonce.
        nonce: u64,
        /// What to tell the newcomer.
        answer: JoinAnswer,
    },
}

/// What a door answers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum JoinAnswer {
    /// The newcomer is a member.
    Admitted {
        /// Membership records from the first admission to the newcomer's own: each author is admitted by one
        /// before it.
        chain: Vec<Vec<u8>>,
        /// Members to talk to, with where they were last seen: keys of `observed` facts, as records.
        doors: Vec<Vec<u8>>,
    },
    /// It is not.
    Refused(JoinRefusal),
}

/// Why a newcomer was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum JoinRefusal {
    /// This agent is in no cluster.
    NotClustered,
    /// The token is of another cluster, or of none.
    UnknownToken,
    /// The token's time is over.
    Expired,
    /// The token was revoked.
    Revoked,
    /// The token admits once, and did.
    UsedUp,
    /// The signature does not fit.
    BadProof,
    /// This key was removed: removal is final for a key.
    Removed,
    /// The door is a worker, and reaches no control node.
    NoControlNode,
    /// A single-use token is redeemed by the lease holder alone, and none is known.
    NoHolder,
}

/// Everything that agents say to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// foca's own bytes.
    Swim(Vec<u8>),
    /// Membership beside foca.
    Membership(MembershipMessage),
    /// Candidates, voters, holders.
    Lease(LeaseMessage),
    /// New records, unasked.
    Push(PushMessage),
    /// Comparing what two have.
    Sync(SyncMessage),
    /// A new holder's question.
    RollCall(RollCallMessage),
    /// A newcomer at a worker's door.
    Admit(AdmitMessage),
    /// A newcomer at the door.
    Join(JoinRequest),
    /// The door's answer.
    Joined(JoinAnswer),
    /// Reserved.
    Permit(PermitMessage),
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFrame {
    /// They do not begin as a frame does.
    NotAFrame,
    /// A protocol that is not spoken here.
    Protocol {
        /// Which.
        theirs: u8,
        /// The newest that is.
        newest: u8,
    },
    /// A kind of a later release: skipped, not an error of the sender.
    UnknownKind {
        /// Which.
        kind: u16,
    },
    /// The content is not of its kind.
    Content(Malformed),
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAFrame => write!(f, "not a frame"),
            Self::Protocol { theirs, newest } => {
                write!(f, "protocol {theirs}, where {OLDEST_PROTOCOL} to {newest} are spoken")
            }
            Self::UnknownKind { kind } => write!(f, "unknown kind {kind}"),
            Self::Content(malformed) => write!(f, "{malformed}"),
        }
    }
}

impl core::error::Error for BadFrame {}

/// A frame's envelope, read before its content has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// In which protocol the frame is written.
    pub protocol: u8,
    /// The newest that its sender speaks.
    pub newest: u8,
    /// The kind of message.
    pub kind: u16,
    /// How many bytes of content follow.
    pub len: usize,
}

impl Envelope {
    /// Reads an envelope, of whatever protocol: where a frame ends is the same in all.
    ///
    /// # Errors
    /// [`BadFrame`] if the bytes are none, or announce more than any kind may have: a length is refused
    /// before a byte is allocated for it.
    pub fn read(bytes: [u8; HEADER_LEN]) -> Result<Self, BadFrame> {
        let [m0, m1, protocol, newest, k0, k1, l0, l1, l2, l3] = bytes;
        if [m0, m1] != MAGIC {
            return Err(BadFrame::NotAFrame);
        }
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if len > MAX_LEN {
            return Err(BadFrame::Content(Malformed::TooLong { len, limit: MAX_LEN }));
        }
        Ok(Self { protocol, newest, kind: u16::from_le_bytes([k0, k1]), len })
    }
}

#[derive(Encode, Decode)]
struct Content<T> {
    carried: Carried,
    message: T,
}

impl<T: Wire> Wire for Content<T> {
    const LIMIT: usize = if T::LIMIT + 1100 > MAX_LEN { MAX_LEN } else { T::LIMIT + 1100 };
}

/// foca's bytes, bounded by the datagram.
#[derive(Encode, Decode)]
struct SwimBytes(Vec<u8>);

impl Wire for SwimBytes {
    const LIMIT: usize = MAX_DATAGRAM;
}

macro_rules! kinds {
    ($($number:literal $variant:ident),*) => {
        impl Message {
            /// The number of its kind in the envelope: never used again for another.
            pub const fn kind(&self) -> u16 {
                match self { Self::Swim(_) => 1, $(Self::$variant(_) => $number,)* }
            }
        }

        impl Frame {
            /// The frame's bytes in a protocol that both sides speak, envelope included, by whoever speaks
            /// no newer one than `newest`.
            pub fn to_bytes_in(&self, protocol: u8, newest: u8) -> Vec<u8> {
                let carried = self.carried.clone();
                let content = match &self.message {
                    Message::Swim(bytes) => encode(&Content { carried, message: SwimBytes(bytes.clone()) }),
                    $(Message::$variant(message) => encode(&Content { carried, message: message.clone() }),)*
                };
                let mut bytes = Vec::with_capacity(HEADER_LEN + content.len());
                bytes.extend_from_slice(&MAGIC);
                bytes.extend_from_slice(&[protocol, newest]);
                bytes.extend_from_slice(&self.message.kind().to_le_bytes());
                bytes.extend_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
                bytes.extend(content);
                bytes
            }

            /// Reads the content that an envelope announced.
            ///
            /// # Errors
            /// [`BadFrame::UnknownKind`] for a later release's, [`BadFrame::Content`] for bytes that mean
            /// nothing.
            pub fn read(envelope: Envelope, content: &[u8]) -> Result<Self, BadFrame> {
                if content.len() != envelope.len {
                    return Err(BadFrame::Content(Malformed::Invalid));
                }
                let bad = BadFrame::Content;
                let (carried, message) = match envelope.kind {
                    1 => {
                        let read = decode::<Content<SwimBytes>>(content).map_err(bad)?;
                        (read.carried, Message::Swim(read.message.0))
                    }
                    $($number => {
                        let read = decode::<Content<_>>(content).map_err(bad)?;
                        (read.carried, Message::$variant(read.message))
                    })*
                    kind => return Err(BadFrame::UnknownKind { kind }),
                };
                Ok(Self { carried, message })
            }
        }
    };
}

kinds!(2 Membership, 3 Lease, 4 Push, 5 Sync, 6 RollCall, 7 Admit, 8 Join, 9 Joined, 10 Permit);

impl Frame {
    /// The frame's bytes in this release's protocol.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_bytes_in(PROTOCOL, PROTOCOL)
    }

    /// Reads one whole frame of a protocol that this release speaks.
    ///
    /// # Errors
    /// As [`Frame::from_bytes_up_to`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadFrame> {
        Self::from_bytes_up_to(PROTOCOL, bytes).map(|(_, frame)| frame)
    }

    /// Reads one whole frame, as a datagram carries it, of a protocol from [`OLDEST_PROTOCOL`] to `newest`,
    /// and its envelope.
    ///
    /// # Errors
    /// [`BadFrame`] for bytes that are not exactly one frame of a protocol and a kind that are spoken here.
    pub fn from_bytes_up_to(newest: u8, bytes: &[u8]) -> Result<(Envelope, Self), BadFrame> {
        let (header, content) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(BadFrame::NotAFrame)?;
        let envelope = Envelope::read(*header)?;
        if !(OLDEST_PROTOCOL..=newest).contains(&envelope.protocol) {
            return Err(BadFrame::Protocol { theirs: envelope.protocol, newest });
        }
        Self::read(envelope, content).map(|frame| (envelope, frame))
    }
}

impl Message {
    /// Whether a lost one does no harm, and one that comes late does: sent as a datagram.
    pub const fn is_datagram(&self) -> bool {
        match self {
            Self::Swim(_) => true,
            Self::Membership(message) => match message {
                MembershipMessage::Witness { .. }
                | MembershipMessage::ProbeNow { .. }
                | MembershipMessage::ProbeResult { .. }
                | MembershipMessage::Ping { .. }
                | MembershipMessage::Pong { .. }
                | MembershipMessage::RosterDigest { .. } => true,
                MembershipMessage::Roster { .. }
                | MembershipMessage::Restarting { .. }
                | MembershipMessage::Leaving
                | MembershipMessage::BootQuery { .. }
                | MembershipMessage::BootAnswer { .. } => false,
            },
            Self::Lease(_)
            | Self::Push(_)
            | Self::Sync(_)
            | Self::RollCall(_)
            | Self::Admit(_)
            | Self::Join(_)
            | Self::Joined(_)
            | Self::Permit(_) => false,
        }
    }
}

macro_rules! limits {
    ($($kind:ty = $limit:expr),* $(,)?) => { $(impl Wire for $kind { const LIMIT: usize = $limit; })* };
}

limits! {
    Carried = 1024,
    MembershipMessage = 256 * 1024,
    RollCallMessage = MAX_LEN - 1100,
    PushMessage = MAX_LEN - 1100,
    JoinRequest = 256,
    AdmitMessage = 64 * 1024,
    JoinAnswer = 64 * 1024,
}
