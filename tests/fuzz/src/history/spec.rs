//! What people and nodes say of services, tasks and themselves: plain in most places, odd in some.

use sleep_wire::message::PROTOCOL;
use sleep_wire::node::{Address, Availability, NodeFacts, RuntimeFacts};
use sleep_wire::slot::{Assigned, Cause, Choice, RetireReason, Retired, Slot};
use sleep_wire::spec::{
    Mode, OnFailure, OnHeal, Order, PartitionPolicy, Placement, Port, Protocol, Resources, RestartCondition,
    RestartPolicy, Revision, Runtime, ServiceBirth, TaskTemplate, UpdatePolicy,
};
use sleep_wire::task::{TaskState, TaskStatus};
use sleep_wire::trust::{JoinToken, Role};
use std::sync::Arc;

use super::History;

impl History<'_> {
    pub(super) fn runtime(&mut self) -> Runtime {
        if self.bytes.rarely(64) { Runtime::Process } else { Runtime::Docker }
    }

    pub(super) fn role(&mut self) -> Role {
        if self.bytes.coin() { Role::Worker } else { Role::Control }
    }

    pub(super) fn mode(&mut self) -> Mode {
        if self.bytes.rarely(64) { Mode::Global } else { Mode::Replicated }
    }

    fn order(&mut self) -> Order {
        if self.bytes.coin() { Order::StartFirst } else { Order::StopFirst }
    }

    pub(super) fn availability(&mut self) -> Availability {
        [Availability::Active, Availability::Paused, Availability::Drained][self.bytes.below(3)]
    }

    /// How many replicas: few, for a plan for a hundred thousand takes seconds and tells no more.
    pub(super) fn replicas(&mut self) -> u32 {
        u32::from(if self.bytes.rarely(8) { self.bytes.short() % 200 } else { self.bytes.short() % 6 })
    }

    /// How many replicas a command asks for: also more than anybody may.
    pub(super) fn asked_replicas(&mut self) -> u32 {
        if self.bytes.rarely(8) { u32::MAX } else { self.replicas() }
    }

    fn port(&mut self) -> Port {
        let protocol = if self.bytes.coin() { Protocol::Udp } else { Protocol::Tcp };
        Port { host_ip: self.word(), published: self.bytes.short(), target: self.bytes.short(), protocol }
    }

    fn resources(&mut self) -> Resources {
        Resources {
            reserve_cpu_milli: self.bytes.number(),
            reserve_memory: self.bytes.number(),
            limit_cpu_milli: self.bytes.number(),
            limit_memory: self.bytes.number(),
        }
    }

    fn template(&mut self) -> TaskTemplate {
        let mut template = TaskTemplate { image: "busybox:1".to_owned(), ..TaskTemplate::default() };
        let what = self.bytes.byte();
        template.runtime = self.runtime();
        if what & 1 != 0 {
            template.image = self.word();
            template.entrypoint = self.words(3);
            template.command = self.words(3);
        }
        if what & 2 != 0 {
            template.env = self.words(3);
            template.labels = self.words(3);
            template.hostname = self.word();
        }
        if what & 4 != 0 {
            template.ports = self.some(3, Self::port);
        }
        if what & 8 != 0 {
            template.resources = self.resources();
        }
        if what & 16 != 0 {
            let conditions = [RestartCondition::None, RestartCondition::OnFailure, RestartCondition::Any];
            template.restart = RestartPolicy {
                condition: conditions[self.bytes.below(3)],
                delay_ms: self.bytes.number(),
                max_attempts: self.int(),
                window_ms: self.bytes.number(),
            };
        }
        if what & 32 != 0 {
            template.stop_grace_ms = self.bytes.number();
            template.stop_signal = self.word();
            template.user = self.word();
            template.workdir = self.word();
        }
        template
    }

    fn update_policy(&mut self) -> UpdatePolicy {
        UpdatePolicy {
            order: self.order(),
            parallelism: self.int(),
            delay_ms: self.bytes.number(),
            monitor_ms: self.bytes.number(),
            on_failure: [OnFailure::Pause, OnFailure::Continue, OnFailure::Rollback][self.bytes.below(3)],
            max_failure_permille: self.int(),
        }
    }

    pub(super) fn revision(&mut self) -> Revision {
        let template = self.template();
        let what = self.bytes.byte();
        let mut placement = Placement::default();
        if what & 1 != 0 {
            placement =
                Placement { constraints: self.words(3), spread_by: self.word(), max_per_node: self.int() };
        }
        let update = if what & 2 == 0 { UpdatePolicy::default() } else { self.update_policy() };
        let mut partition = PartitionPolicy::default();
        if what & 4 != 0 {
            partition = PartitionPolicy {
                reschedule_delay_ms: self.bytes.number(),
                on_isolation_stop_ms: self.perhaps(|history| history.bytes.number()),
                on_heal: if self.bytes.coin() { OnHeal::KeepNewest } else { OnHeal::KeepOriginal },
            };
        }
        let parents = if what & 8 == 0 { Vec::new() } else { self.some(3, Self::revision_id) };
        let labels = if what & 16 == 0 { Vec::new() } else { self.words(3) };
        Revision { parents, template, placement, update, partition, labels, at: self.wall() }
    }

    pub(super) fn birth(&mut self) -> ServiceBirth {
        ServiceBirth {
            name: self.word(),
            mode: self.mode(),
            singleton: self.bytes.rarely(32),
            replicas: self.replicas(),
            revision: self.revision_id(),
            spec: Arc::new(self.revision()),
            command: self.command_id(),
            created_at: self.wall(),
        }
    }

    fn cause(&mut self) -> Cause {
        let node = self.node();
        match self.bytes.below(10) {
            0 => Cause::Wanted,
            1 => Cause::NodeDown(node),
            2 => Cause::Drained(node),
            3 => Cause::Updated,
            4 => Cause::Rebalanced(node),
            5 => Cause::Failed(node),
            6 => Cause::NodeRemoved(node),
            7 => Cause::Unfit(node),
            8 => Cause::Adopted,
            _ => Cause::Commanded,
        }
    }

    fn assigned(&mut self) -> Assigned {
        Assigned {
            assignment: self.task().assignment,
            node: self.node(),
            revision: self.revision_id(),
            cause: self.cause(),
            choice: Choice { fitting: self.int(), refused: self.int(), decided_by: self.word() },
            at: self.wall(),
        }
    }

    fn retired(&mut self) -> Retired {
        let reasons = [RetireReason::Moved, RetireReason::Command, RetireReason::Duplicate];
        let assignment = self.task().assignment;
        Retired { assignment, node: self.node(), reason: reasons[self.bytes.below(3)] }
    }

    pub(super) fn slot(&mut self) -> Slot {
        Slot {
            current: self.perhaps(Self::assigned),
            order: self.order(),
            fence: self.bytes.number(),
            retire: self.some(4, Self::retired),
        }
    }

    pub(super) fn status(&mut self) -> TaskStatus {
        use TaskState::{Assigned, Complete, Failed, Preparing, Running, Starting, Stopped, Stopping};
        let states = [Assigned, Preparing, Starting, Running, Stopping, Complete, Failed, Stopped];
        TaskStatus {
            task: self.task(),
            revision: self.revision_id(),
            state: states[self.bytes.below(8)],
            health: self.health(),
            since: self.wall(),
            started_at: self.perhaps(Self::wall),
            running_for_ms: self.bytes.number(),
            exit: self.perhaps(Self::exit),
            message: self.word(),
            container: self.container(),
            image_digest: self.word(),
            last_lines: self.words(2),
        }
    }

    pub(super) fn facts(&mut self) -> NodeFacts {
        NodeFacts {
            name: self.word(),
            addresses: self.some(3, |history| Address::V4(history.bytes.array(), history.bytes.short())),
            release: self.word(),
            protocol: PROTOCOL + self.bytes.byte() % 2,
            architecture: self.word(),
            os: self.word(),
            cpu_milli: self.bytes.number(),
            memory: self.bytes.number(),
            runtimes: self.some(2, |history| RuntimeFacts {
                runtime: history.runtime(),
                engine: history.word(),
                version: history.word(),
                ill: history.word(),
            }),
            labels: self.words(3),
            wall: self.wall(),
            at_ms: self.bytes.number(),
        }
    }

    pub(super) fn join_token(&mut self) -> JoinToken {
        JoinToken {
            key: self.key(),
            role: self.role(),
            expires_ms: self.perhaps(|history| history.bytes.number()),
            single_use: self.bytes.coin(),
            revoked: self.bytes.coin(),
            creator: self.node(),
            created_at: self.wall(),
        }
    }
}
