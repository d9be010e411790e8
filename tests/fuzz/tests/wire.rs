//! Everything that agents send to each other and keep on their disks, read from anybody's bytes.
//!
//! What is read is written again and read as the same; what reading costs is bounded (`bounded_decode`).

use std::alloc::System;
use std::fmt::Debug;

use sleep_fuzz::bytes::Bytes;
use sleep_fuzz::kept::{golden, goldens};
use sleep_fuzz::target;
use sleep_wire::codec::{MAX_LEN, PER_BYTE};
use sleep_wire::durable::{self, Cell, Fence, Horizons, LeaseCell, Membership};
use sleep_wire::lease::{Hint, LeaseMessage, VoterConfig};
use sleep_wire::message::{Carried, Envelope, Frame, HEADER_LEN};
use sleep_wire::node::{NodeFacts, NodeImages};
use sleep_wire::record::Batch;
use sleep_wire::slot::Slot;
use sleep_wire::spec::{RevisionBody, ServiceBirth, ServiceRemoval};
use sleep_wire::swim::{Peer, SwimCodec};
use sleep_wire::sync::SyncMessage;
use sleep_wire::task::{TaskId, TaskLabel, TaskStatus};
use sleep_wire::trust::{Admission, JoinToken, OperatorAdmission};
use sleep_wire::{Key, Record, Wire, decode, encode, fits};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Reads, and checks what that cost. Of all threads: so a test that others run beside is not held to it.
fn bounded<T>(bytes: &[u8], read: impl FnOnce(&[u8]) -> T) -> T {
    let region = Region::new(ALLOCATOR);
    let value = read(bytes);
    let cost = region.change().bytes_allocated;
    let deserved = (16 * bytes.len()).max(4096) + PER_BYTE * bytes.len();
    assert!(cost <= deserved || !is_alone(), "{cost} bytes are allocated for {}", bytes.len());
    value
}

/// Whether one test has the process for itself, as under nextest and bolero.
fn is_alone() -> bool {
    std::env::var_os("NEXTEST").is_some()
}

/// What is read is read again as the same from what it is written as; the second writing changes nothing.
fn returns<T: Wire + Debug + PartialEq>(bytes: &[u8]) {
    let Ok(value) = bounded(bytes, decode::<T>) else { return };
    let written = encode(&value);
    assert!(written.len() <= bytes.len(), "no value is longer than it has to be");
    assert!(fits(&value), "what could be read can be read again: {value:?}");
    let again = decode::<T>(&written).expect("it fits");
    assert_eq!(again, value);
    assert_eq!(encode(&again), written, "one value, one encoding");
}

fn frame(bytes: &[u8]) {
    let Ok(frame) = bounded(bytes, Frame::from_bytes) else { return };
    let written = frame.to_bytes();
    assert_eq!(Frame::from_bytes(&written).as_ref(), Ok(&frame));
    let envelope = Envelope::read(*written.first_chunk().expect("a frame has an envelope"));
    let envelope = envelope.expect("what was written is an envelope");
    assert_eq!((envelope.kind, envelope.len), (frame.message.kind(), written.len() - HEADER_LEN));
}

target!(
    /// Frames, as they come from a connection.
    frames, 60_000, golden("frame"), frame
);

/// The content of a frame in an envelope that is true: else most damage is noticed by its length alone.
fn enveloped(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let kind = u16::from(bytes.byte() % 12);
    let content = bytes.rest();
    assert!(content.len() <= MAX_LEN, "inputs are short");
    let len = u32::try_from(content.len()).expect("a short length fits");
    frame(&[b"sd\x01\x01".as_slice(), &kind.to_le_bytes(), &len.to_le_bytes(), content].concat());
}

fn contents() -> Vec<Vec<u8>> {
    golden("frame").iter().map(|frame| [&frame[4..5], &frame[HEADER_LEN..]].concat()).collect()
}

target!(
    /// Every kind of message.
    messages, 60_000, contents(), enveloped
);

fn key(bytes: &[u8]) {
    let Ok(Some(key)) = bounded(bytes, Key::from_bytes) else { return };
    let written = key.to_bytes();
    assert_eq!(Key::from_bytes(&written), Ok(Some(key)));
}

target!(
    /// Keys of records.
    keys, 30_000, golden("key"), key
);

fn records_in(bytes: &[u8]) {
    returns::<Record>(bytes);
    returns::<Batch>(bytes);
    if let Ok(record) = decode::<Record>(bytes) {
        key(&record.key);
        body(&record.body);
    }
}

target!(
    /// Records and batches of them.
    records, 30_000, goldens(&["record", "signed", "batch"]), records_in
);

/// The body of any kind of record; which one it is, the key says, and a key is anybody's too.
fn body(bytes: &[u8]) {
    let readers: [fn(&[u8]); 20] = [
        returns::<Slot>,
        returns::<ServiceBirth>,
        returns::<RevisionBody>,
        returns::<ServiceRemoval>,
        returns::<sleep_wire::spec::Scale>,
        returns::<NodeFacts>,
        returns::<NodeImages>,
        returns::<sleep_wire::node::NodeIntent>,
        returns::<sleep_wire::node::NodeLabel>,
        returns::<TaskId>,
        returns::<TaskLabel>,
        returns::<TaskStatus>,
        returns::<Admission>,
        returns::<sleep_wire::trust::Removal>,
        returns::<sleep_wire::trust::RoleChange>,
        returns::<JoinToken>,
        returns::<OperatorAdmission>,
        returns::<sleep_wire::trust::OperatorRemoval>,
        returns::<VoterConfig>,
        returns::<Hint>,
    ];
    for reader in readers {
        reader(bytes);
    }
    returns::<Carried>(bytes);
    returns::<LeaseMessage>(bytes);
    returns::<SyncMessage>(bytes);
}

fn bodies_seeds() -> Vec<Vec<u8>> {
    goldens(&[
        "admission",
        "hint",
        "join_token",
        "node_facts",
        "node_images",
        "node_intent",
        "node_label",
        "operator_admission",
        "operator_removal",
        "removal",
        "revision",
        "revision_body",
        "role_change",
        "scale",
        "service_birth",
        "service_removal",
        "slot",
        "task_id",
        "task_label",
        "task_status",
        "voter_config",
    ])
}

target!(
    /// What records say.
    bodies, 20_000, bodies_seeds(), body
);

/// The cells of an agent's disk, each read as each.
fn cell(bytes: &[u8]) {
    for cell in Cell::ALL {
        match cell {
            Cell::Membership => returns::<Membership>(bytes),
            Cell::Boots => returns::<durable::Boots>(bytes),
            Cell::Lease => returns::<LeaseCell>(bytes),
            Cell::Fence => returns::<Fence>(bytes),
            Cell::Horizons => returns::<Horizons>(bytes),
        }
    }
}

fn cells_seeds() -> Vec<Vec<u8>> {
    goldens(&["cell_boots", "cell_fence", "cell_horizons", "cell_lease", "cell_membership"])
}

target!(
    /// What an agent keeps beside records.
    cells, 30_000, cells_seeds(), cell
);

/// foca's headers and members, which go through serde.
fn swim_bytes(bytes: &[u8]) {
    let mut codec = SwimCodec;
    if let Ok(header) = foca::Codec::<Peer>::decode_header(&mut codec, bytes) {
        let mut written = Vec::new();
        foca::Codec::encode_header(&mut codec, &header, &mut written).expect("a header can be written");
        let again = foca::Codec::<Peer>::decode_header(&mut codec, written.as_slice());
        assert_eq!(again.as_ref(), Ok(&header));
    }
    if let Ok(member) = foca::Codec::<Peer>::decode_member(&mut codec, bytes) {
        let mut written = Vec::new();
        foca::Codec::encode_member(&mut codec, &member, &mut written).expect("a member can be written");
        let again = foca::Codec::<Peer>::decode_member(&mut codec, written.as_slice());
        assert_eq!(again.as_ref(), Ok(&member));
    }
}

fn swim_seeds() -> Vec<Vec<u8>> {
    let peer = |node| Peer { node: sleep_wire::NodeId([node; 16]), boot: 1, renewal: 0 };
    let header = |message| foca::Header { src: peer(1), src_incarnation: 3, dst: peer(2), message };
    let messages = [foca::Message::Ping(7), foca::Message::Gossip, foca::Message::TurnUndead];
    let write = |message| {
        let mut bytes = Vec::new();
        foca::Codec::encode_header(&mut SwimCodec, &header(message), &mut bytes).expect("it can be written");
        bytes
    };
    messages.into_iter().map(write).collect()
}

target!(
    /// SWIM.
    swim, 30_000, swim_seeds(), swim_bytes
);
