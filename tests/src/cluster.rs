//! A cluster on the hosts of a lab: one agent a host, with its defaults, as a package would start it.
//!
//! # Not here
//! What is done with it: stories are told in the tests.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use crate::ctl::Ctl;
use crate::error::{Error, Result};
use crate::hosts::{Container, Lab};
use crate::process::{self, Process, binary};
use crate::wait::until;

/// From an agent's start until it answers; a tenth of a second on an idle machine.
const START: Duration = Duration::from_secs(30);

/// The label by which people and tests find what the cluster runs.
const LABEL: &str = "io.sleepd.cluster";

/// The agents of a lab.
#[derive(Debug)]
pub struct Cluster<'lab> {
    lab: &'lab Lab,
    agents: Vec<Option<Process>>,
}

impl<'lab> Cluster<'lab> {
    /// Starts an agent on every host of the lab; none of them is in a cluster.
    pub fn start(lab: &'lab Lab) -> Result<Self> {
        let mut cluster = Self { lab, agents: lab.hosts().iter().map(|_| None).collect() };
        for number in cluster.numbers() {
            cluster.start_agent(number)?;
        }
        Ok(cluster)
    }

    /// As [`Cluster::start`], with all of them in one cluster that `node1` founded.
    pub fn formed(lab: &'lab Lab) -> Result<Self> {
        let cluster = Self::start(lab)?;
        cluster.ctl(1).run("cluster init")?;
        let token = cluster.ctl(1).run("cluster token create -q")?.stdout;
        for number in cluster.numbers().into_iter().skip(1) {
            cluster.ctl(number).run(&format!("cluster join --token {token} node1"))?;
        }
        cluster.await_nodes("ready")?;
        Ok(cluster)
    }

    /// The lab that it runs on.
    pub fn lab(&self) -> &'lab Lab {
        self.lab
    }

    /// The numbers of its nodes: 1 and so on.
    pub fn numbers(&self) -> Vec<u8> {
        (1..).take(self.agents.len()).collect()
    }

    /// Starts the agent of a host, and waits until it answers.
    pub fn start_agent(&mut self, number: u8) -> Result<()> {
        self.spawn_agent(number, &[])?;
        until(&format!("the agent of {} answers", self.lab.host(number).name()), START, || {
            self.ctl(number).answers().then_some(())
        })
    }

    /// The number of a host's agent, as the machine counts its processes.
    pub fn agent_pid(&self, number: u8) -> Result<u32> {
        let agent = self.agents[usize::from(number) - 1].as_ref();
        agent.and_then(Process::pid).ok_or_else(|| Error::new(format!("node{number} has no agent")))
    }

    /// Starts the agent of a host under a program that is given it to run, such as `strace`; nobody waits
    /// until it answers, since it may not live so long.
    pub fn spawn_agent(&mut self, number: u8, under: &[&str]) -> Result<()> {
        let (host, sleepd) = (self.lab.host(number), binary("sleepd")?);
        let words = under.iter().map(Path::new).chain([sleepd.as_path()]);
        let [program, arguments @ ..] = &words.collect::<Vec<_>>()[..] else { return Ok(()) };
        let agent = host.spawn("sleepd", host.command(program).args(arguments))?;
        self.agents[usize::from(number) - 1] = Some(agent);
        Ok(())
    }

    /// Waits until the agent of a host has ended by itself.
    pub fn agent_ends(&mut self, number: u8) -> Result<ExitStatus> {
        let agent = self.agents[usize::from(number) - 1].take();
        let mut agent = agent.ok_or_else(|| Error::new(format!("node{number} has no agent")))?;
        agent.wait(START)
    }

    /// Whether the agent of a host has ended by itself, or was never started.
    pub fn has_ended(&mut self, number: u8) -> bool {
        self.agents[usize::from(number) - 1].as_mut().is_none_or(|agent| !agent.is_running())
    }

    /// Starts an agent that cannot run, with these flags, and gives its exit code and what it said.
    pub fn agent_fails(&self, number: u8, flags: &[&str]) -> Result<(i32, String)> {
        let host = self.lab.host(number);
        // An agent that runs all the same must not run for ever.
        let mut command = host.command("timeout");
        command.arg(START.as_secs().to_string()).arg(binary("sleepd")?).args(flags).stdin(Stdio::null());
        let ended = command.output().map_err(|error| Error::new(error.to_string()))?;
        let said = String::from_utf8_lossy(&ended.stderr).trim_end().to_owned();
        Ok((ended.status.code().unwrap_or(-1), said))
    }

    /// `kill -9`: what the agent started goes on.
    pub fn kill_agent(&mut self, number: u8) -> Result<()> {
        let agent = self.agents[usize::from(number) - 1].take();
        let agent = agent.ok_or_else(|| Error::new(format!("node{number} has no agent")))?;
        agent.kill().map(drop)
    }

    /// Takes a host's power away.
    pub fn power_off(&mut self, number: u8) -> Result<()> {
        self.lab.host(number).power_off()?;
        // It ended with its host, and there is nothing to kill any more.
        self.agents[usize::from(number) - 1] = None;
        Ok(())
    }

    /// Gives a host power: its engine and its agent start.
    pub fn power_on(&mut self, number: u8) -> Result<()> {
        self.lab.host(number).power_on()?;
        self.lab.host(number).engine().start()?;
        self.start_agent(number)
    }

    /// Commands to the agent of a host.
    pub fn ctl(&self, number: u8) -> Ctl {
        Ctl::new(self.lab.host(number).path("/run/sleepd/sleepd.sock"))
    }

    /// The containers of a host that a cluster started, running or not.
    pub fn managed(&self, number: u8) -> Result<Vec<Container>> {
        let containers = self.lab.host(number).engine().containers()?;
        Ok(containers.into_iter().filter(|container| container.labels.contains_key(LABEL)).collect())
    }

    /// Those of them that run.
    pub fn running(&self, number: u8) -> Result<Vec<Container>> {
        let containers = self.managed(number)?;
        Ok(containers.into_iter().filter(|container| container.state == "running").collect())
    }

    /// The processes that run for a host's tasks, by the task's name.
    pub fn processes(&self, number: u8) -> BTreeMap<String, i32> {
        let host = self.lab.host(number);
        process::of_tasks(&host.path("/var/lib/sleepd/tasks"), &host.path("/proc"))
    }

    /// How many containers run on each host.
    pub fn spread(&self) -> Result<Vec<usize>> {
        self.numbers().into_iter().map(|number| Ok(self.running(number)?.len())).collect()
    }

    /// The number of the node that leads, once all agree on one.
    pub fn leader(&self) -> Result<u8> {
        until("all nodes know the same leader", START, || {
            let leaders = self.numbers().into_iter().map(|number| {
                let nodes = self.ctl(number).nodes().ok()?;
                nodes.into_iter().find(|node| node.leader).map(|node| node.name)
            });
            let mut leaders: Vec<String> = leaders.collect::<Option<_>>()?;
            leaders.dedup();
            let [leader] = leaders.as_slice() else { return None };
            leader.strip_prefix("node")?.parse().ok()
        })
    }

    /// Waits until every node sees every other in this status.
    pub fn await_nodes(&self, status: &str) -> Result<()> {
        for number in self.numbers() {
            until(&format!("node{number} sees all nodes {status}"), START, || {
                let nodes = self.ctl(number).nodes().ok()?;
                let all = nodes.len() == self.agents.len() && nodes.iter().all(|node| node.status == status);
                all.then_some(())
            })?;
        }
        Ok(())
    }
}
