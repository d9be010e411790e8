//! The way out of bincode is open: the room's own sources, compiled once more over `wincode`, read every
//! committed byte and write it back.
//!
//! This crate's root stands in for bincode: the sources' `use bincode::{Decode, Encode}` finds wincode's
//! traits, and a codec of a few lines replaces the one that names bincode. The day that bincode has to go,
//! `codec.rs` becomes what stands here.
#![expect(missing_docs, reason = "the sources are read for their shapes: documented and tested elsewhere")]
#![expect(clippy::mem_forget, reason = "wincode's derive disarms its guards so")]

extern crate alloc;
extern crate self as bincode;

#[path = "../src/durable.rs"]
pub mod durable;
#[path = "golden/files.rs"]
mod files;
#[path = "../src/id.rs"]
pub mod id;
#[path = "../src/key.rs"]
pub mod key;
#[path = "../src/lease.rs"]
pub mod lease;
#[path = "../src/message.rs"]
pub mod message;
#[path = "../src/node.rs"]
pub mod node;
#[path = "../src/permit.rs"]
pub mod permit;
#[path = "../src/record.rs"]
pub mod record;
#[path = "../src/slot.rs"]
pub mod slot;
#[path = "../src/spec.rs"]
pub mod spec;
#[path = "../src/stamp.rs"]
pub mod stamp;
#[path = "../src/swim.rs"]
pub mod swim;
#[path = "../src/sync.rs"]
pub mod sync;
#[path = "../src/task.rs"]
pub mod task;
#[path = "../src/trust.rs"]
pub mod trust;
#[path = "golden/vectors.rs"]
mod vectors;

pub use codec::encode;
pub use key::Key;
pub use wincode::{SchemaRead as Decode, SchemaWrite as Encode};

use std::collections::BTreeSet;

/// What `record.rs` asks of bincode.
pub mod config {
    pub const fn standard() -> crate::codec::Layout {
        crate::codec::LAYOUT
    }
}

/// The other half of it.
pub fn encode_to_vec<T>(value: T, layout: codec::Layout) -> Result<Vec<u8>, wincode::WriteError>
where
    T: Encode<codec::Layout, Src = T>,
{
    wincode::config::serialize(&value, layout)
}

/// `codec.rs`, over wincode.
pub mod codec {
    use core::fmt;

    use bytes::{Buf, BufMut};
    use wincode::config::Configuration;
    use wincode::int_encoding::{LittleEndian, VarInt};
    use wincode::len::BincodeLen;
    use wincode::{SchemaRead, SchemaWrite};

    pub const MAX_LEN: usize = 1 << 20;

    pub type Layout = Configuration<true, { 16 * MAX_LEN }, BincodeLen, LittleEndian, VarInt, u32>;

    pub const LAYOUT: Layout = Configuration::new();

    pub trait Wire: SchemaWrite<Layout, Src = Self> + for<'de> SchemaRead<'de, Layout, Dst = Self> {
        const LIMIT: usize;
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Malformed {
        TooLong { len: usize, limit: usize },
        Invalid,
        Unknown,
        Trailing { bytes: usize },
    }

    impl fmt::Display for Malformed {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{self:?}")
        }
    }

    impl core::error::Error for Malformed {}

    pub fn encode<T: Wire>(value: &T) -> Vec<u8> {
        wincode::config::serialize(value, LAYOUT).expect("wire types hold nothing that cannot be encoded")
    }

    pub fn decode<T: Wire>(bytes: &[u8]) -> Result<T, Malformed> {
        if bytes.len() > T::LIMIT {
            return Err(Malformed::TooLong { len: bytes.len(), limit: T::LIMIT });
        }
        wincode::config::deserialize_exact(bytes, LAYOUT).map_err(|error| match error {
            wincode::ReadError::InvalidTagEncoding(_) => Malformed::Unknown,
            _ => Malformed::Invalid,
        })
    }

    /// foca's own types go through serde, which wincode does not speak: they cross no release and reach no
    /// disk.
    pub mod through_serde {
        use super::{Buf, BufMut, Malformed};

        pub fn encode<T: serde::Serialize>(_: &T, _: impl BufMut) -> Result<(), Malformed> {
            Err(Malformed::Invalid)
        }

        pub fn decode<T: serde::de::DeserializeOwned>(_: impl Buf) -> Result<T, Malformed> {
            Err(Malformed::Invalid)
        }
    }
}

/// Reads every case of a kind and writes it back.
fn passes<T: codec::Wire>(kind: &str) -> String {
    for (case, bytes) in vectors::read(kind) {
        let value: T = codec::decode(&bytes).unwrap_or_else(|error| panic!("{kind} {case}: {error}"));
        assert_eq!(files::hex(&encode(&value)), files::hex(&bytes), "{kind} {case}");
    }
    kind.to_owned()
}

fn keys_pass() -> String {
    for (case, bytes) in vectors::read("key") {
        let key = Key::from_bytes(&bytes).unwrap_or_else(|error| panic!("key {case}: {error}"));
        assert_eq!(key.map(|key| key.to_bytes()), Some(bytes), "key {case}");
    }
    "key".to_owned()
}

fn frames_pass() -> String {
    for (case, bytes) in vectors::read("frame") {
        let frame =
            message::Frame::from_bytes(&bytes).unwrap_or_else(|error| panic!("frame {case}: {error}"));
        assert_eq!(files::hex(&frame.to_bytes()), files::hex(&bytes), "frame {case}");
    }
    "frame".to_owned()
}

/// What is signed is put together in the same way: the record "slot" has a long body.
fn signed_passes() -> String {
    let signed = vectors::read("signed");
    let cluster = id::ClusterId([0xc1; 32]);
    for case in ["desired", "slot"] {
        let record: record::Record =
            codec::decode(&vectors::read("record")[case]).expect("it has just been read");
        assert_eq!(files::hex(&record.signed_bytes(&cluster)), files::hex(&signed[case]), "signed {case}");
    }
    "signed".to_owned()
}

#[test]
fn wincode_reads_and_writes_every_frozen_byte() {
    let passed = [
        passes::<trust::Admission>("admission"),
        passes::<record::Batch>("batch"),
        passes::<message::Carried>("carried"),
        passes::<durable::Boots>("cell_boots"),
        passes::<durable::Fence>("cell_fence"),
        passes::<durable::Horizons>("cell_horizons"),
        passes::<durable::LeaseCell>("cell_lease"),
        passes::<durable::Membership>("cell_membership"),
        frames_pass(),
        passes::<lease::Hint>("hint"),
        passes::<node::Horizon>("horizon"),
        passes::<trust::JoinToken>("join_token"),
        keys_pass(),
        passes::<node::NodeFacts>("node_facts"),
        passes::<node::NodeImages>("node_images"),
        passes::<node::NodeIntent>("node_intent"),
        passes::<node::NodeLabel>("node_label"),
        passes::<trust::OperatorAdmission>("operator_admission"),
        passes::<trust::OperatorRemoval>("operator_removal"),
        passes::<record::Record>("record"),
        passes::<trust::Removal>("removal"),
        passes::<spec::Revision>("revision"),
        passes::<spec::RevisionBody>("revision_body"),
        passes::<trust::RoleChange>("role_change"),
        passes::<spec::Scale>("scale"),
        passes::<spec::ServiceBirth>("service_birth"),
        passes::<spec::ServiceRemoval>("service_removal"),
        signed_passes(),
        passes::<slot::Slot>("slot"),
        passes::<task::TaskId>("task_id"),
        passes::<task::TaskLabel>("task_label"),
        passes::<task::TaskStatus>("task_status"),
        passes::<lease::VoterConfig>("voter_config"),
    ];
    assert_eq!(BTreeSet::from(passed), files::kinds().into_iter().collect(), "each file of bytes is tried");
}
