//! Where a recorder, if there is one, is told what happens.
//!
//! # Not here
//! What it keeps: `report::recorder`.

use std::ops::Range;

use sleep_wire::NodeId;

use super::{Time, World};
use crate::report::recorder::{Heard, Phase, Recorder};

impl World {
    /// Has everything recorded that happens from now on, in a run of about this length.
    pub fn record(&mut self, lasts: Time) {
        self.recorder = Some(Box::new(Recorder::new(self.hosts.len(), lasts)));
    }

    /// A part of the run begins.
    pub fn mark(&mut self, phase: Phase) {
        let now = self.now;
        if let Some(recorder) = &mut self.recorder {
            recorder.mark(now, phase);
        }
    }

    pub(super) fn recorded(&mut self, host: usize) {
        let Some(mut recorder) = self.recorder.take() else { return };
        recorder.after(self, host);
        self.recorder = Some(recorder);
    }

    /// Takes the recorder out, after a last look.
    pub fn recording(&mut self) -> Option<Recorder> {
        let mut recorder = self.recorder.take()?;
        recorder.close(self);
        Some(*recorder)
    }

    /// A frame is handled; it mattered if its receiver told something meanwhile.
    pub(super) fn heard(&mut self, host: usize, from: NodeId, sent: Time, kind: u16, told: Range<usize>) {
        let now = self.now;
        if let (Some(from), Some(recorder)) = (self.places.get(&from), &mut self.recorder) {
            recorder.hear(Heard { sent, from: *from, at: now, to: host, kind, told });
        }
    }
}
