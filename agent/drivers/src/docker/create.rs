//! What an engine is asked to create for a task.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum};
use sleep_wire::engine::Launch;
use sleep_wire::spec::{Protocol, TaskTemplate};

use crate::environment;

/// The body of the create call.
pub(crate) fn body(launch: &Launch, node_name: &str, labels: HashMap<String, String>) -> ContainerCreateBody {
    let template = &launch.template;
    let (exposed, bindings) = ports(template);
    let limits = &template.resources;
    ContainerCreateBody {
        image: Some(template.image.clone()),
        entrypoint: given(&template.entrypoint),
        cmd: given(&template.command),
        env: Some(environment::of(launch, node_name)),
        labels: Some(labels),
        exposed_ports: Some(exposed),
        user: named(&template.user),
        working_dir: named(&template.workdir),
        hostname: named(&template.hostname),
        stop_signal: named(&template.stop_signal),
        stop_timeout: i64::try_from(template.stop_grace_ms.div_ceil(1000)).ok(),
        host_config: Some(HostConfig {
            port_bindings: Some(bindings),
            nano_cpus: amount(limits.limit_cpu_milli.saturating_mul(1_000_000)),
            memory: amount(limits.limit_memory),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

type Bindings = HashMap<String, Option<Vec<PortBinding>>>;

fn ports(template: &TaskTemplate) -> (Vec<String>, Bindings) {
    let mut bindings = Bindings::new();
    let mut exposed = Vec::new();
    for port in &template.ports {
        let protocol = match port.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        let target = format!("{}/{protocol}", port.target);
        let binding =
            PortBinding { host_ip: named(&port.host_ip), host_port: Some(port.published.to_string()) };
        bindings.entry(target.clone()).or_default().get_or_insert_default().push(binding);
        exposed.push(target);
    }
    exposed.sort();
    exposed.dedup();
    (exposed, bindings)
}

fn named(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn given(list: &[String]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.to_vec())
}

fn amount(value: u64) -> Option<i64> {
    (value > 0).then(|| i64::try_from(value).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use sleep_wire::id::{ClusterId, NodeId, RevisionId, ServiceId};
    use sleep_wire::key::{SlotKey, SlotName};
    use sleep_wire::spec::{Port, Resources};
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
    fn the_engine_never_restarts_a_task() {
        let body = body(&launch(TaskTemplate::default()), "n", HashMap::new());
        let host = body.host_config.expect("it is always given");
        assert_eq!(host.restart_policy.and_then(|policy| policy.name), Some(RestartPolicyNameEnum::NO));
        assert_eq!((host.nano_cpus, host.memory, body.user, body.cmd), (None, None, None, None));
    }

    #[test]
    fn ports_and_limits_are_the_engines_to_enforce() {
        let port = |host_ip: &str, published, protocol| Port {
            host_ip: host_ip.to_owned(),
            published,
            target: 53,
            protocol,
        };
        let template = TaskTemplate {
            ports: vec![
                port("", 80, Protocol::Tcp),
                port("127.0.0.1", 81, Protocol::Tcp),
                port("", 53, Protocol::Udp),
            ],
            resources: Resources { limit_cpu_milli: 1_500, limit_memory: 1 << 20, ..Resources::default() },
            ..TaskTemplate::default()
        };
        let body = body(&launch(template), "n", HashMap::new());
        let host = body.host_config.expect("it is always given");
        let binding = |ip: Option<&str>, port: &str| PortBinding {
            host_ip: ip.map(Into::into),
            host_port: Some(port.into()),
        };
        assert_eq!((host.nano_cpus, host.memory), (Some(1_500_000_000), Some(1 << 20)));
        assert_eq!(body.exposed_ports, Some(vec!["53/tcp".to_owned(), "53/udp".to_owned()]));
        assert_eq!(
            host.port_bindings,
            Some(HashMap::from([
                ("53/tcp".to_owned(), Some(vec![binding(None, "80"), binding(Some("127.0.0.1"), "81")])),
                ("53/udp".to_owned(), Some(vec![binding(None, "53")])),
            ]))
        );
    }
}
