//! Bytes of anybody: refused without a panic. What they may cost: `allocation.rs`.

#[path = "golden/vectors.rs"]
mod vectors;

use std::collections::BTreeMap;

use proptest::prelude::*;
use sleep_wire::durable::LeaseCell;
use sleep_wire::lease::{LeaseMessage, VoterConfig};
use sleep_wire::message::{BadFrame, Envelope, Frame, HEADER_LEN};
use sleep_wire::node::{NodeFacts, NodeImages};
use sleep_wire::record::Batch;
use sleep_wire::slot::Slot;
use sleep_wire::spec::{RevisionBody, ServiceBirth, ServiceRemoval};
use sleep_wire::swim::{Peer, SwimCodec};
use sleep_wire::task::TaskStatus;
use sleep_wire::trust::{Admission, JoinToken, OperatorAdmission};
use sleep_wire::{Key, Malformed, Record, Wire, decode};

/// Readers that share nothing but bytes: whatever one of them makes of them, it must not panic.
fn read_as_everything(bytes: &[u8]) {
    fn read<T: Wire>(bytes: &[u8]) {
        drop(decode::<T>(bytes));
    }
    drop(Frame::from_bytes(bytes));
    drop(Key::from_bytes(bytes));
    let readers: [fn(&[u8]); 16] = [
        read::<Record>,
        read::<Batch>,
        read::<Slot>,
        read::<ServiceBirth>,
        read::<RevisionBody>,
        read::<ServiceRemoval>,
        read::<NodeFacts>,
        read::<NodeImages>,
        read::<TaskStatus>,
        read::<Admission>,
        read::<JoinToken>,
        read::<OperatorAdmission>,
        read::<VoterConfig>,
        read::<LeaseMessage>,
        read::<LeaseCell>,
        read::<sleep_wire::sync::SyncMessage>,
    ];
    for reader in readers {
        reader(bytes);
    }
    let mut codec = SwimCodec;
    drop(foca::Codec::<Peer>::decode_header(&mut codec, bytes));
    drop(foca::Codec::<Peer>::decode_member(&mut codec, bytes));
}

fn frames() -> BTreeMap<String, Vec<u8>> {
    let frames = vectors::read("frame");
    assert!(frames.len() > 40, "the frames are in their file");
    frames
}

/// The same content in an envelope that tells its true length.
fn reframed(frame: &[u8], content: &[u8]) -> Vec<u8> {
    let mut bytes = frame[..HEADER_LEN].to_vec();
    bytes[6..]
        .copy_from_slice(&u32::try_from(content.len()).expect("a test's content is short").to_le_bytes());
    bytes.extend_from_slice(content);
    bytes
}

/// Cut off anywhere, with or without an envelope that admits it.
#[test]
fn a_truncated_frame_is_refused_at_every_byte() {
    for (case, frame) in frames() {
        for len in 0..frame.len() {
            assert!(Frame::from_bytes(&frame[..len]).is_err(), "{case} cut at {len}");
        }
        for len in HEADER_LEN..frame.len() {
            let read = Frame::from_bytes(&reframed(&frame, &frame[HEADER_LEN..len]));
            assert_eq!(read, Err(BadFrame::Content(Malformed::Invalid)), "{case} cut at {len}");
        }
    }
}

#[test]
fn trailing_bytes_are_refused() {
    for (case, frame) in frames() {
        let content = [&frame[HEADER_LEN..], &[0]].concat();
        let read = Frame::from_bytes(&reframed(&frame, &content));
        assert_eq!(read, Err(BadFrame::Content(Malformed::Trailing { bytes: 1 })), "{case}");
        let behind = [frame.as_slice(), &[0]].concat();
        assert_eq!(Frame::from_bytes(&behind), Err(BadFrame::Content(Malformed::Invalid)), "{case}");
    }
}

/// An envelope is judged before its content is waited for.
#[test]
fn an_envelope_that_lies_is_refused_before_its_content() {
    let frame = &frames()["push_records"];
    let header = |at: usize, bytes: &[u8]| {
        let mut header: [u8; HEADER_LEN] = *frame.first_chunk().expect("a frame has an envelope");
        header[at..at + bytes.len()].copy_from_slice(bytes);
        Envelope::read(header)
    };
    assert_eq!(header(0, b"xx"), Err(BadFrame::NotAFrame));
    let too_long = |len| Err(BadFrame::Content(Malformed::TooLong { len, limit: 1 << 20 }));
    assert_eq!(header(6, &0x8000_0000u32.to_le_bytes()), too_long(1 << 31));
    assert_eq!(header(6, &((1u32 << 20) + 1).to_le_bytes()), too_long((1 << 20) + 1));
    let unknown = reframed(&[b"sd\x01\x01\xff\x00".as_slice(), &[0; 4]].concat(), &[]);
    assert_eq!(Frame::from_bytes(&unknown), Err(BadFrame::UnknownKind { kind: 255 }));
}

/// Where a frame ends is the same in every protocol; what it says is read in those that are spoken.
#[test]
fn a_frame_is_read_in_a_protocol_that_is_spoken() {
    let frame = Frame::from_bytes(&frames()["push_records"]).expect("a frame");
    for (protocol, newest, is_read) in
        [(0, 1, false), (1, 1, true), (2, 1, false), (1, 2, true), (2, 2, true), (3, 2, false)]
    {
        let bytes = frame.to_bytes_in(protocol, 9);
        let envelope = Envelope::read(*bytes.first_chunk().expect("an envelope")).expect("it can be read");
        let len = bytes.len() - HEADER_LEN;
        assert_eq!((envelope.protocol, envelope.newest, envelope.len), (protocol, 9, len));
        let bad = Err(BadFrame::Protocol { theirs: protocol, newest });
        let wanted = if is_read { Ok((envelope, frame.clone())) } else { bad };
        assert_eq!(Frame::from_bytes_up_to(newest, &bytes), wanted);
    }
}

proptest! {
    /// Random bytes mean nothing, to anybody, and break nobody.
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        read_as_everything(&bytes);
    }

    /// Nor do random bytes behind a true envelope of any kind.
    #[test]
    fn random_content_never_panics(kind in 0..12u16, content in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut header = b"sd\x01\x01\x00\x00\x00\x00\x00\x00".to_vec();
        header[4..6].copy_from_slice(&kind.to_le_bytes());
        drop(Frame::from_bytes(&reframed(&header, &content)));
    }

    /// A frame with some bytes changed is read or refused; what is read can be written, and read again as the
    /// same.
    #[test]
    fn what_is_read_from_damaged_frames_is_written_and_read_alike(
        pick in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let frames = frames();
        let (_, frame) = frames.iter().nth(pick.index(frames.len())).expect("an index is below the length");
        let mut content = frame[HEADER_LEN..].to_vec();
        for (at, byte) in damage {
            let at = at.index(content.len());
            content[at] = byte;
        }
        read_as_everything(&content);
        if let Ok(read) = Frame::from_bytes(&reframed(frame, &content)) {
            prop_assert_eq!(Frame::from_bytes(&read.to_bytes()), Ok(read));
        }
    }
}
