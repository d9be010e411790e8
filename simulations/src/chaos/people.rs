//! What people do to the cluster itself, in need or by mistake.
//!
//! # Not here
//! What they do every day: `users`.

use super::Draw;
use crate::random::Stream;
use crate::scenario::Fault;
use crate::world::SECOND;

impl Draw {
    /// Somebody recovers the cluster. In most runs nobody does: what cannot be without it must not be.
    pub(super) fn recoveries(&mut self) {
        let mut stream = self.stream("recoveries");
        if !stream.permille(300) || !self.is_last() {
            return;
        }
        match stream.below(4) {
            0 => self.survivors(&mut stream),
            1 => self.halves(&mut stream),
            2 => self.disks_beyond_repair(&mut stream),
            _ => self.mistakes(&mut stream),
        }
    }

    /// Nodes are given the other role, at whichever node somebody sits: now and then two are asked at once,
    /// which do not know of each other, and now and then one is asked about itself.
    pub(super) fn roles(&mut self) {
        let mut stream = self.stream("roles");
        for _ in 0..stream.between(1, 8) {
            let (at, node) = (stream.below(self.lasts), self.host(&mut stream));
            // A worker that lies does so as a worker: what a control node may say no law can bear.
            let lies = self.faults.iter().any(|(_, fault)| fault.lying() == Some(node));
            let worker = stream.permille(600) || lies;
            let by = self.control(&mut stream);
            self.add(at, Fault::Role { node, by, worker });
            if stream.permille(300) {
                self.add(at + stream.below(SECOND), Fault::Role { node: by, by: node, worker: true });
            }
            if worker && stream.permille(700) && !lies {
                let (after, by) = (stream.between(SECOND, 40 * SECOND), self.control(&mut stream));
                self.add(at + after, Fault::Role { node, by, worker: false });
            }
        }
    }

    /// All but one or two are demoted, so that one alone votes, until they are promoted again: then whoever
    /// leads is cut off just when three come to vote.
    pub(super) fn usurpers(&mut self) {
        let mut stream = self.stream("usurpers");
        for _ in 0..stream.between(1, 2) {
            let (mut at, by, heir) =
                (stream.below(self.lasts), self.control(&mut stream), self.host(&mut stream));
            let is_liar = |node| self.faults.iter().any(|(_, fault)| fault.lying() == Some(node));
            let stay = |node: &usize| *node == by || *node == heir || self.workers.contains(node);
            let others = (0..self.len()).filter(|node| !stay(node) && !is_liar(*node)).collect::<Vec<_>>();
            let mut ask = |at, worker| {
                others.iter().for_each(|node| self.add(at, Fault::Role { node: *node, by, worker }));
            };
            ask(at, true);
            at += stream.between(8 * SECOND, 20 * SECOND);
            ask(at, false);
            self.add(at, Fault::Usurp { lasts: stream.between(4 * SECOND, 12 * SECOND) });
        }
    }

    /// Somebody types at a host whose agent dies before any other has written that down, and types again
    /// when nothing of what it says is heard: what the others confirm then was said in its earlier life.
    pub(super) fn late_answers(&mut self) {
        let mut stream = self.stream("late answers");
        for _ in 0..stream.between(1, 2) {
            let (at, by) = (stream.below(self.lasts), self.control(&mut stream));
            let stalls = stream.between(3 * SECOND, 6 * SECOND);
            for node in (0..self.len()).filter(|node| *node != by) {
                self.add(at, Fault::DiskStalls { node, lasts: stalls });
            }
            let mut say = |at| {
                let replicas = u32::try_from(stream.between(1, 7)).unwrap_or(1);
                let service = "sleep-app".to_owned();
                self.add(at, Fault::Scale { service, replicas, by });
            };
            say(at + SECOND / 10);
            say(at + stalls - SECOND);
            self.add(at + SECOND / 2, Fault::Kill { node: by, lasts: Some(SECOND / 10) });
            let (nodes, bridge, lasts) = (vec![by], Vec::new(), Some(2 * SECOND));
            self.add(at + stalls - 3 * SECOND / 2, Fault::Cut { nodes, one_way: true, bridge, lasts });
        }
    }

    /// Most hosts are never seen again, and somebody says so at one of the others.
    fn survivors(&mut self, stream: &mut Stream) {
        let (at, one) = (stream.below(self.lasts), self.control(stream));
        let left = stream.between(1, (self.hosts / 2).max(1));
        let mut others: Vec<usize> = (0..self.len()).filter(|host| *host != one).collect();
        while others.len() as u64 >= left {
            let node = others.swap_remove(usize::try_from(stream.below(others.len() as u64)).unwrap_or(0));
            let gone = match stream.below(2) {
                0 => Fault::Kill { node, lasts: None },
                _ => Fault::PowerOff { node, lasts: None },
            };
            self.add(at + stream.below(2 * SECOND), gone);
        }
        self.add(at + stream.between(8 * SECOND, 40 * SECOND), Fault::Recover { node: one, force: false });
    }

    /// The cluster falls apart, and somebody recovers one part, or each of the two.
    fn halves(&mut self, stream: &mut Stream) {
        let (at, lasts) = (stream.below(self.lasts), stream.between(10 * SECOND, 60 * SECOND));
        let nodes = self.hosts(stream, self.hosts.div_ceil(2));
        let both = stream.permille(600);
        let (inside, outside) = (nodes[0], (0..self.len()).find(|host| !nodes.contains(host)));
        self.add(at, Fault::Cut { nodes, one_way: false, bridge: Vec::new(), lasts: Some(lasts) });
        for node in [Some(inside), outside.filter(|_| both)].into_iter().flatten() {
            let after = stream.between(6 * SECOND, 20 * SECOND);
            let force = stream.permille(300);
            self.add(at + after, Fault::Recover { node, force });
        }
    }

    /// Disks are lost with their keys, though that be the majority, and somebody helps.
    fn disks_beyond_repair(&mut self, stream: &mut Stream) {
        let at = stream.below(self.lasts);
        for node in self.hosts(stream, self.hosts / 2) {
            let lasts = stream.between(SECOND, 30 * SECOND);
            // Somebody who knows of the cluster is left, and may speak for it.
            if self.may_lose() && self.workers.is_empty() {
                self.add(at + stream.below(20 * SECOND), Fault::EmptyDisk { node, lasts, recover: true });
            }
        }
    }

    /// Somebody recovers what nothing is amiss with, or not that.
    fn mistakes(&mut self, stream: &mut Stream) {
        for _ in 0..stream.between(1, 3) {
            let (at, node) = (stream.below(self.lasts), self.host(stream));
            let force = stream.permille(700);
            self.add(at, Fault::Recover { node, force });
        }
    }

    /// A host that may speak for the cluster.
    fn control(&self, stream: &mut Stream) -> usize {
        let node = self.host(stream);
        if self.workers.contains(&node) { 0 } else { node }
    }
}
