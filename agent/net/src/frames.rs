//! Frames off a stream: the length is judged before anything is allocated for it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quinn::{ReadError, ReadExactError, RecvStream};
use sleep_wire::message::{BadFrame, Envelope, HEADER_LEN, MAX_DATAGRAM};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is allocated on the word of an envelope alone, in bytes.
const FIRST: usize = 4 * 1024;

/// Why no frame was read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The bytes are not a frame.
    Bad(BadFrame),
    /// More than is allowed here.
    TooLong {
        /// As announced, in bytes.
        len: usize,
    },
    /// The stream ended within a frame.
    Cut,
    /// The stream was reset or the connection is gone.
    Lost(ReadError),
}

/// Room that a frame takes until the agent has it.
pub(crate) type Room = Option<OwnedSemaphorePermit>;

/// Reads the next frame, envelope included, or `None` at the end of the stream. `inbox` must have room for
/// it first.
pub(crate) async fn read(
    stream: &mut RecvStream,
    limit: usize,
    inbox: Option<&Arc<Semaphore>>,
) -> Result<Option<(Bytes, Room)>, Unread> {
    let mut header = [0; HEADER_LEN];
    match stream.read_exact(&mut header).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(0)) => return Ok(None),
        Err(ReadExactError::FinishedEarly(_)) => return Err(Unread::Cut),
        Err(ReadExactError::ReadError(error)) => return Err(Unread::Lost(error)),
    }
    let envelope = Envelope::read(header).map_err(Unread::Bad)?;
    let whole = HEADER_LEN + envelope.len;
    if whole > limit {
        return Err(Unread::TooLong { len: whole });
    }
    let room = match inbox {
        Some(inbox) => {
            let permits = u32::try_from(whole).expect("a frame is at most 1 MiB");
            let room = inbox.clone().acquire_many_owned(permits).await;
            Some(room.expect("an inbox is never closed"))
        }
        None => None,
    };
    let mut frame = BytesMut::with_capacity(whole.min(FIRST));
    frame.extend_from_slice(&header);
    while frame.len() < whole {
        match stream.read_chunk(whole - frame.len(), true).await {
            Ok(Some(chunk)) => frame.extend_from_slice(&chunk.bytes),
            Ok(None) => return Err(Unread::Cut),
            Err(error) => return Err(Unread::Lost(error)),
        }
    }
    Ok(Some((frame.freeze(), room)))
}

/// Whether a datagram is one frame by its envelope.
pub(crate) fn is_frame(datagram: &[u8]) -> bool {
    let Some((header, content)) = datagram.split_first_chunk::<HEADER_LEN>() else { return false };
    datagram.len() <= MAX_DATAGRAM
        && Envelope::read(*header).is_ok_and(|envelope| envelope.len == content.len())
}
