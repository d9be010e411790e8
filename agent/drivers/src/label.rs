//! How a container, or a process, says whose it is.
//!
//! Most labels are for people who filter lists of containers. The driver itself reads two: the cluster's, and
//! the bytes of the [`TaskLabel`], from which everything reads back exactly.

use std::collections::HashMap;

use sleep_wire::engine::Launch;
use sleep_wire::task::TaskLabel;
use sleep_wire::{ClusterId, decode, encode};

/// Every label of ours begins so; nobody else may set such labels.
pub(crate) const PREFIX: &str = "io.sleepd.";
/// Which cluster's it is.
pub(crate) const CLUSTER: &str = sleep_wire::engine::CLUSTER_LABEL;
/// The bytes of its [`TaskLabel`], in hexadecimal.
const TASK_LABEL: &str = "io.sleepd.label";
/// The digest of its image as it was when the task was started.
const IMAGE: &str = "io.sleepd.image";

/// Whose a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Not this cluster's: it is never touched.
    Foreign,
    /// This cluster's; `None` if it does not say for which task, and then it is never touched either.
    Ours(Option<TaskLabel>),
}

/// The labels of a task's container.
pub(crate) fn write(launch: &Launch, engine: &str, digest: &str) -> HashMap<String, String> {
    let label = &launch.label;
    let epoch = label.epoch;
    let own = [
        ("cluster", launch.cluster.to_string()),
        ("node", label.node.to_string()),
        ("service", launch.service_name.clone()),
        ("slot", label.slot.slot.to_string()),
        ("task", label.task.short()),
        ("revision", label.revision.to_string()),
        ("epoch", format!("{}.{}.{}", epoch.generation, epoch.term, epoch.candidate)),
        ("engine", engine.to_owned()),
        ("label", hex(&encode(label))),
        ("image", digest.to_owned()),
    ];
    let typed = launch.template.labels.iter().map(|label| label.split_once('=').unwrap_or((label, "")));
    typed
        .filter(|(key, _)| !key.starts_with(PREFIX))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .chain(own.into_iter().map(|(key, value)| (format!("{PREFIX}{key}"), value)))
        .collect()
}

/// Whose a container with these labels is, as seen by a member of `cluster`.
pub(crate) fn owner(labels: &HashMap<String, String>, cluster: Option<ClusterId>) -> Owner {
    match (labels.get(CLUSTER), cluster) {
        (Some(text), Some(cluster)) if *text == cluster.to_string() => {
            let bytes = labels.get(TASK_LABEL).and_then(|text| unhex(text));
            Owner::Ours(bytes.and_then(|bytes| decode(&bytes).ok()))
        }
        _ => Owner::Foreign,
    }
}

/// The digest of the image, if the labels know it.
pub(crate) fn image(labels: &HashMap<String, String>) -> Option<String> {
    labels.get(IMAGE).filter(|digest| !digest.is_empty()).cloned()
}

/// The name of a task's container: for people, and so that a create whose answer was lost cannot happen
/// twice.
pub(crate) fn name(launch: &Launch) -> String {
    let label = &launch.label;
    let name = format!("{}.{}.{}", launch.service_name, label.slot.slot, label.task.short());
    // A service that lost its name to another is called `name~id4`, which engines refuse.
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '-' }).collect()
}

/// Whether a container's name, as engines write it, is one that [`name`] gives to this task's.
pub(crate) fn is_name_of(name: &str, label: &TaskLabel) -> bool {
    name.rsplit('.').next() == Some(label.task.short().as_str())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use sleep_wire::id::{NodeId, RevisionId, ServiceId};
    use sleep_wire::key::{SlotKey, SlotName};
    use sleep_wire::spec::TaskTemplate;
    use sleep_wire::stamp::{Epoch, Stamp};
    use sleep_wire::task::TaskId;

    use super::*;

    const CLUSTER_A: ClusterId = ClusterId([0xab; 32]);

    fn launch() -> Launch {
        let epoch = Epoch { generation: 1, term: 7, candidate: NodeId([2; 16]) };
        Launch {
            cluster: CLUSTER_A,
            label: TaskLabel {
                node: NodeId([3; 16]),
                slot: SlotKey { service: ServiceId([4; 16]), slot: SlotName::Number(12) },
                task: TaskId { assignment: Stamp::Lease { epoch, counter: 9 }, attempt: 2 },
                revision: RevisionId([5; 16]),
                epoch,
            },
            service_name: "web".to_owned(),
            template: TaskTemplate {
                labels: vec!["team=blue".into(), "bare".into(), "io.sleepd.cluster=forged".into()],
                ..TaskTemplate::default()
            },
            fence: 1,
        }
    }

    #[test]
    fn labels_read_back_exactly() {
        let launch = launch();
        let labels = write(&launch, "ENGINE", "sha256:1");
        assert_eq!(owner(&labels, Some(CLUSTER_A)), Owner::Ours(Some(launch.label)));
        assert_eq!(image(&labels), Some("sha256:1".to_owned()));
        assert_eq!(labels.len(), 12);
        assert_eq!((labels["team"].as_str(), labels["bare"].as_str()), ("blue", ""));
        assert_eq!((labels["io.sleepd.service"].as_str(), labels["io.sleepd.slot"].as_str()), ("web", "12"));
        assert_eq!(labels["io.sleepd.engine"], "ENGINE");
    }

    #[test]
    fn what_bears_another_clusters_label_or_none_is_foreign() {
        let labels = write(&launch(), "", "");
        assert_eq!(owner(&labels, Some(ClusterId([0; 32]))), Owner::Foreign);
        assert_eq!(owner(&labels, None), Owner::Foreign);
        assert_eq!(owner(&HashMap::new(), Some(CLUSTER_A)), Owner::Foreign);
    }

    #[test]
    fn unreadable_labels_name_no_task() {
        for text in ["", "zz", "0", "00", "é0"] {
            let mut labels = write(&launch(), "", "");
            labels.insert(TASK_LABEL.to_owned(), text.to_owned());
            assert_eq!(owner(&labels, Some(CLUSTER_A)), Owner::Ours(None), "{text}");
        }
    }

    #[test]
    fn a_name_has_only_what_engines_take() {
        let mut launch = launch();
        assert_eq!(name(&launch), format!("web.12.{}", launch.label.task.short()));
        launch.service_name = "web~ab12".to_owned();
        assert!(name(&launch).starts_with("web-ab12.12."));
        assert!(is_name_of(&format!("/{}", name(&launch)), &launch.label));
        let short = launch.label.task.short();
        let others = ["/brave_borg".to_owned(), short[1..].to_owned(), format!("/web.12.{short}0")];
        assert_eq!(others.map(|name| is_name_of(&name, &launch.label)), [false; 3]);
    }
}
