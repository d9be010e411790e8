//! Members that lie, and engines that do not do as they are told.
//!
//! # Not here
//! What a lie is: `liar`; what an engine gets wrong call by call: `draw_engines`.

use super::Draw;
use crate::engine::Survivors;
use crate::liar::Lie;
use crate::scenario::Fault;
use crate::world::{SECOND, Time};

impl Draw {
    /// Somebody lies: a worker in every way, a control node in those that the laws bear.
    pub(super) fn lies(&mut self) {
        let mut stream = self.stream("lies");
        let any = self.host(&mut stream);
        let workers: Vec<usize> = self.workers.iter().copied().collect();
        let pick = usize::try_from(stream.below(workers.len() as u64)).unwrap_or(0);
        let node = workers.get(pick).copied().unwrap_or(any);
        // What two members agree on is believed: one lies in all chapters.
        let node = self.faults.iter().find_map(|(_, fault)| fault.lying()).unwrap_or(node);
        let promoted =
            |(_, fault): &(Time, Fault)| matches!(fault, Fault::Role { node: of, .. } if *of == node);
        let worker = self.workers.contains(&node) && !self.faults.iter().any(promoted);
        // Hours on top of another's hours are told to people, as they should be.
        let once = !self.faults.iter().any(|(_, fault)| match fault {
            Fault::Lies { lies, .. } => lies.contains(&Lie::ClockAhead),
            _ => false,
        });
        let borne = |lie: &Lie| (worker || lie.is_borne_of_control()) && (once || *lie != Lie::ClockAhead);
        let lies: Vec<Lie> = Lie::ALL.into_iter().filter(borne).filter(|_| stream.permille(400)).collect();
        let (at, lasts) = (stream.below(self.lasts), Some(stream.between(SECOND, 90 * SECOND)));
        if !lies.is_empty() {
            self.add(at, Fault::Lies { node, lies, lasts });
        }
    }

    pub(super) fn engines(&mut self) {
        let mut stream = self.stream("engines");
        for _ in 0..stream.between(0, 4) {
            let (at, node) = (stream.below(self.lasts), self.host(&mut stream));
            let lasts = stream.between(SECOND / 10, 40 * SECOND);
            let fault = match stream.below(4) {
                0 => Fault::EngineHangs { node, lasts },
                1 => Fault::EngineRestarts { node, lasts, survivors: Survivors::Running },
                2 => Fault::EngineRestarts { node, lasts, survivors: Survivors::Ended },
                _ => Fault::EngineRestarts { node, lasts, survivors: Survivors::None },
            };
            self.add(at, fault);
        }
        for _ in 0..stream.between(0, 6) {
            let (at, node) = (stream.below(self.lasts), self.host(&mut stream));
            self.add(at, Fault::ByHand { node, removed: stream.permille(500) });
        }
    }

    /// Engines restart as they start a task: whether it runs only a list can tell.
    pub(super) fn interruptions(&mut self) {
        let mut stream = self.stream("interruptions");
        for _ in 0..stream.between(1, 6) {
            let (at, node) = (stream.below(self.lasts), self.host(&mut stream));
            let lasts = stream.between(SECOND / 100, 10 * SECOND);
            self.add(at, Fault::StartInterrupted { node, lasts });
        }
    }
}
