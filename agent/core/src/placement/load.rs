//! What tasks take from a node, and what is left.

use alloc::string::String;
use alloc::vec::Vec;

use sleep_wire::ServiceId;
use sleep_wire::spec::{Port, Protocol, TaskTemplate};

use super::facts::NodeFact;
use super::refused::Refused;

/// What a task that reserves nothing weighs when nodes are compared; it counts against no capacity.
const NOMINAL_CPU_MILLI: u64 = 100;
/// The same for memory, in bytes.
const NOMINAL_MEMORY: u64 = 64 << 20;

/// What one task takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) cpu: u64,
    pub(crate) memory: u64,
    pub(crate) ports: Vec<Port>,
}

/// What all tasks of a node take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    cpu: u64,
    memory: u64,
    cpu_weight: u64,
    memory_weight: u64,
    tasks: u32,
    ports: Vec<PortUse>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct PortUse {
    protocol: Protocol,
    port: u16,
    host_ip: String,
    service: ServiceId,
}

impl Needs {
    pub(crate) fn of(template: &TaskTemplate) -> Self {
        let ports = template.ports.iter().filter(|port| port.published != 0);
        Self {
            cpu: template.resources.reserve_cpu_milli,
            memory: template.resources.reserve_memory,
            ports: ports.cloned().collect(),
        }
    }
}

impl Load {
    pub(crate) fn add(&mut self, service: ServiceId, needs: &Needs) {
        self.cpu = self.cpu.saturating_add(needs.cpu);
        self.memory = self.memory.saturating_add(needs.memory);
        self.cpu_weight = self.cpu_weight.saturating_add(needs.cpu.max(NOMINAL_CPU_MILLI));
        self.memory_weight = self.memory_weight.saturating_add(needs.memory.max(NOMINAL_MEMORY));
        self.tasks += 1;
        self.ports.extend(needs.ports.iter().map(|port| PortUse {
            protocol: port.protocol,
            port: port.published,
            host_ip: port.host_ip.clone(),
            service,
        }));
    }

    /// Takes away what [`Self::add`] added with the same arguments.
    pub(crate) fn take(&mut self, service: ServiceId, needs: &Needs) {
        self.cpu = self.cpu.saturating_sub(needs.cpu);
        self.memory = self.memory.saturating_sub(needs.memory);
        self.cpu_weight = self.cpu_weight.saturating_sub(needs.cpu.max(NOMINAL_CPU_MILLI));
        self.memory_weight = self.memory_weight.saturating_sub(needs.memory.max(NOMINAL_MEMORY));
        self.tasks = self.tasks.saturating_sub(1);
        for port in &needs.ports {
            let same = |used: &PortUse| {
                used.service == service && used.port == port.published && used.protocol == port.protocol
            };
            let found = self.ports.iter().position(|used| same(used) && used.host_ip == port.host_ip);
            if let Some(at) = found {
                self.ports.swap_remove(at);
            }
        }
    }

    /// How many tasks there are.
    pub(crate) const fn tasks(&self) -> u32 {
        self.tasks
    }

    /// How full a node is, in thousandths of its scarcer resource. May exceed a thousand.
    pub(crate) fn permille(&self, node: &NodeFact) -> u64 {
        let cpu = self.cpu_weight.saturating_mul(1000) / node.cpu_milli.max(1);
        let memory = (self.memory_weight >> 10).saturating_mul(1000) / (node.memory >> 10).max(1);
        cpu.max(memory)
    }

    /// What is left of cores and memory.
    pub(crate) fn free(&self, node: &NodeFact) -> (u64, u64) {
        (node.cpu_milli.saturating_sub(self.cpu), node.memory.saturating_sub(self.memory))
    }

    /// Whether a task fits into what is left. What it does not reserve, it need not find.
    pub(crate) fn refuse(&self, node: &NodeFact, needs: &Needs) -> Result<(), Refused> {
        let (cpu, memory) = self.free(node);
        if needs.memory > memory {
            return Err(Refused::Memory { needs: needs.memory, free: memory });
        }
        if needs.cpu > cpu {
            return Err(Refused::Cpu { needs: needs.cpu, free: cpu });
        }
        for port in &needs.ports {
            let clashes = |used: &&PortUse| {
                used.port == port.published
                    && used.protocol == port.protocol
                    && (is_any(&used.host_ip) || is_any(&port.host_ip) || used.host_ip == port.host_ip)
            };
            // The smallest id, since tasks are listed in the order in which they came.
            if let Some(by) = self.ports.iter().filter(clashes).map(|used| used.service).min() {
                return Err(Refused::PortTaken { port: port.published, protocol: port.protocol, by });
            }
        }
        Ok(())
    }
}

/// Whether an address stands for all addresses of a host.
fn is_any(host_ip: &str) -> bool {
    matches!(host_ip, "" | "0.0.0.0" | "::" | "[::]" | "*")
}
