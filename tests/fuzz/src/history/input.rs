//! What comes to an agent: frames, commands, reports, answers that nobody asked for, disks that somebody was
//! at.

use sleep_core::io::{Command, Input, Ticket, WriteToken};
use sleep_wire::durable::{Boots, Cell, Fence, Horizons, LeaseCell, Membership, Stored};
use sleep_wire::engine::{EngineError, EngineReport, Found, StartStep};
use sleep_wire::message::{Carried, Frame, Message};
use sleep_wire::stamp::ClusterTime;
use sleep_wire::token::JoinString;
use sleep_wire::{ClusterId, Epoch, NodeId, encode};

use super::{History, known};
use crate::bytes::Bytes;

impl History<'_> {
    /// A frame from a member, or from somebody that no transport would let in.
    pub(super) fn message(&mut self, host: usize) {
        let from = if self.bytes.rarely(8) { self.node() } else { self.other(host) };
        let bytes = self.frame();
        let datagram = self.bytes.coin();
        let input = if datagram { Input::Datagram { from, bytes } } else { Input::Message { from, bytes } };
        self.world.inject(host, input);
        if self.bytes.coin() {
            self.rest(0);
        }
    }

    /// Another host than this, if there is one.
    fn other(&mut self, host: usize) -> NodeId {
        let other = self.bytes.below(self.world.hosts.len());
        let other = if other == host { (host + 1) % self.world.hosts.len() } else { other };
        self.world.hosts[other].id
    }

    pub(super) fn command(&mut self, host: usize) {
        let command = self.any_command();
        let _ticket = self.world.command(host, command);
    }

    fn any_command(&mut self) -> Command {
        let command = self.command_id();
        match self.bytes.below(18) {
            0 => Command::Init { nonce: self.bytes.array(), token_seed: self.bytes.array() },
            1 => Command::Join { token: self.token_text(), addresses: vec!["node1".to_owned(), self.word()] },
            2 => Command::Leave { force: self.bytes.coin() },
            3 => Command::TokenCreate {
                seed: [self.bytes.byte(); 32],
                role: self.role(),
                ttl_ms: self.perhaps(|history| history.bytes.number()),
                single_use: self.bytes.coin(),
                rotate: self.bytes.coin(),
            },
            4 => Command::TokenRevoke { token: self.token() },
            5 => Command::OperatorCreate { name: self.word(), key: self.key() },
            6 => Command::OperatorRemove { operator: self.node() },
            7 => Command::NodeAvailability { node: self.node(), availability: self.availability(), command },
            8 => Command::NodeRole { node: self.node(), role: self.role(), command },
            9 => {
                let labels = self.some(3, |history| (history.word(), history.perhaps(Self::word)));
                Command::NodeLabels { node: self.node(), labels, command }
            }
            10 => Command::NodeRemove { node: self.node(), compromised: self.bytes.rarely(64), command },
            11..14 => Command::ServiceCreate {
                name: self.word(),
                mode: self.mode(),
                singleton: self.bytes.rarely(16),
                replicas: self.asked_replicas(),
                spec: Box::new(self.revision()),
                command,
            },
            14 => Command::ServiceUpdate {
                service: self.service(),
                spec: Box::new(self.revision()),
                replicas: self.perhaps(Self::asked_replicas),
                expected: self.perhaps(Self::revision_id),
                command,
            },
            15 | 16 => {
                let scales = self.some(3, |history| (history.service(), history.asked_replicas()));
                Command::ServiceScale { scales, command }
            }
            _ => Command::ServiceRemove { services: self.some(2, Self::service), command },
        }
    }

    fn token_text(&mut self) -> String {
        if self.bytes.rarely(64) {
            return self.word();
        }
        let cluster = self.world.hosts[0].cluster.unwrap_or(ClusterId([1; 32]));
        JoinString { cluster, secret: [self.bytes.byte(); 32] }.to_string()
    }

    /// An engine says something, of tasks that are or are not.
    pub(super) fn report(&mut self, host: usize) {
        let task = self.task();
        let runtime = self.runtime();
        let report = match self.bytes.below(12) {
            0 | 1 => EngineReport::Progress { task, step: self.step() },
            2 => EngineReport::StartFailed { task, error: self.error() },
            3 => EngineReport::Exited {
                task,
                container: self.container(),
                exit: self.exit(),
                at: self.wall(),
                deaf: self.bytes.coin(),
                last_lines: self.words(2),
            },
            4 => EngineReport::StopFailed { task, error: self.error() },
            5 => EngineReport::HealthChanged { task, health: self.health() },
            6 => EngineReport::Removed { task },
            7 => EngineReport::RemoveFailed { task, error: self.error() },
            8 | 9 => {
                EngineReport::Listed { runtime, found: self.some(4, Self::found), images: self.words(3) }
            }
            10 => EngineReport::Well { runtime, engine: self.word(), version: self.word() },
            _ if self.bytes.coin() => EngineReport::ListFailed { runtime, error: self.error() },
            _ => EngineReport::Ill { runtime, error: self.error() },
        };
        self.world.inject(host, Input::Engine(report));
    }

    fn step(&mut self) -> StartStep {
        match self.bytes.below(4) {
            0 => StartStep::Pulling,
            1 => StartStep::ImageReady { digest: self.word() },
            2 => StartStep::Created { container: self.container() },
            _ => StartStep::Running {
                container: self.container(),
                pid: self.int(),
                at: self.wall(),
                health: self.health(),
            },
        }
    }

    fn found(&mut self) -> Found {
        Found {
            label: (!self.bytes.rarely(16)).then(|| self.label()),
            container: self.container(),
            running: self.bytes.coin(),
            started_at: self.perhaps(Self::wall),
            exit: self.perhaps(Self::exit),
            health: self.health(),
            image_digest: self.word(),
            last_lines: self.words(2),
        }
    }

    fn error(&mut self) -> EngineError {
        let message = self.word();
        match self.bytes.below(8) {
            0 => EngineError::TimedOut { call: "start" },
            1 => EngineError::Unreachable { message },
            2 => EngineError::NoSuchImage { image: message },
            3 => EngineError::PortTaken { message },
            4 => EngineError::NameTaken { name: message },
            5 => EngineError::NoSuchContainer,
            6 => EngineError::Cancelled,
            _ => EngineError::Other { message },
        }
    }

    /// Something of which the agent asked nothing, or which comes when it should not.
    pub(super) fn stray(&mut self, host: usize) {
        let ticket = Ticket(u64::from(self.bytes.byte()));
        let peer = if self.bytes.rarely(16) { self.node() } else { self.other(host) };
        let input = match self.bytes.below(9) {
            0 => Input::Tick,
            1 => Input::Connected { peer },
            2 => Input::Disconnected { peer },
            3 => {
                let batch = encode(&self.batch());
                let farewell = if self.bytes.rarely(32) { self.bytes.take(40).to_vec() } else { batch };
                Input::Dismissed { peer, farewell }
            }
            4 => {
                let request = self.join_request();
                let key = if self.bytes.rarely(32) { self.key() } else { request.key };
                let stranger = Carried { time: ClusterTime::ZERO, hint: None };
                let bytes = Frame { carried: stranger, message: Message::Join(request) }.to_bytes();
                let bytes = if self.bytes.rarely(32) { self.frame() } else { bytes };
                Input::JoinAsked { ticket, key, bytes }
            }
            5 => {
                let stranger = Carried { time: ClusterTime::ZERO, hint: None };
                let said = Frame { carried: stranger, message: Message::Joined(self.joined()) }.to_bytes();
                Input::JoinAnswered {
                    ticket,
                    answer: if self.bytes.coin() { Ok(said) } else { Err(self.word()) },
                }
            }
            6 => {
                let failed = self.bytes.rarely(24);
                let outcome = if failed { Err("input/output error".to_owned()) } else { Ok(()) };
                Input::Durable { token: WriteToken(self.bytes.number()), outcome }
            }
            7 => Input::Facts(Box::new(self.facts())),
            _ => Input::Stopping,
        };
        self.world.inject(host, input);
    }
}

/// Changes something of what a disk holds.
pub(super) fn damage(bytes: &mut Bytes<'_>, stored: &mut Stored) {
    let at = bytes.below(stored.records.len().max(1));
    match bytes.below(10) {
        0 if at < stored.records.len() => drop(stored.records.remove(at)),
        1 if at < stored.records.len() => known::mark(&mut stored.records[at]),
        2 => stored.records.clear(),
        3 => {
            let cell = bytes.below(stored.cells.len().max(1));
            if cell < stored.cells.len() {
                stored.cells.remove(cell);
            }
        }
        4 => {
            let cell = bytes.below(stored.cells.len().max(1));
            if let Some((_, value)) = stored.cells.get_mut(cell) {
                known::mark(value);
            }
        }
        5 => set(
            stored,
            Cell::Boots,
            encode(&Boots { boot: u32::try_from(bytes.number()).unwrap_or(u32::MAX) }),
        ),
        6 => set(stored, Cell::Fence, encode(&Fence { epoch: epoch(bytes) })),
        7 => {
            let last_full_sync = ClusterTime { generation: 0, hlc: bytes.number() << bytes.below(40) };
            set(stored, Cell::Horizons, encode(&Horizons { last_full_sync }));
        }
        8 => {
            let promise = epoch(bytes);
            set(stored, Cell::Lease, encode(&LeaseCell { promise, config: None }));
        }
        _ => {
            let cluster = ClusterId([bytes.byte(); 32]);
            set(stored, Cell::Membership, encode(&Membership { cluster, node: NodeId(bytes.array()) }));
        }
    }
}

fn epoch(bytes: &mut Bytes<'_>) -> Epoch {
    Epoch { generation: u16::from(bytes.byte() & 1), term: bytes.number(), candidate: NodeId(bytes.array()) }
}

fn set(stored: &mut Stored, cell: Cell, value: Vec<u8>) {
    stored.cells.retain(|(known, _)| *known != cell);
    stored.cells.push((cell, value));
}
