//! Frames that wait for a peer, and the streams that take them.
//!
//! ```text
//! message(lane) ──▶ queue (bounded) ──▶ long-lived stream, one a lane, with the lane's priority
//! ```
//! A queue outlives connections; streams are opened when a frame needs one, and again after a reset. What a
//! stream accepted and a lost connection did not deliver is gone: whoever needs an answer asks again.
//!
//! # Not here
//! Which connection is used: see [`crate::book`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use quinn::{SendStream, WriteError};
use tokio::sync::{Notify, watch};

use crate::counters::{Tally, count};
use crate::limits::{LANE_BYTES, LANE_FRAMES, LANES};
use crate::link::Link;

#[derive(Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// A frame had no room: none is taken before the rest has gone.
    overflowed: bool,
}

/// The frames that wait for one peer.
#[derive(Default)]
pub(crate) struct Lanes {
    queues: Mutex<[Queue; LANES]>,
    ready: [Notify; LANES],
    /// How many frames no stream has taken yet.
    unwritten: watch::Sender<usize>,
}

/// A frame that is being written.
struct Taken<'a> {
    frame: Bytes,
    lanes: &'a Lanes,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.lanes.written_or_lost(1);
    }
}

impl Lanes {
    fn queues(&self) -> MutexGuard<'_, [Queue; LANES]> {
        self.queues.lock().expect("nobody panics while holding the queues")
    }

    /// Whether there was room. Of many frames the last are refused, never some in the middle: the last of an
    /// answer in pieces says that it is whole.
    pub(crate) fn push(&self, lane: usize, frame: Bytes) -> bool {
        let mut queues = self.queues();
        let queue = &mut queues[lane];
        queue.overflowed &= !queue.frames.is_empty();
        let has_room = queue.bytes + frame.len() <= LANE_BYTES[lane] && queue.frames.len() < LANE_FRAMES;
        queue.overflowed |= !has_room;
        if queue.overflowed {
            return false;
        }
        queue.bytes += frame.len();
        queue.frames.push_back(frame);
        self.unwritten.send_modify(|unwritten| *unwritten += 1);
        drop(queues);
        self.ready[lane].notify_one();
        true
    }

    /// Takes the next frame of a lane when there is one.
    async fn pop(&self, lane: usize) -> Taken<'_> {
        loop {
            let next = {
                let queue = &mut self.queues()[lane];
                let next = queue.frames.pop_front();
                queue.bytes -= next.as_ref().map_or(0, Bytes::len);
                next
            };
            match next {
                Some(frame) => return Taken { frame, lanes: self },
                None => self.ready[lane].notified().await,
            }
        }
    }

    /// Throws away what waits, and says how many frames that were.
    pub(crate) fn clear(&self) -> usize {
        let mut queues = self.queues();
        let frames = queues.iter().map(|queue| queue.frames.len()).sum();
        *queues = Default::default();
        self.written_or_lost(frames);
        frames
    }

    fn written_or_lost(&self, frames: usize) {
        self.unwritten.send_modify(|unwritten| *unwritten -= frames);
    }

    /// Comes true once a stream has taken all that was ever pushed, or it was thrown away.
    pub(crate) async fn are_written(&self) {
        // They are asked: the sender is there.
        drop(self.unwritten.subscribe().wait_for(|unwritten| *unwritten == 0).await);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queues().iter().all(|queue| queue.frames.is_empty())
    }
}

/// The connection that is written to, as long as there is one.
pub(crate) type Current = watch::Receiver<Option<Arc<Link>>>;

/// Writes every lane to whatever connection is current. Ends with the last holder of the peer.
pub(crate) async fn write_all(lanes: Arc<Lanes>, current: Current, tally: Arc<Tally>) {
    let lane = |lane| {
        let writer = Writer { lane, current: current.clone(), open: None };
        writer.run(&lanes, &tally)
    };
    tokio::join!(lane(0), lane(1), lane(2));
}

struct Writer {
    lane: usize,
    current: Current,
    open: Option<(u64, SendStream)>,
}

enum Written {
    /// The stream took it.
    Whole,
    /// The stream was stopped by the peer: it does not want this frame.
    Unwanted,
    /// Another connection is current, or soon will be: the same frame goes there, from its first byte.
    Again,
}

impl Writer {
    async fn run(mut self, lanes: &Lanes, tally: &Tally) {
        loop {
            let taken = lanes.pop(self.lane).await;
            loop {
                let Ok(link) = self.current.wait_for(Option::is_some).await.map(|link| link.clone()) else {
                    return;
                };
                let Some(link) = link else { continue };
                match self.write(&link, &taken.frame).await {
                    Written::Whole => break,
                    Written::Unwanted => {
                        count(&tally.messages_unsent);
                        break;
                    }
                    Written::Again => {}
                }
            }
        }
    }

    async fn write(&mut self, link: &Arc<Link>, frame: &Bytes) -> Written {
        let mut current = self.current.clone();
        let other = current.wait_for(|now| now.as_ref().is_none_or(|now| now.number != link.number));
        let open = &mut self.open;
        tokio::select! {
            biased;
            written = write_to(open, self.lane, link, frame) => match written {
                Ok(()) => return Written::Whole,
                Err(WriteError::Stopped(_)) => {
                    self.open = None;
                    return Written::Unwanted;
                }
                Err(_) => self.open = None,
            },
            _ = other => {
                // A part of the frame may be on its way: without its rest it means nothing there.
                if let Some((_, mut stream)) = self.open.take() {
                    drop(stream.reset(0u32.into()));
                }
                return Written::Again;
            }
        }
        // The connection is lost; the book will say so presently.
        let lost = link.number;
        drop(self.current.wait_for(|now| now.as_ref().is_none_or(|now| now.number != lost)).await);
        Written::Again
    }
}

async fn write_to(
    open: &mut Option<(u64, SendStream)>,
    lane: usize,
    link: &Link,
    frame: &Bytes,
) -> Result<(), WriteError> {
    if open.as_ref().is_none_or(|(number, _)| *number != link.number) {
        // The stream before, if any, ends with its last whole frame.
        *open = None;
        let mut stream = link.lane_stream(lane).await?;
        let priority = i32::try_from(LANES - lane).expect("there are three lanes");
        drop(stream.set_priority(priority));
        stream.write_all(&[u8::try_from(lane).expect("there are three lanes")]).await?;
        *open = Some((link.number, stream));
    }
    let (_, stream) = open.as_mut().expect("it was opened above");
    stream.write_chunk(frame.clone()).await
}
