//! One value of every shape that is frozen, by kind and case.

use sleep_wire::durable::{Boots, Fence, Horizons, LeaseCell, Membership};
use sleep_wire::key::{DesiredKey, IslandKey, Key, MembershipKey, ObservedKey, SlotKey, SlotName};
use sleep_wire::lease::{ConfigId, Hint, LeaseBody, LeaseMessage, LeaseTimes, Voter, VoterConfig};
use sleep_wire::message::{
    AdmitMessage, Carried, Frame, JoinAnswer, JoinRefusal, JoinRequest, MembershipMessage, Message,
    PushMessage, RollCallMessage, RosterEntry, RosterState,
};
use sleep_wire::node::{
    Address, Availability, Horizon, NodeFacts, NodeImages, NodeIntent, NodeLabel, RuntimeFacts,
};
use sleep_wire::permit::PermitMessage;
use sleep_wire::record::{Batch, Record};
use sleep_wire::slot::{Assigned, Cause, Choice, RetireReason, Retired, Slot};
use sleep_wire::spec::{
    Mode, OnFailure, OnHeal, Order, PartitionPolicy, Placement, Port, Protocol, Resources, RestartCondition,
    RestartPolicy, Revision, RevisionBody, Runtime, Scale, ServiceBirth, ServiceRemoval, TaskTemplate,
    UpdatePolicy,
};
use sleep_wire::stamp::{ClusterTime, Epoch, Stamp};
use sleep_wire::swim::Peer;
use sleep_wire::sync::{Branch, BucketLists, Standing, SyncMessage, TriePath};
use sleep_wire::task::{Exit, Health, TaskId, TaskLabel, TaskState, TaskStatus};
use sleep_wire::trust::{
    Admission, JoinToken, OperatorAdmission, OperatorRemoval, Removal, Role, RoleChange, Warrant,
};
use sleep_wire::{
    ClusterId, CommandId, Digest, NodeId, PublicKey, RevisionId, ServiceId, Signature, TokenId, WallTime,
};
use std::sync::Arc;

/// Hands every sample to a visitor that is generic over their types.
pub(crate) trait Visitor {
    fn value<T: sleep_wire::Wire + PartialEq + std::fmt::Debug>(
        &mut self,
        kind: &'static str,
        case: &str,
        value: &T,
    );
    fn key(&mut self, case: &str, key: &Key);
    fn frame(&mut self, case: &str, frame: &Frame);
    fn signed(&mut self, case: &str, bytes: &[u8]);
}

pub(crate) const CLUSTER: ClusterId = ClusterId([0xc1; 32]);
pub(crate) const NODE: NodeId = NodeId([0x11; 16]);
pub(crate) const OTHER: NodeId = NodeId([0x22; 16]);
pub(crate) const SERVICE: ServiceId = ServiceId([0x33; 16]);
pub(crate) const REVISION: RevisionId = RevisionId([0x44; 16]);
pub(crate) const COMMAND: CommandId = CommandId([0x55; 16]);
pub(crate) const TOKEN: TokenId = TokenId([0x66; 16]);
pub(crate) const KEY: PublicKey = PublicKey([0x77; 32]);
pub(crate) const SIGNATURE: Signature = Signature([0x88; 64]);
/// 2026-01-02 03:04:05.678 UTC.
pub(crate) const WALL: WallTime = WallTime(1_767_323_045_678);
/// A second before 1970: wall clocks can be anywhere.
pub(crate) const EARLY: WallTime = WallTime(-1_000);
pub(crate) const EPOCH: Epoch = Epoch { generation: 1, term: 300, candidate: NODE };
pub(crate) const ENTRY: [u8; 8] = [9; 8];

pub(crate) const fn time() -> Stamp {
    Stamp::Time { time: ClusterTime { generation: 2, hlc: (123_456_789 << 16) | 7 }, node: NODE }
}

pub(crate) const fn lease() -> Stamp {
    Stamp::Lease { epoch: EPOCH, counter: 70_000 }
}

pub(crate) const fn boot() -> Stamp {
    Stamp::Boot { boot: 3, sequence: u64::MAX }
}

pub(crate) fn all(visitor: &mut impl Visitor) {
    stamps(visitor);
    keys(visitor);
    records(visitor);
    membership(visitor);
    services(visitor);
    nodes(visitor);
    slots(visitor);
    tasks(visitor);
    lease_values(visitor);
    cells(visitor);
    swim_frames(visitor);
    lease_frames(visitor);
    record_frames(visitor);
    sync_frames(visitor);
    join_frames(visitor);
    permit_frames(visitor);
}

fn stamps(to: &mut impl Visitor) {
    // A stamp has no limit of its own: it is frozen as the second field of a record, and as a task's name.
    for (case, assignment) in [("time", time()), ("lease", lease()), ("boot", boot())] {
        to.value("task_id", case, &TaskId { assignment, attempt: 1 });
    }
    let largest = ClusterTime { generation: u16::MAX, hlc: u64::MAX };
    let assignment = Stamp::Time { time: largest, node: NodeId([255; 16]) };
    to.value("task_id", "largest", &TaskId { assignment, attempt: u32::MAX });
}

fn keys(to: &mut impl Visitor) {
    to.key("admission", &MembershipKey::Admission { node: NODE, entry: ENTRY }.into());
    to.key("role", &MembershipKey::Role { node: NODE, entry: ENTRY }.into());
    to.key("removal", &MembershipKey::Removal { node: NODE, entry: ENTRY }.into());
    to.key("operator", &MembershipKey::Operator { operator: NODE, entry: ENTRY }.into());
    to.key("operator_removal", &MembershipKey::OperatorRemoval { operator: NODE, entry: ENTRY }.into());
    to.key("birth", &DesiredKey::ServiceBirth { service: SERVICE }.into());
    to.key("revision", &DesiredKey::ServiceRevision { service: SERVICE, revision: REVISION }.into());
    to.key("scale", &DesiredKey::ServiceScale { service: SERVICE }.into());
    to.key("service_removal", &DesiredKey::ServiceRemoval { service: SERVICE }.into());
    to.key("availability", &DesiredKey::NodeAvailability { node: NODE }.into());
    to.key("label", &DesiredKey::NodeLabel { node: NODE, label: "zone".into() }.into());
    to.key("token", &DesiredKey::JoinToken { token: TOKEN }.into());
    to.key("secret", &DesiredKey::Secret { name: "tls".into() }.into());
    to.key("config", &DesiredKey::Config { name: "nginx".into() }.into());
    to.key("horizon", &DesiredKey::Horizon.into());
    let names = [
        ("number", SlotName::Number(300)),
        ("node", SlotName::Node(OTHER)),
        ("run", SlotName::Run { run: 1 << 40, number: 2 }),
    ];
    for (case, slot) in names {
        let slot = SlotKey { service: SERVICE, slot };
        to.key(&format!("slot_{case}"), &slot.into());
        to.key(&format!("island_{case}"), &IslandKey { slot, author: NODE }.into());
        to.key(&format!("task_{case}"), &ObservedKey::Task { node: NODE, slot, place: 4 }.into());
    }
    to.key("facts", &ObservedKey::Facts { node: NODE }.into());
    to.key("images", &ObservedKey::Images { node: NODE }.into());
}

/// A record under each clock, with a body of two bytes.
pub(crate) fn record(key: Key, stamp: Stamp) -> Record {
    Record { key: key.to_bytes(), stamp, author: NODE, version: 1, body: vec![1, 2], signature: SIGNATURE }
}

fn records(to: &mut impl Visitor) {
    let desired = record(DesiredKey::Horizon.into(), time());
    to.signed("desired", &desired.signed_bytes(&CLUSTER));
    to.value("record", "desired", &desired);
    let slot = SlotKey { service: SERVICE, slot: SlotName::Number(1) };
    let later = Record { version: 300, body: vec![7; 300], ..record(slot.into(), lease()) };
    to.signed("slot", &later.signed_bytes(&CLUSTER));
    to.value("record", "slot", &later);
    to.value("record", "observed", &record(ObservedKey::Facts { node: NODE }.into(), boot()));
    let unknown = Record { key: vec![200, 1, 2], ..desired };
    to.value("record", "unknown_family", &unknown);
    to.value("batch", "two", &Batch { records: vec![vec![1, 2, 3], vec![]] });
}

fn membership(to: &mut impl Visitor) {
    let genesis = Warrant::Genesis { nonce: [0xab; 16] };
    to.value(
        "admission",
        "genesis",
        &Admission { key: KEY, role: Role::Control, warrant: genesis, at: WALL },
    );
    let token = Warrant::Token { token: TOKEN, key: KEY, signature: SIGNATURE };
    to.value("admission", "token", &Admission { key: KEY, role: Role::Worker, warrant: token, at: EARLY });
    to.value("role_change", "worker", &RoleChange { role: Role::Worker, at: WALL });
    to.value("role_change", "control", &RoleChange { role: Role::Control, at: WALL });
    to.value("removal", "plain", &Removal { compromised: false, at: WALL });
    to.value("removal", "compromised", &Removal { compromised: true, at: WALL });
    to.value("operator_admission", "one", &OperatorAdmission { name: "ada".into(), key: KEY, at: WALL });
    to.value("operator_removal", "one", &OperatorRemoval { at: WALL });
    let token = JoinToken {
        key: KEY,
        role: Role::Worker,
        expires_ms: Some(3_600_000),
        single_use: true,
        revoked: false,
        creator: NODE,
        created_at: WALL,
    };
    to.value("join_token", "one_hour", &token);
    to.value("join_token", "for_ever", &JoinToken { expires_ms: None, revoked: true, ..token });
    to.signed("token_claim", &Warrant::token_claim(&CLUSTER, &TOKEN, &KEY));
    to.signed("genesis_claim", &Warrant::genesis_claim(&KEY, &[0xab; 16]));
    to.signed("node_claim", &Warrant::node_claim(&KEY));
    to.signed("token_id_claim", &Warrant::token_id_claim(&KEY));
}

pub(crate) fn revision() -> Revision {
    Revision {
        parents: vec![REVISION],
        template: TaskTemplate {
            runtime: Runtime::Docker,
            image: "nginx:1.29".into(),
            entrypoint: vec!["/entry".into()],
            command: vec!["-g".into(), "daemon off;".into()],
            env: vec!["A=ö".into()],
            labels: vec!["team=web".into()],
            ports: vec![Port { host_ip: "::".into(), published: 8080, target: 80, protocol: Protocol::Tcp }],
            resources: Resources {
                reserve_cpu_milli: 250,
                reserve_memory: 64 << 20,
                limit_cpu_milli: 1_000,
                limit_memory: 1 << 33,
            },
            restart: RestartPolicy {
                condition: RestartCondition::OnFailure,
                delay_ms: 5_000,
                max_attempts: 3,
                window_ms: 60_000,
            },
            stop_grace_ms: 10_000,
            stop_signal: "QUIT".into(),
            user: "1000:1000".into(),
            workdir: "/srv".into(),
            hostname: "web".into(),
        },
        placement: Placement {
            constraints: vec!["node.labels.zone==a".into()],
            spread_by: "zone".into(),
            max_per_node: 2,
        },
        update: UpdatePolicy {
            order: Order::StartFirst,
            parallelism: 2,
            delay_ms: 1_000,
            monitor_ms: 5_000,
            on_failure: OnFailure::Rollback,
            max_failure_permille: 100,
        },
        partition: PartitionPolicy {
            reschedule_delay_ms: 1_000,
            on_isolation_stop_ms: Some(30_000),
            on_heal: OnHeal::KeepNewest,
        },
        labels: vec!["tier=front".into()],
        at: WALL,
    }
}

fn services(to: &mut impl Visitor) {
    let birth = ServiceBirth {
        name: "web".into(),
        mode: Mode::Replicated,
        singleton: false,
        replicas: 7,
        revision: REVISION,
        spec: Arc::new(Revision { parents: Vec::new(), ..revision() }),
        command: COMMAND,
        created_at: WALL,
    };
    to.value("service_birth", "replicated", &birth);
    let spec = Arc::new(Revision {
        template: TaskTemplate { runtime: Runtime::Process, ..TaskTemplate::default() },
        ..revision()
    });
    to.value("service_birth", "global", &ServiceBirth { mode: Mode::Global, singleton: true, spec, ..birth });
    to.value("revision", "one", &revision());
    to.value("revision_body", "one", &RevisionBody { spec: Arc::new(revision()), command: COMMAND });
    to.value("scale", "one", &Scale { replicas: 300, command: COMMAND, at: WALL });
    to.value("service_removal", "one", &ServiceRemoval { seen: vec![REVISION], command: COMMAND, at: WALL });
}

fn nodes(to: &mut impl Visitor) {
    let facts = NodeFacts {
        name: "host-1".into(),
        addresses: vec![Address::V4([10, 0, 0, 1], 7533), Address::V6([0xfe; 16], 7533)],
        release: "0.1.0".into(),
        protocol: 1,
        architecture: "x86_64".into(),
        os: "linux".into(),
        cpu_milli: 8_000,
        memory: 1 << 34,
        runtimes: vec![RuntimeFacts {
            runtime: Runtime::Docker,
            engine: "ABCD".into(),
            version: "28.0".into(),
            ill: String::new(),
        }],
        labels: vec!["zone=a".into()],
        wall: WALL,
        at_ms: 123_456,
    };
    to.value("node_facts", "one", &facts);
    for (case, availability) in [
        ("active", Availability::Active),
        ("paused", Availability::Paused),
        ("drained", Availability::Drained),
    ] {
        to.value("node_intent", case, &NodeIntent { availability, command: COMMAND, at: WALL });
    }
    to.value("node_label", "set", &NodeLabel { value: Some("a".into()), command: COMMAND });
    to.value("node_label", "removed", &NodeLabel { value: None, command: COMMAND });
    to.value("horizon", "one", &Horizon { gc_before_ms: 604_800_000 });
    to.value("node_images", "one", &NodeImages { images: vec!["nginx:1.29".into()] });
}

pub(crate) fn slot() -> Slot {
    Slot {
        current: Some(Assigned {
            assignment: lease(),
            node: NODE,
            revision: REVISION,
            cause: Cause::NodeDown(OTHER),
            choice: Choice { fitting: 3, refused: 1, decided_by: "fewest_of_service".into() },
            at: WALL,
        }),
        order: Order::StopFirst,
        fence: 1 << 50,
        retire: [RetireReason::Moved, RetireReason::Command, RetireReason::Duplicate]
            .map(|reason| Retired { assignment: time(), node: OTHER, reason })
            .to_vec(),
    }
}

fn slots(to: &mut impl Visitor) {
    to.value("slot", "assigned", &slot());
    to.value(
        "slot",
        "empty",
        &Slot { current: None, order: Order::StartFirst, fence: 0, retire: Vec::new() },
    );
    let causes = [
        Cause::Wanted,
        Cause::NodeDown(OTHER),
        Cause::Drained(OTHER),
        Cause::Updated,
        Cause::Rebalanced(OTHER),
        Cause::Failed(OTHER),
        Cause::NodeRemoved(OTHER),
        Cause::Unfit(OTHER),
        Cause::Adopted,
        Cause::Commanded,
    ];
    for (number, cause) in causes.into_iter().enumerate() {
        let mut slot = Slot { retire: Vec::new(), ..slot() };
        slot.current = slot.current.map(|current| Assigned { cause, ..current });
        to.value("slot", &format!("cause_{number}"), &slot);
    }
}

fn tasks(to: &mut impl Visitor) {
    let task = TaskId { assignment: lease(), attempt: 2 };
    let failed = TaskStatus {
        task,
        revision: REVISION,
        state: TaskState::Failed,
        health: Health::Unhealthy,
        since: WALL,
        started_at: Some(WALL),
        running_for_ms: 1_234,
        exit: Some(Exit { code: -1, out_of_memory: true }),
        message: "exit 1".into(),
        container: "web.1.abc".into(),
        image_digest: "sha256:00".into(),
        last_lines: vec!["boom".into()],
    };
    to.value("task_status", "all_fields", &failed);
    let states = [
        TaskState::Assigned,
        TaskState::Preparing,
        TaskState::Starting,
        TaskState::Running,
        TaskState::Stopping,
        TaskState::Complete,
        TaskState::Failed,
        TaskState::Stopped,
    ];
    for state in states {
        let healthy = [Health::None, Health::Starting, Health::Healthy][state as usize % 3];
        let status = TaskStatus {
            state,
            health: healthy,
            started_at: None,
            exit: None,
            last_lines: Vec::new(),
            ..failed.clone()
        };
        to.value("task_status", &state.to_string(), &status);
    }
    let slot = SlotKey { service: SERVICE, slot: SlotName::Number(1) };
    to.value("task_label", "one", &TaskLabel { node: NODE, slot, task, revision: REVISION, epoch: EPOCH });
}

pub(crate) fn config() -> VoterConfig {
    VoterConfig {
        id: ConfigId { epoch: EPOCH, version: 2 },
        voters: vec![Voter { node: NODE, weight: 2 }, Voter { node: OTHER, weight: 1 }],
        times: LeaseTimes { lease_ms: 4_000, rho_ppm: 10_000, margin_ms: 100 },
    }
}

pub(crate) fn hint() -> Hint {
    Hint { epoch: EPOCH, renewal: 12, signatures: vec![(NODE, SIGNATURE)] }
}

fn lease_values(to: &mut impl Visitor) {
    to.value("voter_config", "two", &config());
    to.value("hint", "signed", &hint());
    to.value("carried", "bare", &Carried { time: ClusterTime::ZERO, hint: None });
}

fn cells(to: &mut impl Visitor) {
    to.value("cell_membership", "one", &Membership { cluster: CLUSTER, node: NODE });
    to.value("cell_boots", "one", &Boots { boot: 3 });
    to.value("cell_lease", "one", &LeaseCell { promise: EPOCH, config: Some(config()) });
    to.value("cell_fence", "one", &Fence { epoch: EPOCH });
    to.value("cell_horizons", "one", &Horizons { last_full_sync: ClusterTime::from_ms(0, 5) });
}

fn say(to: &mut impl Visitor, case: &str, message: Message) {
    let carried = Carried {
        time: ClusterTime::from_ms(0, 1_000),
        hint: Some(Hint { signatures: Vec::new(), ..hint() }),
    };
    to.frame(case, &Frame { carried, message });
}

fn swim_frames(to: &mut impl Visitor) {
    let peer = Peer { node: OTHER, boot: 3, renewal: 1 };
    let entry = |state| RosterEntry { peer, incarnation: 4, state };
    let members = [RosterState::Alive, RosterState::Suspect, RosterState::Down].map(entry).to_vec();
    say(to, "swim", Message::Swim(vec![1, 2, 3]));
    let messages = [
        ("roster", MembershipMessage::Roster { members, answer: true }),
        ("roster_digest", MembershipMessage::RosterDigest { digest: 1 << 60, members: 3 }),
        ("witness", MembershipMessage::Witness { about: peer, incarnation: 4 }),
        ("probe_now", MembershipMessage::ProbeNow { target: OTHER, nonce: 5 }),
        ("probe_result", MembershipMessage::ProbeResult { target: OTHER, nonce: 5, reached: true }),
        ("ping", MembershipMessage::Ping { nonce: 6 }),
        ("pong", MembershipMessage::Pong { nonce: 6 }),
        ("restarting", MembershipMessage::Restarting { hold_ms: 60_000 }),
        ("leaving", MembershipMessage::Leaving),
        ("boot_query", MembershipMessage::BootQuery { boot: 3, nonce: 7 }),
        ("boot_answer", MembershipMessage::BootAnswer { highest: 4, cloned: true }),
    ];
    for (case, message) in messages {
        say(to, &format!("membership_{case}"), Message::Membership(message));
    }
}

fn lease_frames(to: &mut impl Visitor) {
    let bodies = [
        ("pre_vote", LeaseBody::PreVote { epoch: EPOCH }),
        ("pre_vote_answer", LeaseBody::PreVoteAnswer { epoch: EPOCH, yes: true, highest: Epoch::ZERO }),
        ("prepare", LeaseBody::Prepare { epoch: EPOCH }),
        ("promise", LeaseBody::Promise { epoch: EPOCH }),
        ("reject", LeaseBody::Reject { epoch: EPOCH, highest: EPOCH, wait_ms: 900 }),
        ("grant", LeaseBody::Grant { epoch: EPOCH, seq: 9 }),
        ("granted", LeaseBody::Granted { epoch: EPOCH, seq: 9, config: config().id }),
        ("install", LeaseBody::Install),
        ("installed", LeaseBody::Installed { config: config().id }),
        ("release", LeaseBody::Release { epoch: EPOCH }),
    ];
    for (case, body) in bodies {
        say(to, &format!("lease_{case}"), Message::Lease(LeaseMessage { config: config(), body }));
    }
}

fn record_frames(to: &mut impl Visitor) {
    let batch = || Batch { records: vec![vec![1, 2, 3], vec![4]] };
    say(to, "push_records", Message::Push(PushMessage::Records { ack: Some(5), batch: batch() }));
    say(to, "push_unasked", Message::Push(PushMessage::Records { ack: None, batch: batch() }));
    say(to, "push_durable", Message::Push(PushMessage::Durable { ack: 5 }));
    say(to, "roll_call", Message::RollCall(RollCallMessage::Call { epoch: EPOCH }));
    let answer = RollCallMessage::Answer { epoch: EPOCH, batch: batch(), more: true };
    say(to, "roll_call_answer", Message::RollCall(answer));
}

fn sync_frames(to: &mut impl Visitor) {
    let sum = Digest([0xd1; 32]);
    let standing = Standing { gc_before_ms: 604_800_000, whole: true };
    let list = || BucketLists { buckets: vec![(7, 0), (300, 2)], records: vec![[0xe1; 16], [0xe2; 16]] };
    let branch = Branch { path: TriePath { depth: 2, index: 0xab }, present: 0b101, sums: vec![sum, sum] };
    let messages = [
        ("root", SyncMessage::Root { round: 9, sum, records: 100_000 }),
        ("equal", SyncMessage::Equal { round: 9, sum }),
        ("branches", SyncMessage::Branches { round: 9, branches: vec![branch] }),
        ("buckets", SyncMessage::Buckets { round: 9, standing, buckets: list() }),
        (
            "records",
            SyncMessage::Records {
                round: 9,
                standing,
                batch: Batch { records: vec![vec![1, 2, 3]] },
                want: list(),
                end: true,
                more: false,
            },
        ),
    ];
    for (case, message) in messages {
        say(to, &format!("sync_{case}"), Message::Sync(message));
    }
}

fn join_frames(to: &mut impl Visitor) {
    let request = || JoinRequest { key: KEY, token: TOKEN, proof: SIGNATURE };
    let admitted = || JoinAnswer::Admitted { chain: vec![vec![1], vec![2]], doors: vec![vec![3]] };
    say(to, "join", Message::Join(request()));
    say(to, "joined", Message::Joined(admitted()));
    let refusals = [
        JoinRefusal::NotClustered,
        JoinRefusal::UnknownToken,
        JoinRefusal::Expired,
        JoinRefusal::Revoked,
        JoinRefusal::UsedUp,
        JoinRefusal::BadProof,
        JoinRefusal::Removed,
        JoinRefusal::NoControlNode,
        JoinRefusal::NoHolder,
    ];
    for (number, refusal) in refusals.into_iter().enumerate() {
        say(to, &format!("joined_refused_{number}"), Message::Joined(JoinAnswer::Refused(refusal)));
    }
    say(to, "admit_ask", Message::Admit(AdmitMessage::Ask { nonce: 4, request: request() }));
    say(to, "admit_answer", Message::Admit(AdmitMessage::Answer { nonce: 4, answer: admitted() }));
}

fn permit_frames(to: &mut impl Visitor) {
    let slot = SlotKey { service: SERVICE, slot: SlotName::Number(1) };
    let messages = [
        ("ask", PermitMessage::Ask { slot, boot: 3, question: 4, running: true }),
        ("answer", PermitMessage::Answer { slot, boot: 3, question: 4, epoch: EPOCH, permit_ms: 30_000 }),
        ("give_back", PermitMessage::GiveBack { slot, boot: 3, question: 4 }),
    ];
    for (case, message) in messages {
        say(to, &format!("permit_{case}"), Message::Permit(message));
    }
}
