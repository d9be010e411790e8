//! Who is measured: our agents, and Docker Swarm beside them, each with a lab of its own, told the same.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::hosts::{IMAGE, Lab};
use crate::process::output;
use crate::wait::try_until;

/// For what should take seconds, on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// What is asked of a cluster.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// A service of so many replicas, and wait as the command line does.
    Create(u32),
    /// So many replicas from now on, and do not wait.
    Scale(u32),
    /// No service any more.
    Remove,
    /// No work on a node.
    Drain(u8),
    /// Work on it again.
    Activate(u8),
}

/// An orchestrator on the hosts of a lab.
pub trait Peer {
    /// What people call it.
    fn name(&self) -> &'static str;

    /// Its hosts.
    fn lab(&self) -> &Lab;

    /// The nodes that take commands.
    fn doors(&self) -> Vec<u8>;

    /// The command that asks a node for something.
    fn command(&self, by: u8, act: Act) -> Result<Command>;

    /// `node1` founds a cluster.
    fn found(&mut self) -> Result<()>;

    /// The command by which a node joins it.
    fn join(&self, number: u8) -> Result<Command>;

    /// The nodes that a node lists as ready.
    fn ready(&self, by: u8) -> Result<Vec<u8>>;

    /// Who leads, as a node tells.
    fn leader(&self, by: u8) -> Result<Option<u8>>;

    /// A host loses its power.
    fn power_off(&mut self, number: u8) -> Result<()>;

    /// A host has power again, and runs what it ran before.
    fn power_on(&mut self, number: u8) -> Result<()>;
}

/// Docker Swarm.
#[derive(Debug)]
pub struct Swarm<'lab> {
    lab: &'lab Lab,
    /// For managers and for workers.
    tokens: [String; 2],
}

impl<'lab> Swarm<'lab> {
    /// On the engines of a lab.
    pub fn on(lab: &'lab Lab) -> Self {
        Self { lab, tokens: Default::default() }
    }

    fn docker(&self, by: u8, line: &str) -> Command {
        // Debian's client is as old as its engine; a newer one on the machine may not speak to it.
        let client = if Path::new("/usr/bin/docker").exists() { "/usr/bin/docker" } else { "docker" };
        let socket = self.lab.host(by).path("/run/docker.sock");
        let mut command = Command::new(client);
        for variable in ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"] {
            command.env_remove(variable);
        }
        command.arg("-H").arg(format!("unix://{}", socket.display())).args(line.split_whitespace());
        command
    }
}

impl Peer for Swarm<'_> {
    fn name(&self) -> &'static str {
        "Swarm"
    }

    fn lab(&self) -> &Lab {
        self.lab
    }

    fn doors(&self) -> Vec<u8> {
        numbers(self.lab).into_iter().take(3).collect()
    }

    fn command(&self, by: u8, act: Act) -> Result<Command> {
        let line = match act {
            Act::Create(replicas) => {
                format!(
                    "service create --no-resolve-image --name app --replicas {replicas} \
                    {IMAGE} sleep infinity"
                )
            }
            Act::Scale(replicas) => format!("service scale --detach app={replicas}"),
            Act::Remove => "service rm app".to_owned(),
            Act::Drain(number) => format!("node update --availability drain node{number}"),
            Act::Activate(number) => format!("node update --availability active node{number}"),
        };
        Ok(self.docker(by, &line))
    }

    fn found(&mut self) -> Result<()> {
        let address = self.lab.host(1).address();
        output(&mut self.docker(1, &format!("swarm init --advertise-addr {address}")))?;
        for (token, role) in self.tokens.each_mut().into_iter().zip(["manager", "worker"]) {
            let client = Swarm { lab: self.lab, tokens: Default::default() };
            *token = output(&mut client.docker(1, &format!("swarm join-token -q {role}")))?;
        }
        Ok(())
    }

    fn join(&self, number: u8) -> Result<Command> {
        let token = &self.tokens[usize::from(!self.doors().contains(&number))];
        Ok(self.docker(number, &format!("swarm join --token {token} {}:2377", self.lab.host(1).address())))
    }

    fn ready(&self, by: u8) -> Result<Vec<u8>> {
        let nodes = self.lab.host(by).engine().get("/nodes")?;
        let ready = nodes.as_array().into_iter().flatten().filter(|node| node["Status"]["State"] == "ready");
        Ok(ready.filter_map(|node| number_of(node["Description"]["Hostname"].as_str()?)).collect())
    }

    fn leader(&self, by: u8) -> Result<Option<u8>> {
        let nodes = self.lab.host(by).engine().get("/nodes")?;
        let mut nodes = nodes.as_array().into_iter().flatten();
        let leads = nodes.find(|node| node["ManagerStatus"]["Leader"] == true);
        Ok(leads.and_then(|node| number_of(node["Description"]["Hostname"].as_str()?)))
    }

    fn power_off(&mut self, number: u8) -> Result<()> {
        self.lab.host(number).power_off()
    }

    fn power_on(&mut self, number: u8) -> Result<()> {
        self.lab.host(number).power_on()?;
        self.lab.host(number).engine().start()
    }
}

/// Our agents.
#[derive(Debug)]
pub struct Ours<'lab> {
    cluster: Cluster<'lab>,
    token: String,
}

impl<'lab> Ours<'lab> {
    /// An agent on every host of a lab.
    pub fn on(lab: &'lab Lab) -> Result<Self> {
        Ok(Self { cluster: Cluster::start(lab)?, token: String::new() })
    }

    /// The agents.
    pub fn cluster(&self) -> &Cluster<'lab> {
        &self.cluster
    }
}

impl Peer for Ours<'_> {
    fn name(&self) -> &'static str {
        "sleepd"
    }

    fn lab(&self) -> &Lab {
        self.cluster.lab()
    }

    fn doors(&self) -> Vec<u8> {
        self.cluster.numbers()
    }

    fn command(&self, by: u8, act: Act) -> Result<Command> {
        let line = match act {
            Act::Create(replicas) => {
                format!("service create --name app --replicas {replicas} {IMAGE} sleep infinity")
            }
            Act::Scale(replicas) => format!("service scale --detach app={replicas}"),
            Act::Remove => "service rm app".to_owned(),
            Act::Drain(number) => format!("node drain node{number}"),
            Act::Activate(number) => format!("node activate node{number}"),
        };
        self.cluster.ctl(by).command(&line)
    }

    fn found(&mut self) -> Result<()> {
        self.cluster.ctl(1).run("cluster init")?;
        self.token = self.cluster.ctl(1).run("cluster token create -q")?.stdout;
        Ok(())
    }

    fn join(&self, number: u8) -> Result<Command> {
        self.cluster.ctl(number).command(&format!("cluster join --token {} node1", self.token))
    }

    fn ready(&self, by: u8) -> Result<Vec<u8>> {
        let nodes = self.cluster.ctl(by).nodes()?;
        let ready = nodes.into_iter().filter(|node| node.status == "ready");
        Ok(ready.filter_map(|node| number_of(&node.name)).collect())
    }

    fn leader(&self, by: u8) -> Result<Option<u8>> {
        let nodes = self.cluster.ctl(by).nodes()?;
        Ok(nodes.into_iter().find(|node| node.leader).and_then(|node| number_of(&node.name)))
    }

    fn power_off(&mut self, number: u8) -> Result<()> {
        self.cluster.power_off(number)
    }

    fn power_on(&mut self, number: u8) -> Result<()> {
        self.cluster.power_on(number)
    }
}

/// How long something took that a command asked for.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    /// Until it was so.
    pub came: Duration,
    /// Until the command said so.
    pub returned: Duration,
}

/// Runs a command, and waits until it has ended well and something holds, whichever comes first.
pub fn time(what: &str, command: &mut Command, mut holds: impl FnMut() -> bool) -> Result<Took> {
    let start = Instant::now();
    let (mut came, mut returned) = (None, None);
    let mut running = Running::start(what, command)?;
    try_until(what, PATIENCE, || {
        if came.is_none() && holds() {
            came = Some(start.elapsed());
        }
        if returned.is_none() && running.has_ended()? {
            returned = Some(start.elapsed());
        }
        Ok(came.zip(returned).map(|(came, returned)| Took { came, returned }))
    })
}

/// Runs a command to its end, for at most `limit`; whether it ended well.
pub fn attempt(what: &str, command: &mut Command, limit: Duration) -> bool {
    let Ok(mut running) = Running::start(what, command) else { return false };
    try_until(what, limit, || Ok(running.has_ended()?.then_some(()))).is_ok()
}

/// A command that ends at the latest when nobody waits for it any more.
struct Running {
    what: String,
    child: Child,
}

impl Running {
    fn start(what: &str, command: &mut Command) -> Result<Self> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| Error::new(format!("{what}: {error}")))?;
        Ok(Self { what: what.to_owned(), child })
    }

    /// Whether it has ended; an error if not well.
    fn has_ended(&mut self) -> Result<bool> {
        let broken = |error| Error::new(format!("{}: {error}", self.what));
        let Some(status) = self.child.try_wait().map_err(broken)? else { return Ok(false) };
        if status.success() {
            return Ok(true);
        }
        let said = self.child.stderr.take().map(std::io::read_to_string).transpose().map_err(broken)?;
        Err(Error::new(format!("{}: {status}: {}", self.what, said.unwrap_or_default().trim_end())))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let ended = self.child.kill().and_then(|()| self.child.wait());
            if let Err(error) = ended {
                eprintln!("{} was to be ended: {error}", self.what);
            }
        }
    }
}

/// The numbers of a lab's hosts.
pub fn numbers(lab: &Lab) -> Vec<u8> {
    (1..).take(lab.hosts().len()).collect()
}

fn number_of(name: &str) -> Option<u8> {
    name.strip_prefix("node")?.parse().ok()
}
