//! Names, numbers and moments: those that mean something here, those beside them, and any other.

use sleep_wire::key::{SlotKey, SlotName};
use sleep_wire::stamp::{ClusterTime, Epoch, Stamp};
use sleep_wire::swim::Peer;
use sleep_wire::task::{Exit, Health, TaskId, TaskLabel};
use sleep_wire::{CommandId, Digest, NodeId, PublicKey, RevisionId, ServiceId, Signature, TokenId, WallTime};

use super::History;

/// Words that people use, and some that nobody should.
const WORDS: [&str; 14] = [
    "",
    "web",
    "db",
    "zone",
    "zone=attic",
    "node.labels.zone==attic",
    "node.labels.zone",
    "node1",
    "busybox:1",
    "attempt 2 in 4 s",
    "sha256:ab",
    "é\u{202e}\0",
    "~",
    "SIGTERM",
];

impl History<'_> {
    /// One of those known, in most cases.
    fn known<T: Clone>(&mut self, list: impl Fn(&super::Known) -> &[T]) -> Option<T> {
        if self.bytes.rarely(24) { None } else { self.bytes.pick(list(&self.known)).cloned() }
    }

    pub(super) fn node(&mut self) -> NodeId {
        self.known(|known| &known.nodes).unwrap_or_else(|| NodeId(self.bytes.array()))
    }

    pub(super) fn service(&mut self) -> ServiceId {
        self.known(|known| &known.services).unwrap_or_else(|| ServiceId(self.bytes.array()))
    }

    pub(super) fn revision_id(&mut self) -> RevisionId {
        self.known(|known| &known.revisions).unwrap_or_else(|| RevisionId(self.bytes.array()))
    }

    pub(super) fn token(&mut self) -> TokenId {
        self.known(|known| &known.tokens).unwrap_or_else(|| TokenId(self.bytes.array()))
    }

    pub(super) fn container(&mut self) -> String {
        self.known(|known| &known.containers).unwrap_or_else(|| self.word())
    }

    pub(super) fn command_id(&mut self) -> CommandId {
        // Few: so that some are used again.
        CommandId([self.bytes.byte() & 7; 16])
    }

    pub(super) fn digest(&mut self) -> Digest {
        Digest([self.bytes.byte(); 32])
    }

    pub(super) fn key(&mut self) -> PublicKey {
        PublicKey(self.bytes.array())
    }

    pub(super) fn signature(&mut self) -> Signature {
        Signature([self.bytes.byte(); 64])
    }

    pub(super) fn word(&mut self) -> String {
        self.bytes.text(&WORDS, 80)
    }

    pub(super) fn words(&mut self, most: usize) -> Vec<String> {
        (0..self.bytes.below(most + 1)).map(|_| self.word()).collect()
    }

    /// A number of 32 bits, at its edges more often than its share.
    pub(super) fn int(&mut self) -> u32 {
        u32::try_from(self.bytes.number()).unwrap_or(u32::MAX)
    }

    pub(super) fn wall(&mut self) -> WallTime {
        let ms = self.bytes.number().cast_signed();
        WallTime(if self.bytes.coin() { 1_767_225_600_000_i64.saturating_add(ms) } else { ms })
    }

    /// A moment of the cluster: one that was, a little later or earlier, or any.
    pub(super) fn time(&mut self) -> ClusterTime {
        let known = self.known(|known| &known.times);
        let by = self.bytes.number() << self.bytes.below(24);
        match known {
            Some(time) if self.bytes.coin() => ClusterTime { hlc: time.hlc.saturating_add(by), ..time },
            Some(time) => ClusterTime { hlc: time.hlc.saturating_sub(by), ..time },
            None => ClusterTime { generation: u16::from(self.bytes.byte() & 1), hlc: self.bytes.number() },
        }
    }

    /// A tenure: one that was, the next, or any.
    pub(super) fn epoch(&mut self) -> Epoch {
        match self.known(|known| &known.epochs) {
            Some(epoch) => {
                let term = epoch.term.saturating_add(u64::from(self.bytes.byte() & 3));
                let candidate = if self.bytes.rarely(64) { self.node() } else { epoch.candidate };
                Epoch { term, candidate, ..epoch }
            }
            None => Epoch {
                generation: u16::from(self.bytes.byte() & 1),
                term: self.bytes.number(),
                candidate: self.node(),
            },
        }
    }

    pub(super) fn stamp(&mut self) -> Stamp {
        if let Some(stamp) = self.known(|known| &known.stamps) {
            return stamp;
        }
        match self.bytes.below(3) {
            0 => Stamp::Time { time: self.time(), node: self.node() },
            1 => Stamp::Lease { epoch: self.epoch(), counter: self.bytes.number() },
            _ => Stamp::Boot { boot: self.bytes.number(), sequence: self.bytes.number() },
        }
    }

    pub(super) fn task(&mut self) -> TaskId {
        let known = self.known(|known| &known.tasks);
        let task = known.unwrap_or_else(|| TaskId { assignment: self.stamp(), attempt: 1 });
        let other = self.bytes.rarely(48);
        TaskId { attempt: if other { self.int() } else { task.attempt }, ..task }
    }

    pub(super) fn slot_name(&mut self) -> SlotName {
        match self.bytes.below(4) {
            0 | 1 => SlotName::Number(self.int()),
            2 => SlotName::Node(self.node()),
            _ => SlotName::Run { run: self.bytes.number(), number: self.int() },
        }
    }

    pub(super) fn slot_key(&mut self) -> SlotKey {
        match self.known(|known| &known.slots) {
            Some(key) => key,
            None => SlotKey { service: self.service(), slot: self.slot_name() },
        }
    }

    pub(super) fn peer(&mut self) -> Peer {
        let node = self.node();
        let boot = if self.bytes.coin() { 1 } else { self.int() };
        let renewal = if self.bytes.coin() { 0 } else { self.bytes.short() };
        Peer { node, boot, renewal }
    }

    pub(super) fn health(&mut self) -> Health {
        [Health::None, Health::Starting, Health::Healthy, Health::Unhealthy][self.bytes.below(4)]
    }

    pub(super) fn exit(&mut self) -> Exit {
        Exit { code: self.int().cast_signed(), out_of_memory: self.bytes.coin() }
    }

    pub(super) fn label(&mut self) -> TaskLabel {
        TaskLabel {
            node: self.node(),
            slot: self.slot_key(),
            task: self.task(),
            revision: self.revision_id(),
            epoch: self.epoch(),
        }
    }

    /// Something, in half of the cases.
    pub(super) fn perhaps<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.bytes.coin().then(|| draw(self))
    }

    /// At most so many of something.
    pub(super) fn some<T>(&mut self, most: usize, mut draw: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.bytes.below(most + 1)).map(|_| draw(self)).collect()
    }
}
