//! What a task is told of itself.

use sleep_wire::engine::Launch;

/// Variables that only this project sets begin so.
const RESERVED: &str = "SLEEPD_";

/// The environment of a task: what was typed, and what tells it who it is. Ours cannot be overridden.
pub(crate) fn of(launch: &Launch, node_name: &str) -> Vec<String> {
    let own = [
        ("FENCE", launch.fence.to_string()),
        ("SERVICE", launch.service_name.clone()),
        ("SLOT", launch.label.slot.slot.to_string()),
        ("TASK", launch.label.task.short()),
        ("NODE", node_name.to_owned()),
    ];
    let is_ours = |typed: &str| {
        typed
            .strip_prefix(RESERVED)
            .is_some_and(|rest| own.iter().any(|(name, _)| rest.split('=').next() == Some(name)))
    };
    let typed = launch.template.env.iter().filter(|typed| !is_ours(typed)).cloned();
    typed.chain(own.iter().map(|(name, value)| format!("{RESERVED}{name}={value}"))).collect()
}

#[cfg(test)]
mod tests {
    use sleep_wire::id::{ClusterId, NodeId, RevisionId, ServiceId};
    use sleep_wire::key::{SlotKey, SlotName};
    use sleep_wire::spec::TaskTemplate;
    use sleep_wire::stamp::{Epoch, Stamp};
    use sleep_wire::task::{TaskId, TaskLabel};

    use super::*;

    fn launch(template: TaskTemplate) -> Launch {
        Launch {
            cluster: ClusterId([1; 32]),
            label: TaskLabel {
                node: NodeId([3; 16]),
                slot: SlotKey { service: ServiceId([4; 16]), slot: SlotName::Number(3) },
                task: TaskId { assignment: Stamp::Boot { boot: 1, sequence: 1 }, attempt: 1 },
                revision: RevisionId([5; 16]),
                epoch: Epoch::ZERO,
            },
            service_name: "web".to_owned(),
            template,
            fence: 77,
        }
    }

    #[test]
    fn a_task_knows_who_it_is_and_nobody_can_tell_it_otherwise() {
        let typed = ["A=1", "SLEEPD_FENCE=0", "SLEEPD_NODE", "SLEEPD_NODES=3"].map(str::to_owned).to_vec();
        let launch = launch(TaskTemplate { env: typed, ..TaskTemplate::default() });
        let task = format!("SLEEPD_TASK={}", launch.label.task.short());
        assert_eq!(
            of(&launch, "node1"),
            [
                "A=1",
                "SLEEPD_NODES=3",
                "SLEEPD_FENCE=77",
                "SLEEPD_SERVICE=web",
                "SLEEPD_SLOT=3",
                &task,
                "SLEEPD_NODE=node1"
            ]
        );
    }
}
