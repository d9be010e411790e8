//! Tasks to start, and reports to wait for.

use std::time::Duration;

use sleep_wire::engine::{EngineReport, Launch};
use sleep_wire::id::{ClusterId, NodeId, RevisionId, ServiceId};
use sleep_wire::key::{SlotKey, SlotName};
use sleep_wire::spec::TaskTemplate;
use sleep_wire::stamp::{Epoch, Stamp};
use sleep_wire::task::{TaskId, TaskLabel};
use tokio::sync::mpsc;

pub(crate) const CLUSTER: ClusterId = ClusterId([0xc1; 32]);
pub(crate) const NODE: NodeId = NodeId([0x0e; 16]);
/// No report takes longer, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a driver says.
pub(crate) struct Reports(pub(crate) mpsc::Receiver<EngineReport>);

impl Reports {
    pub(crate) async fn next(&mut self) -> EngineReport {
        let report = tokio::time::timeout(PATIENCE, self.0.recv()).await;
        report.expect("every action is answered").expect("the driver lives")
    }

    /// Reads reports up to the first that `wanted` takes.
    pub(crate) async fn until<T>(&mut self, wanted: impl Fn(&EngineReport) -> Option<T>) -> T {
        loop {
            let report = self.next().await;
            if let Some(found) = wanted(&report) {
                return found;
            }
        }
    }

    /// Reads reports up to the first that says that a runtime is well.
    pub(crate) async fn well(&mut self) {
        self.until(|report| matches!(report, EngineReport::Well { .. }).then_some(())).await;
    }
}

/// The n-th task of a service called `web`.
pub(crate) fn launch(number: u32, template: TaskTemplate) -> Launch {
    Launch {
        cluster: CLUSTER,
        label: TaskLabel {
            node: NODE,
            slot: SlotKey { service: ServiceId([4; 16]), slot: SlotName::Number(number) },
            task: TaskId { assignment: Stamp::Lease { epoch: Epoch::ZERO, counter: 1 }, attempt: number },
            revision: RevisionId([5; 16]),
            epoch: Epoch::ZERO,
        },
        service_name: "web".to_owned(),
        template,
        fence: 77,
    }
}

pub(crate) fn words(command: &[&str]) -> Vec<String> {
    command.iter().map(|word| (*word).to_owned()).collect()
}
