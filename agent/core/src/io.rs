//! What goes into a node and what comes out.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use sleep_wire::durable::Write;
use sleep_wire::engine::{EngineAction, EngineReport};
use sleep_wire::message::JoinRefusal;
use sleep_wire::node::{Address, Availability, NodeFacts};
use sleep_wire::spec::{Mode, Revision};
use sleep_wire::token::{BadToken, JoinString};
use sleep_wire::trust::Role;
use sleep_wire::{ClusterId, CommandId, Epoch, NodeId, PublicKey, RevisionId, ServiceId, Stamp, TokenId};

use crate::time::Instant;

/// Tells one asker from another: the agent hands it in and gets it back with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Tells one durable write from another: it comes back when the write is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteToken(pub u64);

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A datagram from a peer whose key the connection proved.
    Datagram {
        /// Who sent it.
        from: NodeId,
        /// One frame.
        bytes: Vec<u8>,
    },
    /// A frame from a stream of such a peer.
    Message {
        /// Who sent it.
        from: NodeId,
        /// One frame.
        bytes: Vec<u8>,
    },
    /// A connection to a peer stands.
    Connected {
        /// To whom.
        peer: NodeId,
    },
    /// The last connection to a peer is gone.
    Disconnected {
        /// To whom.
        peer: NodeId,
    },
    /// A peer will have nothing to do with this node any more, and says why.
    Dismissed {
        /// By whom.
        peer: NodeId,
        /// What it was told to say: see [`Output::Expel`].
        farewell: Vec<u8>,
    },
    /// A newcomer asks at this node's door.
    JoinAsked {
        /// Whom to answer.
        ticket: Ticket,
        /// The key that the connection proved.
        key: PublicKey,
        /// One frame.
        bytes: Vec<u8>,
    },
    /// The door that this newcomer asked has answered, or could not be reached.
    JoinAnswered {
        /// As given in [`Output::AskDoor`].
        ticket: Ticket,
        /// One frame, or what went wrong in the operating system's words.
        answer: Result<Vec<u8>, String>,
    },
    /// It is later. Timers that are due fire after packets that wait.
    Tick,
    /// Somebody wants something.
    Command {
        /// Whom to answer.
        ticket: Ticket,
        /// What.
        command: Box<Command>,
    },
    /// The engine did something, or something happened to it.
    Engine(EngineReport),
    /// A write is durable, or failed.
    Durable {
        /// Which.
        token: WriteToken,
        /// What went wrong, in the operating system's words.
        outcome: Result<(), String>,
    },
    /// The host's facts changed: addresses, resources, labels.
    Facts(Box<NodeFacts>),
    /// The agent was told to stop, and will be back.
    Stopping,
}

/// Something is to be done. In order; each exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send one frame as a datagram; losing it does no harm.
    Datagram {
        /// To whom.
        to: NodeId,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// Send one frame over a stream.
    Message {
        /// To whom.
        to: NodeId,
        /// What it may overtake.
        lane: Lane,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// A peer may be dialled at these addresses, best first, and its key may connect.
    Introduce {
        /// Whom.
        peer: NodeId,
        /// Its key.
        key: PublicKey,
        /// Where it was last known.
        addresses: Vec<Address>,
    },
    /// A key is no longer a member: close its connections, refuse new ones.
    Expel {
        /// Whose.
        peer: NodeId,
        /// Its key.
        key: PublicKey,
        /// What it is told when it comes again: a [`Batch`](sleep_wire::record::Batch), short enough to close
        /// a connection with.
        farewell: Vec<u8>,
    },
    /// An operator's key may use the API, or no longer.
    Operator {
        /// Whose key.
        key: PublicKey,
        /// Whether it may.
        allowed: bool,
    },
    /// Keep a connection to these peers even when idle: voters and the holder.
    KeepConnected {
        /// Whom.
        peers: Vec<NodeId>,
    },
    /// Ask a door to let this node in, at the first address that answers.
    AskDoor {
        /// Comes back with the answer.
        ticket: Ticket,
        /// Where.
        addresses: Vec<String>,
        /// One frame.
        bytes: Vec<u8>,
    },
    /// Answer a newcomer.
    AnswerJoin {
        /// Whom.
        ticket: Ticket,
        /// One frame.
        bytes: Vec<u8>,
    },
    /// Make these writes durable, all or none, after all that were asked for before.
    Persist {
        /// Comes back when it is done.
        token: WriteToken,
        /// What to write.
        writes: Vec<Write>,
    },
    /// Do something with a task.
    Engine(EngineAction),
    /// Answer a command.
    Reply {
        /// Whom.
        ticket: Ticket,
        /// The answer.
        reply: Result<Reply, Refusal>,
    },
    /// Call again with [`Input::Tick`] at this moment, whatever was asked for before.
    WakeAt(Instant),
    /// Something worth telling people.
    Event(Event),
    /// The agent is to start again, on what is on its disk now.
    Restart,
    /// This node has left its cluster and its store is empty: it goes on under a new key, as a new node.
    Reset,
}

/// What a stream's frames may overtake: the first goes before the second, the second before the third.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Lease and membership.
    Urgent,
    /// New records.
    Delta,
    /// Everything that can wait: rosters, reconciliation.
    Bulk,
}

/// What people ask a node to do. Whoever hands it in has checked that they may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Found a cluster of one.
    Init {
        /// Drawn by the agent.
        nonce: [u8; 16],
        /// Seed of a first join token, drawn by the agent.
        token_seed: [u8; 32],
    },
    /// Join a cluster.
    Join {
        /// The token's string.
        token: String,
        /// Where its members may be found.
        addresses: Vec<String>,
    },
    /// Leave the cluster.
    Leave {
        /// Without handing over.
        force: bool,
    },
    /// Found the next generation with this node as its one voter: a majority of the voters is gone for good.
    Recover {
        /// Although somebody leads, or a majority of the voters answers.
        force: bool,
    },
    /// Make a join token.
    TokenCreate {
        /// Its seed, drawn by the agent.
        seed: [u8; 32],
        /// The role it admits to.
        role: Role,
        /// How long it is good for, in milliseconds; `None` for ever.
        ttl_ms: Option<u64>,
        /// Whether it admits one node only.
        single_use: bool,
        /// Whether all other tokens of that role are revoked.
        rotate: bool,
    },
    /// Revoke a join token.
    TokenRevoke {
        /// Which.
        token: TokenId,
    },
    /// Admit an operator's key.
    OperatorCreate {
        /// What people call them.
        name: String,
        /// The key.
        key: PublicKey,
    },
    /// Take an operator's key out, for good.
    OperatorRemove {
        /// Whose.
        operator: NodeId,
    },
    /// Say whether a node takes work.
    NodeAvailability {
        /// Which node.
        node: NodeId,
        /// Whether it does.
        availability: Availability,
        /// The client's name for this command.
        command: CommandId,
    },
    /// Change a node's role.
    NodeRole {
        /// Which node.
        node: NodeId,
        /// To what.
        role: Role,
        /// The client's name for this command.
        command: CommandId,
    },
    /// Set or remove labels of a node.
    NodeLabels {
        /// Which node.
        node: NodeId,
        /// Names with values; `None` removes.
        labels: Vec<(String, Option<String>)>,
        /// The client's name for this command.
        command: CommandId,
    },
    /// Remove a node for good.
    NodeRemove {
        /// Which node.
        node: NodeId,
        /// Whether its key is in other hands.
        compromised: bool,
        /// The client's name for this command.
        command: CommandId,
    },
    /// Create a service.
    ServiceCreate {
        /// What people shall call it.
        name: String,
        /// How many tasks it has.
        mode: Mode,
        /// Whether it must never run twice.
        singleton: bool,
        /// The first value of its scale.
        replicas: u32,
        /// Its first revision, without parents.
        spec: Box<Revision>,
        /// The client's name for this command.
        command: CommandId,
    },
    /// Change a service: a new revision.
    ServiceUpdate {
        /// Which service.
        service: ServiceId,
        /// The new revision; its parents are filled in.
        spec: Box<Revision>,
        /// Also a new scale.
        replicas: Option<u32>,
        /// The revision that the client saw; a newer one refuses the command.
        expected: Option<RevisionId>,
        /// The client's name for this command.
        command: CommandId,
    },
    /// Change how many replicas services have: all of them or none.
    ServiceScale {
        /// Which services, to how many.
        scales: Vec<(ServiceId, u32)>,
        /// The client's name for this command.
        command: CommandId,
    },
    /// Remove services: all of them or none.
    ServiceRemove {
        /// Which services.
        services: Vec<ServiceId>,
        /// The client's name for this command.
        command: CommandId,
    },
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is written.
    Done {
        /// Whether anything is different now.
        changed: bool,
        /// Where it is durable.
        durability: Durability,
    },
    /// The cluster stands.
    Initialised {
        /// Its id.
        cluster: ClusterId,
        /// A first join token.
        token: JoinString,
    },
    /// This node is a member.
    Joined {
        /// Of which cluster.
        cluster: ClusterId,
    },
    /// This node is no longer a member.
    Left {
        /// Where it is known.
        durability: Durability,
    },
    /// This node is the one voter of its generation, durably.
    Recovered {
        /// Whether it founded that just now.
        changed: bool,
        /// Which generation.
        generation: u16,
    },
    /// A token.
    Token {
        /// Its string.
        token: JoinString,
        /// Its name.
        id: TokenId,
        /// Where it is durable.
        durability: Durability,
    },
    /// A service exists.
    Service {
        /// Which.
        service: ServiceId,
        /// Its revision.
        revision: RevisionId,
        /// Whether anything is different now.
        changed: bool,
        /// Where it is durable.
        durability: Durability,
    },
}

/// Where a command's records are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Here, and this node is alone.
    Alone,
    /// Here and on another live member.
    Shared,
    /// Here; no other member confirmed in time.
    HereOnly,
}

/// Why a command was not carried out. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This agent is in no cluster.
    NotClustered,
    /// This agent is in a cluster already.
    AlreadyClustered(ClusterId),
    /// The agent is busy joining or leaving.
    Busy,
    /// This node is a worker, which may not say so.
    NotControl,
    /// No such node.
    NoSuchNode(NodeId),
    /// No such service.
    NoSuchService(ServiceId),
    /// No such token.
    NoSuchToken(TokenId),
    /// No such operator.
    NoSuchOperator(NodeId),
    /// The name is taken.
    NameTaken {
        /// The name.
        name: String,
        /// By whom.
        service: ServiceId,
    },
    /// The command's id was used for something else.
    CommandReused(CommandId),
    /// The service has a newer revision than the client saw.
    Stale {
        /// The current one.
        current: RevisionId,
    },
    /// A field has a value that is not allowed.
    Invalid {
        /// Which field.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The token's string is not a token.
    BadToken(BadToken),
    /// The door refused.
    Door(JoinRefusal),
    /// No door could be reached.
    NoDoor(String),
    /// The door's answer does not prove that it belongs to the token's cluster.
    ForeignDoor,
    /// No other member answers, so that nobody would know that this one leaves.
    Unheard,
    /// It would leave the cluster without any control node.
    LastControl,
    /// The node asked is the one to be removed: it leaves by itself.
    Oneself,
    /// The node to be removed led last: until another leads, what each slot runs is its word alone.
    LedLast(NodeId),
    /// Somebody leads: there is nothing to recover.
    Led(NodeId),
    /// A majority of the voters answers, and will agree on a leader.
    VotersAnswer {
        /// How many of them.
        heard: u32,
        /// Of how many.
        voters: u32,
    },
    /// The local store failed; what is on it decides what happened.
    Storage(String),
    /// This release cannot do it yet.
    Unsupported(String),
}

/// Something worth telling people, as facts. Kept in a bounded list; part of no decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A member answers, or answers again.
    NodeUp {
        /// Who.
        node: NodeId,
    },
    /// A member answers again, and is not believed yet: it came and went before.
    NodeDoubted {
        /// Who.
        node: NodeId,
        /// For how long it has to stay, in milliseconds.
        hold_ms: u32,
    },
    /// A member does not answer.
    NodeSuspect {
        /// Who.
        node: NodeId,
        /// Who says so; this node itself if it saw it.
        by: NodeId,
    },
    /// A member is believed dead.
    NodeDown {
        /// Who.
        node: NodeId,
        /// How many confirmed it, of how many that were asked.
        confirmed: (u8, u8),
    },
    /// A member left or was removed.
    NodeGone {
        /// Who.
        node: NodeId,
    },
    /// This node became the lease holder.
    LeaseAcquired {
        /// Its tenure.
        epoch: Epoch,
    },
    /// This node is no longer the lease holder.
    LeaseLost {
        /// Its tenure.
        epoch: Epoch,
        /// Why, in the lease room's vocabulary.
        why: &'static str,
    },
    /// Another node was seen to hold the lease.
    HolderChanged {
        /// Its tenure.
        epoch: Epoch,
    },
    /// A person recovered the cluster: a generation was founded here, or was heard of for the first time.
    Recovered {
        /// Which.
        generation: u16,
        /// This node, if it founded it; else who was first heard to lead it.
        by: NodeId,
    },
    /// A task changed its state.
    Task {
        /// Which service.
        service: ServiceId,
        /// The assignment.
        assignment: Stamp,
        /// In words of the task's state.
        state: &'static str,
        /// What is wrong, if anything.
        message: String,
    },
    /// A record was refused, and whose it claimed to be.
    RecordRefused {
        /// Who sent it.
        from: NodeId,
        /// Who is said to have written it.
        author: NodeId,
        /// Why, in the trust room's vocabulary.
        why: &'static str,
    },
    /// A peer sent bytes that mean nothing.
    BadFrame {
        /// Who.
        from: NodeId,
    },
    /// A peer wrote in a protocol that is not spoken here; told once of each peer. For a moment that is so
    /// after this node went back to an earlier release; if the peer is not heard after that, the releases of
    /// the two are too far apart.
    UnspokenProtocol {
        /// Who.
        from: NodeId,
        /// In which.
        protocol: u8,
    },
    /// Something needs a person.
    Alarm(Alarm),
}

/// Something needs a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// A stamp lies far ahead of everybody's time.
    StampAhead {
        /// Who wrote it.
        author: NodeId,
        /// By how much, in milliseconds.
        by_ms: u64,
    },
    /// Two agents run with one key.
    Clone {
        /// Whose.
        node: NodeId,
    },
    /// The local store failed.
    Storage(String),
    /// This node's disk is older than what others know of it.
    OldDisk {
        /// The boot counter on the disk.
        here: u32,
        /// The highest that others know.
        known: u32,
    },
    /// Something in the core broke an assumption of its own, and was set aside.
    Internal(String),
}
